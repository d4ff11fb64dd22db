"""A made-up history of daily bars whose truth is known: random walks, and on request a signal planted in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.errors import InputError
from hosu.features.panel import BarPanel
from hosu.market.calendar import instant_us, previous_session
from hosu.models.worlds import plant, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    import pyarrow as pa

MOST_SYMBOLS: Final = 9_000
_NAMES_FROM: Final = 100_000
"""Codes that are made up begin here and go up by ten, as codes of common stocks do."""


def code(number: int) -> str:
    """The code of a made-up symbol, from 0 on."""
    return f"{_NAMES_FROM + 10 * number:06}"


def sessions_up_to(end: date, count: int) -> list[date]:
    """The last ``count`` sessions up to ``end``, which is one if the market trades on it, oldest first.

    Raises:
        CalendarRangeError: the calendar does not go back that far.
    """
    from datetime import timedelta

    found = [previous_session(end + timedelta(days=1))]
    while len(found) < count:
        found.append(previous_session(found[-1]))
    return found[::-1]


def history(days: Sequence[date], symbols: int, *, seed: int, signal: float = 0.0) -> BarPanel:
    """Bars of made-up symbols over these sessions, on the grid of ticks.

    Prices are one-factor random walks, so nothing predicts them; volumes are log-normal, each day drawn by itself.
    ``signal`` is the return planted in the next session's move from open to close, in deviations over all symbols,
    driven by the volume ratio (``worlds.plant``); 0 plants none.

    Raises:
        InputError: a count or a signal that cannot be.
    """
    if not 1 <= symbols <= MOST_SYMBOLS or len(days) < 2:
        raise InputError(f"{symbols} symbols over {len(days)} sessions", "cannot be made", "ask for 1 to 9000, and 2")
    if not 0 <= signal <= 1:
        raise InputError(f"a signal of {signal}", "cannot be planted", "choose 0 to 1 deviations")
    drawn = walk(_rough(days, symbols, np.random.default_rng(seed)), seed)
    return plant(drawn, signal) if signal else drawn


def _rough(days: Sequence[date], symbols: int, chance: np.random.Generator) -> BarPanel:
    """Prices off the grid with the volatilities and volumes that are wanted; ``worlds.walk`` draws them anew."""
    shape = (symbols, len(days))
    market = chance.normal(0, 0.008, len(days))
    beta, noise = chance.uniform(0.5, 1.5, (symbols, 1)), chance.uniform(0.008, 0.025, (symbols, 1))
    gap = 0.3 * beta * market + 0.4 * noise * chance.normal(size=shape)
    inside = 0.7 * beta * market + noise * chance.normal(size=shape)
    steps = np.log1p(gap) + np.log1p(inside)
    start = np.exp(chance.uniform(np.log(5_000), np.log(200_000), (symbols, 1)))
    close = start * np.exp(np.cumsum(steps, axis=1) - steps[:, :1])
    opened = close / (1 + inside)
    size = np.exp(chance.uniform(np.log(3e9), np.log(3e11), (symbols, 1))) / start  # 3 to 300 billion won a day
    volume = np.maximum(size * np.exp(chance.normal(0, 0.5, shape)), 1)
    high = np.maximum(opened, close) * (1 + 0.3 * noise * np.abs(chance.normal(size=shape)))
    low = np.minimum(opened, close) * (1 - 0.3 * noise * np.abs(chance.normal(size=shape)))
    n = symbols * len(days)
    prices = [np.rint(each * 100).astype(np.int64).reshape(n) for each in (opened, high, low, close)]
    whole = volume.astype(np.int64).reshape(n)
    return BarPanel(
        symbols=tuple(code(at) for at in range(symbols)),
        starts=np.arange(symbols + 1, dtype=np.int64) * len(days),
        date=np.tile([day.year * 10_000 + day.month * 100 + day.day for day in days], symbols).astype(np.int64),
        ts=np.tile([instant_us(day, 0) for day in days], symbols).astype(np.int64),
        open=prices[0],
        high=prices[1],
        low=prices[2],
        close=prices[3],
        volume=whole,
        value=whole * prices[3] / 100.0,
        factor=np.ones(n),
        masked=np.zeros(n, np.bool_),
    )


def as_table(panel: BarPanel) -> pa.Table:
    """The panel in the columns that ``hosu backfill daily --file`` recognizes: date, symbol, open, …, volume, value."""
    import pyarrow as pa

    symbol: Any = np.array(panel.symbols)[panel.symbol]
    return pa.table(
        {
            "date": pa.array([f"{each // 10_000:04}-{each // 100 % 100:02}-{each % 100:02}" for each in panel.date]),
            "symbol": pa.array(symbol.tolist(), pa.string()),
            **{name: pa.array(getattr(panel, name) / 100.0) for name in ("open", "high", "low", "close")},
            "volume": pa.array(panel.volume),
            "value": pa.array(np.rint(panel.volume * panel.close / 100.0)),
        }
    )
