"""Works off a backfill's tasks: asks, waits until the replies are durable in the log, and notes what was answered.

Bars are not made here: the log's replies become rows on the way that all of the log takes, so that a replay makes
the same ones.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import date, time, timedelta
from typing import TYPE_CHECKING, Final, Protocol

import structlog

from hosu.collect.backfill_plan import hours
from hosu.collect.leaving import aside
from hosu.errors import BrokerError, BrokerReplyError, LogError
from hosu.kis.charts import DATED_MINUTE_CHART_TR, MINUTE_CHART_TR, MINUTE_ROWS
from hosu.kis.codes import may_succeed_later
from hosu.kis.conclusions import second_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.collect.backfill_plan import Task
    from hosu.collect.backfill_progress import Progress
    from hosu.collect.wal import Log
    from hosu.kis.replies import DailyBar, MinuteBar
    from hosu.kis.rest import Scope

_log = structlog.get_logger(__name__)

_GIVE_UP_AFTER: Final = 5
_DURABLE_WITHIN_S: Final = 60.0


class ChartSource(Protocol):
    """The chart calls; their replies reach the log by the client's own ``on_reply``."""

    async def daily_chart(
        self, symbol: str, start: date, end: date, scope: Scope = "KRX", *, adjusted: bool = False
    ) -> list[DailyBar]: ...

    async def minute_chart(self, symbol: str, until: time, scope: Scope = "KRX") -> list[MinuteBar]: ...

    async def dated_minute_chart(
        self, symbol: str, day: date, until: time, scope: Scope = "KRX"
    ) -> list[MinuteBar]: ...


@dataclass(frozen=True, slots=True)
class Missing:
    """Bars of a task that were not got. ``final``: asking again would not help."""

    symbol: str
    first: date
    last: date
    days: int
    reason: str
    final: bool


@dataclass(slots=True)
class BackfillReport:
    """What a run did. ``stopped`` says why it ended before its tasks were done; None if it did not."""

    tasks: int = 0
    bars: int = 0
    missing: list[Missing] = field(default_factory=list)
    stopped: str | None = None


class Backfill:
    """Asks with a few workers at a time; the governor behind the client sets the pace.

    What the broker refuses is listed and passed over. When it refuses, or cannot be reached, five times in a row for
    the same reason, the run ends: what is left is as if it had not been asked.
    """

    def __init__(self, client: ChartSource, log: Log, progress: Progress, *, workers: int = 4) -> None:
        self._client, self._wal, self._progress, self._workers = client, log, progress, workers
        self._left: deque[Task] = deque()
        self._in_a_row: tuple[str, int] = ("", 0)
        self._report = BackfillReport()

    def stop(self, reason: str) -> None:
        """Asks to end once the tasks at hand are done."""
        if self._report.stopped is None:
            self._report.stopped = reason

    async def run(self, tasks: Sequence[Task], on_task: Callable[[Task], None] | None = None) -> BackfillReport:
        """Works off ``tasks`` in their order. Cancelling leaves the tasks at hand unanswered and nothing else lost.

        Raises:
            LogError: the log cannot be written.
        """
        self._left.extend(tasks)
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(min(self._workers, len(tasks))):
                    group.create_task(self._work(on_task), name=f"backfill-{number}")
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        return self._report

    async def _work(self, on_task: Callable[[Task], None] | None) -> None:
        while self._left and self._report.stopped is None:
            task = self._left.popleft()
            try:
                bars, absent = await self._ask(task)
            except BrokerError as error:
                self._refused(task, error)
            else:
                self._in_a_row = ("", 0)
                await aside(self._durable)
                # Days between those of a task are known already, or none of trading.
                self._progress.add(task.series, task.days[0], task.days[-1], bars)
                self._report.bars += bars
                if absent:
                    self._miss(task, absent, "the broker has no bars there", final=True)
            self._report.tasks += 1
            if on_task is not None:
                on_task(task)

    def _durable(self) -> None:
        if not self._wal.wait_written(_DURABLE_WITHIN_S):
            raise LogError(f"{self._wal.directory} was not written within {_DURABLE_WITHIN_S:.0f} s; check the disk")

    def _refused(self, task: Task, error: BrokerError) -> None:
        _log.warning("bars not given", symbol=task.symbol, first=str(task.days[0]), error=str(error))
        replied = isinstance(error, BrokerReplyError)
        self._miss(task, task.days, str(error), final=replied and not may_succeed_later(error))
        why = error.code if isinstance(error, BrokerReplyError) else type(error).__name__
        before, times = self._in_a_row
        self._in_a_row = (why, times + 1 if why == before else 1)
        if self._in_a_row[1] >= _GIVE_UP_AFTER:
            self.stop(str(error))

    def _miss(self, task: Task, days: Sequence[date], reason: str, *, final: bool) -> None:
        self._report.missing.append(Missing(task.symbol, days[0], days[-1], len(days), reason, final))

    async def _ask(self, task: Task) -> tuple[int, list[date]]:
        """How many bars came, and the days of which none did."""
        kind, scope, symbol, adjusted = task.series
        if kind == "minutes":
            count = await self._ask_minutes(symbol, task.days[0], scope, live=task.live)
            return count, [] if count else list(task.days)
        end = task.days[-1] + timedelta(1)
        bars = await self._client.daily_chart(symbol, task.days[0], end, scope, adjusted=adjusted)
        given = {bar.date for bar in bars}
        return len(bars), [day for day in task.days if f"{day:%Y%m%d}" not in given]

    async def _ask_minutes(self, symbol: str, day: date, scope: Scope, *, live: bool) -> int:
        """Pages back from the close. Each page begins with the last row of the one before, because a row's value can
        only be told beside the row before it."""
        most = MINUTE_ROWS[MINUTE_CHART_TR if live else DATED_MINUTE_CHART_TR]
        seen: set[str] = set()
        until = _clock(hours(day, scope)[1])
        while True:
            page = await self._page(symbol, day, until, scope, live=live)
            # A row that is none goes to quarantine, and is no reason to ask for no more.
            rows = [(bar.date, bar.time) for bar in page if bar.date and bar.time and second_of(bar.time) is not None]
            times = {written for date, written in rows if date == f"{day:%Y%m%d}"}
            other_day = any(date != f"{day:%Y%m%d}" for date, _ in rows)
            oldest = min(times, default="")
            seen |= times
            if len(page) < most or other_day or not "" < oldest < f"{until:%H%M%S}":
                return len(seen)
            until = time(int(oldest[:2]), int(oldest[2:4]), int(oldest[4:6]))

    async def _page(self, symbol: str, day: date, until: time, scope: Scope, *, live: bool) -> list[MinuteBar]:
        if live:
            return await self._client.minute_chart(symbol, until, scope)
        return await self._client.dated_minute_chart(symbol, day, until, scope)


def _clock(second: int) -> time:
    return time(second // 3600, second // 60 % 60, second % 60)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
