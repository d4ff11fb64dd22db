"""The lake as a sink of the collector: batches in, one Parquet file a table and date and flush, exactly once.

Every commit to a table carries the last log number that this table covers. After a crash some tables may be ahead
of others; the log is then read again from the least of them, and each table skips what it already has. A table that
gets no rows would hold the log back, so now and then it gets a commit without files that only says how far it is.

The tables of external bars get rows from few logs only, and no such commits. Instead their rows are committed and
synced before any other table says that it covers the records they came from; so they never hold a log back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc

from hosu import failpoints
from hosu.clock import SystemClock
from hosu.errors import LakeFullError, LogGapError
from hosu.lake.parquet import encode, live_name
from hosu.lake.tables import BAR_TABLES, EVENT_TABLES
from hosu.market.events import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch
    from hosu.lake.delta import NewFile, Table
    from hosu.lake.lake import Lake

MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class WriterConfig:
    """When the lake flushes, and what it leaves free.

    ``cover_after_s`` bounds how much log is read again after a crash for tables that got no rows.
    ``reserve_bytes`` is room on a folder's disk below which the lake stops, so that the log can go on.
    """

    flush_after_s: float = 2.0
    flush_rows: int = 200_000
    flush_bytes: int = 64 * MIB
    cover_after_s: float = 60.0
    reserve_bytes: int = 256 * MIB
    compression_level: int = 1


class LakeSink:
    """Takes decoded events into the lake's event tables. For one thread at a time.

    Attributes:
        commits: commits made, those without files included.
        rows: rows committed.
        bytes_written: bytes of data files committed.
    """

    name = "lake"

    def __init__(self, lake: Lake, config: WriterConfig | None = None, clock: Clock | None = None) -> None:
        self._lake = lake
        self._config = config or WriterConfig()
        self._clock = clock or SystemClock()
        self._buffers = [_Buffer(lake.table(name), self._clock.monotonic()) for name in EVENT_TABLES]
        self._bars: dict[str, _Buffer] = {}  # opened when they get their first row
        self._reached: dict[str, int] = {}
        self._held_since: float | None = None
        self._wal_id: str | None = None
        self.commits = 0
        self.rows = 0
        self.bytes_written = 0

    @property
    def rows_held(self) -> int:
        """Rows taken and not yet committed."""
        return sum(buffer.rows for buffer in self._holding)

    @property
    def bytes_held(self) -> int:
        """Bytes in memory of the rows taken and not yet committed."""
        return sum(buffer.size for buffer in self._holding)

    @property
    def _holding(self) -> list[_Buffer]:
        """Every buffer, in the order in which they are committed."""
        return [*self._bars.values(), *self._buffers]

    def resume_after(self, wal_id: str) -> int:
        """The highest number of that log which every table covers; -1 when there is none."""
        for buffer in self._buffers:
            buffer.table.refresh()
        return min(buffer.table.covered(wal_id) for buffer in self._buffers)

    def write(self, batch: EventBatch) -> None:
        """Takes a batch into memory; rows that a table has, or that were taken before, are skipped.

        Raises:
            LogGapError: records before the batch are missing, and its commit would claim them; it is not taken.
        """
        reached = self._reached.get(batch.wal_id)
        if reached is None:
            reached = self.resume_after(batch.wal_id)
        if batch.after_lsn > reached:
            raise LogGapError(batch.wal_id, reached + 1, batch.after_lsn)
        self._wal_id = batch.wal_id
        if batch.last_lsn <= reached:
            return
        if self._held_since is None:
            self._held_since = self._clock.monotonic()
        for name in BAR_TABLES:
            if name in batch.tables and name not in self._bars:
                self._bars[name] = _Buffer(self._lake.table(name), self._clock.monotonic())
        for buffer in self._holding:
            rows = batch.tables.get(buffer.table.spec.name)
            if rows is not None and len(rows):
                buffer.take(batch, rows, reached)
        self._reached[batch.wal_id] = batch.last_lsn

    def due(self) -> bool:
        """Whether what is held is old or large enough to be flushed."""
        if self._held_since is None:
            return False
        config = self._config
        age_s = self._clock.monotonic() - self._held_since
        large = self.rows_held >= config.flush_rows or self.bytes_held >= config.flush_bytes
        return large or age_s >= config.flush_after_s

    def flush(self) -> int:
        """Commits what is held; returns the highest log number that every table covers by now.

        What cannot be committed stays in memory, and ``flush`` may be called again.

        Raises:
            LakeFullError: less room than the reserve.
        """
        self._require_room()
        for buffer in self._bars.values():
            if buffer.rows:
                self._commit(buffer)
                buffer.table.sync()
        for buffer in self._buffers:
            if buffer.rows:
                self._commit(buffer)
        now = self._clock.monotonic()
        for buffer in self._buffers:
            if now - buffer.committed_at >= self._config.cover_after_s:
                self._cover(buffer)
        self._held_since = None
        return self._covered()

    def sync(self) -> None:
        """Returns when everything flushed so far would survive a power cut, and every table says what it covers."""
        for buffer in self._buffers:
            self._cover(buffer)
            if failpoints.on:
                failpoints.reach("lake.syncing")
            buffer.table.sync()
        if failpoints.on:
            failpoints.reach("lake.synced")

    def close(self) -> None:
        """Flushes, lets every table say what it covers, and syncs."""
        self.flush()
        self.sync()

    def _covered(self) -> int:
        wal_id = self._wal_id
        if wal_id is None:
            return -1
        return min(buffer.table.covered(wal_id) for buffer in self._buffers)

    def _require_room(self) -> None:
        free = self._lake.storage.free_bytes()
        if free is not None and free < self._config.reserve_bytes:
            raise LakeFullError(self._lake.root, self._config.reserve_bytes)

    def _commit(self, buffer: _Buffer) -> None:
        buffer.drop_covered()
        self._append(buffer, buffer.store(self._config.compression_level))
        buffer.clear()

    def _cover(self, buffer: _Buffer) -> None:
        if not buffer.rows and any(lsn > buffer.table.covered(wal_id) for wal_id, lsn in self._reached.items()):
            self._append(buffer, [])

    def _append(self, buffer: _Buffer, files: list[NewFile]) -> None:
        table = buffer.table
        covers = {wal_id: lsn for wal_id, lsn in self._reached.items() if lsn > table.covered(wal_id)}
        if covers or files:
            buffer.in_doubt = True
            table.append(files, covers)
            buffer.in_doubt = False
            self.commits += 1
            self.rows += sum(file.rows for file in files)
            self.bytes_written += sum(file.size for file in files)
        buffer.committed_at = self._clock.monotonic()


class _Buffer:
    """What one table holds in memory. ``in_doubt``: the last commit may have landed or not.

    Files stored for a commit that failed are kept in mind, so that trying again writes only what came since.
    """

    def __init__(self, table: Table, now: float) -> None:
        self.table = table
        self.rows = 0
        self.size = 0
        self.committed_at = now
        self.in_doubt = False
        self._schema = in_memory(table.spec.schema)
        self._held: list[tuple[str, pa.RecordBatch]] = []
        self._parted = 0  # how many of those held are among the parts or stored
        self._parts: list[tuple[str, pa.Table]] = []
        self._stored: list[NewFile] = []

    def take(self, batch: EventBatch, rows: pa.RecordBatch, reached: int) -> None:
        """Holds the rows that are neither in the table nor among those of records up to ``reached``."""
        known = max(reached, self.table.covered(batch.wal_id))
        if batch.last_lsn <= known:
            return
        if batch.first_lsn <= known:
            rows = rows.filter(pc.greater(rows.column("lsn"), known))
        self._hold(batch.wal_id, rows.cast(self._schema) if rows.schema != self._schema else rows)

    def _hold(self, wal_id: str, rows: pa.RecordBatch) -> None:
        if len(rows):
            self._held.append((wal_id, rows))
            self.rows += len(rows)
            self.size += rows.nbytes

    def drop_covered(self) -> None:
        """After a commit of unknown outcome: lets go of the rows that turn out to be in the table."""
        if not self.in_doubt:
            return
        self.table.refresh()
        held, before = self._held, self.rows
        self._held, self.rows, self.size = [], 0, 0
        for wal_id, rows in held:
            self._hold(wal_id, rows.filter(pc.greater(rows.column("lsn"), self.table.covered(wal_id))))
        if self.rows != before:  # else the files stored are still just these rows
            self._forget_stored()
        self.in_doubt = False

    def store(self, level: int) -> list[NewFile]:
        """The files of all rows held, each written once however often this is tried."""
        if not all(map(self.table.has_stored, self._stored)):  # a day later somebody may have cleaned them up
            self._forget_stored()
        self._parts.extend(_by_date([rows for _, rows in self._held[self._parted :]]))
        self._parted = len(self._held)
        while self._parts:
            date, rows = self._parts[0]
            self._stored.append(self.table.store(date, live_name(), encode(self.table.spec, rows, level=level)))
            del self._parts[0]
        return self._stored

    def clear(self) -> None:
        self._held.clear()
        self.rows = self.size = 0
        self._forget_stored()

    def _forget_stored(self) -> None:
        self._parted, self._parts, self._stored = 0, [], []


def _by_date(held: list[pa.RecordBatch]) -> Iterator[tuple[str, pa.Table]]:
    """The rows of each business date, without the column ``date``."""
    if held:
        table = pa.Table.from_batches(held).unify_dictionaries().combine_chunks()
        column = table.column("date")
        dates = pc.unique(column).to_pylist()
        rest = table.drop_columns(["date"])
        for date in dates:
            # Pass by the mask in the usual case of one date: it would copy every column.
            yield date, rest if len(dates) == 1 else rest.filter(pc.equal(column, date))
