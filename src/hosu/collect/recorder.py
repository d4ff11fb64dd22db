"""Writes what feeds and REST clients receive into the log, and remembers the little that later records rest on."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog

from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.dates import UNKNOWN
from hosu.collect.trust import BrokerClock
from hosu.errors import LogError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import date

    from hosu.clock import Clock
    from hosu.collect.wal import Log

_log = structlog.get_logger(__name__)

_WORTH_A_WARNING: Final = frozenset(
    {
        "refused",
        "unanswered",
        "in_use",
        "approval_refused",
        "silence",
        "unreachable",
        "capped",
        "disconnected",
        "paused",
    }
)


def _level(name: object, facts: Mapping[str, object]) -> Callable[..., Any]:
    """How loudly to say it: one line a registration is noise, an orderly close is no trouble, and where we ended the
    connection (it has no code then) the reason was said before."""
    if name == "registered":
        return _log.debug  # type: ignore[no-any-return]
    orderly = name == "disconnected" and facts.get("code") in (None, 1000, 1001)
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
    @property
    def day(self) -> date | None: ...


@dataclass(frozen=True, slots=True)
class _Change:
    """What the record ``number`` (of those the recorder appended) changed: a connection's date; 0 for one gone."""

    number: int
    connection: int
    date: int
    ping: bool


@dataclass(slots=True)
class _Told:
    """What the records up to some place in the log have told."""

    latest: int = UNKNOWN
    dates: dict[int, int] = field(default_factory=dict)
    pings: dict[int, int] = field(default_factory=dict)

    def take(self, change: _Change) -> None:
        if change.date == UNKNOWN:
            self.dates.pop(change.connection, None)
            self.pings.pop(change.connection, None)
            return
        self.latest = self.dates[change.connection] = change.date
        if change.ping:
            self.pings[change.connection] = change.date


class Recorder:
    """Receiver of feeds and of REST replies, in the event loop's thread; everything it gets goes to the log, and
    nobody else may append to it.

    Attributes:
        data_frames: frames that carry market data, so far.
        connections: what is known of each standing connection, by its number.
        connects: how many connections have stood, those that have ended included.
        reconnects: how often a feed had to come back.
    """

    def __init__(self, log: Log, clock: Clock) -> None:
        self._wal, self._clock = log, clock
        self.data_frames = 0
        self.connects = 0
        self.reconnects = 0
        self.connections: dict[int, dict[str, Any]] = {}
        self._received = _Told()
        self._broker = BrokerClock()
        self._appended = 0
        # What was received lies ahead of what is written: changes wait here until the log has written their records.
        self._changes: deque[_Change] = deque()
        self._written = _Told()  # this and the next two: the log's thread only
        self._preambles = 0
        self._foreign = log.stats.records
        log.set_preamble(self._preamble)

    @property
    def business_date(self) -> int | None:
        """The date the broker told last, yyyymmdd; None before it told any."""
        return self._received.latest or None

    def frames(self, connection: int, ts_recv_us: int, payloads: list[bytes]) -> bool:
        """Takes messages in their order, some data or one control message by itself; False asks to stop reading until
        the log's queue has drained."""
        if payloads[0].startswith(b"{"):
            said = control.pingpong_date(payloads[0])
            if said != UNKNOWN:
                self._change(connection, self._broker.hear(connection, said), ping=True)
        else:
            self.data_frames += len(payloads)
            if connection not in self._received.dates:
                self._change_by_trade(connection, payloads)
        return self._append(RecordKind.FRAME, connection, ts_recv_us, payloads)

    def _change_by_trade(self, connection: int, payloads: list[bytes]) -> None:
        """The first of the messages that says a date dates the connection, from itself on."""
        for place, payload in enumerate(payloads):
            said = control.trade_date(payload)
            if said != UNKNOWN:
                self._note(_Change(self._appended + place, connection, said, ping=False))
                return

    def session_event(self, connection: int, event: dict[str, object]) -> None:
        """Takes what happened to a connection."""
        name = event.get("event")
        facts = {key: value for key, value in event.items() if key != "event"}
        _level(name, facts)(f"connection {name}", connection=connection, facts=facts)
        if name == "connected":
            self.connects += 1
            self.connections[connection] = {"since_us": self._clock.now_us(), "registered": 0}
        elif name == "settled" and connection in self.connections:
            self.connections[connection].update(facts)
        elif name == "disconnected":
            self.connections.pop(connection, None)
            self._broker.forget(connection)
            self._note(_Change(self._appended, connection, UNKNOWN, ping=False))
        elif name == "reconnecting":
            self.reconnects += 1
        self._append(RecordKind.SESSION, connection, self._clock.now_us(), [json.dumps(event, default=str).encode()])

    def reply(self, reply: Reply) -> None:
        """Takes a REST reply."""
        content = {
            "tr_id": reply.tr_id,
            "path": reply.path,
            "params": dict(reply.params),
            "status": reply.status,
            "body": reply.body,
        }
        if reply.day is not None:
            content["day"] = reply.day.isoformat()
        payload = json.dumps(content, ensure_ascii=False).encode()
        self._append(RecordKind.REST, 0, reply.ts_recv_us, [payload])

    def clock_offset(self, offset_us: int) -> None:
        """Takes how far the system's wall clock is ahead of the clock that stamps records."""
        payload = json.dumps({"offset_us": offset_us}).encode()
        self._append(RecordKind.CLOCK, 0, self._clock.now_us(), [payload])

    def bar_close(self, until_us: int) -> None:
        """Closes every minute that ends at or before ``until_us`` (UTC microseconds), at this place in the log."""
        self._append(RecordKind.BAR_CLOSE, 0, self._clock.now_us(), [control.bar_close(until_us)])

    def ended(self) -> None:
        """Notes that collection ended in order: what waits for a business date now waits no longer."""
        payload = json.dumps({"event": control.COLLECTION_ENDS}).encode()
        self._append(RecordKind.SESSION, 0, self._clock.now_us(), [payload])

    def _append(self, kind: RecordKind, connection: int, ts_recv_us: int, payloads: list[bytes]) -> bool:
        try:
            goes_on = self._wal.append_all(kind, connection, ts_recv_us, payloads)
        except LogError:  # the log tells its owner by itself; a feed can only stop reading
            return False
        self._appended += len(payloads)
        return goes_on

    def _change(self, connection: int, date: int, *, ping: bool) -> None:
        if date != UNKNOWN:
            self._note(_Change(self._appended, connection, date, ping))

    def _note(self, change: _Change) -> None:
        """To be called before the record is appended: the log's thread may write it at once."""
        self._received.take(change)
        self._changes.append(change)

    def _preamble(self) -> bytes:
        """In the log's thread: what the records written so far have told, and none of those that still wait."""
        written = self._wal.stats.records - self._foreign - self._preambles
        while self._changes and self._changes[0].number < written:
            self._written.take(self._changes.popleft())
        self._preambles += 1
        return control.preamble(self._written.latest, self._written.dates, self._written.pings)
