"""Batches of a log out of the kernel's events, as the decoder would make them; and a table of served seconds."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from hosu.collect.sinks import EventBatch
from hosu.features import book_kernel as kernel
from hosu.features.served_seconds import ClosedSeconds
from hosu.market.events import EVENT_SCHEMAS, in_memory

_SIDES = {1: "buy", -1: "sell", 0: None}
_CODES = {kernel.CONTINUOUS: "20", kernel.AUCTION: "20", kernel.BESIDE: "22"}


def batch_of(items: Sequence[tuple[str, list[int]] | int], first: int, day: str, wal: str = "w1") -> EventBatch:
    """One record an item: an event of a symbol, or the UTC microseconds up to which minutes are closed."""
    last = first + len(items) - 1
    rows: dict[str, list[dict[str, Any]]] = {"quotes": [], "trades": []}
    for lsn, item in enumerate(items, first):
        if isinstance(item, tuple):
            symbol, event = item
            where = {"date": day, "wal_id": wal, "lsn": lsn, "record_no": 0, "scope": "KRX", "symbol": symbol}
            at = event[kernel.SECOND] * 1_000_000
            name = "quotes" if event[kernel.KIND] == kernel.QUOTE else "trades"
            told = _quote(event) if name == "quotes" else _trade(event)
            rows[name].append({**where, "ts_event": at, "ts_recv": at, **told})
    closes = tuple((lsn, item) for lsn, item in enumerate(items, first) if isinstance(item, int))
    return EventBatch(
        wal, first, last, {name: _batch(name, each) for name, each in rows.items() if each}, 1, bar_closes=closes
    )


def _batch(name: str, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = EVENT_SCHEMAS[name]
    whole = [{column: row.get(column) for column in schema.names} for row in rows]
    return pa.RecordBatch.from_pylist(whole, schema=schema).cast(in_memory(schema))


def _quote(event: list[int]) -> dict[str, Any]:
    """One level a side, and the rest of the five levels' shares on a second."""
    bid, ask, bid_size, ask_size, bid_5, ask_5 = event[kernel.BID : kernel.ASK_5 + 1]
    return {
        "bid_prices": [bid / 100, 1.0],
        "ask_prices": [ask / 100, 1.0],
        "bid_sizes": [bid_size, bid_5 - (bid_size if bid else 0)],
        "ask_sizes": [ask_size, ask_5 - (ask_size if ask else 0)],
        "hour_code": "0" if event[kernel.MODE] == kernel.CONTINUOUS else "A",
    }


def _trade(event: list[int]) -> dict[str, Any]:
    price, size, side, cum = event[kernel.PRICE : kernel.CUM_VOLUME + 1]
    return {
        "price": price / 100,
        "size": size,
        "side": _SIDES[side],
        "cum_volume": cum,
        "mkop_code": _CODES[event[kernel.MODE]],
        "hour_code": "A" if event[kernel.MODE] == kernel.AUCTION else "0",
        "source": "ws",
    }


class MemoryRows:
    """Keeps rows; outlives the sinks that write to it."""

    def __init__(self) -> None:
        self.made: list[ClosedSeconds] = []
        self.numbers: dict[str, int] = {}

    def covered(self, wal_id: str) -> int:
        return self.numbers.get(wal_id, -1)

    def add(self, made: Sequence[ClosedSeconds], wal_id: str, lsn: int) -> int:
        self.made.extend(made)
        self.numbers[wal_id] = lsn
        return 0

    def sync(self) -> None:
        pass
