"""From what was seen of a symbol's day to what is known of it: its holes, and its state. Pure.

The end of a day is witnessed by a book or a poll that says the very volume the trades have reached. How much that
proves depends on when it was said: after the end of the day's last session it proves the day; after the close of the
regular session only if nothing was traded any more; before that, nothing. "When" is the exchange's own time in a book,
the broker's clock (two PINGPONGs), and of a poll our own clock on the business date itself.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hosu.collect import ledger_kernel as kernel
from hosu.collect.gaps import Gap
from hosu.market.ledger import State
from hosu.market.volume_rules import (
    COUNTS_MAY_DIFFER,
    OLD_REPEATS,
    QUIET_AFTER_CLOSE,
    STREAM_STOOD,
    VALUE_MAY_DIFFER,
    VALUE_TOLERANCE_WON,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hosu.collect.ledger_state import Ints, Series

Intervals = list[tuple[int, int]]
"""Half-open, disjoint, from low to high."""

_LEVELS: Final = ("before the close", "after the close", "after the end of the day")
_HUNDREDTHS: Final = 100


@dataclass(frozen=True, slots=True)
class Witness:
    """What a book or a poll said last. ``level`` is 0 before the close, 1 after it, 2 after the end of the day."""

    kind: str
    volume: int
    level: int
    recv: int | None = None
    lsn: int = -1
    value: int | None = None  # won

    @property
    def text(self) -> str:
        """As the column ``witness`` of ``coverage_days`` has it."""
        return f"{self.kind} {_LEVELS[self.level]}"

    @classmethod
    def of_text(cls, text: str | None, volume: int | None) -> Witness | None:
        """What ``text`` says; None if it says nothing."""
        if not text or volume is None:
            return None
        kind, _, when = text.partition(" ")
        return cls(kind, volume, _LEVELS.index(when)) if when in _LEVELS else None


@dataclass(frozen=True, slots=True)
class Seen:
    """All that is known of one series. ``gaps`` are holes between trades, from low to high; ``stood`` says up to what
    level the stream is known to have stood since the last trade, -1 for not at all. ``in_order``: seen by ``certify``,
    which compares each trade with its twin."""

    series: Series
    hi: int
    gaps: tuple[Gap, ...]
    witnesses: tuple[Witness, ...]
    trades: int
    value: int
    first: int | None
    last_value: int | None
    duplicates: int
    unchecked: int
    contradictions: int
    went_back: int
    unusable: int
    suspects: int
    value_breaks: int
    count_breaks: int
    registered: bool
    last_ts: int | None
    last_recv: int | None
    last_lsn: int
    stood: int = -1
    in_order: bool = False

    @property
    def records(self) -> int:
        """How many trades were received, whatever they were worth."""
        return self.trades + self.duplicates + self.contradictions + self.unusable + self.suspects


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of a symbol's day; the columns of ``coverage_days`` but for revision and time."""

    state: State
    assumptions: tuple[str, ...]
    reason: str | None
    last_volume: int
    missing: int
    witness: Witness | None
    gaps: tuple[Gap, ...]


def seen_of(
    series: Series, row: Ints, holes: Sequence[Ints], *, registered: bool, stood: int = -1, in_order: bool = False
) -> Seen:
    """A series of the state as plain values; its gaps have no cause yet."""
    return Seen(
        series,
        hi=int(row[kernel.HI]),
        gaps=tuple(_gap(series, hole) for hole in holes),
        witnesses=tuple(_witnesses(row)),
        trades=int(row[kernel.TRADES]),
        value=int(row[kernel.VALUE]) // _HUNDREDTHS,
        first=_known(row[kernel.FIRST]),
        last_value=_won(row[kernel.LAST_VALUE]),
        duplicates=int(row[kernel.DUPLICATES]),
        unchecked=int(row[kernel.UNCHECKED]),
        contradictions=int(row[kernel.CONTRADICTIONS]),
        went_back=int(row[kernel.WENT_BACK]),
        unusable=int(row[kernel.UNUSABLE]),
        suspects=int(row[kernel.SUSPECTS]),
        value_breaks=int(row[kernel.VALUE_BREAKS]),
        count_breaks=int(row[kernel.COUNT_BREAKS]),
        registered=registered,
        last_ts=_known(row[kernel.LAST_TS]),
        last_recv=_known(row[kernel.LAST_RECV]),
        last_lsn=int(row[kernel.LAST_LSN]),
        stood=stood,
        in_order=in_order,
    )


def _witnesses(row: Ints) -> list[Witness]:
    found = []
    for kind, place in (("book", kernel.W_BOOK), ("poll", kernel.W_POLL)):
        volume, level, recv, lsn, value = (int(each) for each in row[place : place + 5])
        if volume >= 0:
            found.append(Witness(kind, volume, level, _known(recv), lsn, _won(value)))
    return found


