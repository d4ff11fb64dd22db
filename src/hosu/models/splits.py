"""Which rows are learned from and which are tested: walk-forward by calendar month, purged by label interval.

A label decided before the test begins may end inside it; a model that has seen it has seen the test (López de Prado,
Advances in Financial Machine Learning, chapter 7). So a row is learned from only if its label's interval ended before
the first decision of the test, times being compared, not dates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import NotEnoughDataError

if TYPE_CHECKING:
    from hosu.features.panel import Flags, Ints, LabelledRows

MIN_TRAIN_SESSIONS: Final = 120
MIN_TEST_SESSIONS: Final = 180
CALIBRATED_SHARE: Final = 5
"""One in so many training sessions, the last ones, is kept for the calibrator."""


@dataclass(frozen=True, slots=True)
class Fold:
    """One step of the walk; all are places of rows, ascending.

    Attributes:
        name: of the tested span: its month, ``YYYY-MM``.
        fit: what the model, the scaler and the prior are fitted on.
        calibrate: what the mix of model and prior is fitted on, later than ``fit`` and apart from it.
        test: every labelled row of the month, those without features too.
    """

    name: str
    fit: Ints
    calibrate: Ints
    test: Ints


def complete(rows: LabelledRows) -> Flags:
    """(n,) whether no feature is null or infinite; a model abstains from the other rows."""
    return np.asarray(np.isfinite(rows.features).all(axis=1))


def walk_forward(
    rows: LabelledRows, *, min_train: int = MIN_TRAIN_SESSIONS, min_test: int = MIN_TEST_SESSIONS
) -> tuple[Fold, ...]:
    """The folds, in order of time: each tests one month, and learns from all that had ended before it began.

    A month with fewer than ``min_train`` training sessions before it is not tested. A session counts for training if
    a row of it has a label and all its features. The first decision of a test is looked for among all its rows, with
    a label or not.

    Raises:
        NotEnoughDataError: no month has that many training sessions before it, or fewer than ``min_test`` sessions
            would be tested in all.
    """
    usable = rows.labelled & complete(rows)
    month = np.array([session[:7] for session in rows.sessions])[rows.session]
    folds, most = [], 0
    for name in np.unique(month):
        inside = month == name
        train = usable & (rows.t1 < rows.t[inside].min())
        count = _count_sessions(rows, train)
        most = max(most, count)
        test = np.flatnonzero(inside & rows.labelled)
        if count >= min_train and len(test):
            folds.append(fold_of(str(name), rows, train, test))
    if not folds:
        raise NotEnoughDataError("training sessions before any test", most, min_train)
    tested = len(np.unique(np.concatenate([rows.session[fold.test] for fold in folds])))
    if tested < min_test:
        raise NotEnoughDataError("test sessions", tested, min_test)
    return tuple(folds)


def whole(rows: LabelledRows, *, min_train: int = MIN_TRAIN_SESSIONS) -> Fold:
    """The fold that learns from all there is and tests nothing: that of the model to be served.

    Raises:
        NotEnoughDataError: fewer than ``min_train`` sessions can be learned from.
    """
    train = rows.labelled & complete(rows)
    count = _count_sessions(rows, train)
    if count < min_train:
        raise NotEnoughDataError("training sessions", count, min_train)
    return fold_of("whole", rows, train, np.zeros(0, np.int64))


def fold_of(name: str, rows: LabelledRows, train: Flags, test: Ints) -> Fold:
    """The training rows parted for model and calibrator, purged where they meet like train and test."""
    sessions = np.unique(rows.session[train])
    kept_apart = sessions[len(sessions) - max(len(sessions) // CALIBRATED_SHARE, 1) :]
    calibrate = train & (rows.session >= kept_apart[0])
    fit = train & (rows.t1 < rows.t[calibrate].min())
    return Fold(name, np.flatnonzero(fit), np.flatnonzero(calibrate), test)


def _count_sessions(rows: LabelledRows, mask: Flags) -> int:
    return len(np.unique(rows.session[mask]))
