"""The ledger's tables and state in a lake: rows through the one committer, the state as one object a log."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.dataset as ds

from hosu.collect.gaps import JUDGED, Gap
from hosu.errors import LakeFullError
from hosu.lake.parquet import encode, live_name
from hosu.lake.reading import reading
from hosu.market.ledger import LEDGER_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from hosu.collect.ledger_rows import Additions
    from hosu.collect.ledger_state import Series
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake

STATE: Final = "raw/ledger/state"
_SUFFIX: Final = ".ledger"
_ORDER: Final = ("gap_events", "gaps", "coverage_days")
"""Events first: whether they were told is asked of them, and whether anything is to be told of the gaps."""


class LakeLedgerStore:
    """Implements ``collect.ledger.LedgerStore``. For one thread at a time.

    Whatever asks a table raises TableCorruptError where it cannot be read, and LakeUnreachableError where it may be
    the next time.
    """

    def __init__(self, lake: Lake, *, reserve_bytes: int = 0) -> None:
        self._lake, self._reserve_bytes = lake, reserve_bytes
        self._tables: dict[str, Table] = {}
        self._cached: dict[str, tuple[int, frozenset[str], list[dict[str, Any]]]] = {}
        self._others: dict[str, tuple[str, bytes]] = {}

    # --- tables -------------------------------------------------------------------------------------------------

    def covered(self, wal_id: str) -> int:
        """The highest LSN of that log that any of the tables has rows up to; -1 for none."""
        tables = [table for name in _ORDER if (table := self._table(name)) is not None]
        return max((table.covered(wal_id) for table in tables), default=-1)

    def gaps(self, dates: Collection[str]) -> Mapping[Series, list[Gap]]:
        """The latest revision of every gap of these dates, by series."""
        latest: dict[tuple[Any, ...], dict[str, Any]] = {}
        for row in self._rows("gaps", dates):
            key = (row["date"], row["scope"], row["symbol"], row["from_volume"], row["to_volume"])
            if key not in latest or latest[key]["revision"] <= row["revision"]:
                latest[key] = row
        by_series: dict[Series, list[Gap]] = {}
        for row in latest.values():
            by_series.setdefault((row["date"], row["scope"], row["symbol"]), []).append(Gap.of_row(row))
        return by_series

    def coverage(self, dates: Collection[str]) -> Mapping[Series, Mapping[str, Any]]:
        """The latest row of ``coverage_days`` of every series of these dates."""
        latest: dict[Series, dict[str, Any]] = {}
        for row in self._rows("coverage_days", dates):
            series = (row["date"], row["scope"], row["symbol"])
            known = latest.get(series)
            if known is None or (known["revision"], known["built_at"]) <= (row["revision"], row["built_at"]):
                latest[series] = row
        return latest

    def events(self, dates: Collection[str]) -> list[dict[str, Any]]:
        """All rows of ``gap_events`` of these dates."""
        return self._rows("gap_events", dates)

    def add(self, rows: Additions, wal_id: str | None, lsn: int | None) -> None:
        """Adds rows, each table in one commit.

        Raises:
            LakeFullError: less room than the reserve.
            CommitConflictError: somebody else covered the same log meanwhile; ask the tables again.
        """
        free = self._lake.storage.free_bytes()
        if free is not None and free < self._reserve_bytes:
            raise LakeFullError(self._lake.root, self._reserve_bytes)
        listed = {"gap_events": rows.events, "gaps": [gap.row() for gap in rows.gaps], "coverage_days": rows.coverage}
        for name in _ORDER:
            if listed[name]:
                self._append(name, listed[name], wal_id, lsn)
            if name in self._tables:
                # What comes behind rests on it, even on what a killed process told: what is known is not told again.
                self._tables[name].sync()

    def _append(self, name: str, rows: list[dict[str, Any]], wal_id: str | None, lsn: int | None) -> None:
        table = self._table(name, create=True)
        assert table is not None
        files = []
        for date in sorted({str(row["date"]) for row in rows}):
            part = pa.Table.from_pylist([row for row in rows if row["date"] == date], schema=table.spec.file_schema)
            files.append(table.store(date, live_name(), encode(table.spec, part)))
        # Without a log's number a commit whose acknowledgement was lost could not be told from one that failed.
        app_id, number = (wal_id, lsn) if wal_id and lsn is not None else (f"hosu:ledger:{uuid.uuid4().hex}", 0)
        covers = {app_id: number} if number > table.covered(app_id) else {}
        table.append(files, covers)

    def _table(self, name: str, *, create: bool = False) -> Table | None:
        table = self._tables.get(name)
        if table is None:
            table = self._lake.table(name) if create else self._lake.find(name)
            if table is None:
                return None
            self._tables[name] = table
        else:
            table.refresh()
        return table

    def _rows(self, name: str, dates: Collection[str]) -> list[dict[str, Any]]:
        """All rows of these dates, as they stand now; read again only when the table has changed."""
        table = self._table(name)
        if table is None or not dates:
            return []
        wanted = frozenset(dates)
        cached = self._cached.get(name)
        if cached is not None and cached[0] == table.version and wanted <= cached[1]:
            return [row for row in cached[2] if row["date"] in wanted]
        files = {file.path for date in wanted for file in table.files(date)}
        rows = _read(table, files, LEDGER_SCHEMAS[name]) if files else []
        self._cached[name] = (table.version, wanted, rows)
        return rows

    # --- state --------------------------------------------------------------------------------------------------

    def state(self, wal_id: str) -> bytes | None:
        """What ``save`` was given last for that log; None if nothing was."""
        try:
            return self._lake.storage.get(_path(wal_id))
        except FileNotFoundError:
            return None

    def save(self, wal_id: str, state: bytes) -> None:
        """Keeps the state of a log, in place of the one before, as a whole; durable when it returns."""
        self._lake.storage.replace(_path(wal_id), state)

    def other_states(self, wal_id: str, dates: Collection[str]) -> Mapping[str, bytes]:
        """The states of all other logs, and what the lake itself was judged by on these dates, by name; what has not
        changed is the same object as last time."""
        found: dict[str, tuple[str, bytes]] = {}
        for entry in list(self._lake.storage.list(f"{STATE}/")):
            name = entry.path.rpartition("/")[2]
            other = name.removesuffix(_SUFFIX)
            judged = other.removeprefix(JUDGED) if other.startswith(JUDGED) else None
            if not name.endswith(_SUFFIX) or other == wal_id or (judged is not None and judged not in dates):
                continue
            stamp = f"{entry.etag}:{entry.modified_us}:{entry.size}"
            known = self._others.get(other)
            content = known[1] if known is not None and known[0] == stamp else self.state(other)
            if content is not None:
                found[other] = (stamp, content)
        self._others = found
        return {other: content for other, (_, content) in found.items()}

    def sync(self) -> None:
        """Returns when all of it would survive a power cut."""
        for table in self._tables.values():
            table.sync()


def _path(wal_id: str) -> str:
    return f"{STATE}/{wal_id}{_SUFFIX}"


def _read(table: Table, files: Iterable[str], schema: pa.Schema) -> list[dict[str, Any]]:
    whole = table.dataset()
    chosen = set(files)
    fragments = [part for part in whole.get_fragments() if part.path.lstrip("/") in chosen]
    with reading(table, "", lambda: fragments):
        found = ds.FileSystemDataset(fragments, whole.schema, whole.format, whole.filesystem).to_table()
    names = [field.name for field in schema if pa.types.is_timestamp(field.type)]
    rows: list[dict[str, Any]] = found.cast(_as_numbers(found.schema, names)).to_pylist()
    return rows


def _as_numbers(schema: pa.Schema, names: Iterable[str]) -> pa.Schema:
    """Times as microseconds, which is how the ledger speaks of them."""
    for name in names:
        at = schema.get_field_index(name)
        schema = schema.set(at, schema.field(at).with_type(pa.int64()))
    return schema
