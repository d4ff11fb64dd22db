"""How many records a second go the whole way, from a socket to the lake, and how soon are they durable?

The simulator and the collector are processes of their own, joined by loopback, as a user would run them; both share
this machine's cores. Records are trades, one a frame, which is the dearest way to send them; the highest rates also
with up to 19 a frame, most one and few many, as the broker packs what was filled at once. Latency runs from the read of
the socket to the return of the sync that made the record durable.

``BENCH_SECONDS`` says how long each rate is held. The burst is ten times a mean for up to a minute of it, as at the
open, where the simulator can be told to hasten. The peers (``path_peers``) do the same work on the same simulator; what
is compared is the highest rate that was held without loss, ours the highest of the rates measured here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

SYMBOLS = 40
RATES = ((10_000, 1), (100_000, 1), (200_000, 1), (200_000, 19), (300_000, 19))
"""Records a second, and the most that a frame holds."""
BURST_MEAN = 20_000
BURST = 10
PEER_SECONDS = 15.0
"""How long a peer must hold a rate at most; twenty rates or so are tried."""
_MADE = "SELECT lsn, epoch_us(max(made_at)) AS made FROM predictions GROUP BY lsn"
_ANSWERS = "SELECT count(*) AS rows FROM predictions WHERE model_version > 0 AND abstained IS NULL"
ON_TIME = 0.98
"""A rate counts as held where so much of it arrived by the clock, and nothing was lost."""


def run(seconds: float = float(os.environ.get("BENCH_SECONDS", "60"))) -> list[dict[str, Any]]:
    rows, held = [], 0.0
    for rate, fills in RATES:
        found = measure(rate, seconds, fills=fills)
        target = f"{rate:,}/s" + (f", {found['records_a_frame']:.1f} a frame" if fills > 1 else "")
        rows += _rows_of(target, f"{target} for {seconds:.0f} s: arrived", found)
        if fills > 1:
            continue
        if not found["lost"] and found["records_per_s"] >= ON_TIME * rate:
            held = max(held, found["records_per_s"])
    return [*rows, *_predicting(seconds), *_burst(seconds), *_peers(held, seconds)]


def _predicting(seconds: float) -> list[dict[str, Any]]:
    """The first rate again, with features of all symbols at each of the day's closes, and the answers of two champions
    to them: boosted trees with their default parameters, for 10 and for 30 minutes."""
    rate, fills = RATES[0]
    found = measure(rate, seconds, fills=fills, predict=True)
    target = f"{rate:,}/s with predictions"
    rows = _rows_of(target, f"{target} for {seconds:.0f} s: arrived", found)
    rows.append(_row(f"{target}: bar closes in that time", found["closes"], "closes"))
    rows.append(_row(f"{target}: answers of two models in that time", found["answers"], "answers"))
    return rows + [
        _row(f"{target}: close of a bar to its predictions, {words}", found[name], "ms")
        for name, words in (("close_p50_ms", "median"), ("close_p99_ms", "99th percentile"))
    ]


def _rows_of(target: str, arrived: str, found: dict[str, float]) -> list[dict[str, Any]]:
    print(f"{arrived}: {found}", file=sys.stderr)  # the whole takes a quarter of an hour
    return [
        _row(arrived, found["records_per_s"], "records/s"),
        _row(f"{target}: lost", found["lost"], "records"),
        _row(f"{target}: socket to durable, median", found["p50_ms"], "ms"),
        _row(f"{target}: socket to durable, 99th percentile", found["p99_ms"], "ms"),
        _row(f"{target}: peak memory of the collector", found["peak_mib"], "MiB"),
        _row(f"{target}: CPU of the collector", found["cpu_us"], "µs a record"),
    ]


def _peers(held: float, seconds: float) -> list[dict[str, Any]]:
    """What the peers hold, beside the highest rate that was held here; and their latency where they have one."""
    from benchmarks.path_peers import FIRST_RATES, holding, steps, sustained

    rows = []
    each_s = min(seconds, PEER_SECONDS)
    for peer, first in FIRST_RATES.items():
        rate, found = sustained(peer, each_s, steps(first))
        name = "held without loss: the lake, durable and exactly once; the peer " + holding(peer)
        rows.append(_row(name, held, "records/s", peer, rate, held / rate if rate else None))
        if "p99_ms" in found:
            ours = measure(rate, each_s)
            at = f"socket to durable at {rate:,.0f}/s, the most the peer holds"
            rows += [
                _row(f"{at}: {words}", ours[value], "ms", peer, found[value], ours[value] / found[value])
                for value, words in (("p50_ms", "median"), ("p99_ms", "99th percentile"))
            ]
    return rows


def _burst(seconds: float) -> list[dict[str, Any]]:
    """The mean, then ten times as much for ``seconds`` up to a minute, then the mean; none where it can't be played."""
    described = subprocess.run(
        [sys.executable, "-m", "hosu", "simulator", "--help"], capture_output=True, text=True, check=True
    ).stdout
    if "--faults" not in described:
        return []
    burst_s, calm_s = min(seconds, 60.0), min(seconds / 4, 10.0)
    calm, much = int(BURST_MEAN * calm_s), int(BURST_MEAN * BURST * burst_s)
    fault = _hastened(2 * calm + much, calm, calm + much)
    found = measure(BURST_MEAN, (2 * calm + much) / BURST_MEAN, faults=fault)
    target = f"{BURST_MEAN:,}/s, then {BURST_MEAN * BURST:,}/s for {burst_s:.0f} s, then {BURST_MEAN:,}/s"
    return _rows_of("burst", f"{target}: arrived, over all", found)


