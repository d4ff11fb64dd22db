"""Commits the faults of a specification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hosu.kis.simulator.fault_frames import FrameFaults, Span
from hosu.kis.simulator.fault_journal import Journal
from hosu.kis.simulator.fault_schedule import Schedule
from hosu.kis.simulator.faults import NEVER_US, NoFaults
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from hosu.kis.records import Ints
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.faults import Act, Treatment
    from hosu.kis.simulator.tape import Burst, Tape


class ScriptedFaults(NoFaults):
    """Faults as asked for, repeatable by their seed, with a journal of what was done."""

    def __init__(self, clauses: Sequence[Clause], seed: int, tape: Tape) -> None:
        spans = [_span(number, clause, tape.day) for number, clause in enumerate(clauses)]
        self._journal = Journal(clauses)
        self._frames = FrameFaults(spans, seed, tape.keys, self._journal)
        self._schedule = Schedule(spans, seed)

    def before_send(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:
        return self._frames.treat(connection, burst, wanted, serial)

    def first_act(self, burst: Burst, position: int, serial: int) -> int:
        return self._schedule.first(burst, position, serial)

    def acts(self, now_us: int, frame: int) -> list[Act]:
        return list(self._schedule.take(now_us, frame))

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None:
        self._journal.note(clause, now_us, connection, count)

    def report(self) -> list[dict[str, Any]]:
        return self._journal.to_list()


def _span(number: int, clause: Clause, day: date) -> Span:
    begin = 0 if clause.at_s is None else instant_us(day, clause.at_s)
    over = NEVER_US if clause.span_s is None else begin + round(clause.span_s * 1e6)
    return Span(number, clause, begin, over)
