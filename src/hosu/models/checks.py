"""The five checks of the gate, each apart: what it asks, the figures, and whether they pass.

Bounds are one-sided and by session (``bootstrap``). None of the checks sees a fault that is in rows, features and
labels alike, such as a universe of survivors or prices that jump between bid and ask: both look like skill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.models import bootstrap
from hosu.models.scores import (
    MIN_SYMBOLS,
    calibration_error,
    directional_brier,
    mean_by,
    rank_ic,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.features.panel import Floats
    from hosu.models.bootstrap import Interval
    from hosu.models.money import Money
    from hosu.models.trials import Trial
    from hosu.models.walk import Walked

FLIP_WORLDS: Final = 200
MIN_KNOWN: Final = 5
"""Trials whose ratio is known, before their variance is believed."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What must be reached; the defaults are the gate, others are for tests of small worlds."""

    min_symbols: int = MIN_SYMBOLS
    signal_p: float = 0.001
    calibration_error: float = 0.03
    brier_worse: float = 0.002
    coverage: float = 0.2
    deflated_sharpe: float = 0.95
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer.

    Attributes:
        name: as ``G1 signal``.
        passed: whether it may go on.
        figures: by name, in the order they are shown; NaN what could not be reckoned.
        sentence: the answer in words.
    """

    name: str
    passed: bool
    figures: Mapping[str, float]
    sentence: str


def daily_ic(walked: Walked, score: Floats, rules: Rules) -> Floats:
    """(sessions,) rank correlation of a score with ``ret_ex``."""
    rows = walked.rows
    return rank_ic(
        score,
        rows.ret_ex,
        t=rows.t,
        session=rows.session,
        count=len(rows.sessions),
        min_symbols=rules.min_symbols,
    )


def flipped_means(ic: Floats, horizon: int, seed: int, worlds: int = FLIP_WORLDS) -> Floats:
    """(worlds,) the mean IC where the returns of whole sessions had a random sign, the scores being what they were.

    The IC of turned returns is the turned IC, so nothing has to be reckoned anew. Labels that overlap turn together.
    """
    kept = ic[np.isfinite(ic)]
    blocks = -(-len(kept) // horizon)
    signs = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), (worlds, blocks))
    return np.asarray((np.repeat(signs, horizon, axis=1)[:, : len(kept)] * kept).mean(axis=1))


def signal(walked: Walked, ic: Floats, rules: Rules, refitted: Sequence[float] = ()) -> Check:
    """G1: is there any order in the scores?

    Asked twice: by the bootstrap, and against 200 worlds that turn the returns of whole sessions against the scores as
    they are. That is a randomization test: exact, however the stocks of a day move together, if given its size the IC
    of a session is as often negative as positive, apart from others. It does not control what the walk itself may do
    wrong (a split that leaks, a look-ahead in the features): there the scores know the true signs, and turning them
    afterwards hides nothing.

    Where ``refitted`` holds the mean ICs of worlds whose labels were turned before everything was learned anew, the IC
    must be above all of these too. That shows a split that leaks, since it leaks the turned labels as well. A feature
    that looks ahead tells the return as it was and not as it was turned; only bars turned before the features are made
    (``nulls.of_bars``) show it.
    """
    found = bootstrap.of_mean(ic, horizon=walked.horizon, seed=rules.seed)
    worlds = flipped_means(ic, walked.horizon, rules.seed)
    highest, highest_refitted = float(worlds.max()), max(refitted, default=-np.inf)
    passed = found.value > 0 and found.p <= rules.signal_p and found.value > max(highest, highest_refitted)
    figures = {**_told("ic", found), "highest_of_worlds": highest, "worlds": float(len(worlds))}
    said = f"mean daily rank IC {found.value:.4f} over {found.sessions} sessions (p {found.p:.4f}, t {found.t:.1f})"
    said += f"; the highest of {len(worlds)} worlds without signal has {highest:.4f}"
    if refitted:
        figures |= {"highest_refitted": highest_refitted, "refitted": float(len(refitted))}
        said += f", of {len(refitted)} learned anew {highest_refitted:.4f}"
    return Check("G1 signal", bool(passed), figures, said)


_CALLED: Final = {
    "yesterdays_sign": "yesterday's sign",
    "opposite_sign": "its opposite",
    "logistic": "logistic regression",
}


def beats_baselines(walked: Walked, ic: Floats, baselines: Mapping[str, Floats], rules: Rules) -> Check:
    """G2: is it more than what needs no model? Compared on the same sessions and rows, by the difference of the ICs:
    who abstains from hard rows, or from easy ones, is not compared with one who ranks them."""
    figures: dict[str, float] = {}
    failed = []
    for name, score in baselines.items():
        other = daily_ic(walked, np.where(walked.said.abstained, np.nan, score), rules)
        gap = bootstrap.of_mean(ic - other, horizon=walked.horizon, seed=rules.seed)
        figures |= {f"{name}_ic": float(np.nanmean(other)), f"{name}_gap": gap.value, f"{name}_gap_lower": gap.lower}
        if not gap.lower > 0:
            failed.append(f"{_CALLED.get(name, name)} (by {gap.value:.4f}, lower bound {gap.lower:.4f})")
    names = ", ".join(_CALLED.get(name, name) for name in baselines)
    said = f"not surely above that of {', '.join(failed)}" if failed else f"above that of {names}"
    return Check("G2 baselines", not failed, figures, f"its IC is {said}")


def calibrated(walked: Walked, rules: Rules) -> Check:
    """G3: do the probabilities mean what they say? Abstained rows say what the prior says."""
    rows, said = walked.rows, walked.said
    errors = calibration_error(said.probabilities, rows.label)
    ours, prior = (
        mean_by(rows.session, directional_brier(p, rows.label), len(rows.sessions))
        for p in (said.probabilities, walked.prior)
    )
    worse = bootstrap.of_mean(ours - prior, horizon=walked.horizon, seed=rules.seed)
    coverage = float(np.mean(~said.abstained))
    error = float(errors.mean())
    passed = error <= rules.calibration_error and worse.upper <= rules.brier_worse and coverage >= rules.coverage
    figures = {
        "calibration_error": error,
        "calibration_error_down": float(errors[0]),
        "calibration_error_small": float(errors[1]),
        "calibration_error_up": float(errors[2]),
        "directional_brier": float(np.nanmean(ours)),
        "directional_brier_prior": float(np.nanmean(prior)),
        **_told("brier_worse", worse),
        "coverage": coverage,
    }
    gap = f"directional Brier {worse.value:+.5f} beside the prior's (upper bound {worse.upper:+.5f})"
    return Check("G3 calibration", passed, figures, f"calibration error {error:.4f}; {gap}; answers {coverage:.0%}")


def earns(found: Money, rules: Rules) -> Check:
    """G4: does the top tenth earn more than the universe, after cost? At the lower 99 % bound.

    A session earns the mean over the holdings running, each its part; over all sessions that is the mean over
    holdings of a part of each. The holdings are what is drawn, since how they overlap is known.
    """
    net, gross, absolute = (
        bootstrap.of_mean(series / found.horizon, horizon=found.horizon, level=0.99, seed=rules.seed)
        for series in (found.excess, found.gross, found.absolute)
    )
    cost = float(np.nanmean(found.cost)) / found.horizon
    figures = {**_told("net", net), **_told("gross", gross), **_told("absolute_net", absolute), "cost": cost}
    said = (
        f"the top tenth earns {gross.value * 1e4:+.1f} bp a session beside the universe, "
        f"{net.value * 1e4:+.1f} after {cost * 1e4:.1f} of cost (lower 99 % bound {net.lower * 1e4:+.1f}); "
        f"whatever the market did, {absolute.value * 1e4:+.1f}"
    )
    return Check("G4 money", net.lower > 0, figures, said)


def holding_sharpe(found: Money) -> float | None:
    """Mean over deviation of the net excess per holding; None where there are fewer than three, or all are equal.

    Of holdings, not of sessions: the series by session of overlapping holdings is smoothed, and its deviation, and so
    its ratio, flatters.
    """
    kept = found.excess[np.isfinite(found.excess)]
    return float(kept.mean() / kept.std(ddof=1)) if len(kept) > 2 and np.ptp(kept) > 0 else None


def orders_somebody(walked: Walked) -> bool:
    """Whether a score ever sets apart two of the same time. One that never does holds the universe and pays for it:
    its net excess is the cost, which hardly varies, and its Sharpe ratio (-14 a holding) is no draw of luck."""
    score, t = walked.said.score, walked.rows.t
    known = np.isfinite(score)
    score, t = score[known], t[known]  # of one time beside each other
    return bool((score[1:] != score[:-1])[t[1:] == t[:-1]].any())


def survives_trials(found: Money, history: Sequence[Trial], rules: Rules) -> Check:
    """G5: could the best of as many worthless trials have earned this? ``history`` holds this one too.

    Overlapping holdings count as one for each horizon.
    """
    kept = found.excess[np.isfinite(found.excess)]
    sharpe, periods = holding_sharpe(found), len(kept) / found.horizon
    count = max(len(history), 1)
    if sharpe is None or periods <= 1:
        return Check("G5 trials", False, {"trials": float(count)}, "too few holdings for a Sharpe ratio")
    variance = trials_variance(history, periods)
    scaled = (kept - kept.mean()) / kept.std()
    chance = bootstrap.deflated_sharpe(
        sharpe,
        periods=periods,
        skewness=float((scaled**3).mean()),
        kurtosis=float((scaled**4).mean()),
        trials=count,
        variance=variance,
    )
    best = bootstrap.expected_best_sharpe(count, variance)
    figures = {"deflated_sharpe": chance, "sharpe": sharpe, "best_by_luck": best, "trials": float(count)}
    said = f"deflated Sharpe {chance:.3f}: {sharpe:.3f} a holding, and {best:.3f} is the best of {count} by luck"
    return Check("G5 trials", chance >= rules.deflated_sharpe, figures, said)


def trials_variance(history: Sequence[Trial], periods: float) -> float:
    """The variance of the trials' Sharpe ratios, by their median deviation, if five are known.

    At least that of worthless ones on as many periods, 1 / (periods - 1): a log of near-equal trials has little
    variance, which would make many of them as good as one. By the median, since one odd trial would else set a bar for
    all time that nothing passes. Trials that ordered nobody are logged without a ratio (``orders_somebody``): they
    count among the trials, and not here, for of the spread of luck they say nothing.
    """
    by_luck = 1 / (periods - 1)
    known = np.array([trial.sharpe for trial in history if trial.sharpe is not None])
    if len(known) < MIN_KNOWN:
        return by_luck
    deviation = 1.4826 * float(np.median(np.abs(known - np.median(known))))
    return max(deviation**2, by_luck)


def _told(name: str, found: Interval) -> dict[str, float]:
    figures = {name: found.value, f"{name}_lower": found.lower, f"{name}_upper": found.upper}
    return {**figures, f"{name}_p": found.p, f"{name}_t": found.t, f"{name}_sessions": float(found.sessions)}
