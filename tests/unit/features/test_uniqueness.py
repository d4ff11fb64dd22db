"""Weights by average uniqueness, worked out by hand."""

import numpy as np
import pytest

from hosu.errors import InputError
from hosu.features.uniqueness import uniqueness


def test_a_weight_is_the_mean_of_one_over_the_labels_in_each_slot() -> None:
    # Slots 0 to 3 are covered by 1, 2, 3 and 1 labels.
    first, last = np.array([0, 1, 2]), np.array([2, 2, 3])

    weight = uniqueness(first, last, 4)

    assert weight == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3, (1 / 2 + 1 / 3) / 2, (1 / 3 + 1) / 2], abs=1e-15)


def test_labels_that_do_not_overlap_weigh_exactly_one() -> None:
    assert uniqueness(np.array([0, 3, 6]), np.array([2, 5, 8]), 9).tolist() == [1.0, 1.0, 1.0]


def test_labels_of_five_slots_begun_in_each_weigh_a_fifth_in_the_middle() -> None:
    weight = uniqueness(np.arange(20), np.arange(20) + 4, 24)

    assert weight[10] == pytest.approx(0.2, abs=1e-15)
    assert weight[0] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5, abs=1e-15)


def test_rows_without_a_label_weigh_nothing_and_crowd_nobody() -> None:
    assert uniqueness(np.array([0, -1, 1]), np.array([0, 5, 1]), 2).tolist() == [1.0, 0.0, 1.0]


def test_an_interval_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(InputError, match="end before they begin"):
        uniqueness(np.array([3]), np.array([2]), 9)
