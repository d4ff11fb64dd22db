"""Parameters are refused before anything is made for them."""

import pytest

from hosu.errors import InputError
from hosu.models.estimators import Configuration, Kind


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (Kind.GBDT, {"rounds": 0.5}), (Kind.GBDT, {"leaves": 7.5}), (Kind.RF, {"rounds": 10.25}),
        (Kind.FOREST, {"trees": 1.5}), (Kind.FOREST, {"depth": 2.5}),
    ],
)  # fmt: skip
def test_a_fraction_of_what_is_counted_is_refused(kind, params):
    """Cut to a whole number, half a round is none, and the model has learned nothing."""
    (name,) = params
    with pytest.raises(InputError, match=f"parameter {name} of {kind}: .* is no whole number"):
        Configuration(kind, params).check()


def test_other_parameters_may_be_fractions_and_counts_may_be_written_as_such():
    Configuration(Kind.GBDT, {"rate": 0.05, "rounds": 10.0, "leaves": 7}).check()
    Configuration(Kind.FOREST, {"max_samples": 0.2}).check()
    Configuration(Kind.LINEAR, {"penalty": 0.1, "inverse_penalty": 2}).check()
    Configuration(Kind.PRIOR).check()


def test_what_is_unknown_to_a_kind_is_refused_with_what_there_is():
    with pytest.raises(InputError, match="trees is unknown; choose from leaves, rate, rounds"):
        Configuration(Kind.GBDT, {"trees": 5}).check()
    with pytest.raises(InputError, match="rounds is unknown; it has none"):
        Configuration(Kind.PRIOR, {"rounds": 5}).check()
