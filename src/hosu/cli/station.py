"""A collecting process, wired: broker or simulator, feed, log, decoder, lake. Used by ``collect`` and ``demo``."""

from __future__ import annotations

import asyncio
import datetime as dt
import shutil
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import InputError
from hosu.market.agenda import AFTER_CLOSE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from hosu.collect.collector import Collector, Outside
    from hosu.collect.coverage import Coverage
    from hosu.collect.recorder import Recorder
    from hosu.collect.sinks import Sink
    from hosu.collect.subscriptions import Share
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.limits import Governor, Pace
    from hosu.kis.registrations import Registration
    from hosu.kis.rest import Scope
    from hosu.lake.lake import Lake
    from hosu.settings import CollectSettings, KisSettings

FEEDS: Final = ("trades", "quotes", "expected", "market_events")
_LOG_CLOSE_S: Final = 0.5
_LAST_POLL_S: Final = 30.0
"""How long the last round of polls may take at the end of a day; a second signal ends it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is collected, from where, and until when.

    ``registrations`` are in order of priority, at most ``slots``; those in ``reserve`` take the places of refused
    ones. ``symbols`` are all that this key covers: what is not streamed of them is polled every ``poll_every_s``,
    what is streamed now and then. ``exchanges`` is how many streamed symbols an hour may give their slots to ones
    that trade more. ``part`` is (number from 0, count) of this key among all: they share out by symbol what there is
    to repair. ``features`` are built and served from the stream unless switched off; with ``predict`` models answer to
    them.
    """

    host: Host
    credentials: Credentials
    registrations: Sequence[Registration]
    symbols: Sequence[str]
    scope: Scope = "KRX"
    slots: int = 41
    until_idle_s: float | None = None
    poll: bool = True
    durable_fd: int | None = None
    poll_every_s: float = 1.0
    exchanges: int = 0
    reserve: Sequence[Registration] = ()
    repair: bool = False
    part: tuple[int, int] = (0, 1)
    features: bool = True
    predict: bool = False


def registrations_of(symbols: Sequence[str], feeds: Sequence[str], scope: str) -> list[Registration]:
    """One registration a symbol and feed, all feeds of the first symbol first."""
    from hosu.kis.layouts import LAYOUTS
    from hosu.kis.registrations import Registration

    unknown = sorted(set(feeds) - set(FEEDS))
    if unknown or not feeds:
        raise InputError(f"feeds {','.join(feeds)}", "are not all known", f"choose from {', '.join(FEEDS)}")
    tr_ids = {(known[-1].event, known[-1].scope): tr_id for tr_id, known in LAYOUTS.items()}
    return [Registration(tr_ids[feed, scope], symbol) for symbol in symbols for feed in feeds]


def host_of(name: str, rest: str | None, ws: str | None) -> Host:
    """The broker's addresses, or those of a simulator.

    Raises:
        InputError: the name is unknown, or a simulator's addresses are missing or malformed.
    """
    from hosu.kis.hosts import LIVE, PAPER, Host

    if name == "simulator":
        if rest is None or ws is None:
            raise InputError("--kis simulator", "needs --rest and --ws", "take them from the simulator's first line")
        return Host("simulator", rest, ws)
    if name not in ("live", "paper"):
        raise InputError(f"--kis {name}", "is unknown", "choose live, paper or simulator")
    return LIVE if name == "live" else PAPER


def credentials_of(name: str, settings: KisSettings) -> Credentials:
    """The keys of an account; a simulator takes any.

    Raises:
        SettingsError: a key is not set; names the variable.
    """
    from hosu.kis.hosts import Credentials
    from hosu.logs import hide
    from hosu.settings import require

    if name == "simulator":
        return Credentials("SIMULATED0000000000000000000000000000", "simulated-secret", settings.customer_type)
    upper = name.upper()
    pair = (settings.live_app_key, settings.live_app_secret)
    if name == "paper":
        pair = (settings.paper_app_key, settings.paper_app_secret)
    key, secret = require(pair[0], f"{upper}_KIS_APP_KEY"), require(pair[1], f"{upper}_KIS_APP_SECRET")
    hide(key, secret)
    return Credentials(key, secret, settings.customer_type)


