"""SQL over the lake with DuckDB, in process and read-only. The only door to duckdb."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import pyarrow as pa

from hosu.errors import LakeFullError, QueryError, TableCorruptError
from hosu.lake.storage import first_line
from hosu.lake.tables import TABLES
from hosu.lake.views import VIEWS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from duckdb import DuckDBPyConnection

    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake
    from hosu.lake.storage import Storage
    from hosu.lake.tables import TableSpec

BATCH_ROWS: Final = 65_536

_DAMAGED: Final = "damaged_"
_REFUSED: Final = re.compile(rf"Table with name {_DAMAGED}(\w+) does not exist")
_MISSING: Final = re.compile(r'No files found that match the pattern "(.+)"')
_NO_DAMAGE: Final = ("Too many open files", "Permission denied", "Out of Memory")


@dataclass(frozen=True, slots=True)
class SqlConfig:
    """How much a query may take. ``temp_dir`` None is the system's; ``threads`` None is one a core."""

    memory_mib: int = 1024
    temp_dir: str | None = None
    threads: int | None = None


class Session:
    """The lake as it is at this moment: every table and view, under its name.

    Only queries are run: nothing can be written or attached, no file outside of the lake can be read, no setting
    changed. Queries that need more memory than allowed go on in files under the temporary folder, which is removed
    on ``close``. For one thread at a time.

    A table with damaged data files can be asked as far as they are not met. One of whose files one is missing, or none
    can be read, or whose log is damaged, cannot be asked at all: a query that names it, or a view over it, is refused
    whatever else it says. No other query is.
    """

    def __init__(self, lake: Lake, config: SqlConfig | None = None) -> None:
        settings = config or SqlConfig()
        self._temp = tempfile.TemporaryDirectory(prefix="hosu-sql-", dir=settings.temp_dir)
        self._duck = connect(settings, self._temp.name)
        self._refused: dict[str, TableCorruptError] = {}
        self._shown: dict[str, list[str]] = {}
        try:
            for name in TABLES:
                self._register(lake, name)
            for name, sql in VIEWS.items():
                self._duck.execute(f"CREATE VIEW {name} AS {sql}")
            for name in self._refused:
                self._duck.unregister(f"{_DAMAGED}{name}")
            self._confine(lake.storage)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the session; results that were not read to their end are lost."""
        self._duck.close()
        self._temp.cleanup()

    def interrupt(self) -> None:
        """Ends the query that runs in another thread; there it raises QueryError."""
        self._duck.interrupt()

    @property
    def names(self) -> list[str]:
        """The tables and views."""
        return [*TABLES, *VIEWS]

    def query(self, sql: str) -> pa.Table:
        """The result of one query as a whole; times are UTC.

        Raises:
            QueryError: DuckDB refused it (its message), or it is not one query.
            TableCorruptError: a table that it needs is damaged.
        """
        with self._in_our_words():
            self._require_query(sql)
            return self._duck.sql(sql).to_arrow_table()

    def reader(self, sql: str, batch_rows: int = BATCH_ROWS) -> pa.RecordBatchReader:
        """The result of one query, batch by batch; read it to its end before the next query. Raises as ``query``, also
        while it is read."""
        with self._in_our_words():
            self._require_query(sql)
            found = self._duck.sql(sql).to_arrow_reader(batch_rows)
        return pa.RecordBatchReader.from_batches(found.schema, self._read(found))

    def _register(self, lake: Lake, name: str) -> None:
        """Lets a table's name stand for what it holds. One that is damaged must not keep others from being asked."""
        spec, storage = lake.spec(name), lake.storage
        try:
            table = lake.find(name)
            files = [] if table is None else table.files()
            if table is None or not files:
                self._duck.register(name, spec.schema.empty_table())
            elif not storage.is_local:
                self._duck.register(name, table.dataset().replace_schema(spec.schema))
            else:
                self._show(storage, table, files)
        except TableCorruptError as error:
            self._refuse(spec, error)

    def _show(self, storage: Storage, table: Table, files: list[DataFile]) -> None:
        try:
            self._scan(storage, table, files)
        except TableCorruptError:
            # The first file tells the columns, so let a sound one be first; the damaged one is met where it is read.
            sound = next((file for file in files if _has_columns(storage, table, file)), None)
            if sound is None or table.spec.added:  # where columns were added later, every file tells its own
                raise
            self._scan(storage, table, [sound, *(file for file in files if file is not sound)])
        self._shown[table.spec.name] = [storage.address(table.path(file)) for file in files]

    def _scan(self, storage: Storage, table: Table, files: list[DataFile]) -> None:
        with _as_table_error(table, self._temp.name):
            scan = _scan(storage, table, files, table.spec.schema.names)
            self._duck.execute(f"CREATE VIEW {table.spec.name} AS {scan}")

    def _refuse(self, spec: TableSpec, error: TableCorruptError) -> None:
        """Lets a table's name stand for one that will be gone: whoever names it, or a view over it, meets that.

        A view that raises would not do: DuckDB drops what it takes for rows that no condition lets through.
        """
        self._refused[spec.name] = error
        self._duck.register(f"{_DAMAGED}{spec.name}", spec.schema.empty_table())
        self._duck.execute(f"CREATE VIEW {spec.name} AS SELECT * FROM {_DAMAGED}{spec.name}")  # noqa: S608  our names

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            raise self._damage(first_line(error)) or QueryError(str(error)) from error

    def _damage(self, fault: str) -> TableCorruptError | None:
        """The damage that what DuckDB says comes from; None where it is something else."""
        refused = _REFUSED.search(fault)
        if refused is not None and refused[1] in self._refused:
            known = self._refused[refused[1]]
            return TableCorruptError(known.table, known.path, known.fault)
        if any(cause in fault for cause in _NO_DAMAGE):
            return None
        for name, addresses in self._shown.items():
            path = next((each for each in addresses if each in fault), None)
            if path is not None:
                return TableCorruptError(name, path, _fault_in(fault))
        return None

    def _read(self, found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        with self._in_our_words():
            yield from _read(found)

    def _confine(self, storage: Storage) -> None:
        if storage.is_local:
            # The tables' folders and no more: the collector's state may stand below the same root.
            folders = ", ".join(_literal(storage.address(spec.location)) for spec in TABLES.values())
            self._duck.execute(f"SET allowed_directories = [{folders}]")
        self._duck.execute("SET enable_external_access = false")
        self._duck.execute("SET lock_configuration = true")

    def _require_query(self, sql: str) -> None:
        import duckdb

        if any("\ud800" <= letter <= "\udfff" for letter in sql):
            raise QueryError("the query is not Unicode text (it holds half a letter)")
        kinds = [statement.type for statement in self._duck.extract_statements(sql)]
        if kinds == [duckdb.StatementType.EXPLAIN]:
            # EXPLAIN ANALYZE runs what it explains, so that must be a query too.
            inner = re.sub(r"^\s*explain\s+(analyze\s+|\([^)]*\)\s*)?", "", sql, count=1, flags=re.IGNORECASE)
            kinds = [statement.type for statement in self._duck.extract_statements(inner)]
        if len(kinds) != 1:
            raise QueryError(f"that is {len(kinds) or 'no'} statements; one query is run at a time")
        if kinds != [duckdb.StatementType.SELECT]:
            raise QueryError(
                "SQL changes nothing in the lake: what is run is a query "
                "(SELECT, WITH, FROM, DESCRIBE, SUMMARIZE, SHOW, EXPLAIN)"
            )


def connect(config: SqlConfig, temp_dir: str) -> DuckDBPyConnection:
    """A DuckDB of its own in memory, bounded by ``config``, that downloads nothing."""
    import duckdb

    settings: dict[str, Any] = {
        "memory_limit": f"{config.memory_mib}MiB",
        "temp_directory": temp_dir,
        "threads": config.threads if config.threads is not None else os.cpu_count() or 1,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        # Else a table name that is unknown to us would be looked up among the caller's Python variables.
        "python_enable_replacements": False,
    }
    duck = duckdb.connect(":memory:", config=settings)
    duck.execute("SET TimeZone = 'UTC'")
    return duck


def sorted_batches(
    storage: Storage,
    table: Table,
    files: Sequence[DataFile],
    *,
    columns: Sequence[str],
    order: Sequence[str],
    config: SqlConfig,
) -> Iterator[pa.RecordBatch]:
    """The rows of ``files`` in ``order``, sorted within ``config.memory_mib`` and, beyond it, on disk. What is ordered
    by need not be among the columns."""
    with _rows_of(storage, table, files, list(dict.fromkeys([*columns, *order])), config) as duck:
        chosen, by = (", ".join(f'"{name}"' for name in names) for names in (columns, order))
        ordered = f"SELECT {chosen} FROM rows ORDER BY {by}"  # noqa: S608 - our own columns
        yield from _read(duck.sql(ordered).to_arrow_reader(BATCH_ROWS))


class FileQueries:
    """Queries over data files of any table, in one DuckDB that ends with the context. For one thread."""

    def __init__(self, storage: Storage, config: SqlConfig) -> None:
        self._storage, self._config = storage, config
        self._held = ExitStack()
        self._duck: DuckDBPyConnection | None = None
        self._temp = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_error: object) -> None:
        self._duck = None
        self._held.close()

    def ask(
        self,
        table: Table,
        files: Sequence[DataFile],
        sql: str,
        *,
        beside: Mapping[str, pa.Table | Path] | None = None,
    ) -> list[dict[str, Any]]:
        """The result, as dicts, of a query over just these files, which it calls ``rows``.

        Args:
            table: whose files they are.
            files: any of its data files.
            sql: our own.
            beside: further tables by name, in memory or as Parquet files of our own.

        Raises:
            TableCorruptError: a file is damaged.
        """
        duck = self._open()
        with _as_table_error(table, self._temp):
            _show_rows(duck, self._storage, table, files, table.spec.schema.names)
            for name, source in (beside or {}).items():
                if isinstance(source, pa.Table):
                    duck.register(name, source)
                else:
                    read = f"SELECT * FROM read_parquet({_literal(str(source))})"  # noqa: S608 - our own file
                    duck.execute(f"CREATE OR REPLACE VIEW {name} AS {read}")
            return list(duck.sql(sql).to_arrow_table().to_pylist())

    def _open(self) -> DuckDBPyConnection:
        if self._duck is None:
            temp = tempfile.TemporaryDirectory(prefix="hosu-sql-", dir=self._config.temp_dir)
            self._temp = self._held.enter_context(temp)
            self._duck = connect(self._config, self._temp)
            self._held.callback(self._duck.close)
        return self._duck


