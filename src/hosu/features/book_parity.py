"""Seconds of order books as served, replayed from the log, and in batch over the lake's rows: the same bits.

Batch takes the records from the day's begin up to the last one that closed anything: what came late, behind the close
of the day, is in no second that was served. A symbol's last second that nothing has closed yet is in batch alone, and
told as ``repaired``. Everything else must agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import InputError
from hosu.features import book_kernel as kernel
from hosu.features.book_build import seconds_of
from hosu.features.book_events import LogPart
from hosu.features.book_sink import BookSink
from hosu.features.parity import Mismatch, ParityReport, same_bits
from hosu.features.reading import rows_of_date
from hosu.features.replayed import first_behind, logs_of
from hosu.features.served import SCOPE
from hosu.features.served_seconds import TABLE, rows_of
from hosu.lake.frames import Frames
from hosu.market.features import BOOK_FEATURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from hosu.features.served_seconds import ClosedSeconds
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

_BAR: Final = ("open", "high", "low", "close", "volume", "mid", "quotes", "trades")
_NAMES: Final = (*_BAR, *BOOK_FEATURES)
_NAMED: Final = 20
_NULL: Final = np.float64("nan")


@dataclass(frozen=True, slots=True)
class _Seconds:
    """(n,) symbols and instants, in order of both; (n,) the records that closed them, 0 where none did; (n, names)
    values, NaN is null."""

    symbol: npt.NDArray[np.str_]
    ts: Ints
    lsn: Ints
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, rows: pa.Table) -> _Seconds:
        """These rows of ``features_served_1s``."""
        symbol = np.array(rows.column("symbol").to_pylist(), np.str_)
        ts = np.array(rows.column("ts").combine_chunks().cast(pa.int64()), np.int64)
        order = np.lexsort((ts, symbol))
        columns = [pc.cast(rows.column(name), pa.float64()).fill_null(_NULL).to_numpy() for name in _NAMES]
        lsn = np.array(rows.column("lsn").to_numpy(), np.int64)
        return cls(symbol[order], ts[order], lsn[order], np.column_stack(columns)[order])

    def keys(self) -> npt.NDArray[np.str_]:
        return np.char.add(np.char.add(self.symbol, ":"), self.ts.astype(np.str_)) if len(self.ts) else self.symbol

    def lasts(self) -> Flags:
        """(n,) whether it is its symbol's last."""
        return np.append(self.symbol[1:] != self.symbol[:-1], [True])[: len(self.ts)]


