"""The trades of a batch as arrays: of one scope, whole, and behind a place in the log."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_NEEDED: Final = ("symbol", "scope", "date", "cum_volume", "price", "size", "ts_event")


@dataclass(frozen=True, slots=True)
class TradeRows:
    """Trades in the order of the log; ``n`` rows.

    Attributes:
        symbols, dates: what ``symbol`` and ``date`` count, each once; of the dates some may not occur.
        lsn: (n,) record of the log.
        symbol: (n,) place in ``symbols``.
        date: (n,) place in ``dates``.
        cum: (n,) cumulative volume of the day.
        price: (n,) won.
        size: (n,) shares.
        ts: (n,) when it happened, UTC microseconds.
    """

    symbols: list[str]
    dates: list[str]
    lsn: Ints
    symbol: Ints
    date: Ints
    cum: Ints
    price: Floats
    size: Ints
    ts: Ints

    def __len__(self) -> int:
        return len(self.lsn)

    @classmethod
    def of(cls, rows: pa.RecordBatch | None, after_lsn: int, scope: str) -> Self | None:
        """The trades among ``rows`` (table ``trades``) behind ``after_lsn``; one without price, size, time or
        cumulative volume is left out. None for none."""
        if rows is None:
            return None
        rows = _whole(rows)
        scopes, scope_of = _coded(rows.column("scope"))
        lsn = _numbers(rows, "lsn", np.int64)
        keep = lsn > after_lsn
        if scopes != [scope]:
            keep &= scope_of == (scopes.index(scope) if scope in scopes else -1)
        if not keep.any():
            return None
        dates, date = _coded(rows.column("date"))
        arrays: list[Any] = [lsn, date, *(_numbers(rows, name, kind) for name, kind in _KINDS)]
        if not keep.all():
            arrays = [values[keep] for values in arrays]
        symbols, symbol = _occurring(rows.column("symbol"), keep)
        return cls(symbols, dates, arrays[0], symbol, *arrays[1:])

    def days(self, first: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Runs of one date among the rows ``first <= row < end``: (date, first, end)."""
        cuts = np.flatnonzero(np.diff(self.date[first:end])) + first + 1
        for begin, behind in pairwise([first, *cuts.tolist(), end]):
            if behind > begin:
                yield self.dates[int(self.date[begin])], begin, behind


_KINDS: Final = (("cum_volume", np.int64), ("price", np.float64), ("size", np.int64), ("ts_event", np.int64))


def _whole(rows: pa.RecordBatch) -> pa.RecordBatch:
    lacking = [name for name in _NEEDED if rows.column(name).null_count]
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
