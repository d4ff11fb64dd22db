"""What daily and minute labels share: reasons, what is known at the decision, factors and masks between two bars."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.errors import InputError
from hosu.features.adjust import first_trade_of_day, previous_trade
from hosu.features.dated_rules import UNBOUNDED, DatedRules, Listing
from hosu.market.calendar import sessions_between
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from hosu.features.panel import BarPanel, Flags, Floats, Ints

    Reasons = npt.NDArray[np.uint8]

BAND_VOLATILITY: Final = 0.25
"""A move is small up to this share of the volatility over the horizon (or one tick, if that is more)."""

_BAND_SLACK: Final = 1.0 + 1e-9  # a move of exactly one tick is small, whatever its quotient is rounded to

LATENCY_US: Final = 2_000_000
"""From the end of a minute to the earliest trade that its decision could be: the minute closes a second later, for what
is still on its way, then it is answered, and the stamps of trades are whole seconds."""

VALUE_DAYS: Final = 5
"""The fewest days of which a median value is taken."""


class Reason(IntEnum):
    """Why a row has no label; of several the one that stands first in ``PRECEDENCE``."""

    LABELLED = 0
    WARM_UP = 1  # fewer than 20 returns are known at t: no band
    NOT_MATURED = 2  # the exit lies beyond the bars
    NO_ENTRY_BAR = 3  # the symbol has no bar where it would be entered
    NO_EXIT_BAR = 4
    HALTED = 5  # no trade at the decision, entry or exit, or an interruption is known in between
    LOCKED = 6  # entered at the upper limit: nobody sells
    BEYOND_LIMIT = 7  # a move in the interval is masked
    OUT_OF_SESSION = 8  # decision, entry or exit lies outside of continuous trading (minutes)
    SILENT = 9  # two whole minutes or more without a trade: cannot be told from an interruption (minutes)
    UNCERTIFIED = 10  # decision, entry or exit on a day that is not certified


PRECEDENCE: Final = (
    Reason.OUT_OF_SESSION,
    Reason.WARM_UP,
    Reason.NOT_MATURED,
    Reason.NO_ENTRY_BAR,
    Reason.NO_EXIT_BAR,
    Reason.HALTED,
    Reason.BEYOND_LIMIT,
    Reason.SILENT,
    Reason.LOCKED,
    Reason.UNCERTIFIED,
)


class Trades(NamedTuple):
    """Trades of a panel's symbols, in its order of symbols and then of time.

    ``starts`` (symbols + 1,) as in ``BarPanel``; ``ts`` (m,) UTC microseconds; ``price`` (m,) hundredths of a won.
    """

    starts: Ints
    ts: Ints
    price: Ints


class Interruption(NamedTuple):
    """A halt or a volatility interruption (VI): a symbol's place in the panel, from when to when, UTC microseconds."""

    symbol: int
    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class Beside:
    """What else is known of a panel's ``n`` bars; None: not known.

    Attributes:
        listings: market and type by symbol; others count as KOSPI's stocks.
        base: (n,) the day's base price, hundredths, 0 unknown; None: what the last close is worth.
        adjusted: (n,) whether prices were adjusted by whoever made them, so that they lie on no grid.
        doubtful: (n,) whether nobody knows if the move to the bar is an event: as if it were masked. None: no bar's.
        certified: (n,) whether the bar's day may be learned from; None: every day.
        half_spread: (n,) measured, as a share of the price; NaN and None: half a tick.
        trades: of the same symbols and days, of minutes all or those that can be a first one; None: of no bar.
        traded: (n,) which bars' trades are among ``trades``; of others the open stands for the first trade. None: of
            all if there are ``trades``.
        interruptions: known halts and VIs, of minutes.
    """

    listings: Mapping[str, Listing] | None = None
    base: Ints | None = None
    adjusted: Flags | None = None
    doubtful: Flags | None = None
    certified: Flags | None = None
    half_spread: Floats | None = None
    trades: Trades | None = None
    traded: Flags | None = None
    interruptions: Sequence[Interruption] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of each row: its label's interval and returns, before class and weight; (n,) each.

    ``entry`` and ``exit`` are rows of the panel, -1 without one.
    """

    t: Ints
    t0: Ints
    t1: Ints
    entry: Ints
    exit: Ints
    covered_to: Ints
    t1_date: Ints
    ret_px: Floats
    ret_ex: Floats
    reason: Reasons


class Decisions(NamedTuple):
    """All that labels are made from: ``n`` bars, what is known beside them, and at the decision behind each."""

    panel: BarPanel
    beside: Beside
    rules: DatedRules
    known: Facts
    horizon: int
    scope: Scope


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known at each row's decision, (n,): P(t) in won, return of the last bar, its deviation over 20, the
    band of small moves, half the spread, and the median value of 20 days; NaN unknown."""

    price: Floats
    ret_last: Floats
    volatility: Floats
    band: Floats
    half_spread: Floats
    value_20: Floats


