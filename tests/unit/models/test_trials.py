"""The log of trials: what counts once, what counts again, and that damage makes it stricter."""

import pytest

from hosu.errors import InputError
from hosu.models.trials import Trial, TrialsFile, TrialsInMemory

ONE = Trial("KRX", "1d", "aa", "data-1", 0.1)


@pytest.fixture(params=["memory", "file"])
def trials(request, tmp_path):
    return TrialsInMemory() if request.param == "memory" else TrialsFile(tmp_path / "kept" / "trials.jsonl")


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
    TrialsFile(tmp_path / "t").record(ONE)
    assert TrialsFile(tmp_path / "t").history("KRX", "1d") == (ONE,)


def test_a_line_cut_off_counts_as_a_trial_and_the_next_one_stays_whole(tmp_path):
    log = TrialsFile(tmp_path / "t")
    log.record(ONE)
    content = log.path.read_bytes()
    log.path.write_bytes(content + content[:30])
    after = Trial("KRX", "1d", "bb", "data-1", 0.2)
    log.record(after)
    history = log.history("KRX", "1d")
    assert len(history) == 3
    assert (history[0], history[2]) == (ONE, after)
    assert (history[1].configuration, history[1].sharpe) == ("unreadable", None)


@pytest.mark.parametrize("line", [b"[1]", b"{}", b'"x"', b"\xff\xfe", b'{"market": 1}', b"null", b""])
def test_any_other_damage_counts_too(tmp_path, line):
    log = TrialsFile(tmp_path / "t")
    log.record(ONE)
    with log.path.open("ab") as file:
        file.write(line + b"\n")
    assert len(log.history("KRX", "1d")) == 2
    assert len(log.history("KRX", "5d")) == 1


def test_a_folder_where_the_file_should_be_is_told(tmp_path):
    with pytest.raises(InputError, match="can be read"):
        TrialsFile(tmp_path).history("KRX", "1d")
