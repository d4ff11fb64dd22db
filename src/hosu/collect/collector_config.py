"""What a collector is made of and asks of the world, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from hosu.collect.pump import PumpConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
    from pathlib import Path

    from hosu.collect.bar_clock import BarClock
    from hosu.kis.registrations import Registration


class FeedPart(Protocol):
    """What the collector asks of a feed (``kis.feed.Feed``)."""

    async def run(self, desired: Iterable[Registration]) -> None: ...

    def resume(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """A feed and what it shall register."""

    feed: FeedPart
    desired: Sequence[Registration]


@dataclass(frozen=True, slots=True)
class CollectorConfig:
    """How a collector behaves; None switches a part off.

    ``until_idle_s`` ends it after that long without market data, counted from the first frame; before it,
    ``first_frame_s`` may pass. The round of polls at an orderly end has ``last_poll_s``. From the first stop on
    ``stop_s`` may pass: feeds have ``feed_stop_s`` of it to say goodbye, the log the last ``log_close_s`` to write
    what waits, the sinks what lies between. Below ``sink_reserve_bytes`` of free disk the sinks are held back, below
    ``log_reserve_bytes`` the collector stops with an error.
    """

    status_path: Path | None = None
    status_every_s: float = 1.0
    poll_s: float = 60.0
    clock_every_s: float = 60.0
    until_idle_s: float | None = None
    first_frame_s: float = 60.0
    feed_stop_s: float = 1.0
    stop_s: float = 4.0
    last_poll_s: float = 4.0
    log_close_s: float = 0.5
    sink_reserve_bytes: int = 1 << 30
    log_reserve_bytes: int = 1 << 28
    archive_every_s: float = 1.0
    handle_signals: bool = False
    pump: PumpConfig = field(default_factory=PumpConfig)


@dataclass(frozen=True, slots=True)
class Outside:
    """What the collector asks of the world, each part optional.

    ``poll`` runs one round of REST polling, every ``poll_s`` and once at an orderly end. ``polling``, where there is
    one, polls by its own rules until cancelled, and ``poll`` is left for the end. ``coverage`` is what the status says
    of slots and polls. ``session_over(now_us)`` says that the market's day is over. ``repair`` fills holes for as long
    as it is let; cancelling it loses nothing. ``free_bytes`` is the room on the log's disk. ``clock_offset_us`` is how
    far the system's clock is ahead of ours. ``bar_clock`` closes bars in the log.
    """

    poll: Callable[[], Awaitable[None]] | None = None
    polling: Callable[[], Coroutine[Any, Any, None]] | None = None
    coverage: Callable[[], dict[str, Any]] | None = None
    session_over: Callable[[int], bool] | None = None
    repair: Callable[[], Coroutine[object, object, object]] | None = None
    free_bytes: Callable[[], int] | None = None
    clock_offset_us: Callable[[], int] | None = None
    bar_clock: BarClock | None = None
