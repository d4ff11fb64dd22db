"""From what the ledger knows now, and what its tables say already, to the rows that have to be added. Pure.

So it does not matter how often this is asked, nor after which crash: what is said already is not said again.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from hosu.collect.ledger_judge import covered_of, without
from hosu.market.ledger import COVERAGE_DAYS, GapEvent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_judge import Intervals, Seen, Verdict

_STATE_ONLY: Final = ("state", "assumptions", "reason", "missing_shares", "gaps")
_UNCOMPARED: Final = ("revision", "built_at")


@dataclass(slots=True)
class Additions:
    """Rows to add to the ledger's tables. Events are rows of ``gap_events``, coverage those of ``coverage_days``."""

    gaps: list[Gap] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    coverage: list[dict[str, Any]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.gaps or self.events or self.coverage)

    def dates(self) -> list[str]:
        """The business dates of all rows."""
        events = [*self.events, *self.coverage]
        return sorted({*(gap.date for gap in self.gaps), *(str(row["date"]) for row in events)})


@dataclass(frozen=True, slots=True)
class Found:
    """Who finds out, and when: the last columns of every row. ``filler`` is who fills holes, ``end_filler`` who fills
    one at the end; None is who finds out."""

    by: str
    at_us: int
    wal_id: str | None
    lsn: int | None
    filler: str | None = None
    end_filler: str | None = None


def but_for_growth(former: Iterable[Gap], now: Sequence[Gap]) -> Sequence[Gap]:
    """``now``, but for a hole at the end that has only grown: of it what is told already. While no connection stands it
    grows with every poll of every symbol, and each step would be rows of its own."""
    if not now:
        return now
    end = now[-1]
    for gap in former:
        at_the_end = gap.after_ts is None and end.after_ts is None and gap.from_volume == end.from_volume
        if gap.open and at_the_end and gap.to_volume < end.to_volume:
            return [*now[:-1], gap]
    return now


def gap_changes(former: Iterable[Gap], now: Sequence[Gap], found: Found, hi: int) -> Additions:
    """What has to be added so that the latest revisions of a series' gaps are ``now``.

    Args:
        former: the latest revision of each gap that the series ever had.
        now: its gaps, from low to high.
        hi: how far its trades reach.
    """
    known = {gap.key: gap for gap in former}
    were_open = sorted((gap for gap in known.values() if gap.open), key=lambda gap: gap.from_volume)
    wanted = {gap.key for gap in now}
    added = Additions()
    covered = covered_of(hi, now)
    for gap in were_open:
        if gap.key not in wanted:
            _close(added, gap, covered, now, found)
    for gap in now:
        before = known.get(gap.key)
        if before is None or not before.open:
            _open(added, gap, before, were_open, found)
    return added


def _close(added: Additions, gap: Gap, covered: Intervals, now: Sequence[Gap], found: Found) -> None:
    hole = (gap.from_volume, gap.to_volume)
    filled = gap.shares - _outside(hole, covered)
    left = gap.shares - _outside(hole, [(each.from_volume, each.to_volume) for each in now])
    detail = gap.detail
    if not left:
        detail = f"filled; was: {detail}" if filled else f"nobody says any more that there was so much; was: {detail}"
    added.gaps.append(_placed(replace(gap, revision=gap.revision + 1, open=False, detail=detail), found))
    if filled:
        event = GapEvent.PARTLY_REPAIRED if left else GapEvent.REPAIRED
        filler = (found.filler if gap.after_ts is not None else found.end_filler) or found.by
        told = _event(gap, event, filled, replace(found, by=filler), f"{left:,} shares are left" if left else "")
        added.events.append(told)


def _outside(hole: tuple[int, int], intervals: Intervals) -> int:
    return sum(high - low for low, high in without([hole], intervals))


def _open(added: Additions, gap: Gap, before: Gap | None, were_open: Sequence[Gap], found: Found) -> None:
    within = next((each for each in were_open if _contains(each, gap)), None)
    if within is not None:
        # What is left of a hole is missing for the reason the hole was.
        gap = replace(gap, cause=within.cause, detail=within.detail)
    revision = 1 if before is None else before.revision + 1
    opened = _placed(replace(gap, revision=revision, open=True), found)
    added.gaps.append(opened)
    if within is None:
        added.events.append(_event(opened, GapEvent.OPENED, gap.shares, found, gap.detail))


def _contains(outer: Gap, inner: Gap) -> bool:
    return outer.from_volume <= inner.from_volume and inner.to_volume <= outer.to_volume


def _placed(gap: Gap, found: Found) -> Gap:
    return replace(gap, wal_id=found.wal_id or "", lsn=-1 if found.lsn is None else found.lsn)


def _event(gap: Gap, event: GapEvent, shares: int, found: Found, detail: str) -> dict[str, Any]:
    return {
        **dict(zip(("date", "scope", "symbol", "from_volume", "to_volume"), gap.key, strict=True)),
        "at": found.at_us,
        "event": str(event),
        "shares": shares,
        "by": found.by,
        "detail": detail or None,
        "wal_id": found.wal_id,
        "lsn": found.lsn,
    }


def event_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two rows of ``gap_events`` the same event."""
    return tuple(row[name] for name in ("date", "scope", "symbol", "from_volume", "to_volume", "event", "shares", "by"))


def coverage_row(seen: Seen, verdict: Verdict, built_at_us: int, *, shared: bool) -> dict[str, Any]:
    """A row of ``coverage_days``, revision 0.

    Args:
        shared: several logs have seen the series, so that its trades are not known to be counted once.
    """
    witness = verdict.witness
    return {
        **dict(zip(("date", "scope", "symbol"), seen.series, strict=True)),
        "revision": 0,
        "state": str(verdict.state),
        "assumptions": list(verdict.assumptions),
        "reason": verdict.reason,
        "first_volume": seen.first,
        "last_volume": verdict.last_volume,
        "witness_volume": witness.volume if witness is not None else None,
        "witness": witness.text if witness is not None else None,
        "shares": seen.hi - sum(gap.shares for gap in seen.gaps),
        "missing_shares": verdict.missing,
        "trades": None if shared else seen.trades,
        "value": None if shared else seen.value,
        "duplicates": seen.duplicates,
        "corrections": seen.contradictions,
        "gaps": len(verdict.gaps),
        "built_at": built_at_us,
    }


def coverage_change(
    former: Mapping[str, Any] | None, now: dict[str, Any], *, everything: bool, always: bool = False
) -> dict[str, Any] | None:
    """``now`` with its revision, where it says something new; None where it does not.

    Args:
        everything: figures that grow with every trade count as new too.
        always: a new revision in any case.
    """
    if former is None:
        return {**now, "revision": 1}
    compared = [name for name in COVERAGE_DAYS.names if name not in _UNCOMPARED] if everything else _STATE_ONLY
    if not always and all(former[name] == now[name] for name in compared):
        return None
    return {**now, "revision": former["revision"] + 1}
