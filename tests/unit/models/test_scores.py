"""Scores against hand-computed values and against scipy and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr
from sklearn.metrics import roc_auc_score

from hosu.models import scores


def ic(score, outcome, t, session, count, least=1):
    arrays = [np.array(values, float) for values in (score, outcome)]
    return scores.rank_ic(*arrays, t=np.array(t), session=np.array(session), count=count, min_symbols=least)


def test_equal_values_share_the_mean_of_their_places():
    values, group = np.array([3.0, 1.0, 3.0, 7.0, 5.0, 5.0]), np.array([0, 0, 0, 0, 1, 1])
    assert scores.ranks(values, group).tolist() == [1.5, 0.0, 1.5, 3.0, 0.5, 0.5]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-4, 4)), min_size=1, max_size=40))
def test_ranks_are_scipys_within_each_group(pairs):
    group, values = (np.array(column) for column in zip(*sorted(pairs), strict=True))
    for one in set(group):
        assert (
            scores.ranks(values.astype(float), group)[group == one].tolist()
            == (rankdata(values[group == one]) - 1).tolist()
        )


def test_the_rank_correlation_is_by_session_and_ties_are_averaged():
    # Session 0: orders 0 1 2 against 0 2 1: 1 - 6 x 2 / 24 = 0.5. Session 1 in exact reverse. Session 2 has no rows.
    found = ic([1, 2, 3, 1, 2, 3], [10, 30, 20, 3, 2, 1], [1, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1], 3)
    np.testing.assert_allclose(found, [0.5, -1.0, np.nan])


@given(st.integers(0, 2**32 - 1))
def test_the_rank_correlation_is_scipys(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 9, 30).astype(float), rng.normal(size=30)
    expected = spearmanr(a, b).statistic
    assert ic(a, b, np.zeros(30, int), np.zeros(30, int), 1)[0] == pytest.approx(expected, abs=1e-12)


def test_a_session_of_fewer_symbols_is_left_out_and_missing_rows_do_not_count():
    score, outcome = [1, 2, np.nan, 1, 2, 3], [1, 2, 3, 1, 2, 3]
    np.testing.assert_allclose(ic(score, outcome, [1] * 3 + [2] * 3, [0] * 3 + [1] * 3, 2, least=3), [np.nan, 1.0])


def test_a_score_that_is_the_same_for_all_has_no_skill():
    assert ic([5, 5, 5], [1, 2, 3], [1, 1, 1], [0, 0, 0], 1)[0] == 0.0


def test_several_cross_sections_of_a_session_are_averaged():
    found = ic([1, 2, 1, 2], [1, 2, 2, 1], [1, 1, 2, 2], [0, 0, 0, 0], 1)
    assert found.tolist() == [0.0]


P = np.array([[0.2, 0.5, 0.3], [0.5, 0.3, 0.2], [0.0, 1.0, 0.0]])


def test_brier_of_three_classes_and_of_the_direction_given_a_move():
    # up: .04 + .25 + .49; down: .25 + .09 + .04; small, as said: 0
    np.testing.assert_allclose(scores.brier(P, np.array([1, -1, 0])), [0.78, 0.38, 0.0])
    # up is .6 of a move: .16; down told with 2/7 up: 4/49; a small move is not asked about
    np.testing.assert_allclose(scores.directional_brier(P, np.array([1, -1, 0])), [0.16, 4 / 49, np.nan])


def test_no_move_at_all_is_half_up():
    assert scores.up_given_move(P).tolist()[2] == 0.5


@given(st.integers(0, 2**32 - 1))
def test_auc_is_scikit_learns_with_ties(seed):
    rng = np.random.default_rng(seed)
    score, up = rng.integers(0, 6, 50).astype(float), rng.random(50) < 0.4
    up[:2] = [True, False]
    assert scores.auc(score, up) == pytest.approx(roc_auc_score(up, score))


def test_auc_of_one_kind_is_nothing():
    assert np.isnan(scores.auc(np.ones(3), np.ones(3, bool)))


def test_calibration_error_is_the_gap_in_bins_of_equal_mass():
    # Two bins of two: said .1 and .1, one of two happened (gap .4); said .8 and .8, both happened (gap .2).
    said = np.array([0.1, 0.1, 0.8, 0.8])
    probabilities = np.column_stack([1 - said, np.zeros(4), said])
    errors = scores.calibration_error(probabilities, np.array([1, -1, 1, 1]), bins=2)
    np.testing.assert_allclose(errors, [0.3, 0.0, 0.3])


def test_a_constant_probability_is_one_bin():
    probabilities = np.tile([0.25, 0.5, 0.25], (8, 1))
    label = np.array([-1, -1, 0, 0, 0, 0, 1, 1])
    np.testing.assert_allclose(scores.calibration_error(probabilities, label), 0.0)
    assert len(scores.reliability(probabilities[:, 0], label == -1)[0]) == 1


def test_of_equally_likely_classes_the_small_move_is_said():
    equal = np.array([[1 / 3, 1 / 3, 1 / 3], [0.4, 0.2, 0.4], [0.1, 0.2, 0.7]])
    assert scores.predicted_class(equal).tolist() == [0, -1, 1]
