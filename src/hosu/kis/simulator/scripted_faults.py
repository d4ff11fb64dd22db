"""Commits the faults of a specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hosu.kis.simulator.fault_calls import rest_fault
from hosu.kis.simulator.fault_events import EventFaults
from hosu.kis.simulator.fault_frames import FrameFaults, Span
from hosu.kis.simulator.fault_journal import Journal
from hosu.kis.simulator.fault_layout import LayoutChanges
from hosu.kis.simulator.fault_schedule import Schedule
from hosu.kis.simulator.fault_talk import ack_fault, connect_allowed, hears, ping_shift_s
from hosu.kis.simulator.faults import NEVER_US
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from hosu.kis.records import Ints
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.faults import AckFault, Act, RestFault, Treatment
    from hosu.kis.simulator.tape import Burst, Tape


class ScriptedFaults:
    """Faults as asked for, repeatable by their seed, with a journal of what was done."""

    def __init__(self, clauses: Sequence[Clause], seed: int, tape: Tape) -> None:
        self._spans = tuple(_span(number, clause, tape.day) for number, clause in enumerate(clauses))
        self._layouts = LayoutChanges(self._spans, tape.keys)
        self._journal = Journal(clauses)
        self._frames = FrameFaults(self._spans, seed, tape.keys, self._journal)
        self._events = EventFaults([each for each in self._spans if not _at_a_moment(each)], seed, self._journal)
        self._schedule = Schedule(self._spans, seed)

    def on_connect(self, connection: int, now_us: int) -> bool:
        return connect_allowed(self._events, connection, now_us)

    def before_ack(self, connection: int, tr_id: str, key: str, now_us: int) -> AckFault | None:
        return ack_fault(self._events, connection, tr_id, key, now_us)

    def before_send(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:
        return self._frames.treat(connection, burst, wanted, serial)

    def before_ping(self, connection: int, now_us: int) -> float | None:
        return ping_shift_s(self._events, connection, now_us)

    def hears(self, connection: int, now_us: int) -> bool:
        return hears(self._events, connection, now_us)

    def on_rest(self, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:
        return rest_fault(self._events, path, tr_id, symbol, now_us)

    def first_act(self, burst: Burst, position: int, serial: int) -> int:
        return self._schedule.first(burst, position, serial)

    def acts(self, now_us: int, frame: int) -> list[Act]:
        return list(self._schedule.take(now_us, frame))

    def closed(self, now_us: int) -> bool:
        return any(each.covers(now_us) for each in self._of("restart", "mute"))

    def trades(self, now_us: int) -> bool:
        return not any(each.covers(now_us) for each in self._of("nodata"))

    def prepare(self, burst: Burst) -> Burst:
        return self._layouts.relaid(burst)

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None:
        self._journal.note(clause, now_us, connection, count)

    def report(self) -> list[dict[str, Any]]:
        return self._journal.to_list()

    def _of(self, *kinds: str) -> list[Span]:
        return [each for each in self._spans if each.clause.kind in kinds]


def _at_a_moment(span: Span) -> bool:
    """Whether the schedule looks after a clause: these kinds do also where no event is counted for them."""
    return span.clause.kind in {"close", "expire"} and span.clause.event not in {"ack", "rest"}


def _span(number: int, clause: Clause, day: date) -> Span:
    begin = 0 if clause.at_s is None else instant_us(day, clause.at_s)
    over = NEVER_US if clause.span_s is None else begin + round(clause.span_s * 1e6)
    return Span(number, clause, begin, over)
