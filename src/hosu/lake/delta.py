"""One Delta table through delta-rs: the one committer. The only door to deltalake.

Data files are written first, below the table; a commit then names them. What keeps it exact:

* A writer's commit carries, as Delta application transactions, the last log number it covers of each log. delta-rs
  does not skip a repeated one by itself, so the writer asks ``covered`` before it commits.
* A rewrite (compaction, a rebuilt date) removes exactly the files it has read, and fails if one of them is gone.
  delta-rs would accept two rewriters of the same files, were it not that both carry the next number of one
  application transaction: the second is refused.
* A commit that reports an error may have landed all the same; it is looked up before the error is believed.
* What the log cannot make again rests on nothing that a power cut could take: a commit to such a table is made once
  its files, and every commit before it, are synced. So a cut tears the last commit at most, and rows of none.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from hosu import failpoints
from hosu.errors import (
    CommitConflictError,
    LakeFullError,
    LakeReadOnlyError,
    TableCorruptError,
    VersionGoneError,
)
from hosu.lake.columns import check_columns, lacking
from hosu.lake.commits import ACTIONS, check_end
from hosu.lake.storage import disk_error, first_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    import pyarrow.dataset as ds
    from deltalake import DeltaTable

    from hosu.lake.parquet import Encoded
    from hosu.lake.storage import Storage
    from hosu.lake.tables import TableSpec

FENCE: Final = "hosu:maintenance"
"""Application id of all rewrites of a table."""

CHECKPOINT_EVERY: Final = 100
CLEAN_EVERY: Final = 1000
"""Commits between checkpoints, and between clean-ups of log files that a checkpoint has made superfluous.

A table opens from its last checkpoint and at most 100 commits after it, however many there were before.
"""

_TOMBSTONE_DAYS: Final = 1


@dataclass(frozen=True, slots=True)
class DataFile:
    """A data file that belongs to the table now. ``path`` is relative to the table.

    ``least`` and ``greatest`` are values by column, where they were asked for and the log has them.
    """

    path: str
    date: str
    size: int
    rows: int
    least: dict[str, Any] = field(default_factory=dict)
    greatest: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A data file written below the table that a commit shall add."""

    path: str
    date: str
    size: int
    rows: int
    statistics: str


