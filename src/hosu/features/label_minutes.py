"""Labels of minutes: decided at the bar's close, entered at the first trade after t + latency, left so at t + n.

Where the trades of a bar are not known, its open stands for its first trade. Decision, entry and exit lie in
the continuous trading of one day; nothing crosses an auction, a known interruption, or two whole minutes without a
trade (a volatility interruption lasts two minutes, and bars alone do not tell it from silence). P(t + n) is the close
of the last bar that has ended by then. What has not been left waits until the bars reach the end of its trading: an
outcome told at any instant of the day is that of its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hosu.features.adjust import previous_trade
from hosu.features.dated_rules import hours
from hosu.features.label_parts import Outcome, Reason, any_between, first_reason, locked
from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.label_parts import Beside, Decisions, Interruption, Trades
    from hosu.features.panel import BarPanel, Flags, Ints

SILENCE_US = 3 * MINUTE_US
"""From one trade to the next, by bars: two whole minutes without one lie between."""
_DAY_US = 1440 * MINUTE_US


class _Fills(NamedTuple):
    """(n,) rows, times and prices of the first trade from a time on; row -1 and price 0 without one."""

    row: Ints
    ts: Ints
    price: Ints


def outcomes(made: Decisions, latency_us: int) -> Outcome:
    """What became of each minute's row.

    Args:
        made: (n,) decisions behind minute bars; the horizon counts minutes.
        latency_us: from a decision to the earliest trade, microseconds.
    """
    panel, beside, rules, known, horizon, scope = made
    n = len(panel)
    days, place = np.unique(panel.date, return_inverse=True)
    at = hours(days.tolist(), scope)
    begin, end = at.open[place], at.end[place]
    t = panel.ts + MINUTE_US
    until = t + horizon * MINUTE_US
    enter = _first_trades(panel, beside, t, latency_us)
    leave = _first_trades(panel, beside, until, latency_us)
    entered, left = (_same_day(panel, fills.row) & (fills.ts < end) for fills in (enter, leave))
    there = np.flatnonzero(entered & left)
    e, x = enter.row[there], leave.row[there]
    ret_px, ret_ex = np.full((2, n), np.nan)
    masked, silent, up = np.zeros((3, n), np.bool_)
    last = _last_row_before(panel, until)[there]
    ret_px[there] = panel.close[last] / panel.close[there] - 1.0
    ret_ex[there] = leave.price[there] / enter.price[there] - 1.0
    masked[there] = any_between(panel.masked, there, x)
    silent[there] = any_between(_after_silence(panel), there, x)
    up[there] = locked(panel, beside, rules, e, enter.price[there])
    t0, t1 = np.where(entered, enter.ts, 0), np.where(left, leave.ts, 0)
    certified = beside.certified if beside.certified is not None else np.ones(n, np.bool_)
    reason = first_reason(
        {
            Reason.OUT_OF_SESSION: (panel.ts < begin) | (t > end) | (until + latency_us >= end),
            Reason.WARM_UP: np.isnan(known.volatility),
            # Others may have bars behind the horizon: a later trade of this symbol still decides which reason it has.
            Reason.NOT_MATURED: ~left & (panel.ts.max(initial=0) < end),
            Reason.NO_ENTRY_BAR: ~entered,
            Reason.NO_EXIT_BAR: ~left,
            Reason.HALTED: (panel.volume <= 0) | _interrupted(panel, beside.interruptions, t, t1),
            Reason.BEYOND_LIMIT: masked,
            Reason.SILENT: silent,
            Reason.LOCKED: up,
            Reason.UNCERTIFIED: ~certified,
        },
        n,
    )
    rows_in = np.where(entered & left, np.maximum(leave.row - 1, enter.row), -1)
    return Outcome(t, t0, t1, enter.row, leave.row, rows_in, panel.date, ret_px, ret_ex, reason)


def _minutes(panel: BarPanel, times: Ints) -> tuple[Ints, Ints]:
    """Keys of the panel's rows that ascend over all symbols, and such keys of ``times`` of the same rows."""
    first = int(panel.ts.min()) if len(panel) else 0
    last = max(int(panel.ts.max(initial=0)), int(times.max(initial=0)))
    width = (last - first) // MINUTE_US + 2
    symbol = panel.symbol * width
    return symbol + (panel.ts - first) // MINUTE_US, symbol + -(-(times - first) // MINUTE_US)


