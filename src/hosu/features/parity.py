"""Three ways to the same numbers: as served, replayed from the log, and in batch over the bars of the lake.

Between served and replayed every bit must agree. Batch may know better: trades that came late or were repaired are in
its bars. Where a bar differs, it and what follows of that symbol is ``repaired``; everything else must agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.features import kernel
from hosu.features.batch import States, indicators
from hosu.features.grid import fill
from hosu.features.minutes import minute_panel
from hosu.features.replayed import Rows, logs_of, served, served_again
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from hosu.lake.lake import Lake

    Flags = npt.NDArray[np.bool_]

_NAMED: Final = 20
_NAMES: Final = ("close", "volume", *INDICATORS)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that differs. ``against`` is ``replay`` or ``batch``; ``ts`` the start of the minute, UTC microseconds.

    ``feature`` is ``bar`` where only one side has that bar; then its close is given for the side that has it, NaN for
    the other. Closes are in won.
    """

    against: str
    symbol: str
    ts: int
    feature: str
    served: float
    other: float


@dataclass(slots=True)
class ParityReport:
    """What a comparison found.

    Attributes:
        date: the day.
        logs: whose rows were compared.
        rows: served rows compared, each with the replay and with batch.
        symbols: how many symbols they are of.
        features: names of what was compared in each row.
        mismatched: rows that differ without a reason, by what they were compared with.
        mismatches: the first few.
        repaired: served rows that differ from batch since a bar at or before them does.
        repairs: the first few bars that do.
    """

    date: str
    logs: tuple[str, ...] = ()
    rows: int = 0
    symbols: int = 0
    features: tuple[str, ...] = _NAMES
    mismatched: dict[str, int] = field(default_factory=lambda: {"replay": 0, "batch": 0})
    mismatches: list[Mismatch] = field(default_factory=list)
    repaired: int = 0
    repairs: list[Mismatch] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing differs without a reason."""
        return not any(self.mismatched.values())


def parity(lake: Lake, date: str) -> ParityReport:
    """Compares what was served of a date, log by log, with its replay and with batch over ``processed_ohlcv_1m``; both
    begin with what the day began with. NaN equals NaN, everything else by bits.

    Raises:
        InputError: a day's beginning is not in the lake any more.
        LogGapError: records are missing in the archive.
        NoSessionError, CalendarRangeError: the calendar knows no session of that day.
    """
    report = ParityReport(date, tuple(logs_of(lake, date)))
    seen: set[str] = set()
    for wal_id in report.logs:
        was = served(lake, date, wal_id)
        again = served_again(lake, date, wal_id)
        seen.update(was.symbol.tolist())
        report.rows += len(was)
        compare(report, "replay", was, again.rows)
        compare(report, "batch", was, in_batch(lake, date, again.states, sorted(set(was.symbol.tolist()))))
    report.symbols = len(seen)
    return report


def in_batch(lake: Lake, date: str, states: States, symbols: Sequence[str]) -> Rows:
    """What batch makes of the bars of a date in the lake, empty minutes filled, gone on from ``states``."""
    begun = states.of(tuple(sorted(symbols)))
    closes = kernel.last_closes(begun.ints)
    carried = {symbol: int(close) for symbol, close in zip(begun.symbols, closes, strict=True) if close > 0}
    panel = fill(minute_panel(lake, date, symbols), carried, date)
    outputs = indicators(panel, begun.of(panel.symbols))
    return Rows(np.array(panel.symbols, np.str_)[panel.symbol], panel.ts, panel.close, panel.volume, outputs)


def compare(report: ParityReport, against: str, was: Rows, other: Rows) -> None:
    """Adds to a report where ``was`` and ``other`` differ; against ``batch`` only what no bar explains counts."""
    one, two = _keys(was), _keys(other)
    _, at, there = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    bars = (was.close[at] != other.close[there]) | (was.volume[at] != other.volume[there])
    values = ~_same(was.outputs[at], other.outputs[there])
    lone = [(was, row, True) for row in np.flatnonzero(~np.isin(one, two)).tolist()]
    lone += [(other, row, False) for row in np.flatnonzero(~np.isin(two, one)).tolist()]
    odd = [Mismatch(against, *_bar(rows, row, mine)) for rows, row, mine in lone]
    for row in np.flatnonzero(bars).tolist():
        odd.extend(_differing_bar(against, was, int(at[row]), other, int(there[row])))
    first = _first_odd(odd)
    wrong = bars | values.any(axis=1)
    explained = np.zeros(len(at), np.bool_)
    if against == "batch":
        limit = np.array([first.get(symbol, _NEVER) for symbol in was.symbol[at].tolist()], np.int64)
        explained = was.ts[at] >= limit
        report.repaired += int((wrong & explained).sum()) + len(lone)
        report.repairs.extend(odd[: _NAMED - len(report.repairs)])
        odd = []
    report.mismatched[against] += int((wrong & ~explained).sum()) + (0 if against == "batch" else len(lone))
    for row in np.flatnonzero(values.any(axis=1) & ~explained).tolist():
        for column in np.flatnonzero(values[row]).tolist():
            pair = float(was.outputs[at[row], column]), float(other.outputs[there[row], column])
            odd.append(Mismatch(against, str(was.symbol[at[row]]), int(was.ts[at[row]]), INDICATORS[column], *pair))
    report.mismatches.extend(odd[: max(0, _NAMED - len(report.mismatches))])


_NEVER: Final = 1 << 62


def _keys(rows: Rows) -> npt.NDArray[np.str_]:
    return np.char.add(np.char.add(rows.symbol, ":"), rows.ts.astype(np.str_)) if len(rows) else np.zeros(0, np.str_)


def _same(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> Flags:
    bits = np.ascontiguousarray(one).view(np.int64) == np.ascontiguousarray(two).view(np.int64)
    same: Flags = bits | (np.isnan(one) & np.isnan(two))
    return same


def _bar(rows: Rows, row: int, mine: bool) -> tuple[str, int, str, float, float]:
    close, nothing = float(rows.close[row]) / 100.0, float("nan")
    pair = (close, nothing) if mine else (nothing, close)
    return str(rows.symbol[row]), int(rows.ts[row]), "bar", *pair


def _differing_bar(against: str, was: Rows, at: int, other: Rows, there: int) -> list[Mismatch]:
    place = str(was.symbol[at]), int(was.ts[at])
    found = []
    if was.close[at] != other.close[there]:
        found.append(Mismatch(against, *place, "close", was.close[at] / 100.0, other.close[there] / 100.0))
    if was.volume[at] != other.volume[there]:
        found.append(Mismatch(against, *place, "volume", float(was.volume[at]), float(other.volume[there])))
    return found


def _first_odd(odd: list[Mismatch]) -> dict[str, int]:
    first: dict[str, int] = {}
    for each in odd:
        first[each.symbol] = min(each.ts, first.get(each.symbol, _NEVER))
    return first
