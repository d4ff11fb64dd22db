"""Why shares are missing: what happened to connections, log and records between the trades on both sides of a hole."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hosu.collect.control import COLLECTION_ENDS, SEGMENT_BEGINS
from hosu.collect.numbering import NUMBERS_SKIPPED
from hosu.kis.layouts import LAYOUTS
from hosu.market.ledger import Cause

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    import pyarrow as pa

    from hosu.collect.ledger_seen import Sides
    from hosu.collect.sinks import SessionNote

TRADE_SCOPES: Final = {tr_id: known[-1].scope for tr_id, known in LAYOUTS.items() if known[-1].event == "trades"}
_KEPT: Final = 4_000
"""Notes and quarantined records kept at most: some days of an ordinary feed. Older ones leave a hole unexplained."""
_LONG_US: Final = 60_000_000
_BREAKS: Final = frozenset(
    {"connected", "disconnected", "silence", "unreachable", "capped", "in_use", NUMBERS_SKIPPED, COLLECTION_ENDS}
)
_OF_ONE: Final = frozenset({"refused", "unanswered", "released"})
"""Events of a single registration."""
_NOTED: Final = _BREAKS | _OF_ONE | {"paused", "resumed", "slots", "reconnecting"}
_ENDS_OR_BEGINS: Final = frozenset({"connected", "disconnected", COLLECTION_ENDS})
_OUTAGE: Final = frozenset({"unreachable", "capped", "in_use", COLLECTION_ENDS})
_STANDS: Final = -1


@dataclass(frozen=True, slots=True)
class Note:
    """A session event or a quarantined trade. ``what`` of the latter is its scope and symbol, or its scope alone."""

    lsn: int
    ts_us: int
    name: str
    what: str

    def packed(self) -> list[Any]:
        """As JSON takes it."""
        return [self.lsn, self.ts_us, self.name, self.what]


class Timeline:
    """What happened in one log, as far as it can explain missing trades; in the order of the log."""

    def __init__(self) -> None:
        self._events: list[Note] = []
        self._unread: list[Note] = []
        self._forgotten_lsn = -1  # up to here events or unread records have been let go of
        self._last_lsn = -1  # of the session events
        # By (scope, symbol), from which record to which its trades were asked for, and acknowledged.
        self._asked: dict[tuple[str, str], list[tuple[int, int]]] = {}

    def take(
        self, sessions: Iterable[SessionNote], quarantine: pa.RecordBatch | None, begins: Collection[int] = ()
    ) -> None:
        """Takes what a batch says; ``begins`` are the records with which business dates begin."""
        for note in sessions:
            self._take_event(note, begins)
            self._last_lsn = note.lsn
        if quarantine is not None:
            columns = (quarantine.column(name).to_pylist() for name in ("lsn", "tr_id", "symbol"))
            times = quarantine.column("ts_recv").view("int64").to_pylist()
            for lsn, tr_id, symbol, ts_us in zip(*columns, times, strict=True):
                if not tr_id:  # it may have been trades of any scope
                    self._unread.append(Note(lsn, ts_us, "quarantine", ""))
                elif tr_id in TRADE_SCOPES:
                    self._unread.append(Note(lsn, ts_us, "quarantine", f"{TRADE_SCOPES[tr_id]}:{symbol or ''}"))
        self._forget(self._events)
        self._forget(self._unread)

    def _forget(self, notes: list[Note]) -> None:
        if len(notes) > _KEPT:
            self._forgotten_lsn = max(self._forgotten_lsn, notes[-_KEPT - 1].lsn)
            del notes[:-_KEPT]

    def _take_event(self, note: SessionNote, begins: Collection[int]) -> None:
        event = note.event
        name = str(event.get("event", ""))
        scope = TRADE_SCOPES.get(str(event.get("tr_id", "")))
        if name == "registered" and scope is not None:
            self._ask((scope, str(event.get("key", ""))), note.lsn, begins)
        elif name == SEGMENT_BEGINS and not event.get("dates"):
            # No connection stands. Where nobody wrote down how the one before ended, it stood up to here: whoever was
            # killed wrote every record before.
            self._end_all(note.lsn - 1)
        elif name == "connected":
            self._end_all(self._last_lsn)
        elif name in ("disconnected", COLLECTION_ENDS):
            self._end_all(note.lsn)
        elif name == "released":
            self._end((str(scope), str(event.get("key", ""))), note.lsn)
        if name in _NOTED and (name not in _OF_ONE or scope is not None):
            text = event.get("cause") or event.get("text") or ""
            where = f"{scope}:{event.get('key', '')}" if scope is not None else ""
            self._events.append(Note(note.lsn, note.ts_recv_us, name, where or str(text)[:200]))

    def _ask(self, key: tuple[str, str], lsn: int, begins: Collection[int]) -> None:
        spans = self._asked.setdefault(key, [])
        if not spans or (spans[-1][1] != _STANDS and any(spans[-1][1] < begin <= lsn for begin in begins)):
            spans.append((lsn, _STANDS))
        else:  # of the same day: one span, however often a connection is made anew
            spans[-1] = (spans[-1][0], _STANDS)

    def _end(self, key: tuple[str, str], lsn: int) -> None:
        spans = self._asked.get(key)
        if spans and spans[-1][1] == _STANDS:
            spans[-1] = (spans[-1][0], lsn)

    def _end_all(self, lsn: int) -> None:
        for key in self._asked:
            self._end(key, lsn)

    def let_go(self, before_lsn: int) -> None:
        """Forgets registrations that ended before a record."""
        for key, spans in list(self._asked.items()):
            self._asked[key] = [span for span in spans if span[1] == _STANDS or span[1] >= before_lsn]
            if not self._asked[key]:
                del self._asked[key]

    def asked(self, scope: str, symbol: str, begin_lsn: int, end_lsn: int) -> bool:
        """Whether trades were asked for, and that was acknowledged, at some time of ``begin_lsn <= lsn < end_lsn``."""
        return any(
            first < end_lsn and (last == _STANDS or last >= begin_lsn)
            for first, last in self._asked.get((scope, symbol), ())
        )

    def broken(self, after_lsn: int, before_lsn: int, scope: str, symbol: str) -> bool:
        """Whether between two records something may have kept trades of a series from coming, or from being read."""
        if after_lsn < self._forgotten_lsn:
            return True
        events = _between(self._events, after_lsn, before_lsn)
        if any(note.name in _BREAKS or (note.name in _OF_ONE and _concerns(note, scope, symbol)) for note in events):
            return True
        unread = _between(self._unread, after_lsn - 1, before_lsn + 1)
        return any(note.what in (f"{scope}:{symbol}", f"{scope}:", "") for note in unread)

    def explain(
        self, scope: str, symbol: str, sides: Sides, *, since_lsn: int = -1, long_us: int = 0
    ) -> tuple[Cause, str]:
        """The cause of a hole between two records, and in words what was seen.

        Args:
            sides: where it lies.
            since_lsn: what is before this record is of another day.
            long_us: how much time lies between the records.
        """
        after_lsn, before_lsn, at_begin = max(sides.before_lsn, since_lsn), sides.after_lsn, sides.at_begin
        events = [note for note in _between(self._events, after_lsn, before_lsn) if _concerns(note, scope, symbol)]
        if at_begin and not self._connected_at(after_lsn):
            # The first connection is no break; only what comes behind it is.
            connected = next((i for i, note in enumerate(events) if note.name == "connected"), -1)
            events = events[connected + 1 :]
        unread = list(_between(self._unread, after_lsn - 1, before_lsn + 1))  # a frame may hold good records and bad
        mine = [note for note in unread if note.what == f"{scope}:{symbol}"]
        names = [note.name for note in events]
        if NUMBERS_SKIPPED in names:
            return Cause.DISK, "the log begins anew behind records that its disk lost"
        if mine:
            return Cause.QUARANTINE, f"{len(mine)} records of it came and could not be read (table quarantine)"
        if "released" in names:
            return Cause.RELEASED, f"its slot had been given to another symbol; {_story(events)}"
        if "silence" in names:
            return Cause.SILENCE, f"the connection fell silent and was given up; {_story(events)}"
        if "connected" in names or "disconnected" in names:
            return self._of_break(events, names, long_us=long_us)
        if "paused" in names:
            return Cause.BACKPRESSURE, f"reading was paused {names.count('paused')} times; the disk could not follow"
        nameless = [note for note in unread if note.what in (f"{scope}:", "")]
        if nameless:
            what = "frames of trades" if any(note.what for note in nameless) else "frames that may have held trades"
            return Cause.QUARANTINE, f"{len(nameless)} {what} came and could not be read (table quarantine)"
        if at_begin and not sides.awaited:
            return Cause.LATE_START, "nothing of it was received before; trading had begun"
        return Cause.UNKNOWN, f"no session event lies between; {_story(events)}" if events else (
            "the connection stood and nothing was reported"
        )

    def _connected_at(self, lsn: int) -> bool:
        before = [note.name for note in self._events[: bisect_right(self._events, lsn, key=lambda note: note.lsn)]]
        last = next((name for name in reversed(before) if name in _ENDS_OR_BEGINS), "")
        return last == "connected"

    def _of_break(self, events: Sequence[Note], names: Sequence[str], *, long_us: int) -> tuple[Cause, str]:
        unsaid = "disconnected" not in names
        if unsaid:
            return Cause.OUTAGE, f"the collector ended without a word and began again; {_story(events)}"
        if _OUTAGE & set(names) or long_us >= _LONG_US:
            return Cause.OUTAGE, f"no connection for a time; {_story(events)}"
        return Cause.RECONNECT, f"the connection broke and was made again; {_story(events)}"

    # --- laid down and taken up ----------------------------------------------------------------------------------

    def pack(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            "events": [note.packed() for note in self._events],
            "unread": [note.packed() for note in self._unread],
            "registered": [[*key, *span] for key, spans in sorted(self._asked.items()) for span in spans],
            "last": self._last_lsn,
            "forgotten": self._forgotten_lsn,
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Timeline:
        """What ``pack`` gave."""
        timeline = cls()
        timeline._events = [Note(*each) for each in packed["events"]]
        timeline._unread = [Note(*each) for each in packed["unread"]]
        for scope, symbol, *span in packed["registered"]:
            first, last = span or (-1, _STANDS)  # older ones say only what stands
            timeline._asked.setdefault((scope, symbol), []).append((first, last))
        timeline._last_lsn, timeline._forgotten_lsn = packed.get("last", -1), packed.get("forgotten", -1)
        return timeline


def _between(notes: Sequence[Note], after_lsn: int, before_lsn: int) -> Sequence[Note]:
    first = bisect_right(notes, after_lsn, key=lambda note: note.lsn)
    return notes[first : bisect_left(notes, before_lsn, key=lambda note: note.lsn)]


def _concerns(note: Note, scope: str, symbol: str) -> bool:
    return note.name not in _OF_ONE or note.what == f"{scope}:{symbol}"


def _story(events: Sequence[Note]) -> str:
    """The first few events, in order, each once in a row."""
    told: list[str] = []
    for note in events:
        text = f"{note.name} ({note.what})" if note.what else note.name
        if not told or told[-1] != text:
            told.append(text)
    more = f" and {len(told) - 6} more" if len(told) > 6 else ""
    return ", ".join(told[:6]) + more
