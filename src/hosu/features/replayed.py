"""What was served, and the same computed again from the archived log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import HosuError, InputError
from hosu.features import kernel
from hosu.features.batch import States
from hosu.features.openings import opening
from hosu.features.reading import rows_of_date
from hosu.features.served import TABLE
from hosu.features.sink import FeatureSink
from hosu.features.store import Begin, LakeFeatureStore
from hosu.lake.frames import Frames
from hosu.market.bars import BarSource
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from hosu.features.openings import Morning, Opening
    from hosu.features.served import Closed
    from hosu.lake.frames import Segment
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Bars with their features, in order of (symbol, ts); ``n`` rows.

    Attributes:
        symbol: (n,) text.
        ts: (n,) start of the minute, UTC microseconds.
        lsn: (n,) record of the log that closed it; 0 where none did.
        close: (n,) hundredths of a won.
        volume: (n,) shares.
        outputs: (n, ``kernel.OUTPUTS``); NaN is null.
    """

    symbol: npt.NDArray[np.str_]
    ts: Ints
    lsn: Ints
    close: Ints
    volume: Ints
    outputs: Floats

    def __len__(self) -> int:
        return len(self.ts)

    @classmethod
    def ordered(cls, symbol: npt.NDArray[np.str_], ts: Ints, *others: Any) -> Rows:
        """These rows, in order; ``others`` as the attributes follow."""
        at = np.lexsort((ts, symbol))
        return cls(symbol[at], ts[at], *(values[at] for values in others))


@dataclass(frozen=True, slots=True)
class Again:
    """A day computed again: its rows, the states it began with, what was known then (None: nothing), and what it did
    to them."""

    rows: Rows
    states: States
    facts: Morning | None
    opening: Opening


def logs_of(lake: Lake, date: str, name: str = TABLE) -> list[str]:
    """The logs of which rows of that date were served into that table."""
    table = lake.find(name)
    if table is None:
        return []
    found = rows_of_date(table, date, columns=("wal_id",))
    return sorted(set(found.column("wal_id").to_pylist()))


def served(lake: Lake, date: str, wal_id: str) -> Rows:
    """What was served of a date out of one log."""
    found = _served(lake, date, wal_id, ("symbol", "ts", "lsn", "close", "volume", *INDICATORS))
    outputs = [found.column(name).to_numpy() for name in INDICATORS]
    return Rows.ordered(
        np.array(found.column("symbol").to_pylist(), np.str_),
        np.array(found.column("ts").combine_chunks().cast(pa.int64()), np.int64),
        np.array(found.column("lsn").to_numpy(), np.int64),
        np.rint(found.column("close").to_numpy() * 100.0).astype(np.int64),
        np.array(found.column("volume").to_numpy(), np.int64),
        np.column_stack(outputs).astype(np.float64),
    )


def _served(lake: Lake, date: str, wal_id: str, columns: Sequence[str]) -> pa.Table:
    table = lake.find(TABLE)
    mine = pc.field("wal_id") == wal_id
    found = None if table is None else rows_of_date(table, date, mine, ("wal_id", *columns))
    if found is None or not found.num_rows:
        raise InputError(
            f"features of {date} from log {wal_id}", "were not served", f"choose one of {logs_of(lake, date)}"
        )
    return found


def served_again(lake: Lake, date: str, wal_id: str) -> Again:
    """Replays the archived log through a new sink that writes nowhere, from what the day began with.

    Raises:
        InputError: nothing was served, or what the day, or one that it is carried on from, began with is no more in
            the lake.
        LogGapError: records are missing in the archive.
    """
    began = sorted(set(_served(lake, date, wal_id, ("began",)).column("began").to_pylist()))
    if len(began) != 1:
        raise InputError(
            f"features of {date} from log {wal_id}",
            f"began several times: {', '.join(began)}",
            "compare them with batch instead",
        )
    begun, _, _ = began[0].partition("*")
    base, _, since = begun.partition("+")
    begin = LakeFeatureStore(lake).exact(base)
    if begin is None:
        raise InputError(
            f"the state {base}, with which {date} began,", "is not in the lake", "build that day's features again"
        )
    return _replay(lake, wal_id, date, since or date, begin)


