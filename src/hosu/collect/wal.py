"""The write-ahead log: everything received is here, synced, before anybody looks at it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import structlog

from hosu import failpoints
from hosu.collect.block import RecordKind
from hosu.collect.files import Files, SystemFiles
from hosu.collect.latency import Histogram
from hosu.collect.numbering import skip_record
from hosu.collect.reader import LogReader, Recent
from hosu.collect.recovery import Extent, LogState, recover
from hosu.collect.runs import MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, pack_columns, tag_of
from hosu.collect.segment import SegmentHeader
from hosu.collect.wal_segment import ActiveSegment
from hosu.errors import LogWriteError
from hosu.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from hosu.clock import Clock

_log = structlog.get_logger(__name__)

_TICK_S: Final = 0.25  # how often an idle writer looks whether its segment has grown old
_LEAD_TAG: Final = tag_of(RecordKind.SESSION, 0)
_SMALL_COMMIT_BYTES: Final = 64 << 10  # below this, a commit costs more in its sync than in its bytes


@dataclass(frozen=True, slots=True)
class LogConfig:
    """How a log behaves.

    ``linger_s`` is how long the writer lets records gather after a small commit when more wait already; a record
    that finds the writer idle is committed at once. ``high_bytes`` and ``low_bytes`` are the marks of the queue at
    which ``append`` asks for a pause and at which the pause ends.
    """

    segment_bytes: int = 64 << 20
    segment_age_s: float = 600.0
    high_bytes: int = 64 << 20
    low_bytes: int = 16 << 20
    commit_bytes: int = 4 << 20
    recent_bytes: int = 32 << 20
    linger_s: float = 0.001


@dataclass(frozen=True, slots=True)
class LogStats:
    """Counters since the log was opened."""

    records: int
    bytes_written: int
    commits: int
    queued_bytes: int
    segments: int


class Log:
    """A write-ahead log of one collector. Records are numbered from 0 by log sequence numbers (LSN) that never go
    back, restarts included; there may be holes in the numbering after a disk lost what was synced, nowhere else.

    One process at a time owns a log's folder. ``append`` is for one thread (the event loop's); a thread of the log
    writes and syncs; anybody may wait and read.
    """

    def __init__(
        self, directory: Path, clock: Clock, config: LogConfig, *, files: Files, lock: FileLock, state: LogState
    ) -> None:
        """Use ``Log.open``."""
        self.directory, self._clock, self._config, self._lock = directory, clock, config, lock
        self.files, self._state = files, state
        self.recent = Recent(config.recent_bytes)
        self.latency = Histogram()
        # One list a column: tuples would be objects for the garbage collector to look through, 100,000 a second.
        self._payloads: list[bytes] = []
        self._times: list[int] = []
        self._tags: list[int] = []  # filled last, so that its length is that of whole records
        self._accepted_bytes = self._written_bytes = 0
        self._records = self._commits = self._bytes = 0
        self._next_lsn = state.next_lsn
        self._durable_lsn = state.next_lsn - 1
        self._active: ActiveSegment | None = None
        self._active_since_s = 0.0
        self._sealed: list[Extent] = []
        self._idle = self._paused = self._closing = self._seal_wanted = False
        self._error: LogWriteError | None = None
        self._wake = threading.Event()
        self._changed = threading.Condition()
        self._on_durable: list[Callable[[int], None]] = []
        self._on_drained: list[Callable[[], None]] = []
        self._on_failure: list[Callable[[LogWriteError], None]] = []
        self._preamble: Callable[[], bytes | None] | None = None
        self._skipped_after: int | None = None
        self._thread = threading.Thread(target=self._run, name="hosu-log", daemon=True)

    @classmethod
    def open(
        cls, directory: Path, clock: Clock, config: LogConfig | None = None, *, files: Files | None = None
    ) -> Self:
        """Opens the log in a folder, or begins one; recovers what a killed writer left.

        Args:
            directory: the log's own folder; created if it is missing.
            clock: gives creation times, and the end of the latencies that ``latency`` counts.
            config: the defaults if None.
            files: stands for the disk; the operating system's if None.

        Raises:
            LockedError: another process has it open.
            LogCorruptError: damage that no crash explains. Nothing was changed.
            LogWriteError: the disk refuses.
        """
        lock = FileLock(directory / "lock", f"the log {directory}")
        disk = files if files is not None else SystemFiles()
        try:
            lock.acquire()
            state, extents = recover(disk, directory, clock)
        except OSError as error:
            lock.release()
            raise LogWriteError(directory, _cause(error), -1) from None
        except BaseException:
            lock.release()
            raise
        log = cls(directory, clock, config or LogConfig(), files=disk, lock=lock, state=state)
        log._sealed = extents
        log._thread.start()
        return log

    # --- the owner's side ---------------------------------------------------------------------------------------

    def append(self, kind: int, connection: int, ts_recv_us: int, payload: bytes) -> bool:
        """``append_all`` of one record."""
        return self.append_all(kind, connection, ts_recv_us, [payload])

    def append_all(self, kind: int, connection: int, ts_recv_us: int, payloads: list[bytes]) -> bool:
        """Takes records of one kind, connection and receive time; they are durable some milliseconds later. Never
        blocks, never drops.

        Returns:
            False when more waits to be written than ``high_bytes``: stop receiving until ``on_drained`` calls.
            The records are taken all the same.

        Raises:
            LogWriteError: the disk has refused a write or sync before; no record is taken.
        """
        if self._error is not None:
            raise self._error
        if max(map(len, payloads)) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"a record of {max(map(len, payloads))} bytes; the log takes {MAX_PAYLOAD_BYTES}")
        count = len(payloads)
        # From lists, not iterators: each of these then is one uninterrupted step, whatever the log's thread does.
        self._payloads += payloads
        self._times += [ts_recv_us] * count
        self._tags += [kind << 16 | connection & 0xFFFF] * count
        self._accepted_bytes += sum(map(len, payloads)) + RECORD_HEADER_BYTES * count
        if self._idle:
            self._wake.set()
        if self._accepted_bytes - self._written_bytes <= self._config.high_bytes:
            return True
        self._paused = True
        self._wake.set()  # the writer may just have emptied the queue, and must see the pause
        return False

    def on_drained(self, call: Callable[[], None]) -> None:
        """``call()`` from the log's thread when, after ``append`` said False, the queue has fallen to ``low_bytes``."""
        self._on_drained.append(call)

    def on_durable(self, call: Callable[[int], None]) -> None:
        """``call(lsn)`` from the log's thread after each commit, with the highest durable LSN. Must be quick."""
        self._on_durable.append(call)

    def on_failure(self, call: Callable[[LogWriteError], None]) -> None:
        """``call(error)`` from the log's thread, once, when the disk refuses."""
        self._on_failure.append(call)

    def set_preamble(self, call: Callable[[], bytes | None]) -> None:
        """The payload of the SESSION record that begins each further segment, asked for from the log's thread;
        None for no such record."""
        self._preamble = call

    def advance_to(self, lsn: int) -> None:
        """The next record is numbered ``lsn`` or higher. Only before the first ``append``.

        For a log that stands behind what was once read of it, as after a disk lost synced data or an old copy was
        restored: without this, new records would bear numbers that readers have seen. The next record to be written
        tells readers of the hole (``numbering.skip_record``).
        """
        if self._records or self._tags:
            raise ValueError("records were appended already")
        if lsn <= self._next_lsn:
            return
        with self._changed:
            if self._skipped_after is None:
                self._skipped_after = self._next_lsn - 1
            self._next_lsn = lsn
            self._durable_lsn = lsn - 1

    def seal(self, timeout_s: float = 10.0) -> bool:
        """Closes the current segment so that it can be archived, once all that was appended is written.

        Returns whether that was done within ``timeout_s``.

        Raises:
            LogWriteError: the disk refuses.
        """
        self._seal_wanted = True
        self._wake.set()
        with self._changed:
            done = self._changed.wait_for(lambda: not self._seal_wanted or self._error is not None, timeout_s)
        if self._error is not None:
            raise self._error
        return done

    def close(self) -> None:
        """Writes and syncs all that was appended, seals the segment and lets go of the folder. Twice is harmless.

        Raises:
            LogWriteError: the disk refused, now or before; what was not reported durable may be lost.
        """
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._lock.release()
        if self._error is not None:
            raise self._error

    def sealed(self) -> list[Extent]:
        """The closed segments still on disk, oldest first."""
        with self._changed:
            return list(self._sealed)

    def retire(self, path: Path) -> None:
        """Deletes a sealed segment, whose copy and whose readers' commits the caller has checked.

        Raises:
            LogWriteError: the disk refuses.
        """
        with self._changed:
            if path not in [extent.path for extent in self._sealed]:
                raise ValueError(f"{path} is no sealed segment of this log")
            self._sealed = [extent for extent in self._sealed if extent.path != path]
        try:
            self.files.remove(path)
            self.files.fsync_dir(self.directory)
        except OSError as error:
            raise LogWriteError(path, _cause(error), self._durable_lsn) from None

    # --- everybody's side ---------------------------------------------------------------------------------------

    @property
    def wal_id(self) -> str:
        return self._state.wal_id

    @property
    def durable_lsn(self) -> int:
        """Every record up to this number is synced; -1 when there is none."""
        return self._durable_lsn

    @property
    def next_lsn(self) -> int:
        """The number of the next record to be written; queued records have none yet."""
        return self._next_lsn

    @property
    def stats(self) -> LogStats:
        queued = self._accepted_bytes - self._written_bytes
        return LogStats(self._records, self._bytes, self._commits, queued, len(self._sealed) + bool(self._active))

    @property
    def error(self) -> LogWriteError | None:
        """Why nothing is written any more; None while all is well."""
        return self._error

    def wait_written(self, timeout_s: float) -> bool:
        """Whether everything appended so far is durable, after waiting for it up to ``timeout_s``.

        Raises:
            LogWriteError: the disk refused.
        """
        target = self._accepted_bytes
        with self._changed:
            self._changed.wait_for(lambda: self._written_bytes >= target or self._error is not None, timeout_s)
        if self._error is not None:
            raise self._error
        return self._written_bytes >= target

    def wait_durable(self, lsn: int, timeout_s: float | None = None) -> bool:
        """Whether record ``lsn`` is durable, after waiting for it up to ``timeout_s`` (None: as long as it takes).

        Raises:
            LogWriteError: it is not, and will not be: the disk refused.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._durable_lsn >= lsn or self._error is not None, timeout_s)
        if self._durable_lsn < lsn and self._error is not None:
            raise self._error
        return self._durable_lsn >= lsn

    def await_durable(self, lsn: int, timeout_s: float) -> bool:
        """As ``wait_durable``, for readers: a log that has failed has simply no more records."""
        if self._durable_lsn >= lsn:
            return True
        with self._changed:
            return self._changed.wait_for(lambda: self._durable_lsn >= lsn, timeout_s)

    def reader(self, after_lsn: int = -1) -> LogReader:
        """A reader of the durable records above ``after_lsn``; of those that have left the log, it begins behind."""
        return LogReader(self, after_lsn)

    @property
    def skipped_after(self) -> int | None:
        """The number before a hole in the numbering that the next record will tell of; None while there is none."""
        return self._skipped_after

    def extent_behind(self, lsn: int) -> Extent | None:
        """The first segment with a durable record above ``lsn``."""
        with self._changed:
            for extent in self._sealed:
                if extent.last_lsn > lsn:
                    return extent
            active = self._active.extent if self._active is not None else None
        return active if active is not None and active.last_lsn > lsn else None

    # --- the writer's side, in the log's own thread -------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._await_work():
                self._commit()
            self._seal_active()
        except OSError as error:
            self._fail(_cause(error))
        except BaseException as error:
            self._fail(repr(error))
            raise
        finally:
            if self._active is not None:
                self._active.abandon()

    def _await_work(self) -> bool:
        """True when records wait, False when there are none and none will come."""
        while True:
            self._tell_drained()
            if self._tags:
                return True
            if self._closing:
                return False
            if self._seal_wanted or self._is_old():
                self._seal_active()
            self._idle = True
            if not self._tags:
                self._wake.wait(_TICK_S)
            self._idle = False
            self._wake.clear()

    def _commit(self) -> None:
        payloads, times, tags = self._take()
        leads = self._begin_segment() if self._active is None else []
        if leads:
            count = len(leads)
            payloads, times, tags = [*leads, *payloads], [times[0]] * count + times, [_LEAD_TAG] * count + tags
        lead_bytes = sum(map(len, leads)) + RECORD_HEADER_BYTES * len(leads)
        assert self._active is not None
        first_lsn = self._next_lsn
        buffer, ts_recv_us = pack_columns(payloads, times, tags, first_lsn)
        self._active.commit(buffer, len(tags))
        self._publish(first_lsn, buffer, ts_recv_us, len(buffer) - lead_bytes)
        if self._active.size >= self._config.segment_bytes or self._is_old():
            self._seal_active()
        elif self._tags and not self._closing and len(buffer) < _SMALL_COMMIT_BYTES:
            time.sleep(self._config.linger_s)

    def _take(self) -> tuple[list[bytes], list[int], list[int]]:
        """What waits, up to ``commit_bytes`` but one record at least: payloads, times, tags."""
        count = len(self._tags)
        if self._accepted_bytes - self._written_bytes > self._config.commit_bytes:
            count = self._count_within(count, self._config.commit_bytes)
        # In place, since append may hold a list at this moment; each step is one uninterrupted operation.
        taken = self._payloads[:count], self._times[:count], self._tags[:count]
        del self._tags[:count], self._times[:count], self._payloads[:count]
        return taken

    def _count_within(self, count: int, limit_bytes: int) -> int:
        size = 0
        for place in range(count):
            size += len(self._payloads[place]) + RECORD_HEADER_BYTES
            if size > limit_bytes:
                return max(1, place)
        return count

    def _begin_segment(self) -> list[bytes]:
        """Opens a segment; the payloads of the SESSION records it begins with."""
        header = SegmentHeader(self.wal_id, self._next_lsn, self._clock.now_us())
        payload = self._preamble() if self._preamble is not None else None
        active = ActiveSegment(self.files, self.directory, header)
        self._active_since_s = self._clock.monotonic()
        with self._changed:
            self._active = active
        skip = [skip_record(self._skipped_after)] if self._skipped_after is not None else []
        return [*skip, payload] if payload is not None else skip

    def _publish(self, first_lsn: int, buffer: bytearray, ts_recv_us: npt.NDArray[np.int64], taken_bytes: int) -> None:
        last_lsn = first_lsn + len(ts_recv_us) - 1
        self.recent.add(first_lsn, last_lsn, buffer)
        self._records += len(ts_recv_us)
        self._bytes += len(buffer)
        self._commits += 1
        self._next_lsn = last_lsn + 1
        with self._changed:
            self._skipped_after = None
            self._written_bytes += taken_bytes
            self._durable_lsn = last_lsn
            self._changed.notify_all()
        for call in self._on_durable:
            call(last_lsn)
        self.latency.observe(self._clock.now_us() - ts_recv_us)

    def _tell_drained(self) -> None:
        if self._paused and self._accepted_bytes - self._written_bytes <= self._config.low_bytes:
            self._paused = False
            for call in self._on_drained:
                call()

    def _is_old(self) -> bool:
        return self._active is not None and (
            self._clock.monotonic() - self._active_since_s >= self._config.segment_age_s
        )

    def _seal_active(self) -> None:
        active = self._active
        if active is not None:
            extent = active.seal(self._clock.now_us())
            if failpoints.on:
                failpoints.reach("log.sealed")
            self._state = LogState(self._state.wal_id, self._state.created_us, self._next_lsn)
            self._state.store(self.files, self.directory)
            with self._changed:
                self._sealed.append(extent)
                self._active = None
        with self._changed:
            self._seal_wanted = False
            self._changed.notify_all()

    def _fail(self, cause: str) -> None:
        path = self._active.path if self._active is not None else self.directory
        error = LogWriteError(path, cause, self._durable_lsn)
        with self._changed:
            self._error = error
            self._changed.notify_all()
        _log.error("log abandoned", path=str(path), cause=cause, durable_lsn=self._durable_lsn)
        for call in self._on_failure:
            call(error)


def _cause(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