def parity(lake: Lake, date: str, *, config: SqlConfig | None = None) -> ParityReport:
    """Compares the seconds served of a date, log by log, with their replay and with batch over the same records.

    Raises:
        InputError: a day began several times in one log.
        LogGapError: records are missing in the archive.
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    report = ParityReport(date, tuple(logs_of(lake, date, TABLE)), features=_NAMES)
    seen: set[str] = set()
    for wal_id in report.logs:
        was, began = _served(lake, date, wal_id)
        seen.update(was.symbol.tolist())
        report.rows += len(was.ts)
        _compare(report, "replay", was, _again(lake, date, wal_id, began))
        part = LogPart(wal_id, int(began.partition("@")[2] or -1), int(was.lsn.max()))
        _compare(report, "batch", was, _in_batch(lake, date, part, config))
    report.symbols = len(seen)
    return report


def _served(lake: Lake, date: str, wal_id: str) -> tuple[_Seconds, str]:
    table = lake.find(TABLE)
    assert table is not None
    found = rows_of_date(table, date, pc.field("wal_id") == wal_id)
    began = sorted(set(found.column("began").to_pylist()))
    if len(began) != 1:
        what = f"seconds of {date} from log {wal_id}"
        raise InputError(what, f"began several times: {', '.join(began)}", "build them with batch instead")
    return _Seconds.of(found), began[0]


class _Nowhere:
    """Implements ``kept_sink.ServedRows``; keeps what is made of one date."""

    def __init__(self, date: str) -> None:
        self._date = date
        self.made: list[ClosedSeconds] = []

    def covered(self, wal_id: str) -> int:
        del wal_id
        return -1

    def add(self, made: Sequence[ClosedSeconds], wal_id: str, lsn: int) -> int:
        del wal_id, lsn
        self.made.extend(each for each in made if each.date == self._date)
        return 0

    def sync(self) -> None:
        pass


def _again(lake: Lake, date: str, wal_id: str, began: str) -> _Seconds:
    """The archived log through a new sink that writes nowhere."""
    frames, nowhere = Frames(lake, check=False), _Nowhere(date)
    after = first_behind(frames.segments(wal_id), began, date)
    sink = BookSink(nowhere, floors={wal_id: after})
    for batch in frames.numbered(wal_id, after):
        sink.write(batch)
        if sink.date > date:
            break
    sink.close()
    return _Seconds.of(rows_of(nowhere.made))


def _in_batch(lake: Lake, date: str, part: LogPart, config: SqlConfig | None) -> _Seconds:
    names, rows, outputs = seconds_of(lake, date, log=part, config=config)
    mine = np.array([scope == SCOPE for _, scope in names], np.bool_)[rows[:, kernel.ROW_SERIES]]
    rows, outputs = rows[mine], outputs[mine]
    both, silent = rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK], rows[:, kernel.ROW_VOLUME] == 0
    prices = rows[:, [kernel.ROW_OPEN, kernel.ROW_HIGH, kernel.ROW_LOW, kernel.ROW_CLOSE]] / 100.0
    prices[silent] = _NULL
    bar = [rows[:, kernel.ROW_VOLUME], np.where(both == 0, _NULL, both / 200.0)]
    counts = [rows[:, kernel.ROW_QUOTES], rows[:, kernel.ROW_TRADES]]
    symbol = np.array([symbol for symbol, _ in names], np.str_)[rows[:, kernel.ROW_SERIES]]
    nothing = np.zeros(len(rows), np.int64)
    values = np.column_stack([prices, *bar, *counts, outputs])
    return _Seconds(symbol, rows[:, kernel.ROW_SECOND] * 1_000_000, nothing, values)


def _compare(report: ParityReport, against: str, was: _Seconds, other: _Seconds) -> None:
    one, two = was.keys(), other.keys()
    _, at, there = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    differing = {
        name: ~same for name, same in zip(_NAMES, same_bits(was.values[at], other.values[there]).T, strict=True)
    }
    if against == "replay":
        differing["lsn"] = was.lsn[at] != other.lsn[there]
    wrong, lone = np.logical_or.reduce(list(differing.values())), ~np.isin(two, one)
    if against == "batch":
        still_open = lone & other.lasts()
        report.repaired += int(still_open.sum())
        lone &= ~still_open
    sides = (was, np.flatnonzero(~np.isin(one, two)), (1.0, _NULL)), (other, np.flatnonzero(lone), (_NULL, 1.0))
    found = [
        Mismatch(against, str(side.symbol[row]), int(side.ts[row]), "bar", *pair)
        for side, rows, pair in sides
        for row in rows[:_NAMED].tolist()
    ]
    for pair in np.flatnonzero(wrong)[:_NAMED].tolist():
        names = [name for name, flags in differing.items() if flags[pair]]
        found += [_told(against, name, (was, int(at[pair])), (other, int(there[pair]))) for name in names]
    report.add(against, sum(len(rows) for _, rows, _ in sides) + int(wrong.sum()), found)


def _told(against: str, name: str, was: tuple[_Seconds, int], other: tuple[_Seconds, int]) -> Mismatch:
    values = (
        float(side.lsn[row] if name == "lsn" else side.values[row, _NAMES.index(name)]) for side, row in (was, other)
    )
    return Mismatch(against, str(was[0].symbol[was[1]]), int(was[0].ts[was[1]]), name, *values)
