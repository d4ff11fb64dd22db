"""Panels from a few rows, prices in won."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from hosu.features.dated_rules import DatedRules
from hosu.features.panel import BarPanel, LabelledRows
from hosu.market.calendar import instant_us, sessions_between

Row = tuple[float, ...]


def sessions(count: int, start: date = date(2025, 1, 2)) -> list[int]:
    """The first ``count`` trading days from ``start`` on, yyyymmdd."""
    days = sessions_between(start, date(start.year + 1, 12, 31))[:count]
    return [day.year * 10_000 + day.month * 100 + day.day for day in days]


def midnight(number: int, second: float = 0) -> int:
    return instant_us(date(number // 10_000, number // 100 % 100, number % 100), second)


def panel_of(
    bars: Mapping[str, Sequence[tuple[int, int, Row]]],
    factor: Mapping[tuple[str, int], float] | None = None,
    masked: Sequence[tuple[str, int]] = (),
) -> BarPanel:
    """``bars``: by symbol (date, ts, (open, high, low, close, volume)); the others by symbol and place of its row."""
    symbols = tuple(sorted(bars))
    rows = [(name, place, *row) for name in symbols for place, row in enumerate(bars[name])]
    starts = np.cumsum([0, *(len(bars[name]) for name in symbols)]).astype(np.int64)
    prices = np.array([row[4][:4] for row in rows], np.float64).reshape(-1, 4)
    open_, high, low, close = (np.rint(prices[:, at] * 100).astype(np.int64) for at in range(4))
    keys = [(row[0], row[1]) for row in rows]
    return BarPanel(
        symbols=symbols,
        starts=starts,
        date=np.array([row[2] for row in rows], np.int64),
        ts=np.array([row[3] for row in rows], np.int64),
        open=open_,
        high=high,
        low=low,
        close=close,
        volume=np.array([row[4][4] for row in rows], np.int64),
        value=np.full(len(rows), np.nan),
        factor=np.array([(factor or {}).get(key, 1.0) for key in keys], np.float64),
        masked=np.array([key in masked for key in keys], np.bool_),
    )


def days_of(
    bars: Mapping[str, Sequence[Row | None]],
    days: Sequence[int],
    factor: Mapping[tuple[str, int], float] | None = None,
    masked: Sequence[tuple[str, int]] = (),
) -> BarPanel:
    """Day bars, one a session; None where the symbol has none."""
    made = {
        name: [(day, midnight(day), row) for day, row in zip(days, rows, strict=False) if row is not None]
        for name, rows in bars.items()
    }
    return panel_of(made, factor, masked)


def flat(price: float, volume: int = 100) -> Row:
    """A bar of one price."""
    return (price, price, price, price, volume)


def rules_of(panel: BarPanel) -> DatedRules:
    return DatedRules.of(panel.date, panel.symbol, panel.symbols, None)


def no_features(panel: BarPanel) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.zeros((len(panel), 0))


def row_of(rows: LabelledRows, symbol: str, t: int) -> dict[str, Any]:
    """One row by its symbol and time, each column under its name."""
    found = np.flatnonzero((rows.symbol == rows.symbols.index(symbol)) & (rows.t == t))
    assert len(found) == 1
    names = ("t0", "t1", "t1_session", "session", "price", "ret_px", "ret_ex", "band", "label", "reason", "weight")
    more = ("half_spread", "value_20", "ret_last")
    return {name: getattr(rows, name)[found[0]].item() for name in (*names, *more)}
