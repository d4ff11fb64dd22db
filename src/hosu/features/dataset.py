"""Point-in-time datasets: labelled rows that can be made again, bit for bit, from their id's facts.

The id is the SHA-256 of canonical JSON of what decides the bytes: the Delta version of each table read, ``as_served``
or ``repaired``, and the definition (features, labels, span, universe, days, code revisions). Every table is read at
one version, so what is appended meanwhile changes nothing; the next dataset has other versions and another id.
Tables that the collector fills (polls, of which base prices are read, trades, books, messages) have thousands of
versions a day, kept for hours: of these the id has a hash of what was taken from them instead.

*Universe*: on days of which ``instruments`` has a list, the symbols of that list; on others every symbol with a bar,
and the dataset says which days those are. *Days*: certified ones unless told otherwise; without a ledger nothing can
be certified, so imports are refused until they are allowed by name. *As served*: of days it leaves out each symbol's
day to which a repair has added trades, since nobody was served those; minutes have the features that were served when
they closed, and those of which none were are left out.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import InputError
from hosu.features.bars_of_lake import panel, tables_of
from hosu.features.dataset_definition import ALLOWED, Definition, FeatureSource
from hosu.features.facts_of_lake import TABLES_OF, FactsOfLake
from hosu.features.followed import followed
from hosu.features.label_facts import beside, digest
from hosu.features.labels import REVISION, labelled_rows
from hosu.features.lake_versions import Pinned
from hosu.features.served import TABLE as SERVED
from hosu.features.served_features import is_served, served_features
from hosu.lake.tables import EVENT_TABLES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from hosu.features.bars_of_lake import LakePanel
    from hosu.features.labels import Beside
    from hosu.features.panel import BarPanel, Flags, Floats, LabelledRows
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Codes = npt.NDArray[np.uint8]

_UNIVERSE: Final = "SELECT replace(date, '-', '')::BIGINT AS date, symbol FROM instruments"


class UniverseKind(IntEnum):
    """Where the universe of a session comes from."""

    TRADED = 0  # every symbol with a bar: who was delisted since may be missing
    LISTED = 1  # the master files of that day


@dataclass(frozen=True, slots=True)
class Dataset:
    """Labelled rows and what they were made from; ``n`` rows.

    Attributes:
        id: SHA-256, hexadecimal.
        facts: what the id is the hash of: ``tables`` with their versions, ``events`` (the hash of what was taken from
            tables of events), ``view``, ``definition``.
        rows: of the days and symbols asked for.
        origin: (n,) ``bars_of_lake.Origin`` of each row's bar.
        state: (n,) ``bars_of_lake.DayState`` of its day.
        universe: (sessions,) ``UniverseKind``.
        left_out: how many rows of the span were not taken, by reason.
    """

    id: str
    facts: dict[str, Any]
    rows: LabelledRows
    origin: Codes
    state: Codes
    universe: Codes
    left_out: dict[str, int]

    @property
    def versions(self) -> dict[str, int]:
        """The Delta version of each table it was read from; -1 of one that was not there."""
        return dict(self.facts["tables"])


def dataset_id(facts: Mapping[str, Any]) -> str:
    """The SHA-256 of the facts as canonical JSON (sorted names, no blanks, UTF-8), hexadecimal."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def build(
    lake: Lake,
    source: FeatureSource,
    definition: Definition,
    *,
    versions: Mapping[str, int] | None = None,
    config: SqlConfig | None = None,
) -> Dataset:
    """The dataset of a definition.

    Args:
        lake: where the bars are.
        source: of the features.
        definition: what is asked for.
        versions: of the tables, to make an earlier dataset again; None: as they are now.
        config: what DuckDB may take.

    Raises:
        InputError: days without a ledger that were not allowed, no rows, a horizon longer than the data, or a feature
            without a value on any labelled row.
        VersionGoneError: a version cannot be read any more.
        TableCorruptError, QueryError, LakeFullError: as ``bars_of_lake.panel``.
    """
    served, mended = is_served(definition), definition.view == "as_served" and not is_served(definition)
    names = dict.fromkeys((*tables_of(definition.interval, repaired=mended), *TABLES_OF[definition.interval]))
    names |= {SERVED: None} if served else {}
    now = [name for name in names if name in EVENT_TABLES]
    held = Pinned.now(lake, names) if versions is None else Pinned.at(lake, versions, now)
    loaded = panel(
        lake,
        definition.interval,
        definition.symbols,
        start=definition.history,
        end=definition.end,
        scope=definition.scope,
        pinned=held,
        repaired=mended,
        config=config,
    )
    usable = _usable(loaded, definition)
    facts = FactsOfLake(
        held,
        definition.interval,
        definition.scope,
        symbols=definition.symbols,
        latency_us=definition.latency_us,
        config=config,
    )
    known = beside(loaded, facts, since=definition.start, certified=usable)
    if served:
        features, there = served_features(held, loaded.bars, source, definition, config)
    else:
        features, there = _computed(loaded, source, definition, config), np.ones(len(loaded.bars), np.bool_)
    rows = labelled_rows(
        loaded.bars,
        features,
        source.names,
        definition.horizon,
        interval=definition.interval,
        scope=definition.scope,
        beside=known,
        latency_us=definition.latency_us,
    )
    return _chosen(loaded, rows, usable, there, _facts(loaded, known, source, definition), definition)


