# ruff: noqa: PLR0917  a kernel takes its arrays one by one, and numba no keywords by signature
"""Loops over half-open share intervals: noting them trade by trade, uniting them, taking some out of others."""

from __future__ import annotations

from typing import Any

import numpy as np

from hosu.kis.byte_kernel import compiled

SENT, WITHHELD, UNSENT = range(3)
FATES = 3
KEY, FATE, FROM, TO = range(4)
NOTE_WIDTH = 4


@compiled("int64(int64[::1], uint8[::1], int64[::1], int64[::1], int64[:, ::1], int64[:, ::1], int64)")
def note_intervals(key: Any, fate: Any, size: Any, volume: Any, rows: Any, last: Any, used: Any) -> Any:
    """Notes the shares ``[volume - size, volume)`` of every trade; returns how many ``rows`` are used then.

    ``rows`` (KEY, FATE, FROM, TO) has room for one more row a trade. ``last`` has one row a registration: by fate the
    place, counted from 1, of the row that a trade which follows on only makes longer.
    """
    for i in range(len(key)):
        upper = volume[i]
        lower = max(0, upper - size[i])
        if lower >= upper:
            continue
        at = last[key[i], fate[i]] - 1
        if at >= 0 and rows[at, FROM] <= lower <= rows[at, TO]:
            rows[at, TO] = max(rows[at, TO], upper)
            continue
        rows[used, KEY] = key[i]
        rows[used, FATE] = fate[i]
        rows[used, FROM] = lower
        rows[used, TO] = upper
        used += 1
        last[key[i], fate[i]] = used
    return used


@compiled("int64(int64[:, ::1])")
def unite_notes(rows: Any) -> Any:
    """Unites, in place, rows sorted by key, fate and begin; returns how many are left."""
    kept = 0
    for i in range(len(rows)):
        if (
            kept > 0
            and rows[kept - 1, KEY] == rows[i, KEY]
            and rows[kept - 1, FATE] == rows[i, FATE]
            and rows[kept - 1, TO] >= rows[i, FROM]
        ):
            rows[kept - 1, TO] = max(rows[kept - 1, TO], rows[i, TO])
        else:
            rows[kept] = rows[i]
            kept += 1
    return kept


@compiled("int64[:, ::1](int64[:, ::1], int64[:, ::1])")
def take_out(rows: Any, taken: Any) -> Any:
    """What of ``rows`` no row of ``taken`` covers; both have rows (from, to), sorted and apart."""
    out = np.empty((len(rows) + len(taken), 2), np.int64)
    n, j = 0, 0
    for i in range(len(rows)):
        begin, end = rows[i, 0], rows[i, 1]
        while j < len(taken) and taken[j, 1] <= begin:
            j += 1
        k = j
        while k < len(taken) and taken[k, 0] < end:
            if taken[k, 0] > begin:
                out[n, 0], out[n, 1] = begin, taken[k, 0]
                n += 1
            begin = max(begin, taken[k, 1])
            k += 1
        if begin < end:
            out[n, 0], out[n, 1] = begin, end
            n += 1
    return out[:n].copy()
