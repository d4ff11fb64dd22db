"""The log of trials, in memory and in a lake: what counts once, and what counts again."""

import pytest

from hosu.clock import SimulatedClock
from hosu.lake.lake import Lake
from hosu.models.lake_trials import LakeTrials
from hosu.models.trials import Trial, TrialsInMemory

ONE = Trial("KRX", "1d", "aa", "data-1", 0.1)


@pytest.fixture(params=["memory", "lake"])
def trials(request, tmp_path):
    return TrialsInMemory() if request.param == "memory" else of_lake(tmp_path)


def of_lake(folder):
    return LakeTrials(Lake.open(str(folder / "lake")), SimulatedClock())


def test_the_same_configuration_on_the_same_data_is_one_trial(trials):
    trials.record(ONE)
    trials.record(ONE)
    assert trials.history("KRX", "1d") == (ONE,)


def test_a_new_dataset_counts_again_and_resets_nothing(trials):
    other = Trial("KRX", "1d", "aa", "data-2", None)
    trials.record(ONE)
    trials.record(other)
    assert trials.history("KRX", "1d") == (ONE, other)


def test_another_horizon_or_market_is_counted_apart(trials):
    trials.record(ONE)
    trials.record(Trial("KRX", "5d", "aa", "data-1", 0.3))
    trials.record(Trial("NXT", "1d", "aa", "data-1", 0.3))
    assert trials.history("KRX", "1d") == (ONE,)
    assert trials.history("KRX", "10m") == ()


def test_what_one_process_wrote_the_next_one_reads(tmp_path):
    of_lake(tmp_path).record(ONE)
    assert of_lake(tmp_path).history("KRX", "1d") == (ONE,)


def test_two_who_try_at_once_are_both_counted(tmp_path, monkeypatch):
    first, second, begun = of_lake(tmp_path), of_lake(tmp_path), []
    other, plain = Trial("KRX", "1d", "bb", "data-1", 0.2), first._lake.table

    def meanwhile(name):
        table = plain(name)
        if not begun:  # the first has looked at the table, and has not written yet
            begun.append(second.record(other))
        return table

    monkeypatch.setattr(first._lake, "table", meanwhile)
    first.record(ONE)
    assert second.history("KRX", "1d") == (other, ONE)
