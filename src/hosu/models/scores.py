"""Scores of predictions: one value a session where it can be, since the session is the unit of evidence.

A cross-section is all rows decided at one time. Daily rows have one a session, minute rows many; a session's value is
the mean over its cross-sections. Rows whose score or outcome is NaN are left out of what they cannot be part of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.panel import Flags, Floats, Ints

    Numbers = npt.NDArray[np.number]

MIN_SYMBOLS: Final = 100
"""A cross-section of fewer symbols has no daily statistic: a rank correlation of a handful is noise."""

BINS: Final = 15
DOWN, SMALL, UP = 0, 1, 2
"""Columns of probabilities: classes -1, 0 and +1."""


def ranks(values: Floats, group: Ints) -> Floats:
    """(n,) the place of each value among those of its group, from 0; equal values share the mean of their places."""
    order = np.lexsort((values, group))
    sorted_group, sorted_values = group[order], values[order]
    new_group = np.ones(len(order), bool)
    new_group[1:] = sorted_group[1:] != sorted_group[:-1]
    new_run = new_group.copy()
    new_run[1:] |= sorted_values[1:] != sorted_values[:-1]
    begins = np.flatnonzero(new_run)
    length = np.diff(np.append(begins, len(order)))
    middle = np.repeat(begins + (length - 1) / 2, length)
    start = np.flatnonzero(new_group)
    out = np.empty(len(order))
    out[order] = middle - np.repeat(start, np.diff(np.append(start, len(order))))
    return out


def rank_ic(
    score: Floats, outcome: Floats, *, t: Ints, session: Numbers, count: int, min_symbols: int = MIN_SYMBOLS
) -> Floats:
    """(count,) Spearman's rank correlation of score and outcome by session; NaN without a large enough section.

    Args:
        score, outcome: (n,) NaN in either leaves the row out.
        t: (n,) when each row was decided; rows of one time are one cross-section.
        session: (n,) place of each row's session.
        count: how many sessions there are.
        min_symbols: a cross-section of fewer rows is left out.

    A score that is the same for all (the prior's) orders nothing, and has 0.
    """
    known = np.isfinite(score) & np.isfinite(outcome)
    section, first = sections(t[known])
    size = np.bincount(section, minlength=len(first))
    middle = (size[section] - 1) / 2
    a = ranks(score[known], section) - middle
    b = ranks(outcome[known], section) - middle
    together, alone = (
        _sums(section, a * b, len(first)),
        _sums(section, a * a, len(first)) * _sums(section, b * b, len(first)),
    )
    ic = np.divide(together, np.sqrt(alone), out=np.zeros(len(first)), where=alone > 0)
    return mean_by(session[known][first], np.where(size >= min_symbols, ic, np.nan), count)


def sections(t: Ints) -> tuple[Ints, Ints]:
    """Of rows in order of time: (n,) the number of each one's cross-section, and the first row of each section."""
    new = np.ones(len(t), bool)
    new[1:] = t[1:] != t[:-1]
    return np.cumsum(new) - 1, np.flatnonzero(new)


def mean_by(session: Numbers, value: Floats, sessions: int) -> Floats:
    """(sessions,) the mean of what is not NaN in each session; NaN where there is nothing."""
    known = np.isfinite(value)
    total = _sums(session[known], value[known], sessions)
    count = np.bincount(session[known], minlength=sessions)
    return np.asarray(np.divide(total, count, out=np.full(sessions, np.nan), where=count > 0))


def _sums(group: Numbers, value: Floats, groups: int) -> Floats:
    return np.asarray(np.bincount(group, value, minlength=groups), np.float64)


# --- probabilities -------------------------------------------------------------------------------------------------


def brier(probabilities: Floats, label: Numbers) -> Floats:
    """(n,) squared distance of the three probabilities from what happened, from 0 to 2."""
    happened = label[:, None] == np.array([-1, 0, 1])
    return np.asarray(((probabilities - happened) ** 2).sum(axis=1))


def up_given_move(probabilities: Floats) -> Floats:
    """(n,) the probability of up, given that it moves; 0.5 where both are 0."""
    move = probabilities[:, UP] + probabilities[:, DOWN]
    return np.asarray(np.divide(probabilities[:, UP], move, out=np.full(len(move), 0.5), where=move > 0))


def directional_brier(probabilities: Floats, label: Numbers) -> Floats:
    """(n,) squared distance of the probability of up, given a move, from what happened; NaN of small moves.

    Volatility tells a small move from a large one without knowing its direction; a score of three classes rewards
    that, and this one does not.
    """
    return np.where(label == 0, np.nan, (up_given_move(probabilities) - (label == 1)) ** 2)


def calibration_error(probabilities: Floats, label: Numbers, bins: int = BINS) -> Floats:
    """(3,) class-wise expected calibration error: the mean gap of what was said and what happened, by row.

    Bins hold equally many rows; rows that were told the same share a bin, so a constant probability is one bin.
    (Kull et al., Beyond temperature scaling, NeurIPS 2019; equal mass: Nixon et al., CVPR workshops 2019.)
    """
    return np.array([_gap(probabilities[:, k], label == k - 1, bins) for k in range(3)])


def _gap(said: Floats, happened: Flags, bins: int) -> float:
    if not len(said):
        return float("nan")
    _, gap, mass = reliability(said, happened, bins)
    return float((np.abs(gap) * mass).sum())


def reliability(said: Floats, happened: Flags, bins: int = BINS) -> tuple[Floats, Floats, Floats]:
    """By bin: mean probability said, share that happened minus it, share of the rows. Empty bins are left out."""
    edges = np.unique(np.quantile(said, np.linspace(0, 1, bins + 1)[1:-1]))
    place = np.searchsorted(edges, said, side="right")
    count = np.bincount(place, minlength=len(edges) + 1)
    held = count > 0
    mean = np.bincount(place, said, len(edges) + 1)[held] / count[held]
    share = np.bincount(place, happened, len(edges) + 1)[held] / count[held]
    return mean, share - mean, count[held] / len(said)


def auc(score: Floats, up: Flags) -> float:
    """The chance that a row that went up has a higher score than one that did not; equal scores count half.

    NaN where there is only one kind.
    """
    ups = int(np.count_nonzero(up))
    if ups in (0, len(up)):
        return float("nan")
    place = ranks(score, np.zeros(len(score), np.int64))
    return float((place[up].sum() - ups * (ups - 1) / 2) / (ups * (len(up) - ups)))


def predicted_class(probabilities: Floats) -> npt.NDArray[np.int8]:
    """(n,) the likeliest of -1, 0 and 1; of equally likely ones a small move, which claims least, then -1."""
    order = np.array([SMALL, DOWN, UP])
    return np.asarray(order[np.argmax(probabilities[:, order], axis=1)] - 1, np.int8)
