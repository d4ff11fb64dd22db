# ruff: noqa: PLR0917  a kernel takes its arrays one by one, and numba no keywords by signature
"""Frames written anew with more or fewer fields a record."""

from __future__ import annotations

from typing import Any

import numpy as np

from hosu.kis.byte_kernel import compiled, types

_FRAMES = types.Tuple((types.uint8[::1], types.int64[::1], types.int64[::1]))
_CARET, _BAR = 94, 124


@compiled(_FRAMES(types.uint8[::1], *(types.int64[::1],) * 4, types.int64))
def widen(data: Any, start: Any, end: Any, records: Any, width: Any, fill: Any) -> Any:
    """Frames whose records have ``width`` fields: cut, or filled up with the letter ``fill``.

    A width of 0 leaves a frame as it is, a negative one appends so many fields.
    """
    most = 0
    for i in range(len(start)):
        most += 2 * records[i] * max(abs(width[i]), 1)
    out = np.empty(len(data) + most, np.uint8)
    starts, ends = np.empty_like(start), np.empty_like(end)
    at = 0
    for i in range(len(start)):
        starts[i] = at
        place, bars = start[i], 0
        while place < end[i] and bars < 3:
            bars += data[place] == _BAR
            out[at] = data[place]
            at += 1
            place += 1
        fields = 1
        for k in range(place, end[i]):
            fields += data[k] == _CARET
        if width[i] == 0 or records[i] < 1 or bars < 3 or fields % records[i]:
            out[at : at + end[i] - place] = data[place : end[i]]
            at += end[i] - place
            ends[i] = at
            continue
        has = fields // records[i]
        wants = width[i] if width[i] > 0 else has - width[i]
        for record in range(records[i]):
            if record:
                out[at] = _CARET
                at += 1
            for field in range(has):
                if 0 < field < wants:
                    out[at] = _CARET
                    at += 1
                while place < end[i] and data[place] != _CARET:
                    if field < wants:
                        out[at] = data[place]
                        at += 1
                    place += 1
                place += 1
            for _ in range(wants - has):
                out[at] = _CARET
                out[at + 1] = fill
                at += 2
        ends[i] = at
    return out[:at].copy(), starts, ends
