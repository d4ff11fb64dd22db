"""Arrow batches of what is not decoded in columns: quarantine and snapshots; and batches of one table made one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from hosu.collect.dates import day_text
from hosu.market.bars import BAR_SCHEMAS
from hosu.market.events import EVENT_SCHEMAS, in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.collect.block import Block
    from hosu.collect.dates import Ints
    from hosu.kis.records import Reject

_SCHEMAS: Final = {name: in_memory(EVENT_SCHEMAS[name]) for name in ("quarantine", "snapshots")} | {
    name: in_memory(schema) for name, schema in BAR_SCHEMAS.items()
}


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record (or with ``record_no`` None a whole frame or reply) that could not be filed, and where it was."""

    place: int
    record_no: int | None
    tr_id: str
    symbol: str | None
    reason: str
    layout: str
    raw: bytes

    @classmethod
    def of_reject(cls, place: int, reject: Reject) -> Quarantined:
        return cls(place, reject.record_no, reject.tr_id, reject.symbol, reject.reason, reject.layout, reject.raw)


def quarantine_batch(block: Block, dates: Ints, quarantined: Sequence[Quarantined]) -> pa.RecordBatch:
    """Rows of the table ``quarantine``, in log order."""
    ordered = sorted(quarantined, key=lambda each: (each.place, each.record_no or 0))
    rows = [
        {
            **_origin(block, dates, each.place, each.record_no),
            "tr_id": each.tr_id or None,
            "symbol": each.symbol,
            "reason": each.reason,
            "layout": each.layout or None,
            "raw": each.raw,
        }
        for each in ordered
    ]
    return _batch("quarantine", rows)


def snapshot_batch(block: Block, dates: Ints, snapshots: Sequence[tuple[int, list[dict[str, Any]]]]) -> pa.RecordBatch:
    """Rows of the table ``snapshots``; ``record_no`` counts the symbols of one reply."""
    rows = [
        {**row, **_origin(block, dates, place, number)}
        for place, replied in snapshots
        for number, row in enumerate(replied)
    ]
    return _batch("snapshots", rows)


def bar_batch(block: Block, table: str, charts: Sequence[tuple[int, list[dict[str, Any]]]]) -> pa.RecordBatch:
    """Rows of a table of external bars, which carry their own dates; ``record_no`` counts the bars of one reply."""
    rows = []
    for place, replied in charts:
        received_us = int(block.ts_recv_us[place])
        origin = {"wal_id": block.wal_id, "lsn": int(block.lsn[place])}
        stamps = {"fetched_at": received_us, "revision": received_us}
        rows += [{**row, **origin, **stamps, "record_no": number} for number, row in enumerate(replied)]
    return _batch(table, rows)


def misfit(table: str, rows: list[dict[str, Any]]) -> str | None:
    """Why these rows do not fit the table's types; None if they do. Asked before they are taken, because what a log
    record holds must never stop whoever reads the log."""
    try:
        for column in _SCHEMAS[table]:
            pa.array([row.get(column.name) for row in rows], column.type)
    except (ArithmeticError, TypeError, ValueError, pa.ArrowException) as error:
        return f"{column.name} does not fit ({type(error).__name__})"
    return None


def _origin(block: Block, dates: Ints, place: int, record_no: int | None) -> dict[str, Any]:
    return {
        "date": day_text(int(dates[place])),
        "wal_id": block.wal_id,
        "lsn": int(block.lsn[place]),
        "record_no": record_no,
        "ts_recv": int(block.ts_recv_us[place]),
    }


def _batch(table: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = _SCHEMAS[table]
    arrays = [pa.array([row.get(column.name) for row in rows], column.type) for column in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def in_log_order(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of all rows of one table, in the order (lsn, record_no). ``batches`` must not be empty; each is in
    that order by itself, and no log record has rows in two of them."""
    filled = [batch for batch in batches if len(batch)]
    if len(filled) <= 1:
        return filled[0] if filled else batches[0]
    table = pa.Table.from_batches(filled).unify_dictionaries().combine_chunks()
    lsn = table.column("lsn").to_numpy()
    if (lsn[1:] < lsn[:-1]).any():
        table = table.take(pa.array(np.argsort(lsn, kind="stable")))
    (batch,) = table.combine_chunks().to_batches()
    return batch