@asynccontextmanager
async def station(
    plan: Plan, lake: Lake, state: Path, settings: CollectSettings, kis: KisSettings, *, handle_signals: bool
) -> AsyncIterator[Collector]:
    """A collector ready to run. Everything it opened is closed on leaving; the log may be opened again then.

    Raises:
        LockedError: another process collects with this log.
        LogError, LakeError: what is there cannot be used.
    """
    from hosu.cli.feature_station import bar_clock_of, feature_sink_of
    from hosu.cli.prediction_station import live_of
    from hosu.cli.repair_station import Means, watch_of
    from hosu.clock import SystemClock
    from hosu.collect.collector import Collector, CollectorConfig, Source
    from hosu.collect.fanout import Fanout
    from hosu.collect.leaving import close_within
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.recorder import Recorder
    from hosu.collect.status import durable_lines
    from hosu.collect.wal import Log
    from hosu.kis.http import Http, HttpConfig
    from hosu.lake.archive import FramesArchive
    from hosu.lake.ledger_begin import begin_ledger
    from hosu.lake.ledger_store import LakeLedgerStore
    from hosu.lake.writer import LakeSink, WriterConfig

    clock = SystemClock()
    reserve = settings.disk_reserve_mb << 20
    state.mkdir(parents=True, exist_ok=True)
    log = Log.open(state / "wal", clock)
    try:
        if plan.durable_fd is not None:
            log.on_durable(durable_lines(plan.durable_fd))
        recorder = Recorder(log, clock)
        async with Http(HttpConfig(user_agent=kis.user_agent)) as http, AsyncExitStack() as ending:
            ledger = LakeLedgerStore(lake, reserve_bytes=reserve)
            begin_ledger(lake, ledger, log)
            feed, outside, desired = _towards_the_broker(plan, recorder, http, clock, settings, kis, state)
            ledger_sink = LedgerSink(ledger, clock=clock)
            sinks: list[Sink] = [LakeSink(lake, WriterConfig(reserve_bytes=reserve), clock), ledger_sink]
            if plan.features and plan.scope == "KRX":  # they are of that venue's sessions
                features = feature_sink_of(plan, lake, state, log, clock, reserve)
                outside = replace(outside, bar_clock=bar_clock_of(plan, recorder, features, clock))
                sinks.append(features)
                if plan.predict:
                    live = live_of(plan, lake, features, ledger_sink, clock)
                    live.start()
                    ending.push_async_callback(asyncio.to_thread, live.stop)  # predicts what is handed over, then ends
            if plan.repair:
                means = Means(plan.host, plan.credentials, lake, state, settings, kis)
                outside = replace(outside, repair=watch_of(means, recorder, http, clock, ledger_sink, plan.part).run)
            yield Collector(
                CollectorConfig(
                    status_path=state / "status.json",
                    poll_s=settings.poll_seconds,
                    until_idle_s=plan.until_idle_s,
                    sink_reserve_bytes=reserve,
                    log_reserve_bytes=reserve // 4,
                    last_poll_s=_LAST_POLL_S,
                    handle_signals=handle_signals,
                ),
                log,
                recorder,
                [Source(feed, desired)],
                sinks=[Fanout(sinks)],
                archive=FramesArchive(lake, reserve_bytes=reserve),
                clock=clock,
                outside=outside,
            )
    finally:
        close_within(log, _LOG_CLOSE_S)


def _towards_the_broker(
    plan: Plan, recorder: Recorder, http: Any, clock: Any, settings: CollectSettings, kis: KisSettings, state: Path
) -> tuple[Any, Outside, Sequence[Registration]]:
    from random import Random

    from hosu.collect.collector import Outside
    from hosu.kis.auth import Auth
    from hosu.kis.feed import Feed, FeedConfig
    from hosu.kis.limits import Governor
    from hosu.kis.rest import RestClient
    from hosu.market.calendar import business_day

    today, _ = business_day(clock.now_us())
    simulated = plan.host.name == "simulator"
    # A session at a simulator is nobody's account, and several may run on one machine: nothing of it is shared.
    cache = state / "cache" if simulated else settings.cache
    governor = Governor(
        cache / f"calls-{plan.host.name}-{plan.credentials.fingerprint}", pace_of(today, plan.host, kis), clock
    )
    auth = Auth(plan.host, plan.credentials, http, governor, cache_dir=cache, clock=clock)
    rest = RestClient(
        plan.host, plan.credentials, auth, governor, http, clock=clock, random=Random(), on_reply=recorder.reply
    )
    feed = Feed(
        FeedConfig(
            cache,
            slots=plan.slots,
            stop_on_close=simulated,
            register_interval_s=0.0 if simulated else 0.05,  # the broker looks askance at who registers too fast
        ),
        plan.host,
        auth,
        clock,
        recorder,
        expects_data=(lambda _: True) if simulated else _market_open(plan.scope),
        random=Random(),
    )
    coverage = _coverage(plan, feed, rest, governor, recorder, clock, settings, state)
    return (
        feed,
        Outside(
            poll=coverage.sweep if plan.poll else None,
            polling=coverage.run,
            coverage=coverage.status,
            session_over=None if simulated else _day_over(today, plan.scope),
            free_bytes=lambda: shutil.disk_usage(state).free,
            clock_offset_us=clock.offset_us,
        ),
        coverage.desired,
    )


