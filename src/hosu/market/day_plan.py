"""A trading day cut into phases, by venue and date.

Times are seconds of the day in KST (UTC+9 all year), intervals are half-open. Sources: the exchange's notices on
trading hours (2014-06, 2016-07, 2019-04, 2026-09), Nextrade's hours from 2025-03-04, and the hours of exam days and
first trading days as announced from 2008 to 2025.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from itertools import pairwise
from typing import Final

from hosu.market.dated import Basis

NXT_START: Final = date(2025, 3, 4)
"""First day of Nextrade; before it the unified scope (UN) is KRX alone."""

HOUR_S: Final = 3600


class Scope(StrEnum):
    """Which venues a series covers. UN is both, unified by the broker; it is not KRX + NXT received twice."""

    KRX = "KRX"
    NXT = "NXT"
    UN = "UN"


class Phase(StrEnum):
    """What a venue does at a moment."""

    PRE_MARKET = "pre_market"  # continuous trading before the open (NXT)
    BEFORE_OPEN = "before_open"  # KRX 장전 시간외종가: trades at yesterday's close, beside the opening auction
    OPENING_AUCTION = "opening_auction"  # orders are collected; they meet when it ends
    REGULAR = "regular"  # continuous trading
    CLOSING_AUCTION = "closing_auction"
    AFTER_CLOSE_ENTRY = "after_close_entry"  # orders are collected, nothing trades but the closing auction's result
    AFTER_CLOSE = "after_close"  # KRX 장후 시간외종가: trades at today's close
    SINGLE_PRICE = "single_price"  # KRX 시간외단일가: an auction every ten minutes (thirty before 2014-09-01)
    AFTER_MARKET = "after_market"  # continuous trading after the close
    BREAK = "break"  # between two phases of one day; nothing is accepted


class Session(StrEnum):
    """Which set of a day's trades a trade belongs to. Both auctions are in the regular set."""

    PRE_MARKET = "pre_market"
    BEFORE_OPEN = "before_open"
    REGULAR = "regular"
    AFTER_CLOSE = "after_close"
    SINGLE_PRICE = "single_price"
    AFTER_MARKET = "after_market"


CONTINUOUS: Final = frozenset({Phase.PRE_MARKET, Phase.REGULAR, Phase.AFTER_MARKET})
"""Phases in which a liquid symbol is never silent for long."""


class Shift(StrEnum):
    """How the hours of a special day differ."""

    NONE = "none"
    LATE_OPEN = "late_open"  # opens an hour later, closes as always
    LATE_DAY = "late_day"  # the whole day an hour later, but for the end of its last session


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """``phase`` holds for ``start_s <= t < end_s``, seconds of the day in KST."""

    phase: Phase
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class DayPlan:
    """One trading day of one scope.

    ``phases`` are disjoint and in order of time. ``beside`` lists order books that run at the same time as one of
    them (trading at yesterday's close during the opening auction; for UN, whatever of KRX overlaps with NXT).
    """

    day: date
    scope: Scope
    phases: tuple[PhaseSpan, ...]
    beside: tuple[PhaseSpan, ...]
    basis: Basis
    reason: str  # why the hours are special; empty on an ordinary day

    def span(self, phase: Phase) -> PhaseSpan | None:
        """When ``phase`` is, looked for in ``phases`` first; None if this day has none. BREAK gives the first one."""
        return next((span for span in (*self.phases, *self.beside) if span.phase is phase), None)

    def phase_at_s(self, second: float) -> Phase | None:
        """The phase at that second of the KST day; None outside of the day's phases."""
        return next((span.phase for span in self.phases if span.start_s <= second < span.end_s), None)

    @property
    def open_s(self) -> int:
        """When continuous trading of the regular session starts."""
        return self._regular().start_s

    @property
    def close_s(self) -> int:
        """When the regular session ends: the end of the closing auction, or of continuous trading where (NXT) there
        is none."""
        closing = self.span(Phase.CLOSING_AUCTION)
        return closing.end_s if closing is not None else self._regular().end_s

    @property
    def start_s(self) -> int:
        """When the first order book of the day opens."""
        return min(span.start_s for span in (*self.phases, *self.beside))

    @property
    def end_s(self) -> int:
        """When the last order book of the day closes."""
        return max(span.end_s for span in (*self.phases, *self.beside))

    def _regular(self) -> PhaseSpan:
        regular = self.span(Phase.REGULAR)
        assert regular is not None, "every plan has a regular phase"
        return regular


@dataclass(frozen=True, slots=True)
class Timetable:
    """The ordinary hours of a venue from a date on."""

    valid_from: date
    basis: Basis
    phases: tuple[PhaseSpan, ...]
    beside: tuple[PhaseSpan, ...] = ()


