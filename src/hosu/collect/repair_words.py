"""What repair says: rows of ``gap_events``, and sentences for whoever asked."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING, Any, Final

from hosu.collect.repair_pages import Why

if TYPE_CHECKING:
    from hosu.collect.gaps import Gap
    from hosu.collect.repair_pages import Lost, Pager
    from hosu.market.ledger import GapEvent

_BY: Final = "repair"
TOO_LATE: Final = "the next session begins, and the broker may answer for it"
NO_DAY: Final = "the broker gives no minute of it, so that nobody knows which day its trades would be of"


def sentence(lost: Lost) -> str:
    """Why these shares were given up."""
    match lost.why:
        case Why.CROWDED:
            at = "" if lost.second is None else f" {clock_of(lost.second)}"
            return f"the second{at} has more trades than the {lost.page} that the broker gives of one"
        case Why.UNLISTED:
            return "the broker's list does not have them"
        case _:
            return "the broker gives the same page whatever time it is asked for"


def shared(gap: Gap, begin: int, end: int) -> tuple[int, int] | None:
    """What of the shares ``[begin, end)`` is the gap's; None if nothing is."""
    low, high = max(gap.from_volume, begin), min(gap.to_volume, end)
    return (low, high) if low < high else None


def outcome_of(gap: Gap, pager: Pager) -> str:
    """What a walk has found of a gap, and why no more."""
    lost = [each for each in pager.lost if shared(gap, each.begin, each.end)]
    parts = [shared(gap, begin, end) for begin, end in [*pager.missing, *((each.begin, each.end) for each in lost)]]
    left = sum(part[1] - part[0] for part in parts if part is not None)
    if not left:
        return f"all {gap.shares:,} shares were found"
    why = "; ".join(dict.fromkeys(sentence(each) for each in lost)) or "the walk was not finished"
    return f"{gap.shares - left:,} of {gap.shares:,} shares were found: {why}"


def event_of(gap: Gap, event: GapEvent, at_us: int, detail: str, hole: tuple[int, int] | None = None) -> dict[str, Any]:
    """A row of ``gap_events`` on a gap, or on a part of it."""
    begin, end = hole if hole is not None else (gap.from_volume, gap.to_volume)
    return {
        "date": gap.date,
        "scope": gap.scope,
        "symbol": gap.symbol,
        "from_volume": begin,
        "to_volume": end,
        "at": at_us,
        "event": str(event),
        "shares": end - begin,
        "by": _BY,
        "detail": detail,
        "wal_id": None,
        "lsn": None,
    }


def clock_of(second: int) -> time:
    """A second of the day as a time."""
    second = min(max(second, 0), 86_399)
    return time(second // 3600, second // 60 % 60, second % 60)
