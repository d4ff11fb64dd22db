"""Moves sealed segments from the log's disk to the archive, and deletes them only when nothing rests on them."""

from __future__ import annotations

import threading
from datetime import date
from typing import TYPE_CHECKING, Final

import structlog

from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.dates import calendar_dates
from hosu.collect.files import read_whole, write_atomically
from hosu.collect.segment import archive_name, check_segment, compress, read_segment
from hosu.errors import HosuError, LakeFullError, LogCorruptError, LogWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from hosu.collect.block import Block
    from hosu.collect.pump import Pump
    from hosu.collect.recovery import Extent
    from hosu.collect.sinks import Archive
    from hosu.collect.wal import Log

_log = structlog.get_logger(__name__)

STORED_SUFFIX: Final = ".stored"
"""Ends the name of the empty file that says that a segment's copy is in the archive."""


class Archivist:
    """Archives sealed segments in a thread of its own.

    A segment leaves the disk when its copy is stored, synced and read back (the archive's promise), and every sink
    has committed and synced all records in it.
    """

    def __init__(
        self,
        log: Log,
        archive: Archive,
        pumps: Sequence[Pump],
        *,
        every_s: float = 1.0,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        self._wal, self._archive, self._pumps, self._every_s = log, archive, pumps, every_s
        self._on_failure = on_failure
        self._stopping, self._last_pass = threading.Event(), False
        self.stored = self.retired = 0
        self.trouble: str | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hosu-archivist", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self, *, last_pass: bool = False) -> None:
        """Asks the thread to end; with ``last_pass`` after it has archived and deleted what it can once more."""
        self._last_pass = last_pass
        self._stopping.set()

    def join(self, timeout_s: float | None = None) -> bool:
        """Whether the thread has ended, after waiting for it up to ``timeout_s``."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.wait(self._every_s):
                self.work()
            if self._last_pass:
                self.work()
        except BaseException as error:  # noqa: BLE001 - kept for the owner, who raises it
            self.error = error
            if self._on_failure is not None:
                self._on_failure(error)

    def work(self) -> None:
        """Archives what is sealed and deletes what may go. Not while the thread runs, but from it."""
        for extent in self._wal.sealed():
            if self._stopping.is_set() and not self._last_pass:
                return
            if not self._store(extent):
                continue
            for pump in self._pumps:
                pump.sync_up_to(extent.last_lsn)
        self.retire()

    def retire(self) -> None:
        """Deletes the segments whose copy is stored and which every sink has synced."""
        for extent in self._wal.sealed():
            synced = all(pump.synced_lsn >= extent.last_lsn for pump in self._pumps)
            if synced and self._is_stored(extent.path):
                self._wal.retire(extent.path)
                self._wal.files.remove(_marker(extent.path))
                self.retired += 1

    def _store(self, extent: Extent) -> bool:
        if self._is_stored(extent.path):
            return True
        try:
            self._copy(extent.path)
            write_atomically(self._wal.files, _marker(extent.path), b"")
        except OSError as error:
            raise LogWriteError(extent.path, error.strerror or str(error), self._wal.durable_lsn) from None
        except HosuError as error:
            # A damaged segment stays where it is, as does one for which there is no room: neither is a reason to stop
            # receiving the market.
            if not error.retryable and not isinstance(error, LogCorruptError | LakeFullError):
                raise
            if self.trouble != str(error):
                _log.warning("segment not archived", segment=extent.path.name, error=str(error))
            self.trouble = str(error)
            return False
        self.trouble = None
        self.stored += 1
        return True

    def _copy(self, path: Path) -> None:
        content = read_whole(self._wal.files, path)
        header, seal = check_segment(content, path)
        name = archive_name(header.wal_id, seal.first_lsn, seal.last_lsn)
        self._archive.store(name, segment_date(read_segment(content)), compress(content))

    def _is_stored(self, path: Path) -> bool:
        return _marker(path).name in self._wal.files.names(path.parent)


def segment_date(blocks: Iterable[Block]) -> str:
    """The business date that the first record to say one says, ``YYYY-MM-DD``; else the KST date of the first."""
    first_us = None
    for block in blocks:
        first_us = block.ts_recv_us[:1] if first_us is None else first_us
        for place in range(len(block)):
            said = _date_said(block, place)
            if said:
                return _text(said)
    if first_us is None:
        raise ValueError("a segment without records has no date")
    return _text(int(calendar_dates(first_us)[0]))


def _date_said(block: Block, place: int) -> int:
    if block.kind[place] == RecordKind.SESSION:
        event = control.session_event(block.payload(place))
        return control.told_by(event, "dates").latest if event.get("event") == control.SEGMENT_BEGINS else 0
    if block.kind[place] != RecordKind.FRAME:
        return 0
    payload = block.payload(place)
    return control.pingpong_date(payload) if payload[:1] == b"{" else control.trade_date(payload)


def _text(yyyymmdd: int) -> str:
    return date(yyyymmdd // 10000, yyyymmdd // 100 % 100, yyyymmdd % 100).isoformat()


def _marker(path: Path) -> Path:
    return path.with_name(path.name + STORED_SUFFIX)