def query_files(
    storage: Storage, table: Table, files: Sequence[DataFile], sql: str, *, config: SqlConfig
) -> list[dict[str, Any]]:
    """One query of ``FileQueries``."""
    with FileQueries(storage, config) as queries:
        return queries.ask(table, files, sql)


def combine(
    storage: Storage,
    sql: str,
    *,
    files: Mapping[str, tuple[Table, Sequence[DataFile]]],
    beside: Mapping[str, pa.Table],
    config: SqlConfig,
) -> pa.Table:
    """The result of a query over parts of tables and tables in memory, which it calls by these names.

    Args:
        files: tables of the lake, and which of their files.
        beside: tables in memory.
    """
    with _parts_by_name(storage, files, beside, config) as duck:
        return duck.sql(sql).to_arrow_table()


def combined_batches(
    storage: Storage,
    sql: str,
    *,
    files: Mapping[str, tuple[Table, Sequence[DataFile]]],
    beside: Mapping[str, pa.Table],
    config: SqlConfig,
) -> Iterator[pa.RecordBatch]:
    """The result of ``combine``, batch by batch; a sort that needs more than ``config.memory_mib`` goes on on disk."""
    with _parts_by_name(storage, files, beside, config) as duck:
        yield from _read(duck.sql(sql).to_arrow_reader(BATCH_ROWS))


