"""The same work as others do it: peers of ``bench_path``, each a process of its own against the same simulator.

``websockets`` and ``str.split``, the honest usual way: a coroutine receives with `websockets`, answers PINGPONG and
hands each message to a thread that appends it to a file and syncs whatever has gathered (group commit); each record is
split into a dict of strings by field name; dicts gather into batches that are written as row groups of Parquet.

python-kis 2.1.6, as its users run it: its own WebSocket client, event objects, appended to a list. It writes nothing,
so it has no latency to durability.

Either runs as ``python -m benchmarks.path_peers PEER REST WS FOLDER SYMBOL...`` and prints what it found as
JSON in its last line. ``sustained`` finds the highest rate that a peer holds without loss and without falling behind.
"""

from __future__ import annotations

import asyncio
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SYMBOLS = 40
FLUSH_ROWS = 50_000
FLUSH_S = 2.0
SETTLE_S = 3.0
"""How much longer than the day a peer may take to its last record, registration and first frames included."""

Found = dict[str, float]


# --- websockets and str.split ---------------------------------------------------------------------------------------


class GroupCommit:
    """A thread that appends messages to a file and syncs what has gathered; latencies from receipt to sync."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._waiting: queue.SimpleQueue[tuple[float, bytes] | None] = queue.SimpleQueue()
        self.latencies_s: list[float] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def append(self, received_s: float, message: bytes) -> None:
        self._waiting.put((received_s, message))

    def close(self) -> None:
        self._waiting.put(None)
        self._thread.join()
        self._file.close()

    def _run(self) -> None:
        while (first := self._waiting.get()) is not None:
            batch, ended = [first], False
            while not ended:
                try:
                    more = self._waiting.get_nowait()
                except queue.Empty:
                    break
                ended = more is None
                if more is not None:
                    batch.append(more)
            self._file.write(b"\n".join(message for _, message in batch) + b"\n")
            os.fdatasync(self._file.fileno())
            now_s = time.perf_counter()
            self.latencies_s += [now_s - received_s for received_s, _ in batch]
            if ended:
                return


class Rows:
    """Dicts of strings that become row groups of a Parquet file."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._pa, self._schema = pa, pa.schema([(name, pa.string()) for name in names])
        self._writer = pq.ParquetWriter(path, self._schema)
        self._held: list[dict[str, str]] = []
        self._flushed_s = time.monotonic()
        self.written = 0

    def take(self, rows: list[dict[str, str]]) -> None:
        self._held += rows
        if len(self._held) >= FLUSH_ROWS or time.monotonic() - self._flushed_s >= FLUSH_S:
            self.flush()

    def flush(self) -> None:
        if self._held:
            self._writer.write_table(self._pa.Table.from_pylist(self._held, schema=self._schema))
            self.written += len(self._held)
            self._held = []
        self._flushed_s = time.monotonic()

    def close(self) -> None:
        self.flush()
        self._writer.close()


def split(message: str, names: tuple[str, ...]) -> list[dict[str, str]]:
    """The records of a frame as dicts, the way of the broker's own sample."""
    _, _, count, payload = message.split("|", 3)
    fields = payload.split("^")
    width = len(fields) // int(count)
    return [dict(zip(names, fields[i * width : (i + 1) * width], strict=False)) for i in range(int(count))]


