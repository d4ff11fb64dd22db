"""What the ledger has to say after any crash: what one says that never crashed, and reads the whole log at once."""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "collect"))

import numpy as np
from crash_life import BrokenPromiseError
from ledger_parts import MemoryLedgerStore

from hosu.clock import SimulatedClock
from hosu.collect import ledger_kernel as kernel
from hosu.collect.block import RecordKind
from hosu.collect.decode import Decoder
from hosu.collect.ledger import LedgerSink
from hosu.collect.ledger_rows import event_key
from hosu.collect.runs import slice_block
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.market.ledger import LEDGER_SCHEMAS, GapEvent, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from hosu.collect.block import Block
    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_checkpoint import LogState
    from hosu.collect.ledger_state import Series
    from hosu.lake.lake import Lake

LEDGER_TABLES = tuple(LEDGER_SCHEMAS)
_UNCOMPARED = ("revision", "built_at")


class Told:
    """The ledger of a log that was read from its first record to its last, by one process that lived that long."""

    def __init__(self, wal_id: str, log: Block, now_us: int) -> None:
        self.store = MemoryLedgerStore()
        self._sink = LedgerSink(self.store, clock=SimulatedClock(now_us))
        decoder = Decoder(wal_id)
        for batch in (*(decoder.decode(part) for part in _parts(log)), decoder.finish()):
            if batch is not None:
                self._sink.write(batch)

    def require_state(self, sink: LedgerSink) -> None:
        """That a sink which crashed knows the same."""
        # A day that a table could not be told of, since a power cut tore it, is kept longer.
        closed = self._sink._state.closed
        known, wanted = _facts(sink._state, but_for=closed), _facts(self._sink._state, but_for=closed)
        for name, value in wanted.items():
            if known.get(name) != value:
                raise BrokenPromiseError(f"the ledger says of {name}: {known.get(name)}, the log {value}")
        if known.keys() != wanted.keys():
            raise BrokenPromiseError(f"the ledger knows of {sorted(map(str, known.keys() - wanted.keys()))[:1]}")

    def require_tables(self, lake: Lake, trades: pa.Table | None, *, repaired: bool) -> None:
        """That a lake's tables say the same, now that both are closed; and that holes are what ``trades`` leave out.

        ``repaired``: somebody has judged days again meanwhile, who knows of a hole what the frames tell of its day.
        """
        self._sink.close()
        store = LakeLedgerStore(lake)
        traded = {row["date"] for row in _counted(trades)}  # of these a ledger must tell, be it the one of comparison
        dates = sorted({row["date"] for row in self.store.coverage_rows} | traded)
        require_once(store, dates)
        self._require_gaps(store, dates, causes=not repaired)
        self._require_coverage(store, dates)
        self._require_complement(store, trades, dates)

    def _require_gaps(self, store: LakeLedgerStore, dates: list[str], *, causes: bool) -> None:
        rows = store._rows("gaps", dates)
        found = _open(store.gaps(dates).values())
        wanted = _open(self.store.gaps(dates).values())
        if found.keys() != wanted.keys():
            lost, more = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
            raise BrokenPromiseError(f"gaps: {len(lost)} lost, the first {lost[:1]}; {len(more)} more, {more[:1]}")
        for key, gap in found.items():
            # What is left of a hole is missing for the reason that the hole was, and that hole stands in no other
            # ledger. Of a hole at the end it is told why before it is known what came behind.
            told_whole = causes and not _within(key, rows) and gap.after_ts is not None
            if told_whole and gap.cause != wanted[key].cause:
                raise BrokenPromiseError(f"gap {key} is told to be of {gap.cause}, the log says {wanted[key].cause}")

    def _require_coverage(self, store: LakeLedgerStore, dates: list[str]) -> None:
        found, wanted = store.coverage(dates), self.store.coverage(dates)
        for series in sorted({*found, *wanted}):
            have, want = (_compared(each.get(series)) for each in (found, wanted))
            if have != want:
                odd = [name for name in want if have.get(name) != want[name]]
                facts = [(name, have.get(name), want[name]) for name in odd]
                raise BrokenPromiseError(f"coverage of {series} differs: {facts or have}")

    def _require_complement(self, store: LakeLedgerStore, trades: pa.Table | None, dates: list[str]) -> None:
        """Holes between trades are the shares that no trade has; asked of the rows, not of the ledger's arithmetic."""
        covered: dict[Series, list[tuple[int, int]]] = {}
        for row in _counted(trades):
            series = (row["date"], row["scope"], row["symbol"])
            covered.setdefault(series, []).append((row["cum_volume"] - row["size"], row["cum_volume"]))
        days = store.coverage(dates)
        for series in sorted({*days, *covered}):
            day = days.get(series)
            if day is None:
                raise BrokenPromiseError(f"the ledger tells nothing of {series}")
            if day["state"] == State.UNPROVABLE:  # the market has begun anew, and counts from elsewhere
                continue
            holes = list(_between(sorted(covered.get(series, []))))
            end = max((end for _, end in covered.get(series, [])), default=0)
            gaps = sorted(
                (gap.from_volume, gap.to_volume) for gap in store.gaps([series[0]]).get(series, []) if gap.open
            )
            if [gap for gap in gaps if gap[0] < end] != holes:
                raise BrokenPromiseError(f"gaps of {series} are {gaps[:3]}, its trades leave out {holes[:3]}")


