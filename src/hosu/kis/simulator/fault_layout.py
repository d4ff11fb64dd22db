"""Frames whose records change their width in the middle of a day."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hosu.errors import FrameError
from hosu.kis.layouts import layout_on
from hosu.kis.records import EncodedFrames
from hosu.kis.simulator.layout_kernel import widen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.kis.simulator.fault_frames import Span
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.tape import Burst, KeyTable

_UNCHANGED, _MORE = 0, -1  # widths a TR is given: as it is, or so many fields more (-1 is one, -2 two)


def relaid(burst: Burst, spans: Sequence[Span], keys: KeyTable) -> Burst:
    """The burst with the widths that the clauses ask for at each frame's time; records and numbers stay the same.

    The broker only ever appends fields (``hosu.kis.layouts``), so widening appends and narrowing cuts. What is
    appended is assumed: 0, where it is a market code the one of the regular session.
    """
    for span in spans:
        which = (burst.at_us >= span.from_us) & (burst.at_us < span.until_us)
        if which.any():
            wanted = np.array([_width(span.clause, keys[i].tr_id) for i in range(len(keys))], np.int64)
            width = np.where(which, wanted[burst.key], _UNCHANGED)
            whole = burst.frames
            fill = _fill(span.clause)
            data, start, end = widen(whole.data, whole.start, whole.end, whole.records, width, fill)
            burst = replace(burst, frames=EncodedFrames(data, start, end, whole.records))
    return burst


def _width(clause: Clause, tr_id: str) -> int:
    if clause.day is None:
        return _MORE * int(clause.number)
    try:
        return layout_on(tr_id, clause.day).width
    except FrameError:
        return _UNCHANGED


def _fill(clause: Clause) -> int:
    return ord("0" if clause.day is None else "2")
