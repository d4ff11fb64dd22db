"""What waits to go out on one connection: frames that a fault holds back, or moves behind later ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from hosu.kis.simulator.intervals import SENT, UNSENT, WITHHELD

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.records import EncodedFrames, Ints
    from hosu.kis.simulator.faults import Treatment
    from hosu.kis.simulator.tape import Burst


@dataclass(slots=True, eq=False)
class Chunk:
    """Frames ``first`` to ``last`` of a burst, given out together; ``fate`` has one entry a frame.

    It can be counted once nobody ``holds`` any of them, for only then is the fate of each known.
    """

    burst: Burst
    first: int
    last: int
    fate: npt.NDArray[np.uint8] = field(init=False)
    holds: int = 0

    def __post_init__(self) -> None:
        self.fate = np.full(self.last - self.first, UNSENT, np.uint8)

    def asked(self, frames: Ints) -> None:
        """Somebody should get these (indices within the burst)."""
        places = frames - self.first
        self.fate[places] = np.minimum(self.fate[places], WITHHELD)

    def sent(self, frames: Ints) -> None:
        """Somebody got these, whole."""
        self.fate[frames - self.first] = SENT


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Frames of one chunk that go out one behind another; ``frame`` has one entry a message, the same one twice at
    most. ``spoiled`` is None where each goes out once and as it is."""

    chunk: Chunk
    frames: EncodedFrames
    frame: Ints
    spoiled: npt.NDArray[np.bool_] | None = None


@dataclass(slots=True, eq=False)
class _Part:
    """What is left of the frames of one chunk; arrays have one entry a frame."""

    chunk: Chunk
    frames: EncodedFrames
    frame: Ints
    copies: npt.NDArray[np.uint8]
    spoiled: npt.NDArray[np.bool_]
    order: Ints
    until_us: Ints
    least_order: int = 0
    least_us: int = 0

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        for name in ("frame", "copies", "spoiled", "order", "until_us"):
            setattr(self, name, getattr(self, name)[which])
        if len(self.frame):
            self.least_order, self.least_us = int(self.order.min()), int(self.until_us.min())


class Outbox:
    """Frames on their way to one connection."""

    def __init__(self) -> None:
        self._parts: list[_Part] = []
        self._next_us = 0  # nothing is due before: what stalls for long is not looked through each time

    def __bool__(self) -> bool:
        return bool(self._parts)

    def put(self, chunk: Chunk, frame: Ints, treatment: Treatment) -> None:
        """Takes frames of a chunk in, for good or until they are due. Those without a copy are not kept."""
        part = _Part(
            chunk, treatment.frames, frame, treatment.copies, treatment.spoiled, treatment.order, treatment.until_us
        )
        part.keep(part.copies > 0)
        if len(part.frame):
            chunk.holds += 1
            self._next_us = min(self._next_us, part.least_us) if self._parts else part.least_us
            self._parts.append(part)

    def due(self, at_us: int, order: int) -> list[Run]:
        """Gives out, in their order, the frames that wait for nothing after this time and this place in the day."""
        if at_us < self._next_us:
            return []
        parts = [part for part in self._parts if part.least_us <= at_us and part.least_order <= order]
        picked = [(part.until_us <= at_us) & (part.order <= order) for part in parts]
        runs = _runs(parts, picked)
        self._drop(parts, picked)
        return runs

    def lose(self) -> None:
        """What waits will not go out any more."""
        for part in self._parts:
            part.chunk.holds -= 1
        self._parts = []

    def _drop(self, parts: list[_Part], gone: list[npt.NDArray[np.bool_]]) -> None:
        for part, those in zip(parts, gone, strict=True):
            part.keep(~those)
            if not len(part.frame):
                part.chunk.holds -= 1
        self._parts = [part for part in self._parts if len(part.frame)]
        self._next_us = min((part.least_us for part in self._parts), default=0)


def _runs(parts: list[_Part], picked: list[npt.NDArray[np.bool_]]) -> list[Run]:
    """The frames picked of each part, by their order: neighbours of one chunk together."""
    if not parts:
        return []
    place = np.concatenate([np.flatnonzero(each) for each in picked])
    owner = np.repeat(np.arange(len(picked)), [int(each.sum()) for each in picked])
    order = np.concatenate([part.order[each] for part, each in zip(parts, picked, strict=True)])
    by_order = np.argsort(order, kind="stable")
    place, owner = place[by_order], owner[by_order]
    runs = []
    for some in np.split(np.arange(len(owner)), np.flatnonzero(np.diff(owner)) + 1):
        if len(some):
            part = parts[owner[some[0]]]
            mine = np.repeat(place[some], part.copies[place[some]])
            runs.append(Run(part.chunk, part.frames, part.frame[mine], part.spoiled[mine]))
    return runs
