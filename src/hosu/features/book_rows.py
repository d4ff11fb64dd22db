"""Quotes and trades of a batch from the log, as the order book's kernel takes them.

What ``book_events`` reads out of the lake, on the stream. Whoever changes one of them changes the other; tests hold
them against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.features import book_kernel as kernel
from hosu.features.book_events import LEVELS
from hosu.market.bars import MOST_PRICE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BookRows:
    """Quotes and trades of one scope in the order of the log; ``n`` events.

    Attributes:
        dates, symbols: what ``date`` and ``symbol`` count, each once; some may not occur.
        lsn: (n,) record of the log.
        date: (n,) place in ``dates``.
        symbol: (n,) place in ``symbols``.
        events: (n, ``book_kernel.EVENT``), but for the series, which is 0.
    """

    dates: list[str]
    symbols: list[str]
    lsn: Ints
    date: Ints
    symbol: Ints
    events: Ints

    @classmethod
    def of(cls, tables: Mapping[str, pa.RecordBatch], after_lsn: int, scope: str) -> Self | None:
        """What lies behind the record ``after_lsn`` and is of that scope, was received live, and can be an event; None
        for nothing."""
        parts = [_part(tables.get(name), after_lsn, scope, make) for name, make in _MAKERS.items()]
        found = [part for part in parts if part is not None]
        if not found:
            return None
        table = pa.Table.from_batches([part[0] for part in found]).unify_dictionaries().combine_chunks()
        (rows,) = table.to_batches()
        events = np.concatenate([part[1] for part in found])
        lsn, number = (_numbers(rows.column(name), np.int64) for name in ("lsn", "record_no"))
        order = np.lexsort((number, lsn))
        (dates, date), (symbols, symbol) = (_coded(rows.column(name)) for name in ("date", "symbol"))
        return cls(dates, symbols, lsn[order], date[order], symbol[order], np.ascontiguousarray(events[order]))

    def days(self, first: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Runs of one date among the events ``first <= event < end``: (date, first, end)."""
        cuts = np.flatnonzero(np.diff(self.date[first:end])) + first + 1
        for begin, behind in pairwise([first, *cuts.tolist(), end]):
            if behind > begin:
                yield self.dates[int(self.date[begin])], begin, behind


_KEYS: Final = ("date", "symbol", "lsn", "record_no")


def _part(rows: pa.RecordBatch | None, after_lsn: int, scope: str, make: Any) -> tuple[pa.RecordBatch, Ints] | None:
    """The keys of the rows that are events, and the events."""
    if rows is None:
        return None
    wanted = _where(rows, "scope", lambda each: each == scope) & (_numbers(rows.column("lsn"), np.int64) > after_lsn)
    for name in ("symbol", "date", "ts_event"):
        if rows.column(name).null_count:
            wanted &= rows.column(name).is_valid().to_numpy(zero_copy_only=False)
    rows = rows if wanted.all() else rows.filter(pa.array(wanted))
    if rows.num_rows:
        events, are = make(rows)
        rows, events = (rows, events) if are.all() else (rows.filter(pa.array(are)), events[are])
    if not rows.num_rows:
        return None
    micros = rows.column("ts_event").view(pa.int64()).to_numpy()
    events[:, kernel.SECOND] = micros // 1_000_000
    return rows.select(_KEYS), events


def _quotes(rows: pa.RecordBatch) -> tuple[Ints, Flags]:
    """(n, EVENT) events of rows of ``quotes``, all of them."""
    events = np.zeros((rows.num_rows, kernel.EVENT), np.int64)
    events[:, kernel.KIND] = kernel.QUOTE
    events[:, kernel.MODE] = np.where(_is_continuous(rows), kernel.CONTINUOUS, kernel.AUCTION)
    for side, price, size, five in (
        ("bid", kernel.BID, kernel.BID_SIZE, kernel.BID_5),
        ("ask", kernel.ASK, kernel.ASK_SIZE, kernel.ASK_5),
    ):
        prices = _levels(rows.column(f"{side}_prices"), np.float64)
        sizes = np.maximum(_levels(rows.column(f"{side}_sizes"), np.int64), 0)
        events[:, price] = _hundredths(prices[:, 0])
        events[:, size] = sizes[:, 0]
        events[:, five] = np.where(np.isfinite(prices) & (prices > 0.0), sizes, 0).sum(axis=1)
    return events, np.ones(rows.num_rows, np.bool_)


