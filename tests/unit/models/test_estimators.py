"""Parameters are refused before anything is made for them."""

import re

import pytest

from hosu.errors import InputError
from hosu.models.estimators import DIRECTION, PRICE, RANGES, Configuration, Kind, _defaults
from model_cases import packed


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


@pytest.mark.parametrize(
    ("kind", "params", "said"),
    [
        (Kind.GBDT, {"leaves": 1}, "leaves of gbdt: 1 is out of range; give 2 to 131,072"),
        (Kind.RF, {"leaves": 1_000_000_000}, "leaves of rf: 1000000000 is out of range; give 2 to 131,072"),
        (Kind.GBDT, {"rate": 1e300}, "rate of gbdt: 1e+300 is out of range; give above 0, up to 1"),
        (Kind.GBDT, {"rate": 0.0}, "rate of gbdt: 0 is out of range; give above 0, up to 1"),
        (Kind.GBDT, {"rate": float("nan")}, "rate of gbdt: nan is out of range"),
        (Kind.GBDT, {"rounds": 0}, "rounds of gbdt: 0 is out of range; give 1 to 10,000"),
        (Kind.RF, {"rounds": 10_001}, "rounds of rf: 10001 is out of range; give 1 to 10,000"),
        (Kind.FOREST, {"trees": 0}, "trees of forest: 0 is out of range; give 1 to 10,000"),
        (Kind.FOREST, {"depth": 101}, "depth of forest: 101 is out of range; give 1 to 100"),
        (Kind.FOREST, {"max_samples": 1.5}, "max_samples of forest: 1.5 is out of range; give 0.02 to 1"),
        (Kind.LINEAR, {"penalty": 1e300}, "penalty of linear: 1e+300 is out of range; give 1e-09 to 1,000,000,000"),
        (Kind.LINEAR, {"inverse_penalty": -1.0}, "inverse_penalty of linear: -1 is out of range"),
    ],
)
def test_a_parameter_out_of_its_range_is_refused_by_name_value_and_range(kind, params, said):
    with pytest.raises(InputError, match=re.escape(f"parameter {said}")):
        Configuration(kind, params).check()


@pytest.mark.parametrize("kind", [Kind.GBDT, Kind.RF, Kind.FOREST, Kind.LINEAR])
def test_a_seed_is_what_every_library_takes(kind):
    for seed in (0, 2**32 - 1):
        Configuration(kind, seed=seed).check()
    for seed in (-1, 2**32):
        said = f"parameter seed of {kind}: {seed} is out of range; give 0 to 4,294,967,295"
        with pytest.raises(InputError, match=re.escape(said)):
            Configuration(kind, seed=seed).check()


def test_every_parameter_of_every_kind_has_a_range_that_holds_its_default():
    for kind in Kind:
        for name, default in (_defaults(DIRECTION[kind]) | _defaults(PRICE[kind])).items():
            assert RANGES[name].holds(default), name


ENDS = [
    (kind, {name: end})
    for kind, name in [
        ("gbdt", "rounds"), ("gbdt", "leaves"), ("gbdt", "rate"), ("rf", "leaves"), ("forest", "trees"),
        ("forest", "depth"), ("forest", "max_samples"), ("linear", "penalty"), ("linear", "inverse_penalty"),
    ]
    for end in RANGES[name][:2]
    if (name, end) not in {("rounds", 10_000), ("trees", 10_000), ("leaves", 131_072), ("rate", 0)}  # long, or left out
]  # fmt: skip


@pytest.mark.parametrize(("kind", "params"), ENDS)
def test_what_lies_at_the_end_of_a_range_can_be_learned_and_kept(kind, params):
    assert packed(kind, params=params)


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
