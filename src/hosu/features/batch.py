"""The kernel over history: all bars of all symbols, over all cores."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from hosu.errors import InputError
from hosu.features import kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.panel import BarPanel

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

_PARTS_A_CORE = 4  # symbols differ in length; more parts than cores keep the last one from waiting alone


@dataclass(frozen=True, slots=True)
class States:
    """What the kernel remembers of several symbols, one row each; written to by whoever steps it.

    ``dates``, beside it, are those of each one's last bar that was not only carried on, yyyymmdd, and ``official`` the
    official closes of those dates, hundredths; 0 unknown.
    """

    symbols: tuple[str, ...]
    ints: Ints
    floats: Floats
    dates: Ints
    official: Ints

    @classmethod
    def new(cls, symbols: tuple[str, ...]) -> Self:
        """Nothing remembered yet."""
        count = len(symbols)
        remembered = np.zeros((count, kernel.INTS), np.int64), np.zeros((count, kernel.FLOATS))
        return cls(symbols, *remembered, np.zeros(count, np.int64), np.zeros(count, np.int64))

    def of(self, symbols: tuple[str, ...]) -> Self:
        """A copy for these symbols, in their order; of those not known here nothing is remembered."""
        fresh = type(self).new(symbols)
        place = {symbol: at for at, symbol in enumerate(self.symbols)}
        known = [(to, place[symbol]) for to, symbol in enumerate(symbols) if symbol in place]
        if known:
            to, at = np.array(known).T
            fresh.ints[to], fresh.floats[to] = self.ints[at], self.floats[at]
            fresh.dates[to], fresh.official[to] = self.dates[at], self.official[at]
        return fresh


def indicators(panel: BarPanel, states: States | None = None, *, threads: int | None = None) -> Floats:
    """The kernel's outputs of every bar, (n, ``kernel.OUTPUTS``); NaN is null.

    Args:
        panel: the bars.
        states: of exactly the panel's symbols: where it goes on, and what is remembered at its end. None begins anew.
        threads: None: one a core.

    Raises:
        InputError: a bar that cannot be, or states of other symbols.
    """
    states = _checked(panel, states)
    out = np.empty((len(panel), kernel.OUTPUTS))
    threads = threads if threads is not None else os.cpu_count() or 1
    edges = _edges(panel.starts, threads * _PARTS_A_CORE)

    def run(part: int) -> None:
        kernel.step_panel(
            states.ints,
            states.floats,
            panel.starts,
            edges[part],
            edges[part + 1],
            panel.close,
            panel.volume,
            panel.factor,
            panel.masked,
            out,
        )

    with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
        list(pool.map(run, range(len(edges) - 1)))
    return out


def _checked(panel: BarPanel, states: States | None) -> States:
    for name, wrong in (
        ("close", panel.close <= 0),
        ("volume", panel.volume < 0),
        ("factor", ~((panel.factor > 0) & np.isfinite(panel.factor))),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            symbol = panel.symbols[int(np.searchsorted(panel.starts, row, side="right")) - 1]
            found = getattr(panel, name)[row]
            raise InputError(f"{name} {found} of {symbol} on {panel.date[row]}", "cannot be", "import that day again")
    if states is None:
        return States.new(panel.symbols)
    if states.symbols != panel.symbols:
        raise InputError("the states", "are of other symbols than the bars", "take `states.of(panel.symbols)`")
    return states


def _edges(starts: Ints, parts: int) -> list[int]:
    """Cuts between symbols so that each part has about as many bars."""
    wanted = np.linspace(0, starts[-1], parts + 1)[1:-1]
    cuts = np.searchsorted(starts, wanted)
    return sorted({0, *cuts.tolist(), len(starts) - 1})
