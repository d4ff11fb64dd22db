"""Rows of one date of a table of the lake, and of what several logs have told the one that counts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds

from hosu.errors import LakeUnreachableError, TableCorruptError
from hosu.lake.storage import disk_error, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow.compute as pc

    from hosu.errors import LakeError
    from hosu.lake.delta import Table


def rows_of_date(
    table: Table, date: str, where: pc.Expression | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of a date for which ``where`` holds, in no particular order.

    Only the date is asked of the dataset: of a column that a table keeps no statistics of, its files are said to hold
    nothing but nulls, and a filter by it finds nothing (deltalake 1.6.6).

    Args:
        table: at the version at which it is read.
        date: business date, ``YYYY-MM-DD``.
        where: over any of ``columns``; None for all rows.
        columns: those that are read and given back; None for all.

    Raises:
        TableCorruptError: a file of the date is damaged or gone.
        LakeUnreachableError: a file cannot be read now, and may be the next time.
    """
    whole = table.dataset()
    with reading_date(table, whole, date):
        rows = whole.to_table(
            columns=None if columns is None else list(dict.fromkeys(columns)), filter=ds.field("date") == date
        )
    return rows if where is None else rows.filter(where)


@contextmanager
def reading_date(table: Table, whole: ds.Dataset, date: str) -> Iterator[None]:
    """Turns what pyarrow says of the files of a date into our errors, which name the one at fault.

    Args:
        table: whose they are.
        whole: the table's dataset.
        date: business date, ``YYYY-MM-DD``.
    """
    try:
        yield
    except MemoryError:  # pyarrow's is an ArrowException too
        raise
    except (OSError, pa.ArrowException) as error:
        raise _fault(table, whole, date, error) from error


def _fault(table: Table, whole: ds.Dataset, date: str, error: OSError | pa.ArrowException) -> LakeError:
    found = _unreadable(whole, date)
    if found is None:  # it was over by the second look
        return LakeUnreachableError(table.path(f"date={date}"), first_line(error))
    path, again = table.path(found[0]), found[1]
    cause = first_line(again)
    if not table.is_local:  # a store keeps an object whole or not at all: it is the way there
        return LakeUnreachableError(path, cause)
    may_pass = isinstance(again, OSError) and again.errno and disk_error(path, f"[Errno {again.errno}]").retryable
    return LakeUnreachableError(path, cause) if may_pass else TableCorruptError(table.spec.name, path, cause)


def _unreadable(whole: ds.Dataset, date: str) -> tuple[str, OSError | pa.ArrowException] | None:
    """The first file of the date that cannot be read, and why, since pyarrow seldom names it; None where all can."""
    for part in whole.get_fragments(filter=ds.field("date") == date):
        try:
            part.to_table()
        except MemoryError:
            raise
        except (OSError, pa.ArrowException) as error:
            return part.path.lstrip("/"), error
    return None


def first_made(key: str, made: str, rows: str = "") -> str:
    """SQL of whether a row counts where several logs have told of the same: of one key the first made, of the same
    time that of the first log by name.

    Args:
        key: the columns that tell what the rows are of, as SQL.
        made: the column of when a row was made; a row without stands before those with it.
        rows: how the query calls the rows, with a dot; empty for by their columns alone.
    """
    return f"row_number() OVER (PARTITION BY {key} ORDER BY {made} NULLS FIRST, {rows}wal_id, {rows}lsn) = 1"
