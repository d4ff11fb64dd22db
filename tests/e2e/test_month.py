"""The month's judgement on a small file: two real days of three symbols, and that a wrong bar or share is seen."""

import json
import sys
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.month import Day, file_bars, judged, month, report, sessions

DATES = ["2025-09-15", "2025-09-16"]


@pytest.fixture
def bars(shared: Path, tmp_path: Path) -> Path:
    """Three symbols of two days."""
    whole = shared / "krx_1m_bars" / "krx_1m_2025-09.parquet"
    chosen = pc.field("date").cast("string").isin(DATES) & pc.field("code").isin(["000150", "000660", "00680K"])
    pq.write_table(pq.read_table(whole, filters=chosen), tmp_path / "three.parquet")
    return tmp_path / "three.parquet"


@pytest.mark.slow
@pytest.mark.shared
def test_each_day_is_played_once_certified_and_exact(bars: Path, tmp_path: Path) -> None:
    assert sessions(bars)[DATES[0]] == 3
    first = month(bars, tmp_path / "month", DATES[:1])
    both = month(bars, tmp_path / "month", [])
    assert [day.date for day in both] == list(sessions(bars))
    assert both[0] == first[0]
    assert all(day.well and day.certified == day.symbols and day.bars > 300 for day in both), both
    assert "**Failed" not in report(both, bars)
    # another answer than the file's, another count than was sent: both are seen
    lake, sent = tmp_path / "month" / "lake", json.loads((tmp_path / "month" / f"sent-{DATES[0]}.json").read_text())
    wanted = file_bars(bars, DATES[0])
    key = next(iter(wanted))
    wanted[key] = (*wanted[key][:3], wanted[key][3] + 5, *wanted[key][4:])
    sent["symbols"]["KRX:000660"]["shares"] += 1
    day = judged(DATES[0], sent, wanted, lake, 1.0)
    assert (day.wrong_bars, day.wrong_shares, day.well) == (1, 1, False)


def test_a_day_that_is_not_certified_fails_the_month() -> None:
    day = Day("2025-09-15", 3, 10, {"certified": 2, "open": 1}, 0, 5, 0, 0, 1.0)
    assert not day.well
    assert "**Failed:** 2025-09-15" in report([day], Path("bars.parquet"))
