"""The WebSocket side of the simulated broker: sockets, heartbeat, cut-offs. What is said is in ``sessions``."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from picows import (
    WSCloseCode,
    WSListener,
    WSMsgType,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)

from hosu.errors import PortInUseError
from hosu.kis.layouts import LAYOUTS
from hosu.kis.simulator.faults import AckFault
from hosu.kis.simulator.market_time import market_time_text
from hosu.kis.simulator.sessions import NOTICES, Session, Slots, pingpong

if TYPE_CHECKING:
    from collections.abc import Callable

    from picows import WSFrame, WSTransport, WSUpgradeRequest

    from hosu.clock import Clock
    from hosu.kis.registrations import Registration
    from hosu.kis.simulator.delivery import Delivery, Line
    from hosu.kis.simulator.faults import Act, Faults

_LOG: Final = logging.getLogger("hosu.simulator.ws")
_LOG.setLevel(logging.WARNING)  # picows tells of every connection

_PATHS: Final = ("", "/", "/tryitout")
_BUFFERED: Final = 1 << 20  # bytes a connection may have unread before sending waits; twice that at most is held
_MESSAGE_MAX: Final = 64 * 1024  # requests are a few hundred bytes
_WELL: Final = AckFault()
_ABNORMAL: Final = 1006  # what a client notes where no close frame came


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
        now_us: Callable[[], int],
        faults: Faults,
        clock: Clock,
    ) -> None:
        """``now_us`` gives the market's time, UTC microseconds."""
        self.config, self.slots, self.delivery, self.faults, self.clock = config, slots, delivery, faults, clock
        self.appkey_of, self.now_us = appkey_of, now_us
        self.listeners: dict[int, _Listener] = {}
        self._server: asyncio.Server | None = None
        self._port: int | None = None
        self._connections = 0
        self._socket: socket.socket | None = None
        self._late: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        """The port it listens on, or listened on until it was closed."""
        assert self._port is not None, "start it first"
        return self._port

    async def start(self) -> None:
        """Listens. Raises PortInUseError."""
        try:
            self._socket = _bound(self.config.host, self.config.port)
        except OSError as fault:
            raise PortInUseError(self.config.host, self.config.port) from fault
        self._port = int(self._socket.getsockname()[1])
        await self.open()

    async def open(self) -> None:
        """Takes connections, from now on or again."""
        if self._server is None and self._socket is not None:
            self._server = await ws_create_server(
                self._accept,
                sock=self._socket.dup(),
                enable_auto_pong=False,
                max_frame_size=_MESSAGE_MAX,
                logger_name=_LOG,
            )

    def mute(self) -> None:
        """The system goes on taking connections in, and nobody answers them until ``open``."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def shut(self) -> None:
        """Connections are refused until ``open``; the port stays ours."""
        self.mute()
        if self._socket is not None:
            self._socket.close()
            self._socket = _bound(self.config.host, self.port)

    async def beat(self) -> None:
        """Sends PINGPONG and cuts off who does not answer, until cancelled."""
        while True:
            await self.clock.sleep(self.config.ping_every_s)
            self.beat_now()

    def beat_now(self) -> None:
        """Sends one PINGPONG to everybody, and cuts off who has not answered for too long."""
        for listener in list(self.listeners.values()):
            listener.beat(self.now_us())

    def notify(self, tr_id: str, key: str, encrypted: Callable[[str, str], bytes]) -> None:
        """Sends an encrypted notice to whoever has registered it; ``encrypted`` takes the iv and key of its ack."""
        for listener in list(self.listeners.values()):
            listener.notify(tr_id, key, encrypted)

    def notice_keys(self) -> list[Registration]:
        """The notices registered anywhere."""
        return [key for listener in self.listeners.values() for key in listener.notice_keys()]

    async def close(self, patience_s: float = 10.0) -> None:
        """Closes every connection normally, once what is buffered has been read, and stops listening."""
        self.mute()
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        for task in self._late:
            task.cancel()
        for listener in list(self.listeners.values()):
            listener.end("day ended")
        until = self.clock.monotonic() + patience_s
        while self.listeners and self.clock.monotonic() < until:
            await self.clock.sleep(0.01)
        for listener in list(self.listeners.values()):
            listener.abort("did not close")
        while self.listeners:  # noqa: ASYNC110  they end within a turn or two of the loop
            await asyncio.sleep(0)

    def act(self, act: Act) -> list[int]:
        """Does to every connection what a fault asks for; returns whom it concerned."""
        done = {"close": _Listener.cut, "restart": _Listener.cut, "silence": _Listener.silence}.get(act.kind)
        if done is None:
            return []
        listeners = [each for each in self.listeners.values() if each.stands]
        for listener in listeners:
            done(listener, act)
        return [each.connection for each in listeners]

    def later(self, delay_s: float, send: Callable[[bytes], None], text: bytes) -> None:
        """Sends something after a while."""

        async def wait() -> None:
            await self.clock.sleep(delay_s)
            send(text)

        task = asyncio.create_task(wait(), name="simulator-late")
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _accept(self, request: WSUpgradeRequest) -> WSListener | WSUpgradeResponseWithListener | None:
        path = request.path.decode("ascii", "replace").split("?", 1)[0]
        if path not in _PATHS and path.removeprefix("/tryitout/") not in LAYOUTS:
            return None
        self._connections += 1
        if not self.faults.on_connect(self._connections, self.now_us()):
            refusal = WSUpgradeResponse.create_error_response(HTTPStatus.SERVICE_UNAVAILABLE, b"503")
            return WSUpgradeResponseWithListener(refusal, None)
        return _Listener(self._connections, self)


def _bound(host: str, port: int) -> socket.socket:
    """A socket with an address, not yet listening."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except BaseException:
        bound.close()
        raise
    return bound


