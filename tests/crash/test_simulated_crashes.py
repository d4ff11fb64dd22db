"""Thousands of crashes of one machine after the other, each followed by the question whether every promise was kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from crash_run import CRASHES_A_RUN, run

from hosu import failpoints
from hosu.failpoints import POINTS

pytestmark = pytest.mark.slow

SEED = 20260916
CRASHES = 2_000
PARTS = 20


@pytest.mark.parametrize("part", range(PARTS))
def test_what_was_durable_is_in_the_lake_once_and_as_it_was_received(part: int):
    runs = CRASHES // PARTS // CRASHES_A_RUN + 1
    for seed in range(SEED + part * runs, SEED + (part + 1) * runs):
        print(f"seed {seed}")
        outcome = run(seed)
        assert outcome.crashes == CRASHES_A_RUN or outcome.refused
        assert not failpoints.on


def test_a_seed_repeats_a_run_to_the_last_step(tmp_path: Path):
    first, again = run(SEED, base=tmp_path), run(SEED, base=tmp_path)
    assert first == again
    assert first.steps > 300
    assert first != run(SEED + 1, base=tmp_path)


def test_crashes_fall_on_the_log_the_lake_the_archive_and_the_start():
    places: set[str] = set()
    for seed in range(SEED, SEED + 25):
        places |= set(run(seed).places)
    assert {"fsync", "fdatasync", "write", "put_if_absent"} <= places
    assert len(places & set(POINTS)) >= 6


def test_the_long_run_goes_over_several_processes_and_files_its_result(tmp_path: Path):
    """And what is done is not done again."""
    progress, filed = tmp_path / "progress.jsonl", tmp_path / "CRASH.md"
    words = ("--processes", 0, "--simulated", 20, "--jobs", 2, "--progress", progress, "--report", filed)
    command = [sys.executable, "-m", "tests.crash", *map(str, words)]
    done = []
    for _ in range(2):
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True, timeout=300)
        done.append([json.loads(line) for line in progress.read_text().splitlines()])
    assert done[0] == done[1]
    crashes = sum(line["crashes"] for line in done[0])
    assert crashes >= 20
    assert f"| crashes | {crashes} | 0 |" in filed.read_text()
