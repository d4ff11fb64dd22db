"""How fast the market's day passes: at its own speed or a multiple, at an even rate, or as fast as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol

import numpy as np

from hosu.errors import InputError

if TYPE_CHECKING:
    from hosu.clock import Clock
    from hosu.kis.simulator.tape import Burst

_SPEED_TICK_S: Final = 0.02
_RATE_TICK_S: Final = 0.001
_FRAMES_AT_ONCE: Final = 4096


@dataclass(frozen=True, slots=True)
class Pace:
    """``speed``: market seconds in a real one. ``rate``: records in a real second, evenly. ``max``: as read."""

    kind: Literal["speed", "rate", "max"] = "speed"
    value: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.value < float("inf"):
            raise InputError(f"{self.kind} {self.value:g}", "is not positive", "give a number above 0, or max")


def parse_speed(text: str) -> Pace:
    """``max``, or a number: market seconds in a real one.

    Raises:
        InputError: it is neither.
    """
    if text == "max":
        return Pace("max")
    try:
        return Pace("speed", float(text))
    except ValueError:
        raise InputError(f"speed {text}", "is no number", "give a number above 0, or max") from None


class Ticking(Protocol):
    """What a pacer asks of a clock."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""


class Pacer(Protocol):
    """Says how much of a burst is due."""

    def due(self, burst: Burst, position: int) -> int:
        """The frame before which everything from ``position`` on is due now; ``position`` if nothing is."""

    def wait_s(self, burst: Burst, position: int) -> float:
        """How long to wait until something is, where nothing is."""

    def hold(self, seconds: float) -> None:
        """So long the day stood still."""


class SpeedPacer:
    """The market's clock runs at a constant multiple of ours."""

    def __init__(self, clock: Ticking, start_us: int, speed: float) -> None:
        self._clock, self._speed = clock, speed
        self._start_us, self._anchor_s = start_us, clock.monotonic()

    def now_us(self) -> int:
        """The market's time, UTC microseconds."""
        return self._start_us + round((self._clock.monotonic() - self._anchor_s) * self._speed * 1e6)

    def due(self, burst: Burst, position: int) -> int:
        last = int(np.searchsorted(burst.at_us, self.now_us(), side="right"))
        return max(position, min(last, position + _FRAMES_AT_ONCE))

    def wait_s(self, burst: Burst, position: int) -> float:
        return max(_SPEED_TICK_S, (int(burst.at_us[position]) - self.now_us()) / self._speed / 1e6)

    def hold(self, seconds: float) -> None:
        self._anchor_s += seconds


class RatePacer:
    """So many records a second, whatever the market's time; what a slow reader delays is caught up with."""

    def __init__(self, clock: Ticking, rate: float) -> None:
        self._clock, self._rate = clock, rate
        self._anchor_s = clock.monotonic()
        self._given = 0
        self._burst: Burst | None = None
        self._until = np.zeros(0, np.int64)

    def due(self, burst: Burst, position: int) -> int:
        if burst is not self._burst:
            self._burst, self._until = burst, self._given + np.cumsum(burst.frames.records)
        allowed = (self._clock.monotonic() - self._anchor_s) * self._rate
        last = min(int(np.searchsorted(self._until, allowed, side="right")), position + _FRAMES_AT_ONCE)
        if last <= position:
            return position
        self._given = int(self._until[last - 1])
        return last

    def wait_s(self, burst: Burst, position: int) -> float:  # noqa: ARG002  the protocol's name
        allowed = (self._clock.monotonic() - self._anchor_s) * self._rate
        return max(_RATE_TICK_S, (int(self._until[position]) - allowed) / self._rate)

    def hold(self, seconds: float) -> None:
        self._anchor_s += seconds


class MaxPacer:
    """Everything is due at once."""

    def due(self, burst: Burst, position: int) -> int:
        return min(len(burst), position + _FRAMES_AT_ONCE)

    def wait_s(self, burst: Burst, position: int) -> float:  # noqa: ARG002
        return 0.0

    def hold(self, seconds: float) -> None:
        pass


class Pulse:
    """Seconds that pass at a multiple of a clock's, for days that have busy hours."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchor_s = self._base_s = clock.monotonic()
        self.factor = 1.0

    def monotonic(self) -> float:
        """Seconds since an arbitrary start."""
        return self._base_s + (self._clock.monotonic() - self._anchor_s) * self.factor

    def hurry(self, factor: float) -> None:
        """From now on so many seconds pass in one."""
        self._base_s, self._anchor_s = self.monotonic(), self._clock.monotonic()
        self.factor = factor


def make_pacer(pace: Pace, clock: Ticking, start_us: int) -> Pacer:
    """A pacer whose day begins now."""
    if pace.kind == "speed":
        return SpeedPacer(clock, start_us, pace.value)
    return RatePacer(clock, pace.value) if pace.kind == "rate" else MaxPacer()
