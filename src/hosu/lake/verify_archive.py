"""The archive against itself and against the tables: seals, missing segments, and rows that one has and the other not.

The tables must hold what the archive decodes to. A deep check decodes all of it, keeps where each row came from
(log number and record number) in a temporary file a table, and lets DuckDB compare within its bounds.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hosu.collect.decode import Decoder
from hosu.collect.numbering import skipped_after
from hosu.collect.segment import archive_name, check_segment, decompress, read_segment
from hosu.errors import HosuError, LogCorruptError, TableCorruptError
from hosu.lake.archive import LOCATION, FramesArchive
from hosu.lake.storage import disk_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hosu.collect.sinks import EventBatch
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake
    from hosu.lake.sql import FileQueries, SqlConfig

_KEYS: Final = pa.schema(
    [pa.field("wal_id", pa.string()), pa.field("lsn", pa.int64()), pa.field("record_no", pa.int32())]
)
_BOUNDS: Final = pa.schema([("wal_id", pa.string()), ("first", pa.int64()), ("last", pa.int64())])

_NOT_STORED: Final = """
-- Rows that the archive decodes to and the table lacks, of what it says it covers. Grain: a log.
SELECT wal_id, count(*) AS times, min(lsn) AS lsn
FROM archived JOIN spans USING (wal_id)
ANTI JOIN (SELECT wal_id, lsn, coalesce(record_no, -1) AS record_no FROM rows) USING (wal_id, lsn, record_no)
WHERE lsn BETWEEN spans.first AND spans.last
GROUP BY wal_id ORDER BY wal_id
"""
_NOT_ARCHIVED: Final = """
-- Rows of the table that the archive does not decode to, of the records it holds. Grain: a log.
SELECT wal_id, count(*) AS times, min(lsn) AS lsn
FROM (SELECT wal_id, lsn, coalesce(record_no, -1) AS record_no FROM rows) JOIN spans USING (wal_id)
ANTI JOIN archived USING (wal_id, lsn, record_no)
WHERE lsn BETWEEN spans.first AND spans.last
GROUP BY wal_id ORDER BY wal_id
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. ``table`` is ``frames`` for the archive."""

    table: str
    path: str
    fault: str
    next_step: str


@dataclass(frozen=True, slots=True)
class _Archived:
    """A sound segment. ``skipped_after`` is the number before the hole it tells of, if it does."""

    path: str
    wal_id: str
    first_lsn: int
    last_lsn: int
    skipped_after: int | None


class ArchiveCheck:
    """Checks the archive, and these event tables against it; ``segments`` counts what was looked at."""

    def __init__(
        self,
        lake: Lake,
        tables: Sequence[str],
        config: SqlConfig,
        queries: FileQueries,
        progress: Callable[[str], None] | None,
    ) -> None:
        self._lake, self._tables, self._config, self._queries = lake, tables, config, queries
        self._progress: Callable[[str], object] = progress or str
        self._archive = FramesArchive(lake)
        self._replay = f"hosu replay {lake.storage.address(LOCATION)} --lake"
        self.segments = 0

    def run(self, *, deep: bool) -> list[Finding]:
        """What is wrong, segments first."""
        findings: list[Finding] = []
        logs: dict[str, list[_Archived]] = {}
        for entry in sorted(self._archive.entries(), key=lambda entry: entry.path):
            self.segments += 1
            self._progress(entry.path.rpartition("/")[2])
            try:
                segment = self._read(entry.path)
            except (HosuError, OSError) as error:
                fault = f"is damaged: {error.fault}" if isinstance(error, LogCorruptError) else str(error)
                findings.append(self._finding(entry.path, fault, "restore it from a copy"))
            else:
                logs.setdefault(segment.wal_id, []).append(segment)
        for segments in logs.values():
            segments.sort(key=lambda segment: (segment.first_lsn, segment.last_lsn))
            findings += self._holes(segments)
        tables: dict[str, Table] = {}
        for name in self._tables:
            try:
                table = self._lake.find(name)
            except TableCorruptError:
                continue  # found, and named, where the table is checked
            findings += self._behind(name, table, logs)
            if table is not None:
                tables[name] = table
        if deep and logs and tables:
            findings += self._compare(tables, logs)
        return findings

    def _read(self, path: str) -> _Archived:
        content = decompress(self._archive.read(path), path)
        header, seal = check_segment(content, path)
        expected = archive_name(header.wal_id, seal.first_lsn, seal.last_lsn)
        if path.rpartition("/")[2] != expected:
            raise LogCorruptError(path, 0, f"it is the segment {expected}")
        told = skipped_after(read_segment(content, max_bytes=1 << 16))
        return _Archived(path, header.wal_id, seal.first_lsn, seal.last_lsn, told)

    def _finding(self, path: str, fault: str, next_step: str, table: str = "frames") -> Finding:
        return Finding(table, self._lake.storage.address(path), fault, next_step)

    def _holes(self, segments: list[_Archived]) -> Iterator[Finding]:
        reached = -1
        for segment in segments:
            told = segment.skipped_after
            if segment.first_lsn > reached + 1 and (told is None or told > reached):
                fault = (
                    f"records {reached + 1} to {segment.first_lsn - 1} of log {segment.wal_id} are missing before it"
                )
                yield self._finding(segment.path, fault, "restore the segments that held them from a copy")
            reached = max(reached, segment.last_lsn)

    def _behind(self, name: str, table: Table | None, logs: dict[str, list[_Archived]]) -> Iterator[Finding]:
        for wal_id, segments in sorted(logs.items()):
            covered = -1 if table is None else table.covered(wal_id)
            last = max(segment.last_lsn for segment in segments)
            if covered < last:
                fault = f"covers log {wal_id} up to record {covered}, the archive holds it up to {last}"
                next_step = f"start hosu collect again, or run: {self._replay} {self._lake.root}"
                yield self._finding(self._lake.spec(name).location, fault, next_step, name)

    # --- deep ---------------------------------------------------------------------------------------------------

    def _compare(self, tables: dict[str, Table], logs: dict[str, list[_Archived]]) -> list[Finding]:
        findings: list[Finding] = []
        with tempfile.TemporaryDirectory(prefix="hosu-verify-", dir=self._config.temp_dir) as temp:
            try:
                with _KeyFiles(Path(temp), tables) as keys:
                    for segments in logs.values():
                        self._decode(segments, keys)
            except OSError as error:
                raise disk_error(temp, str(error)) from error
            for name, table in tables.items():
                findings += self._differences(table, keys.paths[name], logs)
        return findings

    def _decode(self, segments: list[_Archived], keys: _KeyFiles) -> None:
        """Keeps the keys of everything that segments of one log decode to; behind a hole as at the log's begin."""
        decoder, reached = Decoder(segments[0].wal_id), -1
        for segment in segments:
            self._progress(segment.path.rpartition("/")[2])
            if segment.first_lsn != reached + 1:
                keys.add(decoder.finish())
                decoder = Decoder(segment.wal_id)
            for block in read_segment(self._archive.read(segment.path)):
                keys.add(decoder.decode(block))
            reached = segment.last_lsn
        keys.add(decoder.finish())

    def _differences(self, table: Table, keys: Path, logs: dict[str, list[_Archived]]) -> Iterator[Finding]:
        spans = pa.Table.from_pylist(
            [span for segments in logs.values() for span in _spans(segments, table.covered(segments[0].wal_id))],
            schema=_BOUNDS,
        )
        for sql, says in ((_NOT_STORED, "lacks"), (_NOT_ARCHIVED, "holds, beyond what the archive decodes to,")):
            for row in self._ask(table, sql, {"archived": keys, "spans": spans}):
                fault = f"{says} {row['times']} rows of log {row['wal_id']}, the first is of record {row['lsn']}"
                next_step = f"keep the lake as it is and run, with a new lake: {self._replay} <new lake>"
                yield self._finding(table.spec.location, fault, next_step, table.spec.name)

    def _ask(self, table: Table, sql: str, beside: dict[str, Any]) -> list[dict[str, Any]]:
        try:
            return self._queries.ask(table, table.files(), sql, beside=beside)
        except TableCorruptError:
            return []  # a damaged file is found, and named, where the table is checked


