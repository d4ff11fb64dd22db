"""The mirror beside commands: nothing where it is not set, and a warning, never an error, where it fails."""

import sys

import pytest

from hosu.cli.mirroring import mirror_if_set, mirrored
from hosu.clock import SimulatedClock
from hosu.errors import LockedError, SettingsError
from hosu.lake.lake import Lake
from hosu.locks import FileLock
from hosu.models.registry import Registry


@pytest.fixture
def lake(tmp_path, monkeypatch) -> Lake:
    monkeypatch.chdir(tmp_path)  # no .env
    monkeypatch.setenv("HOSU_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HOSU_MLFLOW_URI", raising=False)
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def registry(lake) -> Registry:
    made = Registry(lake, SimulatedClock())
    made.register("day-1", {"direction.onnx": b"1"}, {}, "edge")
    return made


def test_where_no_server_is_named_nothing_is_said_and_by_hand_it_is_told(lake, registry, capsys):
    mirror_if_set(lake, registry)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(SettingsError, match="HOSU_MLFLOW_URI is not set"):
        mirrored(lake, registry)


def test_a_lake_to_try_things_in_leaves_the_mirror_alone(lake, registry, monkeypatch, capsys):
    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("HOSU_MIRROR", "0")
    mirror_if_set(lake, registry)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("secret", "HOSU_MLFLOW_URI: is no address of a server"),
        ("http://me:secret@127.0.0.1:1", "the MLflow server at http://127.0.0.1:1 was not brought up to date"),
    ],
)
def test_what_fails_is_one_warning_without_the_secret(lake, registry, monkeypatch, capsys, uri, said):
    pytest.importorskip("mlflow")
    monkeypatch.setenv("HOSU_MLFLOW_URI", uri)
    mirror_if_set(lake, registry)
    told = capsys.readouterr()
    (warning,) = [line for line in told.err.splitlines() if not line.startswith("mirroring ")]
    assert warning.startswith(f"warning: not mirrored: {said}")
    assert "secret" not in told.err
    assert told.out == ""


def test_without_the_extra_the_warning_says_how_to_get_it(lake, registry, monkeypatch, capsys):
    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    mirror_if_set(lake, registry)
    assert "pip install 'hosu[mlflow]'" in capsys.readouterr().err


def test_one_mirrors_at_a_time_and_the_other_says_what_to_do_then(lake, registry, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://127.0.0.1:1")
    mirror_if_set(lake, registry)
    (lock,) = (tmp_path / "cache").glob("mlflow-*.lock")
    with FileLock(lock, "the mirror"):
        with pytest.raises(LockedError, match="run `hosu models mirror` when that has ended"):
            mirrored(lake, registry)
        mirror_if_set(lake, registry)
    assert "warning: not mirrored: the mirror of this lake is in use by process" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_is_a_warning_too(lake, registry, monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOSU_CACHE", str(tmp_path / "file"))
    monkeypatch.setenv("HOSU_MLFLOW_URI", "http://127.0.0.1:1")
    mirror_if_set(lake, registry)
    assert "takes no lock" in capsys.readouterr().err
