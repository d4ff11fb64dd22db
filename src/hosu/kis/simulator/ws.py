"""The WebSocket side of the simulated broker: sockets, heartbeat, cut-offs. What is said is in ``sessions``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from picows import WSCloseCode, WSListener, WSMsgType, ws_create_server

from hosu.errors import PortInUseError
from hosu.kis.layouts import LAYOUTS
from hosu.kis.simulator.sessions import NOTICES, Session, Slots, pingpong

if TYPE_CHECKING:
    from collections.abc import Callable

    from picows import WSFrame, WSTransport, WSUpgradeRequest

    from hosu.clock import Clock
    from hosu.kis.registrations import Registration
    from hosu.kis.simulator.delivery import Delivery, Line
    from hosu.kis.simulator.faults import Faults

_LOG: Final = logging.getLogger("hosu.simulator.ws")
_LOG.setLevel(logging.WARNING)  # picows tells of every connection

_CONTENT: Final = frozenset({"PINGPONG", "OPSP0000", "OPSP0001"})
_PATHS: Final = ("", "/", "/tryitout")
_BUFFERED: Final = 1 << 20  # bytes a connection may have unread before sending waits; twice that at most is held
_MESSAGE_MAX: Final = 64 * 1024  # requests are a few hundred bytes


@dataclass(frozen=True, slots=True)
class WsConfig:
    """Addresses and rhythms."""

    host: str = "127.0.0.1"
    port: int = 0
    ping_every_s: float = 10.0
    cut_after_s: float = 100.0
    """A client that has not answered a PINGPONG for so long is cut off."""


class WsServer:
    """Accepts connections and carries messages between sockets, sessions and the delivery."""

    def __init__(
        self,
        config: WsConfig,
        slots: Slots,
        delivery: Delivery,
        *,
        appkey_of: Callable[[str], str | None],
        market_time: Callable[[], str],
        faults: Faults,
        clock: Clock,
    ) -> None:
        """``market_time`` gives the market's KST time as YYYYMMDDHHMMSS."""
        self.config, self.slots, self.delivery, self.faults, self.clock = config, slots, delivery, faults, clock
        self.appkey_of, self._market_time = appkey_of, market_time
        self.listeners: dict[int, _Listener] = {}
        self.refusals: Counter[str] = Counter()
        self._server: asyncio.Server | None = None
        self._port: int | None = None
        self._connections = 0

    @property
    def port(self) -> int:
        """The port it listens on, or listened on until it was closed."""
        assert self._port is not None, "start it first"
        return self._port

    async def start(self) -> None:
        """Listens. Raises PortInUseError."""
        try:
            self._server = await ws_create_server(
                self._accept,
                self.config.host,
                self.config.port,
                enable_auto_pong=False,
                max_frame_size=_MESSAGE_MAX,
                logger_name=_LOG,
            )
        except OSError as fault:
            raise PortInUseError(self.config.host, self.config.port) from fault
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def beat(self) -> None:
        """Sends PINGPONG and cuts off who does not answer, until cancelled."""
        while True:
            await self.clock.sleep(self.config.ping_every_s)
            self.beat_now()

    def beat_now(self) -> None:
        """Sends one PINGPONG to everybody, and cuts off who has not answered for too long."""
        text = pingpong(self._market_time())
        for listener in list(self.listeners.values()):
            listener.beat(text)

    def notify(self, tr_id: str, key: str, encrypted: Callable[[str, str], bytes]) -> None:
        """Sends an encrypted notice to whoever has registered it; ``encrypted`` takes the iv and key of its ack."""
        for listener in list(self.listeners.values()):
            listener.notify(tr_id, key, encrypted)

    def notice_keys(self) -> list[Registration]:
        """The notices registered anywhere."""
        return [key for listener in self.listeners.values() for key in listener.notice_keys()]

    async def close(self, patience_s: float = 10.0) -> None:
        """Closes every connection normally, once what is buffered has been read, and stops listening."""
        if self._server is not None:
            self._server.close()
        for listener in list(self.listeners.values()):
            listener.end("day ended")
        until = self.clock.monotonic() + patience_s
        while self.listeners and self.clock.monotonic() < until:
            await self.clock.sleep(0.01)
        for listener in list(self.listeners.values()):
            listener.abort("did not close")
        while self.listeners:  # noqa: ASYNC110  they end within a turn or two of the loop
            await asyncio.sleep(0)

    def _accept(self, request: WSUpgradeRequest) -> WSListener | None:
        path = request.path.decode("ascii", "replace").split("?", 1)[0]
        if path not in _PATHS and path.removeprefix("/tryitout/") not in LAYOUTS:
            return None
        self._connections += 1
        if not self.faults.on_connect(self._connections, path):
            return None
        return _Listener(self._connections, self)


