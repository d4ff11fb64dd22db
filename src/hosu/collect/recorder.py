"""Writes what feeds and REST clients receive into the log, and remembers the little that later records rest on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.dates import UNKNOWN
from hosu.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.clock import Clock
    from hosu.collect.wal import Log

_log = structlog.get_logger(__name__)

_BRACE: Final = ord("{")
_WORTH_A_WARNING: Final = frozenset(
    {"refused", "unanswered", "in_use", "approval_refused", "silence", "unreachable", "disconnected", "paused"}
)


def _level(name: object, facts: Mapping[str, object]) -> Callable[..., Any]:
    """How loudly to say it: one line a registration is noise, and an orderly close is no trouble."""
    if name == "registered":
        return _log.debug  # type: ignore[no-any-return]
    orderly = name == "disconnected" and facts.get("code") in (1000, 1001)
    return _log.warning if name in _WORTH_A_WARNING and not orderly else _log.info  # type: ignore[no-any-return]


class Reply(Protocol):
    """A REST reply as the log keeps it; holds no secrets."""

    @property
    def tr_id(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def params(self) -> Mapping[str, str]: ...
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> str: ...
    @property
    def ts_recv_us(self) -> int: ...


class Recorder:
    """Receiver of feeds and of REST replies, in the event loop's thread; everything it gets goes to the log.

    Attributes:
        data_frames: frames that carry market data, so far.
        connections: what is known of each standing connection, by its number.
        reconnects: how often a feed had to come back.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self._wal, self._clock = log, clock
        self.data_frames = 0
        self.reconnects = 0
        self.connections: dict[int, dict[str, Any]] = {}
        self._latest = UNKNOWN
        self._dates: dict[int, int] = {}
        self._pings: dict[int, int] = {}
        log.set_preamble(self._preamble)

    @property
    def business_date(self) -> int | None:
        """The date the broker told last, yyyymmdd; None before it told any."""
        return self._latest or None

    def frame(self, connection: int, ts_recv_us: int, payload: bytes) -> bool:
        """Takes a message; False asks to stop reading until the log's queue has drained."""
        if payload and payload[0] == _BRACE:
            self._learn(connection, control.pingpong_date(payload), ping=True)
        else:
            self.data_frames += 1
            if connection not in self._dates:
                self._learn(connection, control.trade_date(payload), ping=False)
        return self._append(RecordKind.FRAME, connection, ts_recv_us, payload)

    def session_event(self, connection: int, event: dict[str, object]) -> None:
        """Takes what happened to a connection."""
        name = event.get("event")
        facts = {key: value for key, value in event.items() if key != "event"}
        _level(name, facts)(f"connection {name}", connection=connection, facts=facts)
        if name == "connected":
            self.connections[connection] = {"since_us": self._clock.now_us(), "registered": 0}
        elif name == "settled" and connection in self.connections:
            self.connections[connection].update(facts)
        elif name == "disconnected":
            for known in (self.connections, self._dates, self._pings):
                known.pop(connection, None)
        elif name == "reconnecting":
            self.reconnects += 1
        self._append(RecordKind.SESSION, connection, self._clock.now_us(), json.dumps(event, default=str).encode())

    def reply(self, reply: Reply) -> None:
        """Takes a REST reply."""
        content = {
            "tr_id": reply.tr_id,
            "path": reply.path,
            "params": dict(reply.params),
            "status": reply.status,
            "body": reply.body,
        }
        payload = json.dumps(content, ensure_ascii=False).encode()
        self._append(RecordKind.REST, 0, reply.ts_recv_us, payload)

    def clock_offset(self, offset_us: int) -> None:
        """Takes how far the system's wall clock is ahead of the clock that stamps records."""
        payload = json.dumps({"offset_us": offset_us}).encode()
        self._append(RecordKind.CLOCK, 0, self._clock.now_us(), payload)

    def ended(self) -> None:
        """Notes that collection ended in order: what waits for a business date now waits no longer."""
        payload = json.dumps({"event": control.COLLECTION_ENDS}).encode()
        self._append(RecordKind.SESSION, 0, self._clock.now_us(), payload)

    def _append(self, kind: RecordKind, connection: int, ts_recv_us: int, payload: bytes) -> bool:
        try:
            return self._wal.append(kind, connection, ts_recv_us, payload)
        except LogError:  # the log tells its owner by itself; a feed can only stop reading
            return False

    def _learn(self, connection: int, date: int, *, ping: bool) -> None:
        if date == UNKNOWN:
            return
        self._latest = self._dates[connection] = date
        if ping:
            self._pings[connection] = date

    def _preamble(self) -> bytes:
        return control.preamble(self._latest, dict(self._dates), dict(self._pings))
