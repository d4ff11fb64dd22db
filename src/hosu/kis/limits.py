"""How fast we may ask: the broker's limits by date, and a governor shared by all processes of one application key."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import struct
from collections import deque
from dataclasses import dataclass
from datetime import date
from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.kis.hosts import HostName


@dataclass(frozen=True, slots=True)
class Limit:
    """Calls the broker allows in any second from ``valid_from`` on, by environment and for new accounts."""

    valid_from: date
    live: int
    paper: int
    new_account: int | None = None  # live, in the first days of an account; None: no such rule
    new_account_days: int = 0


SCHEDULE: Final = (
    # KIS notices (API 유량제한); the count is per application key and a sliding second.
    Limit(date(2023, 10, 27), live=20, paper=2),
    Limit(date(2026, 4, 3), live=20, paper=2, new_account=3, new_account_days=3),
    Limit(date(2026, 4, 20), live=18, paper=1, new_account=3, new_account_days=3),
)
"""The limits announced, oldest first."""


def limit_on(day: date, host: HostName, account_age_days: int | None = None) -> int:
    """Calls a second the broker allows on ``day``; None for an account's age means an old one.

    Days before the first notice known get that one's limit; a simulator is as strict as the live broker.
    """
    limit = next((limit for limit in reversed(SCHEDULE) if limit.valid_from <= day), SCHEDULE[0])
    if host == "paper":
        return limit.paper
    is_new = account_age_days is not None and account_age_days < limit.new_account_days
    return limit.new_account if is_new and limit.new_account is not None else limit.live


@dataclass(frozen=True, slots=True)
class Pace:
    """What we allow ourselves: at most ``calls`` in any ``window_s`` seconds, ``gap_s`` apart or more."""

    calls: int
    window_s: float = 1.0
    gap_s: float = 0.0


def pace_on(day: date, host: HostName, account_age_days: int | None = None) -> Pace:
    """Our pace under the broker's limit: two thirds of it, 12 a second of 18.

    Live users at 16-17 a second under a limit of 20 saw thousands of refusals a day, at 10-12 hardly any. One call a
    second is paced at 1.25 s: the broker counts when calls arrive, and a tenth of a second of delay on the way of one
    was not enough (one refusal in three minutes, measured).
    """
    limit = limit_on(day, host, account_age_days)
    calls = max(1, limit * 2 // 3)
    return Pace(calls, window_s=1.25 if limit == 1 else 1.0, gap_s=0.5 / limit)


class Priority(IntEnum):
    """Who goes first when calls queue: LIVE; the other two share what it leaves."""

    LIVE = 0
    BACKFILL = 1
    POLL = 2


_HEAD: Final = struct.Struct("<4sfqqq")
"""Magic, slowness, and three times: of the last refusal, and when another call and when a poll last had to wait."""
_MAGIC: Final = b"HGV2"
_MAX_SLOWNESS: Final = 8.0
_SLOWER: Final = 1.5
_RECOVERY_S: Final = 60.0
_KEPT: Final = 64  # grants remembered; more than any limit allows in four seconds of one call or one second of twenty
_SKEW_US: Final = 5_000_000  # clocks of two processes differ by less, or one was set


@dataclass(slots=True)
class _State:
    slowness: float
    refused_us: int
    grants: list[tuple[int, int]]  # (time, priority), oldest first
    waited_us: int = 0  # when a call other than a poll last had to wait
    polls_waited_us: int = 0


class Governor:
    """Grants calls at a pace, in the order of their priority, to all processes that share the file ``path``.

    The file is locked only while a grant is looked up and written; waiting happens outside the lock. A refusal by
    the broker slows every process down by half; each quiet minute takes one such step back. Back-fill leaves a
    quarter of the calls to live work. Polls take whatever nobody else wants, and leave a quarter while anybody, in
    whatever process, has to wait: it goes to live calls first, then to back-fill. Back-fill in turn takes no more
    than that quarter while polls wait. Times in the file are wall-clock microseconds; what lies seconds in the future
    (a clock set back) does not count.
    """

    def __init__(self, path: Path, pace: Pace, clock: Clock) -> None:
        self._path, self.pace, self._clock = path, pace, clock
        self._queues: dict[Priority, deque[asyncio.Event]] = {priority: deque() for priority in Priority}

    async def acquire(self, priority: Priority = Priority.LIVE) -> int:
        """Waits for its turn; returns the time of the grant, UTC microseconds. Cancelling gives the turn up."""
        turn = asyncio.Event()
        self._queues[priority].append(turn)
        try:
            return await self._wait(turn, priority)
        finally:
            self._queues[priority].remove(turn)
            for queue in self._queues.values():
                if queue:
                    queue[0].set()

    async def _wait(self, turn: asyncio.Event, priority: Priority) -> int:
        while True:
            if not self._is_next(turn, priority):
                turn.clear()
                await turn.wait()
                continue
            granted_us, wait_us = self._try_grant(priority)
            if granted_us is not None:
                return granted_us
            await self._clock.sleep(wait_us / 1e6)

    def _is_next(self, turn: asyncio.Event, priority: Priority) -> bool:
        if priority is not Priority.LIVE and self._queues[Priority.LIVE]:
            return False
        return self._queues[priority][0] is turn

    def refused(self) -> None:
        """Notes that the broker refused a call for its pace (EGW00201): everybody goes slower for a while."""
        with _locked(self._path) as descriptor:
            now = self._clock.now_us()
            state = _read(descriptor, now)
            state.slowness, state.refused_us = min(_MAX_SLOWNESS, _recovered(state, now) * _SLOWER), now
            _write(descriptor, state)

    def slowness(self) -> float:
        """By how much the pace is stretched now; 1.0 when the broker is content."""
        with _locked(self._path) as descriptor:
            now = self._clock.now_us()
            return _recovered(_read(descriptor, now), now)

    def calls_per_s(self) -> float:
        """Calls a second that are granted at present, all processes together."""
        return self.pace.calls / (self.pace.window_s * self.slowness())

    def _try_grant(self, priority: Priority) -> tuple[int | None, int]:
        # The time is taken under the lock, or a process that waited for it would write grants out of order.
        with _locked(self._path) as descriptor:
            now = self._clock.now_us()
            state = _read(descriptor, now)
            wait_us = _wait_us(state, self.pace, now, priority)
            if wait_us > 0:
                if priority is Priority.POLL:
                    state.polls_waited_us = now
                else:
                    state.waited_us = now
                _write(descriptor, state)
                return None, wait_us
            state.grants = [*state.grants, (now, int(priority))][-_KEPT:]
            _write(descriptor, state)
            return now, 0


def _wait_us(state: _State, pace: Pace, now: int, priority: Priority) -> int:
    """Microseconds until a call of that priority may be made; 0 or less: now."""
    slowness = _recovered(state, now)
    window_us = round(pace.window_s * slowness * 1e6)
    waits = [0, _until_room([at for at, _ in state.grants], pace.calls, window_us, now)]
    if state.grants:
        waits.append(state.grants[-1][0] + round(pace.gap_s * slowness * 1e6) - now)
    # Shares are counted over so many windows that a quarter of them is a whole call.
    windows = -(-4 // pace.calls)
    span_us = windows * window_us
    own = [at for at, kind in state.grants if kind == priority]
    if priority is Priority.POLL:
        yielded = _until_room(own, max(1, windows * pace.calls * 3 // 4), span_us, now)
        waits.append(min(yielded, state.waited_us + span_us - now))
    elif priority is Priority.BACKFILL:
        others = [at for at, kind in state.grants if kind != Priority.POLL]
        waits.append(_until_room(others, max(1, pace.calls * 3 // 4), window_us, now))
        yielded = _until_room(own, max(1, windows * pace.calls // 4), span_us, now)
        waits.append(min(yielded, state.polls_waited_us + span_us - now))
    return max(waits)


def _until_room(grants_us: list[int], calls: int, window_us: int, now: int) -> int:
    """Microseconds until fewer than ``calls`` of these lie in the window before then."""
    if len(grants_us) < calls:
        return 0
    # One microsecond more, so that a window closed at both ends never holds one call too many.
    return grants_us[-calls] + window_us + 1 - now


def _recovered(state: _State, now: int) -> float:
    quiet_minutes = max(0, now - state.refused_us) / 1e6 // _RECOVERY_S
    return float(max(1.0, state.slowness / _SLOWER ** min(quiet_minutes, 20)))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # held for microseconds, so it may block the loop
        yield descriptor
    finally:
        os.close(descriptor)


def _read(descriptor: int, now: int) -> _State:
    raw = os.pread(descriptor, 4096, 0)
    if len(raw) < _HEAD.size or raw[:4] != _MAGIC:
        return _State(1.0, 0, [])
    _, slowness, refused_us, waited_us, polls_waited_us = _HEAD.unpack_from(raw)
    packed = struct.unpack_from(f"<{(len(raw) - _HEAD.size) // 8}q", raw, _HEAD.size)
    grants = [(each >> 2, each & 3) for each in packed]
    sane = slowness if 1.0 <= slowness <= _MAX_SLOWNESS else 1.0
    sound = [each for each in grants if 0 < each[0] <= now + _SKEW_US]
    return _State(sane, min(refused_us, now), sound, min(waited_us, now), min(polls_waited_us, now))


def _write(descriptor: int, state: _State) -> None:
    head = _HEAD.pack(_MAGIC, state.slowness, state.refused_us, state.waited_us, state.polls_waited_us)
    packed = [at << 2 | kind for at, kind in state.grants]
    content = head + struct.pack(f"<{len(packed)}q", *packed)
    os.pwrite(descriptor, content, 0)
    os.ftruncate(descriptor, len(content))
