"""Predictions and what became of them, as arrays: what live figures, bets and drift are reckoned from."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.features.panel import LabelledRows
from hosu.lake.sql import SqlConfig, combine
from hosu.models.journal import FIRST_MADE, KEY, OUTCOMES, TABLE
from hosu.models.scores import MIN_SYMBOLS, rank_ic, sections

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from hosu.features.panel import Flags, Floats, Ints
    from hosu.lake.delta import DataFile
    from hosu.lake.lake import Lake

_SEOUL_US: Final = 9 * 3_600_000_000
_DAY_US: Final = 86_400_000_000
_TOGETHER: Final = 1_000_000
"""Predictions read at once, about 250 bytes each; never less than a date."""
_JOINED: Final = """
WITH told AS (
SELECT p.date, p.symbol, p.model_version AS version, epoch_us(p.decided_at) AS t, epoch_us(p.made_at) AS made, p.price,
       p.score, p.p_down, p.p_flat, p.p_up, p.predicted_price / p.price - 1 AS expected,
       p.abstained IS NOT NULL AS abstained, epoch_us(o.entered_at) AS t0, epoch_us(o.left_at) AS t1, o.ret_px,
       o.ret_ex, o.band, o.direction, o.half_spread, o.value_20, o.scored_at IS NULL AS waits
FROM predictions p LEFT JOIN outcomes o USING (date, {key})
WHERE p.model = '{model}' QUALIFY {first}
),
-- Of a cross-section of which some still wait another run would find more, and another figure.
whole AS (SELECT * FROM told QUALIFY NOT bool_or(waits) OVER (PARTITION BY version, t))
SELECT * EXCLUDE (waits) FROM whole WHERE direction IS NOT NULL ORDER BY version, t, symbol
"""


@dataclass(frozen=True, slots=True)
class Matured:
    """Labelled predictions of one version of a model; ``n`` rows in order of (t, symbol).

    Attributes:
        model, version: which.
        rows: what was decided and what became of it; without features.
        made: (n,) when each was made by the clock on the wall, UTC microseconds: of a market that is played at another
            speed, or on another day, not near ``rows.t``.
        probabilities: (n, 3) of -1, 0 and 1.
        score: (n,) NaN where it abstained.
        expected: (n,) return that was predicted; NaN where it abstained.
    """

    model: str
    version: int
    rows: LabelledRows
    made: Ints
    probabilities: Floats
    score: Floats
    expected: Floats

    @property
    def answered(self) -> Flags:
        """(n,) whether it did not abstain."""
        found: Flags = np.isfinite(self.score)
        return found


def matured(
    lake: Lake, model: str, config: SqlConfig | None = None, *, together: int = _TOGETHER
) -> Iterator[tuple[Matured, ...]]:
    """Some dates after the other, in order: every version of a model with at least one labelled prediction, by number.

    Of each key the first made counts. Cross-sections of which some predictions still wait are left out. The journal of
    a year of minutes does not fit into memory: so much of it comes at once as ``together`` predictions, and one date
    at least.

    Raises:
        TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
    """
    predictions, outcomes = lake.find(TABLE), lake.find(OUTCOMES)
    if predictions is None or outcomes is None:
        return
    sql = _JOINED.format(key=", ".join(KEY), model=model, first=FIRST_MADE)
    scored = set(outcomes.dates())
    for dates in _grouped([file for file in predictions.files() if file.date in scored], together):
        files = {
            name: (table, [file for file in table.files() if file.date in dates])
            for name, table in ((TABLE, predictions), (OUTCOMES, outcomes))
        }
        found = combine(lake.storage, sql, files=files, beside={}, config=config or SqlConfig())
        if versions := _versions(model, found):
            yield versions


def _grouped(files: Sequence[DataFile], together: int) -> list[set[str]]:
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.date] += file.rows
    groups: list[set[str]] = []
    held = together
    for date, count in sorted(rows.items()):
        if held + count > together:
            groups.append(set())
            held = 0
        groups[-1].add(date)
        held += count
    return groups


def _versions(model: str, found: pa.Table) -> tuple[Matured, ...]:
    version = found.column("version").to_numpy()
    numbers, first, count = np.unique(version, return_index=True, return_counts=True)
    parts = zip(numbers.tolist(), first.tolist(), count.tolist(), strict=True)
    return tuple(_of(model, int(number), found.slice(begin, rows)) for number, begin, rows in parts)


def _of(model: str, version: int, part: pa.Table) -> Matured:
    def floats(name: str) -> Floats:
        return np.asarray(part.column(name).to_numpy(), np.float64)

    silent = np.asarray(part.column("abstained").to_numpy(), bool)
    return Matured(
        model,
        version,
        _rows(part),
        np.asarray(part.column("made").to_numpy(), np.int64),
        np.column_stack([floats("p_down"), floats("p_flat"), floats("p_up")]),
        np.where(silent, np.nan, floats("score")),
        np.where(silent, np.nan, floats("expected")),
    )


def _rows(part: pa.Table) -> LabelledRows:
    def column(name: str, kind: npt.DTypeLike) -> npt.NDArray[np.generic]:
        return np.asarray(part.column(name).to_numpy(), kind)

    count = part.num_rows
    symbols, symbol = np.unique(np.array(part.column("symbol").to_pylist(), str), return_inverse=True)
    decided = np.array(part.column("date").to_pylist(), "datetime64[D]")
    left = ((column("t1", np.int64) + _SEOUL_US) // _DAY_US).astype("datetime64[D]")
    sessions = np.unique(np.concatenate([decided, left]))
    return LabelledRows(
        symbols=tuple(symbols.tolist()),
        sessions=tuple(map(str, sessions)),
        names=(),
        symbol=symbol.astype(np.int32),
        session=np.searchsorted(sessions, decided).astype(np.int32),
        t=column("t", np.int64),  # type: ignore[arg-type]
        t0=column("t0", np.int64),  # type: ignore[arg-type]
        t1=column("t1", np.int64),  # type: ignore[arg-type]
        t1_session=np.searchsorted(sessions, left).astype(np.int32),
        features=np.empty((count, 0)),
        reason=np.zeros(count, np.uint8),
        weight=np.ones(count),
        ret_last=np.full(count, np.nan),
        label=column("direction", np.int8),  # type: ignore[arg-type]
        **{  # type: ignore[arg-type]
            name: column(name, np.float64) for name in ("price", "ret_px", "ret_ex", "band", "half_spread", "value_20")
        },
    )


# --- blocks of evidence ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blocks:
    """Cross-sections that do not overlap, ``b`` of them in order of time; those on which nobody answered fill gaps.

    Attributes:
        t: (b,) when each was decided, UTC microseconds.
        made: (b,) when its predictions were made, UTC microseconds; of several versions, the first.
        ic: (b,) by version; NaN where it answered for too few symbols.
    """

    t: Ints
    made: Ints
    ic: dict[int, Floats]


def blocks(versions: Sequence[Matured], min_symbols: int = MIN_SYMBOLS) -> Blocks:
    """What bets are settled by: of daily models sessions, of minutes cross-sections, at least ``min_symbols`` wide.

    Labels of two blocks never overlap, since a block that shares its outcome with the one before is no new evidence:
    of a horizon of five sessions every fifth is a block. Where everybody was asked and nobody answered, a block passes
    too, if it overlaps with none of the others: it changes no bet, and a challenger's time runs.
    """
    return _settled({each.version: _by_section(each, min_symbols) for each in versions})


def settled_blocks(lake: Lake, model: str, config: SqlConfig | None = None, min_symbols: int = MIN_SYMBOLS) -> Blocks:
    """The blocks of all that has matured of a model; see ``blocks``.

    Raises:
        TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
    """
    found: dict[int, list[_Sections]] = {}
    for versions in matured(lake, model, config):
        for each in versions:
            found.setdefault(each.version, []).append(_by_section(each, min_symbols))
    whole = {number: [np.concatenate(column) for column in zip(*parts, strict=True)] for number, parts in found.items()}
    return _settled({number: _Sections(*columns) for number, columns in sorted(whole.items())})


def _settled(by_version: Mapping[int, _Sections]) -> Blocks:
    told = list(by_version.values())
    answered, asked = _spans(told, silent=False), _spans(told, silent=True)
    chosen = _filled(_apart(answered), answered, asked)
    at = np.array(chosen, np.int64)
    ics = {version: _at(at, part.t, part.ic) for version, part in by_version.items()}
    whole = {**asked, **answered}
    return Blocks(at, np.array([whole[t].made for t in chosen], np.int64), ics)


class _Sections(NamedTuple):
    """(s,) each: times, latest ends, when the first of them was made, sizes and ICs of one version's sections."""

    t: Ints
    t1: Ints
    made: Ints
    wide: Flags
    ic: Floats


