"""Rows of external bars through the sink: exactly once, and never behind what other tables say they cover."""

import pyarrow as pa
import pytest

from hosu.collect.sinks import EventBatch
from hosu.errors import LakeUnreachableError
from hosu.lake.delta import Table
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink
from hosu.market.bars import BAR_SCHEMAS, DAILY


def batch(first: int, last: int) -> EventBatch:
    """One bar a record."""
    rows = [
        {"date": "2025-09-15", "wal_id": "w1", "lsn": lsn, "record_no": 0, "symbol": f"{lsn:06}", "scope": "KRX"}
        for lsn in range(first, last + 1)
    ]
    schema = BAR_SCHEMAS[DAILY]
    bars = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
    return EventBatch("w1", first, last, {DAILY: bars})


def stored(lake: Lake) -> list[int]:
    with Session(lake) as session:
        return session.query(f"SELECT lsn FROM {DAILY} ORDER BY ALL").column(0).to_pylist()


def test_bars_written_again_after_a_crash_are_not_stored_twice(lake: Lake) -> None:
    sink = LakeSink(lake)
    sink.write(batch(0, 4))
    sink.flush()  # the bars are committed, and no other table says yet how far it is
    again = LakeSink(lake)
    assert again.resume_after("w1") == -1
    again.write(batch(0, 2))
    again.write(batch(3, 7))
    again.close()
    assert stored(lake) == list(range(8))
    assert LakeSink(lake).resume_after("w1") == 7


def test_no_table_covers_records_whose_bars_are_not_committed(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = LakeSink(lake)
    sink.write(batch(0, 4))
    append = Table.append

    def failing(table: Table, adds, covers):
        if table.spec.name == DAILY:
            raise LakeUnreachableError("there", "gone")
        return append(table, adds, covers)

    monkeypatch.setattr(Table, "append", failing)
    with pytest.raises(LakeUnreachableError):
        sink.close()
    assert LakeSink(lake).resume_after("w1") == -1
    monkeypatch.undo()
    sink.close()
    assert stored(lake) == [0, 1, 2, 3, 4]
    assert LakeSink(lake).resume_after("w1") == 4


def test_a_log_without_bars_makes_no_table_of_bars(lake: Lake) -> None:
    sink = LakeSink(lake)
    sink.write(EventBatch("w1", 0, 9))
    sink.close()
    assert lake.find(DAILY) is None
    assert sink.resume_after("w1") == 9
