"""A day on which one frame in a thousand is lost, the line is cut five times and the layout changes at noon: what the
ledger says is missing is what the simulator says it did not send, and repair closes what the broker still gives."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Collector, hosu, rows_of, simulator

from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.universe import default_symbols

pytestmark = [pytest.mark.slow, pytest.mark.lasts]

DAY, RECORDS, PAGE = date(2026, 9, 15), 200_000, 30
"""So many trades that some seconds have more than the broker's page of a second, which holds the last of them."""
CROWD = "09:00:53"
"""One of these, all of which is lost."""
FAULTS = f"""
    drop=1/1000; drop@{CROWD}+1s
    close@09:40; close@10:30; close@11:10; close@13:00; close@14:20
    layout@12:00=+2
"""
Trades = dict[str, list[tuple[int, int, int, int]]]
"""By symbol, (cumulative volume, size, price in hundredths of a won, HHMMSS) of each trade, in their order."""
Holes = dict[str, list[tuple[int, int]]]


def traded() -> Trades:
    """The day itself, from a tape of the same seed."""
    tape = Exchange(ExchangeConfig(DAY, symbols=default_symbols(2), records=RECORDS, feeds=("trades",)))
    found: Trades = {}
    for burst in tape:
        for batch in burst.batches:
            names = ("ACML_VOL", "CNTG_VOL", "STCK_PRPR", "STCK_CNTG_HOUR")
            rows = zip(*(batch.columns[name].tolist() for name in names), strict=True)
            for key, row in zip(batch.key.tolist(), rows, strict=True):
                found.setdefault(tape.keys.symbol_of(key).partition(":")[2], []).append(row)
    return found


def listed(lake: Path) -> Holes:
    """What ``hosu ledger gaps`` says is missing."""
    found: Holes = {}
    for gap in hosu(lake.parent, "ledger", "gaps", "--lake", lake, "--format", "json").json():
        found.setdefault(gap["symbol"], []).append((gap["from_volume"], gap["to_volume"]))
    return found


def not_sent(report: dict[str, Any]) -> Holes:
    """What the simulator says it withheld, or had nobody to send to; where one begins as another ends it is one."""
    found: Holes = {}
    parts = [(key, part) for name in ("withheld", "unsent") for key, part in report[name]["symbols"].items()]
    for key, begin, end in sorted((key, *interval) for key, part in parts for interval in part["intervals"]):
        mine = found.setdefault(key.partition(":")[2], [])
        mine[-1:] = [(mine[-1][0], end)] if mine and mine[-1][1] == begin else [*mine[-1:], (begin, end)]
    return found


def beyond_the_pages(trades: list[tuple[int, int, int, int]], holes: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What of some holes no page holds: in each second, what comes before its last trades."""
    seconds = np.array([row[3] for row in trades])
    shown = np.arange(len(trades)) >= np.searchsorted(seconds, seconds, side="right") - PAGE
    left: list[tuple[int, int]] = []
    for (volume, size, *_), had in zip(trades, shown.tolist(), strict=True):
        if not had and any(begin < volume <= end for begin, end in holes):
            joined = left and left[-1][1] == volume - size
            left[-1:] = [(left[-1][0], volume)] if joined else [*left[-1:], (volume - size, volume)]
    return left


def test_what_a_day_of_faults_lost_is_listed_to_the_share_and_repaired_as_far_as_the_broker_goes(
    tmp_path: Path,
) -> None:
    lake, truth = tmp_path / "lake", traded()
    (tmp_path / "faults.txt").write_text(FAULTS)
    words = ("--symbols", 2, "--records", RECORDS, "--date", DAY, "--feeds", "trades", "--expect", 2, "--rate", 20_000)
    more = ("--away", "hold", "--faults", f"@{tmp_path / 'faults.txt'}", "--linger", "forever", "--quota", 500)
    with simulator(tmp_path, *words, *more) as broker:
        options = ("--symbols", "all", "--feeds", "trades", "--no-bars", "--lake", lake)
        collector = Collector(tmp_path, "collector", broker, *options)
        try:
            status = collector.finish().json()
        finally:
            collector.kill()
        broker.until(lambda: "REST is served on" in broker.err, "the day was over")
        report = json.loads((tmp_path / "sent.json").read_text())
        before = listed(lake)
        assert status["reconnects"] == 5
        assert before == not_sent(report)
        assert status["ledger"]["missing_shares"] == report["withheld"]["shares"] + report["unsent"]["shares"] > 0

        asked = ("ledger", "repair", "--lake", lake, "--kis", "simulator", "--rest", broker.addresses[3], "--yes")
        hosu(tmp_path, *asked, "--format", "json", patience_s=300).json()
    after = listed(lake)
    assert after == {
        symbol: left for symbol, holes in before.items() if (left := beyond_the_pages(truth[symbol], holes))
    }
    states = {row["symbol"]: row["state"] for row in rows_of(lake, "SELECT symbol, state FROM coverage")}
    assert states == {symbol: "open" if symbol in after else "certified" for symbol in truth}
    assert set(states.values()) == {"open", "certified"}
    for symbol, trades in truth.items():
        columns = "cum_volume, size, (price * 100)::BIGINT AS price"
        query = f"SELECT {columns} FROM trades_unique WHERE symbol = '{symbol}' ORDER BY cum_volume"
        held = [tuple(row.values()) for row in rows_of(lake, query)]
        lost = after.get(symbol, [])
        assert held == [row[:3] for row in trades if not any(begin < row[0] <= end for begin, end in lost)]
