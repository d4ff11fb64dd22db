"""One WebSocket connection to the broker: the read path, and how it ended. The client's only door to picows.

The read path does the least a message needs: take its bytes; those of one read are handed on together, because a
call a message would cost more than the message. Control messages are handled right there, so that a PINGPONG is
answered before the next message is looked at, however slow the rest of the program is. Every message of one read of
the socket carries one receive time, taken when the read is first looked at: that is when all of them reached us, and
later ones of the read are not made younger by the work on earlier ones.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from hosu.errors import BrokerUnreachableError
from hosu.kis.messages import Ack, NoticeKey, PingPong, read_control

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from hosu.clock import Clock

_LOG: Final = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # picows tells of every connection, and so do our events

_TEXT: Final = WSMsgType.TEXT
_DATA: Final = (b"0", b"1")  # how market data and encrypted notices begin
_READ_BUFFER_BYTES: Final = 256 * 1024
_CLOSE_TIMEOUT_S: Final = 2.0  # of real time: a peer that does not answer our goodbye


class Receiver(Protocol):
    """Takes what a feed receives. Called in the event loop's thread, from the read path: must never block."""

    def frames(self, connection: int, ts_recv_us: int, payloads: list[bytes]) -> bool:
        """Takes whole messages, in their order: some data, or one control message (JSON) by itself. The list is the
        receiver's from now on. They are taken in any case; False asks the feed to stop reading until ``Feed.resume``
        is called. Messages already read by then still come."""

    def session_event(self, connection: int, event: dict[str, Any]) -> None:
        """Takes what happened to a connection, as JSON-ready values; ``event["event"]`` names it (see ``Feed``)."""


@dataclass(frozen=True, slots=True)
class End:
    """Why a connection ended, and what follows."""

    cause: str
    code: int | None = None  # WebSocket close code; 1006 without one from the peer, None when we ended it
    wait_s: float = 0.0  # at least this long before the next connection
    new_approval: bool = False
    error: BaseException | None = None  # not None: the feed ends with it


