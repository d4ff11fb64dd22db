"""Compaction: the many small files of a date become few large ones in the table's order; nothing else changes.

A rewrite removes exactly the files it read; rows appended meanwhile stay in their own files until the next time.
Afterwards the table gets a checkpoint, its log is cleaned, and files that no version within the safe age refers to
are removed, if they bear a name that this house gives.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from hosu import failpoints
from hosu.clock import SystemClock
from hosu.errors import LakeFullError, TableCorruptError
from hosu.lake.delta import total
from hosu.lake.lease import maintenance
from hosu.lake.parquet import FileWriter, run_of, sorted_name
from hosu.lake.sql import SqlConfig, sorted_batches
from hosu.lake.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hosu.clock import Clock
    from hosu.lake.delta import DataFile, NewFile, Table
    from hosu.lake.lake import Lake
    from hosu.lake.parquet import Encoded

MIB: Final = 1 << 20

_OURS: Final = re.compile(r"date=\d{4}-\d\d-\d\d/(live-[0-9a-f]{32}|sorted-[0-9a-f]{32}-\d{5})\.parquet")


@dataclass(frozen=True, slots=True)
class CompactConfig:
    """How compaction works.

    Memory is bounded by ``sort`` (beyond it the sort goes on in temporary files) plus about twice ``target_bytes``.
    ``vacuum_after_s`` is the safe age: a file stays at least that long after the table last referred to it, so that
    whoever is still reading an older version can finish.
    """

    target_bytes: int = 128 * MIB
    compression_level: int = 3
    vacuum_after_s: float = 24 * 3600.0
    reserve_bytes: int = 256 * MIB
    sort: SqlConfig = field(default_factory=SqlConfig)


@dataclass(frozen=True, slots=True)
class Compacted:
    """What compaction did to one table. Bytes and files are those of the whole table."""

    table: str
    dates: tuple[str, ...]
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    rows: int
    vacuumed: int


def compact(
    lake: Lake,
    tables: Iterable[str] | None = None,
    *,
    dates: Iterable[str] | None = None,
    config: CompactConfig | None = None,
    clock: Clock | None = None,
    progress: Callable[[str, str], None] | None = None,
) -> list[Compacted]:
    """Compacts the named tables, or all, and the named dates, or all; tables never written to are left out.

    Args:
        progress: called with table and date before each partition.

    Raises:
        LockedError: somebody else maintains the table now.
        CommitConflictError: a file was rewritten by somebody else meanwhile; nothing of that date was changed.
        TableCorruptError: a data file is missing or damaged; names it, and nothing of that date was changed.
        LakeFullError: the rewritten files would not fit.
    """
    settings = config or CompactConfig()
    chosen = None if dates is None else set(dates)
    reports = []
    for name in TABLES if tables is None else tables:
        table = lake.find(lake.spec(name).name)
        if table is not None:
            job = _Job(lake, table, settings, clock or SystemClock(), progress)
            reports.append(job.run(chosen))
    return reports


@dataclass(frozen=True, slots=True)
class _Job:
    lake: Lake
    table: Table
    config: CompactConfig
    clock: Clock
    progress: Callable[[str, str], None] | None

    def run(self, chosen: set[str] | None) -> Compacted:
        table = self.table
        done = []
        with maintenance(self.lake.storage, table.spec.name, self.clock) as lease:
            table.refresh()
            before = total(table.files())
            for date in table.dates():
                if (chosen is None or date in chosen) and self._rewrite(date):
                    done.append(date)
                    lease.renew()
            table.checkpoint()
            if failpoints.on:
                failpoints.reach("compact.checkpointed")
            table.clean_log()
            vacuumed = vacuum(self.lake, table, self.config.vacuum_after_s, self.clock)
            table.sync()
        after = total(table.files())
        return Compacted(table.spec.name, tuple(done), before[0], after[0], before[1], after[1], after[2], vacuumed)

    def _rewrite(self, date: str) -> bool:
        files = self.table.files(date)
        if is_compact(files):
            return False
        if self.progress is not None:
            self.progress(self.table.spec.name, date)
        compact_date(self.lake, self.table, date, files, self.config)
        return True


def is_compact(files: list[DataFile]) -> bool:
    """Whether the files of one date are one sorted run already."""
    runs = {run_of(file.path) for file in files}
    return len(runs) <= 1 and None not in runs


def compact_date(lake: Lake, table: Table, date: str, files: list[DataFile], config: CompactConfig) -> None:
    """Rewrites exactly ``files``, which are of ``date``, as one sorted run, and commits that.

    Raises:
        CommitConflictError, LakeFullError: as ``compact``.
    """
    _require_room(lake, sum(file.size for file in files), config)
    spec = table.spec
    batches = sorted_batches(
        lake.storage, table, files, columns=spec.file_schema.names, order=spec.order, config=config.sort
    )
    run = uuid.uuid4().hex
    adds: list[NewFile] = []
    for number, encoded in enumerate(_encoded_files(table, batches, config)):
        adds.append(table.store(date, sorted_name(run, number), encoded))
    _require_same_rows(table, date, files, adds)
    # The new files must be on the disk before the log says that they stand for the old ones.
    table.sync()
    if failpoints.on:
        failpoints.reach("compact.stored")
    table.rewrite(files, adds, data_change=False)
    if failpoints.on:
        failpoints.reach("compact.committed")


def _require_room(lake: Lake, size: int, config: CompactConfig) -> None:
    free = lake.storage.free_bytes()
    if free is not None and free - size < config.reserve_bytes:
        raise LakeFullError(lake.root)


def _require_same_rows(table: Table, date: str, files: list[DataFile], adds: list[NewFile]) -> None:
    read, written = sum(file.rows for file in files), sum(file.rows for file in adds)
    if read != written:
        fault = f"its files hold {written} rows, its log says {read}"
        raise TableCorruptError(table.spec.name, f"date={date}", fault)


def _encoded_files(table: Table, batches: Iterator[pa.RecordBatch], config: CompactConfig) -> Iterator[Encoded]:
    spec = table.spec
    writer: FileWriter | None = None
    for rows in _row_groups(batches, spec.row_group_rows):
        if writer is None:
            writer = FileWriter(spec, spec.file_schema, level=config.compression_level)
        writer.write(rows.cast(spec.file_schema))
        if writer.size >= config.target_bytes:
            yield writer.finish()
            writer = None
    if writer is not None:
        yield writer.finish()


def _row_groups(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += len(batch)
        while count >= rows:
            table = pa.Table.from_batches(held)
            yield table.slice(0, rows)
            held = table.slice(rows).to_batches()
            count -= rows
    if count:
        yield pa.Table.from_batches(held)


def vacuum(lake: Lake, table: Table, safe_age_s: float, clock: Clock) -> int:
    """Removes files of ours that the table has not referred to for ``safe_age_s``; returns how many.

    What bears a name that we do not give, or is younger than that by its own time, stays.
    """
    storage = lake.storage
    oldest_us = clock.now_us() - round(safe_age_s * 1e6)
    removed = 0
    for path in table.unreferenced(safe_age_s):
        entry = storage.head(table.path(path)) if _OURS.fullmatch(path) else None
        if entry is not None and entry.modified_us < oldest_us:
            storage.delete(entry.path)
            removed += 1
    return removed
