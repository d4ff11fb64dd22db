"""Indicators of 2,700 symbols over 1,000 days, and of all symbols at one close, beside Polars, pandas, TA-Lib, talipp.

Made-up closes and volumes. Ours gives all thirteen indicators of every bar over all cores, from the same call that
builds the tables; Polars and pandas the same moving averages, RSI, MACD, Bollinger bands, volume ratio, changes and
volatility with their own first values; TA-Lib, one symbol after the other, the nine it has. Rounds alternate; each
counts its best. At a close: one more bar for every symbol; talipp adds it to its indicators of 100 symbols, times 27.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import polars as pl
import talib
import talipp.indicators as talipp

from hosu.features import kernel
from hosu.features.batch import States, indicators
from hosu.features.panel import BarPanel

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS, DAYS, ROUNDS, SOME = 2_700, 1_000, 3, 100


def made_up() -> BarPanel:
    """Walks on a grid of 50 won."""
    chance = np.random.default_rng(1)
    steps = chance.integers(-8, 9, (SYMBOLS, DAYS))
    close = np.maximum(2_000, 50_000 + 50 * np.cumsum(steps, axis=1)).astype(np.int64).reshape(-1) * 100
    n = SYMBOLS * DAYS
    return BarPanel(
        symbols=tuple(f"{at:06}" for at in range(SYMBOLS)),
        starts=np.arange(SYMBOLS + 1, dtype=np.int64) * DAYS,
        date=np.tile(np.arange(DAYS, dtype=np.int64), SYMBOLS),
        ts=np.tile(np.arange(DAYS, dtype=np.int64), SYMBOLS),
        open=close,
        high=close,
        low=close,
        close=close,
        volume=chance.integers(1, 1_000_000, n),
        value=np.full(n, np.nan),
        factor=np.ones(n),
        masked=np.zeros(n, np.bool_),
    )


def with_polars(frame: pl.DataFrame) -> pl.DataFrame:
    c, v = pl.col("close"), pl.col("volume")
    change = c.diff()
    gain, loss = change.clip(lower_bound=0), (-change).clip(lower_bound=0)
    wilder = {"alpha": 1 / 14, "adjust": False, "min_samples": 14}
    up, down = gain.ewm_mean(**wilder), loss.ewm_mean(**wilder)
    macd = c.ewm_mean(span=12, adjust=False) - c.ewm_mean(span=26, adjust=False)
    middle, deviation = c.rolling_mean(20), c.rolling_std(20, ddof=0)
    columns = {
        "ma_20": middle,
        "ma_50": c.rolling_mean(50),
        "rsi": 100 * up / (up + down),
        "macd": macd,
        "macd_signal": macd.ewm_mean(span=9, adjust=False),
        "upper": middle + 2 * deviation,
        "lower": middle - 2 * deviation,
        "position": 0.5 + (c - middle) / (4 * deviation),
        "volume_ma": v.rolling_mean(20),
        "ratio": v / v.rolling_mean(20),
        "change": change,
        "pct": c.pct_change(),
        "volatility": c.pct_change().rolling_std(20),
    }
    return frame.select(value.over("symbol").alias(name) for name, value in columns.items())


def with_pandas(frame: pd.DataFrame) -> dict[str, Any]:
    by = frame.groupby("symbol", sort=False)
    c, v = by["close"], by["volume"]
    symbol, change = frame["symbol"], c.diff()
    up = change.clip(lower=0).groupby(symbol, sort=False).ewm(alpha=1 / 14, adjust=False).mean()
    down = (-change).clip(lower=0).groupby(symbol, sort=False).ewm(alpha=1 / 14, adjust=False).mean()
    macd = c.ewm(span=12, adjust=False).mean() - c.ewm(span=26, adjust=False).mean()
    middle, deviation = c.rolling(20).mean(), c.rolling(20).std(ddof=0)
    pct = c.pct_change()
    return {
        "ma_20": middle,
        "ma_50": c.rolling(50).mean(),
        "rsi": 100 * up / (up + down),
        "macd": macd,
        "macd_signal": macd.groupby(level=0, sort=False).ewm(span=9, adjust=False).mean(),
        "upper": middle + 2 * deviation,
        "lower": middle - 2 * deviation,
        "volume_ma": v.rolling(20).mean(),
        "volatility": pct.groupby(symbol, sort=False).rolling(20).std(),
    }


def with_talib(close: np.ndarray, volume: np.ndarray) -> None:
    for one, shares in zip(close, volume, strict=True):
        talib.SMA(one, 20), talib.SMA(one, 50), talib.RSI(one, 14), talib.MACD(one, 12, 26, 9)
        talib.BBANDS(one, 20, 2, 2), talib.SMA(shares, 20), talib.MOM(one, 1), talib.ROCP(one, 1)
        talib.STDDEV(talib.ROCP(one, 1), 20)


def best(rounds: int, *calls: Callable[[], Any]) -> list[float]:
    """Best seconds of each call, in alternating rounds."""
    for call in calls:
        call()
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [min(times) for times in taken]


def run() -> list[dict[str, Any]]:
    """The rows of the report."""
    panel = made_up()
    symbol = np.repeat(np.arange(SYMBOLS), DAYS)
    close, volume = panel.close / 100.0, panel.volume.astype(float)
    frame = pl.DataFrame({"symbol": symbol, "close": close, "volume": volume})
    rows = pd.DataFrame({"symbol": symbol, "close": close, "volume": volume})
    shape = (SYMBOLS, DAYS)
    ours, polars, library = best(
        ROUNDS,
        lambda: indicators(panel),
        lambda: with_polars(frame),
        lambda: with_talib(close.reshape(shape), volume.reshape(shape)),
    )
    began = time.perf_counter()
    with_pandas(rows)
    pandas = time.perf_counter() - began
    what = "2,700 symbols x 1,000 days, all indicators"
    made = [
        {"name": what, "value": ours, "unit": "s", "peer": peer, "peer_value": taken, "ratio": ours / taken}
        for peer, taken in (("Polars .over", polars), ("pandas groupby", pandas), ("TA-Lib loop, 9 of 13", library))
    ]
    return [*made, at_a_close(panel)]


def at_a_close(panel: BarPanel) -> dict[str, Any]:
    """One more bar for every symbol."""
    states = States.new(panel.symbols)
    indicators(panel, states)
    everybody, out = np.arange(SYMBOLS), np.empty((SYMBOLS, kernel.OUTPUTS))
    last = panel.close.reshape(SYMBOLS, DAYS)[:, -1].copy()
    ones, masked, shares = np.ones(SYMBOLS), np.zeros(SYMBOLS, np.bool_), np.full(SYMBOLS, 1_000)
    kept = [_talipp(one) for one in panel.close.reshape(SYMBOLS, DAYS)[:SOME] / 100.0]

    def step() -> None:
        kernel.step_symbols(states.ints, states.floats, everybody, last, shares, ones, masked, out)

    def theirs() -> None:
        for each in kept:
            for indicator in each:
                indicator.add(50_000.0)

    ours, others = best(20, step, theirs)
    others *= SYMBOLS / SOME
    return {
        "name": "2,700 symbols at one close",
        "value": ours * 1e3,
        "unit": "ms",
        "peer": "talipp, 5 indicators",
        "peer_value": others * 1e3,
        "ratio": ours / others,
    }


def _talipp(closes: np.ndarray) -> list[Any]:
    values = closes.tolist()
    return [
        talipp.SMA(20, input_values=values),
        talipp.SMA(50, input_values=values),
        talipp.RSI(14, input_values=values),
        talipp.MACD(12, 26, 9, input_values=values),
        talipp.BB(20, 2, input_values=values),
    ]
