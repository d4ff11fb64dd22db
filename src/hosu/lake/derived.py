"""Derived tables: a date is replaced as a whole by the one owner of the table."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from hosu.lake.lease import maintenance
from hosu.lake.parquet import encode, sorted_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from hosu.clock import Clock
    from hosu.lake.lake import Lake


def replace_date(
    lake: Lake,
    name: str,
    date: str,
    rows: pa.Table,
    *,
    clock: Clock | None = None,
    covers: Mapping[str, int] | None = None,
) -> None:
    """Puts ``rows``, sorted and without ``date``, in place of all that the table holds of ``date``, atomically.

    Readers see the old rows or the new ones. On return the new ones would survive a power cut.

    Args:
        covers: numbers to keep with the commit, by application id.

    Raises:
        LockedError: somebody else is replacing or compacting this table now.
        CommitConflictError: somebody else did so meanwhile; nothing was changed.
    """
    table = lake.table(name)
    with maintenance(lake.storage, name, clock):
        table.refresh()
        removes = table.files(date)
        adds = [table.store(date, sorted_name(uuid.uuid4().hex, 0), encode(table.spec, rows, level=3))]
        table.sync()
        table.rewrite(removes, adds if rows.num_rows else [], data_change=True, covers=covers)
        table.sync()
