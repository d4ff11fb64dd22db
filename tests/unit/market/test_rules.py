"""Ticks and limits, written out by date."""

from datetime import date
from fractions import Fraction
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from hosu.errors import CalendarRangeError, InputError
from hosu.market.instruments import Instrument, InstrumentType, Market
from hosu.market.rules import PriceLimits, Rounding, limits_of, price_limits, round_to_tick, tick_size, tick_table

NOW = date(2025, 9, 15)
OLD = date(2022, 5, 10)


@pytest.mark.parametrize(
    ("price", "day", "market", "tick"),
    [
        (1_999, NOW, Market.KOSPI, 1),
        (2_000, NOW, Market.KOSPI, 5),
        (5_000, NOW, Market.KOSDAQ, 10),
        (20_000, NOW, Market.KOSPI, 50),
        (50_000, NOW, Market.KONEX, 100),
        (199_900, NOW, Market.KOSPI, 100),
        (200_000, NOW, Market.KOSPI, 500),
        (500_000, NOW, Market.KOSDAQ, 1_000),
        # until 2023-01-24
        (999, OLD, Market.KOSPI, 1),
        (1_000, OLD, Market.KOSPI, 5),
        (10_000, OLD, Market.KOSPI, 50),
        (99_900, OLD, Market.KOSPI, 100),
        (128_500, OLD, Market.KOSPI, 500),
        (128_500, date(2023, 1, 24), Market.KOSPI, 500),
        (128_500, date(2023, 1, 25), Market.KOSPI, 100),
        (600_000, OLD, Market.KOSPI, 1_000),
        (128_500, OLD, Market.KOSDAQ, 100),
        (600_000, OLD, Market.KONEX, 100),
        # until 2010-10-03 nothing moved by 1
        (500, date(2010, 10, 1), Market.KOSPI, 5),
        (500, date(2010, 10, 4), Market.KOSDAQ, 1),
    ],
)
def test_tick_size_of_stocks(price: int, day: date, market: Market, tick: int) -> None:
    assert tick_size(price, day, market) == tick


@pytest.mark.parametrize(
    ("price", "day", "kind", "tick"),
    [
        (1_500, date(2023, 12, 15), InstrumentType.ETF, 5),
        (1_500, date(2023, 12, 18), InstrumentType.ETF, 1),
        (1_999, NOW, InstrumentType.ETN, 1),
        (2_000, NOW, InstrumentType.ETN, 5),
        (600_000, NOW, InstrumentType.ETF, 5),
        (100, NOW, InstrumentType.ELW, 5),
        (128_500, NOW, InstrumentType.REIT, 100),
    ],
)
def test_tick_size_of_funds_and_notes(price: int, day: date, kind: InstrumentType, tick: int) -> None:
    assert tick_size(price, day, Market.KOSPI, kind) == tick


@pytest.mark.parametrize(
    ("price", "down", "nearest", "up"),
    [
        (71_500, 71_500, 71_500, 71_500),
        (71_549, 71_500, 71_500, 71_600),
        (71_550, 71_500, 71_600, 71_600),
        (1_999.5, 1_999, 2_000, 2_000),
        (199_999, 199_900, 200_000, 200_000),
        (0.4, 1, 1, 1),
    ],
)
def test_rounding_to_the_grid(price: float, down: int, nearest: int, up: int) -> None:
    assert round_to_tick(price, NOW, rounding=Rounding.DOWN) == down
    assert round_to_tick(price, NOW) == nearest
    assert round_to_tick(price, NOW, rounding=Rounding.UP) == up


@pytest.mark.parametrize("price", [0, -100, float("nan"), float("inf")])
def test_a_price_that_is_none_is_refused(price: float) -> None:
    with pytest.raises(InputError, match="is not positive"):
        tick_size(price, NOW)
    with pytest.raises(InputError):
        round_to_tick(price, NOW)


def test_before_2010_no_rule_is_known() -> None:
    with pytest.raises(CalendarRangeError):
        tick_table(date(2009, 12, 30))


