"""What a trade costs by date, market and venue: the seller's taxes, and the exchange's, the depository's and the
broker's fees.

All rates are exact shares of the traded value (``Fraction``): 0.20 % is ``Fraction(20, 10_000)``. A tax rate holds
from a date of settlement, and a trade is settled two sessions later, so the first trade under a new rate is earlier
than the law's date (2019-05-30 for the rate of 2019-06-03). Sources: the Securities Transaction Tax Act and its
decrees, the depository's and brokers' notices of 2019-05 and 2024-12, the exchange's fee notice of 2025-12.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from functools import lru_cache
from typing import Final

from hosu.errors import InputError
from hosu.market.calendar import FIRST_DAY, next_session, previous_session
from hosu.market.dated import Basis, in_force
from hosu.market.day_plan import NXT_START, Scope
from hosu.market.instruments import InstrumentType, Market


def percent(text: str) -> Fraction:
    """``"0.15"`` as the share it is of a whole: 15/10,000."""
    return Fraction(text) / 100


@dataclass(frozen=True, slots=True)
class SaleTax:
    """What the seller pays, as shares of the value sold."""

    settled_from: date  # holds for trades settled on this day or later
    transaction: Fraction  # 증권거래세
    agricultural: Fraction  # 농어촌특별세, KOSPI only
    basis: Basis

    @property
    def total(self) -> Fraction:
        """Both together."""
        return self.transaction + self.agricultural

    @property
    def valid_from(self) -> date:
        """The first day of trading under this rate."""
        return _first_trade_settled(self.settled_from)


@lru_cache(maxsize=64)
def _first_trade_settled(settled_from: date) -> date:
    if settled_from == FIRST_DAY:
        return FIRST_DAY
    return previous_session(previous_session(next_session(settled_from - timedelta(1))))


def _taxes(agricultural: str, *rates: tuple[date, str, Basis]) -> tuple[SaleTax, ...]:
    return tuple(SaleTax(since, percent(rate), percent(agricultural), basis) for since, rate, basis in rates)


_2019: Final = date(2019, 6, 3)
_UNTAXED: Final = SaleTax(FIRST_DAY, Fraction(0), Fraction(0), Basis.ANNOUNCED)

TAXES: Final[dict[Market, tuple[SaleTax, ...]]] = {
    Market.KOSPI: _taxes(
        "0.15",
        (FIRST_DAY, "0.15", Basis.ANNOUNCED),
        (_2019, "0.10", Basis.ANNOUNCED),
        (date(2021, 1, 1), "0.08", Basis.ANNOUNCED),
        (date(2023, 1, 1), "0.05", Basis.ANNOUNCED),
        (date(2024, 1, 1), "0.03", Basis.ANNOUNCED),
        (date(2025, 1, 1), "0", Basis.ANNOUNCED),
        (date(2026, 1, 1), "0.05", Basis.ANNOUNCED),
    ),
    Market.KOSDAQ: _taxes(
        "0",
        (FIRST_DAY, "0.30", Basis.ANNOUNCED),
        (_2019, "0.25", Basis.ANNOUNCED),
        (date(2021, 1, 1), "0.23", Basis.ANNOUNCED),
        (date(2023, 1, 1), "0.20", Basis.ANNOUNCED),
        (date(2024, 1, 1), "0.18", Basis.ANNOUNCED),
        (date(2025, 1, 1), "0.15", Basis.ANNOUNCED),
        (date(2026, 1, 1), "0.20", Basis.ANNOUNCED),
    ),
    Market.KONEX: _taxes("0", (FIRST_DAY, "0.30", Basis.ANNOUNCED), (_2019, "0.10", Basis.ANNOUNCED)),
}

_NOT_TAXED: Final = frozenset(
    {
        InstrumentType.ETF,
        InstrumentType.FOREIGN_ETF,
        InstrumentType.ETN,
        InstrumentType.ELW,
        InstrumentType.BENEFICIARY_CERTIFICATE,
    }
)


def sale_tax(day: date, market: Market = Market.KOSPI, kind: InstrumentType = InstrumentType.STOCK) -> SaleTax:
    """The seller's taxes on a trade of ``day``; zero for funds, notes and ELW. NXT's trades are taxed like KRX's.

    Raises:
        CalendarRangeError: ``day`` lies before 2010.
    """
    return _UNTAXED if kind in _NOT_TAXED else in_force(TAXES[market], day)


# --- fees ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class VenueFee:
    """What the venue takes from each side; the maker's order was in the book first."""

    valid_from: date
    maker: Fraction
    taker: Fraction
    basis: Basis


_KRX_FEE: Final = percent("0.0022763")

VENUE_FEES: Final[dict[Scope, tuple[VenueFee, ...]]] = {
    Scope.KRX: (
        VenueFee(FIRST_DAY, _KRX_FEE, _KRX_FEE, Basis.ASSUMED),  # 2025's rate; older ones were not looked into
        VenueFee(date(2025, 12, 15), percent("0.00134"), percent("0.00182"), Basis.ANNOUNCED),
        VenueFee(date(2026, 2, 14), _KRX_FEE, _KRX_FEE, Basis.ASSUMED),  # the cut was announced for two months
    ),
    Scope.NXT: (VenueFee(NXT_START, percent("0.00134"), percent("0.00182"), Basis.ANNOUNCED),),
}

DEPOSITORY_FEE: Final = percent("0.0013633")
"""What the depository takes from each side; basis: assumed, for all dates."""


def venue_fee(day: date, venue: Scope = Scope.KRX) -> VenueFee:
    """The venue's fee on a trade of ``day``.

    Raises:
        InputError: ``venue`` is UN, which is two venues.
        CalendarRangeError: the venue did not trade yet.
    """
    if venue not in VENUE_FEES:
        raise InputError(f"venue {venue}", "is two venues, each with its own fee", "choose KRX or NXT")
    return in_force(VENUE_FEES[venue], day)


def cost_of_buying(
    day: date, *, venue: Scope = Scope.KRX, maker: bool = False, broker_fee: Fraction = Fraction(0)
) -> Fraction:
    """All fees of a purchase as a share of its value; ``broker_fee`` is what your broker takes on top of the fees it
    passes on.

    Raises:
        InputError, CalendarRangeError: as ``venue_fee``.
    """
    fee = venue_fee(day, venue)
    return (fee.maker if maker else fee.taker) + DEPOSITORY_FEE + broker_fee


def cost_of_selling(
    day: date,
    market: Market = Market.KOSPI,
    kind: InstrumentType = InstrumentType.STOCK,
    *,
    venue: Scope = Scope.KRX,
    maker: bool = False,
    broker_fee: Fraction = Fraction(0),
) -> Fraction:
    """All taxes and fees of a sale as a share of its value, as ``cost_of_buying``.

    Raises:
        InputError, CalendarRangeError: as ``venue_fee`` and ``sale_tax``.
    """
    return cost_of_buying(day, venue=venue, maker=maker, broker_fee=broker_fee) + sale_tax(day, market, kind).total
