"""One owner at a time, across processes: a lock that the system lets go of when its process dies."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import sys
from itertools import takewhile
from pathlib import Path
from typing import Final, Self

from hosu.errors import LockedError

_HELD: Final = re.compile(r"(?P<pid>\d{1,10})(?: on (?P<host>[\w.-]{1,64}))?(?: as (?P<doing>[a-z ]{1,60}))?")
_WORD: Final = re.compile(r"[a-z]+")


def doing() -> str:
    """What this process does, in the words of its command line that are no option and no value: "hosu lake compact".

    "a program" where there are none, as in a library's user's.
    """
    program = Path(sys.argv[0] if sys.argv else "")
    name = program.parent.name if program.stem == "__main__" else program.stem
    words = takewhile(_WORD.fullmatch, [name, *sys.argv[1:4]])
    said = " ".join(words)
    return said if len(said) <= 60 and said.startswith("hosu") else f"hosu {said}" if name == "shard" else "a program"


class FileLock:
    """An exclusive ``flock`` on a file that names its holder: process, machine, and what it does.

    ``what`` is how errors call the thing that is locked ("the appkey 1a2b…"). The file stays when the lock is let
    go of: removing it would let two processes hold locks on two files of one name. Also excludes a second lock on
    the same path within one process. Not reentrant; not for threads to share.

    Use it as a context manager, or ``acquire`` and ``release``.
    """

    def __init__(self, path: Path, what: str) -> None:
        self._path, self._what = path, what
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> None:
        """Takes the lock, or raises at once; never waits.

        Raises:
            LockedError: somebody holds it; names the process.
        """
        if not self.try_acquire():
            raise LockedError(self._what, _holder(self._path))

    def try_acquire(self) -> bool:
        """Takes the lock if nobody holds it; whether it did."""
        if self._descriptor is not None:
            return False
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()} as {doing()}\n".encode(), 0)
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Lets go; nothing happens when the lock is not held."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _holder(path: Path) -> str:
    """Who the file says it is: it may be anybody's text, and is read with care."""
    try:
        with path.open("rb") as file:
            held = _HELD.match(file.read(200).decode("ascii", "replace"))
    except OSError:
        held = None
    if held is None:
        return "another process"
    where = f" on {held['host']}" if held["host"] not in (None, socket.gethostname()) else ""
    what = f" ({held['doing'].strip()})" if held["doing"] else ""
    return f"process {held['pid']}{what}{where}"
