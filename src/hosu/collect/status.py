"""What can be watched from outside: the status file, and a line a commit on a file descriptor."""

from __future__ import annotations

import json
import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import InputError
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_GONE: Final = select.POLLERR | select.POLLHUP | select.POLLNVAL


@dataclass(frozen=True, slots=True)
class StatusFile:
    """A JSON file that is replaced as a whole, so that a reader never sees half of it."""

    path: Path

    def write(self, status: dict[str, Any]) -> None:
        """Replaces the file. Not synced: it says what is, and nothing after a restart."""
        content = json.dumps(status, ensure_ascii=False) + "\n"
        replace_file(self.path, content.encode("utf-8", "backslashreplace"), durable=False)

    def read(self) -> dict[str, Any]:
        """What was written last.

        Raises:
            InputError: there is no such file, or it is none of ours.
        """
        try:
            status = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(str(self.path), "there is no status", "start `hosu collect` first") from None
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(str(self.path), f"is no status of hosu ({error})", "name a collector's folder") from None
        if not isinstance(status, dict) or "durable_lsn" not in status:
            raise InputError(str(self.path), "is no status of hosu", "name a collector's folder")
        return status


def durable_lines(descriptor: int) -> Callable[[int], None]:
    """A callback for ``Log.on_durable`` that writes each durable LSN as a line of decimal digits.

    A reader that falls behind misses lines, never the order: later numbers cover earlier ones. Once the reader is
    gone nothing more is written, whatever the descriptor may stand for by then.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write(lsn: int) -> None:
        events = poll.poll(0)  # nothing, too, once the descriptor is unregistered
        if not events:
            return
        if events[0][1] & _GONE or not _written(descriptor, b"%d\n" % lsn):
            poll.unregister(descriptor)

    return write


def _written(descriptor: int, line: bytes) -> bool:
    """Whether there still is a reader; one whose pipe is full is."""
    try:
        os.write(descriptor, line)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True
