"""Rows that data files lost, decoded again from the frames and put in their place."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hosu.errors import TableCorruptError
from hosu.lake.parquet import encode, live_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from hosu.lake.delta import DataFile, NewFile, Table
    from hosu.lake.frames import Frames
    from hosu.lake.lake import Lake
    from hosu.lake.storage import Storage

    Keys = npt.NDArray[np.int64]

_NUMBERS: Final = 1 << 20  # records of one frame have numbers far below it
_ROWS_A_FILE: Final = 200_000


@dataclass(slots=True)
class Rebuilt:
    """What came of damaged files of one table: rows that were to be found again, and that were; files of them."""

    wanted: int
    found: int = 0
    files: list[NewFile] = field(default_factory=list)


class RowRebuilder:
    """Rebuilds ``damaged`` files of an event table: what the frames decode to of their dates, up to what the table
    covers, less what its other files hold.

    Memory: the keys of one date's rows, and ``_ROWS_A_FILE`` rows.
    """

    def __init__(self, lake: Lake, table: Table, damaged: Sequence[DataFile], frames: Frames) -> None:
        self._lake, self._table, self._damaged, self._frames = lake, table, damaged, frames
        gone = {file.path for file in damaged}
        self._sound = [file for file in table.files() if file.path not in gone]

    def count(self) -> Rebuilt:
        """Looks for the rows, and writes nothing."""
        result = self._nothing_yet()
        result.found = sum(len(rows) for date in self._dates() for rows in self._missing(date))
        return result

    def store(self) -> Rebuilt:
        """Writes the rows found again below the table. They belong to it only after ``commit``."""
        result = self._nothing_yet()
        for date in self._dates():
            held: list[pa.RecordBatch] = []
            for rows in self._missing(date):
                result.found += len(rows)
                held.append(rows)
                if sum(map(len, held)) >= _ROWS_A_FILE:
                    result.files.append(self._store(date, held))
                    held = []
            if held:
                result.files.append(self._store(date, held))
        return result

    def _nothing_yet(self) -> Rebuilt:
        return Rebuilt(sum(file.rows for file in self._damaged))

    def _dates(self) -> list[str]:
        return sorted({file.date for file in self._damaged})

    def commit(self, result: Rebuilt) -> None:
        """Puts the rows in the place of the damaged files, durably."""
        self._table.sync()
        self._table.rewrite(self._damaged, result.files, data_change=True)
        self._table.sync()

    def discard(self, result: Rebuilt) -> None:
        """Takes back what ``store`` wrote."""
        for file in result.files:
            self._lake.storage.delete(self._table.path(file))

    def _store(self, date: str, held: list[pa.RecordBatch]) -> NewFile:
        rows = pa.Table.from_batches(held).unify_dictionaries().combine_chunks().drop_columns(["date"])
        return self._table.store(date, live_name(), encode(self._table.spec, rows))

    def _missing(self, date: str) -> Iterator[pa.RecordBatch]:
        present = self._present(date)
        for wal_id in self._frames.logs:
            covered = self._table.covered(wal_id)
            keys = present.get(wal_id, np.zeros(0, np.int64))
            first, last = self._span(wal_id, covered)
            for batch in self._frames.decoded(wal_id, first, last):
                rows = batch.tables.get(self._table.spec.name)
                if rows is None or not len(rows):
                    continue
                mine = pc.and_(pc.equal(rows.column("date"), date), pc.less_equal(rows.column("lsn"), covered))
                rows = rows.filter(mine)
                fresh = rows.filter(pa.array(~np.isin(_keys(rows), keys)))
                if len(fresh):
                    yield fresh

    def _span(self, wal_id: str, covered: int) -> tuple[int, int]:
        """The numbers between which the damaged files' rows lie, as their commits tell."""
        gone = {file.path for file in self._damaged}
        told = [file for file in self._table.files(bounds=True) if file.path in gone]
        if any({"wal_id", "lsn"} - set(file.least) or {"wal_id", "lsn"} - set(file.greatest) for file in told):
            return 0, covered
        mine = [file for file in told if file.least["wal_id"] <= wal_id <= file.greatest["wal_id"]]
        first = min((int(file.least["lsn"]) for file in mine), default=1)
        return first, min(covered, max((int(file.greatest["lsn"]) for file in mine), default=0))

    def _present(self, date: str) -> dict[str, Keys]:
        """The keys of the date's rows in files that can be read, sorted, by log."""
        found: dict[str, list[Keys]] = {}
        for file in (file for file in self._sound if file.date == date):
            path = self._table.path(file)
            try:
                rows = _read(self._lake.storage, path, ["wal_id", "lsn", "record_no"])
            except (OSError, pa.ArrowException) as error:
                raise TableCorruptError(self._table.spec.name, path, str(error).splitlines()[0]) from error
            for wal_id in pc.unique(rows.column("wal_id")).to_pylist():
                found.setdefault(wal_id, []).append(_keys(rows.filter(pc.equal(rows.column("wal_id"), wal_id))))
        return {wal_id: np.sort(np.concatenate(parts)) for wal_id, parts in found.items()}


def last_records(storage: Storage, path: str) -> dict[str, int]:
    """The last record of each log that a data file has rows of; empty where it cannot be read."""
    try:
        rows = _read(storage, path, ["wal_id", "lsn"])
    except (OSError, pa.ArrowException):
        return {}
    found = rows.group_by("wal_id").aggregate([("lsn", "max")])
    return dict(zip(found.column("wal_id").to_pylist(), found.column("lsn_max").to_pylist(), strict=True))


def _read(storage: Storage, path: str, columns: list[str]) -> pa.Table:
    source: Any = storage.address(path) if storage.is_local else pa.BufferReader(storage.get(path))
    return pq.read_table(source, columns=columns, partitioning=None)


def _keys(rows: Any) -> Keys:
    """Log number and record number in one number; a row of a whole record has no record number."""
    numbers = np.asarray(pc.fill_null(rows.column("record_no"), _NUMBERS - 1)).astype(np.int64)
    keys: Keys = np.asarray(rows.column("lsn")).astype(np.int64) * _NUMBERS + numbers
    return keys
