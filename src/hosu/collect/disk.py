"""How long the disk lasts: room, what we put there, and how fast that grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_HOUR_US: Final = 3_600_000_000
WINDOW_US: Final = 24 * _HOUR_US
"""Growth is that of the last day: a rate of the trading hours alone would see the end of the disk too soon."""
_SHORTEST_US: Final = 600_000_000
_SURE_H: Final = 1.0
"""Growth over less is shown, but warns nobody: the first minutes of a trading day say little about days."""
_GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Room:
    """A disk that we fill: ``used_bytes`` is what is ours on it, ``free_bytes`` what is left for anybody."""

    name: str
    used_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Usage:
    """One measurement: the disks, and what the lake's raw tables hold (None: not measured)."""

    at_us: int
    rooms: tuple[Room, ...]
    raw_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class DiskConfig:
    """Below ``reserve_bytes`` of free room the lake is held back, so that is when a disk counts as full.

    A disk that would be full within ``warn_days``, or has less than twice its reserve, is warned of, and so are raw
    tables beyond ``raw_budget_bytes``; None sets no budget.
    """

    reserve_bytes: int = 1 << 30
    warn_days: float = 7.0
    raw_budget_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Forecast:
    """A disk and its end: ``days_left`` at the growth of the last ``hours``; None where nothing grew, or the
    measurements do not reach back ten minutes."""

    name: str
    used_bytes: int
    free_bytes: int
    bytes_per_day: float | None
    hours: float
    days_left: float | None


@dataclass(frozen=True, slots=True)
class DiskReport:
    """What is so and what to be warned of: sentences, by what they are about, which stays while figures change."""

    forecasts: tuple[Forecast, ...] = ()
    raw_bytes: int | None = None
    warnings: Mapping[str, str] = field(default_factory=dict)

    @property
    def days_left(self) -> float | None:
        """Until the first disk is full; None when no end is in sight."""
        return min((each.days_left for each in self.forecasts if each.days_left is not None), default=None)

    def as_json(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "days_left": _rounded(self.days_left),
            "raw_bytes": self.raw_bytes,
            "disks": [
                {
                    "name": each.name,
                    "used_bytes": each.used_bytes,
                    "free_bytes": each.free_bytes,
                    "bytes_per_day": _rounded(each.bytes_per_day),
                    "hours": _rounded(each.hours),
                    "days_left": _rounded(each.days_left),
                }
                for each in self.forecasts
            ],
        }


@dataclass(slots=True)
class DiskBudget:
    """Remembers a day of measurements, and judges the last one by them."""

    config: DiskConfig
    history: list[Usage] = field(default_factory=list)

    def take(self, usage: Usage) -> DiskReport:
        """Takes a measurement; what it means. Older ones count as long as the clock agrees that they are older."""
        kept = [each for each in self.history if 0 < usage.at_us - each.at_us <= WINDOW_US]
        self.history = [*kept, usage]
        forecasts = tuple(self._forecast(room, usage) for room in usage.rooms)
        raw_bytes = usage.raw_bytes
        warnings = dict(found for each in forecasts if (found := self._warning(each)) is not None)
        budget = self.config.raw_budget_bytes
        if raw_bytes is not None and budget is not None and raw_bytes > budget:
            over = f"the raw tables hold {raw_bytes / _GIB:,.1f} GiB, more than their budget of {budget / _GIB:,.1f}"
            warnings["budget"] = over
        return DiskReport(forecasts, raw_bytes, warnings)

    def _forecast(self, room: Room, usage: Usage) -> Forecast:
        earlier = [(each.at_us, old.used_bytes) for each in self.history for old in each.rooms if old.name == room.name]
        since_us, used = earlier[0]
        elapsed_us = usage.at_us - since_us
        if elapsed_us < _SHORTEST_US:
            return Forecast(room.name, room.used_bytes, room.free_bytes, None, elapsed_us / _HOUR_US, None)
        rate = (room.used_bytes - used) / elapsed_us * WINDOW_US
        left = max(0, room.free_bytes - self.config.reserve_bytes) / rate if rate > 0 else None
        return Forecast(room.name, room.used_bytes, room.free_bytes, rate, elapsed_us / _HOUR_US, left)

    def _warning(self, room: Forecast) -> tuple[str, str] | None:
        free = f"{_size(room.free_bytes)} free for {room.name}"
        reserve_bytes = self.config.reserve_bytes
        if room.free_bytes < reserve_bytes:
            return f"{room.name} full", f"{free}, the lake is held back: free some"
        soon = room.days_left is not None and room.days_left < self.config.warn_days
        if soon and room.hours >= _SURE_H:
            last = f"{room.days_left:,.1f} days at the growth of the last {room.hours:,.1f} hours"
            return f"{room.name} days", f"{free}, which last {last}"
        if room.free_bytes < 2 * reserve_bytes:
            return f"{room.name} low", f"{free}, the lake is held back below {_size(reserve_bytes)}"
        return None


def _size(count: int) -> str:
    return f"{count / _GIB:,.1f} GiB" if count >= _GIB else f"{count / 2**20:,.1f} MiB"


def history_to_json(history: Sequence[Usage]) -> list[dict[str, Any]]:
    """Measurements as they are kept from one start to the next."""
    return [
        {"at_us": each.at_us, "rooms": [[room.name, room.used_bytes, room.free_bytes] for room in each.rooms]}
        for each in history
    ]


def history_of_json(found: object) -> list[Usage]:
    """Measurements kept earlier; what is garbled is none, and the count starts over."""
    try:
        return list(_usages(found))  # type: ignore[arg-type]
    except (TypeError, ValueError, KeyError):
        return []


def _usages(found: Iterable[Mapping[str, Any]]) -> Iterable[Usage]:
    for each in found:
        rooms = tuple(Room(str(name), int(used), int(free)) for name, used, free in each["rooms"])
        yield Usage(int(each["at_us"]), rooms)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
