"""Which business date a record belongs to: said by the broker, in the order of the log, and by nothing else.

Trades carry their date. Quotes, market operations and REST replies do not: theirs is the last date that their
connection was told (PINGPONG, a trade, or the record that begins a segment). A connection that was told none yet
takes what any connection was told in the last minute, else what any is told next, and only when none comes for half
a minute, the KST calendar date of its receive time. That last case aside the receive clock plays no part, so that a
day of last year can be replayed today.

The result depends on the records and their order only, not on how the log is cut into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.market.calendar import KST_OFFSET_S, business_day

if TYPE_CHECKING:
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]

UNKNOWN: Final = 0
CALENDAR: Final = -1
"""In force where a connection was told no date in time: the KST date of each record's receive time."""
REST: Final = -1
"""Stands for the connection of REST replies: what any connection is told counts."""

INHERIT_US: Final = 60_000_000
HOLD_US: Final = 30_000_000
HOLD_BYTES: Final = 64 << 20
_KST_US: Final = KST_OFFSET_S * 1_000_000
_DAY_US: Final = 86_400 * 1_000_000
_LAST_US: Final = 253_402_128_000_000_000  # 9999-12-30


def number_of(day: date) -> int:
    """The day as yyyymmdd."""
    return day.year * 10_000 + day.month * 100 + day.day


def day_text(yyyymmdd: int) -> str:
    """The day as ``YYYY-MM-DD``, the way partitions are named."""
    return f"{yyyymmdd // 10_000:04}-{yyyymmdd // 100 % 100:02}-{yyyymmdd % 100:02}"