def _replay(lake: Lake, wal_id: str, date: str, since: str, begin: Begin) -> Again:
    frames = Frames(lake, check=False)
    after = first_behind(frames.segments(wal_id), begin.label, since)
    taken, nowhere = _Taken(date), _Nowhere(lake, wal_id, date, since, begin)
    sink = FeatureSink(
        nowhere,
        floors={wal_id: after},
        symbols_of=lambda day: _symbols(lake, day, wal_id),
        polled_of=lambda day: _symbols(lake, day, wal_id, source=str(BarSource.POLL)),
    )
    sink.on_close.append(taken.close)
    sink.on_day.append(taken.begin)
    for batch in frames.numbered(wal_id, after):
        sink.write(batch)
        if nowhere.fault is not None:
            raise nowhere.fault
        if taken.is_over:
            break
    facts = _known(lake, date, wal_id)
    return Again(taken.rows(), taken.states, facts, opening(taken.states, date, facts))


def _known(lake: Lake, date: str, wal_id: str) -> Morning | None:
    """What was known of a day when it began, as the rows served of it say.

    Raises:
        InputError: that is no more in the lake.
    """
    store = LakeFeatureStore(lake)
    _, _, label = (store.began(date, wal_id) or "").partition("*")
    facts = store.known(date, label) if label else None
    if label and facts is None:
        raise InputError(f"{label}, which {date} began with,", "is not in the lake any more", "compare a later day")
    return facts


def first_behind(segments: Sequence[Segment], label: str, since: str) -> int:
    """The record behind which to read: that named by the label, or the begin of the segment in which the day since
    which it was carried on may begin."""
    if "@" in label:
        return int(label.partition("@")[2])
    earlier = [each for each in segments if _date(each) < since]
    chosen = earlier[-1:] or list(segments[:1])
    return chosen[0].first_lsn - 1 if chosen else -1


def _date(segment: Segment) -> str:
    return segment.path.partition("date=")[2][:10]


def _symbols(lake: Lake, date: str, wal_id: str, source: str | None = None) -> set[str]:
    """The symbols of which rows were served; with ``source`` those that had a bar of it."""
    table = lake.find(TABLE)
    assert table is not None
    chosen = pc.field("wal_id") == wal_id
    if source is not None:
        chosen &= pc.field("source") == source
    rows = rows_of_date(table, date, chosen, ("wal_id", "symbol", "source"))
    return set(rows.column("symbol").to_pylist())


class _Nowhere:
    """A ``FeatureStore`` that keeps nothing, and knows one beginning: days before it are passed over.

    Attributes:
        fault: why what was known of a day that counts cannot be told any more. A sink goes on without it, and what it
            serves then is not what was served.
    """

    def __init__(self, lake: Lake, wal_id: str, date: str, since: str, begin: Begin) -> None:
        self._lake, self._wal_id, self._date, self._since, self._begin = lake, wal_id, date, since, begin
        self.fault: HosuError | None = None

    def covered(self, wal_id: str) -> int:
        del wal_id
        return -1

    def add(self, closed: Sequence[Closed], wal_id: str, lsn: int) -> int:
        del closed, wal_id, lsn
        return 0

    def sync(self) -> None:
        pass

    def latest(self, *, before: str, since: str) -> Begin | None:
        del since
        return self._begin if before == self._since else None

    def known(self, date: str, label: str | None = None) -> Morning | None:
        del label
        try:
            return _known(self._lake, date, self._wal_id)
        except HosuError as error:
            if self._since <= date <= self._date:
                self.fault = self.fault or error
            raise

    def exact(self, label: str) -> None:
        del label

    def began(self, date: str, wal_id: str) -> None:
        del date, wal_id


@dataclass(slots=True)
class _Taken:
    """What a replay gives of one date."""

    date: str
    states: States = field(default_factory=lambda: States.new(()))
    is_over: bool = False
    _closed: list[Closed] = field(default_factory=list)

    def begin(self, date: str, began: str, states: States) -> None:
        del began
        if date == self.date:
            self.states = states
        self.is_over = date > self.date

    def close(self, closed: Closed) -> None:
        if closed.date == self.date:
            self._closed.append(closed)

    def rows(self) -> Rows:
        def joined(parts: list[Any], empty: Any) -> Any:
            return np.concatenate(parts) if parts else empty

        nothing = np.zeros(0, np.int64)
        each = self._closed
        return Rows.ordered(
            joined([np.array(part.names, np.str_)[part.code] for part in each], np.zeros(0, np.str_)),
            joined([part.ts for part in each], nothing),
            joined([np.full(len(part), part.lsn, np.int64) for part in each], nothing),
            joined([part.close for part in each], nothing),
            joined([part.volume for part in each], nothing),
            joined([part.outputs for part in each], np.zeros((0, kernel.OUTPUTS))),
        )