class _Listener(WSListener):
    """One client's connection."""

    def __init__(self, connection: int, server: WsServer) -> None:
        self._connection, self._server = connection, server
        self._session = Session(connection, server.slots, frozenset(LAYOUTS), server.appkey_of)
        self._transport: WSTransport | None = None
        self._line: Line | None = None
        self._answered_s = server.clock.monotonic()
        self._closing: str | None = None

    def write(self, messages: memoryview) -> None:
        """As ``delivery.Wire``; goes past picows, which frames one message at a time."""
        transport = self._transport
        if transport is not None and self._closing is None and not transport.is_close_frame_sent:
            transport.underlying_transport.write(messages)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=_BUFFERED, low=_BUFFERED // 4)
        self._line = self._server.delivery.open(self._connection, self)
        self._server.listeners[self._connection] = self

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            self._answered_s = self._server.clock.monotonic()
            if frame.msg_type is WSMsgType.PING and self._closing is None:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            self._closing = self._closing or "closed by the client"
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            self._take(bytes(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  the library's signature
        self._server.listeners.pop(self._connection, None)
        self._server.delivery.close(self._connection, self._closing or "broken off")
        if self._session.appkey is not None:
            self._server.slots.leave(self._session.appkey, self._connection, abrupt=self._closing is None)

    def pause_writing(self) -> None:
        if self._line is not None:
            self._line.writable.clear()

    def resume_writing(self) -> None:
        if self._line is not None:
            self._line.writable.set()

    def beat(self, text: bytes) -> None:
        """One heartbeat, or the end of a client that has not answered."""
        if self._server.clock.monotonic() - self._answered_s > self._server.config.cut_after_s:
            self.abort("PINGPONG not answered")
        elif self._server.faults.before_ping(self._connection):
            self._send(text)

    def notify(self, tr_id: str, key: str, encrypted: Callable[[str, str], bytes]) -> None:
        """A notice, if it is registered here."""
        for registration, (iv, secret) in self._session.registrations.items():
            if registration.tr_id == tr_id and registration.key == key and self._line is not None:
                self._send(encrypted(iv, secret))
                self._line.tally.notices += 1

    def notice_keys(self) -> list[Registration]:
        """The notices registered here."""
        return [each for each in self._session.registrations if each.tr_id in NOTICES]

    def end(self, reason: str) -> None:
        """A normal close, behind everything sent so far."""
        if self._closing is None and self._transport is not None:
            self._closing = reason
            self._transport.send_close(WSCloseCode.OK)

    def abort(self, reason: str) -> None:
        """The end without a close."""
        if self._transport is not None:
            self._closing = reason
            self._transport.disconnect(graceful=False)

    def _take(self, raw: bytes) -> None:
        try:
            answer = self._session.answer(raw.decode())
        except UnicodeDecodeError:
            answer = self._session.answer("")
        if answer.code not in _CONTENT:
            self._server.refusals[answer.code] += 1
        if answer.code == "PINGPONG":
            self._answered_s = self._server.clock.monotonic()
        if answer.text is not None:
            delay_s = self._server.faults.before_ack(self._connection, answer.text)
            if delay_s > 0:
                asyncio.get_running_loop().call_later(delay_s, self._send, answer.text)
            else:
                self._send(answer.text)
        if answer.registered is not None:
            self._server.delivery.register(self._connection, answer.registered)
        if answer.released is not None:
            self._server.delivery.release(self._connection, answer.released)

    def _send(self, text: bytes) -> None:
        if self._transport is not None and self._closing is None:
            with contextlib.suppress(ConnectionError):
                self._transport.send(WSMsgType.TEXT, text)
