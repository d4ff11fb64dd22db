"""Bars of days, minutes and, where they are asked for, seconds; one date at a time, each replaced as a whole.

They are made from trades; where there are none, from the next best source (``lake.best_bars``).

A trade counts once, by its identity (date, scope, symbol, cumulative volume), whatever was received twice. Within a
symbol and scope trades are ordered by cumulative volume: the first is the open, the last the close. Which session a
trade belongs to is asked of the calendar; a trade outside all sessions is in ``session_set`` ``unclassified``.
A minute bar holds the trades with ``ts <= ts_event < ts + 60 s``: the closing auction's lie in minute 15:30. A bar of a
second holds those of its second, and is made of trades alone.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date as Date  # noqa: N812 - `date` is the partition's name everywhere here
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hosu.clock import SystemClock
from hosu.errors import MarketError, TableCorruptError
from hosu.lake.bar_sources import DAY_BARS, MINUTE_BARS, SECOND_BARS, BarSources, built_mark
from hosu.lake.best_bars import best_bars
from hosu.lake.compact import is_compact
from hosu.lake.derived import replace_date
from hosu.lake.sql import SqlConfig, sorted_batches
from hosu.market.bars import LEAST_PRICE, MINUTE_US, MOST_PRICE, TRADES_CLOSED, BarSource
from hosu.market.calendar import closing_us, instant_us, session_windows
from hosu.market.day_plan import Scope, Session
from hosu.market.events import TIMESTAMP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]

_COLUMNS: Final = ("symbol", "scope", "cum_volume", "price", "size", "ts_event")
_ORDER: Final = ("symbol", "scope", "cum_volume")
_SESSIONS: Final = tuple(Session)
_UNCLASSIFIED: Final = "unclassified"
_OF_TRADES: Final = [BarSource.TRADES.value, TRADES_CLOSED]
SECOND_US: Final = 1_000_000
_READ_AHEAD: Final = 3  # row groups, about 15 MB each


@dataclass(frozen=True, slots=True)
class BarsBuilt:
    """What was built of one date. ``trades`` went into bars; ``duplicates`` and ``incomplete`` did not.

    A trade is incomplete without price, size, time or cumulative volume, or with what is no price. ``sources`` counts
    the bars of all intervals by where they come from; a table whose sources had not changed was left as it was and
    counts nothing.
    """

    date: str
    trades: int
    duplicates: int
    incomplete: int
    minute_bars: int
    day_bars: int
    revision: int
    sources: dict[str, int] = field(default_factory=dict)
    second_bars: int = 0


def build(
    lake: Lake,
    dates: Iterable[str] | None = None,
    *,
    seconds: bool = False,
    sort: SqlConfig | None = None,
    clock: Clock | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[BarsBuilt]:
    """Builds ``processed_ohlcv_1m`` and ``processed_ohlcv`` of these dates, or of all whose sources have changed.

    Bars of a second (``processed_ohlcv_1s``) are up to sixty times as many rows, so they are made only with
    ``seconds``. Of a date that has some they are kept up to date without it too: no table is left behind.

    Memory: the bars of one date, and the sort of its trades where they are not compacted yet (``sort``).

    Raises:
        LockedError: somebody else is building now.
        TableCorruptError: a data file cannot be read.
    """
    clock = clock or SystemClock()
    opened_us = clock.now_us()
    sources = BarSources.open(lake)
    if dates is None:
        chosen = sources.stale(seconds=seconds)
    else:
        chosen = {date: sources.touched(date, seconds=seconds) for date in sorted(set(dates))}
    job = _Job(lake, sources, opened_us, sort or SqlConfig(), clock)
    built = []
    for date, names in chosen.items():
        if progress is not None:
            progress(date)
        built.append(job.run(date, names))
    job.finish()
    return built


class _Job:
    """Builds date after date; ``finish`` notes those that came out without a bar, all in one commit."""

    def __init__(self, lake: Lake, sources: BarSources, opened_us: int, sort: SqlConfig, clock: Clock) -> None:
        self._lake, self._sources, self._sort, self._clock = lake, sources, sort, clock
        self._opened_us = opened_us
        self._empty: dict[str, dict[str, int]] = {}

    def run(self, date: str, names: Sequence[str]) -> BarsBuilt:
        """Builds these tables' bars of a date."""
        bars = self._bars(date, SECOND_US if names == [SECOND_BARS] else MINUTE_US)
        revision = 1 + max(self._sources.revision(name, date) for name in names)
        made: dict[str, int] = {}
        counts: Counter[str] = Counter()
        for name in names:
            finer = name == SECOND_BARS and bars.interval_us != SECOND_US
            rows = self._rows(name, date, self._bars(date, SECOND_US) if finer else bars, revision)
            made[name] = rows.num_rows
            counts.update({row["values"]: row["counts"] for row in pc.value_counts(rows.column("source")).to_pylist()})
        return BarsBuilt(
            date,
            bars.trades,
            bars.duplicates,
            bars.incomplete,
            made.get(MINUTE_BARS, 0),
            made.get(DAY_BARS, 0),
            revision=revision,
            sources=dict(counts),
            second_bars=made.get(SECOND_BARS, 0),
        )

    def _bars(self, date: str, interval_us: int) -> Bars:
        trades, files = self._sources.table("trades"), self._sources.files("trades", date)
        if trades is None or not files:
            return Bars(date, interval_us)
        return bars_of(self._lake, trades, date, files, self._sort, interval_us=interval_us)

    def _rows(self, name: str, date: str, bars: Bars, revision: int) -> pa.Table:
        ours = bars.days(revision) if name == DAY_BARS else bars.intervals(revision)
        sources, marks = self._sources, self._sources.marks(name, date)
        rows = best_bars(self._lake, name, date, ours, sources=sources, revision=revision, config=self._sort)
        if rows.num_rows or sources.files(name, date):
            built = {built_mark(date): self._opened_us}
            replace_date(self._lake, name, date, rows, clock=self._clock, covers=marks | built)
        else:
            self._empty.setdefault(name, {}).update(marks)
        return rows

    def finish(self) -> None:
        """Notes the dates without a bar as done."""
        for name, marks in self._empty.items():
            if marks:
                table = self._lake.table(name)
                table.append([], marks)
                table.sync()


