"""Builders of what the collector hands to the lake."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hosu.collect.sinks import EventBatch
from hosu.lake.lake import Lake
from hosu.market.events import EVENT_SCHEMAS

sys.path.insert(0, str(Path(__file__).parent))

from archived_log import ArchivedLog

DEFAULTS: dict[str, Any] = {
    "date": "2025-09-15",
    "wal_id": "w1",
    "record_no": 0,
    "scope": "KRX",
    "symbol": "005930",
    "price": 70_000.0,
    "size": 1,
    "source": "ws",
    "reason": "bad",
    "raw": b"x",
}


@pytest.fixture
def batch() -> Callable[..., EventBatch]:
    """``batch(*rows, table=, first=, last=)``: rows need ``lsn`` and what else matters; the rest is filled in."""

    def build(
        *rows: dict[str, Any], table: str = "trades", first: int | None = None, last: int | None = None, wal: str = "w1"
    ) -> EventBatch:
        schema = EVENT_SCHEMAS[table]
        whole = [{**DEFAULTS, "wal_id": wal, "cum_volume": row["lsn"] + 1, **row} for row in rows]
        lsns = [row["lsn"] for row in rows]
        events = pa.RecordBatch.from_pylist(
            [{name: row.get(name) for name in schema.names} for row in whole], schema=schema
        )
        low = min(lsns) if first is None else first
        high = max(lsns) if last is None else last
        return EventBatch(wal, low, high, {table: events} if rows else {}, len(rows))

    return build


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def log(tmp_path: Path) -> ArchivedLog:
    return ArchivedLog(tmp_path / "log")
