"""One pass over ordered trades that fills bars of an interval (a minute, a second) and of the day; compiled by numba.

Prices are int64 hundredths of a won, values hundredths of a won too, times UTC microseconds.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

SERIES: Final = 0
SESSION: Final = 1
SLOT: Final = 2
OPEN: Final = 3
HIGH: Final = 4
LOW: Final = 5
CLOSE: Final = 6
VOLUME: Final = 7
VALUE: Final = 8
POINTS: Final = 9
WIDTH: Final = 10
"""Columns of a bar; SLOT is which interval since 1970 in UTC, 0 in day bars."""

AT_SERIES: Final = 0
AT_CUM: Final = 1
AT_SLOT_BAR: Final = 2
AT_FIRST_SLOT_BAR: Final = 3
AT_FIRST_DAY_BAR: Final = 4
N_SLOT: Final = 5
N_DAY: Final = 6
DUPLICATES: Final = 7
UNSORTED: Final = 8
AT_TOP_SLOT: Final = 9
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
def _bar_of(bars, first, end, session, slot):  # type: ignore[no-untyped-def]
    for at in range(end - 1, first - 1, -1):
        if bars[at, SLOT] == slot and bars[at, SESSION] == session:
            return at
    bars[end, SESSION] = session
    bars[end, SLOT] = slot
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
            "boolean[::1], int64[::1], int64, int64[:,::1], int64[:,::1])"
        )
    ],
    cache=True,
    nogil=True,
)
def fill_bars(  # type: ignore[no-untyped-def]  # noqa: PLR0917 - compiled code takes arrays by position
    series, cum, price, size, ts_us, windows, of_series, closed, state, interval_us, slot_bars, day_bars
):
    """Adds trades to the bars; returns -1, or the row at which the order by (series, cumulative volume) breaks.

    Args:
        windows: rows of (session, start_us, end_us), those of one scope together.
        of_series: for each series its first and one past its last row in ``windows``.
        closed: for each series whether its trades have all been seen; updated.
        state: as listed above; updated.
        interval_us: how long an interval is; divides a minute.
        slot_bars, day_bars: rows of ``WIDTH``; room for as many more as there are trades.
    """
    at_series, last_cum, top_slot = state[AT_SERIES], state[AT_CUM], state[AT_TOP_SLOT]
    slot_bar, first_slot, first_day = state[AT_SLOT_BAR], state[AT_FIRST_SLOT_BAR], state[AT_FIRST_DAY_BAR]
    n_slot, n_day = state[N_SLOT], state[N_DAY]
    session, from_us, to_us = np.int64(_UNKNOWN), np.int64(0), np.int64(0)
    day_bar = np.int64(0)
    for i in range(len(series)):
        if series[i] != at_series:
            if closed[series[i]]:
                return i
            closed[series[i]] = True
            at_series = series[i]
            slot_bar, first_slot, first_day, top_slot = np.int64(-1), n_slot, n_day, np.int64(-1)
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
        slot = t // interval_us
        if slot_bar < 0 or slot_bars[slot_bar, SLOT] != slot or slot_bars[slot_bar, SESSION] != session:
            # Repaired trades may carry times that step back; then their interval has a bar already, or gets one late.
            first = n_slot if slot > top_slot else first_slot
            slot_bar = _bar_of(slot_bars, first, n_slot, session, slot)
            slot_bars[slot_bar, SERIES] = at_series
            if slot_bar == n_slot and slot < top_slot:
                state[UNSORTED] += 1
            n_slot = max(n_slot, slot_bar + 1)
            top_slot = max(top_slot, slot)
        _add(slot_bars, slot_bar, hundredths, size[i])
    state[AT_SERIES], state[AT_CUM], state[AT_TOP_SLOT] = at_series, last_cum, top_slot
    state[AT_SLOT_BAR], state[AT_FIRST_SLOT_BAR], state[AT_FIRST_DAY_BAR] = slot_bar, first_slot, first_day
    state[N_SLOT], state[N_DAY] = n_slot, n_day
    return -1
