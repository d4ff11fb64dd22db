"""The symbols of the synthetic exchange: made up from a seed, each the same whatever others are traded beside it."""

from __future__ import annotations

import zlib
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.kis.simulator.tape import DailyBar
from hosu.market.calendar import sessions_between
from hosu.market.instruments import Instrument, InstrumentType, Market
from hosu.market.rules import price_limits, round_to_tick

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES: Final[dict[str, tuple[str, int]]] = {
    "005930": ("삼성전자", 71_900),
    "000660": ("SK하이닉스", 308_000),
    "035420": ("NAVER", 231_000),
    "005380": ("현대차", 218_500),
    "035720": ("카카오", 64_300),
    "051910": ("LG화학", 284_000),
    "068270": ("셀트리온", 171_600),
    "005490": ("POSCO홀딩스", 289_500),
    "105560": ("KB금융", 116_400),
    "055550": ("신한지주", 68_200),
}
"""Well-known names for the first symbols; their prices here are invented."""


def default_symbols(count: int) -> tuple[str, ...]:
    """Codes of the exchange's first ``count`` symbols, the most active first."""
    made_up = (f"{number * 10:06d}" for number in range(10_001, 10_001 + count + len(_NAMES)))
    return (*_NAMES, *(code for code in made_up if code not in _NAMES))[:count]


def list_instruments(symbols: Sequence[str], day: date, seed: int) -> tuple[Instrument, ...]:
    """What the exchange knows of these symbols on ``day``."""
    return tuple(_list_one(symbol, day, seed) for symbol in symbols)


def trades_on_nxt(symbol: str) -> bool:
    """Whether NXT trades the symbol too: of the exchange's symbols about three in five."""
    return symbol in _NAMES or zlib.crc32(symbol.encode()) % 5 < 3


def past_days(instrument: Instrument, day: date, count: int, seed: int) -> list[DailyBar]:
    """``count`` days before ``day``, newest first; the newest closes at the instrument's base price."""
    rng = _rng(instrument.symbol, seed, 1)
    days = sessions_between(date(day.year - 1, 1, 1), day)[-count:][::-1]
    bars: list[DailyBar] = []
    close = instrument.base_price
    for past in days:
        body, up, down = rng.normal(0, 0.012), abs(rng.normal(0, 0.006)), abs(rng.normal(0, 0.006))
        opening = round_to_tick(max(1.0, close * (1 + body)), past)
        high = round_to_tick(max(opening, close) * (1 + up), past)
        low = round_to_tick(max(1.0, min(opening, close) * (1 - down)), past)
        volume = instrument.previous_volume if not bars else int(instrument.previous_volume * rng.uniform(0.5, 1.8))
        mean = (opening + high + low + close) // 4
        bars.append(
            DailyBar(past, opening, max(high, opening, close), min(low, opening, close), close, volume, volume * mean)
        )
        close = round_to_tick(max(1.0, opening * (1 + rng.normal(0, 0.004))), past)
    return bars


def _list_one(symbol: str, day: date, seed: int) -> Instrument:
    rng = _rng(symbol, seed, 0)
    drawn = float(np.exp(rng.normal(10.0, 1.2)))
    name, price = _NAMES.get(symbol, (f"모의종목 {symbol}", drawn))
    base = round_to_tick(min(max(price, 1_000), 900_000), day)
    shares = int(rng.integers(5_000, 600_000)) * 1000
    market = Market.KOSPI if symbol in _NAMES or zlib.crc32(symbol.encode()) % 2 else Market.KOSDAQ
    assert price_limits(base, day, market).lower > 0
    return Instrument(
        symbol=symbol,
        isin=_isin(symbol),
        name=name,
        market=market,
        type=InstrumentType.STOCK,
        group="ST",
        listed=date(2010, 1, 4),
        base_price=base,
        previous_volume=max(1000, shares // int(rng.integers(60, 400))),
        listed_shares=shares,
        par_value=5000,
        market_cap=shares * base // 100_000_000 * 100_000_000,
        fiscal_month=12,
    )


def _rng(symbol: str, seed: int, purpose: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(symbol.encode()), purpose])


def _isin(symbol: str) -> str:
    """KR7, the code, 00 and the check digit (ISO 6166)."""
    body = f"KR7{symbol[-6:]}00"
    digits = [int(digit) for letter in body for digit in str(int(letter, 36))]
    doubled = [digit * 2 if i % 2 == 0 else digit for i, digit in enumerate(reversed(digits))]
    return f"{body}{-sum(digit // 10 + digit % 10 for digit in doubled) % 10}"