class _Listener(WSListener):
    """One client's connection."""

    def __init__(self, connection: int, server: WsServer) -> None:
        self.connection, self._server = connection, server
        self._session = Session(connection, server.slots, frozenset(LAYOUTS), server.appkey_of, self._fault_of)
        self._transport: WSTransport | None = None
        self._line: Line | None = None
        self._answered_s = server.clock.monotonic()
        self._closing: str | None = None
        self._abrupt = False
        self._silent_until_us = 0

    def write(self, messages: memoryview) -> None:
        """As ``delivery.Wire``; goes past picows, which frames one message at a time."""
        transport = self._transport
        if transport is not None and self._closing is None and not transport.is_close_frame_sent:
            transport.underlying_transport.write(messages)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        transport.underlying_transport.set_write_buffer_limits(high=_BUFFERED, low=_BUFFERED // 4)
        self._line = self._server.delivery.open(self.connection, self)
        self._server.listeners[self.connection] = self

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._silent:
            return
        if frame.msg_type in {WSMsgType.PING, WSMsgType.PONG}:
            self._heard()
            if frame.msg_type is WSMsgType.PING and self._closing is None:
                transport.send_pong(frame.get_payload_as_bytes())
        elif frame.msg_type is WSMsgType.CLOSE:
            if self._closing is None:
                self._leave("closed by the client")
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif frame.msg_type in {WSMsgType.TEXT, WSMsgType.BINARY}:
            self._take(bytes(frame.get_payload_as_bytes()))

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002  the library's signature
        self._server.listeners.pop(self.connection, None)
        self._server.delivery.close(self.connection, self._closing or "broken off")
        if self._session.appkey is not None:
            self._server.slots.leave(
                self._session.appkey, self.connection, abrupt=self._closing is None or self._abrupt
            )

    def pause_writing(self) -> None:
        if self._line is not None:
            self._line.writable.clear()

    def resume_writing(self) -> None:
        if self._line is not None:
            self._line.writable.set()

    def beat(self, now_us: int) -> None:
        """One heartbeat, or the end of a client that has not answered."""
        if self._silent:
            return
        if self._server.clock.monotonic() - self._answered_s > self._server.config.cut_after_s:
            self.abort("PINGPONG not answered")
            return
        shift_s = self._server.faults.before_ping(self.connection, now_us)
        if shift_s is not None:
            self._send(pingpong(market_time_text(now_us + round(shift_s * 1e6))))

    def notify(self, tr_id: str, key: str, encrypted: Callable[[str, str], bytes]) -> None:
        """A notice, if it is registered here."""
        for registration, (iv, secret) in self._session.registrations.items():
            named = registration.tr_id == tr_id and registration.key == key
            if named and self._line is not None and not self._silent:
                self._send(encrypted(iv, secret))
                self._line.tally.notices += 1

    def notice_keys(self) -> list[Registration]:
        """The notices registered here."""
        return [each for each in self._session.registrations if each.tr_id in NOTICES]

    def end(self, reason: str) -> None:
        """A normal close, behind everything sent so far."""
        if self._closing is None and self._transport is not None:
            if self._silent:
                self.abort(reason)
                return
            self._closing = reason
            self._transport.send_close(WSCloseCode.OK)

    def abort(self, reason: str) -> None:
        """The end without a close."""
        if self._transport is not None:
            self._leave(reason)
            self._transport.disconnect(graceful=False)

    @property
    def stands(self) -> bool:
        """Whether it is open and not about to end."""
        return self._transport is not None and self._closing is None

    def cut(self, act: Act) -> None:
        """The end by a fault: everything sent so far still arrives, then comes a close of this code; 1006 is none."""
        self._cut(_ABNORMAL if act.kind == "restart" else int(act.number))

    def silence(self, act: Act) -> None:
        """It stays open, and nothing comes out of it until the span is over."""
        self._silent_until_us = act.until_us
        self._server.delivery.silence(self.connection, act.until_us)

    def _cut(self, code: int) -> None:
        if self._transport is None or self._closing is not None:
            return
        self._leave(f"fault: closed with {code}", abrupt=code == _ABNORMAL)
        if not self._abrupt:
            self._transport.send_close(WSCloseCode(code))
        self._transport.disconnect()

    @property
    def _silent(self) -> bool:
        return self._silent_until_us > self._server.now_us()

    def _fault_of(self, tr_id: str, key: str) -> AckFault | None:
        return self._server.faults.before_ack(self.connection, tr_id, key, self._server.now_us())

    def _heard(self) -> None:
        if self._server.faults.hears(self.connection, self._server.now_us()):
            self._answered_s = self._server.clock.monotonic()

    def _leave(self, reason: str, *, abrupt: bool = False) -> None:
        """From now on nothing more counts as sent."""
        self._closing, self._abrupt = reason, abrupt
        self._server.delivery.close(self.connection, reason)

    def _take(self, raw: bytes) -> None:
        if self._closing is not None:
            return  # too late to ask for anything
        try:
            answer = self._session.answer(raw.decode())
        except UnicodeDecodeError:
            answer = self._session.answer("")
        if answer.code == "PINGPONG":
            self._heard()
        fault = answer.fault or _WELL
        if fault.close is not None:
            self._cut(fault.close)
            return
        if answer.text is not None and not fault.lost:
            if fault.delay_s > 0:
                self._server.later(fault.delay_s, self._send, answer.text)
            else:
                self._send(answer.text)
        if answer.registered is not None:
            self._server.delivery.register(self.connection, answer.registered)
        if answer.released is not None:
            self._server.delivery.release(self.connection, answer.released)

    def _send(self, text: bytes) -> None:
        if self._transport is not None and self._closing is None:
            with contextlib.suppress(ConnectionError):
                self._transport.send(WSMsgType.TEXT, text)