def _spans(text: str) -> tuple[PhaseSpan, ...]:
    # "opening_auction 08:30 regular 09:00 - 15:20" reads: a phase, its start, ..., the end of the last one.
    words = text.split()
    names, times = words[0::2], [_seconds(word) for word in words[1::2]]
    return tuple(PhaseSpan(Phase(name), *ends) for name, ends in zip(names, pairwise(times), strict=False))


def _seconds(clock: str) -> int:
    hours, minutes, seconds = (*clock.split(":"), "0")[:3]
    return int(hours) * HOUR_S + int(minutes) * 60 + int(seconds)


KRX_HOURS: Final[tuple[Timetable, ...]] = (
    Timetable(
        date(2010, 1, 1),
        Basis.ANNOUNCED,
        _spans(
            "opening_auction 08:00 regular 09:00 closing_auction 14:50 after_close_entry 15:00 "
            "after_close 15:10 single_price 15:30 end 18:00"
        ),
        _spans("before_open 07:30 end 08:30"),
    ),
    Timetable(
        date(2016, 8, 1),
        Basis.ANNOUNCED,
        _spans(
            "opening_auction 08:00 regular 09:00 closing_auction 15:20 after_close_entry 15:30 "
            "after_close 15:40 single_price 16:00 end 18:00"
        ),
        _spans("before_open 07:30 end 08:30"),
    ),
    Timetable(
        date(2019, 4, 29),
        Basis.ANNOUNCED,
        _spans(
            "opening_auction 08:30 regular 09:00 closing_auction 15:20 after_close_entry 15:30 "
            "after_close 15:40 single_price 16:00 end 18:00"
        ),
        _spans("before_open 08:30 end 08:40"),
    ),
    Timetable(
        date(2026, 9, 14),
        Basis.ANNOUNCED,
        _spans(
            "opening_auction 08:20 regular 09:00 closing_auction 15:20 after_close_entry 15:30 "
            "after_close 15:40 after_market 16:00 end 20:00"
        ),
        # The plan of January 2026 keeps it; the notice of September does not speak of it.
        _spans("before_open 08:30 end 08:40"),
    ),
)

NXT_HOURS: Final[tuple[Timetable, ...]] = (
    Timetable(
        NXT_START,
        Basis.ANNOUNCED,
        _spans(
            "pre_market 08:00 break 08:50 regular 09:00:30 break 15:20 after_close_entry 15:30 "
            "after_market 15:40 end 20:00"
        ),
    ),
)


def shifted(hours: Timetable, shift: Shift) -> Timetable:
    """``hours`` as they are on a special day."""
    if shift is Shift.NONE:
        return hours
    whole_day = shift is Shift.LATE_DAY
    last_end = max(span.end_s for span in hours.phases)
    return replace(
        hours,
        phases=tuple(_later(span, whole_day, last_end) for span in _without_pre_market(hours.phases)),
        beside=tuple(_later(span, whole_day, last_end) for span in hours.beside),
    )


def _without_pre_market(spans: tuple[PhaseSpan, ...]) -> tuple[PhaseSpan, ...]:
    # The break that follows the pre-market goes with it.
    return spans[2:] if spans[0].phase is Phase.PRE_MARKET else spans


def _later(span: PhaseSpan, whole_day: bool, last_end: int) -> PhaseSpan:
    start = span.start_s + HOUR_S if whole_day or span.phase in _UNTIL_OPEN else span.start_s
    end = span.end_s + HOUR_S if whole_day or span.phase in _BEFORE_REGULAR else span.end_s
    return PhaseSpan(span.phase, start, last_end if span.end_s == last_end else end)


_BEFORE_REGULAR: Final = frozenset({Phase.BEFORE_OPEN, Phase.OPENING_AUCTION})
_UNTIL_OPEN: Final = frozenset({*_BEFORE_REGULAR, Phase.REGULAR})


def unified(krx: Timetable, nxt: Timetable) -> Timetable:
    """The hours of both venues together. Where they overlap, ``phases`` has the one that trades continuously, and
    ``beside`` the other."""
    krx_by_phase = {span.phase: span for span in krx.phases}
    pre_market = [span for span in nxt.phases if span.phase is Phase.PRE_MARKET]
    opening = krx_by_phase[Phase.OPENING_AUCTION]
    visible_opening = replace(opening, start_s=max([opening.start_s, *(span.end_s for span in pre_market)]))
    after_market = next(span for span in nxt.phases if span.phase is Phase.AFTER_MARKET)
    middle = [krx_by_phase[phase] for phase in (Phase.REGULAR, Phase.CLOSING_AUCTION, Phase.AFTER_CLOSE_ENTRY)]
    overlapping = [span for span in krx.phases if span.start_s >= after_market.start_s]
    hidden = [opening] if visible_opening != opening else []
    return Timetable(
        max(krx.valid_from, nxt.valid_from),
        krx.basis,
        (*pre_market, visible_opening, *middle, after_market),
        (*krx.beside, *hidden, *overlapping),
    )