class Table:
    """A handle on one table at one version; ``refresh`` moves it on. For one thread at a time."""

    def __init__(self, storage: Storage, spec: TableSpec, delta: DeltaTable) -> None:
        self.spec = spec
        self._storage = storage
        self._delta = delta
        self._log = f"{spec.location}/_delta_log"
        self._synced_version = self.version
        self._unsynced: set[str] = set()
        # Asked for each batch of each table, and answered by delta-rs from the whole snapshot.
        self._covered: dict[str, int] = {}
        self._covered_at = -1
        # Who wrote what we found may have been killed before it synced, and the log relies on it from now on.
        self._inherited = True

    def __repr__(self) -> str:
        return f"Table({self.spec.name!r}, version={self.version})"

    @classmethod
    def open(cls, storage: Storage, spec: TableSpec) -> Table | None:
        """The table, or None where there is none.

        Raises:
            TableCorruptError: the log is damaged, is missing beside data files, or has other columns than ours.
        """
        address = storage.address(spec.location)
        with _reading(spec, storage):
            delta = _load_if_there(storage, spec)
            found = None if delta is None else pa.schema(delta.schema().to_arrow())
        if delta is None or found is None:
            if any(entry.path.endswith(".parquet") for entry in storage.list(f"{spec.location}/")):
                raise TableCorruptError(spec.name, f"{address}/_delta_log", "data files but no log") from None
            return None
        check_columns(spec, found, address)
        if storage.is_local:  # a store keeps an object whole or not at all
            check_end(storage, spec, int(delta.version()))
        return cls(storage, spec, delta)

    @classmethod
    def at(cls, storage: Storage, spec: TableSpec, version: int, dates: Collection[str] | None = None) -> Table:
        """The table as it was at a version; for reading only, ``refresh`` would move it on.

        Args:
            storage: where it is.
            spec: which.
            version: the version.
            dates: those that will be read; None for all.

        Raises:
            VersionGoneError: its log does not reach back so far, or a file it needs has been removed.
        """
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            address = storage.address(spec.location)
            delta = DeltaTable(address, version=version, storage_options=storage.delta_options)
            table = cls(storage, spec, delta)
            needed = {table.path(file) for file in table.files() if dates is None or file.date in dates}
        except (DeltaError, TableCorruptError) as error:
            raise VersionGoneError(spec.name, version, first_line(error)) from None
        gone = sorted(needed - {entry.path for entry in storage.list(f"{spec.location}/")})
        if gone:
            raise VersionGoneError(spec.name, version, f"{gone[0]} has been removed")
        return table

    @classmethod
    def create(cls, storage: Storage, spec: TableSpec) -> Table:
        """The table, made empty; one that somebody else made meanwhile is taken as it is."""
        try:
            delta = _made(storage, spec)
        except CommitConflictError:
            # delta-rs looks first and commits then; who was quicker in between has made it (seen with four processes).
            made = cls.open(storage, spec)
            if made is None:
                raise
            return made
        table = cls(storage, spec, delta)
        table._unsynced.add(f"{spec.location}/_delta_log/{0:020d}.json")
        table._inherited = table.version > 0
        if not spec.is_event_table:
            table.sync()  # files beside a log that is gone could be anybody's
        return table

    @property
    def version(self) -> int:
        return int(self._delta.version())

    @property
    def storage(self) -> Storage:
        """Where it lies: a folder or an object store."""
        return self._storage

    def refresh(self) -> None:
        """Moves on to the table's newest version."""
        from deltalake.exceptions import DeltaError

        try:
            self._delta.update_incremental()
        except (DeltaError, OSError):
            # The commits after this version may have been cleaned away; the checkpoint has what they said.
            with _reading(self.spec, self._storage):
                self._delta = _load(self._storage, self.spec)

    def covered(self, app_id: str) -> int:
        """The highest number committed under an application id, at this version; -1 when there is none."""
        if self._covered_at != self.version:
            self._covered, self._covered_at = {}, self.version
        if app_id not in self._covered:
            found = self._delta.transaction_version(app_id)
            self._covered[app_id] = -1 if found is None else int(found)
        return self._covered[app_id]

    def files(self, date: str | None = None, *, bounds: bool = False) -> list[DataFile]:
        """The data files of this version, those of one date or all.

        Args:
            bounds: whether ``least`` and ``greatest`` are filled too; that takes longer.
        """
        import pyarrow.compute as pc

        with _reading(self.spec, self._storage):
            actions = pa.table(self._delta.get_add_actions(flatten=True))
        if date is not None:
            actions = actions.filter(pc.field("partition.date") == date)
        if bounds:
            return [_with_bounds(row) for row in actions.to_pylist()]
        columns = ("path", "partition.date", "size_bytes", "num_records")
        return [DataFile(*row) for row in zip(*(actions.column(name).to_pylist() for name in columns), strict=True)]

    def dates(self) -> list[str]:
        """The dates that have data files, oldest first."""
        return sorted({file.date for file in self.files()})

    def dataset(self) -> ds.Dataset:
        """This version as a pyarrow dataset, wherever it lies."""
        from pyarrow import fs

        # A folder is read by pyarrow itself: its threads, calling delta-rs's file system in Python while the
        # interpreter ends, bring the process down after its work is done (seen in one run of four).
        address, folder = self._storage.address(self.spec.location), None
        if self._storage.is_local:
            folder = fs.SubTreeFileSystem(address, fs.LocalFileSystem())
        with _reading(self.spec, self._storage):
            return self._delta.to_pyarrow_dataset(filesystem=folder)

    def path(self, file: DataFile | NewFile | str) -> str:
        """A data file's path below the lake's root."""
        return f"{self.spec.location}/{file if isinstance(file, str) else file.path}"

    def store(self, date: str, name: str, encoded: Encoded) -> NewFile:
        """Writes a data file below the table. It belongs to the table only once a commit adds it."""
        path = f"date={date}/{name}"
        self._storage.put(self.path(path), encoded.data.to_pybytes())
        self._unsynced.add(self.path(path))
        if failpoints.on:
            failpoints.reach("lake.stored")
        return NewFile(path, date, len(encoded.data), encoded.rows, encoded.statistics)

    def has_stored(self, file: NewFile) -> bool:
        """Whether a file that ``store`` wrote is still there."""
        return self._storage.head(self.path(file)) is not None

    def append(self, adds: Sequence[NewFile], covers: Mapping[str, int]) -> int:
        """Commits files together with the log numbers they cover; returns the table's version then.

        ``adds`` may be empty: the commit then only says what is covered. The caller has asked ``covered`` first.

        Raises:
            CommitConflictError: somebody else covered the same log meanwhile; ask ``covered`` again.
        """
        # By its files it is told from another writer's commit of the same numbers, which is no success of ours.
        landed = {file.path for file in adds} if adds else None
        self._commit([_add(file, data_change=True) for file in adds], covers, landed)
        return self.version

    def rewrite(
        self,
        removes: Sequence[DataFile],
        adds: Sequence[NewFile],
        *,
        data_change: bool,
        covers: Mapping[str, int] | None = None,
    ) -> int:
        """Takes ``adds`` for ``removes`` in one commit; what others appended meanwhile stays.

        Args:
            data_change: False where the rows are the same in another order (compaction).
            covers: further application ids and numbers to keep with this commit.

        Raises:
            CommitConflictError: a removed file is gone already, or another rewrite came first; nothing was changed.
        """
        self.refresh()
        live = {file.path for file in self.files()}
        gone = [file.path for file in removes if file.path not in live]
        if gone:
            raise CommitConflictError(self.spec.name, f"{gone[0]} has been rewritten already")
        actions = [_remove(file, data_change=data_change) for file in removes]
        actions += [_add(file, data_change=data_change) for file in adds]
        self._commit(actions, {**(covers or {}), FENCE: self.covered(FENCE) + 1}, landed={file.path for file in adds})
        return self.version

    def _commit(self, actions: list[Any], covers: Mapping[str, int], landed: set[str] | None = None) -> None:
        from deltalake import CommitProperties, PostCommitHookProperties, Transaction
        from deltalake.exceptions import CommitFailedError, DeltaError

        self._add_columns()
        if not self.spec.is_event_table:
            self.sync()
        address = self._storage.address(self._log)
        transactions = [Transaction(app_id, version) for app_id, version in covers.items()]
        before = self.version
        try:
            if failpoints.on:
                failpoints.reach("lake.committing")
            self._delta.create_write_transaction(
                actions,
                "append",
                self.spec.schema,
                ["date"],
                commit_properties=CommitProperties(
                    app_transactions=transactions, custom_metadata={ACTIONS: str(len(actions) + len(transactions))}
                ),
                post_commithook_properties=PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False),
            )
            if failpoints.on:
                failpoints.reach("lake.committed")
        except (DeltaError, OSError) as error:
            if not self._has_landed(covers, landed):
                if isinstance(error, CommitFailedError):
                    raise CommitConflictError(self.spec.name, str(error).splitlines()[0]) from error
                raise disk_error(address, str(error)) from error
        else:
            self.refresh()
        if before // CLEAN_EVERY != self.version // CLEAN_EVERY:
            self.clean_log()

    def _add_columns(self) -> None:
        """Gives the table the columns that its version lacks, in a commit of its own.

        Raises:
            CommitConflictError: somebody else wrote to the table meanwhile. To go on from what they wrote would hide
                that from the commit at hand, whose writer has asked ``covered`` before.
        """
        if not self.spec.added:
            return
        missing = lacking(self.spec, (each.name for each in self._delta.schema().fields))
        if not missing:
            return
        from deltalake import Schema

        before = self.version
        self.refresh()
        if self.version == before:
            with _writing(self.spec, self._storage.address(self._log)):
                self._delta.alter.add_columns(Schema.from_arrow(pa.schema(missing)).fields)
            self.refresh()
            before += 1
        if self.version != before:
            raise CommitConflictError(self.spec.name, "it was written to while it was given new columns")

    def _has_landed(self, covers: Mapping[str, int], landed: set[str] | None) -> bool:
        # A commit whose acknowledgement was lost is in the log; committing again would store its rows twice.
        try:
            self.refresh()
            if landed is not None:
                return bool(landed) and landed <= {file.path for file in self.files()}
            return bool(covers) and all(self.covered(app_id) >= version for app_id, version in covers.items())
        except (TableCorruptError, LakeFullError, LakeReadOnlyError):
            return False

    def checkpoint(self) -> None:
        """Writes a checkpoint of this version."""
        with _writing(self.spec, self._storage.address(self._log)):
            self._delta.create_checkpoint()

    def clean_log(self) -> None:
        """Removes log files older than ``log_hours`` that a checkpoint stands in for."""
        # A checkpoint that is not on the disk yet must not be all that is left.
        self.sync()
        with _writing(self.spec, self._storage.address(self._log)):
            self._delta.cleanup_metadata()

    def sync(self) -> None:
        """Returns when this version and every file stored through this handle would survive a power cut.

        The first time that is true of all that this version refers to, whoever wrote it.
        """
        if self._storage.is_local:
            self._unsynced.update(self._unsynced_log())
            if self._inherited:
                self._unsynced.update(self.path(file) for file in self.files())
                self._unsynced.update(entry.path for entry in self._storage.list(f"{self._log}/"))
        self._storage.sync(self._unsynced)
        self._inherited = False
        self._unsynced.clear()
        self._synced_version = self.version

    def _unsynced_log(self) -> Iterator[str]:
        for version in range(self._synced_version + 1, self.version + 1):
            yield f"{self._log}/{version:020d}.json"
            if (version + 1) % CHECKPOINT_EVERY == 0 or version == self.version:
                yield f"{self._log}/{version:020d}.checkpoint.parquet"
        yield f"{self._log}/_last_checkpoint"

    def unreferenced(self, older_than_s: float) -> list[str]:
        """Files below the table that it has not referred to for that long, as paths relative to the table."""
        hours = max(1, round(older_than_s / 3600))
        with _reading(self.spec, self._storage):
            found = self._delta.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True)
        return sorted(found)


