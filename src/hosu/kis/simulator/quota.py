"""How many REST calls an appkey may make: a sliding second, as clients have observed it."""

from __future__ import annotations

from collections import deque
from typing import Final

PROFILES: Final[dict[str, int]] = {
    "live": 18,  # since 2026-04-20
    "live-2025": 20,  # until then
    "new-account": 3,  # the first three days of an account, since 2026-04-03
    "paper-2025": 2,
    "paper": 1,  # since 2026-04-20
}
"""Calls a second by kind of account."""


class Quota:
    """Counts calls of each appkey within the last second."""

    def __init__(self, limit: int | None) -> None:
        """``limit`` calls in any second; None allows all."""
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
            return False
        calls.append(now_s)
        return True