class _Span(NamedTuple):
    """Of a cross-section: its latest end, and when the first of it was made."""

    end: int
    made: int


def _spans(told: Sequence[_Sections], *, silent: bool) -> dict[int, _Span]:
    """By time, of the sections for which somebody answered; ``silent``: of the wide ones for which one did not."""
    found: dict[int, _Span] = {}
    for each in told:
        wanted = ~np.isfinite(each.ic) & each.wide if silent else np.isfinite(each.ic)
        for t, t1, made in zip(*(column[wanted].tolist() for column in each[:3]), strict=True):
            before = found.get(t, _Span(t1, made))
            found[t] = _Span(max(before.end, t1), min(before.made, made))
    return found


def _apart(spans: Mapping[int, _Span]) -> list[int]:
    chosen, free = [], -1
    for t in sorted(spans):
        if t >= free:
            chosen.append(t)
            free = spans[t].end
    return chosen


def _filled(chosen: Sequence[int], answered: Mapping[int, _Span], asked: Mapping[int, _Span]) -> list[int]:
    """The chosen ones, and of the silent ones those that overlap neither with them nor with each other."""
    mine = set(chosen)
    out, free = [], -1
    for t in sorted({*chosen, *(asked.keys() - answered.keys())}):
        if t not in mine:
            following = bisect_left(chosen, t)
            if t < free or (following < len(chosen) and asked[t].end > chosen[following]):
                continue
        out.append(t)
        free = answered[t].end if t in mine else asked[t].end
    return out


def _by_section(each: Matured, min_symbols: int) -> _Sections:
    rows = each.rows
    section, first = sections(rows.t)
    ic = rank_ic(each.score, rows.ret_ex, t=rows.t, session=section, count=len(first), min_symbols=min_symbols)
    ends, made = np.maximum.reduceat(rows.t1, first), np.minimum.reduceat(each.made, first)
    wide = np.diff(first, append=len(rows.t)) >= min_symbols
    return _Sections(rows.t[first], ends, made, wide, ic)


def _at(wanted: Ints, times: Ints, ic: Floats) -> Floats:
    place = np.minimum(np.searchsorted(times, wanted), len(times) - 1)
    return np.where(times[place] == wanted, ic[place], np.nan)
