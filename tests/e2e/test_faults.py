"""What the simulator says it withheld, and what the lake holds: together they are everything that was traded."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Collector, rows_of, simulator

from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.universe import default_symbols

pytestmark = pytest.mark.slow

DAY = date(2026, 9, 15)
RECORDS = 20_000
Shares = dict[str, set[int]]


def traded() -> dict[str, int]:
    """The shares of every symbol's day, from a tape of the same seed."""
    config = ExchangeConfig(DAY, symbols=default_symbols(3), records=RECORDS, feeds=("trades",))
    last: dict[str, int] = {}
    tape = Exchange(config)
    for burst in tape:
        for batch in burst.batches:
            for key, volume in zip(batch.key.tolist(), batch.columns["ACML_VOL"].tolist(), strict=True):
                symbol = tape.keys.symbol_of(key)
                last[symbol] = max(last.get(symbol, 0), volume)
    return last


def in_lake(lake: Path) -> dict[str, list[list[int]]]:
    rows = rows_of(
        lake, "SELECT DISTINCT scope || ':' || symbol AS key, cum_volume - size AS a, cum_volume AS b FROM trades"
    )
    found: dict[str, list[list[int]]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append([row["a"], row["b"]])
    return found


def counted(intervals: list[list[int]], upto: int) -> np.ndarray:
    """How many of the intervals hold each share."""
    change = np.zeros(upto + 1, np.int64)
    for begin, end in intervals:
        change[begin] += 1
        change[end] -= 1
    return np.cumsum(change)[:-1]


def played(home: Path, faults: str, *more: object) -> tuple[dict[str, Any], dict[str, Any]]:
    """The simulator's report and the collector's status of a small day with these faults."""
    day = ("--symbols", 3, "--records", RECORDS, "--date", DAY, "--feeds", "trades", "--expect", 3)
    with simulator(home, *day, "--faults", faults, *more) as broker:
        options = (
            "--symbols",
            "all",
            "--feeds",
            "trades",
            "--no-poll",
            "--no-bars",
            "--until-idle",
            5,
            "--lake",
            home / "lake",
        )
        collector = Collector(home, "collector", broker, *options)
        try:
            status = collector.finish().json()
            report = broker.report()
        finally:
            collector.kill()
    return report, status


def check(report: dict[str, Any], lake: Path) -> None:
    """Every share that was traded is in the lake, withheld, or had nobody to take it: in one of them, and only one."""
    held = in_lake(lake)
    for symbol, volume in traded().items():
        parts = [report[name]["symbols"].get(symbol, {}).get("intervals", []) for name in ("withheld", "unsent")]
        together = counted([*held.get(symbol, []), *parts[0], *parts[1]], volume)
        assert together.min() == together.max() == 1, (symbol, np.flatnonzero(together != 1)[:5], parts)


def test_what_is_dropped_and_what_a_closed_connection_misses_is_listed_to_the_share(tmp_path: Path) -> None:
    report, status = played(tmp_path, "drop=1/100; close@10:00; close@13:30", "--rate", 4000)
    check(report, tmp_path / "lake")
    assert report["withheld"]["shares"] > 0
    assert report["unsent"]["shares"] > 0
    assert status["records"] == report["deliveries"]
