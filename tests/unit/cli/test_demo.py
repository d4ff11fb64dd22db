"""What the demo asks the lake."""

import re
import subprocess

from hosu.cli import demo_models
from hosu.cli.demo import _QUESTIONS


def test_no_question_counts_a_repeated_trade_twice() -> None:
    asked = [query for _, query in _QUESTIONS]
    assert not [query for query in asked if re.search(r"\bFROM trades\b", query)]
    assert [query for query in asked if re.search(r"\bFROM trades_unique\b", query)]


def test_the_demo_takes_no_names_on_the_mlflow_server_of_the_user(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("HOSU_MLFLOW_URI=http://127.0.0.1:1\nHOSU_MIRROR=1\n")
    asked = []

    def run(command, *, env, check):
        asked.append((command[3:5], env["HOSU_MIRROR"]))
        return subprocess.CompletedProcess(command, int(check))

    monkeypatch.setattr(subprocess, "run", run)
    assert demo_models.believe(tmp_path, tmp_path / "lake", 0.3)
    assert (["models", "train"], "0") in asked
    assert {mirrors for _, mirrors in asked} == {"0"}