def _trades(rows: pa.RecordBatch) -> tuple[Ints, Flags]:
    """(n, EVENT) events of rows of ``trades``, and which of them are any."""
    events = np.zeros((rows.num_rows, kernel.EVENT), np.int64)
    events[:, kernel.KIND] = kernel.TRADE
    auction = ~_is_continuous(rows) | _where(rows, "side", lambda side: side == "pre_open")
    events[:, kernel.MODE] = np.where(auction, kernel.AUCTION, kernel.CONTINUOUS)
    events[_where(rows, "mkop_code", lambda code: code[1:2] in {"2", "3"}), kernel.MODE] = kernel.BESIDE
    events[:, kernel.PRICE] = _hundredths(_numbers(rows.column("price"), np.float64))
    events[:, kernel.SIZE] = _numbers(rows.column("size"), np.int64)
    events[_where(rows, "side", lambda side: side == "buy"), kernel.SIDE] = 1
    events[_where(rows, "side", lambda side: side == "sell"), kernel.SIDE] = -1
    events[:, kernel.CUM_VOLUME] = np.maximum(_numbers(rows.column("cum_volume"), np.int64), 0)
    live = ~_where(rows, "source", lambda source: source == "rest")
    return events, live & (events[:, kernel.PRICE] > 0) & (events[:, kernel.SIZE] > 0)


_MAKERS: Final = {"quotes": _quotes, "trades": _trades}


def _hundredths(won: npt.NDArray[np.float64]) -> Ints:
    good = np.isfinite(won) & (won >= 0.0) & (won <= MOST_PRICE)
    return np.floor(np.where(good, won, 0.0) * 100.0 + 0.5).astype(np.int64)


def _levels(column: pa.ListArray, kind: Any) -> npt.NDArray[Any]:
    """(n, LEVELS) the first entries of each list; 0 where there is none."""
    values, offsets = _numbers(column.values, kind), column.offsets.to_numpy()
    lengths = pc.fill_null(column.value_lengths(), 0).to_numpy()
    place = np.arange(LEVELS)
    if not len(values):
        return np.zeros((len(column), LEVELS), kind)
    taken = values[np.minimum(offsets[:-1, None] + place, len(values) - 1)]
    return np.where(place < lengths[:, None], taken, 0)


def _numbers(column: pa.Array, kind: Any, *, null: int = 0) -> npt.NDArray[Any]:
    """Values; ``null`` where there is none."""
    filled = pc.fill_null(column, null) if column.null_count else column
    return np.asarray(filled.to_numpy(zero_copy_only=False), kind)


def _is_continuous(rows: pa.RecordBatch) -> Flags:
    return _where(rows, "hour_code", lambda code: code in {"0", ""}, null=True)


def _where(rows: pa.RecordBatch, name: str, holds: Callable[[str], bool], *, null: bool = False) -> Flags:
    """(n,) where it holds of the text in that column; ``null`` where there is none."""
    texts, codes = _coded(rows.column(name))
    truth = np.array([*(null if text is None else holds(text) for text in texts), null], np.bool_)
    return truth[codes]


def _coded(column: pa.Array) -> tuple[list[str], Ints]:
    """The different texts, and (n,) which of them each row has; -1 for none."""
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return encoded.dictionary.to_pylist(), _numbers(encoded.indices, np.int64, null=-1)
