"""Which shares of which registration were sent, withheld or not asked for, as half-open intervals of volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.kis.simulator import interval_kernel as kernel
from hosu.kis.simulator.interval_kernel import SENT, UNSENT, WITHHELD

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.records import Ints

__all__ = ["SENT", "UNSENT", "WITHHELD", "IntervalNotes", "measure", "unite", "without"]

_FIRST_ROOM = 4096


def unite(rows: Ints) -> Ints:
    """The union of intervals ``[from, to)`` in any order: sorted, disjoint, none touching another, shape (n, 2)."""
    rows = rows[rows[:, 0] < rows[:, 1]]
    noted = np.zeros((len(rows), kernel.NOTE_WIDTH), np.int64)
    noted[:, kernel.FROM :] = rows[np.argsort(rows[:, 0], kind="stable")]
    return np.ascontiguousarray(noted[: kernel.unite_notes(noted), kernel.FROM :])


def without(rows: Ints, taken: Ints) -> Ints:
    """What of the union of ``rows`` is in none of ``taken``; sorted and disjoint, shape (n, 2)."""
    left: Ints = kernel.take_out(unite(rows), unite(taken))
    return left


def measure(rows: Ints) -> int:
    """The shares of disjoint intervals."""
    return int((rows[:, 1] - rows[:, 0]).sum())


class IntervalNotes:
    """Takes trades in by the ten thousand, and says in the end which shares of a symbol had which fate.

    A share that was sent once counts as sent, whatever became of a repetition of its trade; one that was withheld
    counts as withheld, although it may have come again while nobody asked for it.
    """

    def __init__(self) -> None:
        self._rows = np.zeros((_FIRST_ROOM, kernel.NOTE_WIDTH), np.int64)
        self._last = np.zeros((0, kernel.FATES), np.int64)
        self._used = 0

    def note(self, key: Ints, fate: npt.NDArray[np.uint8], size: Ints, volume: Ints, keys: int) -> None:
        """Trades of one burst, with one entry each; ``keys`` is how many registrations there are."""
        if keys > len(self._last):
            more = np.zeros((keys - len(self._last), kernel.FATES), np.int64)
            self._last = np.concatenate([self._last, more])
        self._make_room(len(key))
        self._used = kernel.note_intervals(key, fate, size, volume, self._rows, self._last, self._used)

    def of_symbols(self, symbol: Ints) -> dict[int, tuple[Ints, Ints]]:
        """What was withheld and what was not asked for, by symbol; ``symbol`` has the number of every registration's.

        Symbols without a trade are left out.
        """
        noted = self._rows[: self._used]
        whose = symbol[noted[:, kernel.KEY]]
        order = np.argsort(whose, kind="stable")
        cuts = np.flatnonzero(np.diff(whose[order])) + 1
        parts = np.split(order, cuts) if len(order) else []
        return {int(whose[part[0]]): _missing(noted[part]) for part in parts}

    def _make_room(self, trades: int) -> None:
        if self._used + trades <= len(self._rows):
            return
        noted = self._rows[: self._used]
        noted = np.ascontiguousarray(noted[np.lexsort(noted.T[[kernel.FROM, kernel.FATE, kernel.KEY]])])
        self._used = kernel.unite_notes(noted)
        room = max(_FIRST_ROOM, 2 * (self._used + trades))
        self._rows = np.zeros((room, kernel.NOTE_WIDTH), np.int64)
        self._rows[: self._used] = noted[: self._used]
        # Of repeated indices numpy keeps the last: the row that a trade in order makes longer.
        self._last[self._rows[: self._used, kernel.KEY], self._rows[: self._used, kernel.FATE]] = (
            np.arange(self._used) + 1
        )


def _missing(noted: Ints) -> tuple[Ints, Ints]:
    fates = range(kernel.FATES)
    sent, withheld, unsent = (noted[noted[:, kernel.FATE] == fate, kernel.FROM :] for fate in fates)
    return without(withheld, sent), without(unsent, np.concatenate([sent, withheld]))
