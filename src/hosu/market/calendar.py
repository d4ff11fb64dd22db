"""Which days the Korean market trades, and when: sessions by date and scope, 2010 to 2027.

Days are KST business dates (``datetime.date``), instants UTC microseconds, intervals half-open. The closures and the
days of special hours are two small files beside this one, each row with its reason and how it is known; NXT keeps
KRX's days from its first one (2025-03-04) on. What no calendar knows, a halt or an outage, is in the market events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Final, NamedTuple

from hosu.errors import CalendarRangeError, NoSessionError
from hosu.market.dated import Basis, in_force
from hosu.market.day_plan import (
    KRX_HOURS,
    NXT_HOURS,
    NXT_START,
    DayPlan,
    Phase,
    Scope,
    Session,
    Shift,
    Timetable,
    shifted,
    unified,
)

FIRST_DAY: Final = date(2010, 1, 1)
LAST_DAY: Final = date(2027, 12, 31)

KST_OFFSET_S: Final = 9 * 3600
"""Korea is nine hours ahead of UTC; no daylight saving time since 1988."""

KST: Final = timezone(timedelta(seconds=KST_OFFSET_S))

RANDOM_END_S: Final = 30
"""An auction ends up to this much later than planned, at a moment drawn by the exchange."""

_EPOCH: Final = date(1970, 1, 1).toordinal()
_DAY_S: Final = 86_400
_SECOND_US: Final = 1_000_000
_LAST_GRACE_S: Final = 60  # the last auction of a day trades at its end or shortly after
_DATA: Final = Path(__file__).parent / "data"


class Closure(NamedTuple):
    """A weekday without trading."""

    day: date
    basis: Basis
    reason: str


class Override(NamedTuple):
    """A trading day with special hours."""

    day: date
    shift: Shift
    basis: Basis
    reason: str


@dataclass(frozen=True, slots=True)
class SessionWindow:
    """Trades with ``start_us <= ts_event < end_us`` belong to ``session``."""

    session: Session
    start_us: int
    end_us: int


# --- days ---------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def closures() -> dict[date, Closure]:
    """Every weekday in range on which KRX does not trade, in order."""
    rows = (Closure(date.fromisoformat(day), Basis(basis), why) for day, basis, why in _rows("krx_closures.csv", 3))
    return {row.day: row for row in rows}


@lru_cache(maxsize=1)
def overrides() -> dict[date, Override]:
    """Every trading day in range with special hours, in order."""
    rows = (
        Override(date.fromisoformat(day), Shift(kind), Basis(basis), why)
        for day, kind, basis, why in _rows("session_overrides.csv", 4)
    )
    return {row.day: row for row in rows}


def _rows(name: str, columns: int) -> list[list[str]]:
    lines = (_DATA / name).read_text(encoding="utf-8").splitlines()
    return [line.split(",", columns - 1) for line in lines if not line.startswith("#")][1:]


@lru_cache(maxsize=1)
def _krx_days() -> tuple[date, ...]:
    closed = closures()
    days = (FIRST_DAY + timedelta(n) for n in range((LAST_DAY - FIRST_DAY).days + 1))
    return tuple(day for day in days if day.weekday() < 5 and day not in closed)


def is_session(day: date, scope: Scope = Scope.KRX) -> bool:
    """Whether ``scope`` trades on ``day``.

    Raises:
        CalendarRangeError: the day lies outside the known calendar.
    """
    _check_range(day)
    return closed_because(day, scope) is None


def closed_because(day: date, scope: Scope = Scope.KRX) -> str | None:
    """Why ``scope`` does not trade on ``day``; None if it does."""
    # Compared by value here and below: a scope read from a table is a plain string.
    if scope == Scope.NXT and day < NXT_START:
        return f"Nextrade opened on {NXT_START}"
    if day.weekday() >= 5:
        return "weekend"
    closure = closures().get(day)
    return closure.reason if closure is not None else None


def sessions_between(start: date, end: date, scope: Scope = Scope.KRX) -> tuple[date, ...]:
    """The trading days with ``start <= day < end``, in order.

    Raises:
        CalendarRangeError: the interval leaves the known calendar (``end`` may be the day after its last).
    """
    _check_range(start)
    _check_range(end - timedelta(1) if end > start else start)
    first = max(start, NXT_START) if scope == Scope.NXT else start
    days = _krx_days()
    return days[bisect_left(days, first) : bisect_left(days, end)]


def previous_session(day: date, scope: Scope = Scope.KRX) -> date:
    """The last trading day before ``day``, which need not be one itself.

    Raises:
        CalendarRangeError: there is none in the known calendar.
    """
    _check_range(day)
    days = _krx_days()
    at = bisect_left(days, day) - 1
    if at < 0 or (scope == Scope.NXT and days[at] < NXT_START):
        raise CalendarRangeError(f"the session before {day}", _first_day(scope), LAST_DAY)
    return days[at]


def next_session(day: date, scope: Scope = Scope.KRX) -> date:
    """The first trading day after ``day``, which need not be one itself.

    Raises:
        CalendarRangeError: there is none in the known calendar.
    """
    _check_range(day)
    after = max(day, NXT_START - timedelta(1)) if scope == Scope.NXT else day
    days = _krx_days()
    at = bisect_right(days, after)
    if at == len(days):
        raise CalendarRangeError(f"the session after {day}", FIRST_DAY, LAST_DAY)
    return days[at]


def settlement_day(day: date) -> date:
    """When a trade of ``day`` is settled: two sessions later (T+2)."""
    return next_session(next_session(day))


def _first_day(scope: Scope) -> date:
    return NXT_START if scope == Scope.NXT else FIRST_DAY


def _check_range(day: date) -> None:
    if not FIRST_DAY <= day <= LAST_DAY:
        raise CalendarRangeError(day, FIRST_DAY, LAST_DAY)


# --- hours --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=128)
def sessions_on(day: date, scope: Scope = Scope.KRX) -> DayPlan:
    """The day's phases with their hours.

    Raises:
        CalendarRangeError: the day lies outside the known calendar.
        NoSessionError: the scope does not trade on that day; the error says why.
    """
    if not is_session(day, scope):
        raise NoSessionError(day, scope, closed_because(day, scope) or "")
    special = overrides().get(day)
    hours = _hours(day, scope, special.shift if special is not None else Shift.NONE)
    basis = special.basis if special is not None else hours.basis
    return DayPlan(day, Scope(scope), hours.phases, hours.beside, basis, special.reason if special is not None else "")


def _hours(day: date, scope: Scope, shift: Shift) -> Timetable:
    if scope == Scope.NXT:
        return shifted(in_force(NXT_HOURS, day), shift)
    krx = shifted(in_force(KRX_HOURS, day), shift)
    if scope == Scope.KRX or day < NXT_START:
        return krx
    return unified(krx, shifted(in_force(NXT_HOURS, day), shift))


def business_day(ts_us: int) -> tuple[date, float]:
    """The KST date of an instant, and the seconds since its midnight."""
    second = ts_us / _SECOND_US + KST_OFFSET_S
    return date.fromordinal(_EPOCH + int(second // _DAY_S)), second % _DAY_S


def instant_us(day: date, second: float) -> int:
    """The instant, UTC microseconds, of ``second`` seconds after KST midnight of ``day``."""
    return (day.toordinal() - _EPOCH) * _DAY_S * _SECOND_US + round((second - KST_OFFSET_S) * _SECOND_US)


def closing_us(day: date) -> int:
    """From when on the closing auction of KRX trades, UTC microseconds: when its orders have been collected.

    Raises:
        CalendarRangeError, NoSessionError: as ``sessions_on``.
    """
    return instant_us(day, sessions_on(day).close_s)


def phase_at(ts_us: int, scope: Scope = Scope.KRX) -> Phase | None:
    """What the venue does at that instant; None on days and at hours at which it is shut.

    Raises:
        CalendarRangeError: the day lies outside the known calendar.
    """
    day, second = business_day(ts_us)
    return sessions_on(day, scope).phase_at_s(second) if is_session(day, scope) else None


@lru_cache(maxsize=128)
def session_windows(day: date, scope: Scope = Scope.KRX) -> tuple[SessionWindow, ...]:
    """Which session a trade of ``day`` belongs to, by its time: disjoint windows, in order.

    Wider than the phases, because auctions trade when they end or up to ``RANDOM_END_S`` later: the regular window
    runs from the opening auction's result to the start of what follows the closing auction. Within UN the
    off-hours trades of KRX cannot be told from NXT's by time; they count as pre- and after-market.

    Raises:
        CalendarRangeError, NoSessionError: as ``sessions_on``.
    """
    plan = sessions_on(day, scope)
    early = Session.PRE_MARKET if plan.span(Phase.PRE_MARKET) is not None else Session.BEFORE_OPEN
    after = [span for span in plan.phases if span.start_s >= plan.close_s and span.phase in _SESSION_AFTER]
    cuts = [
        (early, plan.start_s),
        (Session.REGULAR, plan.open_s),
        *((_SESSION_AFTER[span.phase], span.start_s) for span in after),
    ]
    ends = [start for _, start in cuts[1:]] + [after[-1].end_s + _LAST_GRACE_S]
    return tuple(
        SessionWindow(session, instant_us(day, start), instant_us(day, end))
        for (session, start), end in zip(cuts, ends, strict=True)
        if start < end  # NXT without its pre-market has nothing before the open
    )


_SESSION_AFTER: Final = {
    Phase.AFTER_CLOSE: Session.AFTER_CLOSE,
    Phase.SINGLE_PRICE: Session.SINGLE_PRICE,
    Phase.AFTER_MARKET: Session.AFTER_MARKET,
}


def classify(ts_us: int, scope: Scope = Scope.KRX) -> Session | None:
    """The session a trade of that instant belongs to; None where ``scope`` is shut.

    Raises:
        CalendarRangeError: the day lies outside the known calendar.
    """
    day, _ = business_day(ts_us)
    if not is_session(day, scope):
        return None
    begun = list(takewhile(lambda window: window.start_us <= ts_us, session_windows(day, scope)))
    return begun[-1].session if begun and ts_us < begun[-1].end_us else None
