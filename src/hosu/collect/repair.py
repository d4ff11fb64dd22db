"""Filling holes over REST, behind live collection: works off a plan, and notes what came of it.

Every reply goes to the log like anything else that is received, and becomes rows by the ordinary pumps; what was
filled by it the ledger finds out by itself. So nothing here writes a trade, or says that a hole is closed.

Repair asks at the lowest priority, so that it takes at most three quarters of the calls that are granted. Where the
broker refuses a call for its pace, everybody slows down by half for a minute; repair then does not ask at all until
that is over. So a storm of refusals that repair meets slows the others by that one half, and not more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import structlog

from hosu.collect.repair_pages import Pager, Why, prints_of
from hosu.collect.repair_plan import MINUTES_PAST, Kind, seconds_above
from hosu.collect.repair_words import NO_DAY, TOO_LATE, clock_of, event_of, outcome_of, sentence, shared
from hosu.errors import BrokerError, BrokerReplyError, InputError, RateLimitedError
from hosu.kis.codes import Verdict, may_succeed_later, verdict
from hosu.kis.conclusions import second_of
from hosu.kis.limits import Priority
from hosu.market.calendar import instant_us, sessions_on
from hosu.market.ledger import GapEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from hosu.clock import Clock
    from hosu.collect.gaps import Gap
    from hosu.collect.repair_plan import RepairPlan, Work
    from hosu.kis.replies import Conclusion, MinuteBar
    from hosu.kis.rest import Scope

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_LOOK_S: Final = 1.0
_OF_ONE: Final = (BrokerReplyError, InputError)
"""What the broker will not do for one symbol, and what was received as a symbol and is none."""


class PrintSource(Protocol):
    """The calls that repair needs (``kis.rest.RestClient``); their replies reach the log by the client's own way."""

    async def time_conclusions(
        self, symbol: str, until: time, scope: Scope = ..., *, day: date | None = ..., priority: Priority = ...
    ) -> list[Conclusion]: ...

    async def minute_chart(
        self, symbol: str, until: time, scope: Scope = ..., *, priority: Priority = ...
    ) -> list[MinuteBar]: ...

    async def dated_minute_chart(
        self, symbol: str, day: date, until: time, scope: Scope = ..., *, priority: Priority = ...
    ) -> list[MinuteBar]: ...


