"""Feeds one sink from the log, in a thread of its own: read, decode, write, flush when due.

A sink holds no frames. One that lags reads older segments; one that restarts is fed from the number it has reached,
after what precedes that number in its segment has told the decoder the business dates.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from hosu.collect.decode import Decoder
from hosu.collect.latency import Histogram
from hosu.collect.numbering import Numbering
from hosu.errors import HosuError, LakeFullError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.clock import Clock
    from hosu.collect.block import Block
    from hosu.collect.reader import LogReader
    from hosu.collect.sinks import EventBatch, Sink
    from hosu.collect.wal import Log

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")

_COMMIT_EVERY_S: Final = 1.0  # between commits made only so that a segment may be retired


@dataclass(frozen=True, slots=True)
class PumpConfig:
    """How a sink is fed.

    After each batch the pump rests ``rest_share`` times as long as the batch took, within the bounds given: records
    so gather into batches of 1 to 20 ms, the larger the more there are, and a batch costs nearly the same whether it
    holds ten records or a hundred. With a backlog it does not rest.
    """

    batch_bytes: int = 4 << 20
    rest_share: float = 8.0
    rest_min_s: float = 0.001
    rest_max_s: float = 0.02
    wait_s: float = 0.05
    retry_min_s: float = 0.1
    retry_max_s: float = 10.0


@dataclass(frozen=True, slots=True)
class _Reading:
    """Where a pump's thread stands in the log."""

    reader: LogReader
    decoder: Decoder
    numbering: Numbering


