"""How often does one key read a market of 2,700 symbols over the wire, at each of the broker's limits?

The real program collects from the simulator, which counts every call in a sliding second and refuses the one too
many: 41 symbols are streamed, 2,659 polled, each second if the limit allowed it. The peer is arithmetic: 30 symbols a
call at our own pace, which stays under the broker's limit. BENCH_SECONDS shortens a run of three minutes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SYMBOLS = 2_700
STREAMED = 41
_PATIENCE_S = 120


@dataclass(frozen=True)
class Account:
    """A kind of account: the limit the broker sets, by the simulator's name, and the pace we set ourselves."""

    kind: str
    limit: str
    calls_per_s: float


ACCOUNTS = (
    Account("live", "18/s", 12.0),
    Account("new-account", "3/s", 2.0),
    Account("paper", "1/s", 0.8),
)


def run(seconds: float = float(os.environ.get("BENCH_SECONDS", "180"))) -> list[dict[str, Any]]:
    rows = []
    for account in ACCOUNTS:
        allowed_s = (SYMBOLS - STREAMED) / (account.calls_per_s * 30)
        spent_s = max(seconds, 2.2 * allowed_s)  # everybody's turn comes twice
        found = measure(account, spent_s)
        name = f"{account.kind}, limit {account.limit}"
        rows += [
            _row(f"{name}: interval of a polled symbol, median", found["median_s"], "s", allowed_s),
            _row(f"{name}: longest of all symbols", found["max_s"], "s", allowed_s),
            _row(f"{name}: symbols polled at least twice", found["polled_twice"], "symbols", SYMBOLS - STREAMED),
            _row(f"{name}: calls", found["calls"] / spent_s, "calls/s", account.calls_per_s),
            _row(f"{name}: refused for pace or slots", found["refusals"], "refusals"),
        ]
    return rows


def measure(account: Account, seconds: float) -> dict[str, float]:
    """Collects for ``seconds`` after everything is registered; what the program itself reports, and the broker."""
    with tempfile.TemporaryDirectory(prefix="hosu-bench-") as folder:
        place = Path(folder)
        simulator = _hosu(place, "simulator", *_market(account), stdout=subprocess.PIPE)
        try:
            assert simulator.stdout is not None
            addresses = json.loads(simulator.stdout.readline())
            calls = _collect(place, addresses, account, seconds)
            report = json.loads((place / "lake" / ".hosu" / "coverage.json").read_text())
        finally:
            simulator.send_signal(signal.SIGINT)
            simulator.wait(_PATIENCE_S)
        refusals = json.loads((place / "sent.json").read_text())["refusals"]
    polled = report["polls"]["polled"]
    nothing = float("nan")
    return {
        "median_s": polled["median_s"] or nothing,
        "max_s": polled["max_s"] or nothing,
        "polled_twice": polled["polled_twice"],
        "calls": calls,
        "refusals": sum(refusals.values()),
    }


def _market(account: Account) -> list[str]:
    options = {
        "--symbols": SYMBOLS,
        "--date": "2026-09-15",
        "--records": 1_000_000,
        "--rate": 300,
        "--feeds": "trades",
        "--expect": STREAMED,
        "--quota": account.kind,
        "--report": "sent.json",
    }
    return [str(word) for option in options.items() for word in option]


def _collect(place: Path, addresses: dict[str, str], account: Account, seconds: float) -> float:
    """Runs the collector; the polls it made in ``seconds``, counted from its first report of everybody registered."""
    where = ("--kis", "simulator", "--rest", addresses["rest"], "--ws", addresses["ws"])
    collector = _hosu(
        place,
        *("collect", *where, "--symbols", "all", "--feeds", "trades", "--lake", "lake", "--no-bars"),
        HOSU_CALLS_PER_SECOND=str(account.calls_per_s),
    )
    try:
        began_s = time.monotonic()
        before = _calls(place, collector, lambda report: report["registered"] == STREAMED)
        time.sleep(seconds)
        after = _calls(place, collector, lambda report: report["at_us"] > before["at_us"])
        spent_s = (after["at_us"] - before["at_us"]) / 1e6
        print(f"{account.kind}: {time.monotonic() - began_s:.0f} s", file=sys.stderr)
        return float((after["calls"] - before["calls"]) * seconds / spent_s)
    finally:
        collector.send_signal(signal.SIGINT)
        collector.wait(_PATIENCE_S)


def _calls(place: Path, collector: subprocess.Popen[Any], good: Any) -> dict[str, Any]:
    until_s = time.monotonic() + _PATIENCE_S
    while time.monotonic() < until_s and collector.poll() is None:
        try:
            report: dict[str, Any] = json.loads((place / "lake" / ".hosu" / "coverage.json").read_text())
        except FileNotFoundError:
            report = {}
        if report and good(report):
            return report
        time.sleep(0.2)
    raise RuntimeError("the collector did not report")


def _hosu(place: Path, *words: str, stdout: int = subprocess.DEVNULL, **more: str) -> subprocess.Popen[Any]:
    return subprocess.Popen(
        [sys.executable, "-m", "hosu", *words],
        cwd=place,
        env={**os.environ, **more},
        stdout=stdout,
        stderr=subprocess.DEVNULL,
    )


def _row(name: str, value: float, unit: str, allowed: float | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "value": value, "unit": unit}
    if allowed is not None:
        row |= {"peer": "by arithmetic", "peer_value": allowed, "ratio": value / allowed}
    return row
