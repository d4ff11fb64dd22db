"""Trades, books and polls of one symbol in short, and a store of the ledger that keeps everything in memory."""

from collections.abc import Collection, Mapping
from typing import Any

import pyarrow as pa

from hosu.collect.gaps import Gap
from hosu.collect.ledger_memory import MemoryLedger
from hosu.collect.ledger_rows import Additions
from hosu.collect.ledger_state import Series
from hosu.collect.sinks import EventBatch, SessionNote
from hosu.errors import TableCorruptError
from hosu.market.calendar import instant_us
from hosu.market.events import EVENT_SCHEMAS, in_memory

DAY = "2025-09-15"
OPEN_US = 1_757_894_400_000_000  # 09:00 in Seoul
PRICE = 100


def at(clock: str, day: str = DAY) -> int:
    """UTC microseconds of a time in Seoul."""
    from datetime import date

    hours, minutes, seconds = map(int, clock.split(":"))
    return instant_us(date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


def trade(end: int, size: int, clock: str = "09:00:00", **more: Any) -> dict[str, Any]:
    """A trade of ``size`` shares up to ``end``; all of the day's cost 100. The counts are left out."""
    facts = {
        "cum_volume": end,
        "size": size,
        "price": float(PRICE),
        "cum_value": end * PRICE,
        "side": "buy",
        "ts_event": at(clock),
        "source": "ws",
    }
    return facts | more


def book(volume: int | None, clock: str, **more: Any) -> dict[str, Any]:
    return {"cum_volume": volume, "ts_event": at(clock)} | more


def poll(volume: int | None, **more: Any) -> dict[str, Any]:
    return {"cum_volume": volume, "cum_value": None if volume is None else volume * PRICE} | more


def rows(table: str, *listed: dict[str, Any], first: int = 0, wal: str = "w1") -> pa.RecordBatch:
    """Rows of a table as the decoder gives them, one a log record from ``first`` on."""
    filled = [
        {
            "date": DAY,
            "wal_id": wal,
            "lsn": first + i,
            "record_no": 0,
            "scope": "KRX",
            "symbol": "005930",
            "ts_recv": OPEN_US + (first + i) * 1_000_000,
            **row,
        }
        for i, row in enumerate(listed)
    ]
    schema = EVENT_SCHEMAS[table]
    return pa.RecordBatch.from_pylist([{n: row.get(n) for n in schema.names} for row in filled], schema=schema).cast(
        in_memory(schema)
    )


def events(
    *items: tuple[str, dict[str, Any]], first: int = 0, wal: str = "w1", follows: int | None = None
) -> EventBatch:
    """One log record an item: (table, row), ("session", event) or ("clock", {"us": what the broker's clock says})."""
    tables: dict[str, list[pa.RecordBatch]] = {}
    sessions, clock = [], []
    for lsn, (table, row) in enumerate(items, first):
        if table == "session":
            sessions.append(SessionNote(lsn, OPEN_US + lsn * 1_000_000, 1, row))
        elif table == "clock":
            clock.append((lsn, row["us"]))
        else:
            tables.setdefault(table, []).append(rows(table, row, first=lsn, wal=wal))
    joined = {
        name: pa.Table.from_batches(parts).unify_dictionaries().combine_chunks().to_batches()[0]
        for name, parts in tables.items()
    }
    last = first + len(items) - 1
    return EventBatch(wal, first, last, joined, follows=follows, sessions=tuple(sessions), broker_clock=tuple(clock))


class MemoryLedgerStore(MemoryLedger):
    """Outlives the sinks that write to it. ``fail_after`` tables of the next ``add`` it raises ``broken``. Tables in
    ``damaged`` cannot be read of those dates."""

    def __init__(self) -> None:
        super().__init__()
        self.synced = 0
        self.fail_after: int | None = None
        self.broken: Exception = RuntimeError("killed")
        self.damaged: dict[str, set[str]] = {}

    def _read(self, table: str, dates: Collection[str]) -> None:
        for date in sorted(self.damaged.get(table, set()) & set(dates)):
            raise TableCorruptError(table, f"{table}/date={date}/x.parquet", "is missing")

    def gaps(self, dates: Collection[str]) -> Mapping[Series, list[Gap]]:
        self._read("gaps", dates)
        return super().gaps(dates)

    def coverage(self, dates: Collection[str]) -> Mapping[Series, Mapping[str, Any]]:
        self._read("coverage_days", dates)
        return super().coverage(dates)

    def events(self, dates: Collection[str]) -> list[dict[str, Any]]:
        self._read("gap_events", dates)
        return super().events(dates)

    def add(self, rows: Additions, wal_id: str | None, lsn: int | None) -> None:
        parts = [Additions(events=rows.events), Additions(gaps=rows.gaps), Additions(coverage=rows.coverage)]
        for number, part in enumerate(parts):
            if self.fail_after == number:
                self.fail_after = None
                raise self.broken
            if part:
                super().add(part, wal_id, lsn)

    def sync(self) -> None:
        self.synced += 1

    # --- what tests ask ---------------------------------------------------------------------------------------

    def open_gaps(self) -> list[Gap]:
        found = [gap for gaps in self.gaps([DAY, "2025-09-16"]).values() for gap in gaps if gap.open]
        return sorted(found, key=lambda gap: (gap.date, gap.symbol, gap.from_volume))

    def holes(self) -> list[tuple[int, int]]:
        return [(gap.from_volume, gap.to_volume) for gap in self.open_gaps()]

    def day(self, symbol: str = "005930", scope: str = "KRX", date: str = DAY) -> Mapping[str, Any]:
        return self.coverage([date])[date, scope, symbol]

    def told(self) -> list[tuple[str, int, int, int]]:
        return [(row["event"], row["from_volume"], row["to_volume"], row["shares"]) for row in self.event_rows]
