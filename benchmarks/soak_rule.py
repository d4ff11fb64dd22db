"""What counts as growth in a soak, and how it is shown: pure functions over samples.

The rule. Of the samples behind the warm-up a line is fitted through the median of all pairwise slopes (Theil and Sen:
up to a quarter of the samples may lie anywhere without moving it much, so peaks of a flush or a compaction do not
count). What the line rises from the first to the last of them is the growth. Memory may grow by a tenth of what it
is, and by ``SLACK_MIB`` besides: allocators keep what they once had, and the file lists of tables grow until they are
compacted. At 5,000 records a second an hour is 18 million records; a tenth of 300 MiB is two bytes a record, less
than anything that is kept by record. File handles and threads are whole things that are opened for a reason and
closed: ``SLACK_COUNT`` of either may be about at the end, not more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

SLACK_MIB = 24.0
SLACK_COUNT = 4.0
SHARE = 0.1
_PAIRS_OF = 400  # samples at most that slopes are taken of; more are thinned out evenly


@dataclass(frozen=True, slots=True)
class Trend:
    """How one figure moved behind the warm-up. ``growth`` and ``allowed`` are in the figure's own unit."""

    name: str
    unit: str
    first: float
    last: float
    per_hour: float
    growth: float
    allowed: float

    @property
    def grows(self) -> bool:
        return self.growth > self.allowed


def slope(times_s: Sequence[float], values: Sequence[float]) -> float:
    """The median of all pairwise slopes, a second; 0 of fewer than two samples."""
    if len(times_s) < 2:
        return 0.0
    step = max(1, len(times_s) // _PAIRS_OF)
    times, found = np.asarray(times_s, float)[::step], np.asarray(values, float)[::step]
    one, other = np.triu_indices(len(times), 1)
    return float(np.median((found[other] - found[one]) / (times[other] - times[one])))


def trend(
    name: str, unit: str, times_s: Sequence[float], values: Sequence[float], *, slack_mib: float = SLACK_MIB
) -> Trend:
    """The movement of a figure, with what it may grow by: ``unit`` MiB is memory, anything else is counted.

    ``times_s`` rise; there is one sample at least.
    """
    rise = slope(times_s, values)
    growth = rise * (times_s[-1] - times_s[0])
    tenth = max(1, len(values) // 10)
    first, last = float(np.median(values[:tenth])), float(np.median(values[-tenth:]))
    allowed = slack_mib + SHARE * float(np.median(values)) if unit == "MiB" else SLACK_COUNT
    return Trend(name, unit, first, last, rise * 3_600, growth, allowed)


def chart(
    times_s: Sequence[float], values: Sequence[float], *, unit: str, width: int = 72, height: int = 10
) -> list[str]:
    """Lines of a text chart from zero up: each column the largest value of its time."""
    edges = np.linspace(times_s[0], times_s[-1], width + 1)
    column = np.clip(np.searchsorted(edges, times_s, side="right") - 1, 0, width - 1)
    tops = np.zeros(width)
    np.maximum.at(tops, column, np.asarray(values, float))
    for i in np.flatnonzero(tops == 0):  # no sample fell into it: as the one before
        tops[i] = tops[i - 1] if i else values[0]
    most = max(float(tops.max()), 1e-9)
    eighths = np.rint(tops / most * height * 8).astype(int)
    lines = []
    for row in reversed(range(height)):
        cells = "".join(" ▁▂▃▄▅▆▇█"[int(np.clip(each - row * 8, 0, 8))] for each in eighths)
        lines.append(f"{most * (row + 1) / height:8,.0f} {unit} │{cells}")
    lines.append(f"{'':8} {'':{len(unit)}} └{'─' * width}")
    ends = f"{times_s[-1] / 60:.0f} min"
    lines.append(f"{'':8} {'':{len(unit)}}  0{ends:>{width - 1}}")
    return lines
