"""What one log has seen of a series: whether it was asked for, until when the stream stood, and where its gaps lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hosu.collect import ledger_kernel as kernel
from hosu.collect.gaps import JUDGED
from hosu.collect.ledger_judge import Seen, seen_of

if TYPE_CHECKING:
    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_checkpoint import LogState
    from hosu.collect.ledger_state import Ints, Series


def seen_in(state: LogState, number: int) -> Seen:
    """A series as plain values."""
    series, row = state.table.names[number], state.table.rows[number]
    return seen_of(
        series,
        row,
        state.table.holes_of(number),
        registered=is_asked(state, series),
        stood=_stood(state, series, row),
        in_order=state.wal_id.startswith(JUDGED),
    )


def is_asked(state: LogState, series: Series) -> bool:
    """Whether its trades were asked for at some time of its day."""
    return state.timeline.asked(*series[1:], *state.span(series[0]))


def _stood(state: LogState, series: Series, row: Ints) -> int:
    """Up to what level of the day (1: the close, 2: its end) the stream stood since the last trade; else -1."""
    if not row[kernel.TRADES]:
        return -1  # what was traded before the stream began, a trade would have told
    since = max(int(row[kernel.LAST_LSN]), state.began.get(series[0], 0) - 1)
    close, end = state.marks.get(series[:2], (-1, -1))
    for level, mark in ((2, end), (1, close)):
        if mark >= 0 and not state.timeline.broken(since, mark, *series[1:]):
            return level
    return -1


@dataclass(frozen=True, slots=True)
class Sides:
    """Where a gap lies in a log: ``at_begin`` before its first trade, between the records ``before_lsn`` and
    ``after_lsn``. ``awaited``: the stream stood already when nothing was traded yet."""

    at_begin: bool
    before_lsn: int
    after_lsn: int
    awaited: bool


def sides_of(state: LogState, gap: Gap) -> Sides:
    """By the log's own records: the gap's number may be another log's, whose records are no measure for these."""
    table = state.table
    number = table.find(gap.series)
    assert number is not None, "only what this log knows of is judged"
    row = table.rows[number]
    zero_lsn = int(row[kernel.ZERO_LSN])
    awaited = state.timeline.asked(*gap.series[1:], zero_lsn, zero_lsn + 1)
    for hole in table.holes_of(number):
        if hole[kernel.FROM] <= gap.from_volume and gap.to_volume <= hole[kernel.TO]:
            return Sides(not hole[kernel.FROM], int(hole[kernel.BEFORE_LSN]), int(hole[kernel.AFTER_LSN]), awaited)
    said = [int(row[at + kernel.W_LSN]) for at in (kernel.W_BOOK, kernel.W_POLL) if row[at] == gap.to_volume]
    return Sides(not row[kernel.TRADES], int(row[kernel.LAST_LSN]), max(said, default=state.lsn + 1), awaited)
