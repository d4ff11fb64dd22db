"""Drift: tenths by hand, and errors whose mean changes."""

import math

import numpy as np
import pytest

from hosu.errors import InputError
from hosu.models.drift import error_drift, input_drift, stability_index
from hosu.models.served import Served
from model_cases import NAMES, SET, packed, rows

EDGES = [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_day_spread_as_training_has_no_drift():
    values = np.repeat(np.arange(10) + 0.5, 7)
    assert stability_index(values, EDGES) == pytest.approx(0.0)


def test_a_day_in_one_half_is_told_by_hand():
    # Five tenths hold a fifth each and five none, which count as 0.0001.
    values = np.arange(5) + 0.5
    hand = 5 * (0.2 - 0.1) * math.log(2) + 5 * (0.0001 - 0.1) * math.log(0.001)
    assert stability_index(values, EDGES) == pytest.approx(hand)


def test_a_feature_that_is_often_the_same_has_wider_bins():
    # Nine edges at 0: nine tenths lie at or below it.
    assert stability_index(np.array([0.0] * 9 + [1.0]), [0.0] * 9) == pytest.approx(0.0)
    assert stability_index(np.array([1.0] * 10), [0.0] * 9) > 1


def test_nulls_are_left_out_and_told():
    assert math.isnan(stability_index(np.array([np.nan, np.inf]), EDGES))
    assert stability_index(np.append(np.repeat(np.arange(10) + 0.5, 2), np.nan), EDGES) == pytest.approx(0.0)


def test_inputs_are_compared_with_the_tenths_that_are_kept_with_the_model():
    pytest.importorskip("onnxruntime")
    facts = Served.load(packed()).facts
    today = rows(seed=9)[0]
    today[:, 1] += 1
    today[::2, 2] = np.nan
    today[:, 2] *= 50
    a, b, c = input_drift(facts, today)
    assert (a.word, b.word, c.word) == ("stable", "moved", "moved")
    assert (a.null, c.null) == (0.0, 0.5)
    assert a.outside < 0.01
    assert c.outside > 0.9


def test_the_prior_has_nothing_to_drift_from_and_no_rows_are_refused():
    prior = Served.of_prior(model="day-1", horizon=1, interval="day", feature_set_version=SET, names=NAMES)
    with pytest.raises(InputError, match="looks at no feature"):
        input_drift(prior.facts, np.zeros((1, 3)))
    with pytest.raises(InputError, match="are none"):
        input_drift(prior.facts, np.zeros((0, 3)))


def test_errors_whose_mean_rises_are_found_with_their_day_and_steady_ones_are_not():
    pytest.importorskip("river")
    chance = np.random.default_rng(5)
    steady = chance.normal(0.25, 0.02, 400)
    dates = [f"day {at}" for at in range(400)]
    assert error_drift(dates, steady) == []
    risen = steady.copy()
    risen[250:] += 0.2
    risen[10] = np.nan
    found = error_drift(dates, risen)
    assert found
    assert 250 <= int(found[0].date.removeprefix("day ")) < 320
    assert found[0].after > 0.4 > found[0].before
