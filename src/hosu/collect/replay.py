"""Plays archived or left-over segments into a sink, on the same path as live frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hosu.collect.decode import Decoder
from hosu.collect.segment import read_segment
from hosu.errors import InputError, LogCorruptError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hosu.collect.sinks import EventBatch, Sink


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

    Raises:
        InputError: a path does not exist, or no segment is found.
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
    return sorted(found, key=_order)


def _order(path: Path) -> tuple[str, str]:
    # <first>.log beside <wal_id>-<first>-<last>.log.zst: a log's id holds no dash followed by 20 digits.
    stem = path.name.removesuffix(".zst").removesuffix(".log")
    parts = stem.rsplit("-", 2)
    return (parts[0], parts[1]) if len(parts) == 3 else (str(path.parent), stem)


def replay(
    paths: Path | Iterable[Path], sink: Sink, *, progress: Callable[[int, int], None] | None = None
) -> ReplayReport:
    """Writes, flushes and syncs everything that segments hold; what the sink has of a log it does not get again.

    Args:
        paths: segments, or folders of them; see ``segments_in``.
        sink: takes the events. It is not closed.
        progress: called after each segment with the bytes read and the bytes there are.

    Raises:
        LogCorruptError: a segment is damaged; everything before it is in the sink.
        InputError: see ``segments_in``.
    """
    segments = segments_in(paths)
    total, done = sum(path.stat().st_size for path in segments), 0
    report = ReplayReport()
    player = _Player(sink, report)
    try:
        for path in segments:
            player.play(path)
            done += path.stat().st_size
            if progress is not None:
                progress(done, total)
        player.end_log()
    except LogCorruptError:
        player.commit()
        raise
    player.commit()
    return report


class _Player:
    """Feeds a sink one segment after another; a new log begins with a new decoder."""

    def __init__(self, sink: Sink, report: ReplayReport) -> None:
        self._sink, self._report = sink, report
        self._decoder: Decoder | None = None
        self._wal_id = ""
        self._covered = -1

    def play(self, path: Path) -> None:
        for block in read_segment(path):
            if self._decoder is None or block.wal_id != self._wal_id:
                self.end_log()
                self._decoder, self._wal_id = Decoder(block.wal_id), block.wal_id
                self._covered = self._sink.resume_after(block.wal_id)
            self._report.log_records += len(block)
            self._write(self._decoder.decode(block))
        self._report.segments += 1

    def end_log(self) -> None:
        if self._decoder is not None:
            self._write(self._decoder.finish())

    def commit(self) -> None:
        self._sink.flush()
        self._sink.sync()

    def _write(self, batch: EventBatch | None) -> None:
        if batch is None or batch.last_lsn <= self._covered:
            return
        self._sink.write(batch)
        self._report.records += batch.records
        self._report.unfiled += batch.unfiled
        self._report.quarantined += len(batch.tables["quarantine"]) if "quarantine" in batch.tables else 0
        if self._sink.due():
            self._sink.flush()
