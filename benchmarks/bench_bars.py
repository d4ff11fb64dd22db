"""How long do one-minute bars of 20 million trades take, beside DuckDB's own GROUP BY on the same files?

Ours also drops what was received twice, tells sessions apart and makes the day bars; DuckDB's does none of that.
Both read the same compacted data files, each run is the best of three, and the bars' volumes must agree.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from benchmarks import lake_data
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import bars_of
from hosu.lake.parquet import FileWriter, sorted_name
from hosu.lake.sql import SqlConfig, query_files

if TYPE_CHECKING:
    from hosu.lake.delta import Table

DATE = "2025-09-15"
SQL = """
SELECT sum(volume)::BIGINT AS volume, count(*) AS bars FROM (
  SELECT symbol, scope, time_bucket(INTERVAL 1 MINUTE, ts_event) AS ts, arg_min(price, cum_volume) AS open,
         max(price) AS high, min(price) AS low, arg_max(price, cum_volume) AS close, sum(size) AS volume,
         sum(price * size) AS value, count(*) AS data_points
  FROM rows GROUP BY ALL)
"""


def fill(lake: Lake, rows: int) -> Table:
    """A table of trades with ``rows`` rows in one sorted run, written four million rows at a time."""
    table = lake.table("trades")
    data = lake_data.trades(rows)
    adds = []
    for number, start in enumerate(range(0, rows, 4_000_000)):
        writer = FileWriter(table.spec, table.spec.file_schema, level=1)
        writer.write(data.slice(start, 4_000_000).drop_columns(["date"]).cast(table.spec.file_schema))
        adds.append(table.store(DATE, sorted_name("0" * 32, number), writer.finish()))
    table.append(adds, {})
    return table


def run(rows: int = 20_000_000) -> list[dict[str, Any]]:
    """The figures as rows: name, value, unit, peer, peer_value, ratio."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.open(folder + "/lake")
        table = fill(lake, rows)
        pa.default_memory_pool().release_unused()
        config = SqlConfig(memory_mib=4096)
        ours, peers = [], []
        for _ in range(3):
            start = time.perf_counter()
            bars = bars_of(lake, table, DATE, table.files(), config)
            minutes = bars.intervals(1)
            bars.days(1)
            ours.append(time.perf_counter() - start)
            start = time.perf_counter()
            peer = query_files(lake.storage, table, table.files(), SQL, config=config)[0]
            peers.append(time.perf_counter() - start)
        assert bars.trades == rows
        assert sum(minutes.column("volume").to_pylist()) == peer["volume"]
        return [
            {
                "name": f"one-minute bars of {rows / 1e6:.0f} million trades",
                "value": min(ours),
                "unit": "s",
                "peer": "DuckDB GROUP BY",
                "peer_value": min(peers),
                "ratio": min(ours) / min(peers),
            }
        ]


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000):
        print(row)
