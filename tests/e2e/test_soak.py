"""Two minutes of the soak: nothing grows, and what was delivered is in the lake; and that the rule sees growth."""

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.soak import Plan, report, run
from benchmarks.soak_rule import chart, slope, trend


@pytest.mark.slow
@pytest.mark.lasts
def test_two_minutes_at_a_moderate_rate_lose_nothing_and_grow_nothing(tmp_path: Path) -> None:
    soak = run(Plan(minutes=2.0, rate=1_000.0, sample_s=1.0, compact_s=30.0, cut_s=40.0, slack_mib=96.0), tmp_path)
    assert soak.stored == soak.expected > 100_000
    assert soak.failures() == [], report(soak)
    assert soak.compactions > 0
    assert soak.rows["trades"] > 0 < soak.rows["quotes"]


def noisy(rise_per_s: float, seconds: int = 3_600, about: float = 300.0) -> tuple[list[float], list[float]]:
    """An hour of memory that swings by 20 MiB, with peaks of 100, and rises by so much."""
    chance = random.Random(1)
    times = [float(at) for at in range(0, seconds, 5)]
    swings = [chance.uniform(-10, 10) + (100 if chance.random() < 0.05 else 0) for _ in times]
    return times, [about + rise_per_s * at + swing for at, swing in zip(times, swings, strict=True)]


def test_memory_that_swings_and_peaks_does_not_grow() -> None:
    found = trend("memory", "MiB", *noisy(0.0))
    assert not found.grows
    assert abs(found.growth) < 5


def test_memory_that_rises_by_a_frame_of_each_twenty_records_grows() -> None:
    # 5,000 records a second, one of twenty kept, 263 bytes each
    found = trend("memory", "MiB", *noisy(5_000 / 20 * 263 / 2**20))
    assert found.grows
    assert found.per_hour == pytest.approx(225, rel=0.1)


def test_a_file_handle_left_open_every_ten_minutes_grows() -> None:
    times = [float(at) for at in range(0, 3_600, 5)]
    assert trend("file handles", "open", times, [30 + at // 600 for at in times]).grows
    assert not trend("file handles", "open", times, [30 + (at % 60 == 0) for at in times]).grows


def test_the_slope_is_the_median_of_pairs() -> None:
    assert slope([0, 1, 2, 3, 4], [0, 2, 4, 6, 800]) == 2.0
    assert slope([0, 1, 2], [5, 5, 5]) == 0
    assert slope([0], [5]) == 0


def test_a_chart_shows_the_peak_and_the_end() -> None:
    lines = chart([0, 60, 120], [10, 80, 40], unit="MiB", width=12, height=4)
    assert lines[0].startswith("      80 MiB │")
    assert "█" in lines[0]
    assert lines[-1].endswith("2 min")
