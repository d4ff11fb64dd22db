"""The log as it is written and read: numbers, segments, its bounded queue, and what is durable when."""

import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from wal_parts import START_US, clock, expected, fill, read_all

from hosu.collect.files import SystemFiles
from hosu.collect.status import durable_lines
from hosu.collect.wal import Log, LogConfig


def until(condition) -> None:
    """Waits for what another thread is about to do."""
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.005)
    pytest.fail("it did not come about within ten seconds")


def spans(log: Log) -> list[tuple[int, int]]:
    return [(extent.first_lsn, extent.last_lsn) for extent in log.sealed()]


def test_an_empty_log_has_nothing_durable(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    assert (log.durable_lsn, log.next_lsn, log.sealed(), read_all(log)) == (-1, 0, [], [])
    log.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "log.json"]


def test_records_are_numbered_and_read_while_the_log_is_written(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    fill(log, 0, 5)
    assert log.durable_lsn == 4
    assert log.next_lsn == 5
    reader = log.reader(1)
    block = reader.read()
    assert block is not None
    assert block.lsn.tolist() == [2, 3, 4]
    assert block.connection.tolist() == [3, 3, 3]
    assert block.ts_recv_us.tolist() == [START_US + 2, START_US + 3, START_US + 4]
    assert reader.read() is None
    fill(log, 5, 1)
    assert read_all(log, 4) == expected(5, 5)
    log.close()
    assert log.latency.count == 6


def test_a_reopened_log_goes_on_where_it_stopped(tmp_path: Path):
    ids = set()
    for i in range(3):
        log = Log.open(tmp_path, clock())
        ids.add(log.wal_id)
        assert log.next_lsn == 10 * i
        fill(log, 10 * i, 10)
        log.close()
    log = Log.open(tmp_path, clock())
    assert read_all(log) == expected(0, 29)
    assert read_all(log, 14) == expected(15, 29)
    assert len(ids) == 1
    log.close()


def test_old_records_come_from_segments_and_new_ones_from_memory(tmp_path: Path):
    log = Log.open(tmp_path, clock(), LogConfig(segment_bytes=2000, recent_bytes=1000))
    for i in range(100):
        fill(log, i, 1)
    until(lambda: len(log.sealed()) == 2)
    assert read_all(log) == expected(0, 99)
    assert read_all(log, max_bytes=100) == expected(0, 99)
    assert read_all(log, 57, max_bytes=300) == expected(58, 99)
    log.close()


def test_segments_end_by_size_and_by_age_and_on_demand(tmp_path: Path):
    time = clock()
    log = Log.open(tmp_path, time, LogConfig(segment_bytes=400, segment_age_s=60))
    fill(log, 0, 1)
    assert log.sealed() == []
    fill(log, 1, 10)
    until(lambda: spans(log) == [(0, 10)])
    fill(log, 11, 1)
    time._now_us += 61_000_000
    fill(log, 12, 1)
    until(lambda: spans(log)[1:] in ([(11, 12)], [(11, 11)]))
    fill(log, 13, 1)
    assert log.seal()
    assert spans(log)[-1][1] == 13
    assert log.seal()  # with nothing in it
    log.close()


def test_an_idle_segment_grows_old_too(tmp_path: Path):
    time = clock()
    log = Log.open(tmp_path, time, LogConfig(segment_age_s=60))
    fill(log, 0, 1)
    time._now_us += 61_000_000
    until(lambda: bool(spans(log)))
    assert spans(log) == [(0, 0)]
    log.close()


def test_each_segment_begins_with_the_preamble(tmp_path: Path):
    log = Log.open(tmp_path, clock(), LogConfig(segment_bytes=1))
    log.set_preamble(lambda: b'{"event":"segment"}')
    for i in range(2):
        log.append(1, 3, START_US, b"frame %d" % i)
        assert log.wait_written(10)
    assert read_all(log) == [(0, b'{"event":"segment"}'), (1, b"frame 0"), (2, b'{"event":"segment"}'), (3, b"frame 1")]
    assert log.stats.queued_bytes == 0
    log.close()


def test_retired_segments_are_gone_and_numbers_go_on(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    fill(log, 0, 5)
    log.seal()
    log.retire(log.sealed()[0].path)
    with pytest.raises(ValueError, match="no sealed segment"):
        log.retire(tmp_path / "other.log")
    log.close()
    again = Log.open(tmp_path, clock())
    assert (again.next_lsn, again.durable_lsn, read_all(again)) == (5, 4, [])
    fill(again, 5, 1)
    assert read_all(again) == expected(5, 5)
    again.close()


def test_numbers_can_be_moved_on_but_never_back(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    log.advance_to(100)
    log.advance_to(50)
    log.append(1, 0, START_US, b"x")
    assert log.wait_durable(100, 10)
    with pytest.raises(ValueError, match="already"):
        log.advance_to(200)
    log.close()


def test_the_first_record_behind_a_hole_tells_of_it(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    log.set_preamble(lambda: b"preamble")
    fill(log, 0, 3)
    log.close()
    log = Log.open(tmp_path, clock())
    log.set_preamble(lambda: b"preamble")
    assert log.skipped_after is None
    log.advance_to(10)
    log.advance_to(12)
    assert log.skipped_after == 3
    log.append(1, 0, START_US, b"x")
    assert log.wait_written(10)
    assert log.skipped_after is None
    log.seal()
    log.append(1, 0, START_US, b"y")
    assert log.wait_written(10)
    assert read_all(log, 11) == [
        (12, b'{"event": "numbers_skipped", "after": 3}'),
        (13, b"preamble"),
        (14, b"x"),
        (15, b"preamble"),
        (16, b"y"),
    ]
    log.close()


def test_segments_that_are_missing_between_others_are_told(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    for first in (0, 5, 10):
        fill(log, first, 5)
        log.seal()
    log.close()
    (tmp_path / f"{5:020d}.log").unlink()
    with capture_logs() as told:
        log = Log.open(tmp_path, clock())
    log.close()
    assert [(each["log_level"], each["first_lsn"], each["last_lsn"]) for each in told] == [("warning", 5, 9)]


# --- the queue --------------------------------------------------------------------------------------------------


class SlowFiles(SystemFiles):
    """A disk that syncs when it is told to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.waiting = threading.Event()

    def fdatasync(self, descriptor):
        self.waiting.set()
        assert self.gate.wait(10)
        super().fdatasync(descriptor)


def test_a_full_queue_asks_for_a_pause_takes_the_record_and_says_when_it_has_drained(tmp_path: Path):
    files, drained = SlowFiles(), threading.Event()
    log = Log.open(tmp_path, clock(), LogConfig(high_bytes=1000, low_bytes=100), files=files)
    log.on_drained(drained.set)
    fill(log, 0, 1)
    files.gate.clear()
    answers = [log.append(1, 3, START_US, b"x" * 168) for _ in range(10)]
    assert answers == [True] * 5 + [False] * 5
    assert not drained.is_set()
    files.gate.set()
    assert drained.wait(10)
    assert log.wait_durable(10, 10)
    assert log.append(1, 3, START_US, b"x")
    log.close()


def test_nothing_is_durable_before_its_sync_returns(tmp_path: Path):
    files = SlowFiles()
    log = Log.open(tmp_path, clock(), files=files)
    fill(log, 0, 1)
    files.gate.clear()
    files.waiting.clear()
    log.append(1, 3, START_US, b"y")
    assert files.waiting.wait(10)
    assert log.durable_lsn == 0
    assert not log.wait_durable(1, 0)
    assert read_all(log) == expected(0, 0)
    files.gate.set()
    assert log.wait_durable(1, 10)
    log.close()


def test_a_large_queue_is_written_in_bounded_commits(tmp_path: Path):
    files = SlowFiles()
    log = Log.open(tmp_path, clock(), LogConfig(commit_bytes=1000), files=files)
    fill(log, 0, 1)
    files.gate.clear()
    for _ in range(30):
        log.append(1, 3, START_US, b"z" * 468)
    log.append(1, 3, START_US, b"z" * 5000)
    files.gate.set()
    assert log.wait_written(10)
    assert log.stats.records == 32
    assert log.stats.commits >= 16
    assert len(read_all(log)) == 32
    log.close()


def test_each_commit_writes_a_line_to_the_descriptor(tmp_path: Path):
    read_end, write_end = os.pipe()
    log = Log.open(tmp_path, clock())
    log.on_durable(durable_lines(write_end))
    fill(log, 0, 1)
    fill(log, 1, 2)
    log.close()
    os.close(write_end)
    with os.fdopen(read_end) as lines:
        numbers = [int(line) for line in lines]
    assert numbers[0] == 0
    assert numbers[-1] == 2