@lru_cache(maxsize=4096)
def ordinal(yyyymmdd: int) -> int:
    """The day's proleptic ordinal; -1 for what is no date."""
    try:
        return date(yyyymmdd // 10000, yyyymmdd // 100 % 100, yyyymmdd % 100).toordinal()
    except (ValueError, OverflowError):
        return -1


def ordinals(dates: Ints) -> Ints:
    """``ordinal`` of each; batches hold few different dates."""
    if len(dates) and (dates == dates[0]).all():
        return np.full(len(dates), ordinal(int(dates[0])), np.int64)
    unique, inverse = np.unique(dates, return_inverse=True)
    return np.array([ordinal(int(each)) for each in unique], np.int64)[inverse]


def calendar_dates(ts_recv_us: Ints) -> Ints:
    """The KST date of each UTC time in microseconds, as yyyymmdd; of a time that no calendar has, the nearest day."""
    times = np.clip(ts_recv_us, 0, _LAST_US)
    days = (times + _KST_US) // _DAY_US
    _, first, inverse = np.unique(days, return_index=True, return_inverse=True)
    named = [business_day(ts_us)[0] for ts_us in times[first].tolist()]
    return np.array([number_of(day) for day in named], np.int64)[inverse]


@dataclass(frozen=True, slots=True)
class Told:
    """What the record that begins a segment tells: all that was known then, by connection."""

    latest: int = UNKNOWN
    by_connection: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """What the log's records say about dates; arrays have one entry a record, dates are yyyymmdd.

    ``says`` is the date a record tells its connection, 0 for none. ``needs`` marks records that need one.
    ``begins`` are the records that begin a segment, ``ends`` those at which waiting for a date is over.
    """

    connection: Ints
    ts_recv_us: Ints
    sizes: Ints
    says: Ints
    needs: Flags
    ends: Flags
    begins: dict[int, Told]

    def __len__(self) -> int:
        return len(self.says)


class BusinessDates:
    """Dates the records of one log, block after block."""

    def __init__(self) -> None:
        self._told: dict[int, int] = {}  # by connection, what is in force
        self._latest = UNKNOWN  # told last, to any connection, when
        self._latest_us = 0

    def resolve(self, facts: Facts, *, final: bool = False) -> tuple[Ints, int]:
        """``(dates, count)``: the dates of the first ``count`` records (0 where none is needed).

        The rest waits for a date that may still come: pass those records again, with more behind them, or with
        ``final`` when there are none. What is in force is carried on to the record behind the ``count``-th.
        """
        said_at = np.flatnonzero(facts.says > 0)
        groups = np.unique(facts.connection[facts.needs]).tolist()
        runs = {group: self._in_force(facts, group, said_at, final=final) for group in groups}
        count = min([len(facts), *(run.waits_at for run in runs.values() if run.waits_at is not None)])
        dates = np.zeros(len(facts), np.int64)
        for group, run in runs.items():
            mine = facts.needs & (facts.connection == group)
            dates[mine] = run.values[mine]
        by_calendar = (dates == CALENDAR).nonzero()[0]
        dates[by_calendar] = calendar_dates(facts.ts_recv_us[by_calendar])
        self._carry(facts, said_at, runs, count)
        return dates[:count], count

    def _in_force(self, facts: Facts, group: int, said_at: Ints, *, final: bool) -> _Run:
        """What is in force for one connection at each record, settling what is not known as it comes."""
        events = _events(facts.connection, facts.says, facts.begins, group, said_at)
        needing = np.flatnonzero(facts.needs & (facts.connection == group))
        before = self._told.get(group, UNKNOWN)
        values = _fill(len(facts), events, before)
        while (unknown := needing[values[needing] == UNKNOWN]).size:
            at = int(unknown[0])
            settled = self._settle(facts, said_at, at)
            if settled is None and not final:
                return _Run(values, at)
            events[at] = CALENDAR if settled is None else settled
            values = _fill(len(facts), events, before)
        return _Run(values, None)

    def _settle(self, facts: Facts, said_at: Ints, at: int) -> int | None:
        """The date in force from a record on whose connection was told none; None while one may still come."""
        latest, latest_us = self._latest_before(facts, said_at, at)
        now_us = int(facts.ts_recv_us[at])
        if latest > 0 and now_us - latest_us <= INHERIT_US:
            return latest
        after = slice(at + 1, None)
        waited = facts.ends[after] | (facts.ts_recv_us[after] - now_us > HOLD_US)
        waited |= np.cumsum(facts.sizes[at:])[1:] > HOLD_BYTES
        given_up = int(waited.argmax()) + at + 1 if waited.any() else None
        later = said_at[np.searchsorted(said_at, at, side="right") :]
        if later.size and (given_up is None or later[0] < given_up):
            return int(facts.says[later[0]])
        return CALENDAR if given_up is not None else None

    def _latest_before(self, facts: Facts, said_at: Ints, at: int) -> tuple[int, int]:
        """The date told last to any connection before a record, and when."""
        place = int(np.searchsorted(said_at, at, side="left"))
        said = int(said_at[place - 1]) if place else -1
        begun = max((begin for begin in facts.begins if begin < at), default=-1)
        if begun > said:
            return facts.begins[begun].latest, int(facts.ts_recv_us[begun])
        if said >= 0:
            return int(facts.says[said]), int(facts.ts_recv_us[said])
        return self._latest, self._latest_us

    def _carry(self, facts: Facts, said_at: Ints, runs: dict[int, _Run], count: int) -> None:
        if not count:
            return
        self._latest, self._latest_us = self._latest_before(facts, said_at, count)
        told = carried(self._told, facts.connection[:count], facts.says[:count], facts.begins)
        self._told = {**told, **{group: int(run.values[count - 1]) for group, run in runs.items()}}


def carried(before: dict[int, int], connection: Ints, says: Ints, begins: dict[int, Told]) -> dict[int, int]:
    """What each connection was told last, after records that say dates (0: none); under ``REST`` what any was."""
    begun = max((at for at in begins if at < len(says)), default=-1)
    told = dict(before) if begun < 0 else {**begins[begun].by_connection, REST: begins[begun].latest}
    behind = np.flatnonzero(says[begun + 1 :]) + begun + 1
    if behind.size:
        connections, last = np.unique(connection[behind][::-1], return_index=True)
        told.update(zip(connections.tolist(), says[behind][::-1][last].tolist(), strict=True))
        told[REST] = int(says[behind[-1]])
    return told


def in_force(before: dict[int, int], connection: Ints, says: Ints, begins: dict[int, Told]) -> Ints:
    """At each record, the date its connection was told last, 0 for none; nothing is taken from elsewhere."""
    values = np.zeros(len(says), np.int64)
    said_at = np.flatnonzero(says)
    for group in np.unique(connection).tolist():
        mine = connection == group
        changes = _events(connection, says, begins, group, said_at)
        values[mine] = _fill(len(says), changes, before.get(group, UNKNOWN))[mine]
    return values


@dataclass(frozen=True, slots=True)
class _Run:
    """What is in force for one connection; ``waits_at`` is the first record that has to wait."""

    values: Ints
    waits_at: int | None


def _events(connection: Ints, says: Ints, begins: dict[int, Told], group: int, said_at: Ints) -> dict[int, int]:
    """What changes the date of a connection, by place."""
    mine = said_at if group == REST else said_at[connection[said_at] == group]
    if mine.size and not begins:  # a date that is told again changes nothing, and most are
        dates = says[mine]
        mine = mine[np.concatenate(([True], dates[1:] != dates[:-1]))]
    events = dict(zip(mine.tolist(), says[mine].tolist(), strict=True))
    for at, told in begins.items():
        events[at] = told.latest if group == REST else told.by_connection.get(group, UNKNOWN)
    return events


def _fill(count: int, events: dict[int, int], before: int) -> Ints:
    """``events`` (place: value) carried forward over ``count`` places, ``before`` where none came yet."""
    if not events:
        return np.full(count, before, np.int64)
    places = np.array(sorted(events), np.int64)
    values = np.array([before, *(events[place] for place in places.tolist())], np.int64)
    return values[np.searchsorted(places, np.arange(count), side="right")]
