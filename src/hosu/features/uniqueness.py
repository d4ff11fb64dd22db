"""How much each label tells that no other does: weights where intervals overlap.

Average uniqueness, López de Prado, *Advances in Financial Machine Learning* (2018), chapter 4: in each slot of time
that ``c`` labels of one symbol cover, each of them counts 1 / c; a label's weight is the mean over its slots. Labels
that overlap no other weigh 1.

A weight is not known at the decision: it depends on labels decided until the interval ends. It is for training only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.errors import InputError

if TYPE_CHECKING:
    from hosu.features.panel import Floats, Ints


def uniqueness(first: Ints, last: Ints, slots: int) -> Floats:
    """(n,) weights in (0, 1]; 0 without a label.

    Args:
        first: (n,) the first slot a label covers; -1 without a label.
        last: (n,) the last, included.
        slots: how many there are. Slots of different symbols must differ: rows of a panel are such slots.

    Raises:
        InputError: an interval ends before it begins, or beyond the slots.
    """
    from hosu.features import label_kernel as kernel

    labelled = first >= 0
    if np.any(last[labelled] < first[labelled]) or np.any(last[labelled] >= slots):
        raise InputError("label intervals", "end before they begin, or beyond the last slot", "give slots of the panel")
    weight = np.empty(len(first))
    starts, ends = (np.ascontiguousarray(column, np.int64) for column in (first, last))
    kernel.average_uniqueness(starts, ends, np.zeros(slots, np.int64), weight)
    return weight
