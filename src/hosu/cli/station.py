"""A collecting process, wired: broker or simulator, feed, log, decoder, lake. Used by ``collect`` and ``demo``."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.collector import Collector, CollectorConfig, Outside
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.recorder import Recorder
    from hosu.collect.sinks import Sink
    from hosu.collect.wal import Log
    from hosu.features.sink import FeatureSink
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.http import Http
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
    to repair. ``features`` are built and served from the stream unless switched off; with ``seconds`` those of the
    order book too, with ``predict`` models answer to them.
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
    seconds: bool = False
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
    from hosu.clock import SystemClock
    from hosu.collect.leaving import close_within
    from hosu.collect.recorder import Recorder
    from hosu.collect.status import durable_lines
    from hosu.collect.wal import Log
    from hosu.kis.http import Http, HttpConfig

    clock = SystemClock()
    state.mkdir(parents=True, exist_ok=True)
    log = Log.open(state / "wal", clock)
    try:
        if plan.durable_fd is not None:
            log.on_durable(durable_lines(plan.durable_fd))
        recorder = Recorder(log, clock)
        async with Http(HttpConfig(user_agent=kis.user_agent)) as http, AsyncExitStack() as ending:
            room = _Room(plan, lake, state, settings, kis, clock, log, recorder, http)
            yield _wired(room, ending, handle_signals=handle_signals)
    finally:
        close_within(log, _LOG_CLOSE_S)


@dataclass(frozen=True, slots=True)
class _Room:
    """What everything in the process shares."""

    plan: Plan
    lake: Lake
    state: Path
    settings: CollectSettings
    kis: KisSettings
    clock: Clock
    log: Log
    recorder: Recorder
    http: Http

    @property
    def reserve_bytes(self) -> int:
        return self.settings.disk_reserve_mb << 20


def _wired(room: _Room, ending: AsyncExitStack, *, handle_signals: bool) -> Collector:
    from hosu.cli.broker_station import towards_the_broker
    from hosu.cli.feature_station import book_sink_of
    from hosu.collect.collector import Collector, Source
    from hosu.collect.fanout import Fanout
    from hosu.collect.ledger import LedgerSink
    from hosu.lake.archive import FramesArchive
    from hosu.lake.ledger_begin import begin_ledger
    from hosu.lake.ledger_store import LakeLedgerStore
    from hosu.lake.writer import LakeSink, WriterConfig

    plan, reserve = room.plan, room.reserve_bytes
    store = LakeLedgerStore(room.lake, reserve_bytes=reserve)
    begin_ledger(room.lake, store, room.log)
    feed, outside, desired = towards_the_broker(
        plan, room.recorder, room.http, room.clock, room.settings, room.kis, room.state
    )
    ledger = LedgerSink(store, clock=room.clock)
    sinks: list[Sink] = [LakeSink(room.lake, WriterConfig(reserve_bytes=reserve), room.clock), ledger]
    if plan.features and plan.scope == "KRX":  # they are of that venue's sessions
        features, outside = _with_features(room, outside, ledger, ending)
        sinks.append(features)
        if plan.seconds:
            sinks.append(book_sink_of(room.lake, room.state, room.log, room.clock, reserve))
    if plan.repair:
        outside = _with_repair(room, outside, ledger)
    return Collector(
        _config(room, handle_signals=handle_signals),
        room.log,
        room.recorder,
        [Source(feed, desired)],
        sinks=[Fanout(sinks)],
        archive=FramesArchive(room.lake, reserve_bytes=reserve),
        clock=room.clock,
        outside=outside,
    )


def _with_features(
    room: _Room, outside: Outside, ledger: LedgerSink, ending: AsyncExitStack
) -> tuple[FeatureSink, Outside]:
    from hosu.cli.feature_station import bar_clock_of, feature_sink_of
    from hosu.cli.prediction_station import live_of

    features = feature_sink_of(room.plan, room.lake, room.state, room.log, room.clock, room.reserve_bytes)
    if room.plan.predict:
        live = live_of(room.plan, room.lake, features, ledger, room.clock)
        live.start()
        ending.push_async_callback(asyncio.to_thread, live.stop)  # predicts what is handed over, then ends
    return features, replace(outside, bar_clock=bar_clock_of(room.plan, room.recorder, features, room.clock))


def _with_repair(room: _Room, outside: Outside, ledger: LedgerSink) -> Outside:
    from hosu.cli.repair_station import Means, watch_of

    plan = room.plan
    means = Means(plan.host, plan.credentials, room.lake, room.state, room.settings, room.kis)
    return replace(outside, repair=watch_of(means, room.recorder, room.http, room.clock, ledger, plan.part).run)


def _config(room: _Room, *, handle_signals: bool) -> CollectorConfig:
    from hosu.collect.collector import CollectorConfig

    return CollectorConfig(
        status_path=room.state / "status.json",
        poll_s=room.settings.poll_seconds,
        until_idle_s=room.plan.until_idle_s,
        sink_reserve_bytes=room.reserve_bytes,
        log_reserve_bytes=room.reserve_bytes // 4,
        last_poll_s=_LAST_POLL_S,
        handle_signals=handle_signals,
    )
