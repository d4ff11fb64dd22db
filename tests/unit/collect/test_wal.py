"""The log: what it says is durable is there again, whatever happened in between."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect.files import SystemFiles
from hosu.collect.segment import read_segment
from hosu.collect.status import durable_lines
from hosu.collect.wal import Log, LogConfig
from hosu.errors import InputError, LockedError, LogCorruptError, LogWriteError

START_US = 1_700_000_000_000_000


class FailingFiles(SystemFiles):
    """A disk of which the n-th call of one kind fails from then on."""

    def __init__(self) -> None:
        self.fail: dict[str, int] = {}
        self.calls: list[str] = []

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name in self.fail:
            self.fail[name] -= 1
            if self.fail[name] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, descriptor, buffers, offset):
        self._call("write")
        super().write(descriptor, buffers, offset)

    def fdatasync(self, descriptor):
        self._call("fdatasync")
        super().fdatasync(descriptor)

    def fsync_dir(self, directory):
        self._call("fsync_dir")
        super().fsync_dir(directory)


def clock() -> SimulatedClock:
    return SimulatedClock(START_US)


def fill(log: Log, first: int, count: int) -> None:
    for i in range(first, first + count):
        log.append(1, 3, START_US + i, f"payload {i}".encode())
    assert log.wait_written(10)


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


def read_all(log: Log, after_lsn: int = -1, max_bytes: int = 4 << 20) -> list[tuple[int, bytes]]:
    reader, found = log.reader(after_lsn), []
    while (block := reader.read(max_bytes)) is not None:
        found += [(int(block.lsn[i]), block.payload(i)) for i in range(len(block))]
    return found


def expected(first: int, last: int) -> list[tuple[int, bytes]]:
    return [(i, f"payload {i}".encode()) for i in range(first, last + 1)]


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


# --- crashes ----------------------------------------------------------------------------------------------------


def crashed(tmp_path: Path, commits: tuple[int, ...] = (3, 2)) -> Path:
    """A folder as a killed writer leaves it: one segment without a seal."""
    log = Log.open(tmp_path, clock())
    done = 0
    for count in commits:
        for i in range(done, done + count):
            log._payloads.append(f"payload {i}".encode())
            log._times.append(START_US + i)
            log._accepted_bytes += 32 + len(f"payload {i}")
        log._tags.extend([1 << 16 | 3] * count)  # all at once, so that they are one commit
        log._wake.set()
        done += count
        assert log.wait_durable(done - 1, 10)
    path = next(tmp_path.glob("*.log"))
    kept = {each: each.read_bytes() for each in (path, tmp_path / "log.json")}
    log.close()
    for each, content in kept.items():
        each.write_bytes(content)
    return path


def test_a_killed_writers_records_are_all_there_and_sealed(tmp_path: Path):
    path = crashed(tmp_path)
    log = Log.open(tmp_path, clock())
    assert read_all(log) == expected(0, 4)
    assert [(e.first_lsn, e.last_lsn) for e in log.sealed()] == [(0, 4)]
    fill(log, 5, 1)
    log.close()
    assert sum(len(block) for block in read_segment(path)) == 5
    assert list(tmp_path.glob("*.torn")) == []


def test_a_tail_torn_at_any_byte_of_the_last_record_is_cut_and_kept(tmp_path: Path):
    whole = crashed(tmp_path / "original").read_bytes()
    begin = len(whole) - 32 - len(b"payload 4")
    for cut in range(begin, len(whole)):
        folder = tmp_path / str(cut)
        folder.mkdir()
        (folder / "00000000000000000000.log").write_bytes(whole[:cut])
        log = Log.open(folder, clock())
        assert read_all(log) == expected(0, 3)
        assert log.next_lsn == 4
        log.close()
        torn = sorted(folder.glob("*.torn"))
        assert [path.read_bytes() for path in torn] == ([whole[begin:cut]] if cut > begin else [])


def test_a_page_of_the_last_commit_that_never_reached_the_disk_is_a_torn_tail(tmp_path: Path):
    path = crashed(tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(b"payload 3") - 32
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    log = Log.open(tmp_path, clock())
    assert read_all(log) == expected(0, 2)
    fill(log, 3, 1)
    assert read_all(log) == expected(0, 3)
    log.close()


def test_damage_in_a_synced_commit_is_an_error_and_changes_nothing(tmp_path: Path):
    path = crashed(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"payload 1")] ^= 1
    path.write_bytes(content)
    with pytest.raises(LogCorruptError, match="left as it is"):
        Log.open(tmp_path, clock())
    assert path.read_bytes() == content
    assert list(tmp_path.glob("*.torn")) == []


@pytest.mark.parametrize("size", [0, 1, 63, 64])
def test_a_segment_that_was_only_begun_is_removed(tmp_path: Path, size: int):
    whole = crashed(tmp_path).read_bytes()
    next(tmp_path.glob("*.log")).write_bytes(whole[:size])
    log = Log.open(tmp_path, clock())
    assert (log.sealed(), log.next_lsn) == ([], 0)
    log.close()


def test_a_segment_without_seal_before_another_is_an_error(tmp_path: Path):
    path = crashed(tmp_path)
    whole = path.read_bytes()
    log = Log.open(tmp_path, clock())
    fill(log, 5, 1)
    log.close()
    path.write_bytes(whole)
    with pytest.raises(LogCorruptError, match="no seal"):
        Log.open(tmp_path, clock())


def test_a_sealed_segment_damaged_on_disk_is_an_error_when_it_is_read(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    fill(log, 0, 3)
    log.close()
    path = next(tmp_path.glob("*.log"))
    again = Log.open(tmp_path, clock())
    content = bytearray(path.read_bytes())
    content[content.index(b"payload 1")] ^= 1
    path.write_bytes(content)
    with pytest.raises(LogCorruptError, match=path.name):
        read_all(again)
    again.close()
    with pytest.raises(LogCorruptError, match=path.name):
        Log.open(tmp_path, clock())


@pytest.mark.parametrize("content", ["", "{}", '{"format":1,"wal_id":"../x","created_us":0,"next_lsn":0}', "[1]"])
def test_a_log_json_that_is_not_ours_is_an_error(tmp_path: Path, content: str):
    (tmp_path / "log.json").write_text(content)
    with pytest.raises(LogCorruptError, match=r"log\.json"):
        Log.open(tmp_path, clock())
    assert (tmp_path / "log.json").read_text() == content


def test_a_log_of_a_newer_hosu_is_left_alone(tmp_path: Path):
    (tmp_path / "log.json").write_text(json.dumps({"format": 2, "wal_id": "w", "created_us": 0, "next_lsn": 0}))
    with pytest.raises(InputError, match="format 2"):
        Log.open(tmp_path, clock())


def test_a_lost_log_json_is_rebuilt_from_the_segments(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    wal_id = log.wal_id
    fill(log, 0, 3)
    log.close()
    (tmp_path / "log.json").unlink()
    again = Log.open(tmp_path, clock())
    assert (again.wal_id, again.next_lsn) == (wal_id, 3)
    again.close()


def test_two_processes_cannot_own_one_log(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    with pytest.raises(LockedError, match=f"in use by process {os.getpid()}"):
        Log.open(tmp_path, clock())
    log.close()
    Log.open(tmp_path, clock()).close()


# --- a disk that refuses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["write", "fdatasync"])
def test_after_a_failed_write_or_sync_nothing_more_is_durable_and_nothing_is_tried_again(tmp_path: Path, call: str):
    files, failures = FailingFiles(), []
    log = Log.open(tmp_path, clock(), files=files)
    told = threading.Event()
    log.on_failure(lambda error: (failures.append(error), told.set()))
    fill(log, 0, 3)
    files.fail[call] = 0
    files.calls.clear()
    log.append(1, 3, START_US, b"lost")
    with pytest.raises(LogWriteError, match="No space left on device") as caught:
        log.wait_durable(3, 10)
    assert caught.value.durable_lsn == 2
    assert told.wait(10)
    assert failures == [caught.value]
    with pytest.raises(LogWriteError):
        log.append(1, 3, START_US, b"refused")
    assert log.durable_lsn == 2
    assert read_all(log) == expected(0, 2)
    with pytest.raises(LogWriteError):
        log.close()
    assert files.calls.count(call) == 1
    files.fail.clear()
    again = Log.open(tmp_path, clock(), files=files)
    assert read_all(again)[:3] == expected(0, 2)
    assert again.next_lsn == len(read_all(again))
    again.close()


def test_recovery_writes_the_last_commit_again_since_a_failed_sync_may_have_dropped_it(tmp_path: Path):
    crashed(tmp_path, (3, 2))
    written = []

    class Watching(SystemFiles):
        def write(self, descriptor, buffers, offset):
            written.append((offset, b"".join(bytes(each) for each in buffers)))
            super().write(descriptor, buffers, offset)

    Log.open(tmp_path, clock(), files=Watching()).close()
    offset, content = next(each for each in written if b"payload" in each[1])
    assert offset == 64 + 3 * (32 + 9)
    assert b"payload 3" in content
    assert b"payload 2" not in content


def test_a_new_segment_that_cannot_be_created_is_a_failure(tmp_path: Path):
    files = FailingFiles()
    log = Log.open(tmp_path, clock(), files=files)
    files.fail["fsync_dir"] = 0
    log.append(1, 3, START_US, b"x")
    with pytest.raises(LogWriteError):
        log.wait_written(10)
    assert log.durable_lsn == -1
    with pytest.raises(LogWriteError):
        log.close()


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(LogWriteError, match="file"):
        Log.open(tmp_path / "file" / "log", clock())


def test_a_record_beyond_the_formats_limit_is_refused(tmp_path: Path):
    log = Log.open(tmp_path, clock())
    with pytest.raises(ValueError, match="the log takes"):
        log.append(1, 0, 0, bytes((1 << 28) + 1))
    log.close()


@pytest.mark.parametrize(
    "content",
    [
        b'{"format": 1, "wal_id": "w", "created_us": 0, "next_lsn": 99999999999999999999999}',
        b'{"format": 1, "wal_id": "w", "created_us": -1, "next_lsn": 0}',
        b"[" * 100_000,
    ],
)
def test_a_state_that_no_hosu_wrote_is_refused_in_one_sentence(tmp_path: Path, content: bytes):
    (tmp_path / "log.json").write_bytes(content)
    with pytest.raises(LogCorruptError, match=r"log\.json is damaged at byte 0") as refused:
        Log.open(tmp_path, clock())
    assert len(str(refused.value)) < 600
    assert (tmp_path / "log.json").read_bytes() == content
