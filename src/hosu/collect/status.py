"""What can be watched from outside: the status file, and a line a commit on a file descriptor."""

from __future__ import annotations

import json
import os
import select
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class StatusFile:
    """A JSON file that is replaced as a whole, so that a reader never sees half of it."""

    path: Path

    def write(self, status: dict[str, Any]) -> None:
        """Replaces the file. Not synced: it says what is, and nothing after a restart."""
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(status, ensure_ascii=False) + "\n", encoding="utf-8")
        partial.replace(self.path)

    def read(self) -> dict[str, Any]:
        """What was written last.

        Raises:
            InputError: there is no such file, or it is none of ours.
        """
        try:
            status = json.loads(self.path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(str(self.path), "there is no status", "start `hosu collect` first") from None
        except (OSError, ValueError) as error:
            raise InputError(str(self.path), f"is no status of hosu ({error})", "name a collector's folder") from None
        if not isinstance(status, dict) or "durable_lsn" not in status:
            raise InputError(str(self.path), "is no status of hosu", "name a collector's folder")
        return status


def durable_lines(descriptor: int) -> Callable[[int], None]:
    """A callback for ``Log.on_durable`` that writes each durable LSN as a line of decimal digits.

    A reader that falls behind misses lines, never the order: later numbers cover earlier ones. One that is gone is
    forgotten.
    """
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)

    def write(lsn: int) -> None:
        nonlocal poll
        events = poll.poll(0)
        if events and events[0][1] & select.POLLOUT:
            with suppress(OSError):
                os.write(descriptor, b"%d\n" % lsn)

    return write
