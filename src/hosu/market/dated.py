"""Facts that hold from a date on: how well each is known, and which of a table is in force on a day."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from hosu.errors import CalendarRangeError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date


class Basis(StrEnum):
    """How a dated fact is known."""

    PROVED = "proved"  # seen in real market data
    ANNOUNCED = "announced"  # published by the exchange, the government or the broker
    ASSUMED = "assumed"  # custom, or one unofficial source


class Dated(Protocol):
    """A fact that holds from ``valid_from`` until the next one of its table."""

    @property
    def valid_from(self) -> date: ...


Fact = TypeVar("Fact", bound=Dated)


def in_force(facts: Sequence[Fact], day: date) -> Fact:
    """The last of ``facts`` (oldest first) with ``valid_from <= day``.

    Raises:
        CalendarRangeError: ``day`` lies before the first of them.
    """
    for fact in reversed(facts):
        if fact.valid_from <= day:
            return fact
    raise CalendarRangeError(day, facts[0].valid_from, "today")
