"""What does it cost to receive a frame from a WebSocket on loopback, beside `websockets` and the aiohttp client?

A server in a process of its own sends the same pre-encoded frames to each client as fast as it is read. Each client
runs in a process of its own too and does what a collector must at least: take every message's bytes, its receive
time, and hand both to one Python call; the peers in their fastest mode, without decoding text. CPU seconds of the
client count (wall time on two cores depends on the server too); each figure is the best of three.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.connection import Connection as Pipe

FRAMES = 400_000
ROUNDS = 3
FRAME = (
    b"0|H0STCNT0|001|005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700^"
    b"5105^6937^1832^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20250915^20^N^65945^"
    b"216924^1118750^2199206^0.05^2424142^125.92^0^^72100"
)


class Count:
    """The receiver every client hands its messages to."""

    def __init__(self) -> None:
        self.count, self.bytes = 0, 0

    def frames(self, connection: int, ts_recv_us: int, payloads: list[bytes]) -> bool:
        self.count += len(payloads)
        self.bytes += sum(map(len, payloads))
        return True

    def frame(self, ts_recv_us: int, payload: bytes) -> None:
        """For clients that hand over one message at a time."""
        self.count += 1
        self.bytes += len(payload)

    def session_event(self, connection: int, event: dict[str, Any]) -> None:
        pass


def serve(pipe: Pipe, frames: int) -> None:
    """Sends ``frames`` frames to every client that connects, pausing when it does not read, then closes."""
    import picows
    import uvloop

    one = bytes([0x81, 126, *len(FRAME).to_bytes(2)]) + FRAME
    batch = one * 256

    class Sender(picows.WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: picows.WSTransport) -> None:
            self.transport, self.left, self.paused = transport, frames, False
            asyncio.get_running_loop().call_soon(self.send)

        def send(self) -> None:
            while self.left and not self.paused:
                count = min(256, self.left)
                self.left -= count
                self.transport.underlying_transport.write(batch if count == 256 else one * count)
            if not self.left and not self.paused:
                self.transport.send_close(picows.WSCloseCode.OK)

        def pause_writing(self) -> None:
            self.paused = True

        def resume_writing(self) -> None:
            self.paused = False
            self.send()

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            if frame.msg_type is picows.WSMsgType.CLOSE:
                transport.disconnect()

    async def main() -> None:
        server = await picows.ws_create_server(lambda request: Sender(), "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        server.close()

    uvloop.run(main())


async def with_hosu(url: str, count: Count) -> None:
    """Our own feed, whole: registrations, watchdog and all; only the approval key is made up."""
    from hosu.clock import SystemClock
    from hosu.kis.feed import Feed, FeedConfig
    from hosu.kis.hosts import Credentials, Host

    class Approved:
        credentials = Credentials("key", "secret")

        async def approval_key(self) -> str:
            return "approval"

    with tempfile.TemporaryDirectory() as folder:
        feed = Feed(
            FeedConfig(Path(folder), stop_on_close=True),
            Host("simulator", "http://127.0.0.1:1", url),
            Approved(),  # type: ignore[arg-type]
            SystemClock(),
            count,
            expects_data=lambda now_us: True,
            random=Random(1),
        )
        await feed.run([])


async def with_websockets(url: str, count: Count) -> None:
    import websockets

    from hosu.clock import SystemClock

    clock = SystemClock()
    async with websockets.connect(url, compression=None, ping_interval=None, max_queue=1024) as socket:
        with contextlib.suppress(websockets.ConnectionClosedOK):
            while True:
                message = await socket.recv(decode=False)
                count.frame(clock.now_us(), bytes(message))


async def with_aiohttp(url: str, count: Count) -> None:
    import aiohttp

    from hosu.clock import SystemClock

    clock = SystemClock()
    async with aiohttp.ClientSession() as session, session.ws_connect(url, decode_text=False) as socket:
        async for message in socket:
            count.frame(clock.now_us(), message.data)


CLIENTS = {"hosu": with_hosu, "websockets": with_websockets, "aiohttp": with_aiohttp}


def receive(pipe: Pipe, name: str, url: str) -> None:
    """Runs one client to the end; sends frames, CPU seconds and wall seconds."""
    import uvloop

    count = Count()

    async def main() -> tuple[float, float]:
        usage, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        await CLIENTS[name](url, count)
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        return after.ru_utime + after.ru_stime - usage.ru_utime - usage.ru_stime, wall

    cpu, wall = uvloop.run(main())
    pipe.send((count.count, count.bytes, cpu, wall))


def measure(name: str, url: str) -> tuple[int, int, float, float]:
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=receive, args=(theirs, name, url))
    process.start()
    result = ours.recv()
    process.join()
    return result  # type: ignore[no-any-return]


def run(frames: int = FRAMES, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """The figures as rows: name, value, unit, peer, peer_value, ratio (ours to the peer's, more is better)."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, frames))
    server.start()
    url = f"ws://127.0.0.1:{ours.recv()}/"
    best = {name: (float("inf"), float("inf")) for name in CLIENTS}
    try:
        for _ in range(rounds):
            for name in CLIENTS:
                received, size, cpu, wall = measure(name, url)
                assert (received, size) == (frames, frames * len(FRAME)), (name, received)
                best[name] = (min(best[name][0], cpu), min(best[name][1], wall))
    finally:
        ours.send("stop")
        server.join()
    return [
        {
            "name": f"frames received a {what}",
            "value": frames / best["hosu"][at],
            "unit": "1/s",
            "peer": peer,
            "peer_value": frames / best[peer][at],
            "ratio": best[peer][at] / best["hosu"][at],
        }
        for at, what in ((0, "CPU second"), (1, "second of wall time"))
        for peer in ("websockets", "aiohttp")
    ]


if __name__ == "__main__":
    for row in run(int(sys.argv[1]) if len(sys.argv) > 1 else FRAMES):
        print(json.dumps(row))