class RepairBook(Protocol):
    """What repair asks of the ledger's tables, and tells them. Not for the event loop: it reads and writes."""

    def open_gaps(self, dates: Iterable[str]) -> list[Gap]:
        """The holes of these dates that stand open now."""

    def events(self, dates: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of ``gap_events`` of these dates, times in microseconds."""

    def note(self, events: Sequence[dict[str, Any]]) -> None:
        """Adds rows of ``gap_events``."""


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """``most_calls`` is for one symbol in one try: what is left then is another hole, with tries of its own.

    After ``most_refusals`` for pace, or ``most_failures`` without an answer, in a row the run ends.
    """

    most_calls: int = 3_000
    most_refusals: int = 5
    most_failures: int = 5
    failure_pause_s: float = 2.0


@dataclass(slots=True)
class RepairReport:
    """What came of a plan. ``found`` counts missing shares that the answers held, whatever becomes of them.

    ``outcomes`` has a sentence for each hole worked on; ``stopped`` says why the run ended before the plan did.
    """

    calls: int = 0
    found: int = 0
    missing: int = 0
    done: int = 0
    outcomes: list[tuple[Gap, str]] = field(default_factory=list)
    stopped: str | None = None


class _EnoughError(Exception):
    """The run ends: the broker refuses, or does not answer."""


class _TooLateError(Exception):
    """What would come now may be of another day."""


class Repairer:
    """Works off plans, one at a time.

    Args:
        slowness: how much the governor stretches the pace now (``Governor.slowness``).
        note: adds rows of ``gap_events``; awaited, so that a try is noted before it begins.
        last_s: the KST second of the day up to which trades of that day and scope may be asked for.
    """

    def __init__(
        self,
        source: PrintSource,
        clock: Clock,
        *,
        slowness: Callable[[], float],
        note: Callable[[list[dict[str, Any]]], Awaitable[None]],
        last_s: Callable[[date, str], int] | None = None,
        config: RepairConfig | None = None,
    ) -> None:
        self._source, self._clock, self._slowness, self._note = source, clock, slowness, note
        self._last_s = last_s if last_s is not None else end_of_day_s
        self._config = config if config is not None else RepairConfig()
        self._refused = self._failed = 0
        self._report = RepairReport()

    async def run(self, plan: RepairPlan, progress: Callable[[RepairReport], None] | None = None) -> RepairReport:
        """Works the plan off in its order. Cancelling loses nothing: what was answered is in the log, and the holes
        that are left are found open again."""
        report = self._report = RepairReport()
        self._refused = self._failed = 0
        await self._tell([(each.gap, each.event, each.reason) for each in plan.hopeless if each.event is not None])
        for work in plan.work:
            try:
                await (self._minutes(work) if work.kind is Kind.MINUTES else self._trades(work, progress))
            except _EnoughError as enough:
                report.stopped = str(enough)
                _log.warning("repair ends before its plan is done", reason=report.stopped, calls=report.calls)
                break
            except _TooLateError:
                self._outcomes(work.gaps, TOO_LATE)
            except _OF_ONE as error:  # of this symbol; others may fare better
                self._outcomes(work.gaps, str(error))
            report.done += 1
            if progress is not None:
                progress(report)
        return report

    # --- trades -------------------------------------------------------------------------------------------------

    async def _trades(self, work: Work, progress: Callable[[RepairReport], None] | None) -> None:
        try:
            day = await self._broker_day(work)
        except _OF_ONE as error:
            # It counts as a try: what is refused would else be asked for at every look, all day long.
            await self._tell([(gap, GapEvent.ATTEMPTED, str(error)) for gap in work.gaps])
            raise
        if day is None:
            await self._tell([(gap, GapEvent.ATTEMPTED, NO_DAY) for gap in work.gaps])
            self._outcomes(work.gaps, NO_DAY)
            return
        if day != work.day:
            reason = f"the broker answers for {day} by now"
            await self._tell([(gap, GapEvent.FORGOTTEN, reason) for gap in work.gaps])
            self._outcomes(work.gaps, reason)
            return
        await self._tell([(gap, GapEvent.ATTEMPTED, "trades asked for, back from the upper side") for gap in work.gaps])
        pager = await self._walk(work, progress)
        await self._tell_lost(work, pager)

    async def _broker_day(self, work: Work) -> date | None:
        """The day the broker answers for: minutes say theirs, trades do not. The minutes themselves come to the log,
        for bars."""
        at_s = _known_second(work) or self._last_s(work.day, work.gaps[0].scope)
        until, (scope, symbol) = clock_of(at_s), _asked(work)
        bars = await self._ask(
            lambda: self._source.minute_chart(symbol, until, scope, priority=Priority.BACKFILL), work.until_us
        )
        written = max((bar.date for bar in bars if bar.date), default=None)
        try:
            return None if written is None else datetime.strptime(written, "%Y%m%d").date()  # noqa: DTZ007 - a day
        except ValueError:
            return None

    async def _walk(self, work: Work, progress: Callable[[RepairReport], None] | None) -> Pager:
        scope, symbol = _asked(work)
        holes = [(gap.from_volume, gap.to_volume) for gap in work.gaps]
        pager = Pager(holes, seconds_above(work.gaps), self._last_s(work.day, scope))
        while pager.pages < self._config.most_calls and (cursor := pager.cursor()) is not None:
            until = clock_of(cursor)
            rows = await self._ask(
                lambda until=until: self._source.time_conclusions(  # type: ignore[misc]
                    symbol, until, scope, day=work.day, priority=Priority.BACKFILL
                ),
                work.until_us,
            )
            pager.take(cursor, prints_of(rows))
            if progress is not None:
                progress(self._report)
        return pager

    async def _tell_lost(self, work: Work, pager: Pager) -> None:
        """Notes what will never be had. What was not listed, or not asked for, is tried again."""
        left = sum(end - begin for begin, end in pager.missing)
        lost = sum(each.end - each.begin for each in pager.lost)
        self._report.found += work.shares - left - lost
        self._report.missing += left + lost
        now_us = self._clock.now_us()
        told = [
            event_of(gap, GapEvent.UNREPAIRABLE, now_us, sentence(each), hole)
            for gap in work.gaps
            for each in pager.lost
            if each.why is Why.CROWDED and (hole := shared(gap, each.begin, each.end)) is not None
        ]
        if told:
            await self._note(told)
        for gap in work.gaps:
            self._report.outcomes.append((gap, outcome_of(gap, pager)))

    # --- minutes ------------------------------------------------------------------------------------------------

    async def _minutes(self, work: Work) -> None:
        """Minutes of a day that is over, for bars: they have no trades."""
        scope, symbol = _asked(work)
        for gap in work.gaps:
            first_s, at_s = _span_s(gap, self._last_s(work.day, scope))
            while at_s >= first_s:
                until = clock_of(at_s)
                bars = await self._ask(
                    lambda until=until: self._source.dated_minute_chart(  # type: ignore[misc]
                        symbol, work.day, until, scope, priority=Priority.BACKFILL
                    )
                )
                oldest = min((second for bar in bars if (second := second_of(bar.time)) is not None), default=None)
                if oldest is None or oldest >= at_s or len(bars) < MINUTES_PAST:
                    break
                at_s = oldest - 60
        self._outcomes(work.gaps, "its trades are forgotten; minutes were asked for, for bars")

    # --- asking -------------------------------------------------------------------------------------------------

    async def _ask(self, call: Callable[[], Awaitable[_T]], until_us: int | None = None) -> _T:
        """The call's answer, once the broker is content with everybody's pace.

        Raises:
            _TooLateError: it is ``until_us`` by then.
            BrokerReplyError: a refusal that has nothing to do with pace.
            _EnoughError: too many refusals for pace, or calls without an answer.
        """
        config = self._config
        while True:
            while self._slowness() > 1.0:
                await self._clock.sleep(_LOOK_S)
            if until_us is not None and self._clock.now_us() >= until_us:
                raise _TooLateError
            self._report.calls += 1
            try:
                answer = await call()
            except RateLimitedError as error:
                self._refused += 1
                if self._refused >= config.most_refusals:
                    raise _EnoughError(f"refused for its pace {self._refused} times in a row ({error.code})") from None
            except BrokerReplyError as error:
                if verdict(error.code) is Verdict.FATAL:
                    raise _EnoughError(str(error)) from None
                if not may_succeed_later(error):
                    raise
                await self._failure(error)
            except BrokerError as error:
                await self._failure(error)
            else:
                self._refused = self._failed = 0
                return answer

    async def _failure(self, error: BrokerError) -> None:
        self._failed += 1
        if self._failed >= self._config.most_failures:
            raise _EnoughError(str(error)) from None
        await self._clock.sleep(self._config.failure_pause_s * self._failed)

    # --- telling ------------------------------------------------------------------------------------------------

    async def _tell(self, facts: Sequence[tuple[Gap, GapEvent, str]]) -> None:
        now_us = self._clock.now_us()
        if facts:
            await self._note([event_of(gap, event, now_us, detail) for gap, event, detail in facts])

    def _outcomes(self, gaps: Iterable[Gap], sentence: str) -> None:
        for gap in gaps:
            self._report.missing += gap.shares
            self._report.outcomes.append((gap, sentence))


def end_of_day_s(day: date, scope: str) -> int:
    """The KST second at which the day's last session ends; the day's last where the calendar does not know it."""
    from hosu.errors import MarketError
    from hosu.market.day_plan import Scope as Venue

    try:
        return min(int(sessions_on(day, Venue(scope)).end_s), 86_399)
    except MarketError:
        return 86_399


def _asked(work: Work) -> tuple[Scope, str]:
    gap = work.gaps[0]
    return gap.scope, gap.symbol  # type: ignore[return-value]  # the ledger's scopes are the broker's


def _known_second(work: Work) -> int | None:
    """A second of the day at which a trade beside a hole was: one that is past."""
    midnight_us = instant_us(work.day, 0)
    known = [at for gap in work.gaps for at in (gap.after_ts, gap.before_ts) if at is not None]
    return (max(known) - midnight_us) // 1_000_000 if known else None


def _span_s(gap: Gap, last_s: int) -> tuple[int, int]:
    midnight_us = instant_us(date.fromisoformat(gap.date), 0)
    first_s = 0 if gap.before_ts is None else (gap.before_ts - midnight_us) // 1_000_000
    return first_s // 60 * 60, last_s if gap.after_ts is None else (gap.after_ts - midnight_us) // 1_000_000