def _counted(trades: pa.Table | None) -> list[dict[str, Any]]:
    """Trades that say of which shares they are."""
    rows = [] if trades is None else trades.select(["date", "scope", "symbol", "cum_volume", "size"]).to_pylist()
    return [row for row in rows if None not in row.values()]


def _parts(log: Block) -> Iterator[Block]:
    """The log, cut where a connection begins: no sink is ever given several days at once."""
    told = np.flatnonzero(log.kind == RecordKind.SESSION)
    cuts = [0, *(at for at in told.tolist() if at and log.kind[at - 1] != RecordKind.SESSION), len(log)]
    return (slice_block(log, begin, end) for begin, end in pairwise(cuts) if begin < end)


def _facts(state: LogState, *, but_for: set[str]) -> dict[Any, Any]:
    """What it knows, but for how its memory is laid out and how the log was cut into batches."""
    connections = state.timeline.pack()
    began = {date: lsn for date, lsn in state.began.items() if date not in but_for}
    begin = min(began.values(), default=0)  # of what ended before, a batch more or less is remembered
    connections["registered"] = [span for span in connections["registered"] if span[3] < 0 or span[3] >= begin]
    return {
        "its last record": state.lsn,
        "its dates": (began, {date: lsn for date, lsn in state.told.items() if date not in but_for}),
        "the broker's clock": (state.heard, {key: at for key, at in state.marks.items() if key[0] not in but_for}),
        **connections,
        **{name: _series(state, number) for number, name in enumerate(state.table.names) if name[0] not in but_for},
    }


def _series(state: LogState, number: int) -> Any:
    row, holes = state.table.rows[number].copy(), [hole.copy() for hole in state.table.holes_of(number)]
    row[[kernel.HOLE, kernel.CHANGED]] = 0
    for hole in holes:
        hole[kernel.NEXT] = 0
    return row.tolist(), state.table.rings[number].tolist(), [hole.tolist() for hole in holes]


def require_once(store: LakeLedgerStore, dates: list[str]) -> None:
    """Each revision of a gap and of a day is there once, none is left out; what was told of a gap is told once."""
    gaps = [((*_key(row),), row["revision"]) for row in store._rows("gaps", dates)]
    days = [
        ((row["date"], row["scope"], row["symbol"]), row["revision"]) for row in store._rows("coverage_days", dates)
    ]
    for name, found in (("gaps", gaps), ("coverage_days", days)):
        revisions: dict[Any, list[int]] = {}
        for key, revision in found:
            revisions.setdefault(key, []).append(revision)
        for key, numbers in revisions.items():
            if sorted(numbers) != list(range(1, len(numbers) + 1)):
                raise BrokenPromiseError(f"{name} has of {key} the revisions {sorted(numbers)}")
    events = store.events(dates)
    twice = [key for key, count in Counter(map(event_key, events)).items() if count > 1]
    if twice:
        raise BrokenPromiseError(f"{len(twice)} events of gaps are told twice, the first {twice[0]}")
    opened = {_key(row) for row in events if row["event"] == GapEvent.OPENED}
    rows = store._rows("gaps", dates)
    for row in rows:
        if _key(row) not in opened and not _within(_key(row), rows):
            raise BrokenPromiseError(f"nothing tells when gap {_key(row)} was opened")


def _key(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("date", "scope", "symbol", "from_volume", "to_volume"))


def _within(key: tuple[Any, ...], rows: Iterable[dict[str, Any]]) -> bool:
    """Whether a hole lies in another one that was told of."""
    others = (_key(row) for row in rows)
    return any(each[:3] == key[:3] and each != key and each[3] <= key[3] and key[4] <= each[4] for each in others)


def _open(listed: Iterable[list[Gap]]) -> dict[tuple[Any, ...], Gap]:
    return {gap.key: gap for gaps in listed for gap in gaps if gap.open}


def _compared(row: Any) -> dict[str, Any]:
    return {} if row is None else {name: value for name, value in row.items() if name not in _UNCOMPARED}


def _between(intervals: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    reached = 0
    for begin, end in intervals:
        if begin > reached:
            yield reached, begin
        reached = max(reached, end)


__all__ = ["LEDGER_TABLES", "Told", "require_once"]