@contextmanager
def _parts_by_name(
    storage: Storage,
    files: Mapping[str, tuple[Table, Sequence[DataFile]]],
    beside: Mapping[str, pa.Table],
    config: SqlConfig,
) -> Iterator[DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="hosu-sql-", dir=config.temp_dir) as temp:
        duck = connect(config, temp)
        try:
            for name, (table, chosen) in files.items():
                if not chosen:
                    duck.register(name, table.spec.schema.empty_table())
                elif not storage.is_local:
                    duck.register(name, _dataset(table, chosen).replace_schema(table.spec.schema))
                else:
                    with _as_table_error(table, temp):
                        scan = _scan(storage, table, chosen, table.spec.schema.names)
                        duck.execute(f"CREATE VIEW {name} AS {scan}")
            for name, rows in beside.items():
                duck.register(name, rows)
            with _as_combine_error(temp, storage, [table for table, _ in files.values()]):
                yield duck
        finally:
            duck.close()


@contextmanager
def _as_combine_error(temp: str, storage: Storage, tables: Sequence[Table]) -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        whole = str(error)
        fault = whole.splitlines()[0]
        if "No space left" in fault:
            raise LakeFullError(temp) from error
        if isinstance(error, duckdb.OutOfMemoryException) or fault.startswith("Out of Memory"):
            raise QueryError(fault) from error
        # Only the message says in which of the files it was.
        for table in tables:
            if f"{storage.address(table.spec.location)}/" in whole:
                raise TableCorruptError(table.spec.name, table.spec.location, _fault_in(fault)) from error

        raise QueryError(f"{fault}\n`hosu lake verify` tells whether a file of the lake is damaged") from error


