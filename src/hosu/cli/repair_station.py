"""Repair, wired: towards the broker beside a collector's own client, or with a log of its own where none runs."""

from __future__ import annotations

import shutil
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import LockedError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import AsyncIterator, Callable, Iterable
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.recorder import Recorder
    from hosu.collect.repair import Repairer, RepairReport
    from hosu.collect.repair_plan import PlanConfig, RepairPlan
    from hosu.collect.repair_watch import RepairWatch
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.http import Http
    from hosu.kis.registrations import Registration
    from hosu.lake.lake import Lake
    from hosu.settings import CollectSettings, KisSettings

_LOG_CLOSE_S: Final = 0.5
_LOOK_S: Final = 20.0
_SIMULATED_LOOK_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Means:
    """With what is repaired: whose calls, and where log, token and the governor's file stand."""

    host: Host
    credentials: Credentials
    lake: Lake
    state: Path
    settings: CollectSettings
    kis: KisSettings

    @property
    def simulated(self) -> bool:
        return self.host.name == "simulator"

    @property
    def cache(self) -> Path:
        """As the collector's: a simulator shares nothing with anybody."""
        return self.state / "cache" if self.simulated else self.settings.cache


def plan_config(host: Host, clock: Clock, *, again: bool = False) -> PlanConfig:
    """How to plan for a broker once a day is over: a simulator plays any day, so that our clock says nothing about
    its."""
    from hosu.collect.repair_plan import ATTEMPTS_AT_CLOSE, PlanConfig
    from hosu.market.calendar import business_day

    today = None if host.name == "simulator" else business_day(clock.now_us())[0]
    return PlanConfig(
        today,
        past_minutes=host.name == "live",
        attempts=ATTEMPTS_AT_CLOSE,
        again=again,
        again_after_s=0.0,
        settle_s=0.0,
    )


def repairer_of(means: Means, recorder: Recorder, http: Http, clock: Clock, note: Callable[..., Any]) -> Repairer:
    """A repairer with a client of its own. The governor's file is the one that all of this key share."""
    from random import Random

    from hosu.cli.broker_station import pace_of
    from hosu.collect.repair import RepairConfig, Repairer
    from hosu.kis.auth import Auth
    from hosu.kis.limits import Governor
    from hosu.kis.rest import RestClient, RestConfig
    from hosu.market.calendar import business_day

    today, _ = business_day(clock.now_us())
    name = f"calls-{means.host.name}-{means.credentials.fingerprint}"
    governor = Governor(means.cache / name, pace_of(today, means.host, means.kis), clock)
    auth = Auth(means.host, means.credentials, http, governor, cache_dir=means.cache, clock=clock)
    rest = RestClient(
        means.host,
        means.credentials,
        auth,
        governor,
        http,
        clock=clock,
        random=Random(),
        config=RestConfig(tries=2, refused_tries=1),
        on_reply=recorder.reply,
    )
    # A simulator that does not answer has ended with its day; the broker may be restarting.
    config = RepairConfig(most_failures=2, failure_pause_s=0.2) if means.simulated else RepairConfig()
    return Repairer(rest, clock, slowness=governor.slowness, note=note, last_s=_last_s(means, clock), config=config)


def _last_s(means: Means, clock: Clock) -> Callable[[dt.date, str], int]:
    """No later than now: what the broker answers for a time to come is not documented."""
    from hosu.collect.repair import end_of_day_s
    from hosu.market.calendar import business_day

    def last_s(day: dt.date, scope: str) -> int:
        today, second = business_day(clock.now_us())
        end_s = end_of_day_s(day, scope)
        return min(end_s, int(second)) if today == day and not means.simulated else end_s

    return last_s


def session_before(day: str) -> str | None:
    """The session before a day; None where the calendar does not know it."""
    from datetime import date

    from hosu.errors import CalendarRangeError
    from hosu.market.calendar import previous_session

    try:
        return previous_session(date.fromisoformat(day)).isoformat()
    except CalendarRangeError:
        return None


def is_in(symbol: str, part: tuple[int, int]) -> bool:
    """Whether a symbol falls to the part (number from 0, of how many); each falls to one, whoever streams it."""
    return zlib.crc32(symbol.encode()) % part[1] == part[0]


def watch_of(
    means: Means, recorder: Recorder, http: Http, clock: Clock, ledger: LedgerSink, part: tuple[int, int]
) -> RepairWatch:
    """Repair beside the collector whose recorder and ledger these are: of the symbols that are its part of all."""
    from hosu.collect.repair_watch import RepairWatch, Watching, answered
    from hosu.lake.repair_book import LakeRepairBook
    from hosu.market.calendar import business_day

    book = LakeRepairBook(means.lake)

    async def note(events: list[dict[str, Any]]) -> None:
        await answered(lambda: book.note(events))

    yesterday = None if means.simulated else session_before(business_day(clock.now_us())[0].isoformat())
    watching = Watching(
        wanted=lambda: ledger.open_gaps > 0,
        date=lambda: recorder.business_date,
        before=(yesterday,) if yesterday is not None else (),
        mine=lambda symbol: is_in(symbol, part),
        deadlines=not means.simulated,
        past_minutes=means.host.name == "live",
        look_s=_SIMULATED_LOOK_S if means.simulated else _LOOK_S,
        settle_s=_SIMULATED_LOOK_S if means.simulated else 10.0,
    )
    return RepairWatch(repairer_of(means, recorder, http, clock, note), book, clock, watching)


