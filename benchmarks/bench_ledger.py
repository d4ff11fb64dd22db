"""How long does it take to find every hole in a day's trades, beside DuckDB's window functions over the same rows?

Ours also keeps value and counts, tells repeats and contradictions apart, and takes trades as they come; DuckDB sorts
the day and compares each trade with the one before. One trade in a thousand is left out, and both must name the same
holes. Besides, a day in the order received, in batches of a busy second.
"""

from __future__ import annotations

import sys
import tempfile
import time
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks import lake_data
from hosu.collect import ledger_kernel as kernel
from hosu.collect.ledger_state import SeriesTable
from hosu.lake.sql import SqlConfig, connect

BATCH_ROWS = 20_000
SQL = """
WITH steps AS (
  SELECT symbol, cum_volume - size AS begin,
         lag(cum_volume, 1, 0) OVER (PARTITION BY date, scope, symbol ORDER BY cum_volume) AS before
  FROM rows)
SELECT count(*) AS holes, sum(begin - before)::BIGINT AS shares FROM steps WHERE begin > before
"""


def withheld(rows: int) -> tuple[pa.Table, pa.Table]:
    """A day without one trade in a thousand, sorted by symbol and volume, and in the order received."""
    rng = np.random.default_rng(7)
    day = lake_data.trades(rows)
    kept = day.filter(pa.array(rng.random(rows) >= 0.001)).combine_chunks()
    return kept, kept.take(np.argsort(kept.column("lsn").to_numpy())).combine_chunks()


def found(table: SeriesTable) -> tuple[int, int]:
    counts = table.rows[: len(table), [kernel.HOLES, kernel.MISSING]].sum(axis=0)
    return int(counts[0]), int(counts[1])


def timed(batches: list[pa.RecordBatch]) -> tuple[float, SeriesTable]:
    best = float("inf")
    for _ in range(3):
        table = SeriesTable()
        start = time.process_time()  # one thread does it, and what else the machine does is not its work
        for batch in batches:
            table.take_trades(batch)
        best = min(best, time.process_time() - start)
    return best, table


def peer(day: pa.Table) -> tuple[float, tuple[int, int]]:
    best, row = float("inf"), (0, 0)
    with tempfile.TemporaryDirectory() as temp:
        duck = connect(SqlConfig(memory_mib=4096), temp)
        duck.register("rows", day.select(["date", "scope", "symbol", "cum_volume", "size"]))
        for _ in range(3):
            start = time.process_time()
            (row,) = duck.sql(SQL).fetchall()
            best = min(best, time.process_time() - start)
        duck.close()
    return best, (int(row[0]), int(row[1]))


def run(rows: int = 5_000_000) -> list[dict[str, Any]]:
    """The figures as rows: name, value, unit, peer, peer_value, ratio."""
    by_volume, as_received = withheld(rows)
    sorted_s, table = timed(by_volume.to_batches())
    live_s, live = timed(as_received.to_batches(max_chunksize=BATCH_ROWS))
    peer_s, holes = peer(by_volume)
    assert found(table) == found(live) == holes, (found(table), found(live), holes)
    assert holes[0] > rows / 2_000
    million = rows / 1e6
    return [
        {
            "name": f"holes in {million:.0f} million trades by volume, CPU time",
            "value": sorted_s,
            "unit": "s",
            "peer": "DuckDB lag(), CPU time of all threads",
            "peer_value": peer_s,
            "ratio": sorted_s / peer_s,
        },
        {
            "name": f"the same as received, {BATCH_ROWS:,} a batch",
            "value": live_s / rows * 1e6,
            "unit": "µs CPU a trade",
        },
    ]


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000):
        print(row)
