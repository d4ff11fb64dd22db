"""Repair beside a running collector: looks now and then whether holes stand open, and has them filled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeVar

import structlog

from hosu.collect.leaving import aside
from hosu.collect.repair_plan import ATTEMPTS, ATTEMPTS_NEXT_DAY, PlanConfig, plan_repair
from hosu.errors import HosuError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.clock import Clock
    from hosu.collect.repair import RepairBook, Repairer, RepairReport
    from hosu.collect.repair_plan import RepairPlan

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Watching:
    """What the watch asks of the collector.

    ``wanted`` says whether holes stand open, cheaply. ``date`` is the business date by the broker (yyyymmdd), None
    before it was told. ``before`` are dates of which the first look is, too: what a day before has left behind.
    ``deadlines`` is False where the broker's clock has nothing to do with ours. ``mine`` says which symbols it looks
    after, where several watches share a lake.
    """

    wanted: Callable[[], bool]
    date: Callable[[], int | None]
    before: tuple[str, ...] = ()
    mine: Callable[[str], bool] = lambda _: True
    deadlines: bool = True
    past_minutes: bool = True
    look_s: float = 20.0
    settle_s: float = 10.0


class RepairWatch:
    """Runs until it is cancelled, which loses nothing. Whatever it runs into, it says so and tries again later: no
    fault of repair may end a collection.

    Attributes:
        calls, found: of all runs so far, as ``RepairReport`` counts them.
    """

    def __init__(self, repairer: Repairer, book: RepairBook, clock: Clock, watching: Watching) -> None:
        self._repairer, self._book, self._clock, self._watching = repairer, book, clock, watching
        self.calls = self.found = 0

    async def run(self) -> None:
        """Looks, repairs, sleeps."""
        before = self._watching.before
        while True:
            await self._clock.sleep(self._watching.look_s)
            today = _day(self._watching.date())
            if today is None or not (before or self._watching.wanted()):
                continue
            try:
                await self._round({*before, today.isoformat()}, today)
                before = ()
            except HosuError as error:
                _log.warning("repair is put off", error=str(error))
            except Exception:  # noqa: BLE001 - as the class says
                _log.exception("repair failed")

    async def _round(self, dates: set[str], today: date) -> None:
        watching = self._watching
        config = PlanConfig(
            today=today if watching.deadlines else None,
            past_minutes=watching.past_minutes,
            attempts=ATTEMPTS if len(dates) == 1 else ATTEMPTS_NEXT_DAY,
            settle_s=watching.settle_s,
        )
        plan = await planned(self._book, sorted(dates), self._clock.now_us(), config, watching.mine)
        if not plan.work and not any(each.event is not None for each in plan.hopeless):
            return
        _log.info("repair begins", symbols=len(plan.work), calls=plan.calls)
        report = await self._repairer.run(plan)
        self.calls += report.calls
        self.found += report.found
        say(report)


def say(report: RepairReport) -> None:
    """A line of the log on what came of a plan."""
    told = _log.info if report.stopped is None else _log.warning
    told("repair is done", calls=report.calls, found=report.found, missing=report.missing, stopped=report.stopped)


async def planned(
    book: RepairBook, dates: list[str], now_us: int, config: PlanConfig, mine: Callable[[str], bool]
) -> RepairPlan:
    """The plan for what stands open on these dates of symbols that are ``mine``; the tables are read beside the event
    loop."""
    gaps, events = await answered(lambda: (book.open_gaps(dates), book.events(dates)))
    return plan_repair([gap for gap in gaps if mine(gap.symbol)], events, now_us, config)


async def answered(call: Callable[[], _T]) -> _T:
    """What a blocking call returns, made in a thread of its own."""
    found: list[_T] = []
    await aside(lambda: found.append(call()))
    return found[0]


def _day(yyyymmdd: int | None) -> date | None:
    if yyyymmdd is None:
        return None
    try:
        return date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100)
    except ValueError:
        return None
