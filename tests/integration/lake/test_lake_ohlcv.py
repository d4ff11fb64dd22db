"""Bars of a day that went through the sink, before and after compaction."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hosu.collect.sinks import EventBatch
from hosu.errors import TableCorruptError
from hosu.lake.compact import compact
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink

Batch = Callable[..., EventBatch]
NINE = 1_757_894_400_000_000  # 2025-09-15 09:00 in Seoul
DAY = "2025-09-15"


def day_of_trades(seed: int) -> list[dict[str, Any]]:
    """Trades of three series in the order received, one in ten of them twice."""
    chance = random.Random(seed)
    cum = {("000660", "KRX"): 0, ("005930", "KRX"): 0, ("005930", "UN"): 0}
    rows: list[dict[str, Any]] = []
    second = 0
    for _ in range(600):
        symbol, scope = chance.choice(list(cum))
        size = chance.randint(1, 50)
        cum[symbol, scope] += size
        second += chance.randint(0, 9)
        row = {
            "symbol": symbol,
            "scope": scope,
            "price": chance.randint(1, 400) / 2,
            "size": size,
            "cum_volume": cum[symbol, scope],
            "ts_event": NINE + second * 1_000_000,
        }
        rows += [row] * (2 if chance.random() < 0.1 else 1)
    return [{**row, "lsn": lsn} for lsn, row in enumerate(rows)]


def expected(rows: list[dict[str, Any]]) -> dict[tuple[str, str, int], tuple[float, ...]]:
    """(symbol, scope, minute) to open, high, low, close, volume, value, count, by the book."""
    seen: set[tuple[str, str, int]] = set()
    minutes: dict[tuple[str, str, int], list[tuple[float, int]]] = {}
    for row in rows:
        identity = (row["symbol"], row["scope"], row["cum_volume"])
        if identity not in seen:
            seen.add(identity)
            key = (row["symbol"], row["scope"], row["ts_event"] // 60_000_000)
            minutes.setdefault(key, []).append((row["price"], row["size"]))
    return {
        key: (
            trades[0][0],
            max(price for price, _ in trades),
            min(price for price, _ in trades),
            trades[-1][0],
            sum(size for _, size in trades),
            sum(price * size for price, size in trades),
            len(trades),
        )
        for key, trades in minutes.items()
    }


def stored(lake: Lake, table: str = "processed_ohlcv_1m") -> dict[tuple[str, str, int], tuple[float, ...]]:
    sql = f"""
        SELECT symbol, scope, epoch_us(ts) // 60000000 AS minute, open, high, low, close, volume, value, data_points
        FROM {table} WHERE date = '{DAY}' AND session_set = 'regular'
    """
    with Session(lake) as session:
        rows = session.query(sql).to_pylist()
    keyed = {(row["symbol"], row["scope"], row["minute"]): tuple(row.values())[3:] for row in rows}
    assert len(keyed) == len(rows)
    return keyed


def fill(lake: Lake, batch: Batch, rows: list[dict[str, Any]]) -> LakeSink:
    sink = LakeSink(lake)
    for start in range(0, len(rows), 100):
        sink.write(batch(*rows[start : start + 100]))
        sink.flush()
    return sink


@pytest.mark.parametrize("compacted", [False, True])
def test_minute_bars_are_those_counted_by_hand(lake: Lake, batch: Batch, compacted: bool) -> None:
    rows = day_of_trades(seed=7)
    fill(lake, batch, rows)
    if compacted:
        compact(lake, ["trades"])
    report = build(lake)[0]

    assert stored(lake) == expected(rows)
    assert report.trades + report.duplicates == len(rows)
    assert (report.date, report.trades, report.revision) == (DAY, 600, 1)
    assert report.minute_bars == len(expected(rows))


def test_day_bars_add_up_to_the_minutes(lake: Lake, batch: Batch) -> None:
    rows = day_of_trades(seed=8)
    fill(lake, batch, rows)
    build(lake, [DAY])
    days = stored(lake, "processed_ohlcv")
    minutes = expected(rows)

    assert {key[:2] for key in days} == {("000660", "KRX"), ("005930", "KRX"), ("005930", "UN")}
    for (symbol, scope, _), day in days.items():
        mine = [minutes[key] for key in sorted(minutes) if key[:2] == (symbol, scope)]
        assert day == (
            mine[0][0],
            max(bar[1] for bar in mine),
            min(bar[2] for bar in mine),
            mine[-1][3],
            sum(bar[4] for bar in mine),
            sum(bar[5] for bar in mine),
            sum(bar[6] for bar in mine),
        )


def test_a_date_is_built_again_only_when_its_trades_have_changed_and_replaces_itself(lake: Lake, batch: Batch) -> None:
    rows = day_of_trades(seed=9)
    sink = fill(lake, batch, rows[:300])
    assert [report.revision for report in build(lake)] == [1]
    assert build(lake) == []
    compact(lake, ["trades"])
    assert build(lake) == []

    sink.write(batch(*rows[300:]))
    sink.flush()
    assert [report.revision for report in build(lake)] == [2]
    assert stored(lake) == expected(rows)
    with Session(lake) as session:
        assert session.query("SELECT DISTINCT revision FROM processed_ohlcv").column(0).to_pylist() == [2]


def test_a_lake_without_trades_has_no_bars(lake: Lake) -> None:
    assert build(lake) == []
    LakeSink(lake)
    assert build(lake) == []


def test_a_damaged_file_is_named_and_the_bars_stay_as_they_were(lake: Lake, batch: Batch) -> None:
    rows = day_of_trades(seed=10)
    sink = fill(lake, batch, rows[:300])
    build(lake)
    before = stored(lake)
    sink.write(batch(*rows[300:]))
    sink.flush()
    compact(lake, ["trades"])
    table = lake.find("trades")
    assert table is not None
    victim = Path(lake.root) / table.path(table.files()[0])
    whole = victim.read_bytes()
    victim.write_bytes(b"\0" * len(whole))

    with pytest.raises(TableCorruptError, match=victim.name):
        build(lake)
    with Session(lake) as session, pytest.raises(TableCorruptError, match=victim.name):
        session.query("SELECT count(*) FROM trades")
    victim.write_bytes(whole)
    assert stored(lake) == before
