"""Counting what is found where there is nothing."""

import pytest
from scipy.stats import beta

from hosu.models import nulls
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.worlds import flip, flip_labels


@pytest.mark.parametrize(("found", "count"), [(0, 200), (0, 20), (3, 200), (10, 10), (7, 40)])
def test_bounds_of_a_share_are_those_of_clopper_and_pearson(found, count):
    lower, upper = nulls.share_bounds(found, count)
    assert lower == pytest.approx(beta.ppf(0.025, found, count - found + 1) if found else 0.0, abs=1e-9)
    assert upper == pytest.approx(beta.ppf(0.975, found + 1, count - found) if found < count else 1.0, abs=1e-9)


def test_a_rate_counts_what_is_at_most_the_level():
    assert nulls.rate([0.001, 0.01, 0.02, 0.5], 0.01).found == 2


def test_worlds_of_turned_labels_find_nothing_and_the_true_one_does(make_rows):
    rows, linear = make_rows(symbols=30, strength=0.4), Configuration(Kind.LINEAR)
    rules = Rules(min_symbols=20)
    true = nulls.of_labels(rows, linear, [0], turned=lambda same, _: same, rules=rules)
    null = nulls.of_labels(rows, linear, range(4), turned=flip_labels, rules=rules)
    assert true[0].p < 0.001
    assert true[0].gross_p < 0.001
    assert [world.seed for world in null] == [0, 1, 2, 3]
    assert min(world.p for world in null) > 0.01


def test_worlds_of_bars_are_given_to_features_and_labels(make_panel, make_rows):
    panel, seen = make_panel(), []

    def rows_of(bars):
        seen.append(bars.close.tolist())
        return make_rows(symbols=30, strength=0.4)

    found = nulls.of_bars(
        panel, Configuration(Kind.PRIOR), [1, 2], world=flip, rows_of=rows_of, rules=Rules(min_symbols=20)
    )
    assert seen == [flip(panel, 1).close.tolist(), flip(panel, 2).close.tolist()]
    assert [world.ic for world in found] == [0.0, 0.0]