def _computed(loaded: LakePanel, source: FeatureSource, definition: Definition, config: SqlConfig | None) -> Floats:
    if definition.interval == "day":
        return source.compute(loaded.bars)
    start, end = definition.history, definition.end
    there = followed(loaded.pinned, definition.scope, start=start, end=end, config=config)
    return source.compute(loaded.bars, there)


def _facts(loaded: LakePanel, known: Beside, source: FeatureSource, definition: Definition) -> dict[str, Any]:
    asked = asdict(definition)
    view = asked.pop("view")
    asked["symbols"] = None if definition.symbols is None else sorted(set(definition.symbols))
    features = {"set": source.name, "version": source.version, "names": list(source.names), "code": source.revision}
    taken = (loaded.bars.factor, loaded.bars.masked, loaded.doubtful, loaded.base, loaded.repaired)
    events = hashlib.sha256(b"".join(column.tobytes() for column in taken) + digest(known)).hexdigest()
    versions = {name: at for name, at in sorted(loaded.pinned.versions.items()) if name not in EVENT_TABLES}
    return {
        "tables": versions,
        "events": events,
        "view": view,
        "definition": {**asked, "features": features, "labels": REVISION},
    }


def _usable(loaded: LakePanel, definition: Definition) -> Flags:
    """(n,) whether a bar's day may be learned from."""
    span = _span(loaded.bars, definition)
    unknown = span & loaded.without_ledger
    if definition.days != "all" and unknown.any():
        dates = loaded.bars.date[unknown]
        raise InputError(
            f"{len(dates):,} bars from {dates.min()} to {dates.max()}",
            "lie on days without a ledger (imports, the broker's history), of which nothing can be certified",
            "allow them with --days all, or leave them out with --from",
        )
    usable = np.isin(loaded.state, ALLOWED[definition.days])
    return usable & ~loaded.repaired


def _span(bars: BarPanel, definition: Definition) -> Flags:
    first = int((definition.start or "0000-00-00").replace("-", ""))
    within: Flags = bars.date >= first
    return within


def _chosen(  # noqa: PLR0917 - what there is, and what may be taken of it
    loaded: LakePanel,
    rows: LabelledRows,
    usable: Flags,
    there: Flags,
    facts: dict[str, Any],
    definition: Definition,
) -> Dataset:
    bars = loaded.bars
    order = np.lexsort((bars.symbol, bars.ts))  # t rises with ts, so this is the rows' order
    span, usable, there = _span(bars, definition)[order], usable[order], there[order]
    listed, universe = _universe(loaded, rows)
    allowed = span & usable & listed
    kept = allowed & there
    left_out = {"days": int((span & ~usable).sum()), "universe": int((span & usable & ~listed).sum())}
    left_out |= {"not_served": int((allowed & ~there).sum())} if is_served(definition) else {}
    chosen = rows.where(kept)
    _require_sense(chosen, definition, left_out)
    return Dataset(
        dataset_id(facts), facts, chosen, loaded.origin[order][kept], loaded.state[order][kept], universe, left_out
    )


def _universe(loaded: LakePanel, rows: LabelledRows) -> tuple[Flags, Codes]:
    """(n,) whether a row's symbol belongs to its day's universe, and (sessions,) where that is known from."""
    listed = loaded.pinned.query(_UNIVERSE, {"instruments": "instruments"})
    sessions = np.array([int(day.replace("-", "")) for day in rows.sessions], np.int64)
    place = pc.index_in(listed.column("symbol"), value_set=pa.array(rows.symbols, pa.string())).fill_null(-1)
    symbol, date = np.asarray(place.to_numpy(), np.int64), np.asarray(listed.column("date").to_numpy(), np.int64)
    universe = np.isin(sessions, date).astype(np.uint8)
    session = np.searchsorted(sessions, date)
    mine = (symbol >= 0) & (session < len(sessions))
    mine[mine] = sessions[session[mine]] == date[mine]
    width = max(len(rows.symbols), 1)
    known = np.isin(rows.session.astype(np.int64) * width + rows.symbol, session[mine] * width + symbol[mine])
    return known | (universe[rows.session] == UniverseKind.TRADED), universe


def _require_sense(rows: LabelledRows, definition: Definition, left_out: dict[str, int]) -> None:
    if not len(rows):
        raise _nothing(definition, left_out)
    empty = np.flatnonzero(np.isnan(rows.features[rows.labelled]).all(axis=0))
    if rows.labelled.any() and len(empty):
        names = ", ".join(rows.names[place] for place in empty.tolist())
        raise InputError(f"feature {names}", "has no value on any labelled row", "load a longer history")


def _nothing(definition: Definition, left_out: dict[str, int]) -> InputError:
    """Why no row is left, with a next step that has not been taken already."""
    if not any(left_out.values()):
        whose = "" if definition.symbols is None else f" of {', '.join(definition.symbols)}"
        span = f"from {definition.start or 'the first day'} to {definition.end or 'the last'}"
        return InputError("the dataset", f"is empty (no bar{whose} {span})", "load bars, or choose what has some")
    told, steps = [], []
    if count := left_out["days"]:
        every = definition.days == "all"
        told.append(f"{count:,} rows {'of repaired bars' if every else f'on other days than {definition.days}'}")
        steps.append("choose another span" if every else "certify days, or say --days all")
    if count := left_out["universe"]:
        told.append(f"{count:,} outside of the universe")
        steps.append("choose symbols of the universe of those days")
    if count := left_out.get("not_served", 0):
        told.append(f"{count:,} that were never served")
        steps.append("choose days that were served")
    return InputError("the dataset", f"is empty ({', '.join(told)})", "; ".join(steps))
