"""What the simulator says it withheld, and what the lake holds: together they are everything that was traded."""

import json
import signal
import urllib.request
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from program import Collector, Here, rows_of, simulator

from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.universe import default_symbols

pytestmark = pytest.mark.slow

DAY = date(2026, 9, 15)
RECORDS = 20_000


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
    """The shares that the trades of a lake cover, each trade once."""
    key = "scope || ':' || symbol AS key"
    rows = rows_of(lake, f"SELECT DISTINCT {key}, cum_volume - size AS a, cum_volume AS b FROM trades")
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
        options = ("--symbols", "all", "--feeds", "trades", "--no-poll", "--no-bars", "--lake", home / "lake")
        # A day that goes on without the collector may be over before it is back.
        until_idle = () if "hold" in more else ("--until-idle", 5)
        collector = Collector(home, "collector", broker, *options, *until_idle)
        try:
            status = collector.finish().json()
            report = broker.report()
        finally:
            collector.kill()
    return report, status


def committed(report: dict[str, Any], *kinds: str) -> int:
    return sum(entry["count"] for entry in report["faults"] if entry["kind"] in kinds)


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
    assert status["records"] == report["deliveries"] + status["quarantined"]


def test_every_share_is_accounted_for_under_all_that_may_befall_a_stream(tmp_path: Path) -> None:
    faults = tmp_path / "faults.txt"
    faults.write_text("""
        drop=1/200; duplicate=1/150; reorder=1/50          # all day
        truncate=1/400; garble=1/400
        close@09:40; close@10:20=1011; close@frame:9000    # three cuts
        restart@13:00+5m
        layout@12:00=+2                                    # two fields that nobody knows
        noack@ack:2; refuse@ack:4=OPSP0007; stall@11:00+3m
    """)
    report, status = played(tmp_path, f"@{faults}", "--rate", 4000, "--away", "hold")
    check(report, tmp_path / "lake")
    assert committed(report, "close", "restart") == 4
    assert committed(report, "truncate", "garble") == status["quarantined"] > 10
    assert status["records"] == report["deliveries"] + status["quarantined"]
    kept = rows_of(tmp_path / "lake", "SELECT count(*) AS n FROM trades WHERE tail = '0^0'")
    assert 0 < kept[0]["n"] < status["records"]
    assert report["unsent"]["records"] > 0


def test_rest_can_be_asked_for_what_was_lost_when_the_day_is_over(tmp_path: Path) -> None:
    words = ("--symbols", 1, "--records", 500, "--date", DAY, "--feeds", "trades", "--speed", "max", "--faults", "drop")
    with simulator(tmp_path, *words, "--linger", "forever") as broker:
        options = ("--symbols", "all", "--feeds", "trades", "--no-poll", "--no-bars", "--lake", tmp_path / "lake")
        collector = Collector(tmp_path, "collector", broker, *options)
        try:
            collector.finish()
        finally:
            collector.kill()
        broker.until(lambda: "REST is served on" in broker.err, "the day was over")
        sent = json.loads((tmp_path / "sent.json").read_text())
        prints = prints_of(broker.addresses[3], sent["withheld"]["symbols"])
        broker.signal(signal.SIGTERM)
        report = broker.report()
    assert report["records"] == 0
    (missing,) = report["withheld"]["symbols"].values()
    assert missing["intervals"] == [[0, missing["shares"]]]
    assert max(prints) == missing["shares"]


def prints_of(rest: str, symbols: dict[str, Any]) -> list[int]:
    """The cumulative volumes of a page of prints, asked for with a key of one's own."""
    keys = {"appkey": "another", "appsecret": "secret"}
    body = json.dumps({"grant_type": "client_credentials", **keys}).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{rest}/oauth2/tokenP", data=body)) as reply:
        token = json.load(reply)["access_token"]
    (symbol,) = (name.partition(":")[2] for name in symbols)
    query = f"FID_COND_MRKT_DIV_CODE=J&FID_INPUT_ISCD={symbol}&FID_INPUT_HOUR_1=200000"
    address = f"{rest}/uapi/domestic-stock/v1/quotations/inquire-time-itemconclusion?{query}"
    headers = {"authorization": f"Bearer {token}", "tr_id": "FHPST01060000", "custtype": "P", **keys}
    with urllib.request.urlopen(urllib.request.Request(address, headers=headers)) as reply:
        return [int(row["acml_vol"]) for row in json.load(reply)["output2"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--faults", "dorp=1/10"), "fault 'dorp=1/10': 'dorp' is no fault; did you mean drop"),
        (("--faults", "drop=1/10; close@25:00"), "fault 'close@25:00': '25:00' is no time or event of close"),
        (("--faults", "@nowhere.txt"), "nowhere.txt: cannot be read"),
        (("--linger", "long"), "--linger is a number of seconds, or forever"),
        (("--linger", "-1"), "--linger is a number of seconds, or forever"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_served(
    here: Here, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    ended = here(tmp_path, "simulator", *words)
    assert ended.code in {1, 2}
    assert said in " ".join(ended.err.split())
    assert ended.out == ""
