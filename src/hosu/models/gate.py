"""The gate a model passes before it serves, and the verdict in words."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from hosu.models import bootstrap, checks
from hosu.models.baselines import opposite_sign, yesterdays_sign
from hosu.models.checks import Rules
from hosu.models.money import money
from hosu.models.scores import auc, brier, mean_by, predicted_class
from hosu.models.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.features.panel import Floats
    from hosu.models.bootstrap import Interval
    from hosu.models.checks import Check
    from hosu.models.money import Money
    from hosu.models.trials import Trials
    from hosu.models.walk import Walked


class Verdict(StrEnum):
    """What is to be thought of a model; only ``EDGE`` becomes champion."""

    NO_EDGE = "no edge"  # no signal, or none that a line of code would not have
    NOT_TRADABLE = "signal, not tradable"  # it knows something, and trading on it loses
    UNCALIBRATED = "uncalibrated"  # all but the probabilities
    EDGE = "edge"


@dataclass(frozen=True, slots=True)
class Judgement:
    """The gate's answer.

    Attributes:
        verdict: in words.
        checks: G1 to G5, in order; all are made, whichever failed.
        reported: figures by name that are shown and do not decide.
        price: R² of the expected price against the last one.
        persistence: whether the predicted price must be the last one, since the lower bound of ``price`` is not
            above 0.
        ic: (sessions,) of the tested rows, NaN where there is none.
        money: what the top tenth earned, by session.
    """

    verdict: Verdict
    checks: tuple[Check, ...]
    reported: Mapping[str, float]
    price: Interval
    persistence: bool
    ic: Floats
    money: Money

    @property
    def calibrated(self) -> bool:
        """Whether G3 passed: three of the four verdicts do not say."""
        return self.checks[2].passed

    @property
    def sentence(self) -> str:
        """The verdict and why, in one line."""
        failed = [f"{check.name}: {check.sentence}" for check in self.checks if not check.passed]
        return f"{self.verdict.value}: " + ("; ".join(failed) if failed else "all checks passed")


def verdict_of(passed: Sequence[bool]) -> Verdict:
    """Of the five checks, in order."""
    has_signal, above_baselines, is_calibrated, earns, survives = passed
    if not (has_signal and above_baselines):
        return Verdict.NO_EDGE
    if not (earns and survives):
        return Verdict.NOT_TRADABLE
    return Verdict.EDGE if is_calibrated else Verdict.UNCALIBRATED


def judge(
    walked: Walked,
    *,
    trial: Trial,
    trials: Trials,
    logistic: Walked | None,
    refitted: Sequence[float] = (),
    rules: Rules | None = None,
) -> Judgement:
    """Makes all checks, and logs the trial before anything is told.

    Args:
        walked: predictions out of sample.
        trial: what this is; its Sharpe ratio is filled in here.
        trials: where it is counted.
        logistic: the same rows walked by logistic regression; None only where ``walked`` is it.
        refitted: mean ICs of flip worlds learned anew, see ``checks.signal``.
        rules: None are the gate's.

    Raises:
        NotEnoughDataError: too few sessions have enough symbols.
        ValueError: ``logistic`` was walked on other rows.
        InputError: the log of trials cannot be read or written.
    """
    ruled = rules or Rules()
    rows = walked.rows
    found = money(rows, walked.said.score, walked.horizon, min_symbols=ruled.min_symbols)
    ic = checks.daily_ic(walked, walked.said.score, ruled)
    sharpe = checks.holding_sharpe(found) if checks.orders_somebody(walked) else None
    trials.record(Trial(trial.market, trial.horizon, trial.configuration, trial.dataset, sharpe))
    made = (
        checks.signal(walked, ic, ruled, refitted),
        checks.beats_baselines(walked, ic, _baselines(walked, logistic), ruled),
        checks.calibrated(walked, ruled),
        checks.earns(found, ruled),
        checks.survives_trials(found, trials.history(trial.market, trial.horizon), ruled),
    )
    price = price_skill(walked, ruled)
    return Judgement(
        verdict=verdict_of([check.passed for check in made]),
        checks=made,
        reported=reported(walked),
        price=price,
        persistence=not price.lower > 0,
        ic=ic,
        money=found,
    )


def _baselines(walked: Walked, logistic: Walked | None) -> dict[str, Floats]:
    scores = {"yesterdays_sign": yesterdays_sign(walked.rows), "opposite_sign": opposite_sign(walked.rows)}
    if logistic is None:
        return scores
    if not np.array_equal(logistic.rows.t, walked.rows.t) or not np.array_equal(
        logistic.rows.symbol, walked.rows.symbol
    ):
        raise ValueError("the logistic baseline was walked on other rows")
    return {**scores, "logistic": logistic.said.score}


def price_skill(walked: Walked, rules: Rules) -> Interval:
    """R² of the expected return against a return of 0, with its bounds at 95 %.

    Of returns, never of prices: tomorrow's price is nearly today's, so the R² of price levels is above 0.99 for the
    last price itself, and says nothing.
    """
    rows = walked.rows
    missed = (rows.ret_px - walked.said.expected) ** 2
    still = rows.ret_px**2
    sessions = len(rows.sessions)
    # By session the mean, so that each weighs the same however many rows it has.
    gained, all_of_it = mean_by(rows.session, still - missed, sessions), mean_by(rows.session, still, sessions)
    return bootstrap.of_ratio(gained, all_of_it, horizon=walked.horizon, seed=rules.seed)


def reported(walked: Walked) -> dict[str, float]:
    """Figures that are shown and do not decide, of the rows that were answered, and of the prior on the same rows.

    ``disagree`` is the share of answered rows with a predicted move whose expected return has the other sign; NaN
    where no move is ever predicted.
    """
    answered = ~walked.said.abstained
    label, said, prior = walked.rows.label[answered], walked.said.probabilities[answered], walked.prior[answered]
    moved = label != 0
    predicted = predicted_class(said)
    side = np.sign(walked.said.score[answered])
    sure = predicted != 0
    against = np.sign(walked.said.expected[answered][sure]) == -predicted[sure]
    return {
        "accuracy": _share(predicted == label),
        "accuracy_prior": _share(predicted_class(prior) == label),
        "accuracy_given_move": _share(side[moved] == label[moved]),
        "auc_given_move": auc(walked.said.score[answered][moved], label[moved] == 1),
        "brier": _share(brier(said, label)),
        "brier_prior": _share(brier(prior, label)),
        "disagree": _share(against),
        "abstained": _share(walked.said.abstained),
    }


def _share(values: Floats | np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> float:
    return float(values.mean()) if len(values) else float("nan")
