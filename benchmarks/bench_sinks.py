"""How soon have ledger, features and the lake's sink all taken a record, and do two keys use two cores?

As ``bench_path``, whose simulator and collector these are. Latency runs from the read of the socket to when the last of
the sinks has taken the record; none is given one that is not durable yet, and they are fed in batches of 1 to 20 ms.
Two keys are two processes, each with half of the symbols; the cores in use are the CPU time that both took a second.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from benchmarks.bench_path import measure

RATE = 10_000
SHARED_RATE = 100_000


def run(seconds: float = float(os.environ.get("BENCH_SECONDS", "60"))) -> list[dict[str, Any]]:
    rows = []
    found = _told(measure(RATE, seconds))
    for name, words in (("p50_ms", "median"), ("p99_ms", "99th percentile")):
        rows.append(_row(f"{RATE:,}/s: socket to durable, {words}", found[name], "ms"))
        rows.append(_row(f"{RATE:,}/s: socket to all sinks, {words}", found[f"sink_{name}"], "ms"))
    shared = _told(measure(SHARED_RATE, seconds, keys=2))
    target = f"{SHARED_RATE:,}/s over two keys"
    return [
        *rows,
        _row(f"{target} for {seconds:.0f} s: arrived", shared["records_per_s"], "records/s"),
        _row(f"{target}: lost", shared["lost"], "records"),
        _row(f"{target}: cores in use", shared["cpu_us"] * shared["records_per_s"] / 1e6, "cores"),
    ]


def _told(found: dict[str, float]) -> dict[str, float]:
    print(found, file=sys.stderr)
    return found


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "peer_value": None, "ratio": None}


if __name__ == "__main__":
    for each in run():
        print(f"{each['name']:60} {each['value']:14,.2f} {each['unit']}")
