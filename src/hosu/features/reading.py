"""Rows of one date of a table of the lake, and of what several logs have told the one that counts."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow.dataset as ds

from hosu.lake.reading import reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa
    import pyarrow.compute as pc

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
    with reading(table, f"date={date}", lambda: whole.get_fragments(filter=ds.field("date") == date)):
        yield


def first_made(key: str, made: str, rows: str = "") -> str:
    """SQL of whether a row counts where several logs have told of the same: of one key the first made, of the same
    time that of the first log by name.

    Args:
        key: the columns that tell what the rows are of, as SQL.
        made: the column of when a row was made; a row without stands before those with it.
        rows: how the query calls the rows, with a dot; empty for by their columns alone.
    """
    return f"row_number() OVER (PARTITION BY {key} ORDER BY {made} NULLS FIRST, {rows}wal_id, {rows}lsn) = 1"
