"""How long until `hosu --help` has answered, a process from start to end, beside a Python that does nothing?

Everybody who types a command waits for it: commands import what they need only when they run. The two take turns; each
counts its best, since a start can only be held up, never hurried. Whatever else the machine does holds it up, which
shows in the median; CPU time shows what the start itself costs. Bytecode is there beforehand, as `make` leaves it.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any

ROUNDS = 30
GOAL_S = 0.3


@dataclass(frozen=True, slots=True)
class Start:
    """What one process took from start to end."""

    wall_s: float
    cpu_s: float


def run() -> list[dict[str, Any]]:
    help_, nothing = ("-m", "hosu", "--help"), ("-c", "pass")
    for words in (help_, nothing):  # what the first start pays for the later ones: bytecode, the disk
        started(words)
    taken = [(started(help_), started(nothing)) for _ in range(ROUNDS)]
    ours, python = zip(*taken, strict=True)
    best = min(each.wall_s for each in ours)
    bare = "python -c pass"
    return [
        _row(f"hosu --help, best of {ROUNDS}", best, bare, min(each.wall_s for each in python)),
        _row(f"hosu --help, best of {ROUNDS}", best, "goal", GOAL_S),
        _row(f"hosu --help, median of {ROUNDS}", statistics.median(each.wall_s for each in ours), "goal", GOAL_S),
        _row("hosu --help, CPU time", min(each.cpu_s for each in ours), bare, min(each.cpu_s for each in python)),
    ]


def started(words: tuple[str, ...]) -> Start:
    """Runs a Python with these words to its end."""
    silent = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    began = time.perf_counter()
    pid = os.posix_spawn(sys.executable, [sys.executable, *words], os.environ, file_actions=silent)
    _, ended, usage = os.wait4(pid, 0)
    wall_s = time.perf_counter() - began
    if ended:
        raise RuntimeError(f"python {' '.join(words)} ended with {os.waitstatus_to_exitcode(ended)}")
    return Start(wall_s, usage.ru_utime + usage.ru_stime)


def _row(name: str, value: float, peer: str, peer_value: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": value,
        "unit": "s",
        "peer": peer,
        "peer_value": peer_value,
        "ratio": value / peer_value,
    }
