"""Bounds and p by session, and the deflated Sharpe ratio of its authors' example."""

import numpy as np
import pytest

from hosu.errors import NotEnoughDataError
from hosu.models import bootstrap


def test_a_strong_mean_has_the_smallest_p_and_bounds_beside_it():
    series = 0.06 + 0.08 * np.random.default_rng(1).normal(size=190)
    found = bootstrap.of_mean(series)
    assert found.value == pytest.approx(series.mean())
    assert found.p == pytest.approx(1 / 2_001)
    assert 0.04 < found.lower < found.value < found.upper < 0.08
    assert found.sessions == 190


def test_one_sided_bounds_are_those_of_the_normal_where_sessions_are_independent():
    series = np.random.default_rng(2).normal(size=2_000)
    found = bootstrap.of_mean(series, level=0.99)
    assert (found.value - found.lower) * np.sqrt(2_000) == pytest.approx(2.326, rel=0.12)


def test_sessions_without_a_value_are_left_out():
    series = np.array([0.1, np.nan, 0.3, 0.2, np.nan])
    assert bootstrap.of_mean(series).value == pytest.approx(0.2)
    assert bootstrap.of_mean(series).sessions == 3


def test_the_same_seed_draws_the_same():
    series = np.random.default_rng(3).normal(size=50)
    assert bootstrap.of_mean(series, seed=7) == bootstrap.of_mean(series, seed=7)
    assert bootstrap.of_mean(series, seed=7).lower != bootstrap.of_mean(series, seed=8).lower


def test_overlapping_labels_widen_the_bounds():
    series = np.convolve(np.random.default_rng(4).normal(size=600), np.ones(20) / 20, "valid")
    near, far = bootstrap.of_mean(series), bootstrap.of_mean(series, horizon=20)
    assert far.upper - far.lower > 1.3 * (near.upper - near.lower)


@pytest.mark.parametrize("horizon", [1, 5])
def test_noise_is_called_a_signal_as_often_as_promised(horizon):
    # 400 series of 186 sessions without any mean, of labels that overlap: p <= .05 is expected 20 times; 34 or more
    # would be seen once in 1,000 times, and so would 12 or more of p <= .01.
    rng = np.random.default_rng(5)
    noise = [np.convolve(rng.normal(size=185 + horizon), np.ones(horizon) / horizon, "valid") for _ in range(400)]
    found = np.array([bootstrap.of_mean(series, horizon=horizon).p for series in noise])
    assert (found <= 0.05).sum() < 34
    assert (found <= 0.01).sum() < 12
    assert (found <= 0.05).sum() > 8  # nor is it blind


def test_a_ratio_of_sums_is_bounded_too():
    below = np.full(100, 2.0)
    above = 0.5 + 0.1 * np.random.default_rng(6).normal(size=100)
    found = bootstrap.of_ratio(above, below)
    assert found.value == pytest.approx(above.sum() / 200)
    assert found.lower < found.value < found.upper


def test_a_single_session_is_no_evidence():
    with pytest.raises(NotEnoughDataError, match="1 sessions with a value, 2 are needed"):
        bootstrap.of_mean(np.array([0.5, np.nan]))


def test_the_deflated_sharpe_ratio_of_its_authors_example():
    # Bailey and López de Prado (2014): an annual 2.5 over five years of days, 100 trials with annual variance 1/2,
    # skewness -3, kurtosis 10: the best by luck has 0.1132 a day, and the deflated ratio is 0.9004.
    assert bootstrap.expected_best_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    found = bootstrap.deflated_sharpe(
        2.5 / np.sqrt(250), periods=1_250, skewness=-3, kurtosis=10, trials=100, variance=0.5 / 250
    )
    assert found == pytest.approx(0.9004, abs=5e-5)


def test_a_single_trial_is_not_deflated_and_too_few_periods_prove_nothing():
    assert bootstrap.expected_best_sharpe(1, 0.5) == 0.0
    assert bootstrap.deflated_sharpe(1.0, periods=1, skewness=0, kurtosis=3, trials=1, variance=1) == 0.0
