"""What the demo asks the lake."""

import re
import shlex
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hosu.cli import demo_models
from hosu.cli.demo import _QUESTIONS, _answers
from hosu.cli.main import app
from hosu.lake.lake import Lake


def test_no_question_counts_a_repeated_trade_twice() -> None:
    asked = [query for _, query in _QUESTIONS]
    assert not [query for query in asked if re.search(r"\bFROM trades\b", query)]
    assert [query for query in asked if re.search(r"\bFROM trades_unique\b", query)]


def test_the_command_of_an_answer_names_a_lake_that_is_kept_and_is_mere_sql_else(tmp_path, capsys) -> None:
    place = tmp_path / "my demo" / "lake"
    lake = Lake.open(str(place))
    _answers(lake, place)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    wanted = [["hosu", "sql", "--lake", str(place), query] for _, query in _QUESTIONS]
    assert [shlex.split(line) for line in printed] == wanted
    _answers(lake, None)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert printed == [f"  {query}" for _, query in _QUESTIONS]


@pytest.mark.parametrize(("reason", "code"), [("SIGINT", 130), ("SIGTERM", 1)])
def test_a_demo_that_is_stopped_has_not_succeeded_and_ctrl_c_is_told_apart(reason, code, tmp_path, monkeypatch) -> None:
    def ended(job):
        job.close()
        return {"reason": reason}

    monkeypatch.setattr("hosu.cli.collect.run_loop", ended)
    monkeypatch.setattr("hosu.logs.configure", lambda *_, **__: None)
    ran = CliRunner().invoke(app, ["demo", "--dir", str(tmp_path / "demo"), "--symbols", "1"])
    assert ran.exit_code == code
    assert ran.stderr.startswith("A trading day of 1 symbol, ")
    assert "stopped before the day was over" in ran.stderr


def test_the_demo_takes_no_names_on_the_mlflow_server_of_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HOSU_MLFLOW_URI=http://127.0.0.1:1\nHOSU_MIRROR=1\n")
    asked = []

    def run(command, *, env, check):
        asked.append((command[3:], env["HOSU_MIRROR"], check))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    assert demo_models._ran([("models", "train"), ("models", "list")])
    assert asked == [(["models", "train"], "0", False), (["models", "list"], "0", False)]


def test_the_last_session_is_held_back(tmp_path, capsys) -> None:
    rows = {"date": ["2026-09-09", "2026-09-10", "2026-09-11"] * 2, "symbol": ["A"] * 3 + ["B"] * 3}
    pq.write_table(pa.table(rows), tmp_path / "history.parquet")
    assert demo_models._hold_back(tmp_path / "history.parquet", tmp_path / "next.parquet") == "2026-09-10"
    left, moved = (pq.read_table(tmp_path / f"{name}.parquet").column("date") for name in ("history", "next"))
    assert (set(left.to_pylist()), moved.to_pylist()) == ({"2026-09-09", "2026-09-10"}, ["2026-09-11"] * 2)
    assert "2026-09-11, is held back" in capsys.readouterr().err
