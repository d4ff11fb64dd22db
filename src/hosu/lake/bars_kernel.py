"""One pass over ordered trades that fills minute and day bars; compiled by numba.

Prices are int64 hundredths of a won, values hundredths of a won too, times UTC microseconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

from hosu.market.bars import MINUTE_US

SERIES: Final = 0
SESSION: Final = 1
MINUTE: Final = 2
OPEN: Final = 3
HIGH: Final = 4
LOW: Final = 5
CLOSE: Final = 6
VOLUME: Final = 7
VALUE: Final = 8
POINTS: Final = 9
WIDTH: Final = 10
"""Columns of a bar; MINUTE is minutes since 1970 in UTC, 0 in day bars."""

AT_SERIES: Final = 0
AT_CUM: Final = 1
AT_MINUTE_BAR: Final = 2
AT_FIRST_MINUTE_BAR: Final = 3
AT_FIRST_DAY_BAR: Final = 4
N_MINUTE: Final = 5
N_DAY: Final = 6
DUPLICATES: Final = 7
UNSORTED_MINUTES: Final = 8
AT_TOP_MINUTE: Final = 9
STATE: Final = 10
"""Entries of the state carried from batch to batch; new: all 0 but AT_SERIES -1."""

_UNCLASSIFIED: Final = -1
_UNKNOWN: Final = -2


@njit(inline="always")
def _add(bars, at, price, size):  # type: ignore[no-untyped-def]
    if bars[at, POINTS] == 0:
        bars[at, OPEN] = price
        bars[at, HIGH] = price
        bars[at, LOW] = price
    bars[at, HIGH] = max(price, bars[at, HIGH])
    bars[at, LOW] = min(price, bars[at, LOW])
    bars[at, CLOSE] = price
    bars[at, VOLUME] += size
    bars[at, VALUE] += price * size
    bars[at, POINTS] += 1


@njit
def _bar_of(bars, first, end, session, minute):  # type: ignore[no-untyped-def]
    for at in range(end - 1, first - 1, -1):
        if bars[at, MINUTE] == minute and bars[at, SESSION] == session:
            return at
    bars[end, SESSION] = session
    bars[end, MINUTE] = minute
    bars[end, VOLUME : POINTS + 1] = 0
    return end


@njit
def _window_of(windows, first, end, t):  # type: ignore[no-untyped-def]
    for at in range(first, end):
        if windows[at, 1] <= t < windows[at, 2]:
            return windows[at, 0], windows[at, 1], windows[at, 2]
    return np.int64(_UNCLASSIFIED), t, t + 1


@njit(
    [
        (
            "int64(int64[::1], int64[::1], float64[::1], int64[::1], int64[::1], int64[:,::1], int64[:,::1], "
            "boolean[::1], int64[::1], int64[:,::1], int64[:,::1])"
        )
    ],
    cache=True,
    nogil=True,
)
def fill_bars(  # type: ignore[no-untyped-def]  # noqa: PLR0917 - compiled code takes arrays by position
    series, cum, price, size, ts_us, windows, of_series, closed, state, minute_bars, day_bars
):
    """Adds trades to the bars; returns -1, or the row at which the order by (series, cumulative volume) breaks.

    Args:
        windows: rows of (session, start_us, end_us), those of one scope together.
        of_series: for each series its first and one past its last row in ``windows``.
        closed: for each series whether its trades have all been seen; updated.
        state: as listed above; updated.
        minute_bars, day_bars: rows of ``WIDTH``; room for as many more as there are trades.
    """
    at_series, last_cum, top_minute = state[AT_SERIES], state[AT_CUM], state[AT_TOP_MINUTE]
    minute_bar, first_minute, first_day = state[AT_MINUTE_BAR], state[AT_FIRST_MINUTE_BAR], state[AT_FIRST_DAY_BAR]
    n_minute, n_day = state[N_MINUTE], state[N_DAY]
    session, from_us, to_us = np.int64(_UNKNOWN), np.int64(0), np.int64(0)
    day_bar = np.int64(0)
    for i in range(len(series)):
        if series[i] != at_series:
            if closed[series[i]]:
                return i
            closed[series[i]] = True
            at_series = series[i]
            minute_bar, first_minute, first_day, top_minute = np.int64(-1), n_minute, n_day, np.int64(-1)
            session = np.int64(_UNKNOWN)
        elif cum[i] <= last_cum:
            if cum[i] < last_cum:
                return i
            state[DUPLICATES] += 1
            continue
        last_cum = cum[i]
        hundredths = np.int64(np.rint(price[i] * 100.0))
        t = ts_us[i]
        if session == _UNKNOWN or t < from_us or t >= to_us:
            session, from_us, to_us = _window_of(windows, of_series[at_series, 0], of_series[at_series, 1], t)
            day_bar = _bar_of(day_bars, first_day, n_day, session, 0)
            day_bars[day_bar, SERIES] = at_series
            n_day = max(n_day, day_bar + 1)
        _add(day_bars, day_bar, hundredths, size[i])
        minute = t // MINUTE_US
        if minute_bar < 0 or minute_bars[minute_bar, MINUTE] != minute or minute_bars[minute_bar, SESSION] != session:
            # Repaired trades may carry times that step back; then their minute has a bar already, or gets one late.
            first = n_minute if minute > top_minute else first_minute
            minute_bar = _bar_of(minute_bars, first, n_minute, session, minute)
            minute_bars[minute_bar, SERIES] = at_series
            if minute_bar == n_minute and minute < top_minute:
                state[UNSORTED_MINUTES] += 1
            n_minute = max(n_minute, minute_bar + 1)
            top_minute = max(top_minute, minute)
        _add(minute_bars, minute_bar, hundredths, size[i])
    state[AT_SERIES], state[AT_CUM], state[AT_TOP_MINUTE] = at_series, last_cum, top_minute
    state[AT_MINUTE_BAR], state[AT_FIRST_MINUTE_BAR], state[AT_FIRST_DAY_BAR] = minute_bar, first_minute, first_day
    state[N_MINUTE], state[N_DAY] = n_minute, n_day
    return -1
