"""Three ways to the same numbers: as served, replayed from the log, and in batch over the bars of the lake.

Between served and replayed every bit must agree. Batch may know better: trades that came late or were repaired are in
its bars. Where a bar differs although what was served is what the log had told by then, it and what follows of that
symbol is ``repaired``; so is what follows a corporate action that nobody knew of when the day began. Everything else
must agree, the factors of the day too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.features import kernel
from hosu.features.bars_of_lake import panel
from hosu.features.batch import States, indicators
from hosu.features.grid import fill
from hosu.features.late_actions import apart
from hosu.features.openings import last_trades
from hosu.features.panel import select
from hosu.features.received import Received
from hosu.features.replayed import Rows, logs_of, served, served_again
from hosu.features.store import LakeFeatureStore
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from hosu.features.bars_of_lake import LakePanel
    from hosu.features.late_actions import Apart, LateAction
    from hosu.features.panel import BarPanel
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]
    Explains = Callable[[str, int, tuple[int, int] | None], bool]

_NAMED: Final = 20
_NAMES: Final = ("close", "volume", *INDICATORS)
_NEVER: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A value that differs. ``against`` is ``replay`` or ``batch``; ``ts`` the start of the minute, UTC microseconds.

    ``feature`` is ``bar`` where only one side has that bar; then its close is given for the side that has it, NaN for
    the other. It is ``lsn`` where another record closed the bar, and ``factor`` where the state was rescaled otherwise
    than what was known when the day began tells (NaN: begun anew). Closes are in won.
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
        mismatches: the first few of their values.
        repaired: rows that differ from batch since a bar at or before them does, with a reason.
        repairs: the first few bars that do.
        actions: corporate actions that batch knows otherwise; what follows them of their symbols is ``repaired``.
        fault: why the day cannot be compared, told by whoever went on without it; None where it was.
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
    actions: list[LateAction] = field(default_factory=list)
    fault: str | None = None

    @property
    def passed(self) -> bool:
        """Whether it was compared and nothing differs without a reason."""
        return self.fault is None and not any(self.mismatched.values())

    def add(self, against: str, rows: int, found: Sequence[Mismatch]) -> None:
        """Takes ``rows`` that differ without a reason."""
        self.mismatched[against] += rows
        self.mismatches.extend(found[: max(0, _NAMED - len(self.mismatches))])


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
    now = LakeFeatureStore(lake).known(date) if report.logs else None
    for wal_id in report.logs:
        was, again = served(lake, date, wal_id), served_again(lake, date, wal_id)
        symbols = sorted(set(was.symbol.tolist()))
        seen.update(symbols)
        report.rows += len(was)
        _compare_with_replay(report, was, again.rows)
        begun = again.states.of(tuple(symbols))
        batch, found, loaded = in_batch(lake, date, begun)
        carried = set(_carried(begun))
        actions = apart(found, again, loaded, now)
        report.actions.extend(actions.late)

        def received(
            odd: Sequence[str], wal_id: str = wal_id, was: Rows = was, carried: set[str] = carried
        ) -> Received:
            return Received(lake, date, wal_id, was, carried, odd)

        _compare_with_batch(report, was, batch, received, actions)
    report.symbols = len(seen)
    return report


def in_batch(lake: Lake, date: str, begun: States) -> tuple[Rows, BarPanel, LakePanel]:
    """``(rows, bars, loaded)``: what batch makes of the bars of that date as the lake has them now, from these states
    on; the bars, with what the lake knows now of corporate actions; and those of them that are in the lake."""
    loaded = panel(lake, "minute", begun.symbols, start=date, end=date, last=last_trades(begun))
    bars = fill(select(loaded.bars, ~loaded.adjusted), _carried(begun), date)
    outputs = indicators(bars, begun.of(bars.symbols))
    names = np.array(bars.symbols, np.str_)[bars.symbol]
    return Rows(names, bars.ts, np.zeros(len(bars), np.int64), bars.close, bars.volume, outputs), bars, loaded


def _carried(begun: States) -> dict[str, int]:
    closes = kernel.last_closes(begun.ints).tolist()
    return {symbol: close for symbol, close in zip(begun.symbols, closes, strict=True) if close > 0}


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Rows of two sides that are of the same bar, and those that only one side has."""

    was: Rows
    other: Rows
    at: Ints
    there: Ints
    only_was: list[int]
    only_other: list[int]

    @classmethod
    def of(cls, was: Rows, other: Rows) -> _Pairs:
        one, two = _keys(was), _keys(other)
        _, at, there = np.intersect1d(one, two, assume_unique=True, return_indices=True)
        lone = np.flatnonzero(~np.isin(one, two)).tolist(), np.flatnonzero(~np.isin(two, one)).tolist()
        order = np.argsort(at)
        return cls(was, other, at[order], there[order], *lone)

    def differing(self) -> dict[str, Flags]:
        """Which pairs differ, by name of the value."""
        was, other, at, there = self.was, self.other, self.at, self.there
        found = {"close": was.close[at] != other.close[there], "volume": was.volume[at] != other.volume[there]}
        values = ~same_bits(was.outputs[at], other.outputs[there])
        return found | {name: values[:, column] for column, name in enumerate(INDICATORS)}

    def told(self, against: str, pair: int, name: str) -> Mismatch:
        """The values of a pair that differ."""
        rows = (self.was, int(self.at[pair])), (self.other, int(self.there[pair]))
        symbol, ts = str(self.was.symbol[self.at[pair]]), int(self.was.ts[self.at[pair]])
        return Mismatch(against, symbol, ts, name, *(_value(side, row, name) for side, row in rows))

    def lone(self, against: str) -> list[Mismatch]:
        """The bars that only one side has."""
        nothing = float("nan")
        mine = [(self.was, row, (_value(self.was, row, "close"), nothing)) for row in self.only_was]
        theirs = [(self.other, row, (nothing, _value(self.other, row, "close"))) for row in self.only_other]
        return [
            Mismatch(against, str(s.symbol[row]), int(s.ts[row]), "bar", *pair) for s, row, pair in (*mine, *theirs)
        ]