def _spans(segments: list[_Archived], covered: int) -> list[dict[str, Any]]:
    """The runs of numbers that segments hold without a hole, up to ``covered``."""
    spans = [[segments[0].first_lsn, segments[0].last_lsn]]
    for before, segment in pairwise(segments):
        if segment.first_lsn > before.last_lsn + 1:
            spans.append([segment.first_lsn, segment.last_lsn])
        spans[-1][1] = max(spans[-1][1], segment.last_lsn)
    wal_id = segments[0].wal_id
    return [{"wal_id": wal_id, "first": first, "last": min(last, covered)} for first, last in spans if first <= covered]


class _KeyFiles:
    """A Parquet file a table of the (wal_id, lsn, record_no) it should hold; a few bytes a row."""

    def __init__(self, folder: Path, tables: Sequence[str] | dict[str, Table]) -> None:
        self.paths = {name: folder / f"{name}.parquet" for name in tables}
        options: dict[str, Any] = {
            "use_dictionary": ["wal_id"],
            "column_encoding": {"lsn": "DELTA_BINARY_PACKED", "record_no": "DELTA_BINARY_PACKED"},
            "compression": "zstd",
        }
        self._writers = {name: pq.ParquetWriter(path, _KEYS, **options) for name, path in self.paths.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_error: object) -> None:
        for writer in self._writers.values():
            writer.close()

    def add(self, batch: EventBatch | None) -> None:
        for name, rows in batch.tables.items() if batch is not None else ():
            if name in self._writers:
                keys = rows.select(_KEYS.names).cast(_KEYS)
                # What was refused as a whole has no record number, and no null equals another.
                numbers = pc.fill_null(keys.column("record_no"), -1)
                self._writers[name].write_batch(keys.set_column(2, "record_no", numbers))
