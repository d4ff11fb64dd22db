"""Features in a collecting process, wired: the sink that serves them, and the clock that closes their bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.cli.station import Plan
    from hosu.clock import Clock
    from hosu.collect.bar_clock import BarClock
    from hosu.collect.recorder import Recorder
    from hosu.collect.wal import Log
    from hosu.features.book_sink import BookSink
    from hosu.features.sink import FeatureSink
    from hosu.lake.lake import Lake

STATE_FILE: Final = "features.state"
BOOKS_FILE: Final = "books.state"


def feature_sink_of(plan: Plan, lake: Lake, state: Path, log: Log, clock: Clock, reserve_bytes: int) -> FeatureSink:
    """The sink of this process; what it remembers lies beside its log."""
    from hosu.features.sink import FeatureSink
    from hosu.features.store import LakeFeatureStore

    streamed = {each.key for each in (*plan.registrations, *plan.reserve)}
    polled = set(plan.symbols) - streamed if plan.poll else set()
    return FeatureSink(
        LakeFeatureStore(lake, reserve_bytes=reserve_bytes),
        keep=state / STATE_FILE,
        floors=_floors(log),
        symbols_of=lambda _: streamed | polled,
        polled_of=lambda _: polled,
        clock=clock,
    )


def book_sink_of(lake: Lake, state: Path, log: Log, clock: Clock, reserve_bytes: int) -> BookSink:
    """The sink of order books by the second; what it remembers lies beside the log."""
    from hosu.features.book_sink import BookSink
    from hosu.features.served_seconds import TABLE, rows_of
    from hosu.features.served_table import ServedTable

    served = ServedTable(lake, TABLE, rows_of, reserve_bytes=reserve_bytes)
    return BookSink(served, keep=state / BOOKS_FILE, floors=_floors(log), clock=clock)


def _floors(log: Log) -> dict[str, int]:
    """The record behind which the log begins on disk."""
    extent = log.extent_behind(-1)
    return {log.wal_id: (extent.first_lsn if extent is not None else log.next_lsn) - 1}


def bar_clock_of(plan: Plan, recorder: Recorder, features: FeatureSink, clock: Clock) -> BarClock:
    """The clock that closes bars: by the clock that stamps records; at a simulator, whose market has a time of its
    own, by how far its trades have come, and with its feed."""
    from hosu.collect.bar_clock import BarClock, BarClockConfig

    simulated = plan.host.name == "simulator"
    return BarClock(
        BarClockConfig(grace_us=0) if simulated else BarClockConfig(),
        market_us=(lambda: features.market_us) if simulated else clock.now_us,
        session_of=regular_session,
        close=recorder.bar_close,
        clock=clock,
        last_day=(lambda: _noon_of(recorder.business_date)) if simulated else (lambda: None),
    )


def regular_session(now_us: int) -> tuple[int, int] | None:
    """Start and end of the regular session on the day of an instant; None on a day without one, or that the calendar
    does not know."""
    from hosu.errors import MarketError
    from hosu.features.grid import window_of
    from hosu.market.calendar import business_day

    try:
        return window_of(business_day(now_us)[0].isoformat())
    except MarketError:
        return None


def _noon_of(yyyymmdd: int | None) -> int | None:
    import datetime as dt

    from hosu.market.calendar import instant_us

    if yyyymmdd is None:
        return None
    return instant_us(dt.date(yyyymmdd // 10_000, yyyymmdd // 100 % 100, yyyymmdd % 100), 43_200)
