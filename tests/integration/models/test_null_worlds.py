"""The whole pipeline, from bars to the verdict, in worlds where it is known what can be predicted."""

from datetime import date

import pytest

from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.labels import labelled_rows
from hosu.features.source import KernelSource
from hosu.models.checks import Rules
from hosu.models.estimators import Configuration, Kind
from hosu.models.gate import Verdict, judge
from hosu.models.synthetic import history, sessions_up_to
from hosu.models.trials import Trial, TrialsInMemory
from hosu.models.walk import walk
from hosu.models.worlds import flip, plant

LINEAR = Configuration(Kind.LINEAR)


@pytest.fixture(scope="module")
def bars():
    """A made-up market of 40 symbols and 380 sessions."""
    return history(sessions_up_to(date(2026, 9, 11), 380), 40, seed=2)


def judgement(panel):
    source = KernelSource(SCALE_FREE_V1)
    rows = labelled_rows(panel, source.compute(panel), source.names, 1)
    walked = walk(rows, LINEAR)
    trial = Trial("KRX", "1d", LINEAR.key, "world")
    return judge(walked, trial=trial, trials=TrialsInMemory(), logistic=None, rules=Rules(min_symbols=30))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_ten_worlds_of_turned_sessions_end_without_an_edge(bars, seed):
    assert judgement(flip(bars, seed)).verdict is Verdict.NO_EDGE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strength", "verdict"), [(0.0, Verdict.NO_EDGE), (0.1, Verdict.NOT_TRADABLE), (0.4, Verdict.EDGE)]
)
def test_what_is_planted_in_the_bars_is_found_for_what_it_is(bars, strength, verdict):
    found = judgement(plant(flip(bars, 1), strength))
    assert found.verdict is verdict, found.sentence
