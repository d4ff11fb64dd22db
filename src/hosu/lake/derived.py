"""Derived tables: a date is replaced as a whole by the one owner of the table."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from hosu.lake.lease import maintenance
from hosu.lake.parquet import encode, sorted_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from hosu.clock import Clock
    from hosu.lake.delta import DataFile
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
    """Puts ``rows`` in the place of all that the table holds of ``date``; see ``replace_dates``."""
    replace_dates(lake, name, {date: rows}.items(), clock=clock, covers=covers)


def replace_dates(
    lake: Lake,
    name: str,
    rows_by_date: Iterable[tuple[str, pa.Table]],
    *,
    clock: Clock | None = None,
    covers: Mapping[str, int] | None = None,
) -> None:
    """Puts rows, sorted and without ``date``, in place of all that the table holds of their dates, in one commit.

    Readers see the old rows or the new ones. On return the new ones would survive a power cut.

    Args:
        rows_by_date: each date once; taken one by one, so they need not all be in memory.
        covers: numbers to keep with the commit, by application id.

    Raises:
        LockedError: somebody else is replacing or compacting this table now.
        CommitConflictError: somebody else did so meanwhile; nothing was changed.
    """
    table = lake.table(name)
    with maintenance(lake.storage, name, clock) as lease:
        table.refresh()
        present: dict[str, list[DataFile]] = {}
        for file in table.files():
            present.setdefault(file.date, []).append(file)
        removes, adds = [], []
        for date, rows in rows_by_date:
            removes += present.get(date, [])
            stored = table.store(date, sorted_name(uuid.uuid4().hex, 0), encode(table.spec, rows, level=3))
            adds += [stored] if rows.num_rows else []
            lease.renew()
        table.sync()
        table.rewrite(removes, adds, data_change=True, covers=covers)
        table.sync()
