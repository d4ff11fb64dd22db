"""Which dates are believed: those a market can have, near what was said before, and not on one garbled message's word.

Business dates are yyyymmdd. The broker's clock (PINGPONG) is believed at once when it moves on by days; a leap counts
only when the next PINGPONG of the connection says the same date. A trade may lie one session to either side of the
broker's date, since that is where nights, weekends and holidays lead; where the calendar ends, three days.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from hosu.collect.dates import REST, UNKNOWN, number_of, ordinal, ordinals
from hosu.errors import CalendarRangeError
from hosu.market.calendar import FIRST_DAY, LAST_DAY, next_session, previous_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.collect.dates import Flags, Ints, Told

LEAP_DAYS: Final = 10
"""A PINGPONG that moves the date by more wants to be said twice; the longest closures are shorter."""
UNCHARTED_DAYS: Final = 3
"""How far a trade may lie from the broker's date where the calendar knows no session."""
LATEST: Final = date(LAST_DAY.year + 10, 12, 31)
"""No date behind it is believed: nobody runs a hosu whose calendar ended ten years ago."""


_FIRST: Final = number_of(FIRST_DAY)
_KNOWN_TO: Final = number_of(LAST_DAY)
_LAST: Final = number_of(LATEST)


def possible(text: str) -> int:
    """The date that eight digits say; ``UNKNOWN`` for what is none, or none that this market can have."""
    value = int(text) if len(text) == 8 and text.isascii() and text.isdigit() else UNKNOWN
    return value if is_possible(value) else UNKNOWN


def is_possible(yyyymmdd: int) -> bool:
    """Whether it is a date, and one that this market can have."""
    return _FIRST <= yyyymmdd <= _LAST and ordinal(yyyymmdd) > 0


class BrokerClock:
    """The date by PINGPONG of each connection, as far as it is believed.

    A connection's first is compared with what any connection was told last. Attribute ``told``: the date believed by
    connection, and under ``REST`` the latest of any.
    """

    def __init__(self, told: Mapping[int, int] | None = None, doubted: Mapping[int, int] | None = None) -> None:
        self.told: dict[int, int] = dict(told or {})
        self._doubted: dict[int, int] = dict(doubted or {})

    def copy(self) -> Self:
        return type(self)(self.told, self._doubted)

    def hear(self, connection: int, said: int) -> int:
        """Takes the date of a PINGPONG; returns it if it is believed, else ``UNKNOWN``."""
        before = self.told.get(connection, UNKNOWN) or self.told.get(REST, UNKNOWN)
        if not _follows(before, said) and self._doubted.get(connection) != said:
            self._doubted[connection] = said
            return UNKNOWN
        self._doubted.pop(connection, None)
        self.told[connection] = self.told[REST] = said
        return said

    def begin(self, told: Told) -> None:
        """Knows from here on what the record that begins a segment tells, and nothing else."""
        self.told = {**told.by_connection, REST: told.latest}
        self._doubted.clear()

    def forget(self, connection: int) -> None:
        """The connection is gone."""
        self.told.pop(connection, None)
        self._doubted.pop(connection, None)

    def follow(self, connection: Ints, said: Ints, begins: Mapping[int, Told]) -> Ints:
        """Takes records in order, of which some say a date (0: none) and some begin a segment (by place).

        Returns:
            What each says as far as it is believed, 0 where it is not or says none.
        """
        believed = np.zeros(len(said), np.int64)
        # One record in thousands says something.
        for place in sorted({*np.flatnonzero(said).tolist(), *(at for at in begins if at < len(said))}):
            if place in begins:
                self.begin(begins[place])
            else:
                believed[place] = self.hear(int(connection[place]), int(said[place]))
        return believed


def _follows(before: int, said: int) -> bool:
    if before == UNKNOWN:
        return said <= _KNOWN_TO
    return abs(ordinal(said) - ordinal(before)) <= LEAP_DAYS


def plausible(dates: Ints, clock: Ints) -> Flags:
    """Which trades' dates are dates, and within reach of the broker's own, where that is known (else 0)."""
    if len(clock) and (clock == clock[0]).all():
        first, last = reach(int(clock[0]))
        return _within(dates, first, last)
    unique, inverse = np.unique(clock, return_inverse=True)
    reaches = np.array([reach(int(each)) for each in unique], np.int64).reshape(-1, 2)[inverse]
    return _within(dates, reaches[:, 0], reaches[:, 1])


def _within(dates: Ints, first: int | Ints, last: int | Ints) -> Flags:
    within: Flags = (dates >= first) & (dates <= last) & (ordinals(dates) > 0)
    return within


@lru_cache(maxsize=1024)
def reach(clock: int) -> tuple[int, int]:
    """The first and the last date that a trade may have while the broker's date is ``clock`` (0: not known yet).

    From the session before to the one after. KRX's sessions stand for every scope: Nextrade keeps its days.
    """
    if clock == UNKNOWN:
        return _FIRST, _LAST
    day = date.fromordinal(ordinal(clock))
    return number_of(_session(previous_session, day, -1)), number_of(_session(next_session, day, +1))


def _session(beside: Callable[[date], date], day: date, sign: int) -> date:
    try:
        return beside(day)
    except CalendarRangeError:
        return day + timedelta(sign * UNCHARTED_DAYS)
