"""Tick sizes, price limits and trading hours of many bars at once; the facts are those of ``market``.

Prices are int64 hundredths of a won, as in ``BarPanel``. What ``market.rules`` reckons in fractions is reckoned here
in whole numbers, so that both agree on every price (a test compares them).
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - `date` is a column's name everywhere here
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from hosu.errors import CalendarRangeError
from hosu.market.calendar import RANDOM_END_S, instant_us, previous_session, sessions_on
from hosu.market.day_plan import Phase, Scope
from hosu.market.instruments import InstrumentType, Market
from hosu.market.rules import limit_ratio, tick_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hosu.features.panel import Flags, Ints
    from hosu.market.rules import TickTable

WON: Final = 100
"""Hundredths in a won."""

UNBOUNDED: Final = np.int64(1) << 60


class Listing(NamedTuple):
    """What ticks and limits depend on beside the date."""

    market: Market = Market.KOSPI
    kind: InstrumentType = InstrumentType.STOCK


def told_listings(rows: Iterable[Mapping[str, Any]]) -> dict[str, Listing]:
    """Market and type by symbol of rows with ``symbol``, ``market`` and ``type``; those that name none, or one that is
    unknown here, are left out."""
    markets, kinds = set(Market), set(InstrumentType)
    return {
        row["symbol"]: Listing(Market(row["market"]), InstrumentType(row["type"]))
        for row in rows
        if row["market"] in markets and row["type"] in kinds
    }


ASSUMED: Final = Listing()
"""Of symbols whose market and type are unknown: since 2023-01-25 all markets have KOSPI's ticks."""


class Hours(NamedTuple):
    """Instants of days, UTC microseconds, (n,) each.

    ``open`` and ``end`` bound continuous trading: ``open <= t < end``. ``close`` is when the closing auction has
    ended at the latest.
    """

    open: Ints
    end: Ints
    close: Ints


def day_of(number: int) -> Date:
    """``yyyymmdd`` as a date."""
    return Date(number // 10_000, number // 100 % 100, number % 100)


def hours(dates: Sequence[int], scope: Scope = Scope.KRX) -> Hours:
    """The hours of these sessions (yyyymmdd).

    Raises:
        CalendarRangeError, NoSessionError: as ``market.calendar.sessions_on``.
    """
    rows = []
    for number in dates:
        day = day_of(number)
        plan = sessions_on(day, scope)
        regular = plan.span(Phase.REGULAR)
        assert regular is not None, "every plan has a regular phase"
        seconds = (regular.start_s, regular.end_s, plan.close_s + RANDOM_END_S)
        rows.append([instant_us(day, second) for second in seconds])
    moments = np.array(rows, np.int64).reshape(-1, 3)
    return Hours(moments[:, 0], moments[:, 1], moments[:, 2])


def previous_sessions(date: Ints) -> Ints:
    """(n,) the session before each day, yyyymmdd; 0 where the calendar does not reach back so far."""
    days, place = np.unique(date, return_inverse=True)
    return np.array([_before(number) for number in days.tolist()], np.int64)[place]


def _before(number: int) -> int:
    try:
        day = previous_session(day_of(number))
    except CalendarRangeError:
        return 0
    return day.year * 10_000 + day.month * 100 + day.day


class DatedRules:
    """The rules in force for each of ``n`` bars."""

    def __init__(self, date: Ints, listing: Ints, listings: Sequence[Listing]) -> None:
        """
        Args:
            date: (n,) yyyymmdd.
            listing: (n,) places in ``listings``.
            listings: markets and types.

        Raises:
            CalendarRangeError: a date before 2010.
        """
        days, place = np.unique(date, return_inverse=True)
        rules: dict[tuple[TickTable, int, int], int] = {}
        codes = np.empty((len(listings), len(days)), np.int64)
        for row, (market, kind) in enumerate(listings):
            for column, number in enumerate(days.tolist()):
                day = day_of(number)
                ratio = limit_ratio(day, market, kind)
                parts = (0, 1) if ratio is None else (ratio.numerator, ratio.denominator)
                codes[row, column] = rules.setdefault((tick_table(day, market, kind), *parts), len(rules))
        self._rules = list(rules)
        self._rule: Ints = codes[listing, place]

    def __len__(self) -> int:
        return len(self._rule)

    @classmethod
    def of(cls, date: Ints, symbol: Ints, symbols: Sequence[str], known: Mapping[str, Listing] | None) -> DatedRules:
        """The rules of these bars, with what is known of each symbol, else ``ASSUMED``."""
        each = [(known or {}).get(name, ASSUMED) for name in symbols]
        distinct = list(dict.fromkeys(each)) or [ASSUMED]
        place = np.array([distinct.index(listing) for listing in each], np.int64)
        return cls(date, place[symbol], distinct)

    def ticks(self, price: Ints, rows: Ints | None = None) -> Ints:
        """(m,) the tick, hundredths, at each price; the smallest where there is no price.

        Args:
            price: (m,) hundredths.
            rows: (m,) whose rules; all of them in their order if None.
        """
        rule = self._rule if rows is None else self._rule[rows]
        found = np.empty(len(price), np.int64)
        for code, (table, _, _) in enumerate(self._rules):
            mine = rule == code
            found[mine] = _ticks(table, price[mine])
        return found

    def limits(self, base: Ints, rows: Ints | None = None) -> tuple[Ints, Ints]:
        """(m,) lowest and highest price, hundredths, both allowed; nothing bounds what has no base (0) or no limits.

        Args:
            base: (m,) base price, hundredths.
            rows: (m,) whose rules; all of them in their order if None.
        """
        rule = self._rule if rows is None else self._rule[rows]
        lower, upper = np.zeros(len(base), np.int64), np.full(len(base), UNBOUNDED)
        for code, (table, over, under) in enumerate(self._rules):
            mine: Flags = (rule == code) & (base > 0)
            if over:
                lower[mine], upper[mine] = _limits(table, base[mine], over, under)
        return lower, upper


def _ticks(table: TickTable, price: Ints) -> Ints:
    bounds = np.array(table.below, np.int64) * WON
    steps = np.array(table.ticks, np.int64) * WON
    return steps[np.searchsorted(bounds, price, side="right")]


def _limits(table: TickTable, base: Ints, over: int, under: int) -> tuple[Ints, Ints]:
    tick = _ticks(table, base)
    distance = np.maximum(base * over // (under * tick), 1) * tick
    lower, upper = base - distance, base + distance
    step_low, step_up = _ticks(table, lower), _ticks(table, upper)
    lowest = np.where(lower > 0, np.maximum(-(-lower // step_low), 1) * step_low, table.ticks[0] * WON)
    return lowest, np.maximum(upper // step_up, 1) * step_up
