"""How many REST calls an appkey may make: a sliding second, as clients have observed it."""

from __future__ import annotations

from collections import deque
from typing import Final

from hosu.errors import InputError

PROFILES: Final[dict[str, int]] = {
    "live": 18,  # since 2026-04-20
    "live-2025": 20,  # until then
    "new-account": 3,  # the first three days of an account, since 2026-04-03
    "paper-2025": 2,
    "paper": 1,  # since 2026-04-20
}
"""Calls a second by kind of account."""


def parse_quota(text: str) -> int:
    """Calls a second of a kind of account, by its name in ``PROFILES`` or as a number.

    Raises:
        InputError: it is neither.
    """
    if text in PROFILES:
        return PROFILES[text]
    if text.isdecimal() and len(text) <= 6 and int(text) >= 1:
        return int(text)
    raise InputError(f"quota {text}", "is unknown", f"choose a number of calls a second, or {', '.join(PROFILES)}")


class Quota:
    """Counts calls of each appkey within the last second; ``refused`` is how many went beyond the limit."""

    def __init__(self, limit: int | None) -> None:
        """``limit`` calls in any second; None allows all."""
        self.refused = 0
        self._limit = limit
        self._calls: dict[str, deque[float]] = {}

    def take(self, appkey: str, now_s: float) -> bool:
        """Whether the call at ``now_s`` is allowed; a refused call does not count against the next."""
        if self._limit is None:
            return True
        calls = self._calls.setdefault(appkey, deque())
        while calls and calls[0] <= now_s - 1.0:
            calls.popleft()
        if len(calls) >= self._limit:
            self.refused += 1
            return False
        calls.append(now_s)
        return True