async def with_websockets(rest: str, ws: str, folder: Path, symbols: list[str]) -> Found:
    """Receives until the simulator closes."""
    from datetime import date

    import websockets

    from hosu.kis.layouts import layout_on

    names = tuple(each.name for each in layout_on("H0STCNT0", date(2025, 9, 15)).fields)
    log, rows = GroupCommit(folder / "messages.log"), Rows(folder / "trades.parquet", names)
    first_s = last_s = 0.0
    async with websockets.connect(ws, max_size=None, ping_interval=None, compression=None) as line:
        key = approval(rest)
        for symbol in symbols:
            await line.send(registration(key, symbol))
        async for message in line:
            assert isinstance(message, str)
            if message[0] == "{":
                if "PINGPONG" in message:
                    with suppress(websockets.ConnectionClosed):  # what was received before is still to be read
                        await line.send(message)
                continue
            last_s = time.perf_counter()
            first_s = first_s or last_s
            log.append(last_s, message.encode())
            rows.take(split(message, names))
    log.close()
    rows.close()
    done_s = time.perf_counter()
    delays = sorted(log.latencies_s)
    return {
        "records": rows.written,
        "seconds": done_s - first_s,
        "p50_ms": delays[len(delays) // 2] * 1e3 if delays else 0.0,
        "p99_ms": delays[len(delays) * 99 // 100] * 1e3 if delays else 0.0,
    }


def approval(rest: str) -> str:
    from urllib.request import Request, urlopen

    body = json.dumps({"grant_type": "client_credentials", "appkey": "PSpeer", "secretkey": "peer"}).encode()
    with urlopen(Request(f"{rest}/oauth2/Approval", data=body)) as reply:
        return str(json.load(reply)["approval_key"])


def registration(key: str, symbol: str) -> str:
    header = {"approval_key": key, "custtype": "P", "tr_type": "1", "content-type": "utf-8"}
    return json.dumps({"header": header, "body": {"input": {"tr_id": "H0STCNT0", "tr_key": symbol}}})


# --- python-kis -----------------------------------------------------------------------------------------------------


def with_python_kis(rest: str, ws: str, symbols: list[str]) -> Found:
    """As its users run it; only its two constants with the broker's addresses are set."""
    import logging

    import pykis.client.websocket
    import pykis.kis
    from pykis import PyKis

    pykis.kis.REAL_DOMAIN = rest
    pykis.client.websocket.WEBSOCKET_REAL_DOMAIN = ws
    logging.disable(logging.CRITICAL)
    keys = {"appkey": "PS" + "K" * 34, "secretkey": "S" * 180}
    kis = PyKis(id="somebody", account="12345678-01", **keys, keep_token=False, use_websocket=True)
    stocks = [kis.stock(symbol) for symbol in symbols]
    kis.websocket.ensure_connected(timeout=60)
    trades: list[Any] = []
    times_s: list[float] = []

    def take(_: object, event: Any) -> None:
        trades.append(event.response)
        times_s.append(time.perf_counter())

    tickets = [stock.on("price", take) for stock in stocks]
    while kis.websocket.connected:
        time.sleep(0.02)
    kis.websocket.disconnect()
    for ticket in tickets:
        ticket.unsubscribe()
    return {"records": len(trades), "seconds": times_s[-1] - times_s[0] if times_s else 0.0}


# --- how fast ---------------------------------------------------------------------------------------------------------


def play(peer: str, rate: float, seconds: float) -> Found:
    """One day of ``seconds`` at ``rate`` records a second; what the peer got, and ``sent``."""
    with tempfile.TemporaryDirectory(prefix="hosu-peer-") as folder:
        place = Path(folder)
        words = f"--date 2025-09-15 --symbols {SYMBOLS} --rate {rate} --records {int(rate * seconds)} --fills 1"
        words += f" --feeds trades --slots {SYMBOLS} --expect {SYMBOLS} --report {place / 'sent.json'}"
        simulator = subprocess.Popen(
            [sys.executable, "-m", "hosu", "simulator", *words.split()],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert simulator.stdout is not None
            addresses = json.loads(simulator.stdout.readline())
            found = _peer(peer, addresses, place, seconds)
            simulator.wait(60)
        finally:
            simulator.kill()
            simulator.wait()
        found["sent"] = float(json.loads((place / "sent.json").read_text())["records"])
    return found


def _peer(peer: str, addresses: dict[str, str], place: Path, seconds: float) -> Found:
    from hosu.kis.simulator.universe import default_symbols

    words = [peer, addresses["rest"], addresses["ws"], str(place), *default_symbols(SYMBOLS)]
    # A peer that is far too slow is not waited for: it has failed at this rate.
    patience_s = 60 + 4 * seconds
    try:
        ran = subprocess.run(
            [sys.executable, "-m", "benchmarks.path_peers", *words],
            capture_output=True,
            check=False,
            text=True,
            timeout=patience_s,
            cwd=Path(__file__).parents[1],
        )
    except subprocess.TimeoutExpired:
        return {"records": 0.0, "seconds": patience_s}
    if ran.returncode:
        print(f"{peer} ended with {ran.returncode}: {ran.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return {"records": 0.0, "seconds": 0.0}
    found: Found = json.loads(ran.stdout.splitlines()[-1])
    return found


def holds(found: Found, seconds: float) -> bool:
    """Whether every record came, and the last one not long after it was due."""
    return found["records"] == found["sent"] and found["seconds"] <= seconds * 1.05 + SETTLE_S


def sustained(
    peer: str, seconds: float, rates: Iterator[float], *, run: Callable[[str, float, float], Found] = play
) -> tuple[float, Found]:
    """The last of rising ``rates`` that the peer holds for ``seconds``, and what it measured there; 0 if none.

    The backlog of a peer that is too slow stands in the sockets and, since the simulator waits for slow readers, in
    the day's length; so a rate is held if the day did not take longer.
    """
    best: tuple[float, Found] = (0.0, {})
    for rate in rates:
        found = run(peer, rate, seconds)
        print(f"{peer} at {rate:,.0f}/s: {found}", file=sys.stderr)
        if not holds(found, seconds):
            break
        best = (rate, found)
    return best


def steps(first: float, factor: float = 1.25) -> Iterator[float]:
    """Rates from ``first`` on, each a quarter higher than the one before."""
    rate = first
    while True:
        yield round(rate, -2)
        rate *= factor


FIRST_RATES = {"websockets": 10_000.0, "python-kis": 250.0}


def holding(peer: str) -> str:
    """What the peer does with what it receives."""
    return {
        "websockets": "splits into dicts, syncs a file, writes Parquet",
        "python-kis": "appends event objects to a list",
    }[peer]


def main(words: list[str]) -> None:
    peer, rest, ws, folder, *symbols = words
    if peer == "websockets":
        found = asyncio.run(with_websockets(rest, ws, Path(folder), symbols))
    else:
        found = with_python_kis(rest, ws, symbols)
    print(f"\n{json.dumps(found)}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
