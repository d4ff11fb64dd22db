"""Compiles every kernel into numba's cache, so that the first run need not: ``python -m hosu.cli.kernels``."""

from __future__ import annotations

import importlib
import time

from hosu.cli.output import note

MODULES = (
    "hosu.kis.codec",
    "hosu.kis.events",
    "hosu.collect.runs",
    "hosu.collect.ledger_kernel",
    "hosu.lake.ohlcv",
    "hosu.features.kernel",
    "hosu.features.book_kernel",
    "hosu.features.label_kernel",
    "hosu.features.online_bars",
    "hosu.kis.simulator.bars",
    "hosu.kis.simulator.exchange",
    "hosu.kis.simulator.delivery",
    "hosu.kis.simulator.scripted_faults",
)
"""What imports the kernels; they are compiled as they are imported, because their signatures are declared."""


def compile_all() -> None:
    """Imports everything that holds a kernel."""
    began = time.monotonic()
    for number, name in enumerate(MODULES, 1):
        importlib.import_module(name)
        taken = time.monotonic() - began
        if taken > 5:
            note(f"  {number} of {len(MODULES)} groups of kernels, {taken:.0f} s")


if __name__ == "__main__":
    compile_all()
