"""When a collector has to be at work: the next trading day, from some time before its first order book on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from hosu.market.calendar import FIRST_DAY, LAST_DAY, business_day, closed_because, instant_us, sessions_on
from hosu.market.day_plan import CONTINUOUS, NXT_START, Scope

AFTER_CLOSE_S: Final = 600
"""The broker's last frames of a day come after its close; who leaves on the second misses them."""

_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Turn:
    """A trading day as work: ``[begin_us, end_us)``, UTC microseconds; the first order book opens at ``open_us``.

    ``note`` says why the hours are special or what of them is assumed; empty on an ordinary day.
    """

    day: date
    begin_us: int
    open_us: int
    end_us: int
    note: str


def next_turn(now_us: int, scope: Scope, *, lead_s: float, after: date | None = None) -> Turn:
    """The first trading day that is not over, and is later than ``after``: today's, while it runs.

    Beyond the known calendar every weekday counts as a trading day, from the hour of the last known day to midnight:
    a day too many costs an idle connection, one too few its data.
    """
    day = max(business_day(now_us)[0], FIRST_DAY)  # a clock before that is not set yet
    if scope == Scope.NXT:
        day = max(day, NXT_START)
    if after is not None:
        day = max(day, after + timedelta(1))
    while True:
        turn = _turn_of(day, scope, lead_s) if day <= LAST_DAY else _assumed_turn(day, scope, lead_s)
        if turn is not None and turn.end_us > now_us:
            return turn
        day += timedelta(1)


def trading_for_s(now_us: int, scope: Scope) -> float | None:
    """Since how many seconds the market trades without a pause; None while it does not, or the calendar ends."""
    day, second = business_day(now_us)
    if not FIRST_DAY <= day <= LAST_DAY or closed_because(day, scope) is not None:
        return None
    spans = sessions_on(day, scope).phases
    return next(
        (second - span.start_s for span in spans if span.phase in CONTINUOUS and span.start_s <= second < span.end_s),
        None,
    )


def _turn_of(day: date, scope: Scope, lead_s: float) -> Turn | None:
    if closed_because(day, scope) is not None:
        return None
    plan = sessions_on(day, scope)
    open_us, end_us = instant_us(day, plan.start_s), instant_us(day, plan.end_s + AFTER_CLOSE_S)
    return Turn(day, open_us - round(lead_s * 1e6), open_us, end_us, plan.reason)


def _assumed_turn(day: date, scope: Scope, lead_s: float) -> Turn | None:
    if day.weekday() >= 5:
        return None
    known = LAST_DAY
    while closed_because(known, scope) is not None:
        known -= timedelta(1)
    open_us = instant_us(day, sessions_on(known, scope).start_s)
    note = f"{day} lies beyond the known calendar (to {LAST_DAY}), it is taken for a trading day; update hosu"
    return Turn(day, open_us - round(lead_s * 1e6), open_us, instant_us(day, _DAY_S), note)