def _gap(series: Series, hole: Ints) -> Gap:
    return Gap(
        *series,
        from_volume=int(hole[kernel.FROM]),
        to_volume=int(hole[kernel.TO]),
        value=_won(_difference(hole[kernel.AFTER_VALUE], hole[kernel.BEFORE_VALUE])),
        # What an auction trades has no side and is not counted, so 0 says nothing.
        trades=_difference(hole[kernel.AFTER_COUNT], hole[kernel.BEFORE_COUNT]) or None,
        before_ts=_known(hole[kernel.BEFORE_TS]),
        after_ts=_known(hole[kernel.AFTER_TS]),
        before_recv=_known(hole[kernel.BEFORE_RECV]),
        after_recv=_known(hole[kernel.AFTER_RECV]),
        lsn=int(hole[kernel.AFTER_LSN]),
    )


def _difference(high: int, low: int) -> int | None:
    """None where one is not known, or the pair makes no sense."""
    return int(high) - int(low) if kernel.NULL not in (high, low) and high >= low else None


def _known(value: int) -> int | None:
    return None if value == kernel.NULL else int(value)


def _won(hundredths: int | None) -> int | None:
    return None if hundredths is None or hundredths == kernel.NULL else int(hundredths) // _HUNDREDTHS


# --- several logs, one day ------------------------------------------------------------------------------------------


def covered_of(hi: int, gaps: Sequence[Gap] | Intervals) -> Intervals:
    """What [0, hi) without the gaps is."""
    holes = [(gap.from_volume, gap.to_volume) if isinstance(gap, Gap) else gap for gap in gaps]
    ends = [low for low, _ in holes] + [hi]
    starts = [0] + [high for _, high in holes]
    return [(low, high) for low, high in zip(starts, ends, strict=True) if low < high]


def without(holes: Intervals, covered: Intervals) -> Intervals:
    """What is left of ``holes`` outside of ``covered``."""
    left: Intervals = []
    at = 0
    for low, high in holes:
        while at < len(covered) and covered[at][1] <= low:
            at += 1
        start, i = low, at
        while i < len(covered) and covered[i][0] < high:
            if covered[i][0] > start:
                left.append((start, covered[i][0]))
            start = max(start, covered[i][1])
            i += 1
        if start < high:
            left.append((start, high))
    return left


_FAULTS: Final = ("went_back", "contradictions", "unusable", "suspects")
_ODD: Final = ("unchecked", "value_breaks", "count_breaks")
"""What is odd in one log is odd in all of them together, unless who saw all of them in order knows better."""


def united(own: Seen, others: Sequence[Seen]) -> Seen:
    """One series as several logs have seen it: covered is what any of them has. Counts of trades are the first log's
    own, since which of them the others have too is not known here; ``certify`` counts them."""
    if not others:
        return own
    hi = max(own.hi, *(other.hi for other in others))
    holes: Intervals = [(0, hi)] if hi else []
    for each in (own, *others):
        holes = without(holes, covered_of(each.hi, each.gaps))
    known = {gap.key: gap for each in (*others, own) for gap in each.gaps}
    gaps = tuple(known.get((*own.series, *hole)) or _cut(own, others, hole) for hole in holes)
    top = next(each for each in (own, *others) if each.hi == hi)
    return replace(
        own,
        hi=hi,
        last_ts=top.last_ts,
        last_recv=top.last_recv,
        gaps=gaps,
        witnesses=tuple(_latest(witness for each in (own, *others) for witness in each.witnesses)),
        first=min((each.first for each in (own, *others) if each.first is not None), default=None),
        last_value=top.last_value,
        **{name: max(getattr(each, name) for each in (own, *others)) for name in _FAULTS},
        **{name: max(getattr(each, name) for each in _comparing(own, others)) for name in _ODD},
        stood=max((each.stood for each in (own, *others) if each.hi == hi), default=-1),
        registered=any(each.registered for each in (own, *others)),
    )


def _comparing(own: Seen, others: Sequence[Seen]) -> Sequence[Seen]:
    """Whoever has seen all that the logs have, in order; without such a one all of them."""
    received = sum(each.records for each in (own, *others) if not each.in_order)
    judges = [each for each in others if each.in_order and each.records >= received]
    return judges or (own, *others)


def _cut(own: Seen, others: Sequence[Seen], hole: tuple[int, int]) -> Gap:
    """A hole that none of the logs has just so: the times of those around it, and no value."""
    for gap in (gap for each in (own, *others) for gap in each.gaps):
        if gap.from_volume <= hole[0] and hole[1] <= gap.to_volume:
            return replace(gap, from_volume=hole[0], to_volume=hole[1], value=None, trades=None)
    return Gap(*own.series, *hole, lsn=own.last_lsn)


