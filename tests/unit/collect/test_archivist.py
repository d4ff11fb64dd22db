"""Segments on their way from the log's disk to the archive."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hosu.clock import SimulatedClock
from hosu.collect.archivist import Archivist
from hosu.collect.pump import Pump
from hosu.collect.sinks import EventBatch
from hosu.collect.wal import Log
from hosu.errors import ArchiveConflictError, LakeFullError, LakeUnreachableError

T0_US = 1_742_000_400_000_000  # 2025-03-15 10:00 KST


class Shelf:
    """An archive in memory, of which single names or the whole may fail."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        self.copies: dict[tuple[str, str], bytes] = {}
        self.taken: set[str] = set()
        self.without_room: set[str] = set()
        self.unreachable = False

    def store(self, name: str, date: str, data: bytes) -> None:
        if name in self.taken:
            raise ArchiveConflictError(name)
        if name in self.without_room:
            raise LakeFullError(name)
        self.copies[name, date] = data

    def holds(self, name: str, date: str) -> bool:
        if self.unreachable:
            raise LakeUnreachableError(name, "connection reset")
        return (name, date) in self.copies


class NoSink:
    """Stands behind a pump that is never started."""

    name = "none"

    def resume_after(self, wal_id: str) -> int:
        return -1

    def write(self, batch: EventBatch) -> None: ...

    def due(self) -> bool:
        return False

    def flush(self) -> int:
        return -1

    def sync(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    """A log of two sealed segments of three records."""
    log = Log.open(tmp_path, SimulatedClock(T0_US))
    for _ in range(2):
        for number in range(3):
            log.append(1, 1, T0_US, b"payload %d" % number)
        assert log.wait_written(10)
        log.seal()
    yield log
    log.close()


@pytest.fixture
def pump(log: Log) -> Pump:
    return Pump(log, NoSink(), SimulatedClock(T0_US))


def names(log: Log) -> list[str]:
    return [f"{log.wal_id}-{first:020d}-{last:020d}.log.zst" for first, last in ((0, 2), (3, 5))]


def test_what_one_archive_has_is_stored_again_in_another(log: Log, pump: Pump) -> None:
    one, other = Shelf("one"), Shelf("other")
    Archivist(log, one, [pump]).work()
    pump.synced_lsn = 5
    archivist = Archivist(log, other, [pump])
    archivist.work()
    assert sorted(other.copies) == sorted(one.copies) == [(name, "2025-03-15") for name in names(log)]
    assert (archivist.stored, archivist.retired, log.sealed()) == (2, 2, [])


def test_a_segment_whose_copy_somebody_took_away_is_stored_again_before_it_goes(log: Log, pump: Pump) -> None:
    shelf = Shelf("one")
    archivist = Archivist(log, shelf, [pump])
    archivist.work()
    assert archivist.stored == 2
    shelf.copies.clear()
    pump.synced_lsn = 5
    archivist.retire()
    assert (archivist.retired, len(log.sealed())) == (0, 2)
    archivist.work()
    assert (archivist.retired, log.sealed(), len(shelf.copies)) == (2, [], 2)
    assert sorted(path.name for path in log.directory.iterdir()) == ["lock", "log.json"]


def test_a_copy_that_cannot_be_stored_is_trouble_and_the_others_go_on(log: Log, pump: Pump) -> None:
    shelf = Shelf("one")
    shelf.taken.add(names(log)[0])
    pump.synced_lsn = 5
    archivist = Archivist(log, shelf, [pump])
    archivist.work()
    assert [extent.first_lsn for extent in log.sealed()] == [0]
    assert archivist.trouble is not None
    assert archivist.trouble.startswith(f"{names(log)[0]} holds another segment")
    shelf.taken.clear()
    archivist.work()
    assert (archivist.trouble, log.sealed()) == (None, [])


def test_without_room_for_one_those_behind_it_wait_lest_the_archive_get_a_hole(log: Log, pump: Pump) -> None:
    shelf = Shelf("one")
    shelf.without_room.add(names(log)[0])
    archivist = Archivist(log, shelf, [pump])
    archivist.work()
    assert (list(shelf.copies), len(log.sealed())) == ([], 2)
    assert (archivist.trouble or "").startswith(f"no space left for {names(log)[0]}")
    shelf.without_room.clear()
    archivist.work()
    assert [name for name, _ in shelf.copies] == names(log)
    assert archivist.trouble is None


def test_an_archive_that_does_not_answer_is_asked_again(log: Log, pump: Pump) -> None:
    shelf = Shelf("one")
    shelf.unreachable = True
    pump.synced_lsn = 5
    archivist = Archivist(log, shelf, [pump])
    archivist.work()
    assert "cannot be reached" in (archivist.trouble or "")
    assert len(log.sealed()) == 2
    shelf.unreachable = False
    archivist.work()
    assert (archivist.trouble, log.sealed()) == (None, [])


def test_a_marker_without_content_is_no_proof_of_a_copy(log: Log, pump: Pump) -> None:
    for extent in log.sealed():
        extent.path.with_name(extent.path.name + ".stored").write_bytes(b"")
    shelf = Shelf("one")
    Archivist(log, shelf, [pump]).work()
    assert len(shelf.copies) == 2
