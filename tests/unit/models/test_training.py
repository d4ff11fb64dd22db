"""What is refused before the hours of a training."""

import numpy as np
import pytest

from hosu.errors import NotEnoughDataError, UnusableRowsError
from hosu.features.dataset import Dataset
from hosu.features.definitions import SCALE_FREE_V1
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.splits import Fold
from hosu.models.training import Request, judged
from hosu.models.trials import TrialsInMemory


def asked():
    return Request("day-1", Configuration(Kind.LINEAR), SCALE_FREE_V1)


def dataset_of(rows):
    nothing, none = np.zeros(len(rows), np.uint8), np.zeros(len(rows.sessions), np.uint8)
    return Dataset("data-1", {}, rows, nothing, nothing, none, {})


def test_too_few_symbols_a_session_are_refused_before_anything_is_learned(make_rows):
    walked, built, trials = [], [], TrialsInMemory()
    made = dataset_of(make_rows(symbols=20))
    with pytest.raises(
        UnusableRowsError, match=r"sessions of 100 symbols or more, and 0 are so wide .the widest has 20"
    ):
        judged(made, asked(), trials, progress=lambda *step: walked.append(step), built=built.append)
    assert (walked, built) == ([], [])


def test_the_dataset_is_given_on_before_too_short_a_history_is_refused(make_rows):
    """Of minutes nothing else counts the base rates of version 0, long before there is a verdict."""
    built, made = [], dataset_of(make_rows(sessions=200))
    with pytest.raises(NotEnoughDataError, match="test sessions"):
        judged(made, asked(), TrialsInMemory(), built=built.append)
    assert built == [made]


def leaking(rows):
    """One fold that learns from what it tests."""
    tested = np.flatnonzero(rows.labelled & (rows.session >= 150))
    return (Fold("leaking", tested, tested, tested),)


@pytest.mark.slow
def test_a_split_that_leaks_passes_turned_signs_and_not_worlds_learned_anew(make_rows, monkeypatch):
    monkeypatch.setattr("hosu.models.walk.walk_forward", leaking)
    made = dataset_of(make_rows(symbols=30, sessions=240, noise=4, seed=3))
    request = Request("day-1", Configuration(Kind.GBDT, {"rounds": 15}), SCALE_FREE_V1)
    told, rules = [], Rules(min_symbols=30)

    def found(**how):
        return judged(made, request, TrialsInMemory(), rules=rules, progress=lambda *step: told.append(step), **how)

    assert found().judgement.checks[0].passed
    told.clear()
    signal = found(worlds=4).judgement.checks[0]
    assert not signal.passed
    assert signal.figures["highest_refitted"] > signal.figures["ic"] > 0.2 > signal.figures["highest_of_worlds"]
    assert [step for step in told if step[0] == "worlds learned anew"] == [
        ("worlds learned anew", number, 4) for number in range(4)
    ]


def test_as_wide_as_the_rules_want_is_wide_enough(make_rows):
    made = dataset_of(make_rows(symbols=20))
    found = judged(made, asked(), TrialsInMemory(), rules=Rules(min_symbols=20))
    assert len(found.judgement.checks) == 5
