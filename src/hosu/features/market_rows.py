"""Trades and polls of a batch as arrays: of one scope, whole, and behind a place in the log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.market.bars import LEAST_PRICE, MOST_PRICE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class MarketRows:
    """Trades, or polls of the current price, in the order of the log; ``n`` rows.

    Attributes:
        symbols, dates: what ``symbol`` and ``date`` count, each once; of the dates some may not occur.
        lsn: (n,) record of the log.
        symbol: (n,) place in ``symbols``.
        date: (n,) place in ``dates``.
        cum: (n,) cumulative volume of the day.
        price: (n,) won.
        ts: (n,) when it happened, of a poll when it came, UTC microseconds.
        size: (n,) shares; of a poll none.
    """

    symbols: list[str]
    dates: list[str]
    lsn: Ints
    symbol: Ints
    date: Ints
    cum: Ints
    price: Floats
    ts: Ints
    size: Ints

    def __len__(self) -> int:
        return len(self.lsn)

    @classmethod
    def trades(cls, rows: pa.RecordBatch | None, after_lsn: int, scope: str) -> Self | None:
        """The trades among ``rows`` (table ``trades``) behind ``after_lsn``; one without price, size, time or
        cumulative volume is left out, as in the bars that are built of them. None for none."""
        return cls._of(rows, after_lsn, scope, (*_NUMBERS, ("ts_event", np.int64), ("size", np.int64)))

    @classmethod
    def polls(cls, rows: pa.RecordBatch | None, after_lsn: int, scope: str) -> Self | None:
        """The polls among ``rows`` (table ``snapshots``) behind ``after_lsn``; one without price or cumulative volume
        is left out. None for none."""
        return cls._of(rows, after_lsn, scope, (*_NUMBERS, ("ts_recv", np.int64)))

    @classmethod
    def _of(
        cls, rows: pa.RecordBatch | None, after_lsn: int, scope: str, numbers: Sequence[tuple[str, Any]]
    ) -> Self | None:
        if rows is None:
            return None
        rows = _whole(rows, ("symbol", "scope", "date", *(name for name, _ in numbers)))
        scopes, scope_of = _coded(rows.column("scope"))
        lsn = _numbers(rows, "lsn", np.int64)
        price = _numbers(rows, "price", np.float64)
        keep = (lsn > after_lsn) & (price >= LEAST_PRICE) & (price <= MOST_PRICE)
        if scopes != [scope]:
            keep &= scope_of == (scopes.index(scope) if scope in scopes else -1)
        if not keep.any():
            return None
        dates, date = _coded(rows.column("date"))
        arrays: list[Any] = [lsn, date, *(_numbers(rows, name, kind) for name, kind in numbers)]
        if not keep.all():
            arrays = [values[keep] for values in arrays]
        symbols, symbol = _occurring(rows.column("symbol"), keep)
        lsns, days, cum, price, ts, *size = arrays
        return cls(symbols, dates, lsns, symbol, days, cum, price, ts, size[0] if size else np.zeros(0, np.int64))

    def day_begins(self) -> list[int]:
        """The records at which the date changes."""
        changes: list[int] = self.lsn[np.flatnonzero(np.diff(self.date)) + 1].tolist()
        return changes

    def firsts(self, date: str, symbols: Collection[str]) -> list[int]:
        """The records of the first rows of these symbols on a date."""
        mine = self.date == self.dates.index(date)
        places = [np.flatnonzero(mine & (self.symbol == self.symbols.index(symbol))) for symbol in symbols]
        return [int(self.lsn[place[0]]) for place in places if place.size]

    def days(self, first: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Runs of one date among the rows ``first <= row < end``: (date, first, end)."""
        cuts = np.flatnonzero(np.diff(self.date[first:end])) + first + 1
        for begin, behind in pairwise([first, *cuts.tolist(), end]):
            if behind > begin:
                yield self.dates[int(self.date[begin])], begin, behind


_NUMBERS: Final = (("cum_volume", np.int64), ("price", np.float64))


def _whole(rows: pa.RecordBatch, needed: Sequence[str]) -> pa.RecordBatch:
    lacking = [name for name in needed if rows.column(name).null_count]
    for name in lacking:
        rows = rows.filter(pc.is_valid(rows.column(name)))
    return rows


def _occurring(column: pa.Array, keep: npt.NDArray[np.bool_]) -> tuple[list[str], Ints]:
    """The different values of the rows kept, and which of them each row has. A batch of few rows may come with a
    dictionary of all symbols."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)[keep]
    occurs = np.zeros(len(encoded.dictionary), np.bool_)
    occurs[codes] = True
    numbers = np.cumsum(occurs) - 1
    return encoded.dictionary.take(pa.array(np.flatnonzero(occurs))).to_pylist(), numbers[codes]


def _coded(column: pa.Array) -> tuple[list[str], Ints]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), np.array(encoded.indices.to_numpy(zero_copy_only=False), np.int64)


def _numbers(rows: pa.RecordBatch, name: str, kind: Any) -> Any:
    column = rows.column(name)
    if pa.types.is_timestamp(column.type):
        column = column.view(pa.int64())
    # Writable copies: numba takes no others.
    return np.array(column.to_numpy(zero_copy_only=False), dtype=kind)
