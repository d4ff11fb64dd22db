"""Rows as they were served, in the lake: added once a record of the log, and found again."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from hosu.errors import LakeFullError
from hosu.lake.parquet import encode, live_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake


class _OfDate(Protocol):
    @property
    def date(self) -> str: ...


MadeT = TypeVar("MadeT", bound=_OfDate)


class ServedTable(Generic[MadeT]):
    """Implements ``kept_sink.ServedRows`` on a table of a lake. For one thread at a time."""

    def __init__(
        self, lake: Lake, name: str, rows_of: Callable[[Sequence[MadeT]], pa.Table], *, reserve_bytes: int = 0
    ) -> None:
        """Nothing is opened yet.

        Args:
            lake: whose table.
            name: of the table.
            rows_of: rows of one date, without ``date``, of what was made on it.
            reserve_bytes: room on a folder's disk below which nothing is added.
        """
        self._lake, self._name, self._rows_of, self._reserve_bytes = lake, name, rows_of, reserve_bytes
        self._table: Table | None = None

    def covered(self, wal_id: str) -> int:
        """The highest LSN of that log up to which rows are committed; -1 for none."""
        table = self.table()
        return -1 if table is None else table.covered(wal_id)

    def add(self, made: Sequence[MadeT], wal_id: str, lsn: int) -> int:
        """Adds rows in one commit that covers the log up to ``lsn``; returns the bytes of their files.

        Raises:
            LakeFullError: less room than the reserve.
            CommitConflictError: somebody else covered the same log meanwhile; ask ``covered`` again.
        """
        free = self._lake.storage.free_bytes()
        if free is not None and free < self._reserve_bytes:
            raise LakeFullError(self._lake.root, self._reserve_bytes)
        if self._table is None:
            self._table = self._lake.table(self._name)
        table = self._table
        files = [
            table.store(date, live_name(), encode(table.spec, self._rows_of(list(part))))
            for date, part in groupby(made, lambda each: each.date)
        ]
        table.append(files, {wal_id: lsn})
        return sum(file.size for file in files)

    def sync(self) -> None:
        """Returns when all of it would survive a power cut."""
        if self._table is not None:
            self._table.sync()

    def table(self) -> Table | None:
        """The table as it is now; None before its first row."""
        if self._table is None:
            self._table = self._lake.find(self._name)
        else:
            self._table.refresh()
        return self._table