def bars_of(
    lake: Lake, trades: Table, date: str, files: list[DataFile], sort: SqlConfig, *, interval_us: int = MINUTE_US
) -> Bars:
    """The bars of the trades in ``files``, all of ``date``."""
    if is_compact(files):
        bars = Bars(date, interval_us)
        if bars.add_all(_in_file_order(lake, trades, files)):
            return bars
    bars = Bars(date, interval_us)
    in_order = bars.add_all(sorted_batches(lake.storage, trades, files, columns=_COLUMNS, order=_ORDER, config=sort))
    assert in_order, "sorted trades are in order"
    return bars


def _in_file_order(lake: Lake, trades: Table, files: list[DataFile]) -> Iterator[pa.RecordBatch]:
    # Read ahead in threads (pyarrow lets go of the interpreter) while the kernel works on what came before.
    with ThreadPoolExecutor(2, thread_name_prefix="bars-read") as pool:
        groups = _row_groups(lake, trades, sorted(files, key=lambda file: file.path))
        ahead: list[Future[pa.Table]] = [pool.submit(read) for read in islice(groups, _READ_AHEAD)]
        while ahead:
            table = ahead.pop(0).result()
            ahead.extend(pool.submit(read) for read in islice(groups, 1))
            yield from table.combine_chunks().to_batches()


def _row_groups(lake: Lake, trades: Table, files: list[DataFile]) -> Iterator[Callable[[], pa.Table]]:
    for file in files:
        address = lake.storage.address(trades.path(file))
        source = address if lake.storage.is_local else pa.py_buffer(lake.storage.get(trades.path(file)))
        with _named_if_damaged(address):
            count = pq.ParquetFile(source).num_row_groups
        for group in range(count):
            yield partial(_read_group, source, group, address)


def _read_group(source: Any, group: int, address: str) -> pa.Table:
    with _named_if_damaged(address):
        file = pq.ParquetFile(source, read_dictionary=["symbol", "scope"])
        return file.read_row_group(group, columns=list(_COLUMNS), use_threads=False)