def _hastened(records: int, begin: int, end: int) -> str:
    """The fault that hastens the simulator's day between two of its records: it goes by the market's time."""
    from datetime import date

    from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
    from hosu.kis.simulator.universe import default_symbols
    from hosu.market.calendar import business_day

    tape = Exchange(
        ExchangeConfig(date(2025, 9, 15), symbols=default_symbols(SYMBOLS), records=records, feeds=("trades",), fills=1)
    )
    passed, times_s = 0, dict.fromkeys((begin, end), 0.0)
    for burst in tape:
        for wanted in times_s:
            if passed <= wanted < passed + len(burst.at_us):
                times_s[wanted] = business_day(int(burst.at_us[wanted - passed]))[1]
        passed += len(burst.at_us)
    from_s, until_s = times_s[begin], times_s[end]
    clock = f"{int(from_s // 3600):02d}:{int(from_s // 60 % 60):02d}:{from_s % 60:04.1f}"
    return f"burst@{clock}+{round((until_s - from_s) * 1000)}ms={BURST}"


def measure(
    rate: float, seconds: float, *, faults: str = "", fills: int = 1, predict: bool = False, keys: int = 1
) -> dict[str, float]:
    """Plays ``rate`` records a second for ``seconds`` through simulator, collector and lake."""
    symbols = SYMBOLS * keys
    with tempfile.TemporaryDirectory(prefix="hosu-bench-") as folder:
        place = Path(folder)
        simulator = _simulator(place, rate, int(rate * seconds), faults, fills, symbols)
        try:
            assert simulator.stdout is not None
            addresses = json.loads(simulator.stdout.readline())
            if predict:
                _seat(place / "lake")
            status, usage, peak_kib = _collect(place, addresses, symbols, keys, predict=predict)
            simulator.wait(60)
        finally:
            simulator.kill()
            simulator.wait()
        sent = json.loads((place / "sent.json").read_text())
        rows, span_s = _rows_in_lake(place / "lake")
        closes = _closes(place / "lake") if predict else {}
    return {
        **closes,
        "records_per_s": rows / span_s,
        "records_a_frame": sent["records"] / sent["frames"],
        "lost": sent["records"] - rows,
        "p50_ms": status["latency_us"]["p50"] / 1000,
        "p99_ms": status["latency_us"]["p99"] / 1000,
        "sink_p50_ms": status["sink_latency_us"]["p50"] / 1000,
        "sink_p99_ms": status["sink_latency_us"]["p99"] / 1000,
        "peak_mib": peak_kib / 1024,
        "cpu_us": (usage.ru_utime + usage.ru_stime) / sent["records"] * 1e6,
    }


