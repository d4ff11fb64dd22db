"""Rules over arrays say what the rules of one price say."""

import random
from datetime import date

import numpy as np
import pytest

from hosu.features.dated_rules import DatedRules, Listing, hours, previous_sessions
from hosu.market.calendar import instant_us
from hosu.market.instruments import InstrumentType, Market
from hosu.market.rules import price_limits, tick_size

DAYS = (20_150_612, 20_150_615, 20_230_124, 20_230_125, 20_250_915)
LISTINGS = (
    Listing(),
    Listing(Market.KOSDAQ),
    Listing(Market.KONEX),
    Listing(Market.KOSPI, InstrumentType.ETF),
)


@pytest.mark.parametrize("day", DAYS)
@pytest.mark.parametrize("listing", LISTINGS)
def test_ticks_and_limits_are_those_of_the_market(day: int, listing: Listing) -> None:
    chance = random.Random(day)
    prices = [
        *range(1, 60),
        999,
        1_000,
        1_995,
        2_000,
        128_500,
        499_500,
        *(chance.randrange(1, 900_000) for _ in "x" * 80),
    ]
    base = np.array(prices, np.int64) * 100
    rules = DatedRules(np.full(len(base), day), np.zeros(len(base), np.int64), [listing])
    on = date(day // 10_000, day // 100 % 100, day % 100)

    ticks, (lower, upper) = rules.ticks(base), rules.limits(base)

    assert (ticks // 100).tolist() == [tick_size(price, on, *listing) for price in prices]
    expected = [price_limits(price, on, *listing) for price in prices]
    assert (lower // 100).tolist() == [limits.lower for limits in expected]
    assert (upper // 100).tolist() == [limits.upper for limits in expected]


def test_what_has_no_base_or_no_limits_is_not_bounded() -> None:
    listings = [Listing(), Listing(Market.KOSPI, InstrumentType.ELW)]
    rules = DatedRules(np.array([20_250_915, 20_250_915]), np.array([0, 1]), listings)

    lower, upper = rules.limits(np.array([0, 50_000]))

    assert lower.tolist() == [0, 0]
    assert (upper > 1 << 59).all()


def test_the_session_before_a_day_passes_over_holidays() -> None:
    assert previous_sessions(np.array([20_251_010, 20_251_013, 20_100_104])).tolist() == [20_251_002, 20_251_010, 0]


def test_an_exam_day_has_its_own_hours() -> None:
    ordinary, exam = date(2025, 11, 12), date(2025, 11, 13)
    found = hours([20_251_112, 20_251_113])

    assert found.open.tolist() == [instant_us(ordinary, 9 * 3600), instant_us(exam, 10 * 3600)]
    assert found.end.tolist() == [instant_us(ordinary, 15 * 3600 + 1200), instant_us(exam, 16 * 3600 + 1200)]
    assert found.close.tolist() == [instant_us(ordinary, 15 * 3600 + 1830), instant_us(exam, 16 * 3600 + 1830)]
