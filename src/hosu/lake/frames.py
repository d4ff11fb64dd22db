"""All log segments there are, in the archive and in folders of logs, and what they decode to."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import structlog

from hosu.collect.decode import Decoder
from hosu.collect.numbering import Numbering, skipped_after
from hosu.collect.segment import BLOCK_BYTES, check_segment, decompress, read_header, read_segment
from hosu.errors import LogCorruptError
from hosu.lake.archive import FramesArchive

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hosu.collect.block import Block
    from hosu.collect.sinks import EventBatch
    from hosu.lake.lake import Lake

_log = structlog.get_logger(__name__)
_ARCHIVED: Final = re.compile(r"(?P<wal_id>[0-9A-Za-z_-]{1,24})-(?P<first>\d{20})-(?P<last>\d{20})\.log\.zst")
_LOCAL: Final = re.compile(r"\d{20}\.log")


@dataclass(frozen=True, slots=True)
class Segment:
    """A sound segment. ``path`` is below the lake's root, or that of a file where ``local``.

    ``told`` is the number before the hole in the numbering that it tells of, if it does; ``sealed`` whether its
    writer closed it.
    """

    path: str
    wal_id: str
    first_lsn: int
    last_lsn: int
    told: int | None
    local: Path | None = None
    sealed: bool = True


class Frames:
    """The segments of a lake's archive and of ``logs``, each read when it is asked for.

    ``damaged`` are archived ones that cannot be read, by path, with what is wrong.
    """

    def __init__(
        self, lake: Lake, logs: Sequence[Path] = (), progress: Callable[[str], object] = str, *, check: bool = True
    ) -> None:
        self._archive = FramesArchive(lake)
        self.damaged: dict[str, str] = {}
        self._by_log: dict[str, list[Segment]] = {}
        self.archived: list[Segment] = []
        self.local: list[Segment] = []
        for entry in sorted(self._archive.entries(), key=lambda entry: entry.path):
            progress(entry.path.rpartition("/")[2])
            self._take_archived(entry.path, check=check)
        for path in sorted(path for folder in logs if folder.is_dir() for path in folder.iterdir()):
            if _LOCAL.fullmatch(path.name):
                self._take_local(path)
        for segment in [*self.archived, *self.local]:
            self._by_log.setdefault(segment.wal_id, []).append(segment)
        for segments in self._by_log.values():
            segments.sort(key=lambda each: (each.first_lsn, -each.last_lsn, each.local is not None))

    def _take_archived(self, path: str, *, check: bool) -> None:
        named = _ARCHIVED.fullmatch(path.rpartition("/")[2])
        if named is None:
            return
        first, last, told = int(named["first"]), int(named["last"]), None
        if check:
            try:
                told = self._check(path, first, last)
            except LogCorruptError as error:
                self.damaged[path] = error.fault
                return
        self.archived.append(Segment(path, named["wal_id"], first, last, told))

    def _check(self, path: str, first: int, last: int) -> int | None:
        content = decompress(self._archive.read(path), path)
        _, seal = check_segment(content, path)
        if (seal.first_lsn, seal.last_lsn) != (first, last):
            raise LogCorruptError(path, 0, "it is another segment than its name says")
        return skipped_after(read_segment(content, max_bytes=1 << 16))

    def _take_local(self, path: Path) -> None:
        try:
            header = read_header(path)
            blocks = list(read_segment(path))
        except LogCorruptError as error:
            _log.warning("a segment of the log cannot be read, and is left out", path=str(path), fault=error.fault)
            return
        if not blocks:
            return
        try:
            check_segment(path.read_bytes(), path)
            sealed = True
        except LogCorruptError:
            sealed = False
        last = int(blocks[-1].lsn[-1])
        self.local.append(
            Segment(str(path), header.wal_id, header.first_lsn, last, skipped_after(blocks), path, sealed)
        )

    @property
    def logs(self) -> list[str]:
        """The logs of which there is anything."""
        return sorted(self._by_log)

    def segments(self, wal_id: str) -> list[Segment]:
        """The segments of one log in the order of their records, each record in one of them only."""
        found: list[Segment] = []
        for _, copies in groupby(self._by_log.get(wal_id, []), key=lambda each: each.first_lsn):
            best = next(copies)
            if not found or best.last_lsn > found[-1].last_lsn:
                found.append(best)
        return found

    def hold(self, wal_id: str, after: int, last: int) -> bool:
        """Whether every record behind ``after`` and up to ``last`` is there, or told to be lost for good."""
        reached = after
        for segment in self.segments(wal_id):
            if segment.last_lsn <= reached:
                continue
            if segment.first_lsn > reached + 1 and (segment.told is None or segment.told > reached):
                break
            reached = segment.last_lsn
        return reached >= last

    def blocks(self, segment: Segment, max_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
        """A segment's records."""
        content = segment.local if segment.local is not None else self._archive.read(segment.path)
        yield from read_segment(content, name=segment.path, max_bytes=max_bytes)

    def decoded(self, wal_id: str, first: int, last: int, max_bytes: int = BLOCK_BYTES) -> Iterator[EventBatch]:
        """What the segments that hold records ``first`` to ``last`` decode to, and a little beyond; a batch is of
        about so many bytes of records."""
        decoder: Decoder | None = None
        reached = -1
        for segment in self.segments(wal_id):
            waiting = decoder is not None and decoder.held_records > 0 and segment.first_lsn == reached + 1
            if segment.last_lsn < first or (segment.first_lsn > last and not waiting):
                continue
            if decoder is None or segment.first_lsn != reached + 1:
                yield from _finished(decoder)
                decoder = Decoder(wal_id)
            for block in self.blocks(segment, max_bytes):
                batch = decoder.decode(block)
                if batch is not None:
                    yield batch
            reached = segment.last_lsn
        yield from _finished(decoder)

    def numbered(self, wal_id: str, covered: int) -> Iterator[EventBatch]:
        """Everything behind ``covered`` that there is of a log, as a sink wants it that covers so much.

        Raises:
            LogGapError: records are missing; everything before them was given.
        """
        decoder, numbering = Decoder(wal_id), Numbering(wal_id, covered)
        for segment in self.segments(wal_id):
            if segment.last_lsn <= covered or not segment.sealed:
                continue
            for block in self.blocks(segment):
                batches = [(decoder.decode(part)) for part in numbering.take(block)]
                yield from (numbering.placed(each) for each in batches if each and each.last_lsn > covered)
        yield from (numbering.placed(each) for each in _finished(decoder) if each.last_lsn > covered)


def _finished(decoder: Decoder | None) -> Iterator[EventBatch]:
    batch = decoder.finish() if decoder is not None else None
    if batch is not None:
        yield batch
