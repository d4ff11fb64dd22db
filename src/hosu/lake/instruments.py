"""The universe of instruments as of a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from hosu.errors import InputError
from hosu.lake.derived import replace_date

if TYPE_CHECKING:
    from hosu.lake.lake import Lake


def write_universe(lake: Lake, date: str, rows: pa.Table) -> int:
    """Keeps ``rows`` as the universe of ``date`` (``YYYY-MM-DD``), in place of an earlier one of that date.

    Columns are those of the table ``instruments``; a missing one becomes null, ``date`` is ignored. Returns the
    number of instruments.

    Raises:
        InputError: a column the table does not have, no rows, or a symbol twice.
    """
    schema = lake.spec("instruments").file_schema
    unknown = sorted(set(rows.column_names) - {*schema.names, "date"})
    if unknown:
        raise InputError("universe", f"has unknown columns {', '.join(unknown)}", "leave them out")
    symbols = rows.column("symbol")
    if not rows.num_rows or symbols.null_count or len(symbols.unique()) != rows.num_rows:
        raise InputError("universe", "is empty, or names a symbol twice or not at all", "fetch the master files again")
    columns = [
        rows.column(field.name).cast(field.type) if field.name in rows.column_names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    replace_date(lake, "instruments", date, pa.table(columns, schema=schema).sort_by("symbol"))
    return int(rows.num_rows)


def universe(lake: Lake, date: str) -> pa.Table:
    """The instruments as of ``date``: the universe of the latest day at or before it, with that day as ``date``.

    Empty when none is that old.
    """
    spec = lake.spec("instruments")
    table = lake.find("instruments")
    known = [] if table is None else [day for day in table.dates() if day <= date]
    if table is None or not known:
        return spec.schema.empty_table()
    import pyarrow.compute as pc

    return table.dataset().to_table(filter=pc.field("date") == known[-1]).select(spec.schema.names).cast(spec.schema)


def universe_dates(lake: Lake) -> list[str]:
    """The days that have a universe, oldest first."""
    table = lake.find("instruments")
    return [] if table is None else table.dates()
