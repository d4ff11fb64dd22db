"""What a log had told when each minute was closed: whether a served bar is right although batch differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.features.grid import minutes_of, window_of
from hosu.features.reading import rows_of_date
from hosu.features.served import SCOPE
from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import numpy.typing as npt

    from hosu.features.replayed import Rows
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]

_COLUMNS: Final = ("symbol", "lsn", "record_no", "cum_volume", "price", "size", "ts_event")
_POLLED: Final = ("symbol", "lsn", "record_no", "cum_volume", "price", "ts_recv")


class Received:
    """Bars of the trades, or polls where there are none, that came before their minute's close; made in another way
    than they are served.

    Args:
        lake: where the trades are.
        date: business date, ``YYYY-MM-DD``.
        wal_id: the log.
        was: what was served out of it.
        carried: symbols whose close before the day was known.
        symbols: those to look at.
    """

    def __init__(  # noqa: PLR0917 - each is a fact of its own
        self, lake: Lake, date: str, wal_id: str, was: Rows, carried: Collection[str], symbols: Collection[str]
    ) -> None:
        self._grid = set(minutes_of(date).tolist())
        self._start_us, self._end_us = window_of(date)
        self._closed_ts, first = np.unique(was.ts, return_index=True)
        self._closed_lsn = was.lsn[first]
        self._begins = dict.fromkeys(carried, 0)
        for symbol in symbols:
            mine = was.ts[was.symbol == symbol]
            if len(mine):
                self._begins.setdefault(symbol, int(mine[0]))
        self._bars = self._built(_trades(lake, date, wal_id, symbols))
        self._traded = {symbol for symbol, _ in self._bars}
        self._polls = self._polled(_polls(lake, date, wal_id, symbols))

    def explains(self, symbol: str, ts: int, served: tuple[int, int] | None) -> bool:
        """Whether what was served of a minute is what it had to be: (close in hundredths of a won, shares), None for
        no bar."""
        bar = (self._bars if symbol in self._traded else self._polls).get((symbol, ts))
        if bar is not None:
            return served == bar
        if served is not None:
            return served[1] == 0 and ts in self._grid
        return ts not in self._grid or self._begins.get(symbol, ts + 1) > ts

    def _built(self, trades: pa.Table) -> dict[tuple[str, int], tuple[int, int]]:
        names = np.array(trades.column("symbol").to_pylist(), np.str_)
        lsn, cum, size, ts = (_ints(trades, name) for name in ("lsn", "cum_volume", "size", "ts_event"))
        price = np.rint(np.array(trades.column("price").to_numpy(), np.float64) * 100.0).astype(np.int64)
        minute = ts // MINUTE_US * MINUTE_US
        at = np.searchsorted(self._closed_ts, minute)
        closed = np.append(self._closed_lsn, np.iinfo(np.int64).max)[at]
        good = (ts >= self._start_us) & (ts < self._end_us) & (lsn < closed) & (price > 0)
        bars: dict[tuple[str, int], tuple[int, int]] = {}
        for symbol in np.unique(names).tolist():
            mine = np.flatnonzero(names == symbol)
            before = np.concatenate([[0], np.maximum.accumulate(cum[mine])[:-1]])
            for row in mine[(cum[mine] > before) & good[mine]].tolist():
                key = symbol, int(minute[row])
                bars[key] = int(price[row]), bars.get(key, (0, 0))[1] + int(size[row])
        return bars

    def _polled(self, polls: pa.Table) -> dict[tuple[str, int], tuple[int, int]]:
        bars: dict[tuple[str, int], tuple[int, int]] = {}
        reached: dict[str, int] = {}
        rows = (polls.column(name).to_pylist() for name in ("symbol", "lsn", "cum_volume", "price"))
        for symbol, lsn, cum, price, ts in zip(*rows, _ints(polls, "ts_recv").tolist(), strict=True):
            minute = ts // MINUTE_US * MINUTE_US
            at = int(np.searchsorted(self._closed_ts, minute))
            in_time = at == len(self._closed_ts) or lsn < self._closed_lsn[at]
            if not (self._start_us <= ts < self._end_us and in_time and price > 0):
                continue
            known, shares = reached.get(symbol, 0), bars.get((symbol, minute), (0, 0))[1]
            if cum > known or (symbol, minute) in bars:
                bars[symbol, minute] = round(price * 100), shares + max(0, cum - known)
            reached[symbol] = max(cum, known)
        return bars


def _trades(lake: Lake, date: str, wal_id: str, symbols: Collection[str]) -> pa.Table:
    """The log's whole trades in its order."""
    return _told(lake, "trades", date, wal_id, symbols, _COLUMNS)


def _polls(lake: Lake, date: str, wal_id: str, symbols: Collection[str]) -> pa.Table:
    """The log's polls with a price in its order."""
    return _told(lake, "snapshots", date, wal_id, symbols, _POLLED)


def _told(  # noqa: PLR0917 - each is a fact of its own
    lake: Lake, name: str, date: str, wal_id: str, symbols: Collection[str], columns: Sequence[str]
) -> pa.Table:
    table = lake.find(name)
    if table is None:
        return pa.table({name: pa.array([], pa.int64()) for name in columns})
    chosen = (pc.field("wal_id") == wal_id) & (pc.field("scope") == SCOPE) & pc.field("symbol").isin(sorted(symbols))
    for column in columns:
        chosen &= pc.field(column).is_valid()
    rows = rows_of_date(table, date, chosen, ("wal_id", "scope", *columns))
    return rows.sort_by([("lsn", "ascending"), ("record_no", "ascending")])


def _ints(rows: pa.Table, name: str) -> Ints:
    return np.array(rows.column(name).combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