# --- where no collector runs ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Errand:
    """A plan in the place of a feed: the collector it is given to commits and ends when it is done."""

    repairer: Repairer
    plan: RepairPlan
    progress: Callable[[RepairReport], None] | None
    report: RepairReport | None = field(default=None)

    async def run(self, desired: Iterable[Registration]) -> None:  # noqa: ARG002  nothing is registered
        self.report = await self.repairer.run(self.plan, self.progress)

    def resume(self) -> None: ...


async def repair_now(
    means: Means, plan: RepairPlan, progress: Callable[[RepairReport], None] | None = None
) -> RepairReport | None:
    """Works a plan off with a log of its own, ``repair`` in the state folder; all of it is in the lake then. None when
    a signal came first: what was answered until then is in the lake, or in the log for the next time.

    Raises:
        LockedError: a collector or another repair works there.
    """
    from hosu.clock import SystemClock
    from hosu.collect.repair_watch import answered
    from hosu.lake.repair_book import LakeRepairBook

    clock, book = SystemClock(), LakeRepairBook(means.lake)

    async def note(events: list[dict[str, Any]]) -> None:
        await answered(lambda: book.note(events))

    refuse_beside_a_collector(means.state)
    async with _log_and_client(means, clock) as (recorder, http, run):
        errand = _Errand(repairer_of(means, recorder, http, clock, note), plan, progress)
        await run(errand)
    return errand.report


@asynccontextmanager
async def _log_and_client(means: Means, clock: Any) -> AsyncIterator[tuple[Recorder, Http, Callable[..., Any]]]:
    from hosu.collect.collector import Collector, CollectorConfig, Outside, Source
    from hosu.collect.fanout import Fanout
    from hosu.collect.leaving import close_within
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.recorder import Recorder
    from hosu.collect.wal import Log
    from hosu.kis.http import Http, HttpConfig
    from hosu.lake.archive import FramesArchive
    from hosu.lake.ledger_store import LakeLedgerStore
    from hosu.lake.writer import LakeSink, WriterConfig

    folder, reserve = means.state / "repair", means.settings.disk_reserve_mb << 20
    folder.mkdir(parents=True, exist_ok=True)
    log = Log.open(folder / "wal", clock)
    try:
        recorder = Recorder(log, clock)
        async with Http(HttpConfig(user_agent=means.kis.user_agent)) as http:

            async def run(errand: _Errand) -> None:
                collector = Collector(
                    CollectorConfig(sink_reserve_bytes=reserve, log_reserve_bytes=reserve // 4, handle_signals=True),
                    log,
                    recorder,
                    [Source(errand, ())],
                    sinks=[
                        Fanout(
                            [
                                LakeSink(means.lake, WriterConfig(reserve_bytes=reserve), clock),
                                LedgerSink(LakeLedgerStore(means.lake, reserve_bytes=reserve), clock=clock),
                            ]
                        )
                    ],
                    archive=FramesArchive(means.lake, reserve_bytes=reserve),
                    clock=clock,
                    outside=Outside(free_bytes=lambda: shutil.disk_usage(folder).free, clock_offset_us=clock.offset_us),
                )
                await collector.run()

            yield recorder, http, run
    finally:
        close_within(log, _LOG_CLOSE_S)


def refuse_beside_a_collector(state: Path) -> None:
    """Lets nobody repair by hand where a collector runs, which does so by itself.

    Raises:
        LockedError: one runs; names its process.
    """
    from hosu.cli.collecting import SHARDS
    from hosu.locks import FileLock

    for log in [state / "wal", *sorted((state / SHARDS).glob("*/wal"))]:
        if not log.is_dir():
            continue
        lock = FileLock(log / "lock", f"the log {log}")
        try:
            lock.acquire()
        except LockedError as error:
            step = "that collector repairs by itself (hosu status shows it); stop it first to repair by hand"
            raise LockedError(error.what, error.holder, step) from None
        lock.release()


def calls_a_second(means_host: Host, kis: KisSettings, clock: Clock) -> float:
    """How fast repair may ask: three quarters of our pace."""
    from hosu.cli.broker_station import pace_of
    from hosu.market.calendar import business_day

    pace = pace_of(business_day(clock.now_us())[0], means_host, kis)
    return max(1, pace.calls * 3 // 4) / pace.window_s