def pace_of(today: dt.date, host: Host, kis: KisSettings) -> Pace:
    """Our pace with one key: HOSU_CALLS_PER_SECOND, else the broker's dated limit less some headroom."""
    from hosu.kis.limits import Pace, pace_on

    wanted = kis.calls_per_second
    if wanted is None:
        return pace_on(today, host.name)
    return Pace(max(1, int(wanted)), window_s=max(1.0, 1 / wanted), gap_s=0.5 / wanted)


def _coverage(
    plan: Plan,
    feed: Any,
    rest: Any,
    governor: Governor,
    recorder: Recorder,
    clock: Any,
    settings: CollectSettings,
    state: Path,
) -> Coverage:
    from hosu.collect.coverage import Coverage, CoverageConfig
    from hosu.collect.polling import Poller, Rotation
    from hosu.collect.status import StatusFile
    from hosu.collect.subscriptions import ExchangeConfig

    share = _share_of(plan)
    poller = None
    if plan.poll and share.symbols:
        rotation = Rotation(share.symbols, clock.monotonic(), plan.poll_every_s)
        parallel = max(1, governor.pace.calls // 2)
        poller = Poller(rest, rotation, plan.scope, clock, calls_per_s=governor.calls_per_s, parallel=parallel)
    coverage = Coverage(
        CoverageConfig(
            poll_every_s=plan.poll_every_s,
            witness_every_s=max(settings.poll_seconds, plan.poll_every_s),
            stream_first=plan.host.name == "simulator",
            exchange=ExchangeConfig(plan.exchanges),
        ),
        share,
        feed,
        poller,
        clock,
        calls_per_s=governor.calls_per_s,
        connected=lambda: bool(recorder.connections),
        active=(lambda _: True) if plan.host.name == "simulator" else _in_session(plan.scope),
        write=StatusFile(state / "coverage.json").write,
    )
    if poller is not None:
        poller.on_prices = coverage.take_prices
    return coverage


def _share_of(plan: Plan) -> Share:
    """What the plan says, in the words of coverage."""
    from hosu.collect.subscriptions import Key, Share

    streamed = tuple(dict.fromkeys(each.key for each in plan.registrations))
    tr_ids = tuple(dict.fromkeys(each.tr_id for each in plan.registrations))
    among = set(streamed)
    polled = tuple(symbol for symbol in plan.symbols if symbol not in among)
    key = Key(plan.credentials.fingerprint, plan.slots)
    return Share(key, tr_ids, tuple(plan.registrations), tuple(plan.reserve), streamed, polled)


def _in_session(scope: str) -> Callable[[int], bool]:
    """Whether any phase of the day runs; a date that the calendar does not know counts as one."""
    from hosu.errors import CalendarRangeError
    from hosu.market.calendar import phase_at
    from hosu.market.day_plan import Scope

    venue = Scope(scope)

    def in_session(now_us: int) -> bool:
        try:
            return phase_at(now_us, venue) is not None
        except CalendarRangeError:
            return True

    return in_session


def _market_open(scope: str) -> Callable[[int], bool]:
    from hosu.errors import CalendarRangeError
    from hosu.market.calendar import phase_at
    from hosu.market.day_plan import CONTINUOUS, Scope

    venue = Scope(scope)

    def is_open(now_us: int) -> bool:
        try:
            phase = phase_at(now_us, venue)
        except CalendarRangeError:  # an old hosu goes on collecting; silence then counts at any time of day
            return True
        return phase is not None and phase in CONTINUOUS

    return is_open


def _day_over(today: dt.date, scope: str) -> Callable[[int], bool]:
    """Whether the day's last phase is over; a date that the calendar does not know ends at midnight.

    Raises:
        NoSessionError: the venue does not trade today.
    """
    from hosu.cli.output import note
    from hosu.errors import CalendarRangeError
    from hosu.market.calendar import instant_us, sessions_on

    try:
        end_s = float(sessions_on(today, scope).end_s)
    except CalendarRangeError as error:
        note(f"hosu: {error}")
        end_s = 86_400.0 - AFTER_CLOSE_S
    ends_us = instant_us(today, end_s) + AFTER_CLOSE_S * 1_000_000
    return lambda now_us: now_us >= ends_us