class Pump:
    """One sink's thread. Start it, ask it to drain or to leave, join it; ``error`` says how it ended.

    Attributes:
        records: market records in the batches written since the start.
        unfiled: of these, those that no table takes.
        quarantined: of these, those that could not be filed.
        read_lsn: the last log number that was decoded.
        covered_lsn: the highest number that the sink's commits cover, as far as it has said.
        synced_lsn: the highest number that would survive a power cut in the sink.
        latency: from the read of the socket to when the sink has taken the record, of what came since the pump began.
        beats: grows while the thread moves, whether it has work, waits for some or tries again; who hangs does not.
        trouble: a fault that is being retried; None while all is well.
        error: what ended the pump, if it did not end as asked.
    """

    def __init__(
        self,
        log: Log,
        sink: Sink,
        clock: Clock,
        config: PumpConfig | None = None,
        *,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._wal, self._sink, self._clock, self._config = log, sink, clock, config or PumpConfig()
        self._on_failure = on_failure
        self.name = sink.name
        self.records = self.unfiled = self.quarantined = self.beats = 0
        self.read_lsn = self.covered_lsn = self.synced_lsn = -1
        self.latency = Histogram()
        self.trouble: str | None = None
        self.error: BaseException | None = None
        self._began_after, self._began_us = -1, clock.now_us()
        self._sync_wanted = -1
        self._commit_tried_s = -_COMMIT_EVERY_S
        self._drain_to: int | None = None
        self._hurry = threading.Event()  # ends rests between batches
        self._abandoned = threading.Event()
        self._held_back = False
        self._thread = threading.Thread(target=self._run, name=f"hosu-pump-{sink.name}", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def drain(self, to_lsn: int) -> None:
        """Asks to write and flush everything up to ``to_lsn``, close the sink and end."""
        self._drain_to = to_lsn
        self._hurry.set()

    def abandon(self) -> None:
        """Asks to end as soon as possible, without flushing; the log keeps what the sink has not committed."""
        self._abandoned.set()
        self._hurry.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Whether the thread has ended, after waiting for it up to ``timeout_s``."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def hold_back(self, hold: bool) -> None:
        """Stops writing to the sink (after the batch at hand), or goes on; the log keeps what comes meanwhile."""
        self._held_back = hold

    def sync_up_to(self, lsn: int) -> None:
        """Asks that the sink commits and syncs what it has up to ``lsn``; ``synced_lsn`` tells when."""
        self._sync_wanted = max(self._sync_wanted, lsn)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._feed()
        except BaseException as error:  # noqa: BLE001 - kept for the owner, who raises it
            self.error = error
            if self._on_failure is not None:
                self._on_failure(error)

    def _feed(self) -> None:
        reading = self._begin()
        while not self._abandoned.is_set() and self._turn(reading):
            pass

    def _begin(self) -> _Reading:
        reader = self._wal.reader(self._resume())
        return _Reading(reader, Decoder(self._wal.wal_id), self._numbering())

    def _turn(self, reading: _Reading) -> bool:
        """Reads, decodes and writes once, and commits what is due; False when that was all."""
        self.beats += 1
        if self._held_back:
            if self._drain_to is not None:
                return False
            self.trouble = "held back: the disk is nearly full"
            self._hurry.wait(self._config.wait_s)
            return True
        began_s = self._clock.monotonic()
        block = reading.reader.read(self._config.batch_bytes, self._config.wait_s)
        if block is not None:
            self._take(block, reading)
        if self._abandoned.is_set():  # it may have been a long batch, and the log may have a new owner by now
            return False
        if self._attempt(self._sink.due):
            self._flush()
        self._sync()
        if self._drain_to is not None and reading.reader.after_lsn >= self._drain_to:
            self._finish()
            return False
        if block is not None and len(block.data) < self._config.batch_bytes // 2:
            self._rest(self._clock.monotonic() - began_s)
        return True

    def _take(self, block: Block, reading: _Reading) -> None:
        for part in reading.numbering.take(block):
            batch = reading.decoder.decode(part)
            if batch is not None:
                self._write(reading.numbering.placed(batch))
        self.read_lsn = max(self.read_lsn, reading.reader.after_lsn)
        live = block.ts_recv_us[block.ts_recv_us >= self._began_us]
        self.latency.observe(self._clock.now_us() - live)

    def _resume(self) -> int:
        """The number after which to read, so that the decoder begins with a segment.

        Raises:
            LogGapError: records that the sink does not have have left the log, and nothing came after them yet.
        """
        durable = self._wal.durable_lsn
        # What a killed process committed may not be synced, so nothing is until the sink says so again.
        self.covered_lsn = self._began_after = self._attempt(lambda: self._sink.resume_after(self._wal.wal_id))
        self.read_lsn = self.covered_lsn
        extent = self._wal.extent_behind(self.covered_lsn)
        if extent is not None:
            return extent.first_lsn - 1
        skipped_after = self._wal.skipped_after
        if durable > self.covered_lsn and (skipped_after is None or skipped_after > self.covered_lsn):
            raise self._numbering().gap(durable)
        return max(durable, self.covered_lsn)

    def _numbering(self) -> Numbering:
        next_step = (
            "replay them from the archive first (hosu replay <lake>/raw/frames --lake <lake>), or begin a new log by "
            f"moving {self._wal.directory} away"
        )
        return Numbering(self._wal.wal_id, self.covered_lsn, next_step=next_step)

    def _write(self, batch: EventBatch) -> None:
        if batch.last_lsn <= self._began_after:
            return
        self._attempt(lambda: self._sink.write(batch))
        self.records += batch.records
        self.unfiled += batch.unfiled
        self.quarantined += len(batch.tables["quarantine"]) if "quarantine" in batch.tables else 0

    def _flush(self) -> None:
        self.covered_lsn = max(self.covered_lsn, self._attempt(self._sink.flush))

    def _sync(self) -> None:
        if self.synced_lsn >= self._sync_wanted or self.read_lsn < self._sync_wanted:
            return
        now_s = self._clock.monotonic()
        if now_s - self._commit_tried_s >= _COMMIT_EVERY_S:
            self._commit_tried_s = now_s
            self._commit()

    def _commit(self) -> None:
        """Flushes and syncs. Only after the sync the sink is asked what it covers: some say it there."""
        self._flush()
        self._attempt(self._sink.sync)
        covered = self._attempt(lambda: self._sink.resume_after(self._wal.wal_id))
        self.covered_lsn = self.synced_lsn = max(self.covered_lsn, covered)

    def _finish(self) -> None:
        self._commit()
        self._sink.close()

    def _rest(self, busy_s: float) -> None:
        config = self._config
        rest_s = min(max(busy_s * config.rest_share, config.rest_min_s), config.rest_max_s)
        self._hurry.wait(rest_s)

    def _attempt(self, call: Callable[[], _T]) -> _T:
        """The call's result; tries again, ever more slowly, while its error may pass."""
        delay_s = self._config.retry_min_s
        while True:
            self.beats += 1
            try:
                result = call()
            except HosuError as error:
                if not self._may_pass(error):
                    raise
                self.trouble = str(error)
                _log.warning("sink will be tried again", sink=self.name, error=str(error), delay_s=delay_s)
                self._abandoned.wait(delay_s)
                delay_s = min(delay_s * 2, self._config.retry_max_s)
            else:
                self.trouble = None
                return result

    def _may_pass(self, error: HosuError) -> bool:
        """Whether to wait and try again. A lake without room does not stop the log, which may have some; but when
        all that is left to do is to commit, waiting for room would be waiting for ever."""
        if self._abandoned.is_set():
            return False
        return error.retryable or (isinstance(error, LakeFullError) and self._drain_to is None)
