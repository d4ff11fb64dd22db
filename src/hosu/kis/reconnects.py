"""When to connect again: jittered, ever longer delays, and a cap by the hour that outlives the process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from hosu.replacing import replace_file

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from hosu.clock import Clock

_HOUR_US: Final = 3_600_000_000


class Backoff:
    """Delays with full jitter: each is drawn evenly between ``least_s`` and a bound that doubles up to ``most_s``."""

    def __init__(self, least_s: float, most_s: float, random: Random) -> None:
        self._least_s, self._most_s, self._random = least_s, most_s, random
        self._failures = 0

    def delay_s(self) -> float:
        """The next delay; each call counts as one more failure."""
        self._failures += 1
        # The exponent is bounded: 2.0**1024 overflows, and a night of failures gets there.
        bound = min(self._most_s, self._least_s * 2.0 ** min(self._failures, 30))
        return self._random.uniform(self._least_s, max(self._least_s, bound))

    def reset(self) -> None:
        """Starts over, after a connection that held."""
        self._failures = 0


class HourlyCap:
    """Counts connection attempts of the last hour, and says how long to wait before the one too many.

    The broker blocks addresses and keys that connect and drop in a loop (KIS notice of 2026-02-24), so the count is
    kept in ``path`` across restarts: a supervisor that restarts a crashing process is a loop too. None keeps it in
    memory. Needs the appkey's lock to be held.
    """

    def __init__(self, path: Path | None, cap: int, clock: Clock) -> None:
        if cap < 1:
            raise ValueError(f"a cap of {cap} connections an hour allows none")
        self._path, self._cap, self._clock = path, cap, clock
        self._times_us: list[int] = _read_times(path) if path is not None else []

    def wait_s(self) -> float:
        """Seconds until the next attempt keeps within the cap: 0 when it does now."""
        now = self._clock.now_us()
        self._times_us = sorted(at for at in self._times_us if 0 <= now - at < _HOUR_US)
        over = len(self._times_us) - self._cap
        return 0.0 if over < 0 else (self._times_us[over] + _HOUR_US - now) / 1e6

    def take(self) -> None:
        """Counts one attempt, made now."""
        self._times_us.append(self._clock.now_us())
        self._keep()

    def forgive(self) -> None:
        """Takes the last attempt off the count: it never reached the broker."""
        del self._times_us[-1:]
        self._keep()

    def _keep(self) -> None:
        if self._path is not None:
            replace_file(self._path, json.dumps(self._times_us).encode(), private=True)


def _read_times(path: Path) -> list[int]:
    try:
        times = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return []  # absent or garbled: the count starts over
    return [at for at in times if isinstance(at, int)] if isinstance(times, list) else []
