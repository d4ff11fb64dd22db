"""Builds ``ml_features_1s``: the order book's features of the dates whose quotes or trades have changed.

A day begins with an empty book and ends with its last second, so a date depends on no other.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.errors import InputError
from hosu.features import book_kernel as kernel
from hosu.features.book_events import SOURCES, LogPart, Series, events_of
from hosu.features.build import FeaturesBuilt
from hosu.features.definitions import SECOND
from hosu.features.rows import vectors
from hosu.features.states import NEW
from hosu.lake.derived import replace_date
from hosu.lake.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.features.definitions import FeatureSet
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

TABLE: Final = "ml_features_1s"
_CRC: Final = (1 << 32) - 1
_NOTHING: Final = "collect a day with `hosu collect --feeds trades,quotes`"


class Seconds:
    """The features of one day's seconds, filled with its events in order.

    ``rows`` (n, kernel.ROW) and ``outputs`` (n, kernel.OUTPUTS) are what ``done`` returns; of each series they are in
    order of time.
    """

    def __init__(self) -> None:
        self.states: Ints = np.zeros((0, kernel.STATE), np.int64)
        self._rows: list[Ints] = []
        self._outputs: list[Floats] = []

    def add(self, events: Ints, series: int) -> None:
        """Takes (n, kernel.EVENT) events of the first ``series`` series."""
        if series > len(self.states):
            fresh = np.zeros((max(series, 2 * len(self.states)) - len(self.states), kernel.STATE), np.int64)
            self.states = np.concatenate([self.states, fresh])
        closers = np.empty(len(events), np.int64)
        self._keep(*_room(len(events)), lambda rows, out: kernel.step_events(self.states, events, rows, out, closers))

    def done(self) -> tuple[Ints, Floats]:
        """Closes the last second of every series; all rows, sorted by series and second."""
        self._keep(*_room(len(self.states)), lambda rows, out: kernel.close_all(self.states, rows, out))
        rows, outputs = np.concatenate(self._rows), np.concatenate(self._outputs)
        order = np.lexsort((rows[:, kernel.ROW_SECOND], rows[:, kernel.ROW_SERIES]))
        return rows[order], outputs[order]

    def _keep(self, rows: Ints, out: Floats, fill: Callable[[Ints, Floats], int]) -> None:
        made = fill(rows, out)
        self._rows.append(rows[:made].copy())
        self._outputs.append(out[:made].copy())


def _room(count: int) -> tuple[Ints, Floats]:
    return np.empty((count, kernel.ROW), np.int64), np.empty((count, kernel.OUTPUTS))


def seconds_of(
    lake: Lake,
    date: str,
    *,
    until_us: int | None = None,
    log: LogPart | None = None,
    config: SqlConfig | None = None,
) -> tuple[list[tuple[str, str]], Ints, Floats]:
    """``(names, rows, outputs)``: (symbol, scope) of each series, and the day's seconds as ``Seconds.done`` has them.

    Memory: the seconds of the date. Arguments and errors: as ``book_events.events_of``.
    """
    series, seconds = Series(), Seconds()
    for events in events_of(lake, date, series, until_us=until_us, log=log, config=config):
        seconds.add(events, len(series))
    rows, outputs = seconds.done()
    return series.names, rows, outputs


def build(
    lake: Lake,
    sets: Sequence[FeatureSet],
    *,
    everything: bool = False,
    clock: Clock | None = None,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> FeaturesBuilt:
    """Brings ``ml_features_1s`` up to date with the lake's quotes and trades, date by date.

    Memory: the seconds of one date; the sort of its events goes on on disk beyond what ``config`` allows.

    Args:
        lake: whose quotes and trades.
        sets: the feature sets, made of the interval ``second``.
        everything: every date, whether it changed or not.
        clock: renews the lease on the table.
        config: what DuckDB may take.
        progress: told each date.

    Raises:
        InputError: the lake has no quotes.
        LockedError: somebody else is building.
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    wanted = fingerprints(lake, sets)
    if not wanted:
        raise InputError("order books", "are not in this lake", _NOTHING)
    table = lake.table(TABLE)
    stale = [date for date, number in wanted.items() if everything or table.covered(_mark(date)) & _CRC != number]
    symbols = rows = 0
    for date in stale:
        if progress is not None:
            progress(date)
        revision = 1 + _revision(table, date)
        names, seconds, outputs = seconds_of(lake, date, config=config)
        made = pa.concat_tables(_rows(names, seconds, outputs, each, revision) for each in sets)
        made = made.sort_by([(name, "ascending") for name in table.spec.order]) if len(sets) > 1 else made
        covers = {_mark(date): (revision << 32) | wanted[date]}
        if made.num_rows or table.files(date):
            replace_date(lake, TABLE, date, made, clock=clock, covers=covers)
        else:
            table.append([], covers)
            table.sync()
        table.refresh()
        symbols, rows = max(symbols, len({symbol for symbol, _ in names})), rows + made.num_rows
    if not stale:
        return FeaturesBuilt(SECOND)
    made_of = rows // max(1, len(sets))
    return FeaturesBuilt(SECOND, stale[0], stale[-1], len(stale), symbols, made_of, rows, NEW)


def fingerprints(lake: Lake, sets: Iterable[FeatureSet]) -> dict[str, int]:
    """Of each date with quotes, oldest first, a number that changes with its quotes, its trades and the formulas."""
    counts: dict[str, dict[str, int]] = {}
    for name in SOURCES:
        table = lake.find(name)
        for file in table.files() if table is not None else ():
            of_date = counts.setdefault(file.date, dict.fromkeys(SOURCES, 0))
            of_date[name] += file.rows
    versions = sorted(each.version for each in sets)
    return {
        date: zlib.crc32(json.dumps([of_date, versions]).encode())
        for date, of_date in sorted(counts.items())
        if of_date["quotes"]
    }


def _revision(table: Table, date: str) -> int:
    return max((int(file.greatest.get("revision", 0)) for file in table.files(date, bounds=True)), default=0)


def _rows(names: list[tuple[str, str]], seconds: Ints, outputs: Floats, made: FeatureSet, revision: int) -> pa.Table:
    """Rows of the table of one set, in its order: series are numbered in order of symbol and scope."""
    schema = TABLES[TABLE].file_schema
    series, count = seconds[:, kernel.ROW_SERIES], len(seconds)
    both = seconds[:, kernel.ROW_BID] + seconds[:, kernel.ROW_ASK]
    columns = {
        "symbol": pa.array([symbol for symbol, _ in names], pa.string()).take(pa.array(series)),
        "scope": pa.array([scope for _, scope in names], pa.string()).take(pa.array(series)),
        "session_set": pa.array(["regular"] * count, pa.string()),
        "ts": pa.array(seconds[:, kernel.ROW_SECOND] * 1_000_000),
        "feature_set": pa.array([made.version] * count, pa.string()),
        "features": vectors(made.make(outputs, both / 200.0)),
        "mid": pa.array(both / 200.0, mask=both == 0),
        "quotes": pa.array(seconds[:, kernel.ROW_QUOTES]),
        "trades": pa.array(seconds[:, kernel.ROW_TRADES]),
        "revision": pa.array(np.full(count, revision, np.int64)),
    }
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _mark(date: str) -> str:
    return f"hosu:book:{date}"
