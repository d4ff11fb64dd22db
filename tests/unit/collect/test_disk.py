"""How long the disk lasts."""

import pytest

from hosu.collect.disk import DiskBudget, DiskConfig, DiskReport, Room, Usage, history_of_json, history_to_json

GIB = 1 << 30
HOUR_US = 3_600_000_000


def budget(**config: float | None) -> DiskBudget:
    return DiskBudget(DiskConfig(**{"reserve_bytes": GIB, "warn_days": 7.0, **config}))  # type: ignore[arg-type]


def take(disk: DiskBudget, hour: float, used_gib: float, free_gib: float, raw_gib: float | None = None) -> DiskReport:
    raw = None if raw_gib is None else round(raw_gib * GIB)
    room = Room("log and lake", round(used_gib * GIB), round(free_gib * GIB))
    return disk.take(Usage(round(hour * HOUR_US), (room,), raw))


def test_days_left_are_the_room_above_the_reserve_at_the_growth_of_the_last_hours():
    disk = budget()
    take(disk, 0, 10, 101)
    report = take(disk, 6, 12.5, 98.5)  # 2.5 GiB in 6 hours, 10 a day; 97.5 above the reserve
    (forecast,) = report.forecasts
    assert forecast.bytes_per_day == pytest.approx(10 * GIB)
    assert forecast.hours == 6
    assert report.days_left == pytest.approx(9.75)
    assert report.warnings == {}


def test_a_disk_that_is_soon_full_is_warned_of_in_time():
    disk = budget()
    take(disk, 0, 10, 61)
    assert take(disk, 6, 12.5, 51).warnings == {
        "log and lake days": "51.0 GiB free for log and lake, which last 5.0 days at the growth of the last 6.0 hours"
    }


def test_only_the_last_day_counts():
    disk = budget()
    take(disk, 0, 0, 100)
    take(disk, 10, 50, 100)  # a burst, more than a day ago by the end
    take(disk, 34, 50, 100)
    report = take(disk, 35, 50, 100)
    assert report.days_left is None
    assert report.forecasts[0].hours == 1
    assert report.forecasts[0].bytes_per_day == 0


def test_the_first_minutes_foretell_nothing_and_the_first_hour_warns_nobody():
    disk = budget()
    take(disk, 0, 10, 20)
    soon = take(disk, 0.1, 11, 19)
    assert (soon.days_left, soon.warnings) == (None, {})
    later = take(disk, 0.5, 15, 15)
    assert later.days_left == pytest.approx(14 / 240)
    assert later.warnings == {}
    assert "log and lake days" in take(disk, 1, 20, 10).warnings


def test_below_the_reserve_the_lake_is_held_back_and_below_twice_that_it_is_said_before():
    assert take(budget(), 0, 10, 0.9).warnings == {
        "log and lake full": "921.6 MiB free for log and lake, the lake is held back: free some"
    }
    assert take(budget(), 0, 10, 1.9).warnings == {
        "log and lake low": "1.9 GiB free for log and lake, the lake is held back below 1.0 GiB"
    }
    assert take(budget(), 0, 10, 2).warnings == {}


def test_raw_tables_beyond_their_budget_are_warned_of():
    assert take(budget(raw_budget_bytes=5 * GIB), 0, 10, 100, raw_gib=5.5).warnings == {
        "budget": "the raw tables hold 5.5 GiB, more than their budget of 5.0"
    }
    assert take(budget(raw_budget_bytes=5 * GIB), 0, 10, 100, raw_gib=5).warnings == {}
    assert take(budget(), 0, 10, 100, raw_gib=5.5).warnings == {}


def test_two_disks_are_told_apart_and_the_first_to_be_full_counts():
    disk = budget(warn_days=0)
    for hour, log, lake in ((0, 1, 1), (24, 2, 11)):
        rooms = (Room("the log", log * GIB, 6 * GIB), Room("the lake", lake * GIB, 31 * GIB))
        report = disk.take(Usage(hour * HOUR_US, rooms))
    assert [each.days_left for each in report.forecasts] == pytest.approx([5, 3])
    assert report.days_left == pytest.approx(3)


def test_a_clock_set_back_starts_the_count_over():
    disk = budget()
    take(disk, 100, 10, 50)
    take(disk, 106, 20, 50)
    assert take(disk, 50, 20, 50).days_left is None
    assert len(disk.history) == 1


def test_the_history_outlives_the_process_and_a_garbled_one_starts_over():
    disk = budget()
    take(disk, 0, 10, 101)
    kept = history_of_json(history_to_json(disk.history))
    assert kept == disk.history
    again = DiskBudget(disk.config, kept)
    assert take(again, 6, 12.5, 98.5).days_left == pytest.approx(9.75)
    for garbled in (None, 7, "x", [1], [{"at_us": 1}], [{"at_us": "x", "rooms": []}], [{"at_us": 1, "rooms": [[1]]}]):
        assert history_of_json(garbled) == []
