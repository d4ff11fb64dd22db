"""What one log has shown of each symbol's day: shares covered, holes, witnesses. Arrays by series, filled by a kernel.

The state is a function of the log's records in their order, however they are cut into batches; so it may be laid
down anywhere and taken up again.
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - `date` names the business date's text everywhere here
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.collect import ledger_kernel as kernel
from hosu.errors import MarketError
from hosu.market.calendar import instant_us, sessions_on
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

Series = tuple[str, str, str]
"""(date, scope, symbol)."""

_NEVER: Final = int(np.iinfo(np.int64).max)
_HUNDREDTHS: Final = 100
_MOST_WON: Final = 9 * 10**16  # hundredths of more do not fit
_MOST_COUNT: Final = 10**15
_DAY_S: Final = 86_400


@lru_cache(maxsize=256)
def day_bounds(date: str, scope: str) -> tuple[int, int, int]:
    """When the regular session closes, the day's last session ends, and the date itself, UTC microseconds. A day
    that the calendar does not know never ends."""
    try:
        day = Date.fromisoformat(date)
        plan = sessions_on(day, Scope(scope))
    except (MarketError, ValueError):
        return _NEVER, _NEVER, _NEVER
    return instant_us(day, plan.close_s), instant_us(day, plan.end_s), instant_us(day, _DAY_S)


class SeriesTable:
    """Every series of some dates, by number. For one thread at a time.

    Attributes:
        names: the series, by their number.
        rows: ``ledger_kernel`` rows, one a series and some to spare.
    """

    def __init__(self) -> None:
        self.names: list[Series] = []
        self.rows = np.zeros((0, kernel.FIELDS), np.int64)
        self.rings = np.zeros((0, kernel.RING, kernel.RING_FIELDS), np.int64)
        self.holes = np.zeros((0, kernel.HOLE_FIELDS), np.int64)
        self.pool = np.array([-1], np.int64)
        self.bounds = np.zeros((0, 3), np.int64)
        self._numbers: dict[tuple[str, str], dict[str, int]] = {}  # by (date, scope), then by symbol
        self._passed: dict[tuple[str, str], int] = {}  # by (date, scope): how far the exchange's time was seen to be
        self._passing: list[tuple[tuple[str, str], int, int]] = []

    def __len__(self) -> int:
        return len(self.names)

    def number(self, series: Series) -> int:
        """The number of a series, a new one if it is new."""
        known = self._numbers.setdefault(series[:2], {})
        found = known.get(series[2])
        if found is not None:
            return found
        number = known[series[2]] = len(self.names)
        self.names.append(series)
        if number >= len(self.rows):
            self._make_room(max(64, 2 * number))
        self.bounds[number] = day_bounds(series[0], series[1])
        return number

    def find(self, series: Series) -> int | None:
        """The number of a series, None if nothing is known of it."""
        return self._numbers.get(series[:2], {}).get(series[2])

    def holes_of(self, number: int) -> list[Ints]:
        """The holes of a series, from low to high, as rows of the kernel."""
        found, at = [], int(self.rows[number, kernel.HOLE])
        while at >= 0:
            found.append(self.holes[at])
            at = int(self.holes[at, kernel.NEXT])
        return found[::-1]

    def last_recv_us(self) -> int:
        """When the latest of what stands here was received; 0 for nothing."""
        places = [kernel.LAST_RECV, kernel.W_BOOK + kernel.W_RECV, kernel.W_POLL + kernel.W_RECV]
        return int(self.rows[: len(self), places].max(initial=0))

    def drop(self, dates: Iterable[str]) -> None:
        """Forgets all series of these dates."""
        gone = set(dates)
        keep = [number for number, series in enumerate(self.names) if series[0] not in gone]
        kept = [(self.names[number], self.rows[number], self.rings[number], self.holes_of(number)) for number in keep]
        fresh = SeriesTable()
        for series, row, ring, holes in kept:
            fresh.restore(series, row, ring, holes)
        self.names, self.rows, self.rings, self.bounds = fresh.names, fresh.rows, fresh.rings, fresh.bounds
        self.holes, self.pool, self._numbers = fresh.holes, fresh.pool, fresh._numbers
        self._passed = {key: level for key, level in self._passed.items() if key[0] not in gone}

    def restore(self, series: Series, row: Ints, ring: Ints, holes: list[Ints]) -> None:
        """Puts a series as it was: its row, ring and holes (from low to high)."""
        number = self.number(series)
        self.rows[number], self.rings[number] = row, ring
        below = -1
        for hole in holes:
            if self.pool[kernel.POOL_FREE] < 0:
                self._more_holes()
            at = int(self.pool[kernel.POOL_FREE])
            self.pool[kernel.POOL_FREE] = self.holes[at, kernel.NEXT]
            self.holes[at] = hole
            self.holes[at, kernel.NEXT] = below
            below = at
        self.rows[number, kernel.HOLE] = below

    def passed(self) -> list[tuple[tuple[str, str], int, int]]:
        """What has passed since this was asked last: ((date, scope), 0 the close or 1 the end of the day, LSN of the
        record whose exchange time says so)."""
        passing, self._passing = self._passing, []
        return passing

    def _watch_time(self, series: Ints, ts: Ints, lsn: Ints) -> None:
        if not len(ts) or ts.max() < self.bounds[: len(self), 0].min():  # most of the day nothing is over yet
            return
        for level in (0, 1):
            late = np.flatnonzero(ts >= self.bounds[series, level])
            for number in dict.fromkeys(series[late].tolist()):
                key = self.names[number][:2]
                if self._passed.get(key, -1) < level:
                    self._passed[key] = level
                    self._passing.append((key, level, int(lsn[late[np.flatnonzero(series[late] == number)[0]]])))

    # --- what comes in ------------------------------------------------------------------------------------------

    def take_trades(self, batch: pa.RecordBatch) -> None:
        """Takes rows of the table ``trades``, in the order received or in that of their cumulative volume."""
        series, batch = self._series_of(batch)
        side = _flags(batch.column("side"), ("buy", "sell"))
        count = _sum(_ints(batch, "buy_count"), _ints(batch, "sell_count"))
        arrays = (
            series,
            _ints(batch, "cum_volume"),
            _ints(batch, "size"),
            _won(_ints(batch, "cum_value")),
            _prices(batch.column("price")),
            count,
            side,
            _ints(batch, "ts_event"),
            _ints(batch, "ts_recv"),
            _ints(batch, "lsn"),
            _flags(batch.column("source"), ("rest",)),
        )
        self._watch_time(series, arrays[7], arrays[9])
        done = 0
        while (done := kernel.take_trades(done, *arrays, self.rows, self.rings, self.holes, self.pool)) < len(series):
            self._more_holes()

    def take_books(self, batch: pa.RecordBatch, clock: Ints) -> None:
        """Takes rows of ``quotes`` as witnesses. ``clock`` has rows of (LSN, what the broker's clock says from there
        on), the first for all before."""
        series, batch = self._series_of(batch)
        ts = _ints(batch, "ts_event")
        self._watch_time(series, ts, _ints(batch, "lsn"))
        ts = np.maximum(ts, _clock_at(clock, _ints(batch, "lsn")))
        level = self._level(series, ts)
        nothing = np.full(len(series), kernel.NULL, np.int64)
        self._take_witnesses(series, batch, nothing, level, kernel.W_BOOK)

    def take_polls(self, batch: pa.RecordBatch, clock: Ints) -> None:
        """Takes rows of ``snapshots`` as witnesses (``clock`` as above). A reply has no time of its own: our clock's
        counts on the business date itself (a day of last year may be played today), else the broker's."""
        series, batch = self._series_of(batch)
        recv, told = _ints(batch, "ts_recv"), _clock_at(clock, _ints(batch, "lsn"))
        ts = np.where(recv < self.bounds[series, 2], recv, told)
        level = self._level(series, np.maximum(ts, told))
        self._take_witnesses(series, batch, _won(_ints(batch, "cum_value")), level, kernel.W_POLL)

    def _take_witnesses(self, series: Ints, batch: pa.RecordBatch, value: Ints, level: Ints, place: int) -> None:
        volume, recv, lsn = _ints(batch, "cum_volume"), _ints(batch, "ts_recv"), _ints(batch, "lsn")
        kernel.take_witnesses(series, volume, value, level, recv, lsn, place, self.rows)

    def _level(self, series: Ints, ts: Ints) -> Ints:
        bounds = self.bounds[series]
        return (ts >= bounds[:, 0]).astype(np.int64) + (ts >= bounds[:, 1])

    def _series_of(self, batch: pa.RecordBatch) -> tuple[Ints, pa.RecordBatch]:
        """The number of each row's series; rows that name none are left out."""
        columns = [batch.column(name) for name in ("date", "scope", "symbol")]
        if any(column.null_count for column in columns):
            valid = np.logical_and.reduce([column.is_valid().to_numpy(zero_copy_only=False) for column in columns])
            batch = batch.filter(pa.array(valid))
            columns = [batch.column(name) for name in ("date", "scope", "symbol")]
        (dates, days), (scopes, venues), (symbols, listed) = map(_codes, columns)
        pair = (dates * len(venues) + scopes) * len(listed) + symbols
        known = [self._numbers.get((day, venue), {}) for day in days for venue in venues]
        table = np.array([numbers.get(symbol, -1) for numbers in known for symbol in listed], np.int64)
        used = np.flatnonzero(np.bincount(pair, minlength=len(table)))
        for code in used[table[used] < 0].tolist():
            rest, symbol = divmod(code, len(listed))
            day, venue = divmod(rest, len(venues))
            table[code] = self.number((days[day], venues[venue], listed[symbol]))
        return table[pair], batch

    # --- room ---------------------------------------------------------------------------------------------------

    def _make_room(self, count: int) -> None:
        more = count - len(self.rows)
        rows = np.zeros((more, kernel.FIELDS), np.int64)
        rows[:, _UNKNOWN_AT_FIRST] = kernel.NULL
        rows[:, [kernel.HOLE, kernel.EVICTED, *_NO_WITNESS]] = -1
        rows[:, [kernel.LAST_LSN]] = -1
        self.rows = np.concatenate([self.rows, rows])
        ring = np.zeros((more, kernel.RING, kernel.RING_FIELDS), np.int64)
        self.rings = np.concatenate([self.rings, ring])
        self.bounds = np.concatenate([self.bounds, np.zeros((more, 3), np.int64)])

    def _more_holes(self) -> None:
        had = len(self.holes)
        more = max(1024, had)
        fresh = np.zeros((more, kernel.HOLE_FIELDS), np.int64)
        fresh[:, kernel.NEXT] = np.arange(had + 1, had + more + 1)
        fresh[-1, kernel.NEXT] = self.pool[kernel.POOL_FREE]
        self.holes = np.concatenate([self.holes, fresh])
        self.pool[kernel.POOL_FREE] = had


