"""What a backfill has to ask: the days wanted, less those known, cut into tasks; and how many calls that makes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from hosu.errors import CalendarRangeError
from hosu.kis.charts import DATED_MINUTE_CHART_TR, MINUTE_CHART_TR, MINUTE_ROWS
from hosu.kis.rest import CHART_ROWS
from hosu.market.calendar import FIRST_DAY, is_session, sessions_between, sessions_on
from hosu.market.day_plan import Phase
from hosu.market.day_plan import Scope as Venue

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from hosu.collect.backfill_progress import Kind, Series
    from hosu.kis.hosts import HostName
    from hosu.kis.rest import Scope

MINUTES_KEPT_DAYS: Final = 365
"""How long the broker keeps minutes, it says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for: bars of ``symbols`` on ``first <= day < end``, as ``host`` gives them on ``today``.

    ``today`` is the KST date; ``over`` says whether its last session has ended.
    """

    kind: Kind
    symbols: Sequence[str]
    first: date
    end: date
    host: HostName
    today: date
    over: bool = False
    scope: Scope = "KRX"
    adjusted: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to ask for: up to 100 days of a symbol's daily bars, or a day of its minutes.

    ``live`` marks a day that only the call for the current day's minutes gives. ``calls`` is how many it likely takes.
    """

    series: Series
    days: tuple[date, ...]
    calls: int
    live: bool = False

    @property
    def symbol(self) -> str:
        return self.series[2]


@dataclass(frozen=True, slots=True)
class OutOfReach:
    """Days that are not asked for, because the broker has no answer."""

    first: date
    last: date
    days: int
    reason: str


@dataclass(frozen=True, slots=True)
class Plan:
    """``tasks`` in the order in which they are worked off; ``known`` counts symbol-days that are there already."""

    tasks: list[Task]
    out_of_reach: list[OutOfReach]
    known: int

    @property
    def calls(self) -> int:
        """How many calls that makes, as far as can be told before."""
        return sum(task.calls for task in self.tasks)


def plan(wanted: Wanted, known: Callable[[str], Collection[date]]) -> Plan:
    """The tasks of a run. The newest days come first, and of one span of days all symbols, so that the lake's files
    of a date are written few times.

    Args:
        wanted: what is asked for.
        known: the days of a symbol that need not be asked for.

    Raises:
        CalendarRangeError: the span ends after the known calendar.
    """
    days, out_of_reach = _reachable(wanted)
    tasks: list[Task] = []
    skipped = 0
    for symbol in wanted.symbols:
        have = set(known(symbol))
        missing = [day for day in days if day not in have]
        skipped += len(days) - len(missing)
        tasks += _tasks(wanted, symbol, missing)
    tasks.sort(key=lambda task: task.days[-1], reverse=True)  # stable: symbols keep their order
    return Plan(tasks, out_of_reach, skipped)


def trading_days(first: date, end: date, scope: str) -> list[date]:
    """The sessions with ``first <= day < end``; before the calendar begins, every day but Sunday."""
    early = max(0, (min(FIRST_DAY, end) - first).days)
    before = [first + timedelta(n) for n in range(early)]
    known = sessions_between(max(first, FIRST_DAY), end, Venue(scope)) if end > max(first, FIRST_DAY) else ()
    return [day for day in before if day.weekday() < 6] + list(known)


def _reachable(wanted: Wanted) -> tuple[list[date], list[OutOfReach]]:
    days = trading_days(wanted.first, wanted.end, wanted.scope)
    finished = wanted.today + timedelta(1) if wanted.over else wanted.today
    faults: list[tuple[Callable[[date], bool], str]] = [
        (lambda day: day >= finished, "the day is not over; run again after its last session"),
    ]
    if wanted.kind == "minutes" and wanted.host == "live":
        oldest = wanted.today - timedelta(MINUTES_KEPT_DAYS)
        faults.append((lambda day: day < oldest, "the broker keeps minutes for a year"))
    if wanted.kind == "minutes" and wanted.host == "paper":
        faults.append((lambda day: day != wanted.today, "only a live account is given the minutes of past days"))
    lost: list[OutOfReach] = []
    for fault, reason in faults:
        gone = [day for day in days if fault(day)]
        if gone:
            lost.append(OutOfReach(gone[0], gone[-1], len(gone), reason))
        days = [day for day in days if not fault(day)]
    return days, lost


def _tasks(wanted: Wanted, symbol: str, missing: list[date]) -> list[Task]:
    series: Series = (wanted.kind, wanted.scope, symbol, wanted.adjusted)
    if wanted.kind == "minutes":
        return [_minute_task(series, day, live=day == wanted.today and wanted.host != "simulator") for day in missing]
    # From the newest back, so that a span wanted later only adds at its old end.
    cuts = [*range(len(missing), 0, -CHART_ROWS), 0]
    return [Task(series, tuple(missing[low:high]), 1) for high, low in pairwise(cuts)]


def _minute_task(series: Series, day: date, *, live: bool) -> Task:
    fresh = MINUTE_ROWS[MINUTE_CHART_TR if live else DATED_MINUTE_CHART_TR] - 1  # pages overlap by one row
    begin_s, end_s = hours(day, series[1])
    return Task(series, (day,), max(1, math.ceil(((end_s - begin_s) // 60 + 1) / fresh)), live)


def hours(day: date, scope: str) -> tuple[int, int]:
    """Between which seconds of the day minutes are asked for: from the first continuous trading to the last. Whether
    the broker's minutes of KRX include its after-market (from 2026-09-14) is not known; they are asked for."""
    venue = Venue(scope)
    try:
        known = is_session(day, venue)
    except CalendarRangeError:
        known = False
    if not known:
        return 9 * 3600, 15 * 3600 + 1800
    hours_of = sessions_on(day, venue)
    early, late = hours_of.span(Phase.PRE_MARKET), hours_of.span(Phase.AFTER_MARKET)
    return (early.start_s if early else hours_of.open_s), (late.end_s if late else hours_of.close_s)
