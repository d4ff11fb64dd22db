"""What the market kernels stand on: facts, the day so far and the book of every symbol, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.kis.records import pack
from hosu.kis.simulator import market_kernels as kernel
from hosu.market.rules import price_limits, tick_table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from hosu.kis.layouts import Layout
    from hosu.kis.records import Ints
    from hosu.market.instruments import Instrument

_NO_LIMIT: Final = 1 << 60
_TYPICAL_ORDER: Final = 2_000_000  # won


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Arrays as ``market_kernels`` describes them; symbols are numbered by their place in ``instruments``."""

    instruments: tuple[Instrument, ...]
    fixed: Ints
    state: Ints
    book: Ints
    ticks: Ints


def lay_ground(instruments: Sequence[Instrument], day: date, *, limits: bool) -> Ground:
    """The ground before the day begins. Without ``limits`` no price is too high or too low: for recorded bars, whose
    previous close is not known."""
    n = len(instruments)
    fixed = np.zeros((n, kernel.FIXED_WIDTH), np.int64)
    for row, each in zip(fixed, instruments, strict=True):
        row[kernel.F_SYMBOL] = pack(each.symbol)
        row[kernel.F_PREVIOUS_CLOSE] = row[kernel.F_DRIFT] = each.base_price * 100
        row[kernel.F_PREVIOUS_VOLUME] = each.previous_volume
        row[kernel.F_LISTED] = each.listed_shares
        row[kernel.F_UPPER] = _NO_LIMIT
        if limits:
            allowed = price_limits(each.base_price, day, each.market, each.type)
            row[kernel.F_UPPER], row[kernel.F_LOWER] = allowed.upper * 100, allowed.lower * 100
        row[kernel.F_SIZE] = min(2000, max(1, _TYPICAL_ORDER // each.base_price))
    state = np.zeros((n, kernel.STATE_WIDTH), np.int64)
    state[:, kernel.S_EXPECTED] = fixed[:, kernel.F_PREVIOUS_CLOSE]
    return Ground(tuple(instruments), fixed, state, np.zeros((n, 2, 10), np.int64), ticks_on(day))


def ticks_on(day: date) -> Ints:
    """Rows of (price from, tick) in hundredths of a won: the grid of KOSPI, which since 2023 is that of all stocks."""
    table = tick_table(day)
    return np.array([(0, *table.below), table.ticks], np.int64).T.copy() * 100


def codes_of(day: date, codes: tuple[str, str, str], opens: int, closes: int) -> Ints:
    """What the records of a part of the day have in common, as the kernels take it: ``codes`` are NEW_MKOP_CLS_CODE,
    HOUR_CLS_CODE and MARKET_CLS_CODE, ``opens`` and ``closes`` seconds of the day."""
    mkop, hour, market = codes
    yyyymmdd = day.year * 10000 + day.month * 100 + day.day
    return np.array([yyyymmdd, pack(mkop), pack(hour), pack(market), opens, closes], np.int64)


def columns_of(layout: Layout, rows: Ints, codes: Ints) -> dict[str, Ints]:
    """Rows of a kernel by the names of a layout, whose fields stand in the same order; the market code by its name."""
    columns = {field.name: rows[i] for i, field in enumerate(layout.fields)}
    if layout.has("MARKET_CLS_CODE"):
        columns["MARKET_CLS_CODE"] = np.full(rows.shape[1], codes[kernel.C_MARKET], np.int64)
    return columns
