"""``hosu coverage`` of a collector that runs, and of one that has ended: what was is not told as what is."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hosu.cli.coverage import read_coverage
from hosu.cli.main import app

REPORT: dict[str, Any] = {
    "key": "k1",
    "limit": 41,
    "registered": 41,
    "connected": True,
    "calls_per_s": 12.0,
    "expected_times": 1.0,
    "symbols": [{"symbol": "005930", "how": "streamed", "feeds": ["H0STCNT0"], "why": ""}],
}


def ended_process() -> int:
    """The number of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def state(folder: Path, *, status: dict[str, Any] | None, age_s: float = 1.0, **more: Any) -> Path:
    """A state folder with one key whose collector reported so long ago."""
    (folder / "plan.json").write_text(json.dumps({"folders": {"k1": "."}, "keys": {"005930": "k1"}}))
    report = {**REPORT, "at_us": round((time.time() - age_s) * 1e6), **more}
    (folder / "coverage.json").write_text(json.dumps(report))
    if status is not None:
        (folder / "status.json").write_text(json.dumps({"durable_lsn": 7, **status}))
    return folder


def told(folder: Path) -> str:
    ran = CliRunner().invoke(app, ["coverage", "--lake", str(folder / "lake"), "--state", str(folder)])
    assert ran.exit_code == 0
    return ran.stderr.splitlines()[-1]


@pytest.mark.parametrize("status", [None, {"state": "starting"}, {"state": "running"}, {"state": "draining"}])
def test_of_one_that_runs_it_says_what_is(tmp_path: Path, status: dict[str, Any] | None) -> None:
    if status is not None:
        status = {**status, "pid": os.getpid()}
    folder = state(tmp_path, status=status)
    (key,) = read_coverage(folder)["keys"]
    assert (key["connected"], key["ended"]) == (True, None)
    assert 1.0 <= key["report_age_s"] < 30.0
    assert told(folder) == "key k1: 41 of 41 slots in use, 12.0 calls/s"


def test_of_one_that_has_ended_it_says_what_was_how_it_ended_and_how_old_that_is(tmp_path: Path) -> None:
    status = {"state": "stopped", "reason": "every feed has ended", "pid": ended_process()}
    folder = state(tmp_path, status=status, age_s=7_200, expected_times=2.5)
    (key,) = read_coverage(folder)["keys"]
    assert (key["connected"], key["ended"]) == (False, "stopped: every feed has ended")
    assert told(folder) == (
        "key k1: 41 of 41 slots were in use, 12.0 calls/s; its calls allowed 2.5 times the interval wanted; "
        "its collector has ended (stopped: every feed has ended), and reported 2 hours ago"
    )


def test_one_that_was_killed_has_ended_whatever_it_said_last(tmp_path: Path) -> None:
    folder = state(tmp_path, status={"state": "running", "pid": ended_process()}, age_s=90)
    (key,) = read_coverage(folder)["keys"]
    assert (key["connected"], key["ended"]) == (False, "died")
    assert told(folder).endswith("its collector has ended (died), and reported 90 s ago")


def test_an_old_report_of_one_that_runs_says_how_old_it_is(tmp_path: Path) -> None:
    folder = state(tmp_path, status={"state": "running", "pid": os.getpid()}, age_s=300)
    assert told(folder) == "key k1: 41 of 41 slots in use, 12.0 calls/s; reported 5 minutes ago"


def test_a_key_that_has_not_reported_says_nothing_of_its_collector(tmp_path: Path) -> None:
    folder = state(tmp_path, status=None)
    (folder / "coverage.json").unlink()
    assert read_coverage(folder)["keys"] == [{"key": "k1"}]
    assert told(folder) == "key k1: has not reported yet"
