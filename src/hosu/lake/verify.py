"""Checks the lake against itself: files against commits, rows against commits, tables against the archived segments.

Nothing is changed. Each finding names one thing that is damaged or missing, how, and what to do. While a collector
runs, what is on its way from the archive into the tables may be reported as missing there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from hosu.errors import TableCorruptError
from hosu.lake.delta_log import DeltaLog
from hosu.lake.judge_again import WAITING, waiting
from hosu.lake.parquet import check
from hosu.lake.sql import FileQueries, SqlConfig
from hosu.lake.tables import TABLES
from hosu.lake.verify_archive import ArchiveCheck, Finding
from hosu.market.ledger import LEDGER_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake
    from hosu.lake.tables import TableSpec

_RESTORE: Final = "run hosu lake verify --repair, which rebuilds it from the frames if they hold it"
_GO_ON: Final = "run hosu lake verify --repair, which was stopped before that"
_ASK: Final = "keep the lake as it is and replay raw/frames into a new one with: hosu replay"


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked, and what is wrong. Nothing is wrong where ``findings`` is empty."""

    tables: int
    files: int
    rows: int
    archived: int
    findings: tuple[Finding, ...]


def verify(
    lake: Lake,
    tables: Iterable[str] | None = None,
    *,
    deep: bool = True,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verified:
    """Checks the named tables, or all, and the archive: every segment by its seal, and whether records are missing
    between segments, or were archived and never stored in these tables.

    Memory: one segment, and ``config`` for what is asked of rows.

    Args:
        deep: reads every page of every data file and its checksum; decodes the archive, and asks that each table holds
            exactly the rows that come of it. Without it only the footers are read: what is in a page may be damaged.
        progress: called with the name of each table, and of each archived segment, before it is checked.
    """
    settings = config or SqlConfig()
    names = list(TABLES if tables is None else tables)
    findings: list[Finding] = []
    opened, files, rows = 0, 0, 0
    with FileQueries(lake.storage, settings) as queries:
        for name in names:
            if progress is not None:
                progress(name)
            checked = _TableCheck(lake, lake.spec(name), deep, queries)
            findings += checked.run()
            opened += checked.exists
            files += len(checked.files)
            rows += sum(file.rows for file in checked.files)
        if set(names) & LEDGER_SCHEMAS.keys():
            findings += [
                Finding(
                    "coverage_days", lake.storage.address(WAITING), f"names {date}, which waits to be judged", _GO_ON
                )
                for date in sorted(waiting(lake.storage))
            ]
        event_tables = [name for name in names if lake.spec(name).is_event_table]
        archive = ArchiveCheck(lake, event_tables, settings, queries, progress)
        findings += archive.run(deep=deep)
    return Verified(opened, files, rows, archive.segments, tuple(findings))


class _TableCheck:
    def __init__(self, lake: Lake, spec: TableSpec, deep: bool, queries: FileQueries) -> None:
        self._lake, self._spec, self._deep, self._queries = lake, spec, deep, queries
        self.exists = False
        self.files: list[DataFile] = []

    def run(self) -> list[Finding]:
        try:
            table = self._lake.find(self._spec.name)
            if table is None:
                return []
            self.exists = True
            self.files = table.files()
        except TableCorruptError as error:
            return [Finding(self._spec.name, error.path, error.fault, _RESTORE)]
        damaged = [*self._log(), *self._data(table, deep=self._deep)]
        # What rows say is only asked of files that can be read.
        return damaged or self._rows(table)

    def _rows(self, table: Table) -> list[Finding]:
        try:
            return [*self._covered(table), *self._duplicates(table)]
        except TableCorruptError as error:
            # Some page is damaged: now look which.
            found = list(self._data(table, deep=True))
            return found or [self._finding(self._spec.location, error.fault)]

    def _finding(self, path: str, fault: str, next_step: str = _RESTORE) -> Finding:
        return Finding(self._spec.name, self._lake.storage.address(path), fault, next_step)

    def _log(self) -> Iterator[Finding]:
        log = DeltaLog(self._lake.storage, self._spec)
        for path, fault in sorted(log.faults.items()):
            yield self._finding(path, fault)
        if log.base is not None and log.beyond_end and log.end + 1 not in log.commits:
            yield self._finding(log.commit_path(log.end + 1), "is missing between its neighbours")
        if log.base is None:
            yield self._finding(log.folder, "begins behind the table's first version, without what came before")

    def _data(self, table: Table, *, deep: bool) -> Iterator[Finding]:
        for file, fault in damaged_files(self._lake, table, deep=deep):
            yield self._finding(table.path(file), fault)

    def _covered(self, table: Table) -> Iterator[Finding]:
        if not self._spec.is_event_table or not self.files:
            return
        sql = "SELECT wal_id, max(lsn) AS last FROM rows GROUP BY wal_id ORDER BY wal_id"
        for row in self._queries.ask(table, self.files, sql):
            covered = table.covered(row["wal_id"])
            if row["last"] > covered:
                fault = f"holds record {row['last']} of log {row['wal_id']}, its commits cover {covered}"
                yield self._finding(self._spec.location, fault, _ASK)

    def _duplicates(self, table: Table) -> Iterator[Finding]:
        if not self._spec.is_event_table:
            return
        sql = """
            SELECT count(*) AS times, any_value(wal_id) AS wal_id, min(lsn) AS lsn
            FROM (SELECT wal_id, lsn, record_no FROM rows GROUP BY ALL HAVING count(*) > 1)
        """
        for date in sorted({file.date for file in self.files}):
            files = [file for file in self.files if file.date == date]
            row = self._queries.ask(table, files, sql)[0]
            if row["times"]:
                fault = f"holds {row['times']} records more than once, the first is {row['lsn']} of log {row['wal_id']}"
                yield self._finding(f"{self._spec.location}/date={date}", fault, _ASK)


def damaged_files(lake: Lake, table: Table, *, deep: bool) -> Iterator[tuple[DataFile, str]]:
    """The data files of a table that are missing or not what its log says, and what is wrong with each."""
    sizes = {entry.path: entry.size for entry in lake.storage.list(f"{table.spec.location}/")}
    for file in table.files():
        path = table.path(file)
        if path not in sizes:
            yield file, "is missing"
        elif sizes[path] != file.size:
            yield file, f"has {sizes[path]} bytes, the log says {file.size}"
        elif fault := _fault_of(lake, path, file, deep=deep):
            yield file, fault


def _fault_of(lake: Lake, path: str, file: DataFile, *, deep: bool) -> str:
    storage = lake.storage
    try:
        source: Any = storage.address(path) if storage.is_local else pa.BufferReader(storage.get(path))
        rows = check(source, deep=deep)
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {str(error).splitlines()[0]}"
    return "" if rows == file.rows else f"has {rows} rows, the log says {file.rows}"
