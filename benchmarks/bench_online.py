"""How long does a minute's close take over all symbols of the market, from the record that says so to the features?

Every symbol has a minute; they are closed together and the kernel is stepped over each. Beside it what the stream costs
between closes, and what is done once a minute after the features are out: rows of the table, and what a restart goes on
from.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hosu.collect.sinks import EventBatch
from hosu.features.grid import window_of
from hosu.features.served import TABLE, rows_of
from hosu.features.sink import FeatureSink
from hosu.lake.parquet import encode
from hosu.lake.tables import TABLES
from hosu.market.bars import MINUTE_US
from hosu.market.events import EVENT_SCHEMAS, in_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.features.served import Closed
    from hosu.features.store import Begin

DAY = "2025-09-15"
SYMBOLS = 2_700
MINUTES = 120
BATCHES = (200, 4_000)
"""Trades in a batch: of a quiet and of the busiest hundredth of a second."""


class Nowhere:
    """A ``FeatureStore`` that keeps nothing."""

    def covered(self, wal_id: str) -> int:
        del wal_id
        return -1

    def add(self, closed: Sequence[Closed], wal_id: str, lsn: int) -> int:
        del closed, wal_id, lsn
        return 0

    def sync(self) -> None:
        pass

    def latest(self, *, before: str, since: str) -> Begin | None:
        del before, since
        return None

    def exact(self, label: str) -> None:
        del label

    def began(self, date: str, wal_id: str) -> None:
        del date, wal_id


class Market:
    """Trades of all symbols, minute after minute."""

    def __init__(self) -> None:
        self._random, self._schema = np.random.default_rng(7), in_memory(EVENT_SCHEMAS["trades"])
        self._names = pa.array([f"{number:06}" for number in range(SYMBOLS)])
        self._cum = np.zeros(SYMBOLS, np.int64)
        self._open_us, _ = window_of(DAY)
        self.lsn = -1

    def trades(self, minute: int, count: int) -> EventBatch:
        """One trade a symbol, as many symbols as ``count``, and then again from the first."""
        symbol = np.arange(count) % SYMBOLS
        size = self._random.integers(1, 100, count)
        np.add.at(self._cum, symbol, size)
        self.lsn += 1
        known = {
            "date": self._same(DAY, count),
            "scope": self._same("KRX", count),
            "wal_id": self._same("w1", count),
            "symbol": pa.DictionaryArray.from_arrays(symbol.astype(np.int32), self._names),
            "lsn": pa.array(np.full(count, self.lsn)),
            "cum_volume": pa.array(self._cum[symbol]),
            "size": pa.array(size),
            "price": pa.array(self._random.integers(100, 200, count) * 50.0),
            "ts_event": pa.array(np.full(count, self._open_us + minute * MINUTE_US)).cast(pa.timestamp("us", "UTC")),
        }
        columns = [known.get(each.name, pa.nulls(count, each.type)) for each in self._schema]
        rows = pa.RecordBatch.from_arrays(columns, schema=self._schema)
        return EventBatch("w1", self.lsn, self.lsn, {"trades": rows}, count)

    def close(self, minute: int) -> EventBatch:
        self.lsn += 1
        return EventBatch("w1", self.lsn, self.lsn, bar_closes=((self.lsn, self._open_us + (minute + 1) * MINUTE_US),))

    def _same(self, text: str, count: int) -> pa.DictionaryArray:
        return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text]))


def timed_ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e3


def run() -> list[dict[str, Any]]:
    market, sink = Market(), FeatureSink(Nowhere())
    closed: list[Closed] = []
    sink.on_close.append(closed.append)
    taken: dict[int, list[float]] = {count: [] for count in BATCHES}
    closes = []
    for minute in range(MINUTES):
        for count in BATCHES:
            batch = market.trades(minute, count)
            taken[count].append(timed_ms(lambda batch=batch: sink.write(batch)))
        batch = market.close(minute)
        closes.append(timed_ms(lambda batch=batch: sink.write(batch)))
        sink.flush()
    last = closed[-1]
    assert len(last) == SYMBOLS
    assert not np.isnan(last.outputs).any()
    warm = closes[MINUTES // 2 :]
    after = [
        timed_ms(lambda: encode(TABLES[TABLE], rows_of([last]))),
        timed_ms(sink.remembered),
    ]
    rows = [
        _row(f"a close of {SYMBOLS:,} symbols, median", float(np.median(warm)), "ms"),
        _row(f"a close of {SYMBOLS:,} symbols, 99th percentile", float(np.quantile(warm, 0.99)), "ms"),
    ]
    for count, times in taken.items():
        rows.append(_row(f"a batch of {count:,} trades", float(np.median(times)) * 1e3, "µs"))
    return [*rows, _row("a close's rows as Parquet", after[0], "ms"), _row("what a restart needs", after[1], "ms")]


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "peer_value": None, "ratio": None}


if __name__ == "__main__":
    for each in run():
        print(f"{each['name']:60} {each['value']:14,.3f} {each['unit']}")