@pytest.mark.parametrize(
    ("base", "day", "market", "lower", "upper"),
    [
        # KIS portal, samples of inquire-price and the daily chart, 2022
        (128_500, OLD, Market.KOSPI, 90_000, 167_000),
        (111_000, OLD, Market.KOSPI, 78_000, 144_000),
        # the distance is cut to the base's tick, so it is not simply 70 % cut to the grid (23,900: 16,730)
        (23_900, date(2024, 8, 5), Market.KOSPI, 16_750, 31_050),
        # the upper limit lies in a coarser band and is cut to it: 1,990 + 597 = 2,587
        (1_990, NOW, Market.KOSPI, 1_393, 2_585),
        (71_500, date(2015, 6, 12), Market.KOSPI, 60_800, 82_200),
        (71_500, date(2015, 6, 15), Market.KOSPI, 50_100, 92_900),
        (10_000, NOW, Market.KONEX, 8_500, 11_500),
        # a price of 1 to 3 won may still move by one
        (3, NOW, Market.KOSDAQ, 2, 4),
        (1, NOW, Market.KOSDAQ, 1, 2),
    ],
)
def test_price_limits(base: int, day: date, market: Market, lower: int, upper: int) -> None:
    assert price_limits(base, day, market) == PriceLimits(lower, upper)


def test_limits_of_a_leveraged_fund_and_of_the_first_day() -> None:
    assert price_limits(17_110, NOW, kind=InstrumentType.ETF, leverage=2) == PriceLimits(6_845, 27_375)
    assert price_limits(17_110, NOW, kind=InstrumentType.ETF, leverage=Fraction(7, 2)) == PriceLimits(1, 35_075)
    assert price_limits(10_000, date(2023, 6, 26), first_day=True) == PriceLimits(6_000, 40_000)
    assert price_limits(10_000, date(2023, 6, 23), first_day=True) == PriceLimits(7_000, 13_000)
    assert price_limits(10_000, NOW, Market.KONEX, first_day=True) == PriceLimits(8_500, 11_500)
    assert price_limits(10_000, NOW, kind=InstrumentType.ETF, first_day=True) == PriceLimits(7_000, 13_000)


def instrument(**changes: object) -> Instrument:
    given = {"symbol": "005930", "isin": "", "name": "", "market": Market.KOSPI, "type": InstrumentType.STOCK}
    return Instrument(**{**given, "base_price": 10_000, **changes})  # type: ignore[arg-type]


def test_limits_of_an_instrument() -> None:
    assert limits_of(instrument(), NOW) == PriceLimits(7_000, 13_000)
    assert limits_of(instrument(listed=NOW), NOW) == PriceLimits(6_000, 40_000)
    assert limits_of(instrument(liquidation=True), NOW) is None
    assert limits_of(instrument(type=InstrumentType.ELW), NOW) is None
    assert limits_of(instrument(base_price=0), NOW) is None


@pytest.mark.shared
@pytest.mark.slow
def test_real_prices_at_their_limit_are_those_of_the_rule(shared: Path) -> None:
    # Back-adjusted prices are mostly off the grid; what remains hits the rule, and only a few adjusted ones pass it.
    table = pq.read_table(
        shared / "krx_daily_2023_2025/krx_daily_ohlcv_20231205_20250616.parquet",
        columns=["code", "date", "open", "high", "low", "close"],
    ).sort_by([("code", "ascending"), ("date", "ascending")])
    columns = [table[name].to_pylist() for name in ("code", "date", "open", "high", "low", "close")]
    code, day, opened, high, low, close = columns
    hits, beyond = 0, 0
    for i in range(1, len(code)):
        base = close[i - 1]
        near_a_limit = base > 0 and (1.285 * base <= high[i] <= 1.301 * base or 0.699 * base <= low[i] <= 0.715 * base)
        if code[i] != code[i - 1] or opened[i] == 0 or not near_a_limit:
            continue
        if any(price % tick_size(price, day[i]) for price in (base, high[i], low[i])):
            continue
        limits = price_limits(base, day[i])
        hits += (high[i] == limits.upper) + (low[i] == limits.lower)
        beyond += (high[i] > limits.upper) + (low[i] < limits.lower)
    assert (hits, beyond) == (3269, 7)
