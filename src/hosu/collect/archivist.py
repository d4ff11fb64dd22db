"""Moves sealed segments from the log's disk to the archive, and deletes them only when nothing rests on them."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Final

import structlog

from hosu import failpoints
from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.dates import calendar_dates, day_text
from hosu.collect.files import read_whole, write_atomically
from hosu.collect.segment import archive_name, check_segment, compress, read_segment
from hosu.errors import ArchiveConflictError, HosuError, LakeFullError, LogCorruptError, LogWriteError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from hosu.collect.block import Block
    from hosu.collect.pump import Pump
    from hosu.collect.sinks import Archive
    from hosu.collect.wal import Log

_log = structlog.get_logger(__name__)

_PASSED_OVER: Final = (LogCorruptError, ArchiveConflictError)
"""What is wrong with one segment alone: others go on."""

STORED_SUFFIX: Final = ".stored"
"""Ends the name of the file that says in which archive, and as what, a segment's copy is kept."""


class Archivist:
    """Archives sealed segments in a thread of its own, in the order of the log.

    Without room or an answer from the archive the next pass begins where this one ended, so that the archive has no
    hole whose records only the log still holds; a segment that is damaged, or whose name is taken, is passed over.

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
        troubles: list[HosuError] = []
        for extent in self._wal.sealed():
            if self._stopping.is_set() and not self._last_pass:
                return
            trouble = self._unless_trouble(extent.path, self._store)
            if trouble is None:
                for pump in self._pumps:
                    pump.sync_up_to(extent.last_lsn)
                continue
            troubles.append(trouble)
            if not isinstance(trouble, _PASSED_OVER):
                break
        self.trouble = str(troubles[0]) if troubles else None
        self.retire()

    def retire(self) -> None:
        """Deletes the segments whose copy is in the archive and which every sink has synced."""
        for extent in self._wal.sealed():
            if all(pump.synced_lsn >= extent.last_lsn for pump in self._pumps):
                trouble = self._unless_trouble(extent.path, self._retire)
                self.trouble = self.trouble if trouble is None else str(trouble)

    def _unless_trouble(self, path: Path, job: Callable[[Path], None]) -> HosuError | None:
        """None once a job with a segment is done; else what keeps it, if that is no reason to stop."""
        try:
            job(path)
        except OSError as error:
            raise LogWriteError(path, error.strerror or str(error), self._wal.durable_lsn) from None
        except HosuError as error:
            # A segment that is damaged, has no room or no free name stays where it is: none of that is a reason to
            # stop receiving the market.
            if not error.retryable and not isinstance(error, (*_PASSED_OVER, LakeFullError)):
                raise
            if str(error) != self.trouble:
                _log.warning("segment not archived", segment=path.name, error=str(error))
            return error
        return None

    def _store(self, path: Path) -> None:
        if self._stored_as(path) is None:
            self._copy(path)
            self.stored += 1

    def _retire(self, path: Path) -> None:
        if self._is_kept(path):
            self._wal.retire(path)
            if failpoints.on:
                failpoints.reach("archive.retired")
            self._wal.files.remove(_marker(path))
            self.retired += 1

    def _copy(self, path: Path) -> None:
        content = read_whole(self._wal.files, path)
        header, seal = check_segment(content, path)
        name = archive_name(header.wal_id, seal.first_lsn, seal.last_lsn)
        day = segment_date(read_segment(content))
        self._archive.store(name, day, compress(content))
        if failpoints.on:
            failpoints.reach("archive.stored")
        facts = {"archive": self._archive.identity, "name": name, "date": day}
        write_atomically(self._wal.files, _marker(path), json.dumps(facts).encode() + b"\n")
        if failpoints.on:
            failpoints.reach("archive.marked")

    def _stored_as(self, path: Path) -> tuple[str, str] | None:
        """Name and date of a segment's copy in this archive, as its marker says; None when it says of none."""
        marker = _marker(path)
        if marker.name not in self._wal.files.names(path.parent):
            return None
        try:
            facts = json.loads(read_whole(self._wal.files, marker))
            return (facts["name"], facts["date"]) if facts["archive"] == self._archive.identity else None
        except (ValueError, KeyError, TypeError, RecursionError):
            return None

    def _is_kept(self, path: Path) -> bool:
        """Whether the copy is in the archive now. One that somebody took away is stored again."""
        copy = self._stored_as(path)
        if copy is None:
            return False
        if self._archive.holds(*copy):
            return True
        _log.warning("archived copy is gone, storing it again", segment=path.name, copy=copy[0])
        self._wal.files.remove(_marker(path))
        return False


def segment_date(blocks: Iterable[Block]) -> str:
    """The business date that the first record to say one says, ``YYYY-MM-DD``; else the KST date of the first."""
    first_us = None
    for block in blocks:
        first_us = block.ts_recv_us[:1] if first_us is None else first_us
        for place in range(len(block)):
            said = _date_said(block, place)
            if said:
                return day_text(said)
    if first_us is None:
        raise ValueError("a segment without records has no date")
    return day_text(int(calendar_dates(first_us)[0]))


def _date_said(block: Block, place: int) -> int:
    if block.kind[place] == RecordKind.SESSION:
        event = control.session_event(block.payload(place))
        return control.told_by(event, "dates").latest if event.get("event") == control.SEGMENT_BEGINS else 0
    if block.kind[place] != RecordKind.FRAME:
        return 0
    payload = block.payload(place)
    return control.pingpong_date(payload) if payload[:1] == b"{" else control.trade_date(payload)


def _marker(path: Path) -> Path:
    return path.with_name(path.name + STORED_SUFFIX)
