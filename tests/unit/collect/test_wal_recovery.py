"""The log after a crash and on a disk that refuses: what it said is durable is there again, and damage is named."""

import errno
import json
import os
import threading
from pathlib import Path

import pytest
from wal_parts import START_US, clock, expected, fill, read_all

from hosu.collect.files import SystemFiles
from hosu.collect.segment import read_segment
from hosu.collect.wal import Log
from hosu.errors import InputError, LockedError, LogCorruptError, LogWriteError


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
