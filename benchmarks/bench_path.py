"""How many records a second go the whole way, from a socket to the lake, and how soon are they durable?

The simulator and the collector are processes of their own, joined by loopback, as a user would run them; both share
this machine's cores. Records are trades, one a frame, which is the dearest way to send them. Latency runs from the
read of the socket to the return of the sync that made the record durable.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SYMBOLS = 40


def run(seconds: float = float(os.environ.get("BENCH_SECONDS", "60"))) -> list[dict[str, Any]]:
    rows = []
    for rate, target in ((10_000, "10,000/s"), (100_000, "100,000/s")):
        found = measure(rate, seconds)
        rows += [
            _row(f"{target} for {seconds:.0f} s: arrived", found["records_per_s"], "records/s"),
            _row(f"{target}: lost", found["lost"], "records"),
            _row(f"{target}: socket to durable, median", found["p50_ms"], "ms"),
            _row(f"{target}: socket to durable, 99th percentile", found["p99_ms"], "ms"),
            _row(f"{target}: peak memory of the collector", found["peak_mib"], "MiB"),
            _row(f"{target}: CPU of the collector", found["cpu_us"], "µs a record"),
        ]
    return rows


def measure(rate: float, seconds: float) -> dict[str, float]:
    """Plays ``rate`` records a second for ``seconds`` through simulator, collector and lake."""
    with tempfile.TemporaryDirectory(prefix="hosu-bench-") as folder:
        place = Path(folder)
        simulator = _simulator(place, rate, int(rate * seconds))
        try:
            assert simulator.stdout is not None
            addresses = json.loads(simulator.stdout.readline())
            status, usage, peak_kib = _collect(place, addresses)
            simulator.wait(60)
        finally:
            simulator.kill()
            simulator.wait()
        sent = json.loads((place / "sent.json").read_text())
        rows, span_s = _rows_in_lake(place / "lake")
    return {
        "records_per_s": rows / span_s,
        "lost": sent["records"] - rows,
        "p50_ms": status["latency_us"]["p50"] / 1000,
        "p99_ms": status["latency_us"]["p99"] / 1000,
        "peak_mib": peak_kib / 1024,
        "cpu_us": (usage.ru_utime + usage.ru_stime) / sent["records"] * 1e6,
    }


def _simulator(place: Path, rate: float, records: int) -> subprocess.Popen[str]:
    words = f"--date 2025-09-15 --symbols {SYMBOLS} --rate {rate} --records {records} --fills 1 --feeds trades"
    words += f" --slots {SYMBOLS} --expect {SYMBOLS} --report {place / 'sent.json'}"
    return subprocess.Popen(
        [sys.executable, "-m", "hosu", "simulator", *words.split()],
        stdout=subprocess.PIPE,
        text=True,
    )


def _collect(place: Path, addresses: dict[str, str]) -> tuple[dict[str, Any], Any, int]:

    from hosu.kis.simulator.universe import default_symbols

    words = f"--kis simulator --rest {addresses['rest']} --ws {addresses['ws']} --feeds trades --slots {SYMBOLS}"
    words += f" --symbols {','.join(default_symbols(SYMBOLS))} --lake {place / 'lake'} --no-bars --format json"
    process = subprocess.Popen(
        [sys.executable, "-m", "hosu", "collect", *words.split()],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    peak_kib, ended = 0, 0
    while not ended:
        peak_kib = max(peak_kib, _peak_kib(process.pid))
        time.sleep(0.2)
        ended, _, usage = os.wait4(process.pid, os.WNOHANG)
    return json.loads(process.stdout.read()), usage, peak_kib


def _peak_kib(pid: int) -> int:
    """The most memory the process has held; what ``wait4`` says includes the parent it was forked from."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), 0)


def _rows_in_lake(lake: Path) -> tuple[int, float]:
    """How many trades arrived, and the seconds between the first and the last."""
    query = "SELECT count(*) AS n, epoch_us(max(ts_recv)) - epoch_us(min(ts_recv)) AS span_us FROM trades"
    text = subprocess.run(
        [sys.executable, "-m", "hosu", "sql", query, "--lake", lake, "--format", "json"],
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    found = json.loads(text)[0]
    return int(found["n"]), int(found["span_us"]) / 1e6


def _row(name: str, value: float, unit: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": None, "peer_value": None, "ratio": None}


if __name__ == "__main__":
    for each in run():
        print(f"{each['name']:60} {each['value']:14,.2f} {each['unit']}")
