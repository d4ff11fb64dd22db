"""Replay: all of a log once and in order, or a sentence that says what is missing."""

import shutil
from pathlib import Path

import pytest
from archived_log import ArchivedLog, volumes

from hosu.collect.replay import replay, segments_in
from hosu.errors import LogCorruptError, LogGapError
from hosu.lake.lake import Lake
from hosu.lake.writer import LakeSink


def test_days_replayed_out_of_order_are_refused_and_lose_nothing(lake: Lake, log: ArchivedLog) -> None:
    first, second = log.receive(5, 7)
    (tuesday,) = log.store(lake, second, date="2025-03-15")
    log.store(lake, first, date="2025-03-14")

    with pytest.raises(LogGapError, match=r"records 0 to 4 of log .* are missing.*all of raw/frames at once") as caught:
        replay(tuesday.parent, LakeSink(lake))
    assert (caught.value.first_missing, caught.value.last_missing) == (0, 4)
    assert volumes(lake) == []

    report = replay(Path(lake.root) / "raw/frames", LakeSink(lake))
    assert (report.records, report.segments) == (12, 2)
    assert volumes(lake) == list(range(12))
    assert replay(Path(lake.root) / "raw/frames", LakeSink(lake)).records == 0
    assert volumes(lake) == list(range(12))


def test_a_replay_goes_on_where_the_lake_stops(lake: Lake, log: ArchivedLog) -> None:
    first, second, third = log.receive(5, 7, 3)
    assert replay(first, LakeSink(lake)).records == 5
    assert replay([third, second], LakeSink(lake)).records == 10
    assert volumes(lake) == list(range(15))


def test_a_segment_and_its_copies_are_replayed_once(lake: Lake, log: ArchivedLog) -> None:
    segments = log.receive(5, 7)
    log.store(lake)
    state = Path(lake.root) / ".hosu/wal"
    shutil.copytree(log.folder, state)
    shutil.copytree(log.folder, Path(lake.root) / "elsewhere")
    cut = state / segments[1].name
    cut.write_bytes(cut.read_bytes()[:-200])  # still being written: no seal, and less than its copies

    report = replay(Path(lake.root), LakeSink(lake))
    assert (report.records, report.segments) == (12, 2)
    assert volumes(lake) == list(range(12))


def test_segments_that_overlap_are_replayed_once(lake: Lake, log: ArchivedLog, tmp_path: Path) -> None:
    (whole,) = log.receive(6)
    other = ArchivedLog(tmp_path / "other")
    shutil.copytree(log.folder, other.folder)
    (other.folder / whole.name).unlink()
    state = other.folder / "log.json"
    state.write_text(state.read_text().replace('"next_lsn": 6', '"next_lsn": 4'))
    assert [path.name for path in other.receive(5)] == [f"{4:020d}.log"]

    assert replay([log.folder, other.folder], LakeSink(lake)).records == 9
    assert volumes(lake) == list(range(9))


def test_of_several_copies_the_longest_sound_one_is_chosen(log: ArchivedLog, tmp_path: Path) -> None:
    (sound,) = log.receive(5)
    for name, content in (("a", sound.read_bytes()[:-200]), ("b", sound.read_bytes()[:-9]), ("c", sound.read_bytes())):
        (tmp_path / "copies" / name).mkdir(parents=True)
        (tmp_path / "copies" / name / sound.name).write_bytes(content)
    assert segments_in(tmp_path / "copies") == [tmp_path / "copies/c" / sound.name]


def test_a_segment_that_never_got_a_record_is_passed_over(lake: Lake, log: ArchivedLog) -> None:
    log.receive(5)
    (log.folder / f"{5:020d}.log").write_bytes(b"")
    assert replay(log.folder, LakeSink(lake)).records == 5


def test_a_copy_left_empty_by_a_power_cut_is_refused_in_its_turn(lake: Lake, log: ArchivedLog) -> None:
    log.receive(5, 7)
    _, second = log.store(lake)
    second.write_bytes(b"")
    with pytest.raises(LogCorruptError, match=second.name):
        replay(Path(lake.root) / "raw/frames", LakeSink(lake))
    assert volumes(lake) == list(range(5))


def test_a_segment_that_is_missing_between_others_ends_the_replay_before_it(lake: Lake, log: ArchivedLog) -> None:
    _, second, _ = log.receive(5, 7, 3)
    second.rename(second.with_suffix(".away"))
    with pytest.raises(LogGapError, match="records 5 to 11 "):
        replay(log.folder, LakeSink(lake))
    assert volumes(lake) == list(range(5))

    second.with_suffix(".away").rename(second)
    assert replay(log.folder, LakeSink(lake)).records == 10
    assert volumes(lake) == list(range(15))


def test_missing_records_can_be_given_up_for_good(lake: Lake, log: ArchivedLog) -> None:
    _, second, _ = log.receive(5, 7, 3)
    second.unlink()
    assert replay(log.folder, LakeSink(lake), skip_missing=True).records == 8
    assert volumes(lake) == [0, 1, 2, 3, 4, 12, 13, 14]
    assert LakeSink(lake).resume_after(log.wal_id) == 14


def test_a_log_that_tells_of_a_hole_in_its_numbers_is_replayed_across_it(lake: Lake, log: ArchivedLog) -> None:
    log.receive(5)
    log.receive(4, advance_to=9)
    assert replay(log.folder, LakeSink(lake)).records == 9
    assert volumes(lake) == [0, 1, 2, 3, 4, 10, 11, 12, 13]  # record 9 tells of the hole
    assert replay(log.folder, LakeSink(lake)).records == 0

    (Path(log.folder) / f"{0:020d}.log").unlink()
    with pytest.raises(LogGapError, match="records 0 to 8"):
        replay(log.folder, LakeSink(Lake.open(str(log.folder.parent / "new"))))
