"""TA-Lib and Polars as oracles: equal where they define the same, and the differences named."""

import numpy as np
import polars as pl
import pytest
import talib

from feature_cases import panel, random_closes
from hosu.features.batch import indicators
from hosu.market.features import INDICATORS


@pytest.fixture(scope="module")
def long():
    closes = random_closes(42, 3_000)
    volumes = np.random.default_rng(42).integers(0, 10_000, 3_000)
    outputs = indicators(panel({"A": closes}, volumes={"A": volumes}))
    return closes, volumes.astype(float), dict(zip(INDICATORS, outputs.T, strict=True))


def of_talib(closes, volumes):
    macd, signal, _ = talib.MACD(closes, 12, 26, 9)
    upper, _, lower = talib.BBANDS(closes, 20, 2, 2)
    return {
        "ma_20": talib.SMA(closes, 20),
        "ma_50": talib.SMA(closes, 50),
        "rsi": talib.RSI(closes, 14),
        "macd": macd,
        "macd_signal": signal,
        "bollinger_upper": upper,
        "bollinger_lower": lower,
        "volume_ma": talib.SMA(volumes, 20),
        "price_change": talib.MOM(closes, 1),
        "price_change_pct": talib.ROCP(closes, 1),
    }


def test_every_indicator_that_talib_has_is_equal(long):
    closes, volumes, ours = long
    for name, theirs in of_talib(closes, volumes).items():
        given = ~np.isnan(theirs)
        np.testing.assert_allclose(ours[name][given], theirs[given], rtol=1e-9, atol=1e-8, err_msg=name)


def test_beside_talib_only_macd_begins_earlier(long):
    closes, volumes, ours = long
    for name, theirs in of_talib(closes, volumes).items():
        earlier = 8 if name == "macd" else 0  # TA-Lib holds it back until its signal begins
        assert np.isnan(theirs).sum() - np.isnan(ours[name]).sum() == earlier, name


def test_beside_talib_the_rsi_of_a_price_that_never_moved_is_50_and_not_0():
    closes = np.full(30, 700.0)
    assert talib.RSI(closes, 14)[-1] == 0.0
    assert indicators(panel({"A": closes}))[-1, INDICATORS.index("rsi")] == 50.0


def test_polars_agrees_on_rolling_windows(long):
    closes, volumes, ours = long
    frame = pl.DataFrame({"c": closes, "v": volumes}).select(
        ma_20=pl.col("c").rolling_mean(20),
        ma_50=pl.col("c").rolling_mean(50),
        deviation=pl.col("c").rolling_std(20, ddof=0),
        volume_ma=pl.col("v").rolling_mean(20),
        volatility=pl.col("c").pct_change().rolling_std(20),
    )
    for name in ("ma_20", "ma_50", "volume_ma", "volatility"):
        np.testing.assert_allclose(ours[name], frame[name].to_numpy(), rtol=1e-9, err_msg=name)
    width = (ours["bollinger_upper"] - ours["bollinger_lower"]) / 4
    np.testing.assert_allclose(width, frame["deviation"].to_numpy(), rtol=1e-9)


def test_polars_begins_exponential_means_with_the_first_value_and_agrees_once_that_is_forgotten(long):
    closes, _, ours = long
    frame = pl.DataFrame({"c": closes})
    theirs = frame.select(
        pl.col("c").ewm_mean(span=12, adjust=False) - pl.col("c").ewm_mean(span=26, adjust=False)
    ).to_series()
    gap = np.abs(ours["macd"] - theirs.to_numpy())
    assert gap[25] > 1.0
    assert gap[500:].max() < 1e-6


@pytest.mark.shared
def test_indicators_of_005930_agree_with_talib_on_every_real_day(shared):
    bars = (
        pl.read_parquet(shared / "krx_daily_2023_2025" / "krx_daily_ohlcv_20231205_20250616.parquet")
        .filter(pl.col("code") == "005930")
        .sort("date")
    )
    closes, volumes = bars["close"].to_numpy().astype(float), bars["volume"].to_numpy()
    ours = dict(zip(INDICATORS, indicators(panel({"A": closes}, volumes={"A": volumes})).T, strict=True))
    assert len(closes) == 369
    for name, theirs in of_talib(closes, volumes.astype(float)).items():
        given = ~np.isnan(theirs)
        assert given.sum() > 300
        np.testing.assert_allclose(ours[name][given], theirs[given], rtol=1e-9, atol=1e-8, err_msg=name)
