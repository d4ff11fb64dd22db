"""Which sessions are over, and have the bars of all of it. Bars may be built while a market is open: what became of a
day that is only half told is not known yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hosu.errors import InputError
from hosu.features.dated_rules import day_of, hours
from hosu.lake.bar_sources import DAY_BARS, BarSources, built_mark
from hosu.market.bars import DAILY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosu.lake.lake import Lake

_NEWEST: Final = 10  # sessions of which one may still be half told: nobody leaves bars alone for longer


def unfinished(lake: Lake, sessions: Iterable[int], now_us: int) -> set[int]:
    """Of these sessions (yyyymmdd) those that are not over, and those whose day bars were built before they were and
    not again since, although there is more to build them from.

    Raises:
        CalendarRangeError, NoSessionError: one of them is none that the calendar knows.
        TableCorruptError: a table cannot be read.
    """
    numbers = sorted(set(sessions))
    ends = dict(zip(numbers, hours(numbers).close.tolist(), strict=True))
    found = {number for number, end in ends.items() if end > now_us}
    bars = lake.find(DAY_BARS)
    early = (
        [] if bars is None else [each for each in numbers if 0 <= bars.covered(built_mark(_text(each))) < ends[each]]
    )
    if early:
        sources = BarSources.open(lake)
        found |= {each for each in early if sources.has_changed(DAY_BARS, _text(each))}
    return found


def last_whole(lake: Lake, now_us: int, until: str | None = None) -> str | None:
    """The last date of day bars up to which every session is over and has all of its bars.

    Args:
        lake: whose bars.
        now_us: UTC microseconds.
        until: no later than this date; None: than the newest.

    Returns:
        ``until`` where it and what lies before are whole; else the last date before the first that is not.

    Raises:
        InputError: there is no such date.
        TableCorruptError: a table cannot be read.
    """
    tables = [table for table in (lake.find(DAY_BARS), lake.find(DAILY)) if table is not None]
    known = sorted({date for table in tables for date in table.dates() if until is None or date <= until})
    dates = known[-_NEWEST:]
    open_ = {_text(each) for each in unfinished(lake, [int(date.replace("-", "")) for date in dates], now_us)}
    if not open_:
        return until
    before = [date for date in known if date < min(open_)]
    if not before:
        again = "once it is over, build it with `hosu lake bars`"
        raise InputError(f"the day bars of {min(open_)}", "do not reach its end, and none lie before", again)
    return before[-1]


def _text(number: int) -> str:
    return day_of(number).isoformat()
