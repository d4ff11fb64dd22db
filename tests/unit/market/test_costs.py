"""Taxes and fees, written out by date."""

from datetime import date
from fractions import Fraction

import pytest

from hosu.errors import CalendarRangeError, InputError
from hosu.market.costs import cost_of_buying, cost_of_selling, percent, sale_tax, venue_fee
from hosu.market.day_plan import Scope
from hosu.market.instruments import InstrumentType, Market


@pytest.mark.parametrize(
    ("day", "kospi", "kosdaq", "konex"),
    [
        (date(2010, 1, 4), "0.30", "0.30", "0.30"),
        (date(2019, 5, 29), "0.30", "0.30", "0.30"),
        (date(2019, 5, 30), "0.25", "0.25", "0.10"),  # settled on 2019-06-03
        (date(2020, 12, 28), "0.25", "0.25", "0.10"),
        (date(2020, 12, 29), "0.23", "0.23", "0.10"),
        (date(2023, 6, 1), "0.20", "0.20", "0.10"),
        (date(2024, 12, 26), "0.18", "0.18", "0.10"),
        (date(2024, 12, 27), "0.15", "0.15", "0.10"),  # settled on 2025-01-02
        (date(2025, 12, 26), "0.15", "0.15", "0.10"),
        (date(2025, 12, 29), "0.20", "0.20", "0.10"),
        (date(2026, 11, 20), "0.20", "0.20", "0.10"),
    ],
)
def test_what_the_seller_pays_by_the_day_of_the_trade(day: date, kospi: str, kosdaq: str, konex: str) -> None:
    assert sale_tax(day, Market.KOSPI).total == percent(kospi)
    assert sale_tax(day, Market.KOSDAQ).total == percent(kosdaq)
    assert sale_tax(day, Market.KONEX).total == percent(konex)


def test_the_agricultural_tax_is_kospis_alone() -> None:
    assert sale_tax(date(2025, 3, 3)).transaction == 0
    assert sale_tax(date(2025, 3, 3)).agricultural == Fraction(15, 10_000)
    assert sale_tax(date(2025, 3, 3), Market.KOSDAQ).agricultural == 0


def test_funds_and_notes_are_not_taxed() -> None:
    assert sale_tax(date(2025, 3, 3), kind=InstrumentType.ETF).total == 0
    assert sale_tax(date(2025, 3, 3), kind=InstrumentType.ETN).total == 0
    assert sale_tax(date(2025, 3, 3), kind=InstrumentType.REIT).total == percent("0.15")


@pytest.mark.parametrize(
    ("day", "venue", "maker", "taker"),
    [
        (date(2025, 12, 12), Scope.KRX, "0.0022763", "0.0022763"),
        (date(2025, 12, 15), Scope.KRX, "0.00134", "0.00182"),
        (date(2026, 2, 13), Scope.KRX, "0.00134", "0.00182"),
        (date(2026, 2, 19), Scope.KRX, "0.0022763", "0.0022763"),
        (date(2025, 3, 4), Scope.NXT, "0.00134", "0.00182"),
    ],
)
def test_venue_fees(day: date, venue: Scope, maker: str, taker: str) -> None:
    fee = venue_fee(day, venue)
    assert (fee.maker, fee.taker) == (percent(maker), percent(taker))


def test_a_fee_needs_one_venue_that_trades() -> None:
    with pytest.raises(InputError, match="venue UN: is two venues, each with its own fee; choose KRX or NXT"):
        venue_fee(date(2025, 9, 15), Scope.UN)
    with pytest.raises(CalendarRangeError):
        venue_fee(date(2025, 3, 3), Scope.NXT)


def test_the_whole_cost_of_a_purchase_and_a_sale() -> None:
    day = date(2025, 9, 15)
    assert cost_of_buying(day) == percent("0.0036396")
    assert cost_of_buying(day, broker_fee=percent("0.015")) == percent("0.0186396")
    assert cost_of_buying(day, venue=Scope.NXT, maker=True) == percent("0.0027033")
    assert cost_of_selling(day) == percent("0.1536396")
    assert cost_of_selling(day, Market.KOSPI, InstrumentType.ETF) == percent("0.0036396")
