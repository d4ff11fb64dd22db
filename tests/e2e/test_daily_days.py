"""``hosu collect --daily`` over two trading days: the program as it is, only its wall clock runs faster."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from program import PATIENCE_S, Finished, environment, rows_of, simulator

pytestmark = pytest.mark.slow

SYMBOLS = "005930,000660"
DAYS = ("2026-09-15", "2026-09-16")  # a Tuesday and a Wednesday

FAST = """
import asyncio, datetime as dt, os, signal, sys
import hosu.clock

def at(text):
    return int(dt.datetime.fromisoformat(text + "+09:00").timestamp() * 1e6)

class Fast(hosu.clock.WallClock):
    now, until = at("2026-09-15T03:00"), at("2026-09-17T03:00")
    def now_us(self):
        return Fast.now
    async def sleep(self, seconds):
        Fast.now += round(seconds * 1e6)
        if Fast.now >= Fast.until:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(3600)
        await asyncio.sleep(0)

hosu.clock.WallClock = Fast
from hosu.__main__ import run
run()
"""


def _free_pair() -> int:
    """A free port with a free one behind it."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return port
    raise AssertionError("no two neighbouring ports are free")


def _days(home: Path, port: int) -> tuple[Finished, list[dict[str, Any]]]:
    """Runs the program over both days; how it ended, and what the market's two days say they sent."""
    addresses = ("--rest", f"http://127.0.0.1:{port}", "--ws", f"ws://127.0.0.1:{port + 1}")
    words = ("collect", "--daily", "--kis", "simulator", *addresses, "--symbols", SYMBOLS, "--lake", str(home / "lake"))
    with (home / "out").open("wb") as out, (home / "err").open("wb") as err:
        days = subprocess.Popen(
            [sys.executable, "-c", FAST, *words, "--format", "json"],
            cwd=home,
            env=environment(),
            stdout=out,
            stderr=err,
        )
    try:
        reports = []
        for day in DAYS:  # who comes too early for the second finds nobody there, and tries again
            market = ("--synthetic", "--date", day, "--symbols", SYMBOLS, "--records", 5_000, "--rate", 5_000)
            with simulator(home, *market, "--expect", 4, "--token-interval", 0, "--port", port) as broker:
                reports.append(broker.report())
        days.wait(PATIENCE_S)
    finally:
        days.kill()
        days.wait()
    return Finished(days.returncode, (home / "out").read_text(), (home / "err").read_text()), reports


@pytest.mark.lasts
def test_two_days_are_collected_by_one_process_with_bars_after_each_and_a_stop_while_it_waits(tmp_path: Path):
    ended, reports = _days(tmp_path, _free_pair())
    assert ended.code == 0, ended.err
    assert ended.json()["reason"] == "every feed has ended"
    counts = rows_of(tmp_path / "lake", "SELECT date, count(*) AS n FROM trades GROUP BY date ORDER BY date")
    sent = [sum(each["trades"] for each in report["symbols"].values()) for report in reports]
    assert [(row["date"], row["n"]) for row in counts] == list(zip(DAYS, sent, strict=True))
    bars = rows_of(tmp_path / "lake", "SELECT date, sum(volume) AS v FROM processed_ohlcv GROUP BY date ORDER BY date")
    assert [row["date"] for row in bars] == list(DAYS)
    said = ended.err.splitlines()
    assert "hosu: waiting for 2026-09-15, from 2026-09-15 07:50 in Korea" in said
    assert "hosu: waiting for 2026-09-17, from 2026-09-17 07:50 in Korea" in said
    last = json.loads((tmp_path / "lake" / ".hosu" / "health.json").read_text())
    assert (last["alive"], last["ready"]) == (True, False)