def _compare_with_replay(report: ParityReport, was: Rows, again: Rows) -> None:
    pairs = _Pairs.of(was, again)
    differing = pairs.differing() | {"lsn": was.lsn[pairs.at] != again.lsn[pairs.there]}
    wrong = np.logical_or.reduce(list(differing.values()))
    lone = pairs.lone("replay")
    report.add("replay", int(wrong.sum()) + len(lone), [*lone, *_told(pairs, "replay", differing, wrong)])


def _compare_with_batch(
    report: ParityReport,
    was: Rows,
    batch: Rows,
    received: Callable[[Sequence[str]], Received],
    actions: Apart,
) -> None:
    pairs = _Pairs.of(was, batch)
    differing = pairs.differing()
    bars = np.flatnonzero(differing["close"] | differing["volume"]).tolist()
    odd = [*pairs.lone("batch"), *(pairs.told("batch", pair, _odd_name(differing, pair)) for pair in bars)]
    limits, unexplained = _judged(odd, was, received)
    for action in actions.late:
        limits[action.symbol] = min(action.ts, limits.get(action.symbol, _NEVER))
    places = {(each.symbol, each.ts) for each in unexplained}
    wrong = np.logical_or.reduce(list(differing.values()))
    keys = list(zip(was.symbol[pairs.at].tolist(), was.ts[pairs.at].tolist(), strict=True))
    after = np.array([ts >= limits.get(symbol, _NEVER) for symbol, ts in keys], np.bool_)
    factors = [each for each in actions.wrong if (each.symbol, each.ts) not in places]
    counted = places | {(each.symbol, each.ts) for each in factors}
    told = np.array([key in counted for key in keys], np.bool_)
    lone = len(pairs.only_was) + len(pairs.only_other) - sum(each.feature == "bar" for each in unexplained)
    report.repaired += int((wrong & after & ~told).sum()) + lone
    reasoned = [each for each in odd if (each.symbol, each.ts) not in places]
    report.repairs.extend(sorted(reasoned, key=lambda each: each.ts)[: max(0, _NAMED - len(report.repairs))])
    report.add("batch", len(unexplained), unexplained)
    report.add("batch", len(factors), [Mismatch("batch", x.symbol, x.ts, "factor", x.served, x.batch) for x in factors])
    rest = wrong & ~after & ~told
    report.add("batch", int(rest.sum()), _told(pairs, "batch", differing, rest))


def _judged(
    odd: Sequence[Mismatch], was: Rows, received: Callable[[Sequence[str]], Received]
) -> tuple[dict[str, int], list[Mismatch]]:
    """By symbol the first bar that differs with a reason, and the bars that differ without one."""
    if not odd:
        return {}, []
    there = received(sorted({each.symbol for each in odd}))
    bars = {
        (symbol, ts): (close, volume)
        for symbol, ts, close, volume in zip(
            was.symbol.tolist(), was.ts.tolist(), was.close.tolist(), was.volume.tolist(), strict=True
        )
    }
    limits: dict[str, int] = {}
    unexplained = []
    for each in odd:
        if there.explains(each.symbol, each.ts, bars.get((each.symbol, each.ts))):
            limits[each.symbol] = min(each.ts, limits.get(each.symbol, _NEVER))
        else:
            unexplained.append(each)
    return limits, unexplained


def _odd_name(differing: dict[str, Flags], pair: int) -> str:
    return "close" if differing["close"][pair] else "volume"


def _told(pairs: _Pairs, against: str, differing: dict[str, Flags], wrong: Flags) -> list[Mismatch]:
    """The first few values that differ in these pairs."""
    chosen = np.flatnonzero(wrong)[:_NAMED].tolist()
    return [pairs.told(against, pair, name) for pair in chosen for name, flags in differing.items() if flags[pair]]


def _keys(rows: Rows) -> npt.NDArray[np.str_]:
    return np.char.add(np.char.add(rows.symbol, ":"), rows.ts.astype(np.str_)) if len(rows) else np.zeros(0, np.str_)


def same_bits(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> Flags:
    """Where the values have the same bits; NaN is NaN, whatever its bits."""
    bits = np.ascontiguousarray(one).view(np.int64) == np.ascontiguousarray(two).view(np.int64)
    same: Flags = bits | (np.isnan(one) & np.isnan(two))
    return same


def _value(rows: Rows, row: int, name: str) -> float:
    if name == "close":
        return float(rows.close[row]) / 100.0
    if name in ("volume", "lsn"):
        return float(getattr(rows, name)[row])
    return float(rows.outputs[row, INDICATORS.index(name)])
