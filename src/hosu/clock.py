"""Time is passed in: nothing below the command line asks the system for it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Protocol):
    """What a component may ask of time."""

    def now_us(self) -> int:
        """UTC wall time in microseconds, never going back within one process."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; only differences mean anything."""

    async def sleep(self, seconds: float) -> None:
        """Waits for ``seconds`` of this clock. Cancelling loses nothing."""


# Linux's monotonic clock stands still while the machine sleeps, its boot time does not; elsewhere (macOS) there is no
# boot time, and CLOCK_MONOTONIC goes on.
_THROUGH_SLEEP: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsed_ns() -> int:
    """Nanoseconds since an arbitrary start, the time that the machine slept included; never goes back."""
    return time.clock_gettime_ns(_THROUGH_SLEEP)


class SystemClock:
    """Wall time read once, carried on by a clock that nobody sets and that goes on while the machine sleeps.

    A step of the system's wall clock (NTP, an operator) so never reorders receive times; ``offset_us`` tells how
    far the two have drifted apart, and the collector logs it. ``monotonic`` and ``sleep`` do not count sleep of the
    machine: what was not running was not waiting either.
    """

    def __init__(self, elapsed: Callable[[], int] = elapsed_ns) -> None:
        self._elapsed_ns = elapsed
        self._anchor_ns = time.time_ns() - elapsed()

    def now_us(self) -> int:
        return (self._anchor_ns + self._elapsed_ns()) // 1000

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def offset_us(self) -> int:
        """System wall time minus ours, microseconds; positive when the system's clock was set forward."""
        return time.time_ns() // 1000 - self.now_us()


class WallClock(SystemClock):
    """The system's wall clock as it is set now, steps included: for waiting until a time of day.

    A process that lives for weeks must believe a clock that was corrected; only receive times must not jump.
    """

    def now_us(self) -> int:
        return time.time_ns() // 1000

    def offset_us(self) -> int:
        return 0


class SimulatedClock:
    """A clock that moves only when told to; sleepers wake in the order of their deadlines."""

    def __init__(self, start_us: int = 0) -> None:
        self._now_us = start_us
        self._start_us = start_us
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._serial = 0

    def now_us(self) -> int:
        return self._now_us

    def monotonic(self) -> float:
        return (self._now_us - self._start_us) / 1e6

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serial += 1
        self._sleepers.append((self._now_us + round(seconds * 1e6), self._serial, future))
        self._sleepers.sort(key=lambda sleeper: sleeper[:2])
        await future

    async def advance(self, seconds: float) -> None:
        """Moves time on by ``seconds``, letting every sleeper that falls due run before the next one."""
        target = self._now_us + round(seconds * 1e6)
        while self._sleepers and self._sleepers[0][0] <= target:
            due_us, _, future = self._sleepers.pop(0)
            self._now_us = max(self._now_us, due_us)
            if not future.done():
                future.set_result(None)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._now_us = target
        await asyncio.sleep(0)
