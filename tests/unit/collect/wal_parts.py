"""Records to put into a log, and what stands in it."""

from hosu.clock import SimulatedClock
from hosu.collect.wal import Log

START_US = 1_700_000_000_000_000


def clock() -> SimulatedClock:
    return SimulatedClock(START_US)


def fill(log: Log, first: int, count: int) -> None:
    for i in range(first, first + count):
        log.append(1, 3, START_US + i, f"payload {i}".encode())
    assert log.wait_written(10)


def read_all(log: Log, after_lsn: int = -1, max_bytes: int = 4 << 20) -> list[tuple[int, bytes]]:
    reader, found = log.reader(after_lsn), []
    while (block := reader.read(max_bytes)) is not None:
        found += [(int(block.lsn[i]), block.payload(i)) for i in range(len(block))]
    return found


def expected(first: int, last: int) -> list[tuple[int, bytes]]:
    return [(i, f"payload {i}".encode()) for i in range(first, last + 1)]
