"""One sentence and an exit code about a collector, for monitors: its health file, and whether to believe it."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from hosu.cli.attended import FILE, read_health

if TYPE_CHECKING:
    from pathlib import Path

AT_WORK: Final = ("starting", "running", "draining")
"""States of a collector that receives, or is about to, or commits what it has received."""

OLD_S: Final = 30.0
"""The file is written every five seconds; an older one is of a process that hangs, or of a disk that does."""


def check(folder: Path, *, alive_only: bool = False) -> tuple[bool, str]:
    """Whether the collector of a state folder is ready, or with ``alive_only`` alive, and a sentence about it."""
    found = read_health(folder / FILE)
    if found is None:
        return False, f"nothing collects into {folder}; start `hosu collect`"
    sentence, pid = str(found.get("sentence")), found.get("pid")
    if not is_running(pid):
        return False, f"process {pid} has ended: {sentence}"
    age_s = (time.time_ns() / 1000 - _number(found.get("updated_us"))) / 1e6
    if age_s > OLD_S:
        return False, f"process {pid} has told nothing for {age_s:,.0f} s; the last was: {sentence}"
    return bool(found.get("alive" if alive_only else "ready")), sentence


def checked(status: dict[str, Any]) -> dict[str, Any]:
    """A status whose process is gone says so: the file of a killed collector still says ``running``."""
    return (
        {**status, "state": "died"} if status.get("state") in AT_WORK and not is_running(status.get("pid")) else status
    )


def with_health(status: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A status, and under ``health`` what the health file of the same process says, disks included."""
    found = read_health(folder / FILE)
    if found is None or (is_running(status.get("pid")) and found.get("pid") != status.get("pid")):
        return status
    return {**status, "health": {**found, "running": is_running(found.get("pid"))}}


def is_running(pid: object) -> bool:
    """Whether there is a process of that number."""
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