def facts(panel: BarPanel, beside: Beside, rules: DatedRules, horizon: int, *, minutes: bool) -> Facts:
    """What is known at each row's decision, from it and the rows before it.

    Returns of minutes that lead over a night do not count, nor do masked ones.
    """
    from hosu.features import label_kernel as kernel

    n = len(panel)
    price = panel.close / 100.0
    returns, volatility = np.empty(n), np.empty(n)
    counts = ~panel.masked
    if minutes:
        counts = counts & np.concatenate(([True], panel.date[1:] == panel.date[:-1]))[:n]
    kernel.returns_and_volatility(panel.starts, panel.close, panel.factor, counts, returns, volatility)
    with np.errstate(divide="ignore", invalid="ignore"):
        tick = rules.ticks(panel.close) / panel.close
    band = np.maximum(tick, BAND_VOLATILITY * volatility * np.sqrt(horizon)) * _BAND_SLACK
    spread = 0.5 * tick
    if beside.half_spread is not None:
        spread = np.where(np.isnan(beside.half_spread), spread, beside.half_spread)
    return Facts(price, returns, volatility, band, spread, _value_20(panel, minutes=minutes))


def _value_20(panel: BarPanel, *, minutes: bool) -> Floats:
    from hosu.features import label_kernel as kernel

    value = np.where(np.isnan(panel.value), panel.volume * (panel.close / 100.0), panel.value)
    if not minutes:
        found = np.empty(len(panel))
        kernel.medians(panel.starts, value, VALUE_DAYS, found)
        return found
    symbol = panel.symbol
    begins = np.flatnonzero(np.concatenate(([True], (np.diff(panel.date) != 0) | (np.diff(symbol) != 0)))[: len(panel)])
    days = np.add.reduceat(value, begins) if len(begins) else np.empty(0)
    starts = np.searchsorted(symbol[begins], np.arange(len(panel.symbols) + 1)).astype(np.int64)
    until, known = np.empty(len(days)), np.full(len(days), np.nan)
    kernel.medians(starts, days, VALUE_DAYS, until)
    follows = np.flatnonzero(np.diff(symbol[begins]) == 0) + 1
    known[follows] = until[follows - 1]  # of a day only what is over counts
    return np.repeat(known, np.diff(np.concatenate((begins, [len(panel)]))))


def sessions_of(panel: BarPanel, scope: Scope = Scope.KRX) -> Ints:
    """Every session from the panel's first day to its last, yyyymmdd.

    Raises:
        InputError: a bar lies on a day without trading.
        CalendarRangeError: a bar lies outside of the known calendar.
    """
    if not len(panel):
        return np.empty(0, np.int64)
    from datetime import timedelta

    from hosu.features.dated_rules import day_of

    first, last = day_of(int(panel.date.min())), day_of(int(panel.date.max()))
    days = sessions_between(first, last + timedelta(1), scope)
    known = np.array([day.year * 10_000 + day.month * 100 + day.day for day in days], np.int64)
    odd = np.setdiff1d(panel.date, known)
    if len(odd):
        raise InputError(f"bars of {odd[0]}", "lie on a day without trading", "take them out of the table of bars")
    return known


def factor_between(panel: BarPanel, earlier: Ints, later: Ints) -> Floats:
    """(m,) what prices at the rows ``earlier`` are multiplied with to compare with those at ``later``."""
    events = np.flatnonzero(panel.factor != 1.0)
    first, last = (np.searchsorted(events, rows, side="right") for rows in (earlier, later))
    product = np.ones(len(earlier))
    for step in range(int((last - first).max(initial=0))):
        mine = first + step < last
        product[mine] *= panel.factor[events[first[mine] + step]]
    return product


def any_between(flags: Flags, earlier: Ints, later: Ints) -> Flags:
    """(m,) whether a flag is set at a row behind ``earlier``, up to and with ``later``."""
    count = np.concatenate(([0], np.cumsum(flags)))
    found: Flags = count[later + 1] > count[earlier + 1]
    return found


def locked(panel: BarPanel, beside: Beside, rules: DatedRules, rows: Ints, price: Ints) -> Flags:
    """(m,) whether ``price`` at these rows lies at the day's upper limit, where nobody sells; False without a base.

    Prices that others adjusted lie beside the grid: of these one tick from the limit is enough.
    """
    base = (beside.base if beside.base is not None else bases(panel))[rows]
    _, upper = rules.limits(base, rows)
    slack = rules.ticks(price, rows) * beside.adjusted[rows] if beside.adjusted is not None else 0
    found: Flags = (upper < UNBOUNDED) & (price >= upper - slack)
    return found


def bases(panel: BarPanel) -> Ints:
    """(n,) what the last close before a bar's day is worth on that day, hundredths; 0 unknown."""
    before = previous_trade(panel.starts, panel.volume)
    worth = np.where(before >= 0, np.rint(panel.close[before] * panel.factor), 0).astype(np.int64)
    first = first_trade_of_day(panel.starts, panel.date, panel.volume)
    return np.where(first >= 0, worth[first], 0)


def first_reason(found: Mapping[Reason, Flags], n: int) -> Reasons:
    """(n,) of the reasons that hold the one that comes first; 0 where none does."""
    reason = np.zeros(n, np.uint8)
    for name in reversed(PRECEDENCE):
        if name in found:
            reason[found[name]] = name
    return reason
