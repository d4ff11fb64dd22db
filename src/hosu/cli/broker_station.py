"""The broker's side of a collecting process, wired: calls and their limit, the feed, and what covers which symbol."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from hosu.market.agenda import AFTER_CLOSE_S

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hosu.cli.station import Plan
    from hosu.collect.collector import Outside
    from hosu.collect.coverage import Coverage
    from hosu.collect.recorder import Recorder
    from hosu.collect.subscriptions import Share
    from hosu.kis.hosts import Host
    from hosu.kis.limits import Governor, Pace
    from hosu.kis.registrations import Registration
    from hosu.settings import CollectSettings, KisSettings


def towards_the_broker(
    plan: Plan, recorder: Recorder, http: Any, clock: Any, settings: CollectSettings, kis: KisSettings, state: Path
) -> tuple[Any, Outside, Sequence[Registration]]:
    """The feed, what a collector asks beside it, and what is to be registered at first."""
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
