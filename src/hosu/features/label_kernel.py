"""Windows over each symbol's bars, and how much labels overlap; compiled by numba.

Each result depends only on the rows of its window, in their order: no sum runs on from row to row, so the same rows
give the same bits wherever a series starts or ends.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

WINDOW: Final = 20
"""Returns in the volatility, and days in the median value."""


@njit
def _deviation(window, oldest):  # type: ignore[no-untyped-def]
    # From the oldest to the newest, so that the sums do not depend on where in the ring it lies.
    total = 0.0
    for at in range(WINDOW):
        total += window[(oldest + at) % WINDOW]
    mean = total / WINDOW
    squares = 0.0
    for at in range(WINDOW):
        off = window[(oldest + at) % WINDOW] - mean
        squares += off * off
    return np.sqrt(squares / (WINDOW - 1))


@njit(["void(int64[::1], int64[::1], float64[::1], boolean[::1], float64[::1], float64[::1])"], cache=True, nogil=True)
def returns_and_volatility(  # type: ignore[no-untyped-def]  # noqa: PLR0917 - compiled code takes arrays by position
    starts, close, factor, counts, returns, volatility
):
    """Fills (n,) returns of the last bar, and the sample deviation of the last 20 that count; NaN without.

    ``counts`` (n,) says over which bars a return means something.
    """
    window = np.empty(WINDOW)
    for symbol in range(len(starts) - 1):
        kept = 0
        for row in range(starts[symbol], starts[symbol + 1]):
            returns[row] = np.nan
            if row > starts[symbol] and close[row - 1] > 0:
                move = close[row] / (close[row - 1] * factor[row]) - 1.0
                if counts[row]:
                    window[kept % WINDOW] = move
                    kept += 1
                    returns[row] = move
            volatility[row] = _deviation(window, kept % WINDOW) if kept >= WINDOW else np.nan


@njit
def _with(ordered, count, value):  # type: ignore[no-untyped-def]
    place = count
    while place > 0 and ordered[place - 1] > value:
        ordered[place] = ordered[place - 1]
        place -= 1
    ordered[place] = value
    return count + 1


@njit
def _without(ordered, count, value):  # type: ignore[no-untyped-def]
    place = 0
    while ordered[place] != value:
        place += 1
    for at in range(place, count - 1):
        ordered[at] = ordered[at + 1]
    return count - 1


@njit(["void(int64[::1], float64[::1], int64, float64[::1])"], cache=True, nogil=True)
def medians(starts, values, least, found):  # type: ignore[no-untyped-def]
    """Fills (n,) the median of each row's and the 19 values before it, of those there are; NaN of fewer than
    ``least``."""
    ordered = np.empty(WINDOW)
    for symbol in range(len(starts) - 1):
        count = 0
        for row in range(starts[symbol], starts[symbol + 1]):
            gone = row - WINDOW
            if gone >= starts[symbol] and not np.isnan(values[gone]):
                count = _without(ordered, count, values[gone])
            if not np.isnan(values[row]):
                count = _with(ordered, count, values[row])
            if count < least:
                found[row] = np.nan
            else:
                found[row] = (ordered[(count - 1) // 2] + ordered[count // 2]) / 2.0


@njit(["void(int64[::1], int64[::1], int64[::1], float64[::1])"], cache=True, nogil=True)
def average_uniqueness(first, last, concurrent, weight):  # type: ignore[no-untyped-def]
    """Fills (n,) the mean over slots ``first <= s <= last`` of 1 / labels there; 0 where ``first`` is negative.

    ``concurrent`` (slots,) zeros, becomes how many labels cover each slot.
    """
    for row in range(len(first)):
        if first[row] >= 0:
            for slot in range(first[row], last[row] + 1):
                concurrent[slot] += 1
    for row in range(len(first)):
        weight[row] = 0.0
        if first[row] >= 0:
            total = 0.0
            for slot in range(first[row], last[row] + 1):
                total += 1.0 / concurrent[slot]
            weight[row] = total / (last[row] + 1 - first[row])
