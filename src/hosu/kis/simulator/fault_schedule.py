"""When something happens at a moment: by the market's time, by the number of a frame, or by chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.kis.simulator.fault_draws import Dice
from hosu.kis.simulator.faults import NEVER_US, Act

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hosu.kis.records import Ints
    from hosu.kis.simulator.fault_frames import Span
    from hosu.kis.simulator.tape import Burst

_KINDS = ("close", "silence", "restart", "mute", "expire", "burst", "nodata", "layout")
_MOST_NUMBERED = 10_000  # moments of one clause: connections are not closed a million times


class Schedule:
    """Moments to come, each given out once."""

    def __init__(self, spans: Sequence[Span], seed: int) -> None:
        mine = [each for each in spans if each.clause.kind in _KINDS]
        self._timed = [moment for each in mine if each.clause.at_s is not None for moment in _moments(each)]
        self._numbered = [(n, act) for each in mine if each.clause.event == "frame" for n, act in _numbers(each)]
        self._chances = [(each, Dice(seed, each.number)) for each in mine if _by_chance(each)]
        self._timed.sort(key=lambda moment: moment[0])
        self._numbered.sort(key=lambda moment: moment[0])
        self._drawn: dict[int, Ints] = {}
        self._burst: Burst | None = None
        self._chance_after = -1

    def first(self, burst: Burst, position: int, serial: int) -> int:
        """As ``Faults.first_act``."""
        found = len(burst)
        if self._timed:
            found = min(found, int(np.searchsorted(burst.at_us, self._timed[0][0])))
        if self._numbered:
            found = min(found, self._numbered[0][0] - serial)
        for drawn in self._draw(burst, serial).values():
            later = drawn[drawn >= max(serial + position, self._chance_after + 1)]
            found = min(found, int(later[0]) - serial) if len(later) else found
        return max(position, found)

    def take(self, now_us: int, frame: int) -> Iterator[Act]:
        """As ``Faults.acts``."""
        while self._timed and self._timed[0][0] <= now_us:
            yield self._timed.pop(0)[1]
        while self._numbered and self._numbered[0][0] <= frame:
            yield self._numbered.pop(0)[1]
        if frame > self._chance_after:
            for each, _ in self._chances:
                if frame in self._drawn.get(each.number, ()):
                    yield _act(each)
            self._chance_after = frame

    def next_us(self) -> int:
        """The time of the next moment that has one."""
        return self._timed[0][0] if self._timed else NEVER_US

    def _draw(self, burst: Burst, serial: int) -> dict[int, Ints]:
        """The numbers of the frames of this burst before which chance strikes, by clause."""
        if burst is not self._burst:
            numbers = serial + np.arange(len(burst))
            self._burst = burst
            self._drawn = {
                each.number: numbers[dice.strikes(numbers, each.clause.rate)] for each, dice in self._chances
            }
        return self._drawn


def _by_chance(span: Span) -> bool:
    return span.clause.kind == "close" and span.clause.at_s is None and span.clause.event is None


def _act(span: Span, *, over: bool = False) -> Act:
    return Act(span.clause.kind, span.number, span.clause.number, span.until_us, over)


def _moments(span: Span) -> list[tuple[int, Act]]:
    begin = (span.from_us, _act(span))
    return [begin] if span.until_us == NEVER_US else [begin, (span.until_us, _act(span, over=True))]


def _numbers(span: Span) -> list[tuple[int, Act]]:
    clause = span.clause
    last = clause.first if clause.last is None else min(clause.last, clause.first + _MOST_NUMBERED)
    return [(n - 1, _act(span)) for n in range(clause.first, last + 1)]