def _load(storage: Storage, spec: TableSpec) -> DeltaTable:
    from deltalake import DeltaTable

    return DeltaTable(storage.address(spec.location), storage_options=storage.delta_options)


def _made(storage: Storage, spec: TableSpec) -> DeltaTable:
    from deltalake import DeltaTable

    address = storage.address(spec.location)
    with _writing(spec, address):
        return DeltaTable.create(
            address,
            schema=spec.schema,
            mode="ignore",
            partition_by=["date"],
            name=spec.name,
            configuration={
                "delta.checkpointInterval": str(CHECKPOINT_EVERY),
                "delta.logRetentionDuration": f"interval {spec.log_hours} hours",
                "delta.deletedFileRetentionDuration": f"interval {_TOMBSTONE_DAYS} days",
            },
            storage_options=storage.delta_options,
        )


def _load_if_there(storage: Storage, spec: TableSpec) -> DeltaTable | None:
    from deltalake.exceptions import TableNotFoundError

    try:
        return _load(storage, spec)
    except TableNotFoundError:
        return None


def _with_bounds(row: dict[str, Any]) -> DataFile:
    def named(kind: str) -> dict[str, Any]:
        return {key[4:]: value for key, value in row.items() if key.startswith(kind) and value is not None}

    path, date, size, rows = row["path"], row["partition.date"], row["size_bytes"], row["num_records"]
    return DataFile(path, date, size, rows, named("min."), named("max."))


