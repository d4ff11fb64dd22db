"""How fast the log takes frames and makes them durable, against SQLite in WAL mode with synchronous=FULL.

One commit holds a fixed number of frames of 263 bytes, as one trade is; each side takes them one by one, keeps the
same of each (length, CRC-32, number, receive time, bytes), and commits back to back to the same disk: ours through
`Log` as the collector uses it, SQLite as one blob of the whole batch a transaction, its best case. Both sides sync
every commit. What is not the same: SQLite runs in one thread, the log packs and syncs in a second one.
"""

from __future__ import annotations

import os
import sqlite3
import struct
import tempfile
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from hosu.clock import SystemClock
from hosu.collect.wal import Log, LogConfig

PEER = "sqlite3 WAL, FULL, a blob a batch"
FRAME_BYTES = 263
TOTAL_FRAMES = 400_000
BATCH = 5_000
PACED_RATE = 100_000
PACED_S = 3.0


def run() -> list[dict[str, Any]]:
    """Rows of name, value, unit, peer, peer_value and ratio."""
    frames = [os.urandom(FRAME_BYTES) for _ in range(BATCH)]
    with tempfile.TemporaryDirectory(dir=os.environ.get("HOSU_BENCH_DIR")) as folder:
        ours, ours_cpu = _log_throughput(Path(folder) / "log", frames)
        theirs, theirs_cpu = _sqlite_throughput(Path(folder) / "peer.sqlite", frames)
        paced = _paced(Path(folder) / "paced", frames)
    return [
        _row(f"durable frames, commits of {BATCH}", "frames/s", round(ours), round(theirs), ours / theirs),
        _row("CPU a frame of the same", "us", ours_cpu, theirs_cpu, theirs_cpu / ours_cpu),
        *paced,
    ]


def _row(name: str, unit: str, value: float, theirs: float | None = None, ratio: float | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "peer": PEER if theirs else None,
        "peer_value": theirs,
        "ratio": ratio,
    }


def _log_throughput(folder: Path, frames: list[bytes]) -> tuple[float, float]:
    clock = SystemClock()
    log = Log.open(folder, clock, LogConfig(segment_bytes=1 << 30, commit_bytes=(FRAME_BYTES + 32) * BATCH))
    drained = threading.Event()
    log.on_drained(drained.set)
    began, cpu = time.perf_counter(), time.process_time()
    for _ in range(TOTAL_FRAMES // BATCH):
        now_us, room = clock.now_us(), True
        for frame in frames:
            room = log.append(1, 1, now_us, frame)
        if not room:
            drained.wait(60)
            drained.clear()
    log.wait_written(60)
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    log.close()
    return TOTAL_FRAMES / wall, used / TOTAL_FRAMES * 1e6


def _sqlite_throughput(path: Path, frames: list[bytes]) -> tuple[float, float]:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE log (id INTEGER PRIMARY KEY, batch BLOB)")
    began, cpu = time.perf_counter(), time.process_time()
    clock, number, head = SystemClock(), 0, struct.Struct("<IIQq").pack
    for _ in range(TOTAL_FRAMES // BATCH):
        batch: list[bytes] = []
        now_us = clock.now_us()
        for frame in frames:
            batch += (head(len(frame), zlib.crc32(frame), number, now_us), frame)
            number += 1
        connection.execute("BEGIN")
        connection.execute("INSERT INTO log (batch) VALUES (?)", (b"".join(batch),))
        connection.execute("COMMIT")
    wall, used = time.perf_counter() - began, time.process_time() - cpu
    connection.close()
    return TOTAL_FRAMES / wall, used / TOTAL_FRAMES * 1e6


def _paced(folder: Path, frames: list[bytes]) -> list[dict[str, Any]]:
    """Append-to-durable latency and CPU at a steady rate, a millisecond's frames at a time as a socket read brings."""
    clock = SystemClock()
    log = Log.open(folder, clock)
    began, cpu, sent = time.perf_counter(), time.process_time(), 0
    while (elapsed := time.perf_counter() - began) < PACED_S:
        now_us = clock.now_us()
        for i in range(sent, int(elapsed * PACED_RATE)):
            log.append(1, 1, now_us, frames[i % BATCH])
        sent = max(sent, int(elapsed * PACED_RATE))
        time.sleep(0.001)
    log.wait_written(60)
    used = time.process_time() - cpu
    log.close()
    label = f"at {PACED_RATE // 1000}k frames/s"
    p50_us, p99_us = log.latency.quantile_us(0.5) or 0.0, log.latency.quantile_us(0.99) or 0.0
    return [
        _row(f"append to durable p50, {label}", "ms", p50_us / 1000),
        _row(f"append to durable p99, {label}", "ms", p99_us / 1000),
        _row(f"CPU a frame, {label}", "us", used / sent * 1e6),
    ]


if __name__ == "__main__":
    for row in run():
        print(row)
