"""From a history with a planted signal to a champion that answers, by the commands one would type."""

import json
from pathlib import Path

import pytest
from program import Here, hosu, rows_of

from hosu.models.servable import SERVED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake of 380 made-up sessions in which the volume ratio tells the next day."""
    folder = tmp_path_factory.mktemp("planted")
    size = ("--sessions", 380, "--symbols", 110, "--signal", 0.3)
    file = ("--file", "h.parquet", "--any-code", "--adjusted", "--name", "synthetic", "--no-bars")
    for words in (("synthetic", "h.parquet", *size), ("backfill", "daily", *file, "--lake", "lake")):
        ran = hosu(folder, *words)
        assert ran.code == 0, ran
    return folder


def test_a_planted_signal_becomes_champion_is_asked_and_rolled_back(planted: Path):
    at = ("--lake", "lake")
    words = ("models", "train", "day-1", "--kind", "linear", "--days", "all", "--format", "json", *at)
    trained = hosu(planted, *words, HOSU_MLFLOW_URI="http://me:secret-word@127.0.0.1:1")
    assert trained.code == 0, trained
    # Nobody is at home there: that is a warning, and the model is kept and serves all the same.
    assert "warning: not mirrored: the MLflow server at http://127.0.0.1:1 was not brought up to date" in trained.err
    assert "secret-word" not in trained.err
    assert trained.err.startswith("edge: all checks passed")
    told = trained.json()
    assert (told["verdict"], told["version"], told["promoted"], told["challenges"]) == ("edge", 1, True, False)
    assert [check["passed"] for check in told["checks"]] == [True] * 5
    shown = hosu(planted, "models", "show", "day-1", "--report", "report.html", *at)
    card = shown.json()
    assert (card["version"], card["verdict"], card["serves"]) == (1, "edge", True)
    assert [(each["name"][:2], each["passed"]) for each in card["checks"]] == [(f"G{n}", True) for n in range(1, 6)]
    assert all(each["sentence"] for each in card["checks"])
    assert len(card["card"]["dataset"]) == 64
    assert "edge" in (planted / "report.html").read_text(encoding="utf-8").splitlines()[0]
    assert (planted / "lake" / "ml" / "datasets" / card["card"]["dataset"]).is_dir()
    newer = ("--kind", "linear", "--days", "all", "--from", "2025-04-01", "--auto", "--format", "json", *at)
    challenger = hosu(planted, "models", "train", "day-1", *newer).json()
    assert (challenger["version"], challenger["promoted"], challenger["challenges"]) == (2, False, True)
    built = hosu(planted, "features", "build", *at)
    assert built.code == 0, built
    predicted = hosu(planted, "predict", "--model", "day-1", "--date", "2026-09-01", "--format", "json", *at)
    assert predicted.code == 0, predicted
    said = predicted.json()
    assert {(row["role"], row["model_version"]) for row in said} == {("champion", 1), ("challenger", 2)}
    assert len(said) == 220
    # Its outcome is known by now, so nothing is journaled.
    assert rows_of(planted / "lake", "SELECT count(*) AS n FROM predictions") == [{"n": 0}]
    back = hosu(planted, "models", "rollback", "day-1", "--reason", "a test", *at)
    assert back.err == "day-1: the prior serves\n"
    history = json.loads(hosu(planted, "models", "show", "day-1", *at).out)["history"]
    events = [event["event"] for event in history]
    assert events == ["counted", "registered", "promoted", "registered", "challenger", "rolled_back"]
    assert history[0]["reason"].startswith("base rates of ")


def test_what_has_no_edge_is_kept_and_neither_serves_nor_can_be_promoted_without_a_reason(planted: Path):
    at = ("--lake", "lake")
    # Three rounds find less than logistic regression does.
    ran = hosu(planted, "models", "train", "day-5", "--param", "rounds=3", "--days", "all", *at)
    assert ran.code == 0, ran
    assert ran.err.startswith("no edge: ")
    refused = hosu(planted, "models", "promote", "day-5", "1", *at)
    assert refused.code == 1
    assert "its verdict is 'no edge'" in refused.err
    forced = hosu(planted, "models", "promote", "day-5", "1", "--override", "to see what happens", *at)
    assert forced.code == 0, forced
    listed = {
        (row["model"], row["version"]): row["serves"]
        for row in hosu(planted, "models", "list", "--format", "json", *at).json()
    }
    assert (listed["day-5", 0], listed["day-5", 1]) == (False, True)


def test_a_model_of_another_feature_set_than_is_served_is_kept_and_takes_no_place(planted: Path):
    at = ("--lake", "lake")
    words = ("--kind", "linear", "--days", "all", "--set", "spec_v1", "--auto", "--format", "json", *at)
    ran = hosu(planted, "models", "train", "day-5", *words)
    assert ran.code == 0, ran
    told, why = ran.json(), f"what is served is {SERVED.version}, and it learned from spec_v1/"
    assert (told["promoted"], told["challenges"]) == (False, False)
    assert told["not_servable"].startswith(why)
    number = str(told["version"])
    assert f"day-5: kept as version {number}, not servable: {why}" in ran.err
    forced = hosu(planted, "models", "promote", "day-5", number, "--override", "to see what happens", *at)
    assert forced.code == 1
    assert f"version {number} of day-5 is not servable: {why}" in forced.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "train", "day-9", "--days", "all"), "model 'day-9': does not exist"),
        (("models", "train", "day-1"), "without a ledger"),
        (("models", "train", "day-1", "--kind", "magic"), "--kind magic: is unknown"),
        (("models", "train", "day-1", "--kind", "prior"), "is version 0, which is there without training"),
        (("models", "evaluate", "day-1", "--kind", "prior"), "choose one of linear, gbdt, rf, forest"),
        (("models", "train", "day-1", "--param", "rounds"), "--param rounds: is not NAME=NUMBER"),
        (("models", "train", "day-1", "--param", "rounds=-1"), "--param rounds=-1: is not NAME=NUMBER above 0"),
        (("models", "train", "day-1", "--days", "all", "--param", "wings=2"), "parameters of gbdt"),
        (("models", "train", "day-1", "--days", "all", "--param", "rounds=0.5"), "0.5 is no whole number"),
        (("models", "train", "day-1", "--param", "leaves=1"), "parameter leaves of gbdt: 1 is out of range"),
        (("models", "evaluate", "day-1", "--param", "rate=1e300"), "give above 0, up to 1"),
        (("models", "train", "day-1", "--kind", "forest", "--seed", "4294967299"), "give 0 to 4,294,967,295"),
        (("models", "train", "day-1", "--days", "all", "--symbols", "ZZZ"), "no bar of ZZZ"),
        (("models", "promote", "day-1", "1", "--override", ""), "is empty; say why"),
        (("models", "promote", "day-1", "0"), "use `hosu models rollback`"),
        (("models", "train", "day-1", "--set", "none"), "feature set 'none': does not exist"),
        (("models", "train", "day-1", "--days", "all", "--from", "2026-06-01"), "not enough data"),
        (("models", "train", "day-1", "--days", "some"), "days 'some': is unknown"),
        (("models", "show", "day-1", "--version", "77"), "no version 77"),
        (("models", "promote", "minute-10", "1"), "none is registered yet"),
        (("models", "rollback", "minute-10"), "nothing to roll back"),
        (("features", "build", "--interval", "hour"), "interval 'hour': is unknown"),
        (("features", "build", "--interval", "minute"), "are not in this lake"),
        (("check", "parity"), "were never served in this lake"),
        (("predict", "--model", "day-7"), "day-7"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_sentence(here: Here, planted: Path, words: tuple[str, ...], said: str):
    ran = here(planted, *words, "--lake", "lake")
    assert ran.code == 1, ran
    assert said in ran.err
    assert ran.err.count("\n") == 1, ran.err
    assert ran.out == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models", "train", "day-1", "--from", "banana", "--lake", "lake"), "is no date"),
        (("models", "train", "day-1", "--seed", "-1"), "greater than or equal to 0"),
        (("synthetic", "x.parquet", "--seed", "-1"), "greater than or equal to 0"),
    ],
)
def test_wrong_usage_is_told_as_such(here: Here, planted: Path, words: tuple[str, ...], said: str):
    ran = here(planted, *words)
    assert ran.code == 2, ran
    assert said in ran.err
