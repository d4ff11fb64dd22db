"""Panels of bars for tests."""

import numpy as np

from hosu.features.panel import BarPanel


def panel(closes, volumes=None, factors=None, masked=None, dates=None):
    """A panel of {symbol: closes in won}; flat bars: open, high and low are the close."""
    symbols = tuple(sorted(closes))
    lengths = [len(closes[symbol]) for symbol in symbols]
    count = sum(lengths)

    def joined(values, default, kind):
        if values is None:
            return np.full(count, default, kind)
        return np.concatenate([np.asarray(values[symbol], kind) for symbol in symbols])

    close = np.rint(joined(closes, 0, np.float64) * 100).astype(np.int64)
    date = joined(dates, 20260102, np.int64)
    return BarPanel(
        symbols=symbols,
        starts=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        date=date,
        ts=np.arange(count, dtype=np.int64) * 60_000_000,
        open=close,
        high=close,
        low=close,
        close=close,
        volume=joined(volumes, 1, np.int64),
        value=np.full(count, np.nan),
        factor=joined(factors, 1.0, np.float64),
        masked=joined(masked, False, np.bool_),
    )


def random_closes(seed, bars, start=50_000):
    """A walk on a grid of 50 won, with stretches in which nothing moves."""
    chance = np.random.default_rng(seed)
    steps = chance.integers(-8, 9, bars) * (chance.random(bars) < 0.8)
    return np.maximum(1_000, start + 50 * np.cumsum(steps)).astype(float)


def bits(values):
    """The bits of floats, so that NaN equals NaN and -0.0 is not 0.0."""
    return np.ascontiguousarray(values).view(np.int64)
