"""Reading a log while it is written: the last commits from memory, older records from the segments."""

from __future__ import annotations

import threading
from bisect import bisect_right
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hosu.collect.runs import MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, read_run, slice_block
from hosu.collect.segment import HEADER_BYTES
from hosu.errors import LogCorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.collect.block import Block
    from hosu.collect.files import Files
    from hosu.collect.recovery import Extent
    from hosu.collect.runs import Bytes

_OVERHEAD_BYTES: Final = 256  # of Python objects a remembered commit costs beside its bytes


class Recent:
    """The last commits of a log, as they were written; bounded in bytes. For several threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._last: list[int] = []  # the last LSN of each commit, rising
        self._commits: list[tuple[int, bytearray]] = []  # first LSN and bytes
        self._bytes = 0

    def add(self, first_lsn: int, last_lsn: int, buffer: bytearray) -> None:
        """Remembers a commit, and forgets the oldest ones above the bound (a quarter of it at a time)."""
        with self._lock:
            self._last.append(last_lsn)
            self._commits.append((first_lsn, buffer))
            self._bytes += len(buffer) + _OVERHEAD_BYTES
            if self._bytes > self._max_bytes:
                self._forget()

    def _forget(self) -> None:
        count = 0
        while self._bytes > self._max_bytes * 3 // 4 and count < len(self._commits):
            self._bytes -= len(self._commits[count][1]) + _OVERHEAD_BYTES
            count += 1
        del self._last[:count], self._commits[:count]

    def take(self, after_lsn: int, max_bytes: int) -> list[bytearray]:
        """Whole commits that hold the record after ``after_lsn`` and what follows it, ``max_bytes`` or one commit.

        Empty when that record is not, or no longer, remembered.
        """
        with self._lock:
            at = bisect_right(self._last, after_lsn)
            if at == len(self._last) or self._commits[at][0] > after_lsn + 1:
                return []
            taken = [self._commits[at][1]]
            size = len(taken[0])
            # By index: a slice would copy thousands of references while the log's thread waits for the lock.
            for place in range(at + 1, len(self._commits)):
                buffer = self._commits[place][1]
                size += len(buffer)
                if size > max_bytes:
                    break
                taken.append(buffer)
            return taken


class Source(Protocol):
    """What a reader asks of the log it reads."""

    @property
    def wal_id(self) -> str: ...

    @property
    def files(self) -> Files: ...

    @property
    def recent(self) -> Recent: ...

    def await_durable(self, lsn: int, timeout_s: float) -> bool:
        """Whether that record is durable, after waiting for it up to ``timeout_s``."""

    def extent_behind(self, lsn: int) -> Extent | None:
        """The first segment with a durable record above ``lsn``."""


class LogReader:
    """Reads a log's durable records in order, each once; for one thread at a time."""

    def __init__(self, source: Source, after_lsn: int) -> None:
        self._source = source
        self._after = after_lsn
        self._path: Path | None = None
        self._offset = self._expected = 0

    @property
    def after_lsn(self) -> int:
        """The number of the last record that was read."""
        return self._after

    def read(self, max_bytes: int = 4 << 20, timeout_s: float = 0.0) -> Block | None:
        """The next records that are durable; None if there are none within ``timeout_s``.

        Args:
            max_bytes: about how many bytes at most; one commit or one record may be larger.
            timeout_s: how long to wait when everything durable was read. 0 does not wait.

        Raises:
            LogCorruptError: a segment on disk is damaged.
        """
        if not self._source.await_durable(self._after + 1, timeout_s):
            return None
        block = self._from_memory(max_bytes) or self._from_disk(max_bytes)
        if block is not None:
            self._after = int(block.lsn[-1])
        return block

    def _from_memory(self, max_bytes: int) -> Block | None:
        commits = self._source.recent.take(self._after, max_bytes)
        if not commits:
            return None
        data = np.frombuffer(commits[0] if len(commits) == 1 else bytearray().join(commits), np.uint8)
        return self._behind(read_run(self._source.wal_id, data, 0, len(data), check=False).block)

    def _behind(self, block: Block) -> Block | None:
        """The part of a block that was not read yet."""
        begin = int(np.searchsorted(block.lsn, self._after, side="right"))
        if begin == len(block):
            return None
        return slice_block(block, begin) if begin else block

    def _from_disk(self, max_bytes: int) -> Block | None:
        while (extent := self._source.extent_behind(self._after)) is not None:
            if extent.path != self._path:
                self._path, self._offset, self._expected = extent.path, HEADER_BYTES, extent.first_lsn
            block = self._behind(self._chunk(extent, max_bytes))
            if block is not None:
                return block
        return None

    def _chunk(self, extent: Extent, max_bytes: int) -> Block:
        data = self._load(extent, max_bytes)
        run = read_run(self._source.wal_id, data, 0, len(data), expected_lsn=self._expected)
        if not len(run.block) and len(data) < extent.end - self._offset:
            length = int.from_bytes(data[:4].tobytes(), "little")
            data = self._load(extent, RECORD_HEADER_BYTES + min(length, MAX_PAYLOAD_BYTES))
            run = read_run(self._source.wal_id, data, 0, len(data), expected_lsn=self._expected)
        if not len(run.block):
            raise LogCorruptError(extent.path, self._offset, run.fault or "records are missing at its end")
        self._offset += run.stop
        self._expected += len(run.block)
        return run.block

    def _load(self, extent: Extent, size: int) -> Bytes:
        data = np.empty(min(max(size, RECORD_HEADER_BYTES), extent.end - self._offset), np.uint8)
        done = self._source.files.read(extent.path, self._offset, data.data)
        return data[:done]
