"""Tells the service manager (systemd's sd_notify protocol) how a service stands: one datagram a message."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Final

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_log = structlog.get_logger(__name__)

_SEND_S: Final = 1.0
_LONGEST: Final = 2_000


class Notifier:
    """Sends to the socket at ``address``, a path or (``@name``) an abstract one; None sends nothing.

    ``watchdog_s`` is within what time the manager wants a ping, None when it wants none. A manager that does not
    listen is no reason to stop: it is said once, and tried again with each message.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self._address = address
        self.watchdog_s = watchdog_s
        self._failed = False

    @classmethod
    def of_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """As the manager says in ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``, which are taken out: a
        child that inherited them would speak for us."""
        address, usec, pid = (environ.pop(name, "") for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"))
        if not address:
            return cls()
        if address[0] not in "/@" or len(address) < 2:
            _log.warning("NOTIFY_SOCKET is neither a path nor an abstract name, nobody is told", address=address[:100])
            return cls()
        return cls(address, _interval_s(usec, pid))

    @property
    def listens(self) -> bool:
        """Whether somebody wants to be told."""
        return self._address is not None

    def send(self, **facts: str | int) -> bool:
        """Sends assignments such as ``READY=1`` or ``STATUS=…``; whether they were taken."""
        if self._address is None:
            return False
        lines = [f"{name}={' '.join(str(value).split())[:_LONGEST]}" for name, value in facts.items()]
        where = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
                channel.settimeout(_SEND_S)  # a manager that does not read must not hold us
                channel.sendto("\n".join(lines).encode("utf-8", "replace"), where)
        except (OSError, ValueError) as error:
            if not self._failed:
                _log.warning("the service manager cannot be told", address=self._address, error=str(error))
            self._failed = True
            return False
        self._failed = False
        return True


def _interval_s(usec: str, pid: str) -> float | None:
    if not usec or pid not in ("", str(os.getpid())):
        return None
    if not usec.isdecimal() or not 0 < len(usec) < 19 or int(usec) == 0:
        _log.warning("WATCHDOG_USEC is no number of microseconds, no watchdog is fed", value=usec[:40])
        return None
    return int(usec) / 1e6
