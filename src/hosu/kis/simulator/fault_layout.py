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

    from hosu.kis.records import Ints
    from hosu.kis.simulator.fault_frames import Span
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.tape import Burst, KeyTable

_UNCHANGED, _MORE = 0, -1  # widths a TR is given: as it is, or so many fields more (-1 is one, -2 two)


class LayoutChanges:
    """Clauses that change widths.

    The broker only ever appends fields (``hosu.kis.layouts``), so widening appends and narrowing cuts. What is
    appended is assumed: 0, where a date is asked for the market code of the regular session.
    """

    def __init__(self, spans: Sequence[Span], keys: KeyTable) -> None:
        self._spans = [each for each in spans if each.clause.kind == "layout"]
        self._keys = keys
        self._widths: dict[int, Ints] = {}

    def relaid(self, burst: Burst) -> Burst:
        """The burst with the widths of each frame's time; records and their numbers stay the same."""
        for span in self._spans:
            which = (burst.at_us >= span.from_us) & (burst.at_us < span.until_us)
            if which.any():
                width = np.where(which, self._width_of_keys(span)[burst.key], _UNCHANGED)
                whole = burst.frames
                data, start, end = widen(whole.data, whole.start, whole.end, whole.records, width, _fill(span.clause))
                burst = replace(burst, frames=EncodedFrames(data, start, end, whole.records))
        return burst

    def _width_of_keys(self, span: Span) -> Ints:
        known = self._widths.get(span.number)
        count = len(self._keys)
        if known is None or len(known) < count:
            widths = [_width(span.clause, self._keys[i].tr_id) for i in range(count)]
            known = self._widths[span.number] = np.array(widths, np.int64)
        return known


def _width(clause: Clause, tr_id: str) -> int:
    if clause.day is None:
        return _MORE * int(clause.number)
    try:
        return layout_on(tr_id, clause.day).width
    except FrameError:
        return _UNCHANGED


def _fill(clause: Clause) -> int:
    return ord("0" if clause.day is None else "2")