def _first_trades(panel: BarPanel, beside: Beside, since: Ints, latency_us: int) -> _Fills:
    """The first trade of each row's symbol at or after ``since`` + latency; of bars whose trades are not known the
    open of the first from ``since`` on, if that is earlier."""
    untold = panel.volume > 0
    if beside.trades is None:
        return _bars_at(panel, untold, since, latency_us)
    told = _trades_at(panel, beside.trades, since + latency_us)
    if beside.traded is None:
        return told
    bars = _bars_at(panel, untold & ~beside.traded, since, latency_us)
    sooner = (bars.row >= 0) & ((told.row < 0) | (bars.ts < told.ts))
    return _Fills(*(np.where(sooner, mine, other) for mine, other in zip(bars, told, strict=True)))


def _bars_at(panel: BarPanel, usable: Flags, since: Ints, latency_us: int) -> _Fills:
    n = len(panel)
    coming = np.where(usable, np.arange(n), n)
    coming = np.append(np.minimum.accumulate(coming[::-1])[::-1], n)
    keys, wanted = _minutes(panel, since)
    found = coming[np.searchsorted(keys, wanted)]
    mine = found < np.repeat(panel.starts[1:], np.diff(panel.starts))
    row = np.where(mine, found, -1)
    ts = np.where(mine, np.maximum(panel.ts[row], since + latency_us), 0)
    return _Fills(row, ts, np.where(mine, panel.open[row], 0))


def _trades_at(panel: BarPanel, trades: Trades, since: Ints) -> _Fills:
    row, ts, price = np.full(len(panel), -1), np.zeros(len(panel), np.int64), np.zeros(len(panel), np.int64)
    for symbol in range(len(panel.symbols)):
        mine = slice(panel.starts[symbol], panel.starts[symbol + 1])
        own = slice(trades.starts[symbol], trades.starts[symbol + 1])
        when, paid, begins = trades.ts[own], trades.price[own], panel.ts[mine]
        at = np.searchsorted(when, since[mine])
        there = at < len(when)
        at = at[there]
        bar = np.searchsorted(begins, when[at], side="right") - 1
        row[mine][there], ts[mine][there], price[mine][there] = bar + mine.start, when[at], paid[at]
    return _Fills(row, ts, price)


def _same_day(panel: BarPanel, rows: Ints) -> Flags:
    same: Flags = (rows >= 0) & (panel.date[rows] == panel.date)
    return same


def _last_row_before(panel: BarPanel, until: Ints) -> Ints:
    """(n,) the symbol's last bar that has ended by ``until``, the row itself if none came after it."""
    keys, wanted = _minutes(panel, until)
    return np.searchsorted(keys, wanted) - 1


def _after_silence(panel: BarPanel) -> Flags:
    """(n,) whether two whole minutes or more without a trade lie between a trading bar and the one before it."""
    before = previous_trade(panel.starts, panel.volume)
    late: Flags = (panel.volume > 0) & (before >= 0) & (panel.ts - panel.ts[before] >= SILENCE_US)
    return late


def _interrupted(panel: BarPanel, known: Sequence[Interruption], t: Ints, t1: Ints) -> Flags:
    """(n,) whether a known interruption of the row's symbol overlaps [t, t1]."""
    found = np.zeros(len(t), np.bool_)
    for one in known:
        begin, end = panel.starts[one.symbol : one.symbol + 2]
        # No label is longer than its day: of the rows in question most need not be looked at.
        first, behind = begin + np.searchsorted(t[begin:end], (one.start_us - _DAY_US, one.end_us))
        found[first:behind] |= t1[first:behind] >= one.start_us
    return found