_UNKNOWN_AT_FIRST: Final = [
    kernel.LAST_TS, kernel.LAST_RECV, kernel.FIRST, kernel.S_HI, kernel.REST_HI, kernel.ZERO_LSN,
    kernel.W_BOOK + kernel.W_VALUE, kernel.W_POLL + kernel.W_VALUE,
]  # fmt: skip
"""At volume 0 value and counts are 0, and so known."""
_NO_WITNESS: Final = [kernel.W_BOOK, kernel.W_POLL]


def _codes(column: pa.Array) -> tuple[Ints, list[str]]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _ints(batch: pa.RecordBatch, name: str) -> Ints:
    column = batch.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    if column.null_count:
        column = column.fill_null(kernel.NULL)
    # Writable copies: numba would refuse read-only ones.
    return np.array(column.to_numpy(zero_copy_only=False), dtype=np.int64)


def _won(values: Ints) -> Ints:
    fits = (values >= 0) & (values <= _MOST_WON)
    return np.where(fits, np.where(fits, values, 0) * _HUNDREDTHS, kernel.NULL)


def _prices(column: pa.Array) -> Ints:
    won = column.to_numpy(zero_copy_only=False)
    fits = (won > 0) & (won < 1e12)  # of a NaN, which is a null here, neither is true
    return np.where(fits, np.rint(np.where(fits, won, 0) * _HUNDREDTHS), kernel.NULL).astype(np.int64)


def _sum(buys: Ints, sells: Ints) -> Ints:
    fits = (buys >= 0) & (sells >= 0) & (buys < _MOST_COUNT) & (sells < _MOST_COUNT)
    return np.where(fits, np.where(fits, buys, 0) + np.where(fits, sells, 0), kernel.NULL)


def _clock_at(clock: Ints, lsn: Ints) -> Ints:
    told: Ints = clock[np.maximum(np.searchsorted(clock[:, 0], lsn, side="right") - 1, 0), 1]
    return told


def _flags(column: pa.Array, wanted: tuple[str, ...]) -> Ints:
    """1 where a text is among ``wanted``, else 0."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    table = np.array([text in wanted for text in encoded.dictionary.to_pylist()] + [False], np.int64)
    indices = encoded.indices
    if indices.null_count:
        indices = indices.fill_null(len(table) - 1)
    return np.ascontiguousarray(table[indices.to_numpy(zero_copy_only=False)])
