"""A backfill over REST, wired: broker, a log of its own, decoder, lake, archive."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.backfill import Backfill, BackfillReport
    from hosu.collect.backfill_plan import Task
    from hosu.collect.backfill_progress import Progress
    from hosu.collect.pump import Pump
    from hosu.collect.recorder import Recorder
    from hosu.collect.wal import Log
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.limits import Pace
    from hosu.kis.rest import RestClient
    from hosu.lake.lake import Lake
    from hosu.settings import KisSettings

_FLUSH_AFTER_S = 60.0  # few large commits: a page of daily bars touches a hundred dates
_FLUSH_ROWS = 500_000


@dataclass(frozen=True, slots=True)
class Broker:
    """Whom to ask, how fast, and where tokens and grants are kept."""

    host: Host
    credentials: Credentials
    pace: Pace
    cache: Path
    user_agent: str


def broker_of(kis: str, rest: str | None, keys: KisSettings, *, cache: Path, state: Path, clock: Clock) -> Broker:
    """The broker that the options name.

    Raises:
        InputError: the name is unknown, or a simulator's address is missing or malformed.
        SettingsError: a key is not set.
    """
    from hosu.cli.broker_station import pace_of
    from hosu.cli.station import credentials_of, host_of
    from hosu.kis.hosts import Host
    from hosu.market.calendar import business_day

    if kis == "simulator":
        if rest is None:
            raise InputError("--kis simulator", "needs --rest", "take it from the simulator's first line")
        host, cache = Host("simulator", rest, "ws://127.0.0.1:1"), state / "cache"  # nothing is streamed
    else:
        host = host_of(kis, None, None)
    pace = pace_of(business_day(clock.now_us())[0], host, keys)
    return Broker(host, credentials_of(kis, keys), pace, cache, keys.user_agent)


async def run(
    tasks: Sequence[Task],
    broker: Broker,
    lake: Lake,
    folder: Path,
    progress: Progress,
    clock: Clock,
    *,
    on_task: Callable[[Task], None],
    within_s: float | None = None,
) -> BackfillReport:
    """Works off the tasks into the lake, and brings in what a run that was killed left in the log.

    SIGINT and SIGTERM end it once the calls at hand are answered and everything is in the lake; so does the time, where
    it is to end ``within_s`` seconds.

    Raises:
        LockedError: another backfill runs with this folder.
        LogError, LakeError: what was received is safe in the log, and the next run goes on from it.
    """
    import asyncio

    from hosu.collect.backfill import Backfill
    from hosu.collect.recorder import Recorder

    async with _station(lake, folder, clock) as (log, pump):
        recorder = Recorder(log, clock)
        async with _client(broker, recorder, clock) as client:
            backfill = Backfill(client, log, progress)
            if within_s is not None:
                asyncio.get_running_loop().call_later(within_s, backfill.stop, "its time is over")
            with _stopped_by_signals(backfill):
                watch = _stopping_on(pump, backfill, on_task)
                report = await backfill.run(tasks, watch)
        recorder.ended()
    return report


def _stopping_on(pump: Pump, backfill: Backfill, on_task: Callable[[Task], None]) -> Callable[[Task], None]:
    def watch(task: Task) -> None:
        if pump.error is not None:
            backfill.stop(str(pump.error))
        on_task(task)

    return watch


@asynccontextmanager
async def _station(lake: Lake, folder: Path, clock: Clock) -> AsyncIterator[tuple[Log, Pump]]:
    """The log and what feeds the lake from it; on an orderly leave all of the log is in the lake and archived."""
    from hosu.collect.archivist import Archivist
    from hosu.collect.leaving import aside
    from hosu.collect.pump import Pump
    from hosu.collect.wal import Log
    from hosu.lake.archive import FramesArchive
    from hosu.lake.writer import LakeSink, WriterConfig
    from hosu.settings import CollectSettings, load

    reserve = load(CollectSettings).disk_reserve_mb << 20
    log = Log.open(folder / "wal", clock)
    try:
        config = WriterConfig(flush_after_s=_FLUSH_AFTER_S, flush_rows=_FLUSH_ROWS, reserve_bytes=reserve)
        pump = Pump(log, LakeSink(lake, config, clock), clock)
        archivist = Archivist(log, FramesArchive(lake, reserve_bytes=reserve), [pump])
        pump.start()
        archivist.start()
        try:
            yield log, pump
            await aside(lambda: log.wait_written(60.0))
            await aside(log.seal)
            await _drained(log, pump, archivist)
        finally:
            pump.abandon()
            archivist.stop()
    finally:
        await aside(log.close)


async def _drained(log: Log, pump: Pump, archivist: Any) -> None:
    from hosu.collect.leaving import until

    pump.drain(log.durable_lsn)
    await until(lambda: pump.join(0))
    if pump.error is not None:
        raise pump.error
    archivist.stop(last_pass=True)
    await until(lambda: archivist.join(0))
    if archivist.error is not None:
        raise archivist.error


@asynccontextmanager
async def _client(broker: Broker, recorder: Recorder, clock: Clock) -> AsyncIterator[RestClient]:
    from hosu.kis.auth import Auth
    from hosu.kis.http import Http, HttpConfig
    from hosu.kis.limits import Governor
    from hosu.kis.rest import RestClient

    name = f"calls-{broker.host.name}-{broker.credentials.fingerprint}"
    governor = Governor(broker.cache / name, broker.pace, clock)
    async with Http(HttpConfig(user_agent=broker.user_agent)) as http:
        auth = Auth(broker.host, broker.credentials, http, governor, cache_dir=broker.cache, clock=clock)
        yield RestClient(
            broker.host,
            broker.credentials,
            auth,
            governor,
            http,
            clock=clock,
            random=Random(),
            on_reply=recorder.reply,
        )


class _stopped_by_signals:  # noqa: N801 - reads as the context that it is
    """While it holds, the first SIGINT or SIGTERM asks the backfill to end; a second ends the process."""

    def __init__(self, backfill: Backfill) -> None:
        self._backfill = backfill

    def __enter__(self) -> None:
        import asyncio
        import signal

        loop = asyncio.get_running_loop()
        self._numbers = (signal.SIGINT, signal.SIGTERM)

        def stop(number: signal.Signals) -> None:
            self._backfill.stop(number.name)
            for each in self._numbers:
                loop.remove_signal_handler(each)

        for number in self._numbers:
            loop.add_signal_handler(number, stop, number)

    def __exit__(self, *_: object) -> None:
        import asyncio

        for number in self._numbers:
            asyncio.get_running_loop().remove_signal_handler(number)
