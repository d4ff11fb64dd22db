"""Trades and polls into the minutes of one day, and a minute's close over all symbols; compiled by numba.

A day is two arrays, (minutes, symbols): the close, 0 where nothing traded yet, and the volume. So a trade that runs
ahead of the closes goes to its own minute like any other. Prices are int64 hundredths of a won, times UTC
microseconds; symbols are numbered by the caller.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from hosu.market.bars import MINUTE_US

TAKEN: Final = 0
DUPLICATE: Final = 1  # not above the cumulative volume that was seen
LATE: Final = 2  # its minute is closed
OUTSIDE: Final = 3  # of another session
COUNTS: Final = 4
"""What became of trades, by place."""


@njit(
    "int64(int64[::1], int64[::1], float64[::1], int64[::1], int64[::1], int64, int64, int64[::1], int64[:,::1], "
    "int64[:,::1], int64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def take(code, cum, price, size, ts_us, start_us, closed, last_cum, close, volume, late, counts):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Takes trades, in the order of the log; returns the latest time among them, 0 for none.

    Args:
        code: the symbols' numbers; -1 is passed over.
        start_us: where the first minute begins.
        closed: minutes before this one are closed.
        last_cum: (symbols,) the highest cumulative volume seen; updated.
        close, volume: (minutes, symbols); updated.
        late: (symbols,) trades that came too late; updated.
        counts: (COUNTS,); updated.
    """
    latest = np.int64(0)
    for i in range(len(code)):
        at = code[i]
        if at < 0:
            continue
        latest = max(latest, ts_us[i])
        if cum[i] <= last_cum[at]:
            counts[DUPLICATE] += 1
            continue
        last_cum[at] = cum[i]
        minute = (ts_us[i] - start_us) // MINUTE_US
        hundredths = np.int64(np.rint(price[i] * 100.0))
        if minute < 0 or minute >= len(close) or hundredths <= 0:
            counts[OUTSIDE] += 1
        elif minute < closed:
            late[at] += 1
            counts[LATE] += 1
        else:
            close[minute, at] = hundredths
            volume[minute, at] += size[i]
            counts[TAKEN] += 1
    return latest


@njit(
    "void(int64[::1], int64[::1], float64[::1], int64[::1], int64, int64, int64[::1], int64[:,::1], int64[:,::1], "
    "int64[::1], int64[::1])",
    cache=True,
    nogil=True,
)
def take_polls(code, cum, price, ts_us, start_us, closed, last_cum, close, volume, late, counts):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """Takes polls of the current price, in the order of the log: what they count further than any before was traded in
    the minute in which they came. One that is late or comes before the open is passed over, and the next one counts
    for it.

    Args:
        code: the symbols' numbers; -1 is passed over.
        ts_us: when they came.
        others: as of ``take``.
    """
    for i in range(len(code)):
        at = code[i]
        if at < 0:
            continue
        minute = (ts_us[i] - start_us) // MINUTE_US
        hundredths = np.int64(np.rint(price[i] * 100.0))
        if minute < 0 or minute >= len(close) or hundredths <= 0:
            counts[OUTSIDE] += 1
        elif minute < closed:
            late[at] += 1
            counts[LATE] += 1
        elif cum[i] > last_cum[at]:
            close[minute, at] = hundredths
            volume[minute, at] += cum[i] - last_cum[at]
            last_cum[at] = cum[i]
            counts[TAKEN] += 1
        elif close[minute, at] > 0:
            close[minute, at] = hundredths


@njit(
    "int64(int64, int64, int64, boolean[::1], int64[:,::1], int64[:,::1], int64[::1], int64[::1], int64[::1], "
    "int64[::1], int64[::1], boolean[::1])",
    cache=True,
    nogil=True,
)
def close_minutes(first, end, symbols, grid, close, volume, last_close, code, minute, price, shares, traded):  # type: ignore[no-untyped-def]  # noqa: PLR0917
    """The bars of the minutes ``first <= m < end``, minute after minute; returns how many.

    Args:
        symbols: how many there are.
        grid: (minutes,) whether the minute has a bar without a trade too.
        close, volume: (minutes, symbols).
        last_close: (symbols,) of the last bar, 0 before the first; updated.
        code, minute, price, shares, traded: the bars; room for (end - first) x symbols.
    """
    count = 0
    for m in range(first, end):
        for at in range(symbols):
            is_traded = close[m, at] > 0
            if not is_traded and not (grid[m] and last_close[at] > 0):
                continue
            if is_traded:
                last_close[at] = close[m, at]
            code[count] = at
            minute[count] = m
            price[count] = last_close[at]
            shares[count] = volume[m, at] if is_traded else 0
            traded[count] = is_traded
            count += 1
    return count
