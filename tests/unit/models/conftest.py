"""Rows and bars of small worlds, made of nothing but a seed."""

from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache

import numpy as np
import pytest

from hosu.features.panel import BarPanel, LabelledRows

DAY_US = 86_400_000_000
NAMES = tuple("abcdefgh")


def sessions_from(first: date, count: int) -> tuple[str, ...]:
    """So many weekdays."""
    days, day = [], first
    while len(days) < count:
        if day.weekday() < 5:
            days.append(day.isoformat())
        day += timedelta(1)
    return tuple(days)


def time_of(session: str, hour: float) -> int:
    """UTC microseconds; hours are UTC too, it does not matter here."""
    return (date.fromisoformat(session) - date(1970, 1, 1)).days * DAY_US + int(hour * 3_600_000_000)


@lru_cache(maxsize=8)
def rows_of(
    *, symbols: int = 120, sessions: int = 340, strength: float = 0.0, horizon: int = 1, seed: int = 0, noise: int = 2
) -> LabelledRows:
    """Daily rows: one feature drives the next return by ``strength`` deviations, ``noise`` others do not.

    Stocks of a day move together; returns have a deviation of 3 %, half of it the market's.
    """
    rng = np.random.default_rng(seed)
    names = sessions_from(date(2024, 1, 2), sessions)
    n = symbols * sessions
    session = np.repeat(np.arange(sessions), symbols).astype(np.int32)
    features = rng.normal(size=(n, 1 + noise))
    daily = (
        np.repeat(rng.normal(0, 0.02, sessions), symbols) + rng.normal(0, 0.02, n) + 0.02 * strength * features[:, 0]
    )
    ret = sum(np.roll(daily, -symbols * k) for k in range(horizon))
    ret = np.asarray(ret)
    last = session < sessions - horizon
    ret = np.where(last, ret, np.nan)
    band = np.full(n, 0.006)
    decided = np.array([time_of(name, 6.6) for name in names])
    left = np.append([time_of(name, 6.5) for name in names[horizon:]], np.zeros(horizon, np.int64)).astype(np.int64)
    label = np.where(last, np.where(ret > band, 1, np.where(ret < -band, -1, 0)), 0).astype(np.int8)
    return LabelledRows(
        symbols=tuple(f"{number:06d}" for number in range(symbols)),
        sessions=names,
        names=NAMES[: 1 + noise],
        symbol=np.tile(np.arange(symbols), sessions).astype(np.int32),
        session=session,
        t=decided[session],
        t0=np.where(last, decided[session] + 3_600_000_000, 0),
        t1=left[session],
        t1_session=np.where(last, session + horizon, -1).astype(np.int32),
        features=features,
        price=np.full(n, 10_000.0),
        ret_px=ret,
        ret_ex=ret.copy(),
        band=band,
        label=label,
        reason=(~last).astype(np.uint8),
        weight=np.where(last, 1 / horizon, 0.0),
        half_spread=np.full(n, 0.0005),
        value_20=np.full(n, 5e9),
        ret_last=np.roll(daily, symbols),
    )


@pytest.fixture
def make_rows() -> Callable[..., LabelledRows]:
    return rows_of


def panel_of(*, symbols: int = 6, bars: int = 40, seed: int = 0) -> BarPanel:
    """Daily bars with gaps, a bar without a trade, an event and a masked move."""
    rng = np.random.default_rng(seed)
    n = symbols * bars
    days = sessions_from(date(2024, 1, 2), bars)
    opened, close = np.empty(n), np.empty(n)
    for symbol in range(symbols):
        last = rng.uniform(2_000, 90_000)
        for at in range(symbol * bars, symbol * bars + bars):
            opened[at] = last * (1 + rng.normal(0, 0.01))
            last = close[at] = opened[at] * (1 + rng.normal(0, 0.03))
    o, c = np.rint(opened * 100).astype(np.int64), np.rint(close * 100).astype(np.int64)
    high = np.maximum(o, c) + rng.integers(0, 5_000, n)
    low = np.minimum(o, c) - rng.integers(0, 5_000, n)
    volume = rng.integers(1_000, 100_000, n)
    volume[25] = 0
    o[25] = high[25] = low[25] = c[25] = c[24]
    return BarPanel(
        symbols=tuple(f"{number:06d}" for number in range(symbols)),
        starts=np.arange(0, n + 1, bars),
        date=np.tile([int(day.replace("-", "")) for day in days], symbols),
        ts=np.tile([time_of(day, -9) for day in days], symbols),
        open=o,
        high=high,
        low=low,
        close=c,
        volume=volume,
        value=np.full(n, np.nan),
        factor=np.ones(n),
        masked=np.zeros(n, bool),
    )


@pytest.fixture
def make_panel() -> Callable[..., BarPanel]:
    return panel_of
