"""What the ledger's tables lost of a date, told again: what the frames tell of it, then what the judge finds.

The judge (``certify``) knows from the lake's records what is missing. Why, and what became of a hole when, only the
logs can tell; so their frames of the date are first played once more to a ledger in memory, and what the tables lack
of what it says is added to them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow.compute as pc

from hosu.collect.gaps import JUDGED
from hosu.collect.ledger import LedgerConfig, LedgerSink
from hosu.collect.ledger_checkpoint import LogState, pack, unpack
from hosu.collect.ledger_memory import MemoryLedger
from hosu.collect.ledger_rows import Additions, coverage_change, event_key
from hosu.errors import HosuError
from hosu.lake.certify import certify
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.sql import FileQueries

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch
    from hosu.lake.frames import Frames
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.lake.storage import Storage

WAITING: Final = "_hosu/to_judge.json"
"""Names the dates that a repair is to judge again, so that one that was stopped before that is gone on with."""

_RECORDS: Final = ("trades", "quotes", "snapshots")
_BLOCK_BYTES: Final = 1 << 16  # as much as comes in some milliseconds, so that holes are told that stood for seconds
_SPANS: Final = """
    SELECT wal_id, min(lsn) AS first, max(lsn) AS last, min(epoch_us(ts_recv)) AS began FROM rows GROUP BY wal_id
"""


def has_records(lake: Lake, date: str) -> bool:
    """Whether the lake holds anything that the date could be judged by."""
    tables = [lake.find(name) for name in _RECORDS]
    return any(table is not None and table.files(date) for table in tables)


def judge_again(
    lake: Lake,
    date: str,
    frames: Frames,
    *,
    lost: bool = False,
    config: SqlConfig,
    clock: Clock,
    progress: Callable[[str], None] | None = None,
) -> bool:
    """Fills up the ledger's tables of ``date``; returns whether the frames were there to tell what only they can.

    Done twice it adds no hole or event twice.

    Args:
        lost: as of ``certify``.

    Raises:
        InputError: the lake has neither trades nor books nor polls of that date.
        TableCorruptError: a data file cannot be read.
    """
    spans = _spans(lake, date, config)
    told = bool(spans) and all(frames.hold(wal_id, first - 1, last) for wal_id, first, last in spans)
    if told:
        _add_lacking(LakeLedgerStore(lake), _played(frames, spans), date)
    certify(lake, date, lost=lost, sort=config, clock=clock, progress=progress)
    return told


def leave_to_the_judge(lake: Lake, dates: Collection[str]) -> None:
    """Closes the dates in the states of all logs, since they would vouch for records that the lake has no more. No
    collector may run."""
    store = LakeLedgerStore(lake)
    for wal_id, content in store.other_states("", dates).items():
        if wal_id.startswith(JUDGED):
            continue
        try:
            state = unpack(content, f"the ledger's state of log {wal_id}")
        except HosuError:  # nobody goes on from it
            continue
        known = state.began.keys() & set(dates)
        for date in sorted(known):
            state.close(date)
        if known:
            store.save(wal_id, pack(state))


def _spans(lake: Lake, date: str, config: SqlConfig) -> list[tuple[str, int, int]]:
    """Which records of which logs tell of a date, in the order in which they began to."""
    found: dict[str, tuple[int, int, int]] = {}
    with FileQueries(lake.storage, config) as queries:
        for table in filter(None, map(lake.find, _RECORDS)):
            files = table.files(date)
            for row in queries.ask(table, files, _SPANS) if files else ():
                first, last, began = row["first"], row["last"], row["began"] or 0
                known = found.get(row["wal_id"], (first, last, began))
                found[row["wal_id"]] = (min(first, known[0]), max(last, known[1]), min(began, known[2]))
    ordered = sorted(found.items(), key=lambda each: (each[1][2], each[0]))
    return [(wal_id, first, last) for wal_id, (first, last, _) in ordered]


class _ReceiveTime:
    """The clock that stood over the records when they came: told by themselves."""

    def __init__(self) -> None:
        self._us = 0

    def take(self, batch: EventBatch) -> None:
        """Moves on to when the last record of the batch was received."""
        for name in _RECORDS:
            if name in batch.tables:
                self._us = max(self._us, pc.max(batch.tables[name].column("ts_recv")).value or 0)

    def now_us(self) -> int:
        return self._us

    def monotonic(self) -> float:
        return self._us / 1e6

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError  # nobody waits for a time that is over


def _played(frames: Frames, spans: Iterable[tuple[str, int, int]]) -> MemoryLedger:
    """What the ledger says of these records, log by log, told as often as when they were received."""
    memory, clock = MemoryLedger(), _ReceiveTime()
    for wal_id, first, last in spans:
        sink: LedgerSink | None = None
        reached = -1
        for batch in frames.decoded(wal_id, first, last, _BLOCK_BYTES):
            clock.take(batch)
            if sink is None:
                reached = batch.first_lsn - 1
                memory.save(wal_id, pack(LogState(wal_id, lsn=reached)))
                sink = LedgerSink(memory, LedgerConfig(save_every_s=86_400), clock)
                sink.resume_after(wal_id)
            # The frames hold all there is of the span: numbers missing in between are lost for good.
            sink.write(replace(batch, follows=min(reached, batch.first_lsn - 1)))
            reached = batch.last_lsn
            if sink.due():
                sink.flush()
        if sink is not None:
            sink.close()
    return memory


def _add_lacking(store: LakeLedgerStore, memory: MemoryLedger, date: str) -> None:
    known_gaps = {gap.key: gap.revision for gaps in store.gaps([date]).values() for gap in gaps}
    known_events = {event_key(row) for row in store.events([date])}
    known_days = store.coverage([date])
    gaps = [gap for gap in memory.gap_rows if gap.date == date and gap.revision > known_gaps.get(gap.key, 0)]
    events = [row for row in memory.events([date]) if event_key(row) not in known_events]
    days = [
        coverage_change(known_days.get(series), {**row}, everything=True)
        for series, row in memory.coverage([date]).items()
    ]
    added = Additions(gaps, events, [row for row in days if row is not None])
    if added:
        store.add(added, None, None)
        store.sync()


# --- dates that wait --------------------------------------------------------------------------------------------------


def waiting(storage: Storage) -> set[str]:
    """The dates that a repair was to judge again when it was stopped."""
    try:
        found: Any = json.loads(storage.get(WAITING))
    except (FileNotFoundError, ValueError):
        return set()
    return {str(date) for date in found} if isinstance(found, list) else set()


def keep_waiting(storage: Storage, dates: Collection[str]) -> None:
    """Writes down, durably, which dates are to be judged again, in place of those that were."""
    if dates:
        storage.replace(WAITING, json.dumps(sorted(dates)).encode())
    else:
        storage.delete(WAITING)
