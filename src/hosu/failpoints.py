"""Named places at which a process may be made to die, so that a test can look at what it leaves behind.

Off unless ``arm`` was called: a place then costs one look at a module's attribute. Armed from outside by
``HOSU_FAILPOINT=name`` or ``name:hits`` (die when it is reached for the so-manieth time), the process ends itself by
SIGKILL, which nothing can catch. A test within the process installs a function of its own instead.

Use, where something has just been made durable, or is about to be::

    if failpoints.on:
        failpoints.reach("log.synced")
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Final

from hosu.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "HOSU_FAILPOINT"

POINTS: Final[dict[str, str]] = {
    "log.recovering": "a log was found, and what its last writer left is about to be mended",
    "log.recovered": "the last segment is mended and sealed, the log's state not yet stored",
    "log.created": "a segment's file exists, its header is not synced",
    "log.written": "a commit is written, not synced",
    "log.synced": "a commit is synced, nobody was told",
    "log.sealing": "a segment's seal is written, not synced",
    "log.sealed": "a segment is sealed, the log's state not yet stored",
    "lake.marked": "a new lake's marker is written, not synced",
    "lake.stored": "a data file is written, no commit names it",
    "lake.committing": "a commit to a table is about to be made",
    "lake.committed": "a commit to a table is made, not synced",
    "lake.syncing": "commits are made and about to be synced",
    "lake.synced": "what was committed is synced, the log not told",
    "compact.stored": "compacted files are written and synced, no commit names them",
    "compact.committed": "compacted files stand for the old ones, not synced",
    "compact.checkpointed": "a checkpoint is written, the log of the table not cleaned",
    "archive.stored": "a segment is in the archive, no marker says so",
    "archive.marked": "a segment's marker is written, the segment is still in the log",
    "archive.retired": "a segment is deleted from the log, its marker is not",
}
"""Every place by name, and what is true there."""

on = False
"""Whether any place matters. Read it, never set it."""

_call: Callable[[str], None] | None = None


def reach(name: str) -> None:
    """The process is at the place ``name``. May not return, and may raise what a test wants raised."""
    call = _call
    if call is not None:
        call(name)


def install(call: Callable[[str], None] | None) -> None:
    """``call(name)`` at every place from now on, in whatever thread reaches it; None for nothing any more."""
    global on, _call  # noqa: PLW0603 - the one switch of the process
    _call = call
    on = call is not None


def arm(environment: Mapping[str, str]) -> None:
    """Arms the place that ``HOSU_FAILPOINT`` names; nothing happens where it is not set.

    Raises:
        SettingsError: there is no such place, or the count is none.
    """
    wanted = environment.get(VARIABLE, "")
    if not wanted:
        return
    name, _, count = wanted.partition(":")
    if name not in POINTS:
        raise SettingsError(VARIABLE, f"names no place of this hosu; there are {', '.join(POINTS)}", "the environment")
    if count and not (count.isascii() and count.isdigit() and 0 < int(count) < 1 << 31):
        raise SettingsError(VARIABLE, "wants a count from 1 on behind the colon", "the environment")
    install(_Killer(name, int(count or 1)))


class _Killer:
    def __init__(self, name: str, hits: int) -> None:
        self._name, self._left = name, hits
        self._lock = threading.Lock()

    def __call__(self, name: str) -> None:
        if name != self._name:
            return
        with self._lock:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
