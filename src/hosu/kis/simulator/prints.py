"""Every print of the day, for the REST calls that page back through it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.kis.simulator import frame_kernels as kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.records import Ints

_BLOCK: Final = 65_536
KEPT: Final = 8_000_000
"""Prints kept, the newest ones, 36 bytes each: endless runs must not fill the memory. The broker keeps the day."""


class Print(NamedTuple):
    """One trade: second of the day, prices in hundredths of a won, size, strength in hundredths of a per cent."""

    time: int
    price: int
    size: int
    strength: int
    ask: int
    bid: int
    volume: int


@dataclass(slots=True, eq=False)
class Block:
    """Prints in the order of the day, as ``frame_kernels.observe_trades`` fills them in."""

    rows: npt.NDArray[np.int32]
    volumes: Ints
    used: int = 0


class Prints:
    """The prints of all symbols, by symbol number."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []

    def room(self, trades: int) -> Block:
        """A block with room for so many more prints."""
        if not self._blocks or len(self._blocks[-1].volumes) - self._blocks[-1].used < trades:
            size = max(_BLOCK, trades)
            block = Block(np.empty((size, kernel.PRINT_WIDTH), np.int32), np.empty(size, np.int64))
            self._blocks.append(block)
            if sum(each.used for each in self._blocks) > KEPT:
                del self._blocks[0]
        return self._blocks[-1]

    def last(self, symbol: int, until_s: int, most: int) -> list[Print]:
        """The last prints of a symbol up to and with a second of the day, newest first."""
        found: list[Print] = []
        for block in reversed(self._blocks):
            rows = block.rows[: block.used]
            mine = np.flatnonzero((rows[:, kernel.P_SYMBOL] == symbol) & (rows[:, kernel.P_TIME] <= until_s))
            newest = mine[::-1][: most - len(found)]
            pairs = zip(rows[newest, kernel.P_TIME :].tolist(), block.volumes[newest].tolist(), strict=True)
            found += [Print._make([*row, volume]) for row, volume in pairs]
            if len(found) == most:
                break
        return found