def _simulator(place: Path, rate: float, records: int, faults: str, fills: int, symbols: int) -> subprocess.Popen[str]:
    words = f"--date 2025-09-15 --symbols {symbols} --rate {rate} --records {records} --fills {fills} --feeds trades"
    words += f" --slots {SYMBOLS} --expect {symbols} --report {place / 'sent.json'}"
    return subprocess.Popen(
        [sys.executable, "-m", "hosu", "simulator", *words.split(), *(["--faults", faults] if faults else [])],
        stdout=subprocess.PIPE,
        text=True,
    )


def _collect(
    place: Path, addresses: dict[str, str], symbols: int, keys: int, *, predict: bool
) -> tuple[dict[str, Any], Any, int]:
    from hosu.kis.simulator.universe import default_symbols

    words = f"--kis simulator --rest {addresses['rest']} --ws {addresses['ws']} --feeds trades --slots {SYMBOLS}"
    words += f" --keys {keys} --symbols {','.join(default_symbols(symbols))}"
    words += f" --lake {place / 'lake'} --no-bars --format json"
    words += " --predict" if predict else ""
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


def _seat(root: Path) -> None:
    """Champions that answer every row: of the served features' names and number, learned from made-up ones."""
    import numpy as np

    from benchmarks.bench_serving import packed, trained
    from hosu.clock import SystemClock
    from hosu.features.definitions import SCALE_FREE_V1
    from hosu.lake.lake import Lake
    from hosu.models.estimators import Kind
    from hosu.models.registry import HORIZONS, Registry

    learned, configuration = trained(Kind.GBDT, SCALE_FREE_V1.features)
    learned = replace(learned, low=np.full(len(learned.names), -1e9), high=np.full(len(learned.names), 1e9))
    registry = Registry(Lake.open(str(root)), SystemClock())
    for model in ("minute-10", "minute-30"):
        files = packed(learned, configuration, model, HORIZONS[model][1], SCALE_FREE_V1.version)
        registry.promote(
            model, registry.register(model, files, {"feature_set": SCALE_FREE_V1.version}, "edge"), "bench"
        )


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


def _closes(root: Path) -> dict[str, float]:
    """From the record that closes a bar, as it is handed to the log, to the predictions of all symbols."""
    import numpy as np

    from hosu.collect.block import RecordKind
    from hosu.lake.frames import Frames
    from hosu.lake.lake import Lake
    from hosu.lake.sql import Session

    lake = Lake.open(str(root), create=False)
    at: dict[int, int] = {}
    frames = Frames(lake)
    for block in (block for log in frames.logs for each in frames.segments(log) for block in frames.blocks(each)):
        mine = block.kind == RecordKind.BAR_CLOSE
        at |= dict(zip(block.lsn[mine].tolist(), block.ts_recv_us[mine].tolist(), strict=True))
    with Session(lake) as session:
        made = session.query(_MADE).to_pylist()
        answers = session.query(_ANSWERS).to_pylist()[0]["rows"]
    took_ms = np.array([row["made"] - at[row["lsn"]] for row in made]) / 1000
    p50, p99 = np.quantile(took_ms, [0.5, 0.99]).tolist()
    return {"closes": len(took_ms), "answers": answers, "close_p50_ms": p50, "close_p99_ms": p99}


def _row(
    name: str,
    value: float,
    unit: str,
    peer: str | None = None,
    peer_value: float | None = None,
    ratio: float | None = None,
) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": ratio}


if __name__ == "__main__":
    for each in run():
        print(f"{each['name']:60} {each['value']:14,.2f} {each['unit']}")
