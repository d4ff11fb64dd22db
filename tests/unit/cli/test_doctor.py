"""What ``hosu doctor`` says of settings and of the lake."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hosu.cli import doctor
from hosu.cli.main import app
from hosu.lake.lake import FORMAT, Lake
from hosu.lake.storage import Storage
from hosu.settings import ALL_SETTINGS


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for kind in ALL_SETTINGS:
        for field in kind.model_fields.values():
            monkeypatch.delenv(str(field.validation_alias), raising=False)
    monkeypatch.chdir(tmp_path)


def asked(*words: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """The rows by name, and that they are of one name each."""
    ran = CliRunner().invoke(app, ["doctor", "--no-network", "--format", "json", *words])
    assert ran.exit_code == code, ran.output
    rows = json.loads(ran.stdout)
    found = {row["check"]: row for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_malformed_setting_is_a_row_that_fails_and_the_others_are_shown_all_the_same(monkeypatch) -> None:
    Path(".env").write_text("LOG_LEVEL=loud\nHOSU_POLL_SECONDS=soon\nHOSU_DISK_RESERVE_MB=-1\n")
    monkeypatch.setenv("HOSU_SQL_MEMORY_MIB", "abc")
    monkeypatch.setenv("HOSU_CALLS_PER_SECOND", "many")
    found = asked(code=1)
    failed = {name for name, row in found.items() if row["state"] == "fail"}
    assert failed == {
        *("LOG_LEVEL", "HOSU_POLL_SECONDS", "HOSU_DISK_RESERVE_MB", "HOSU_SQL_MEMORY_MIB", "HOSU_CALLS_PER_SECOND")
    }
    assert found["LOG_LEVEL"]["found"].startswith("is malformed (input should be 'DEBUG'")
    for what in ("keys", "lake", "disk"):
        assert (found[what]["state"], found[what]["found"]) == ("note", "not looked at")
        assert found[what]["do"].startswith("mend HOSU_")


def test_a_dotenv_that_is_no_text_is_one_row() -> None:
    Path(".env").write_bytes(b"HOSU_LAKE=\xff\xfe\n")
    found = asked(code=1)
    assert found[".env"]["found"].startswith("is not UTF-8 text")
    assert [name for name, row in found.items() if row["state"] == "fail"] == [".env"]


def test_a_name_like_ours_that_is_none_is_told_with_the_nearest_and_without_its_value(monkeypatch) -> None:
    Path(".env").write_text("HOSU_POLL_SEKONDS=5\nLIVE_KIS_APP_KEY_2=second\nLIVE_KIS_APP_SECRET_2=second\nOTHER=1\n")
    monkeypatch.setenv("LIVE_KIS_APP_SEKRET", "nobody-may-see")
    monkeypatch.setenv("HOSU_QQQQ", "1")
    monkeypatch.setenv("HOSU_FAILPOINT", "")
    found = asked()
    told = {name: row["do"] for name, row in found.items() if row["found"] == "no setting of hosu has this name"}
    assert told == {
        "HOSU_POLL_SEKONDS": "HOSU_POLL_SECONDS may be meant",
        "HOSU_QQQQ": ".env.example lists every setting",
        "LIVE_KIS_APP_SEKRET": "LIVE_KIS_APP_SECRET may be meant",
    }
    assert {found[name]["state"] for name in told} == {"note"}
    assert "nobody-may-see" not in str(found)
    assert "settings" not in found


def test_settings_that_can_be_read_are_counted(monkeypatch) -> None:
    assert asked()["settings"]["found"] == "0 set, each can be read"
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert asked()["settings"] == {"check": "settings", "state": "ok", "found": "1 set, each can be read", "do": ""}


def test_the_lake_is_named_as_what_it_is_and_nothing_is_made(tmp_path: Path) -> None:
    assert asked("--lake", "nowhere")["lake"]["found"] == "nowhere: new"
    (tmp_path / "empty" / ".hosu").mkdir(parents=True)
    assert asked("--lake", "empty")["lake"]["found"] == "empty: new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".hosu", "empty"]
    Lake.open(str(tmp_path / "lake"))
    assert asked()["lake"]["found"] == f"lake: a lake of hosu, format {FORMAT}"


def test_a_place_that_is_no_lake_fails(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    row = asked("--lake", "other", code=1)["lake"]
    assert row["state"] == "fail"
    assert row["found"].endswith("other is not a lake of hosu (it holds files but no _hosu/lake.json)")
    assert row["do"] == "name an empty folder or an existing lake"

    (tmp_path / "newer" / "_hosu").mkdir(parents=True)
    (tmp_path / "newer" / "_hosu" / "lake.json").write_text(json.dumps({"format": FORMAT + 1}))
    assert "is newer than" in asked("--lake", "newer", code=1)["lake"]["found"]
    assert "is a file" in asked("--lake", "other/thesis.txt", code=1)["lake"]["found"]


def test_a_bucket_has_no_free_space_and_is_not_asked_without_the_network(monkeypatch) -> None:
    monkeypatch.setenv("HOSU_LAKE", "s3://b/x")
    monkeypatch.setattr(Storage, "open", None)  # whoever would ask it fails
    found = asked()
    assert (found["lake"]["state"], found["lake"]["found"]) == ("note", "s3://b/x, not looked at without the network")
    assert "free" not in found["disk"]["found"]
    assert found["disk"]["found"].startswith("the lake is a bucket")


def test_a_bucket_that_does_not_answer_is_not_waited_for(monkeypatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(doctor, "_STORE_S", 0.01)
    monkeypatch.setattr(Lake, "format_at", lambda *_: over.wait(60))
    row = doctor._lake("s3://b/x", network=True)
    over.set()
    assert (row.state, row.do) == ("fail", "check the address and the network")