def _add(file: NewFile, *, data_change: bool) -> Any:
    from deltalake.transaction import AddAction

    partition: dict[str, str | None] = {"date": file.date}
    return AddAction(file.path, file.size, partition, _now_ms(), data_change, file.statistics)


def _remove(file: DataFile, *, data_change: bool) -> Any:
    from deltalake.transaction import RemoveAction

    return RemoveAction(
        path=file.path,
        data_change=data_change,
        partition_values={"date": file.date},
        size=file.size,
        deletion_timestamp=_now_ms(),
    )


def _now_ms() -> int:
    # The Delta protocol wants the system's time here; no behaviour of ours depends on it.
    return round(datetime.now(UTC).timestamp() * 1000)


@contextmanager
def _reading(spec: TableSpec, storage: Storage) -> Iterator[None]:
    from deltalake.exceptions import DeltaError

    address = f"{storage.address(spec.location)}/_delta_log"
    try:
        yield
    except DeltaError as error:
        raise TableCorruptError(spec.name, address, first_line(error)) from error
    except OSError as error:
        raise disk_error(address, str(error)) from error


@contextmanager
def _writing(spec: TableSpec, address: str) -> Iterator[None]:
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError as error:
        raise CommitConflictError(spec.name, first_line(error)) from error
    except (DeltaError, OSError) as error:
        raise disk_error(address, str(error)) from error


def total(files: Iterable[DataFile]) -> tuple[int, int, int]:
    """Number, bytes and rows of data files."""
    listed = list(files)
    return len(listed), sum(file.size for file in listed), sum(file.rows for file in listed)