@contextmanager
def _rows_of(
    storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str], config: SqlConfig
) -> Iterator[DuckDBPyConnection]:
    with tempfile.TemporaryDirectory(prefix="hosu-sql-", dir=config.temp_dir) as temp, _as_table_error(table, temp):
        duck = connect(config, temp)
        try:
            _show_rows(duck, storage, table, files, columns)
            yield duck
        finally:
            duck.close()


def _show_rows(
    duck: DuckDBPyConnection, storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str]
) -> None:
    """Lets ``rows`` stand for these files, whatever it stood for before."""
    duck.execute("DROP VIEW IF EXISTS rows")
    if not files:
        duck.register("rows", _part(table.spec.schema, columns).empty_table())
    elif storage.is_local:
        duck.execute(f"CREATE VIEW rows AS {_scan(storage, table, files, columns)}")
    else:
        duck.register("rows", _dataset(table, files).replace_schema(_part(table.spec.schema, columns)))


def _part(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    return pa.schema([schema.field(name) for name in columns])


def _scan(storage: Storage, table: Table, files: Sequence[DataFile], columns: Sequence[str]) -> str:
    names = ", ".join(_literal(storage.address(table.path(file))) for file in files)
    chosen = ", ".join(f'"{name}"' for name in columns)
    # Without the type DuckDB would take the partition for a DATE.
    partition = "hive_partitioning = true, hive_types = {'date': VARCHAR}"
    added = [name for name in columns if name in table.spec.added]
    if not added:
        return f"SELECT {chosen} FROM read_parquet([{names}], {partition})"  # noqa: S608 - quoted above
    # Files of earlier versions lack these columns, perhaps all files do.
    kinds = {"string": "VARCHAR", "double": "DOUBLE"}
    nulls = ", ".join(f'NULL::{kinds[str(table.spec.schema.field(name).type)]} AS "{name}"' for name in added)
    whole = f"SELECT * FROM read_parquet([{names}], union_by_name = true, {partition})"  # noqa: S608 - quoted above
    return f"SELECT {chosen} FROM ({whole} UNION ALL BY NAME SELECT {nulls} WHERE false)"  # noqa: S608 - quoted above


def _dataset(table: Table, files: Sequence[DataFile]) -> Any:
    import pyarrow.dataset as ds

    chosen = {file.path for file in files}
    whole = table.dataset()
    fragments = [part for part in whole.get_fragments() if part.path.lstrip("/") in chosen]
    return ds.FileSystemDataset(fragments, table.spec.schema, whole.format, whole.filesystem)


def _has_columns(storage: Storage, table: Table, file: DataFile) -> bool:
    import pyarrow.parquet as pq

    try:
        pq.read_schema(storage.address(table.path(file)))
    except (OSError, pa.ArrowException):
        return False
    return True


def _literal(text: str) -> str:
    quoted = text.replace("'", "''")
    return f"'{quoted}'"


def _read(found: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    """What DuckDB finds wrong behind the first batch comes through Arrow's stream: its words in an error of Arrow's."""
    import duckdb

    try:
        yield from found
    except (OSError, pa.ArrowException) as error:
        raise duckdb.Error(str(error)) from error


@contextmanager
def _as_table_error(table: Table, temp: str) -> Iterator[None]:
    # The queries here are our own, so what fails is a file, the disk or the memory.
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        fault = str(error).splitlines()[0]
        if isinstance(error, duckdb.OutOfMemoryException) or fault.startswith("Out of Memory"):
            raise QueryError(str(error)) from error
        if "No space left" in fault:
            raise LakeFullError(temp) from error
        raise TableCorruptError(table.spec.name, table.spec.location, _fault_in(fault)) from error


def _fault_in(fault: str) -> str:
    """What is wrong with a file, of what DuckDB says."""
    missing = _MISSING.search(fault)
    return fault if missing is None else f"the file {missing[1]} is missing"
