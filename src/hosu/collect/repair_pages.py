"""Walking back through a symbol's trades of today, page by page: pure, and it ends whatever the broker answers.

The broker gives the last trades up to a second of the day, newest first, as many as a page holds. It has no other
cursor. So of a second with more trades than that only the last ones can be had, and what is before them stays
missing. How many a page holds is not documented, nor whether "up to" includes the second asked for: neither is
relied on, the second is learnt from the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from hosu.collect.ledger_judge import without
from hosu.kis.conclusions import fault_of, second_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hosu.collect.ledger_judge import Intervals
    from hosu.kis.replies import Conclusion

_LAST_SECOND: Final = 86_399


class Print(NamedTuple):
    """A trade as a page shows it: its second of the day, and the shares ``[begin, end)`` it covers."""

    second: int
    begin: int
    end: int


def prints_of(rows: Iterable[Conclusion]) -> list[Print]:
    """The rows that are trades."""
    found = []
    for row in rows:
        second = second_of(row.time)
        if fault_of(row) is None and second is not None and row.size is not None and row.cum_volume is not None:
            found.append(Print(second, row.cum_volume - row.size, row.cum_volume))
    return found


class Why(StrEnum):
    """Why shares cannot be had."""

    CROWDED = "crowded"  # their second has more trades than a page holds
    UNLISTED = "unlisted"  # the broker's list does not have them
    STUCK = "stuck"  # the broker's pages do not go back


@dataclass(frozen=True, slots=True)
class Lost:
    """The shares ``[begin, end)`` that this walk gave up; ``second`` is that of the trade above them, None where there
    is none, ``page`` the most trades a page held."""

    begin: int
    end: int
    why: Why
    second: int | None
    page: int


@dataclass(frozen=True, slots=True)
class _Page:
    newest: int
    oldest: int
    bottom: int  # the lowest share that it covers


class Pager:
    """One walk through one series: ask ``cursor`` what to ask next, and give ``take`` the answer, until it is None.

    It goes for the highest missing share: the page up to the second of the trade above it, or, where that page brings
    nothing, the seconds beside. No second is asked for twice, so that the walk ends.

    Attributes:
        missing: what is neither found nor given up, from low to high.
        lost: what was given up.
        pages: pages taken.
    """

    def __init__(self, holes: Intervals, seconds: Mapping[int, int], last_s: int) -> None:
        """Holes from low to high; ``seconds`` says for the upper end of a hole when the trade above it was, as far as
        that is known; for others the walk begins at ``last_s``."""
        self.missing = list(holes)
        self.lost: list[Lost] = []
        self.pages = 0
        self._seconds, self._last_s = dict(seconds), last_s
        self._asked: dict[int, _Page | None] = {}
        self._room = 0
        self._inclusive: bool | None = None

    def cursor(self) -> int | None:
        """The second of the day up to which to ask next; None when there is nothing left to ask."""
        while self.missing:
            for second in self._candidates(self._above(self.missing[-1][1])):
                if 0 <= second <= _LAST_SECOND and second not in self._asked:
                    return second
            begin, end = self.missing.pop()
            self._give_up(begin, end)
        return None

    def take(self, cursor: int, prints: Sequence[Print]) -> None:
        """The trades that the broker gave up to ``cursor``, in any order."""
        listed = sorted(prints, key=lambda each: -each.end)
        self.pages += 1
        self._room = max(self._room, len(listed))
        if not listed:
            self._asked[cursor] = None
            return
        seconds = [each.second for each in listed]
        page = self._asked[cursor] = _Page(max(seconds), min(seconds), listed[-1].begin)
        self._learn(cursor, page)
        for each in listed:
            self._seconds.setdefault(each.begin, each.second)
        self.missing = without(self.missing, [(each.begin, each.end) for each in reversed(listed)])
        if page.newest > cursor:
            self._end(Why.STUCK)
            return
        self._give_up_between(listed)

    def _learn(self, cursor: int, page: _Page) -> None:
        """Whether a page holds trades of the very second asked for: one that does proves it."""
        if page.newest == cursor:
            self._inclusive = True
        elif self._inclusive is None and cursor in self._seconds.values():
            self._inclusive = False  # there is a trade in that second, and it is not here

    def _candidates(self, second: int) -> tuple[int, ...]:
        if self._inclusive is None:
            return second, second + 1, second - 1
        return (second, second - 1) if self._inclusive else (second + 1, second)

    def _above(self, end: int) -> int:
        return self._seconds.get(end, self._last_s)

    def _give_up_between(self, listed: Sequence[Print]) -> None:
        """What lies between two trades of one page the broker does not have: a page leaves nothing out."""
        between = [(lower.end, upper.begin) for upper, lower in pairwise(listed) if lower.end < upper.begin]
        for begin, end in reversed(between):
            absent = without([(begin, end)], without([(begin, end)], self.missing))
            for part in absent:
                self.missing = without(self.missing, [part])
                self._lose(*part, Why.UNLISTED)

    def _give_up(self, begin: int, end: int) -> None:
        second = self._above(end)
        seen = [page for at in (second, second + 1) if (page := self._asked.get(at)) is not None]
        crowded = any(page.newest == page.oldest == second and page.bottom >= end for page in seen)
        self._lose(begin, end, Why.CROWDED if crowded else Why.UNLISTED)

    def _end(self, why: Why) -> None:
        for begin, end in reversed(self.missing):
            self._lose(begin, end, why)
        self.missing = []

    def _lose(self, begin: int, end: int, why: Why) -> None:
        self.lost.append(Lost(begin, end, why, self._seconds.get(end), self._room))
