"""Minutes as they were at an instant: the bars that were over, and of the one being made what had traded by then."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
import pyarrow as pa

from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from hosu.features.facts_of_lake import DayFacts


class AsOf(NamedTuple):
    """An instant of a date, UTC microseconds, and by symbol the first price of the minute in which it lies, hundredths
    of a won, of those that had traded in it before."""

    us: int
    opened: dict[str, int]

    @classmethod
    def of(cls, us: int, facts: DayFacts) -> Self:
        """Of what is known of the date before the instant."""
        trades = facts.trades
        mine = np.flatnonzero((trades.ts >= _minute(us)) & (trades.value > 0))[::-1]  # the first comes last, and stays
        names, prices = trades.symbol[mine].tolist(), trades.value[mine].tolist()
        return cls(us, {facts.names[name]: price for name, price in zip(names, prices, strict=True)})

    def known(self, rows: pa.Table) -> pa.Table:
        """Of bars (symbol, ts, prices in hundredths, volume, value) those that had begun, in the same order.

        The one being made has one trade, at its first price, and no value: what else it will hold is not known yet.
        Whose first trade is not known has none.
        """
        ts = np.asarray(rows.column("ts").to_numpy(), np.int64)
        opened = np.array([self.opened.get(symbol, 0) for symbol in rows.column("symbol").to_pylist()], np.int64)
        now = (ts == _minute(self.us)) & (opened > 0)
        kept = now | (ts < _minute(self.us))
        rows, now, opened = rows.filter(pa.array(kept)), now[kept], opened[kept]
        for name in ("open", "high", "low", "close"):
            rows = _with(rows, name, np.where(now, opened, _ints(rows, name)))
        rows = _with(rows, "volume", np.where(now, 1, _ints(rows, "volume")))
        value = np.asarray(rows.column("value").cast(pa.float64()).fill_null(np.nan).to_numpy(), np.float64)
        return _with(rows, "value", np.where(now, np.nan, value))


def _minute(us: int) -> int:
    return us // MINUTE_US * MINUTE_US


def _ints(rows: pa.Table, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.asarray(rows.column(name).fill_null(0).to_numpy(), np.int64)


def _with(rows: pa.Table, name: str, values: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, pa.array(values))