class Connection(WSListener):
    """A listener of picows that hands messages to a ``Receiver`` and acknowledgements to ``on_ack``.

    ``ended`` is done once there is a reason to part; ``close`` then lets go of the socket.
    """

    def __init__(
        self,
        number: int,
        address: str,
        clock: Clock,
        receiver: Receiver,
        *,
        on_ack: Callable[[Connection, Ack], None],
        max_message_bytes: int,
    ) -> None:
        self.number, self.address = number, address
        self.notice_keys: dict[str, NoticeKey] = {}
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.paused = False
        self.reached = False  # whether the broker has seen us: there was a TCP connection
        self.last_us = clock.now_us()  # when the last message came
        self._clock, self._receiver, self._on_ack = clock, receiver, on_ack
        self._now_us = clock.now_us
        self.max_message_bytes = max_message_bytes
        self._read_begins = True
        self._read: list[bytes] = []  # data of the read at hand that has not been handed on
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._started_s = clock.monotonic()
        self._transport: WSTransport | None = None

    @property
    def connected(self) -> bool:
        """Whether the handshake was completed, now or once."""
        return self._transport is not None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self.ended.done():  # given up on during the handshake
            transport.disconnect(graceful=False)
            return
        try:
            _keep_alive(transport.underlying_transport.get_extra_info("socket"))
            self.event("connected", address=self.address)
        except Exception as error:  # noqa: BLE001 - carried to the feed, which raises it
            self.end(End(type(error).__name__, error=error))

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._read_begins:
            self.last_us = self._now_us()
        self._read_begins = last = frame.last_in_buffer
        payload = frame.get_payload_as_bytes()
        usual = frame.msg_type is _TEXT and frame.fin and not self._parts
        whole = payload if usual else self._unusual(transport, frame, payload)
        try:
            if whole is None:
                pass
            elif not whole.startswith(_DATA):  # also a garbled acknowledgement may hold the key that is blanked
                self._hand_on(transport)
                self._read.append(self._control(transport, whole))
                self._hand_on(transport)
            else:
                self._read.append(whole)
            if last:
                self._hand_on(transport)
        except Exception as error:  # noqa: BLE001 - whatever the receiver raises ends the feed, and is raised there
            self.end(End(f"the receiver failed: {type(error).__name__}", error=error))

    def _hand_on(self, transport: WSTransport) -> None:
        if self._read:
            read, self._read = self._read, []
            if not self._receiver.frames(self.number, self.last_us, read) and not self.paused:
                self._pause(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002
        self.end(End("the connection broke without a close frame", code=1006))

    def _unusual(self, transport: WSTransport, frame: WSFrame, payload: bytes) -> bytes | None:
        """Protocol frames and parts of messages; the message where this was its last part."""
        match frame.msg_type:
            case WSMsgType.PING:
                transport.send_pong(payload)
            case WSMsgType.CLOSE:
                code = int.from_bytes(payload[:2]) if len(payload) >= 2 else 1005
                reason = payload[2:].decode(errors="replace")
                self.end(End(f"the server closed the connection {reason}".rstrip(), code=code))
            case WSMsgType.PONG:
                pass
            case _:
                return self._joined(frame, payload)
        return None

    def _joined(self, frame: WSFrame, payload: bytes) -> bytes | None:
        if (frame.msg_type is WSMsgType.CONTINUATION) != bool(self._parts):
            self.end(End("the server broke the order of message parts", code=1002))
            return None
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > self.max_message_bytes:
            self._parts.clear()
            self._parts_bytes = 0
            self.end(End(f"a message of more than {self.max_message_bytes} bytes", code=1009))
            return None
        if not frame.fin:
            return None
        whole = b"".join(self._parts)
        self._parts.clear()
        self._parts_bytes = 0
        return whole

    def _control(self, transport: WSTransport, payload: bytes) -> bytes:
        message, loggable = read_control(payload)
        if isinstance(message, PingPong):
            transport.send(_TEXT, payload)
        elif message is not None:
            if message.notice_key is not None:
                self.notice_keys[message.tr_id] = message.notice_key
            self._on_ack(self, message)
        return loggable

    def _pause(self, transport: WSTransport) -> None:
        self.paused = True
        transport.underlying_transport.pause_reading()
        self.event("paused")

    def resume(self) -> None:
        """Reads on, if paused and still connected."""
        if self.paused and self._transport is not None and not self.ended.done():
            self.paused = False
            self.last_us = self._now_us()
            self._transport.underlying_transport.resume_reading()
            self.event("resumed")

    def send(self, message: bytes) -> None:
        """Sends a text message; nothing happens on a connection that has ended."""
        if self._transport is not None:
            self._transport.send(_TEXT, message)

    def event(self, name: str, **facts: object) -> None:
        """Hands a session event on."""
        self._receiver.session_event(self.number, {"event": name, **facts})

    def end(self, end: End) -> None:
        """Ends the session for the first reason given; later ones follow from it."""
        if not self.ended.done():
            self.ended.set_result(end)

    async def guard(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a task of the session; its failure ends the session instead of surfacing as a group of errors."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - carried to ``run``, which raises it
            self.end(End(f"{type(error).__name__}", error=error))

    def abandon(self) -> None:
        """Gives up on a connection that may not be one yet."""
        self.end(End("given up"))
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    async def close(self, end: End) -> None:
        """Says goodbye, lets go of the socket, and reports the end once."""
        self.end(end)
        transport = self._transport
        cause = end.cause
        if transport is not None:
            transport.send_close(WSCloseCode.OK)
            transport.disconnect(graceful=end.code != 1006)
            try:
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await transport.wait_disconnected()
            except TimeoutError:
                transport.disconnect(graceful=False)
            except Exception as error:  # noqa: BLE001 - what picows found wrong with the peer's bytes
                cause = f"{cause} ({error})"
        seconds = round(self._clock.monotonic() - self._started_s, 3)
        self.event("disconnected", code=end.code, cause=cause, seconds=seconds)


async def connect(connection: Connection, *, timeout_s: float) -> None:
    """Connects and shakes hands. When it fails or is cancelled, the socket is let go of.

    Raises:
        BrokerUnreachableError: no TCP connection, or (``connection.reached``) no WebSocket behind it.
    """

    async def dial(address: Any) -> socket.socket:
        dialled = await _dialled(address.host, address.port)
        connection.reached = True
        return dialled

    try:
        async with asyncio.timeout(timeout_s):
            await ws_connect(
                lambda: connection,
                connection.address,
                # Ours to answer: a listener that does not see every frame cannot tell where a read begins.
                enable_auto_pong=False,
                websocket_handshake_timeout=timeout_s,
                max_frame_size=connection.max_message_bytes,
                read_buffer_init_size=_READ_BUFFER_BYTES,
                max_redirects=0,
                socket_factory=dial,
                logger_name=_LOG,
            )
    except BaseException as error:
        connection.abandon()
        if isinstance(error, TimeoutError):
            cause = "no answer to the handshake" if connection.reached else "no connection in time"
            raise BrokerUnreachableError(connection.address, cause) from error
        if isinstance(error, OSError | WSError):
            raise BrokerUnreachableError(connection.address, str(error) or type(error).__name__) from error
        raise
    # picows returns as if all were well when the server goes away before it has answered the handshake, and tells the
    # listener nothing: the session would wait for ever.
    if not connection.connected:
        connection.abandon()
        raise BrokerUnreachableError(connection.address, "the server went away during the handshake")


async def _dialled(host: str, port: int) -> socket.socket:
    """A TCP connection to the first of the host's addresses that takes one."""
    loop, refusal = asyncio.get_running_loop(), OSError(f"{host} has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        dialled = socket.socket(family, kind, protocol)
        dialled.setblocking(False)
        try:
            await loop.sock_connect(dialled, place)
        except BaseException as error:
            dialled.close()
            if not isinstance(error, OSError):
                raise
            refusal = error
        else:
            return dialled
    raise refusal


def _keep_alive(sock: socket.socket) -> None:
    """Lets the system find a dead peer also while the market is closed and silence says nothing."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
