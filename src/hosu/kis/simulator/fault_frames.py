"""Faults of market frames: dropped, doubled, moved, spoiled, held back. Works on thousands of frames at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.kis.records import EncodedFrames
from hosu.kis.simulator.fault_draws import Dice
from hosu.kis.simulator.faults import NEVER_US, Treatment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from hosu.kis.records import Ints
    from hosu.kis.simulator.fault_journal import Journal
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.tape import Burst, KeyTable

    Flags = npt.NDArray[np.bool_]

_KINDS: Final = ("drop", "truncate", "garble", "duplicate", "reorder", "stall", "lag")
"""In the order in which they are applied. What is dropped is not spoiled too, nor is what is spoiled sent twice: so
each count in the journal is that of the frames concerned."""
_ONCE: Final = {"truncate", "garble", "duplicate"}
_MOST_BEHIND: Final = 8  # frames that pass one that comes too late
_BAD_BYTES: Final = 3


@dataclass(frozen=True, slots=True)
class Span:
    """A clause with its number and its span of market time, UTC microseconds, half-open."""

    number: int
    clause: Clause
    from_us: int
    until_us: int

    def covers(self, now_us: int) -> bool:
        """Whether a moment lies within it."""
        return self.from_us <= now_us < self.until_us


@dataclass(slots=True, eq=False)
class _Frames:
    """The frames of one connection and chunk while faults are applied to them; arrays have one entry a frame."""

    burst: Burst
    wanted: Ints
    number: Ints
    at_us: Ints
    copies: npt.NDArray[np.uint8]
    spoiled: Flags
    order: Ints
    until_us: Ints
    data: npt.NDArray[np.uint8] | None = None
    end: Ints | None = None


class FrameFaults:
    """Applies the clauses that concern frames."""

    def __init__(self, spans: Sequence[Span], seed: int, keys: KeyTable, journal: Journal) -> None:
        ordered = sorted((each for each in spans if each.clause.kind in _KINDS), key=_rank)
        self._spans, self._keys, self._journal = ordered, keys, journal
        self._dice = {each.number: Dice(seed, each.number) for each in ordered}
        self._only: dict[int, Flags] = {}

    def treat(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:
        """As ``Faults.before_send``."""
        at_us = burst.at_us[wanted]
        spans = [each for each in self._spans if self._may_strike(each, connection, at_us)]
        if not spans:
            return None
        n, number = len(wanted), serial + wanted
        ones, none = np.ones(n, np.uint8), np.zeros(n, np.bool_)
        frames = _Frames(burst, wanted, number, at_us, ones, none, 2 * number, np.zeros(n, np.int64))
        struck = False
        for span in spans:
            hit = self._hit(span, frames)
            count = int(hit.sum())
            if count:
                struck = True
                _ACTS[span.clause.kind](span, self._dice[span.number], frames, hit)
                self._journal.note(span.number, int(at_us[hit][0]), connection, count, int(at_us[hit][-1]))
        return _treatment(frames) if struck else None

    def _may_strike(self, span: Span, connection: int, at_us: Ints) -> bool:
        clause = span.clause
        if clause.event == "connect" and not clause.counts(connection):
            return False
        # What lags still queues behind others when its span is over.
        over_us = span.until_us + (round(clause.number * 1e6) if clause.kind == "lag" else 0)
        return bool(at_us[-1] >= span.from_us and at_us[0] < over_us)

    def _hit(self, span: Span, frames: _Frames) -> Flags:
        clause = span.clause
        if clause.kind == "lag":
            until = span.until_us + round(clause.number * 1e6)
            return (frames.copies > 0) & (frames.at_us >= span.from_us) & (frames.at_us < until)
        hit: Flags = (frames.copies > 0) & (frames.at_us >= span.from_us) & (frames.at_us < span.until_us)
        if clause.event == "frame":
            hit &= (frames.number >= clause.first - 1) & (frames.number < (clause.last or NEVER_US))
        if clause.only is not None:
            hit &= self._named(span.number, clause.only)[frames.burst.key[frames.wanted]]
        if clause.kind in _ONCE:
            hit &= ~frames.spoiled & (frames.copies == 1)
        return hit & self._dice[span.number].strikes(frames.number, clause.rate)

    def _named(self, number: int, only: str) -> Flags:
        """One flag a registration: whether its TR id or its key is ``only``."""
        known = self._only.get(number)
        if known is None or len(known) < len(self._keys):
            keys = (self._keys[i] for i in range(len(self._keys)))
            known = self._only[number] = np.array([only in {key.tr_id, key.key} for key in keys], np.bool_)
        return known


def _rank(span: Span) -> tuple[int, int]:
    return _KINDS.index(span.clause.kind), span.number


def _treatment(frames: _Frames) -> Treatment:
    whole = frames.burst.frames
    data = whole.data if frames.data is None else frames.data
    end = whole.end if frames.end is None else frames.end
    changed = EncodedFrames(data, whole.start, end, whole.records)
    return Treatment(changed, frames.copies, frames.spoiled, frames.order, frames.until_us)


# --- what is done to the frames that are hit ----------------------------------------------------------------------


def _drop(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001  one shape for all
    frames.copies[hit] = 0


def _duplicate(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    frames.copies[hit] = 2


def _truncate(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    """Cut within the first half, so that no record can look whole: layouts differ by a few fields only."""
    whole, which = frames.burst.frames, frames.wanted[hit]
    frames.end = whole.end.copy() if frames.end is None else frames.end
    half = np.maximum(1, (whole.end[which] - whole.start[which]) // 2)
    frames.end[which] = (
        whole.start[which] + 1 + (dice.bits(frames.number[hit], 1) % half.astype(np.uint64)).astype(np.int64)
    )
    frames.spoiled |= hit


def _garble(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    """A few bytes become ones that no text has there, so that the frame as a whole is no text any more."""
    whole, which = frames.burst.frames, frames.wanted[hit]
    frames.data = whole.data.copy() if frames.data is None else frames.data
    end = whole.end if frames.end is None else frames.end
    for i in range(_BAD_BYTES):
        bits = dice.bits(frames.number[hit], 1 + i)
        place = whole.start[which] + (bits % (end[which] - whole.start[which]).astype(np.uint64)).astype(np.int64)
        frames.data[place] = (np.uint64(0xF8) | (bits >> np.uint64(61))).astype(np.uint8)
    frames.spoiled |= hit


def _reorder(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    behind = 1 + (dice.bits(frames.number[hit], 1) % np.uint64(_MOST_BEHIND)).astype(np.int64)
    frames.order[hit] += 2 * behind + 1


def _stall(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    frames.until_us[hit] = np.maximum(frames.until_us[hit], span.until_us)


def _lag(span: Span, dice: Dice, frames: _Frames, hit: Flags) -> None:  # noqa: ARG001
    """What comes after the span waits too, or it would overtake what came before."""
    late_us = round(span.clause.number * 1e6)
    until = np.minimum(frames.at_us[hit], min(span.until_us, NEVER_US - late_us)) + late_us
    frames.until_us[hit] = np.maximum(frames.until_us[hit], until)


_ACTS: Final[dict[str, Callable[[Span, Dice, _Frames, Flags], None]]] = {
    "drop": _drop, "duplicate": _duplicate, "truncate": _truncate, "garble": _garble, "reorder": _reorder,
    "stall": _stall, "lag": _lag,
}  # fmt: skip
