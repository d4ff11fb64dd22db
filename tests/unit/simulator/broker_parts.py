"""A simulated broker over real sockets, and a client that keeps what it is sent."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date

import aiohttp
from picows import WSCloseCode, WSListener, WSMsgType, ws_connect

from hosu.clock import SystemClock
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace
from hosu.kis.simulator.player import PlayConfig

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660")
KEYS = [(tr, s) for tr in ("H0STCNT0", "H0STASP0", "H0STANC0", "H0STMKO0") for s in SYMBOLS]
FAST = PlayConfig(pace=Pace("max"), settle_s=0.05)
PRICE = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}
STILL = PlayConfig(pace=Pace("max"), expect=10_000)  # a day that never begins


class Client(WSListener):
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.messages: list[dict] = []
        self.close_code: WSCloseCode | None = None
        self.answer_ping = True
        self.news = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            raw = frame.get_payload_as_bytes()
            if raw[:1] == b"{":
                self.messages.append(json.loads(raw))
                if self.messages[-1]["header"]["tr_id"] == "PINGPONG" and self.answer_ping:
                    transport.send(WSMsgType.TEXT, raw)
            else:
                self.frames.append(raw)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()
            transport.send_close(self.close_code)
            transport.disconnect()
        self.news.set()

    def on_ws_disconnected(self, transport) -> None:
        self.ended.set_result(None)
        self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def send(self, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self.transport.send(WSMsgType.TEXT, text.encode())

    def register(self, approval: str, *keys: tuple[str, str], tr_type: str = "1") -> None:
        header = {"approval_key": approval, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8"}
        for tr_id, tr_key in keys:
            self.send({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}})

    def codes(self) -> list[str]:
        return [m["body"]["msg_cd"] for m in self.messages if "body" in m]


class Broker:
    """A running simulator and how a client talks to it."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator, self.http = simulator, http

    async def post(self, path: str, **body: str) -> tuple[int, dict]:
        async with self.http.post(self.simulator.rest_url + path, json=body) as reply:
            return reply.status, await reply.json()

    async def approval(self, appkey: str = "k" * 36) -> str:
        grant = {"grant_type": "client_credentials", "appkey": appkey, "secretkey": "s"}
        return (await self.post("/oauth2/Approval", **grant))[1]["approval_key"]

    async def headers(self) -> dict[str, str]:
        grant = {"grant_type": "client_credentials", "appkey": "k" * 36, "appsecret": "s"}
        token = (await self.post("/oauth2/tokenP", **grant))[1]["access_token"]
        return {"authorization": f"Bearer {token}", "appkey": "k" * 36, "appsecret": "s", "custtype": "P"}

    async def connect(self, path: str = "/tryitout") -> Client:
        return (await ws_connect(Client, self.simulator.ws_url + path))[1]

    async def get(self, name: str, headers: dict[str, str], tr_id: str, **query: str) -> tuple[int, dict]:
        url = f"{self.simulator.rest_url}/uapi/domestic-stock/v1/quotations/{name}"
        async with self.http.get(url, headers={**headers, "tr_id": tr_id}, params=query) as reply:
            return reply.status, await reply.json()


def run(
    test: Callable[[Broker], Awaitable[None]], play: PlayConfig = FAST, exchange: dict | None = None, **config: object
) -> dict:
    """Runs ``test`` against a simulator; returns its report."""

    async def main() -> dict:
        day = ExchangeConfig(DAY, symbols=SYMBOLS, **{"records": 3000, **(exchange or {})})
        simulator = Simulator(SimulatorConfig(play=play, **config), lambda: Exchange(day), SystemClock())  # type: ignore[arg-type]
        await simulator.start()
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(60):
                await test(Broker(simulator, http))
        finally:
            await simulator.stop()
        return simulator.report()

    return asyncio.run(main())


def records_of(frames: list[bytes]) -> list[tuple[str, str, bytes]]:
    """(TR id, symbol, record) of every record."""
    found = []
    for frame in frames:
        _, tr_id, count, payload = frame.split(b"|", 3)
        fields = payload.split(b"^")
        width = len(fields) // int(count)
        parts = [fields[i : i + width] for i in range(0, len(fields), width)]
        found += [(tr_id.decode(), part[0].decode(), b"^".join(part)) for part in parts]
    return found
