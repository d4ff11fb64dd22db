"""Whether the world has moved away from what a model learned: its inputs by day, and its errors.

*Inputs*: the population stability index of each feature against the tenths of training, sum over the tenths of
(share today - share then) x ln(share today / share then). By custom up to 0.1 is called stable, and from 0.25 on
another population; on one day of a market that moves together more is ordinary, so look at several days.

*Errors*: ADWIN of river on the mean error of each session (Bifet and Gavaldà, 2007): it keeps a window as long as its
mean has not changed, and says where it has. A session is one error, since rows of one session err together. It has no
say in who serves: that is the betting's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.errors import InputError
from hosu.models.extra import extra
from hosu.models.scores import directional_brier, mean_by
from hosu.models.serve_facts import TENTHS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import Floats
    from hosu.models.matured import Matured
    from hosu.models.serve_facts import Facts

STABLE: Final = 0.1
MOVED: Final = 0.25
_LEAST: Final = 1e-4
"""Share that an empty tenth counts as: its logarithm would be without end."""
DELTA: Final = 0.002
"""ADWIN's confidence, river's default."""
RECENT: Final = 20
SCALED_BY: Final = 30
"""Sessions by which errors are scaled; with no more than that nothing is said."""


@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """One feature on one day.

    Attributes:
        feature: its name.
        psi: 0 where it lies as in training; NaN where no value is known.
        outside: share of the values outside of what the model answers for.
        null: share of the rows without a value.
    """

    feature: str
    psi: float
    outside: float
    null: float

    @property
    def word(self) -> str:
        """``stable``, ``moving``, ``moved`` or ``unknown``."""
        if not np.isfinite(self.psi):
            return "unknown"
        return "stable" if self.psi < STABLE else "moving" if self.psi < MOVED else "moved"


def stability_index(values: Floats, edges: Sequence[float]) -> float:
    """The population stability index of values (n,) against the tenths that ``edges`` (9,) part.

    Tenths that equal edges leave empty (a feature that is often the same) are joined with their neighbours. NaN values
    are left out; NaN without any.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan")
    inner, count = np.unique(np.asarray(edges, np.float64), return_counts=True)
    # On (edge before, edge]: what equals an edge lies below it, as many times as the edge was found.
    then = np.append(count, 1) / TENTHS
    now = np.bincount(np.searchsorted(inner, known, side="left"), minlength=len(then)) / len(known)
    a, b = np.maximum(now, _LEAST), np.maximum(then, _LEAST)
    return float(((a - b) * np.log(a / b)).sum())


def input_drift(facts: Facts, features: Floats) -> list[FeatureDrift]:
    """How the features (n, k) of one day lie against training, by feature.

    Raises:
        InputError: no rows, or the prior, which knows no training.
    """
    if not len(features):
        raise InputError("features of the day", "are none", "name a day with features")
    if not facts.tenths:
        raise InputError(f"the prior of {facts.model}", "looks at no feature", "drift is told of trained models")
    out = []
    for at, name in enumerate(facts.names):
        column = features[:, at]
        known = column[np.isfinite(column)]
        outside = (known < facts.low[at]) | (known > facts.high[at])
        share = float(outside.mean()) if len(known) else float("nan")
        null = 1 - len(known) / len(column)
        out.append(FeatureDrift(name, stability_index(column, facts.tenths[at]), share, null))
    return out


@dataclass(frozen=True, slots=True)
class ErrorDrift:
    """A session in which the mean error was found to have changed.

    Attributes:
        date: of the session.
        after: mean error of the last ``RECENT`` sessions up to it.
        before: of all sessions before those; NaN without any.
    """

    date: str
    before: float
    after: float


def error_drift(dates: Sequence[str], errors: Floats, *, delta: float = DELTA) -> list[ErrorDrift]:
    """Where a model's mean error has changed, oldest first; one change is often told of on several days in a row.

    Args:
        dates: (n,) sessions in order of time.
        errors: (n,) mean error of each; NaN sessions are left out, and with 30 or fewer others nothing is found.
        delta: chance of a false change at each cut, about.

    Raises:
        NotInstalledError: river is missing.
    """
    with extra():
        from river import drift

    known = np.flatnonzero(np.isfinite(errors))
    if len(known) <= SCALED_BY:
        return []
    seen = errors[known]
    # By default it looks at every 32nd value only, which of sessions is every six weeks.
    make: Any = drift.ADWIN
    detector, found = make(delta=delta, clock=1), []
    for at, value in enumerate(_scaled(seen).tolist()):
        detector.update(value)
        if detector.drift_detected:
            latest = max(at + 1 - RECENT, 0)
            before = float(seen[:latest].mean()) if latest else float("nan")
            found.append(ErrorDrift(dates[int(known[at])], before, float(seen[latest : at + 1].mean())))
    return found


def _scaled(errors: Floats) -> Floats:
    """(n,) in [0, 1], as ADWIN's bound has it: eight deviations of the first sessions wide. A mean error of a session
    moves by hundredths, which on a scale of 1 would take years to be found."""
    begun = errors[:SCALED_BY]
    deviation = float(begun.std())
    return np.asarray(np.clip(0.5 + (errors - begun.mean()) / (8 * deviation if deviation > 0 else 1.0), 0.0, 1.0))


def session_errors(each: Matured) -> tuple[tuple[str, ...], Floats]:
    """Dates and mean directional error of each session of a version: how far the probability of up, given a move, was
    from what happened; NaN where it answered for no row that moved."""
    rows = each.rows
    error = np.where(each.answered, directional_brier(each.probabilities, rows.label), np.nan)
    return rows.sessions, mean_by(rows.session, error, len(rows.sessions))
