"""The registry's mirror on a real MLflow server: what is there is what the registry says, also after it was down."""

import json
import uuid
from pathlib import Path

import pytest

from hosu.cli.models import mirror as mirror_command
from hosu.cli.models import promote, rollback
from hosu.cli.output import Format
from hosu.clock import SimulatedClock
from hosu.errors import MirrorError, MirrorNamesError
from hosu.lake.lake import Lake
from hosu.models.mlflow_mirror import mirror
from hosu.models.mlflow_server import Server
from hosu.models.registry import Registry
from mlflow_server import MlflowServer, installed

pytestmark = pytest.mark.slow
pytest.importorskip("mlflow")

MODEL = "day-1"
AT_MS = 1_767_312_000_000  # 2026-01-02 09:00 in Seoul
REPORT = {
    "checks": [
        {"name": "G1 signal", "passed": True, "figures": {"ic": 0.0715, "p": 0.001, "words": "no number"}},
        {"name": "G4 money", "passed": False, "figures": {"net_bp": -12.8}},
    ],
    "price": {"r2_of_returns": 0.0007, "persistence": True},
    "reported": {"auc": 0.542, "unknown": None},
    "sessions": {"count": 186, "first": "2024-09-01"},
    "folds": [{"ic": 0.05}, {"ic": None}, {"ic": 0.09}],
}
CARD = {
    "kind": "gbdt", "seed": 3, "params": {"rounds": 80}, "feature_set": "scale_free_v1/1", "dataset_id": "not shown",
    "from": "2024-01-02", "to": "2025-06-16", "rows": 1_000, "labelled": 990, "folds": 3, "code": "0.1.0",
    "sentence": "signal, not tradable: costs eat it",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    installed()
    made = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def registry(lake) -> Registry:
    return Registry(lake, SimulatedClock(start_us=AT_MS * 1_000))


@pytest.fixture
def there(server) -> Server:
    """The server, under a name of this test's own."""
    return Server.of(server.uri, f"t{uuid.uuid4().hex[:8]}")


def registered(registry, number, verdict="edge", **card):
    files = {"direction.onnx": bytes([number]), "serve.json": b"{}", "report.html": b"<p>", "report.json": b"{}"}
    return registry.register(MODEL, {**files, "report.json": json.dumps(REPORT).encode()}, {**CARD, **card}, verdict)


def by_key(found):
    return {each["key"]: each["value"] for each in found}


def test_what_is_there_is_what_the_registry_holds(server, registry, lake, there):
    registered(registry, 1, "signal, not tradable")
    registered(registry, 2)
    registry.promote(MODEL, 1, "to see", override=True)
    registry.challenge(MODEL, 2, "newer")
    (done,) = mirror(registry, lake.identity, there)
    assert (done.model, done.versions, done.added, done.moved, done.left_out) == (MODEL, 2, 4, 2, {})
    name = f"{there.prefix}-{MODEL}"
    first, second = server.runs(name)
    assert (first["info"]["status"], first["info"]["run_name"]) == ("FINISHED", "day-1 1")
    assert int(first["info"]["start_time"]) == AT_MS
    assert by_key(first["data"]["params"]) == {
        "kind": "gbdt", "seed": "3", "param.rounds": "80", "feature_set": "scale_free_v1/1", "from": "2024-01-02",
        "to": "2025-06-16", "rows": "1000", "labelled": "990", "folds": "3", "interval": "day", "horizon": "1",
    }  # fmt: skip
    assert by_key(first["data"]["metrics"]) == {
        "G1 signal/passed": 1.0, "G1 signal/ic": 0.0715, "G1 signal/p": 0.001, "G4 money/passed": 0.0,
        "G4 money/net_bp": -12.8, "price/r2_of_returns": 0.0007, "price/persistence": 1.0, "reported/auc": 0.542,
        "sessions/count": 186.0, "folds/ic": 0.09,
    }  # fmt: skip
    tags = by_key(first["data"]["tags"])
    wanted = {
        "hosu.model": "day-1", "hosu.version": "1", "hosu.verdict": "signal, not tradable", "hosu.code": "0.1.0",
        "hosu.feature_set": "scale_free_v1/1", "hosu.lake": lake.identity, "mlflow.note.content": CARD["sentence"],
    }  # fmt: skip
    assert wanted.items() <= tags.items()
    assert by_key(second["data"]["tags"])["hosu.version"] == "2"
    for version, run in ((1, first), (2, second)):
        files = registry.load(MODEL, version)
        for own in ("direction.onnx", "serve.json"):
            assert server.artifact(run, f"model/{own}") == files[own]
        assert server.artifact(run, "report.html") == files["report.html"]
        assert json.loads(server.artifact(run, "card.json")) == registry.version(MODEL, version).card
    one, other = server.versions(name)
    assert [each["run_id"] for each in (one, other)] == [each["info"]["run_id"] for each in (first, second)]
    assert by_key(one["tags"])["hosu.version"] == "1"
    assert server.aliases(name) == {"champion": "1", "challenger": "2"}
    story = server.model(name)["description"].splitlines()
    assert story[0] == "2026-01-02 00:00 challenger 2: newer; version 1 serves"
    assert story[1] == "2026-01-02 00:00 promoted 1 (past the gate): to see; version 1 serves"


def test_twice_adds_nothing_and_a_new_version_is_added_alone(server, registry, lake, there):
    registered(registry, 1)
    mirror(registry, lake.identity, there)
    name = f"{there.prefix}-{MODEL}"
    before = (server.runs(name), server.versions(name), server.model(name))
    (done,) = mirror(registry, lake.identity, there)
    assert (done.added, done.moved) == (0, 0)
    assert (server.runs(name), server.versions(name), server.model(name)) == before
    registered(registry, 2)
    (done,) = mirror(registry, lake.identity, there)
    assert (done.added, len(server.runs(name)), len(server.versions(name))) == (2, 2, 2)


def test_promotions_and_rollbacks_move_the_alias_and_of_the_prior_there_is_none(server, registry, lake, there):
    name, seen = f"{there.prefix}-{MODEL}", []
    for number in (1, 2):
        registered(registry, number)
        registry.promote(MODEL, number, "better")
        mirror(registry, lake.identity, there)
        seen.append(server.aliases(name))
    for _ in range(2):
        registry.rollback(MODEL, "worse")
        mirror(registry, lake.identity, there)
        seen.append(server.aliases(name))
    assert seen == [{"champion": "1"}, {"champion": "2"}, {"champion": "1"}, {}]


def test_an_alias_that_somebody_moved_by_hand_is_put_back(server, registry, lake, there):
    from mlflow import MlflowClient

    for number in (1, 2):
        registered(registry, number)
    registry.promote(MODEL, 2, "better")
    mirror(registry, lake.identity, there)
    name = f"{there.prefix}-{MODEL}"
    MlflowClient(server.uri).set_registered_model_alias(name, "champion", "1")
    MlflowClient(server.uri).set_registered_model_alias(name, "mine", "1")
    (done,) = mirror(registry, lake.identity, there)
    assert done.moved == 1
    assert server.aliases(name) == {"champion": "2", "mine": "1"}


def test_a_run_that_was_cut_off_is_gone_on_with(server, registry, lake, there, monkeypatch):
    from mlflow import MlflowClient

    registered(registry, 1)
    with monkeypatch.context() as cut:
        cut.setattr(MlflowClient, "log_artifact", lambda *_: (_ for _ in ()).throw(ConnectionError("cut")))
        with pytest.raises(MirrorError, match="it cannot be reached"):
            mirror(registry, lake.identity, there)
    name = f"{there.prefix}-{MODEL}"
    (begun,) = server.runs(name)
    assert begun["info"]["status"] == "RUNNING"
    mirror(registry, lake.identity, there)
    (run,) = server.runs(name)
    assert (run["info"]["run_id"], run["info"]["status"]) == (begun["info"]["run_id"], "FINISHED")
    assert server.artifact(run, "model/direction.onnx") == b"\x01"
    assert len(server.versions(name)) == 1


def test_a_damaged_version_is_left_out_and_the_others_are_there(server, registry, lake, there):
    for number in (1, 2):
        registered(registry, number)
    Path(lake.root, registry.version(MODEL, 1).card["folder"], "direction.onnx").write_bytes(b"other")
    registry.promote(MODEL, 2, "better")
    (done,) = mirror(registry, lake.identity, there)
    assert list(done.left_out) == [1]
    assert "is not what was registered" in done.left_out[1]
    name = f"{there.prefix}-{MODEL}"
    (only,) = server.versions(name)
    assert by_key(only["tags"])["hosu.version"] == "2"
    # MLflow counts by itself: its first is our second.
    assert server.aliases(name) == {"champion": "1"}


def test_what_another_lake_mirrors_is_not_touched(server, registry, lake, there, tmp_path):
    registered(registry, 1)
    mirror(registry, lake.identity, there)
    other = Lake.open(str(tmp_path / "other"))
    theirs = Registry(other, SimulatedClock())
    registered(theirs, 2)
    with pytest.raises(MirrorNamesError, match="is another lake's; set another HOSU_MLFLOW_NAME"):
        mirror(theirs, other.identity, there)
    assert len(server.runs(f"{there.prefix}-{MODEL}")) == 1


def test_a_server_that_was_down_is_a_warning_and_the_next_mirror_catches_up(
    server, registry, lake, there, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("HOSU_MLFLOW_URI", server.uri.replace("http://", "http://me:secret-word@"))
    monkeypatch.setenv("HOSU_MLFLOW_NAME", there.prefix)
    monkeypatch.setenv("HOSU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOSU_LAKE", raising=False)
    root = str(lake.root).removeprefix("file://")
    for number in (1, 2):
        registered(registry, number)
    server.stop()
    try:
        for number in (1, 2):
            promote(MODEL, number, override=None, reason="better", lake=root)
        rollback(MODEL, reason="worse", lake=root)
        told = capsys.readouterr()
    finally:
        server.start()
    assert told.out == ""
    assert told.err.count("warning: not mirrored: the MLflow server at http://127.0.0.1") == 3
    assert "it cannot be reached" in told.err
    assert "run `hosu models mirror`" in told.err
    assert "secret-word" not in told.err
    assert registry.champion(MODEL) == 1
    mirror_command(lake=root, format_=Format.json)
    assert json.loads(capsys.readouterr().out) == [
        {"model": MODEL, "versions": 2, "added": 4, "moved": 1, "left_out": {}}
    ]
    assert server.aliases(f"{there.prefix}-{MODEL}") == {"champion": "1"}
    promote(MODEL, 2, override=None, reason="better again", lake=root)
    assert "day-1: mirrored, 0 added, 1 aliases moved" in capsys.readouterr().err
    assert server.aliases(f"{there.prefix}-{MODEL}") == {"champion": "2"}
