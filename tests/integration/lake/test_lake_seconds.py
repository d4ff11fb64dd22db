"""One-second bars: made when asked for, exact, and never left behind."""

from collections.abc import Callable
from typing import Any

import pytest
from test_lake_ohlcv import DAY, day_of_trades, fill

from hosu.collect.sinks import EventBatch
from hosu.lake.compact import compact
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session

Batch = Callable[..., EventBatch]
_COLUMNS = "symbol, scope, session_set, epoch_us(ts) AS at, open, high, low, close, volume, value, data_points"
_ORACLE = f"""
  SELECT symbol, scope, 'regular' AS session_set, epoch_us(date_trunc('second', ts_event)) AS at,
         arg_min(price, cum_volume) AS open, max(price) AS high, min(price) AS low,
         arg_max(price, cum_volume) AS close, sum(size)::BIGINT AS volume, sum(price * size) AS value,
         count(*) AS data_points
  FROM trades_unique WHERE date = '{DAY}' GROUP BY ALL ORDER BY ALL
"""


def asked(lake: Lake, sql: str) -> list[dict[str, Any]]:
    with Session(lake) as session:
        return list(session.query(sql).to_pylist())


def stored(lake: Lake) -> list[dict[str, Any]]:
    return asked(lake, f"SELECT {_COLUMNS} FROM processed_ohlcv_1s WHERE date = '{DAY}' ORDER BY ALL")


@pytest.mark.parametrize("compacted", [False, True])
def test_they_are_what_a_group_by_over_the_trades_gives(lake: Lake, batch: Batch, compacted: bool) -> None:
    fill(lake, batch, day_of_trades(seed=3))
    if compacted:
        compact(lake, ["trades"])
    report = build(lake, seconds=True)[0]

    expected = asked(lake, _ORACLE)
    assert stored(lake) == expected
    assert report.second_bars == len(expected) > report.minute_bars > 0


def test_they_are_made_only_where_they_are_asked_for(lake: Lake, batch: Batch) -> None:
    fill(lake, batch, day_of_trades(seed=4))
    assert build(lake)[0].second_bars == 0
    assert lake.find("processed_ohlcv_1s") is None

    later = build(lake, seconds=True)
    assert [(report.second_bars > 0, report.minute_bars, report.day_bars) for report in later] == [(True, 0, 0)]
    assert stored(lake) == asked(lake, _ORACLE)
    assert build(lake, seconds=True) == []


def test_a_date_that_has_them_keeps_them_up_to_date_unasked(lake: Lake, batch: Batch) -> None:
    rows = day_of_trades(seed=5)
    sink = fill(lake, batch, rows[:300])
    build(lake, seconds=True)
    sink.write(batch(*rows[300:]))
    sink.flush()

    assert build(lake)[0].second_bars > 0
    assert stored(lake) == asked(lake, _ORACLE)
    assert asked(lake, "SELECT DISTINCT revision FROM processed_ohlcv_1s") == [{"revision": 2}]
