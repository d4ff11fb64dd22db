"""Tick sizes and price limits by date, market and type.

Prices are won. Half ticks, at which mid-point orders trade, are off this grid on purpose. Sources: the exchange's
notices of 2010-07 (1 won under 1,000), 2015-06 (limits of 30 %), 2023-01 (one grid for all markets), 2023-04 (first
day of a listing) and 2023-10 (ETF and ETN). The reckoning of the limits was checked on 3,269 days of 2023-12 to
2025-06 on which a stock touched its limit; on 27 of them the other reading (70 % cut to the grid) is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from fractions import Fraction
from math import ceil, floor
from typing import TYPE_CHECKING, Final

from hosu.errors import InputError
from hosu.market.dated import Basis, in_force
from hosu.market.instruments import Instrument, InstrumentType, Market

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class TickTable:
    """Prices below ``below[i]`` (and not below ``below[i - 1]``) move by ``ticks[i]``; above all, by ``ticks[-1]``."""

    valid_from: date
    below: tuple[int, ...]
    ticks: tuple[int, ...]  # one more than ``below``
    basis: Basis

    def tick(self, price: float) -> int:
        """The step at ``price``, won."""
        return next(
            (tick for bound, tick in zip(self.below, self.ticks, strict=False) if price < bound), self.ticks[-1]
        )


_SINCE_2010: Final = date(2010, 1, 1)
_ONE_WON: Final = date(2010, 10, 4)
_ONE_GRID: Final = TickTable(
    date(2023, 1, 25),
    (2_000, 5_000, 20_000, 50_000, 200_000, 500_000),
    (1, 5, 10, 50, 100, 500, 1_000),
    Basis.PROVED,
)
_KOSDAQ_TICKS: Final = (
    TickTable(_SINCE_2010, (5_000, 10_000, 50_000), (5, 10, 50, 100), Basis.ANNOUNCED),
    TickTable(_ONE_WON, (1_000, 5_000, 10_000, 50_000), (1, 5, 10, 50, 100), Basis.ANNOUNCED),
    _ONE_GRID,
)
TICKS: Final[dict[Market, tuple[TickTable, ...]]] = {
    Market.KOSPI: (
        TickTable(
            _SINCE_2010, (5_000, 10_000, 50_000, 100_000, 500_000), (5, 10, 50, 100, 500, 1_000), Basis.ANNOUNCED
        ),
        TickTable(
            _ONE_WON,
            (1_000, 5_000, 10_000, 50_000, 100_000, 500_000),
            (1, 5, 10, 50, 100, 500, 1_000),
            Basis.PROVED,
        ),
        _ONE_GRID,
    ),
    Market.KOSDAQ: _KOSDAQ_TICKS,
    Market.KONEX: _KOSDAQ_TICKS,  # opened 2013-07-01 with KOSDAQ's grid
}
FUND_TICKS: Final = (
    TickTable(_SINCE_2010, (), (5,), Basis.ANNOUNCED),
    TickTable(date(2023, 12, 18), (2_000,), (1, 5), Basis.ANNOUNCED),
)
"""Ticks of ETF and ETN. One announcement has 12-08 for the second date; 12-18 was a Monday, as such days are."""

ELW_TICKS: Final = (
    TickTable(_SINCE_2010, (), (5,), Basis.ASSUMED),  # before 2010-10-04 as stocks; not kept apart here
)

_FUNDS: Final = frozenset({InstrumentType.ETF, InstrumentType.FOREIGN_ETF, InstrumentType.ETN})


def tick_table(day: date, market: Market = Market.KOSPI, kind: InstrumentType = InstrumentType.STOCK) -> TickTable:
    """The grid in force; its two tuples are what a kernel needs.

    Raises:
        CalendarRangeError: ``day`` lies before 2010.
    """
    if kind in _FUNDS:
        return in_force(FUND_TICKS, day)
    return in_force(ELW_TICKS if kind == InstrumentType.ELW else TICKS[market], day)


def tick_size(
    price: float,
    day: date,
    market: Market = Market.KOSPI,
    kind: InstrumentType = InstrumentType.STOCK,
) -> int:
    """By how many won a price at ``price`` moves on ``day``.

    Raises:
        InputError: the price is not positive.
        CalendarRangeError: ``day`` lies before 2010.
    """
    _check_price(price)
    return tick_table(day, market, kind).tick(price)


class Rounding(Enum):
    """Which neighbour on the grid is meant."""

    DOWN = "down"
    UP = "up"
    NEAREST = "nearest"  # a price half-way goes up


def round_to_tick(
    price: float,
    day: date,
    market: Market = Market.KOSPI,
    kind: InstrumentType = InstrumentType.STOCK,
    rounding: Rounding = Rounding.NEAREST,
) -> int:
    """The price on the grid of that day, won; at least one tick.

    Raises:
        InputError: the price is not positive.
        CalendarRangeError: ``day`` lies before 2010.
    """
    _check_price(price)
    return _rounded(Fraction(price), tick_table(day, market, kind), rounding)


def _rounded(price: Fraction, table: TickTable, rounding: Rounding) -> int:
    tick = table.tick(float(price))
    # Bounds of a grid are multiples of the ticks on both sides, so rounding up over one lands on it.
    return max(_STEPS[rounding](price / tick), 1) * tick


_STEPS: Final[dict[Rounding, Callable[[Fraction], int]]] = {
    Rounding.DOWN: floor,
    Rounding.UP: ceil,
    Rounding.NEAREST: lambda steps: floor(steps + Fraction(1, 2)),
}


def _check_price(price: float) -> None:
    if not 0 < price < float("inf"):
        raise InputError(f"price {price}", "is not positive", "give won, more than 0")


# --- limits -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LimitRule:
    """How far a price may go from its base, as a share of it."""

    valid_from: date
    ratio: Fraction
    basis: Basis


LIMITS: Final = (
    LimitRule(_SINCE_2010, Fraction(15, 100), Basis.ANNOUNCED),
    LimitRule(date(2015, 6, 15), Fraction(30, 100), Basis.PROVED),
)
KONEX_LIMITS: Final = (LimitRule(_SINCE_2010, Fraction(15, 100), Basis.ANNOUNCED),)

FIRST_DAY_FROM: Final = date(2023, 6, 26)
"""From here on a KOSPI or KOSDAQ stock trades from 60 % to 400 % of its offer price on its first day. Before, the
first day's base was the result of its opening auction, and the limits were the ordinary ones."""

