"""How far a mean over sessions may be trusted: the stationary bootstrap, and the deflated Sharpe ratio.

The unit of evidence is the session, never the row: stocks of one day move together, so a million rows are a few
hundred observations. Whole sessions are drawn, in blocks of random length, since neighbours resemble each other and
labels of several sessions overlap (Politis and Romano, The Stationary Bootstrap, JASA 1994).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import e, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import NotEnoughDataError
from hosu.models.extra import extra

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.panel import Floats, Ints

DRAWS: Final = 2_000
MIN_BLOCK: Final = 5
_NORMAL: Final = NormalDist()
_EULER: Final = 0.5772156649015329


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bounds, over sessions.

    Attributes:
        value: the figure of the sessions as they were.
        lower, upper: one-sided bounds: each is passed with probability 1 - ``level``, not half of it.
        level: of the bounds, as 0.95.
        p: one-sided, that a figure this high or higher is seen where the truth is 0.
        t: mean over its plain standard error, as if sessions were independent; printed, never judged by. NaN of a
            ratio, and where all sessions are equal.
        sessions: how many it rests on.
    """

    value: float
    lower: float
    upper: float
    level: float
    p: float
    t: float
    sessions: int


def of_mean(series: Floats, *, horizon: int = 1, level: float = 0.95, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The mean of a value per session.

    Args:
        series: (sessions,) in order of time; NaN sessions are left out, and their neighbours become neighbours.
        horizon: sessions a label spans; blocks have a mean length of max(5, horizon).
        level: of the one-sided bounds.
        draws: of the bootstrap; p is never below 1 / (draws + 1).
        seed: of the draws.

    Raises:
        NotEnoughDataError: fewer than two sessions have a value.
        NotInstalledError: ``arch`` is missing.
    """
    kept = series[np.isfinite(series)]
    t = float(kept.mean() / (kept.std(ddof=1) / sqrt(len(kept)))) if len(kept) > 1 and np.ptp(kept) > 0 else np.nan
    return _interval(len(kept), lambda places: kept[places].mean(axis=-1), t, _Drawing(horizon, level, draws, seed))


def of_ratio(
    above: Floats, below: Floats, *, horizon: int = 1, level: float = 0.95, draws: int = DRAWS, seed: int = 0
) -> Interval:
    """The ratio of two sums over sessions, as R² is one; arguments and errors as ``of_mean``."""
    both = np.isfinite(above) & np.isfinite(below)
    top, bottom = above[both], below[both]

    def ratio(places: Ints) -> Floats:
        return np.asarray(top[places].sum(axis=-1) / bottom[places].sum(axis=-1))

    return _interval(len(top), ratio, float("nan"), _Drawing(horizon, level, draws, seed))


@dataclass(frozen=True, slots=True)
class _Drawing:
    horizon: int
    level: float
    draws: int
    seed: int


def _interval(count: int, statistic: Callable[[Ints], Floats], t: float, how: _Drawing) -> Interval:
    if count < 2:
        raise NotEnoughDataError("sessions with a value", count, 2)
    value = float(statistic(np.arange(count)))
    block = max(MIN_BLOCK, how.horizon)
    drawn = value + (statistic(_places(count, block, how.draws, how.seed)) - value) * _widening(count, block, how)
    lower, upper = np.quantile(drawn, (1 - how.level, how.level))
    # Draws scatter around the figure seen; moved by it they scatter around 0, which is what p is about.
    p = (1 + int(np.count_nonzero(drawn - value >= value))) / (how.draws + 1)
    return Interval(value, float(lower), float(upper), how.level, p, t, count)


def _widening(count: int, block: int, how: _Drawing) -> Floats:
    """(draws,) what each draw's distance is multiplied by, for three things that are known about it.

    The draws' variance is that of a lag window with weights r^|k|, r = 1 - 1 / block (Politis and Romano, section 3).
    Of a few hundred sessions it is, as it comes, too small: bounds of noise at 1 % were passed by 1.7 % of 1,500
    series of 186 sessions, and by 3.3 % where labels of five sessions overlapped.

    - Autocovariances are taken around the mean of the same sessions, each too small by 1 / count of the whole.
    - Labels of ``horizon`` sessions have autocovariances in proportion to horizon - |k|; the window keeps a part.
    - It is itself estimated, with as much uncertainty as a variance of count / sum(r^2|k|) independent values has:
      so each draw is divided by the root of such an estimate, as in Student's t.
    """
    r, lag = 1 - 1 / block, np.arange(1, how.horizon)
    taken_off = (2 * block - 1) / count
    kept = (how.horizon + 2 * float(((how.horizon - lag) * r**lag).sum())) / how.horizon**2
    degrees = max(count * (1 - r * r) / (1 + r * r), 1.0)
    estimate = np.random.default_rng([how.seed, count]).chisquare(degrees, how.draws) / degrees
    return np.asarray(1 / np.sqrt(max(1 - taken_off, 0.25) * kept * estimate))


@lru_cache(maxsize=16)
def _places(count: int, mean_block: int, draws: int, seed: int) -> Ints:
    """(draws, count) which sessions each draw is made of. The same for every figure of as many sessions, so that two
    figures are compared on the same draws, and made once."""
    with extra():
        from arch.bootstrap import StationaryBootstrap

    drawing = StationaryBootstrap(mean_block, np.arange(count), seed=np.random.default_rng(seed))
    places = np.empty((draws, count), np.int64)
    for row, (positional, _) in enumerate(drawing.bootstrap(draws)):
        places[row] = positional[0]
    places.flags.writeable = False
    return places


# --- the Sharpe ratio, given how often was tried -------------------------------------------------------------------


def expected_best_sharpe(trials: int, variance: float) -> float:
    """The Sharpe ratio the best of so many worthless trials is expected to have, per period.

    ``variance`` is that of the trials' Sharpe ratios. 0 for a single trial.
    (Bailey and López de Prado, The Deflated Sharpe Ratio, JPM 2014, equation 1.)
    """
    if trials < 2:
        return 0.0
    quantile = _NORMAL.inv_cdf
    best = (1 - _EULER) * quantile(1 - 1 / trials) + _EULER * quantile(1 - 1 / (trials * e))
    return sqrt(variance) * best


def deflated_sharpe(
    sharpe: float, *, periods: float, skewness: float, kurtosis: float, trials: int, variance: float
) -> float:
    """The probability that the true Sharpe ratio is above what the best of so many worthless trials would show.

    Args:
        sharpe: per period, not annualized.
        periods: how many independent ones it was measured on.
        skewness, kurtosis: of the returns; the normal's kurtosis is 3.
        trials: configurations ever evaluated, this one included.
        variance: of the trials' Sharpe ratios per period.

    Bailey and López de Prado (2014), equation 2; their example is in the tests.
    """
    spread = 1 - skewness * sharpe + (kurtosis - 1) / 4 * sharpe**2
    if periods <= 1 or spread <= 0:
        return 0.0
    distance = sharpe - expected_best_sharpe(trials, variance)
    return _NORMAL.cdf(distance * sqrt(periods - 1) / sqrt(spread))