def _latest(witnesses: Iterable[Witness]) -> list[Witness]:
    """Of each kind what was said last; whoever said the same volume before may have known better how late it was."""
    latest: dict[str, Witness] = {}
    for witness in witnesses:
        known = latest.get(witness.kind, witness)
        last, other = (witness, known) if (witness.recv or 0) > (known.recv or 0) else (known, witness)
        same = last.volume == other.volume
        latest[witness.kind] = replace(last, level=max(last.level, other.level)) if same else last
    return list(latest.values())


# --- the verdict ----------------------------------------------------------------------------------------------------


def tail_of(seen: Seen) -> Gap | None:
    """The shares that a witness knows of and no trade has reached; None if there are none, or nobody asked for the
    trades."""
    above = [witness for witness in seen.witnesses if witness.volume > seen.hi]
    if not above or not (seen.trades or seen.registered):
        return None
    highest = max(above, key=lambda witness: witness.volume)
    value = None
    if highest.value is not None and seen.last_value is not None and highest.value >= seen.last_value:
        value = highest.value - seen.last_value
    return Gap(
        *seen.series,
        seen.hi,
        highest.volume,
        value=value,
        before_ts=seen.last_ts,
        before_recv=seen.last_recv,
        after_recv=highest.recv,
        detail=f"a {highest.kind} says {highest.volume:,} shares, the trades end at {seen.hi:,}",
        lsn=highest.lsn,
    )


def judge(seen: Seen, former: Witness | None = None) -> Verdict:
    """What is known of the series now.

    Args:
        former: a witness that an earlier judgement had, where what it rested on is not at hand any more.
    """
    witnesses = [*seen.witnesses, *([former] if former is not None and former.volume == seen.hi else [])]
    tail = tail_of(seen)
    gaps = (*seen.gaps, tail) if tail is not None else seen.gaps
    last = max([seen.hi, *(witness.volume for witness in seen.witnesses)])
    agreeing = [witness for witness in witnesses if witness.volume == seen.hi]
    best = max(agreeing, key=lambda witness: witness.level, default=None)
    shown = best if best is not None else max(witnesses, key=lambda each: each.volume, default=None)
    missing = sum(gap.shares for gap in gaps)
    state, assumptions, reason = _state(seen, missing, len(gaps), best)
    return Verdict(state, assumptions, reason, last, missing, shown, gaps)


def _state(seen: Seen, missing: int, gaps: int, best: Witness | None) -> tuple[State, tuple[str, ...], str | None]:
    fault = _fault(seen)
    if not seen.trades and not seen.registered and not fault and not _nothing_was_traded(best):
        return State.POLLED, (), "no trade was received, and none was asked for"
    if fault:
        return State.UNPROVABLE, (), fault
    if missing:
        return State.OPEN, (), f"{missing:,} shares are missing in {gaps} {'gap' if gaps == 1 else 'gaps'}"
    end = _end(seen, best)
    if end is None:
        return State.OPEN, (), "the end of the day was not seen"
    assumptions = (*end, *_others(seen, best))
    return (State.ASSUMED if assumptions else State.CERTIFIED), assumptions, None


def _nothing_was_traded(best: Witness | None) -> bool:
    return best is not None and best.level > 0  # it agrees with the trades, of which there are none


def _fault(seen: Seen) -> str | None:
    if seen.went_back:
        return f"the cumulative volume went back {seen.went_back} times: a correction, or it began anew"
    if seen.contradictions:
        return f"{seen.contradictions} trades overlap others, or have their volume with another size or value"
    if seen.unusable:
        return f"{seen.unusable} trades have no usable cumulative volume or size"
    if seen.suspects:
        return f"{seen.suspects} trades jump to a volume that their own value belies"
    return None


def _end(seen: Seen, best: Witness | None) -> tuple[str, ...] | None:
    """What the end of the day rests on; None where it was not seen."""
    level = best.level if best is not None else 0
    if level == 2:
        return ()
    if level == 1:
        return (QUIET_AFTER_CLOSE,)
    if seen.stood == 2:
        return (STREAM_STOOD,)
    return (STREAM_STOOD, QUIET_AFTER_CLOSE) if seen.stood == 1 else None


def _others(seen: Seen, best: Witness | None) -> tuple[str, ...]:
    says_other = (
        best is not None
        and best.value is not None
        and seen.last_value is not None
        and abs(best.value - seen.last_value) > VALUE_TOLERANCE_WON
    )
    held = {
        OLD_REPEATS: seen.unchecked > 0,
        VALUE_MAY_DIFFER: seen.value_breaks > 0 or says_other,
        COUNTS_MAY_DIFFER: seen.count_breaks > 0,
    }
    return tuple(name for name, holds in held.items() if holds)
