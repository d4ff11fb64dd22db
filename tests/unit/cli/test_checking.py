"""What a monitor is told."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hosu.cli.checking import check, with_health


def written(folder: Path, **facts: Any) -> None:
    told = {
        "pid": os.getpid(),
        "alive": True,
        "ready": True,
        "sentence": "collecting",
        "updated_us": time.time_ns() // 1000,
        **facts,
    }
    (folder / "health.json").write_text(json.dumps(told))


def test_what_the_file_says_of_a_running_process_counts(tmp_path: Path):
    written(tmp_path)
    assert check(tmp_path) == (True, "collecting")
    written(tmp_path, ready=False, sentence="no market data")
    assert check(tmp_path) == (False, "no market data")
    assert check(tmp_path, alive_only=True) == (True, "no market data")
    written(tmp_path, ready=False, alive=False, sentence="it hangs")
    assert check(tmp_path, alive_only=True) == (False, "it hangs")


def test_a_process_that_has_gone_or_tells_nothing_is_not_well(tmp_path: Path):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    written(tmp_path, pid=gone.pid)
    assert check(tmp_path, alive_only=True) == (False, f"process {gone.pid} has ended: collecting")
    written(tmp_path, updated_us=time.time_ns() // 1000 - 3_600_000_000)
    well, said = check(tmp_path, alive_only=True)
    assert not well
    assert said.startswith(f"process {os.getpid()} has told nothing for 3,60")


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"ready": true}', '{"ready": true, "pid": "x"}'])
def test_no_file_or_a_garbled_one_is_not_well(content: str | None, tmp_path: Path):
    if content is not None:
        (tmp_path / "health.json").write_text(content)
    assert check(tmp_path)[0] is False


def test_the_health_of_another_process_is_not_put_beside_a_status(tmp_path: Path):
    status = {"state": "running", "pid": os.getpid()}
    assert with_health(status, tmp_path) == status
    written(tmp_path)
    assert with_health(status, tmp_path)["health"]["running"] is True
    written(tmp_path, pid=os.getppid())
    assert with_health(status, tmp_path) == status
