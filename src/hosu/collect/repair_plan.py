"""Which holes can still be filled, by what, in which order: pure.

What the broker keeps, and how long:

=====================  =================================  ==========================================================
call                   repairs                            kept
=====================  =================================  ==========================================================
FHPST01060000          trades                             of its current day only
FHKST03010200          bars of a minute                   of its current day only
FHKST03010230          bars of a minute                   for a year, on live accounts
FHKST01010300          nothing: no cumulative volume,     the last 30 trades
                       no paging
=====================  =================================  ==========================================================

When the broker's current day ends is not documented. *Assumed*: not before the next session begins. So until then it is
asked which day it answers for, and only what is of the hole's day is taken (``collect.repair``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import CalendarRangeError
from hosu.market.calendar import instant_us, next_session, sessions_on
from hosu.market.day_plan import NXT_START, Scope
from hosu.market.ledger import GapEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hosu.collect.gaps import Gap

PAGE: Final = 30
"""Trades a page is taken to hold in estimates; how many it does is learnt from the answers."""
MINUTES_TODAY: Final = 30
MINUTES_PAST: Final = 120
ATTEMPTS: Final = 3
"""Tries of a hole while the day runs. The close and the next morning have one more each, whatever became of those."""
ATTEMPTS_AT_CLOSE: Final = ATTEMPTS + 1
ATTEMPTS_NEXT_DAY: Final = ATTEMPTS + 2
_YEAR: Final = timedelta(days=365)
_DAY_S: Final = 86_400
_MARGIN_US: Final = 60_000_000
_OVER: Final = "the broker gives trades of its current day only, and that day is over"


class Kind(IntEnum):
    """What is asked for; what comes first goes first."""

    TRADES = 0
    MINUTES = 1


@dataclass(frozen=True, slots=True)
class Work:
    """The holes of one symbol's day that are worked off together. ``calls`` is an estimate.

    ``forgets_us`` is the time, UTC microseconds, up to which the broker is known to have it; ``until_us`` the one from
    which on nothing may be asked, for what comes then may be of another day; None where our clock cannot tell.
    """

    kind: Kind
    gaps: tuple[Gap, ...]
    calls: int
    forgets_us: int
    until_us: int | None = None

    @property
    def day(self) -> date:
        return date.fromisoformat(self.gaps[0].date)

    @property
    def shares(self) -> int:
        return sum(gap.shares for gap in self.gaps)

    @property
    def value(self) -> int:
        """Won, as far as known."""
        return sum(gap.value or 0 for gap in self.gaps)


@dataclass(frozen=True, slots=True)
class Hopeless:
    """A hole that stays open, and why; ``event`` is to be noted of it, None where that was done before."""

    gap: Gap
    reason: str
    event: GapEvent | None = None


@dataclass(frozen=True, slots=True)
class RepairPlan:
    """What to do, in order; what cannot be done; what was tried a moment ago and is left for later."""

    work: tuple[Work, ...] = ()
    hopeless: tuple[Hopeless, ...] = ()
    later: tuple[Gap, ...] = ()

    @property
    def calls(self) -> int:
        return sum(each.calls for each in self.work)


@dataclass(frozen=True, slots=True)
class PlanConfig:
    """``attempts`` is how often the same hole is tried, ``again_after_s`` what lies between two tries at least.

    ``today`` is the date of the broker's clock; None where nobody knows it (a simulator plays any day), so that
    the broker's answers alone decide. ``past_minutes`` says whether minutes of past days can be had. ``settle_s`` is
    how old a hole must be: late trades close many. ``again`` tries what was given up, too.
    """

    today: date | None = None
    past_minutes: bool = True
    attempts: int = ATTEMPTS
    again_after_s: float = 300.0
    settle_s: float = 10.0
    again: bool = False


@dataclass(slots=True)
class _History:
    """What became of the holes of one series."""

    tries: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    given_up: list[tuple[int, int, str]] = field(default_factory=list)
    forgotten: set[tuple[int, int]] = field(default_factory=set)

    def verdict(self, gap: Gap) -> str | None:
        """Why it was given up; None if it was not."""
        for begin, end, why in self.given_up:
            if begin <= gap.from_volume and gap.to_volume <= end:
                return why
        return None


def plan_repair(
    gaps: Iterable[Gap], events: Iterable[Mapping[str, Any]], now_us: int, config: PlanConfig | None = None
) -> RepairPlan:
    """The work that the open ones of ``gaps`` are, ranked by when the broker forgets it, then by what a call brings.

    Args:
        gaps: latest revisions, of any dates.
        events: rows of ``gap_events`` of these dates; ``at`` in microseconds.
        now_us: UTC microseconds.
        config: the defaults if None.
    """
    chosen = config if config is not None else PlanConfig()
    histories = _histories(events)
    wanted: dict[tuple[str, str, str, Kind], list[Gap]] = {}
    hopeless: list[Hopeless] = []
    later: list[Gap] = []
    for gap in sorted((gap for gap in gaps if gap.open), key=lambda gap: gap.key):
        found = _judged(gap, histories.get(gap.series, _History()), now_us, chosen)
        if isinstance(found, Kind):
            wanted.setdefault((*gap.series, found), []).append(gap)
        elif found is None:
            later.append(gap)
        else:
            hopeless.append(found)
            if found.event is GapEvent.FORGOTTEN and _minutes_can_be_had(gap, chosen):
                wanted.setdefault((*gap.series, Kind.MINUTES), []).append(gap)
    work = [_work(key[3], tuple(listed), chosen) for key, listed in wanted.items()]
    return RepairPlan(tuple(sorted(work, key=_rank)), tuple(hopeless), tuple(later))


def _judged(gap: Gap, history: _History, now_us: int, config: PlanConfig) -> Kind | Hopeless | None:
    key = (gap.from_volume, gap.to_volume)
    if not remembers(date.fromisoformat(gap.date), now_us, config):
        known = key in history.forgotten and not config.again
        return Hopeless(gap, _OVER, None if known else GapEvent.FORGOTTEN)
    if not config.again:
        given_up = history.verdict(gap)
        if given_up is not None:
            return Hopeless(gap, given_up)
        tries = history.tries.get(key, [])
        if len(tries) >= config.attempts:
            return Hopeless(gap, f"it was tried {len(tries)} times")
        if tries and now_us - max(tries) < config.again_after_s * 1e6:
            return None
        if now_us - (gap.after_recv or 0) < config.settle_s * 1e6:
            return None
    return Kind.TRADES


def remembers(day: date, now_us: int, config: PlanConfig) -> bool:
    """Whether the broker may still have the trades of ``day``."""
    if config.today is None:
        return True
    return day <= config.today and now_us < _until_us(day)


def _until_us(day: date) -> int:
    """A call's time before the next session begins."""
    return _next_begins_us(day) - _MARGIN_US


