"""Events of order books on the stream are those that the lake's tables give, whatever stands in the columns."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from book_cases import NINE
from hosu.collect.sinks import EventBatch
from hosu.features.book_events import Series, events_of, hours_of
from hosu.features.book_rows import BookRows
from hosu.lake.lake import Lake
from hosu.lake.writer import LakeSink
from hosu.market.day_plan import Scope
from hosu.market.events import EVENT_SCHEMAS, in_memory

DAY = "2025-09-15"
NAN, INF = float("nan"), float("inf")
PRICES = [0.0, 0.005, 71.15, 71_900.0, 71_900.5, -1.0, 1e12, 2e12, NAN, INF, -INF, None]
SIZES = [0, 1, 7, -3, 10**12, None]
CODES = [None, "", "0", "A", "B", "00"]


def levels(chance: random.Random, values: list[Any]) -> list[Any] | None:
    return chance.choice([None, [], *([chance.choice(values) for _ in range(count)] for count in (1, 4, 10))])


def drawn(chance: random.Random, table: str, lsn: int) -> dict[str, Any]:
    """A row that holds anything in what matters here."""
    second = chance.choice([-1, 0, 1, 2, 3, 22_799, 22_800])
    at = (NINE + second) * 1_000_000 + chance.randrange(1_000_000)
    row = {
        "date": DAY, "wal_id": "w1", "lsn": lsn, "record_no": lsn % 3, "ts_recv": at + 1,
        "ts_event": chance.choice([at] * 9 + [None]),
        "scope": chance.choice(["KRX", "KRX", "NXT", None]), "symbol": chance.choice(["A", "B", None]),
        "hour_code": chance.choice(CODES),
    }  # fmt: skip
    if table == "quotes":
        for side in ("bid", "ask"):
            row[f"{side}_prices"] = chance.choice(
                [None, [], [chance.choice(PRICES) for _ in range(chance.choice([1, 4, 10]))]]
            )
            row[f"{side}_sizes"] = chance.choice(
                [None, [], [chance.choice(SIZES) for _ in range(chance.choice([1, 4, 10]))]]
            )
        return row
    return row | {
        "price": chance.choice(PRICES),
        "size": chance.choice(SIZES),
        "cum_volume": chance.choice(SIZES),
        "side": chance.choice(["buy", "sell", "pre_open", "9", "", None]),
        "mkop_code": chance.choice(["20", "22", "23", "2", "", None, "3"]),
        "source": chance.choice(["ws", "rest", None]),
    }


@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_row_holds_stream_and_lake_make_the_same_event_of_it(tmp_path: Path, seed: int):
    chance, rows = random.Random(seed), {"quotes": [], "trades": []}
    for lsn in range(6_000):
        table = chance.choice(["quotes", "trades"])
        rows[table].append(drawn(chance, table, lsn))
    tables = {}
    for name, listed in rows.items():
        schema = EVENT_SCHEMAS[name]
        whole = [{column: row.get(column) for column in schema.names} for row in listed]
        tables[name] = pa.RecordBatch.from_pylist(whole, schema=schema).cast(in_memory(schema))
    lake = Lake.open(str(tmp_path / "lake"))
    sink = LakeSink(lake)
    sink.write(EventBatch("w1", 0, 5_999, tables, 6_000))
    sink.close()

    stored: dict[str, list[Any]] = {}
    series = Series()
    for events in events_of(lake, DAY, series):
        for number, *event in events.tolist():
            symbol, scope = series.names[number]
            if scope == "KRX":
                stored.setdefault(symbol, []).append(event)
    streamed: dict[str, list[Any]] = {}
    found = BookRows.of(tables, 99, "KRX")
    hours = hours_of(DAY, Scope.KRX)
    assert found is not None
    assert hours is not None
    whole = BookRows.of(tables, -1, "KRX")
    assert whole is not None
    for symbol, (_, *event) in zip(whole.symbol.tolist(), whole.events.tolist(), strict=True):
        if hours[0] <= event[0] < hours[1]:
            streamed.setdefault(whole.symbols[symbol], []).append(event)
    assert streamed == stored
    assert {symbol: len(events) > 100 for symbol, events in stored.items()} == {"A": True, "B": True}
    assert found.lsn.min() > 99
    assert len(found.lsn) == (whole.lsn > 99).sum()


def test_a_day_without_a_session_has_no_hours():
    assert hours_of("2025-09-14", Scope.KRX) is None
    assert BookRows.of({}, -1, "KRX") is None
