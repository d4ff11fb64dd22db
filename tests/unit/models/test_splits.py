"""Folds on calendars small enough to count by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hosu.errors import NotEnoughDataError
from hosu.models.splits import walk_forward, whole


def test_a_fold_learns_only_from_labels_that_ended_before_its_first_decision(make_rows):
    # Weekdays from 2024-01-02: 22 in January, 21 each in February and March, then one in April without a label.
    rows = make_rows(symbols=2, sessions=65)
    february, march = walk_forward(rows, min_train=20, min_test=1)
    # The label of January's last session (place 21) ends on February 1 at 6:30, before the decision at 6:36; so does
    # that of 17 before the decision of 18, with which the calibrator's fifth begins.
    assert (february.name, march.name) == ("2024-02", "2024-03")
    assert sorted(set(rows.session[np.union1d(february.fit, february.calibrate)])) == [*range(22)]
    assert sorted(set(rows.session[february.test])) == list(range(22, 43))


def test_the_calibrator_has_the_last_fifth_and_the_model_what_ended_before_it(make_rows):
    rows = make_rows(symbols=2, sessions=65, horizon=3)
    february, _ = walk_forward(rows, min_train=20, min_test=1)
    # Labels of three sessions: of January's 22 the last two (20, 21) end after February's first decision.
    # A fifth of 20 is 4: 16 to 19. The fit ends where labels end before 16's decision: 13 ends on 16 at 6:30.
    assert sorted(set(rows.session[february.calibrate])) == [16, 17, 18, 19]
    assert sorted(set(rows.session[february.fit])) == list(range(14))


def test_times_are_compared_and_not_only_dates(make_rows):
    rows = make_rows(symbols=2, sessions=65)
    later = replace(rows, t1=np.where(rows.t1 > 0, rows.t1 + 360_000_000, 0))  # 6:36, the moment of the decision
    february, _ = walk_forward(later, min_train=20, min_test=1)
    assert rows.session[february.calibrate].max() == 20


def test_a_row_without_a_feature_is_tested_and_not_learned_from(make_rows):
    rows = make_rows(symbols=2, sessions=65)
    features = rows.features.copy()
    features[[3, 50], 0] = np.nan
    february, march = walk_forward(replace(rows, features=features), min_train=20, min_test=1)
    assert 3 not in np.union1d(february.fit, march.fit)
    assert 50 in february.test


@pytest.mark.parametrize(
    ("min_train", "min_test", "what", "have"),
    [(500, 1, "training sessions before any test", 64), (20, 300, "test sessions", 42)],
)
def test_too_short_a_history_is_refused_with_its_figures(make_rows, min_train, min_test, what, have):
    with pytest.raises(NotEnoughDataError) as refused:
        walk_forward(make_rows(symbols=2, sessions=65), min_train=min_train, min_test=min_test)
    assert (refused.value.what, refused.value.have) == (what, have)


def test_the_gates_own_thresholds_are_120_and_180_sessions(make_rows):
    folds = walk_forward(make_rows(symbols=2, sessions=340))
    assert folds[0].name == "2024-07"  # 130 sessions before it; June has 107
    with pytest.raises(NotEnoughDataError, match="test sessions, 180 are needed"):
        walk_forward(make_rows(symbols=2, sessions=300))


def test_the_model_to_be_served_learns_from_all_and_tests_nothing(make_rows):
    rows = make_rows(symbols=2, sessions=65)
    fold = whole(rows, min_train=64)
    assert len(fold.test) == 0
    assert rows.session[fold.calibrate].min() == 52  # 64 labelled sessions, the last 12
    assert rows.session[fold.fit].max() == 51