@contextmanager
def _named_if_damaged(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise TableCorruptError("trades", address, str(error).splitlines()[0]) from error


class Bars:
    """The bars of one date, filled with trades in order of (symbol, scope, cumulative volume).

    Args:
        date: the business date.
        interval_us: of the bars shorter than a day.
    """

    def __init__(self, date: str, interval_us: int = MINUTE_US) -> None:
        from hosu.lake import bars_kernel as kernel

        self.incomplete = 0
        self.interval_us = interval_us
        self._date = date
        self._kernel = kernel
        self._state = np.zeros(kernel.STATE, np.int64)
        self._state[kernel.AT_SERIES] = -1
        self._series: dict[tuple[str, str], int] = {}
        self._windows, self._of_scope = _windows(date)
        self._of_series = np.zeros((0, 2), np.int64)
        self._closed = np.zeros(0, np.bool_)
        self._intervals = np.zeros((0, kernel.WIDTH), np.int64)
        self._days = np.zeros((0, kernel.WIDTH), np.int64)

    @property
    def n_intervals(self) -> int:
        return int(self._state[self._kernel.N_SLOT])

    @property
    def n_days(self) -> int:
        return int(self._state[self._kernel.N_DAY])

    @property
    def duplicates(self) -> int:
        return int(self._state[self._kernel.DUPLICATES])

    @property
    def trades(self) -> int:
        return int(self._days[: self.n_days, self._kernel.POINTS].sum())

    def add_all(self, batches: Iterable[pa.RecordBatch]) -> bool:
        """Adds trades: symbol, scope, cum_volume, price, size, ts_event. False where their order breaks."""
        return all(self._add(batch) for batch in batches)

    def _add(self, batch: pa.RecordBatch) -> bool:
        rows = self._complete(batch)
        series = self._series_of(rows)
        self._intervals = _with_room(self._intervals, self.n_intervals + len(rows))
        self._days = _with_room(self._days, self.n_days + len(rows))
        broken_at = self._kernel.fill_bars(
            series,
            _array(rows, "cum_volume", np.int64),
            _array(rows, "price", np.float64),
            _array(rows, "size", np.int64),
            _array(rows, "ts_event", np.int64),
            self._windows,
            self._of_series,
            self._closed,
            self._state,
            self.interval_us,
            self._intervals,
            self._days,
        )
        return bool(broken_at < 0)

    def _complete(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        price = batch.column("price").to_numpy(zero_copy_only=False)  # a null is no number
        whole = (price >= LEAST_PRICE) & (price <= MOST_PRICE)
        for name in _COLUMNS:
            if batch.column(name).null_count:
                whole &= batch.column(name).is_valid().to_numpy(zero_copy_only=False)
        if whole.all():
            return batch
        rows = batch.filter(pa.array(whole))
        self.incomplete += len(batch) - len(rows)
        return rows

    def _series_of(self, rows: pa.RecordBatch) -> Ints:
        symbols, scopes = _codes(rows.column("symbol")), _codes(rows.column("scope"))
        table = np.full((len(symbols[1]), len(scopes[1])), -1, np.int64)
        pair = symbols[0] * len(scopes[1]) + scopes[0]
        for code in np.flatnonzero(np.bincount(pair, minlength=table.size)):
            at = divmod(int(code), len(scopes[1]))
            table[at] = self._series.setdefault((symbols[1][at[0]], scopes[1][at[1]]), len(self._series))
        self._grow_series()
        return np.ascontiguousarray(table.reshape(-1)[pair])

    def _grow_series(self) -> None:
        known = len(self._closed)
        fresh = [self._of_scope.get(scope, (0, 0)) for _, scope in list(self._series)[known:]]
        if fresh:
            self._of_series = np.concatenate([self._of_series, np.array(fresh, np.int64)])
            self._closed = np.concatenate([self._closed, np.zeros(len(fresh), np.bool_)])

    def intervals(self, revision: int) -> pa.Table:
        """The bars of the interval as rows of ``processed_ohlcv_1m`` or ``_1s``, in its order."""
        bars = self._intervals[: self.n_intervals]
        if self._state[self._kernel.UNSORTED]:
            bars = bars[np.lexsort((bars[:, self._kernel.SLOT], bars[:, self._kernel.SERIES]))]
        return self._table(bars, bars[:, self._kernel.SLOT] * self.interval_us, revision)

    def days(self, revision: int) -> pa.Table:
        """The day bars as rows of ``processed_ohlcv``, in its order; ``ts`` is midnight in Seoul."""
        bars = self._days[: self.n_days]
        midnight = instant_us(Date.fromisoformat(self._date), 0)
        return self._table(bars, np.full(len(bars), midnight, np.int64), revision, self._reach_close(bars))

    def _reach_close(self, days: Ints) -> npt.NDArray[np.int32]:
        """(n,) 1 where a day's bar of KRX's regular session holds trades of its closing auction, else 0."""
        kernel, slots = self._kernel, self._intervals[: self.n_intervals]
        try:
            close_us = closing_us(Date.fromisoformat(self._date))
        except MarketError:
            return np.zeros(len(days), np.int32)
        krx = [at for at, (_, scope) in enumerate(self._series) if scope == Scope.KRX]
        regular = _SESSIONS.index(Session.REGULAR)
        late = (slots[:, kernel.SLOT] * self.interval_us >= close_us) & (slots[:, kernel.SESSION] == regular)
        closed = np.intersect1d(slots[late, kernel.SERIES], krx)
        mine: npt.NDArray[np.bool_] = np.isin(days[:, kernel.SERIES], closed) & (days[:, kernel.SESSION] == regular)
        return mine.astype(np.int32)

    def _table(self, bars: Ints, ts_us: Ints, revision: int, closed: npt.NDArray[np.int32] | None = None) -> pa.Table:
        kernel = self._kernel
        names = list(self._series)
        code = bars[:, kernel.SERIES].astype(np.int32)
        sessions = [*_SESSIONS, _UNCLASSIFIED]
        session = np.where(bars[:, kernel.SESSION] < 0, len(_SESSIONS), bars[:, kernel.SESSION]).astype(np.int32)
        volume, value = bars[:, kernel.VOLUME], bars[:, kernel.VALUE] / 100.0
        # A trade of no shares has a price but nothing to weigh it by.
        vwap = np.divide(value, volume, out=bars[:, kernel.CLOSE] / 100.0, where=volume > 0)
        columns: dict[str, Any] = {
            "symbol": _named(code, [symbol for symbol, _ in names]),
            "scope": _named(code, [scope for _, scope in names]),
            "session_set": _named(session, [str(name) for name in sessions]),
            "ts": pa.array(ts_us).cast(TIMESTAMP),
            "low": pa.array(bars[:, kernel.LOW] / 100.0),
            "high": pa.array(bars[:, kernel.HIGH] / 100.0),
            "open": pa.array(bars[:, kernel.OPEN] / 100.0),
            "close": pa.array(bars[:, kernel.CLOSE] / 100.0),
            "volume": pa.array(np.ascontiguousarray(volume)),
            "value": pa.array(value),
            "vwap": pa.array(vwap),
            "data_points": pa.array(np.ascontiguousarray(bars[:, kernel.POINTS])),
            "source": _named(np.zeros(len(bars), np.int32) if closed is None else closed, _OF_TRADES),
            "revision": pa.array(np.full(len(bars), revision, np.int64)),
        }
        return pa.table(columns)


def _windows(date: str) -> tuple[Ints, dict[str, tuple[int, int]]]:
    rows: list[tuple[int, int, int]] = []
    of_scope: dict[str, tuple[int, int]] = {}
    for scope in Scope:
        try:
            windows = session_windows(Date.fromisoformat(date), scope)
        except MarketError:
            continue  # a day on which this scope does not trade: its trades, if any, stay unclassified
        of_scope[scope.value] = (len(rows), len(rows) + len(windows))
        rows += [(_SESSIONS.index(window.session), window.start_us, window.end_us) for window in windows]
    return np.array(rows, np.int64).reshape(-1, 3), of_scope


def _codes(column: pa.Array) -> tuple[Ints, list[str]]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()


def _array(rows: pa.RecordBatch, name: str, kind: Any) -> Any:
    column = rows.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us")).view(pa.int64())
    # Writable copies: numba would compile a second variant for read-only ones.
    return np.array(column.to_numpy(zero_copy_only=False), dtype=kind)


def _with_room(bars: Ints, rows: int) -> Ints:
    if rows <= len(bars):
        return bars
    grown = np.zeros((max(rows, 2 * len(bars)), bars.shape[1]), np.int64)
    grown[: len(bars)] = bars
    return grown


def _named(codes: npt.NDArray[np.int32], names: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(names, pa.string()))