def _next_begins_us(day: date) -> int:
    """When the first session after ``day`` begins; where the calendar ends, the day's own end."""
    try:
        following = next_session(day)
        scope = Scope.UN if following >= NXT_START else Scope.KRX
        return instant_us(following, sessions_on(following, scope).start_s)
    except CalendarRangeError:
        return instant_us(day, _DAY_S)


def _minutes_can_be_had(gap: Gap, config: PlanConfig) -> bool:
    day = date.fromisoformat(gap.date)
    return config.past_minutes and config.today is not None and config.today - day < _YEAR


def _work(kind: Kind, gaps: tuple[Gap, ...], config: PlanConfig) -> Work:
    day = date.fromisoformat(gaps[0].date)
    if kind is Kind.MINUTES:
        calls = sum(-(-_minutes(gap) // MINUTES_PAST) for gap in gaps)
        return Work(kind, gaps, calls, instant_us(day + _YEAR, _DAY_S))
    # One call asks of which day the broker speaks, and brings the minutes before the hole's end.
    calls = 1 + sum(1 + (gap.trades or 0) // PAGE for gap in gaps)
    until_us = None if config.today is None else _until_us(day)
    return Work(kind, gaps, calls, instant_us(day, _DAY_S), until_us)


def _minutes(gap: Gap) -> int:
    """How many minutes a hole touches; those of a regular session where its sides have no time."""
    if gap.before_ts is None or gap.after_ts is None:
        return 391
    return max(1, gap.after_ts // 60_000_000 - gap.before_ts // 60_000_000 + 1)


def _rank(work: Work) -> tuple[Any, ...]:
    return work.kind, work.forgets_us, -work.value / work.calls, -work.shares / work.calls, work.gaps[0].key


def _histories(events: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str, str], _History]:
    found: dict[tuple[str, str, str], _History] = {}
    for row in events:
        history = found.setdefault((row["date"], row["scope"], row["symbol"]), _History())
        key = (row["from_volume"], row["to_volume"])
        match row["event"]:
            case GapEvent.ATTEMPTED:
                history.tries.setdefault(key, []).append(row["at"])
            case GapEvent.UNREPAIRABLE:
                history.given_up.append((*key, row["detail"] or "it cannot be repaired"))
            case GapEvent.FORGOTTEN:
                history.forgotten.add(key)
    return found


def seconds_above(gaps: Sequence[Gap]) -> dict[int, int]:
    """By the upper end of a hole, the KST second of the day of the trade above it, where that is known."""
    midnight_us = instant_us(date.fromisoformat(gaps[0].date), 0) if gaps else 0
    found = {gap.to_volume: (gap.after_ts - midnight_us) // 1_000_000 for gap in gaps if gap.after_ts is not None}
    return {volume: second for volume, second in found.items() if 0 <= second < _DAY_S}
