"""What is measured on real folders."""

import json
import os
from pathlib import Path

import pytest
import structlog

from hosu.cli.disk import DiskWatch, used_bytes
from hosu.clock import SimulatedClock
from hosu.collect.disk import DiskConfig
from hosu.lake.lake import Lake

HOUR_US = 3_600_000_000


def filled(path: Path, size: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)


def test_what_a_folder_takes_is_that_of_its_files_and_not_of_its_links(tmp_path: Path):
    filled(tmp_path / "a" / "b" / "one", 100_000)
    filled(tmp_path / "two", 50_000)
    before = used_bytes(tmp_path)
    assert before >= 150_000
    (tmp_path / "a" / "link").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "hole").symlink_to("/nowhere")
    assert used_bytes(tmp_path) < before + 50_000  # a link may take a block
    assert used_bytes(tmp_path / "absent") == 0
    assert used_bytes(tmp_path / "two") == 0


def test_a_state_folder_within_the_lake_counts_once(tmp_path: Path):
    lake = Lake.open(str(tmp_path / "lake"))
    state = tmp_path / "lake" / ".hosu"
    filled(state / "wal" / "1.log", 300_000)
    report = DiskWatch(state, lake, DiskConfig(), SimulatedClock()).measure()
    (disk,) = report.forecasts
    assert disk.name == "log and lake"
    assert 300_000 <= disk.used_bytes < 400_000
    assert report.raw_bytes is None


def test_folders_beside_each_other_on_one_disk_are_counted_together(tmp_path: Path):
    lake, state = Lake.open(str(tmp_path / "lake")), tmp_path / "state"
    filled(state / "wal" / "1.log", 300_000)
    filled(tmp_path / "lake" / "raw" / "trades" / "1.parquet", 200_000)
    report = DiskWatch(state, lake, DiskConfig(raw_budget_bytes=100_000), SimulatedClock()).measure()
    (disk,) = report.forecasts
    assert 500_000 <= disk.used_bytes < 600_000
    assert report.raw_bytes is not None
    assert 200_000 <= report.raw_bytes < 250_000
    assert list(report.warnings) == ["budget"]


def test_growth_is_told_over_a_restart_and_warned_of_once(tmp_path: Path):
    lake, state = Lake.open(str(tmp_path / "lake")), tmp_path / "lake" / ".hosu"
    state.mkdir()
    free = os.statvfs(tmp_path)
    config = DiskConfig(reserve_bytes=0, warn_days=free.f_bavail * free.f_frsize / 1_000_000)
    DiskWatch(state, lake, config, SimulatedClock(0)).measure()
    filled(state / "wal" / "1.log", 10_000_000)
    again = DiskWatch(state, lake, config, SimulatedClock(6 * HOUR_US))
    with structlog.testing.capture_logs() as said:
        report = again.measure()
        again.measure()
    assert report.days_left is not None
    assert report.forecasts[0].bytes_per_day == pytest.approx(40_000_000, rel=0.01)
    assert [each["event"] for each in said] == ["disk budget"]
    assert "days at the growth of the last 6.0 hours" in said[0]["warning"]
    assert len(json.loads((state / "disk.json").read_text())) == 2
