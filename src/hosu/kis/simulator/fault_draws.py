"""Chance that does not depend on timing: a frame of the day has the same luck in every run with the same seed.

Draws are a hash (splitmix64) of the seed, the clause and the number of what is drawn for, so that they come out the
same however the day is cut into pieces, and whoever is connected.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.records import Ints

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


class Dice:
    """The luck of one clause; ``face`` tells draws for the same event apart."""

    def __init__(self, seed: int, clause: int) -> None:
        self._salt = _mixed((seed * _GOLDEN + clause + 1) & _MASK)

    def bits(self, numbers: Ints, face: int = 0) -> npt.NDArray[np.uint64]:
        """64 random bits for each number."""
        z = numbers.astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64((self._salt + face * 0xD1342543DE82EF95) & _MASK)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    def strikes(self, numbers: Ints, rate: float) -> npt.NDArray[np.bool_]:
        """Which of the numbers are hit, at a rate from 0 to 1."""
        if rate >= 1.0:
            return np.ones(len(numbers), np.bool_)
        return (self.bits(numbers) >> np.uint64(11)).astype(np.float64) * 2.0**-53 < rate

    def strikes_one(self, number: int, rate: float) -> bool:
        """Whether this number is hit."""
        return bool(self.strikes(np.array([number], np.int64), rate)[0])

    def number(self, number: int) -> int:
        """Some random bits for this number, apart from those that decide whether it is hit."""
        return int(self.bits(np.array([number], np.int64), 1)[0])


def _mixed(z: int) -> int:
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)
