"""Plays archived or left-over segments into a sink, on the same path as live frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from hosu.collect.decode import Decoder
from hosu.collect.numbering import Numbering
from hosu.collect.segment import HEADER_BYTES, read_header, read_segment
from hosu.errors import InputError, LogCorruptError, LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hosu.collect.sinks import EventBatch, Sink

_log = structlog.get_logger(__name__)

_ARCHIVED: Final = re.compile(r"(?P<wal_id>.+)-(?P<first>\d{20})-\d{20}\.log\.zst")
_NEXT_STEP: Final = (
    "replay the segments that hold them too (all of raw/frames at once is right), or go on without them for good "
    "with --skip-missing"
)


@dataclass(slots=True)
class ReplayReport:
    """What a replay did: market records written, of these unfiled and quarantined, log records read, segments."""

    segments: int = 0
    log_records: int = 0
    records: int = 0
    unfiled: int = 0
    quarantined: int = 0


def segments_in(paths: Path | Iterable[Path]) -> list[Path]:
    """The segments among ``paths``, folders searched through, by log and in the order of their records.

    Of several copies of a segment the one that holds most is chosen, and a sound one before a damaged one.

    Raises:
        InputError: a path does not exist or cannot be read, or no segment is found.
        LogCorruptError: a file's name and content do not tell which segment it is.
    """
    given = [paths] if isinstance(paths, Path) else list(paths)
    found: set[Path] = set()
    for path in given:
        if path.is_dir():
            found.update(each for pattern in ("*.log", "*.log.zst") for each in path.rglob(pattern))
        elif path.exists():
            found.add(path)
        else:
            raise InputError(str(path), "does not exist", "name a segment, or a folder of segments")
    if not found:
        names = ", ".join(map(str, given))
        raise InputError(names, "holds no segments (.log or .log.zst)", "name a log's folder or the archive raw/frames")
    by_place: dict[tuple[str, int], list[Path]] = {}
    for path in sorted(found):
        place = _place(path)
        if place is not None:
            by_place.setdefault(place, []).append(path)
    return [_best(copies) for _, copies in sorted(by_place.items())]


def _place(path: Path) -> tuple[str, int] | None:
    """Log and first number of a segment; None for one whose writer was killed before its first record."""
    if path.suffix == ".log" and path.stat().st_size < HEADER_BYTES:
        _log.warning("a segment without records is passed over", path=str(path))
        return None
    try:
        header = read_header(path)
    except LogCorruptError:
        # Where its turn is, so that what comes before it is replayed before it is refused.
        named = _ARCHIVED.fullmatch(path.name)
        if named is None:
            raise
        return named["wal_id"], int(named["first"])
    return header.wal_id, header.first_lsn


def _best(copies: list[Path]) -> Path:
    return copies[0] if len(copies) == 1 else max(copies, key=lambda path: (_last_lsn(path), path.stat().st_size))


def _last_lsn(path: Path) -> int:
    last = -1
    try:
        for block in read_segment(path):
            last = int(block.lsn[-1])
    except LogCorruptError:
        return -1
    return last


def replay(
    paths: Path | Iterable[Path],
    sink: Sink,
    *,
    skip_missing: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ReplayReport:
    """Writes, flushes and syncs everything that segments hold; what the sink has of a log it does not get again.

    Each log must go on where the sink's coverage of it ends, or before; the first one begins at record 0. Numbers
    that the log itself tells to be lost are no hole.

    Args:
        paths: segments, or folders of them, in any order; see ``segments_in``.
        sink: takes the events. It is not closed.
        skip_missing: go on without records that are missing. They cannot be added to this sink later.
        progress: called after each segment with the bytes read and the bytes there are.

    Raises:
        LogGapError: records are missing; everything before them is in the sink.
        LogCorruptError: a segment is damaged; everything before it is in the sink.
        InputError: see ``segments_in``.
    """
    segments = segments_in(paths)
    total, done = sum(path.stat().st_size for path in segments), 0
    player = _Player(sink, skip_missing=skip_missing)
    try:
        for path in segments:
            player.play(path)
            done += path.stat().st_size
            if progress is not None:
                progress(done, total)
        player.end_log()
    except LogError:
        player.commit()
        raise
    player.commit()
    return player.report


class _Player:
    """Feeds a sink one segment after another; a new log begins with a new decoder."""

    def __init__(self, sink: Sink, *, skip_missing: bool) -> None:
        self._sink, self._skip_missing = sink, skip_missing
        self._wal_id, self._covered = "", -1
        self._decoder: Decoder | None = None
        self._numbering = Numbering("", -1)
        self.report = ReplayReport()

    def play(self, path: Path) -> None:
        for block in read_segment(path):
            decoder = self._decoder
            if decoder is None or block.wal_id != self._wal_id:
                decoder = self._begin_log(block.wal_id)
            self.report.log_records += len(block)
            for part in self._numbering.take(block):
                self._write(decoder.decode(part))
        self.report.segments += 1

    def _begin_log(self, wal_id: str) -> Decoder:
        self.end_log()
        decoder = self._decoder = Decoder(wal_id)
        self._wal_id, self._covered = wal_id, self._sink.resume_after(wal_id)
        self._numbering = Numbering(wal_id, self._covered, next_step=_NEXT_STEP, skip_missing=self._skip_missing)
        return decoder

    def end_log(self) -> None:
        """Writes what waits for a business date that will not come any more."""
        if self._decoder is not None:
            self._write(self._decoder.finish())
            self._decoder = None

    def commit(self) -> None:
        self._sink.flush()
        self._sink.sync()

    def _write(self, batch: EventBatch | None) -> None:
        if batch is None or batch.last_lsn <= self._covered:
            return
        self._sink.write(self._numbering.placed(batch))
        self.report.records += batch.records
        self.report.unfiled += batch.unfiled
        self.report.quarantined += len(batch.tables["quarantine"]) if "quarantine" in batch.tables else 0
        if self._sink.due():
            self._sink.flush()