_UNLIMITED: Final = frozenset({InstrumentType.ELW, InstrumentType.WARRANT, InstrumentType.SUBSCRIPTION_RIGHT})


@dataclass(frozen=True, slots=True)
class PriceLimits:
    """The lowest and the highest price of a day (하한가, 상한가), won, both allowed."""

    lower: int
    upper: int


def price_limits(
    base_price: int,
    day: date,
    market: Market = Market.KOSPI,
    kind: InstrumentType = InstrumentType.STOCK,
    *,
    leverage: Fraction | int = 1,
    first_day: bool = False,
) -> PriceLimits:
    """The day's limits. The distance from the base is cut to the tick at the base, the results to the grid.

    ``leverage`` is that of a leveraged fund (2: ±60 %). ``first_day``: the first day of a listing, the base being
    the offer price; it only matters from 2023-06-26 on, and not for KONEX and funds.
    An example: on 2022-05-10 (ticks of 500 from 100,000), 30 % of 128,500 is 38,550, cut to 38,500; the limits are
    90,000 and 167,000.

    Raises:
        InputError: the price is not positive.
        CalendarRangeError: ``day`` lies before 2010.
    """
    _check_price(base_price)
    table = tick_table(day, market, kind)
    if first_day and market != Market.KONEX and kind not in _FUNDS and day >= FIRST_DAY_FROM:
        lower, upper = base_price * Fraction(60, 100), Fraction(base_price * 4)
    else:
        distance = _distance(base_price, in_force(_limit_rules(market), day).ratio * leverage, table)
        lower, upper = base_price - distance, base_price + distance
    lowest = _rounded(lower, table, Rounding.UP) if lower > 0 else table.ticks[0]
    return PriceLimits(lowest, _rounded(upper, table, Rounding.DOWN))


def _distance(base_price: int, ratio: Fraction, table: TickTable) -> Fraction:
    tick = table.tick(base_price)
    return Fraction(max(floor(base_price * ratio / tick), 1) * tick)  # at least one tick, or nothing could move


def _limit_rules(market: Market) -> tuple[LimitRule, ...]:
    return KONEX_LIMITS if market == Market.KONEX else LIMITS


def limit_ratio(
    day: date, market: Market = Market.KOSPI, kind: InstrumentType = InstrumentType.STOCK
) -> Fraction | None:
    """How far a price may go from its base on ``day``, as a share of it, unleveraged; None where nothing bounds it.

    Raises:
        CalendarRangeError: ``day`` lies before 2010.
    """
    return None if kind in _UNLIMITED else in_force(_limit_rules(market), day).ratio


def limits_of(instrument: Instrument, day: date) -> PriceLimits | None:
    """The limits of an instrument on ``day``, which the instrument must be as of; None where it has none (in
    liquidation trading, warrants), or no base price. Funds are taken as unleveraged: the master file does not say."""
    if instrument.liquidation or instrument.type in _UNLIMITED or instrument.base_price <= 0:
        return None
    first_day = instrument.listed == day
    return price_limits(instrument.base_price, day, instrument.market, instrument.type, first_day=first_day)
