"""Looks after a collecting process from a thread of its own: the service manager, the health file, the endpoint.

The thread judges what the event loop told last, and so it notices when the loop tells nothing more. It lives as long
as the process collects, over all days, and never ends it: that is for whoever misses its pings.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import structlog

from hosu.collect.disk import DiskReport
from hosu.collect.health import Outlook, judge
from hosu.collect.progress import Progress
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hosu.cli.collect import Watched
    from hosu.cli.notify import Notifier
    from hosu.clock import SystemClock
    from hosu.collect.health import Health

_log = structlog.get_logger(__name__)

FILE: Final = "health.json"
_BEAT_S: Final = 1.0
_LOOK_S: Final = 1.0
_KEEP_S: Final = 5.0
_PING_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class AttendantConfig:
    """The event loop must tell of itself every ``loop_s``; a stage that is none of collecting, such as building bars,
    may take ``stage_s`` unless it says otherwise."""

    loop_s: float = 60.0
    stage_s: float = 7_200.0


@dataclass(slots=True)
class _Seen:
    """What was told last, and when; times are monotonic seconds."""

    status: dict[str, Any]
    told_s: float
    frames: int = 0
    frame_s: float | None = None
    stage: str | None = "starting"
    waits: bool = False
    patience_s: float = 0.0


class Attendant:
    """Use it as a context manager around all that a collecting process does; then ``watch`` what collects.

    Args:
        path: the health file; None writes none.
        open_for: since how many seconds the market trades continuously at a time (UTC microseconds); None when it
            does not, or when nobody knows.
        disk: the last report about the disks.
    """

    def __init__(
        self,
        path: Path | None,
        notifier: Notifier,
        clock: SystemClock,
        *,
        open_for: Callable[[int], float | None] = lambda _: None,
        disk: Callable[[], DiskReport] = DiskReport,
        config: AttendantConfig | None = None,
    ) -> None:
        self._path, self._notifier, self._clock = path, notifier, clock
        self._open_for, self._disk, self._config = open_for, disk, config or AttendantConfig()
        self._progress = Progress()
        self._seen = _Seen({}, clock.monotonic(), patience_s=self._config.stage_s)
        self._offset_us = 0
        self._ready_told = self._stopping_told = False
        self._pinged_s = self._kept_s = float("-inf")
        self._kept: tuple[object, ...] = ()
        self._leaving, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, name="hosu-attendant", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Says that the process ends, and why if it is not in order."""
        why = str(error) if isinstance(error, Exception) else self._seen.status.get("reason")
        self.enter(f"ended ({why})" if why else "ended")
        self._leaving.set()
        self._thread.join(2.0)
        self.attend()
        self.stopping()

    # --- what the process tells -------------------------------------------------------------------------------------

    async def watch(self, collector: Watched) -> dict[str, Any]:
        """Runs a collector, and tells of it while that lasts. Returns its last status."""
        from hosu.cli.collect import watched

        self._offset_us = self._clock.offset_us()  # a collector takes its time from the system's clock as it begins
        self.take(collector.status())
        telling = asyncio.create_task(self._tell(collector), name="attendant")
        try:
            return await watched(_Seconded(collector, self))
        finally:
            telling.cancel()
            self.take(collector.status())

    async def _tell(self, collector: Watched) -> None:
        while True:
            self.take(collector.status())
            await self._clock.sleep(_BEAT_S)

    def take(self, status: dict[str, Any]) -> None:
        """Takes a status, in the thread of the event loop whose turning it proves."""
        now_s, before = self._clock.monotonic(), self._seen
        frames = int(status.get("frames") or 0)
        # Each collection counts anew.
        known, frame_s = (before.frames, before.frame_s) if before.stage is None else (0, None)
        if frames != known:
            frame_s = now_s
        self._seen = _Seen(status, now_s, frames, frame_s, stage=None)
        if str(status.get("reason") or "").startswith("SIG"):
            self.stopping()

    def enter(self, name: str, *, waits: bool = False, at_most_s: float | None = None) -> None:
        """Begins something else than collecting, or goes on with it; it must be told again within ``at_most_s``.

        ``waits`` is for doing nothing, in order, until a time comes.
        """
        patience_s = at_most_s if at_most_s is not None else self._config.stage_s
        self._seen = _Seen(self._seen.status, self._clock.monotonic(), stage=name, waits=waits, patience_s=patience_s)

    def stopping(self) -> None:
        """Tells the manager that the process is about to end: from then on it counts its time to stop."""
        if not self._stopping_told:
            self._stopping_told = True
            self._notifier.send(STOPPING=1)

    # --- what the thread does ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._leaving.wait(_LOOK_S):
            try:
                self.attend()
            except Exception as error:  # noqa: BLE001 - it must go on, and its silence would end the process
                _log.warning("health not judged", error=repr(error))

    def attend(self) -> Health:
        """Judges, and tells whoever wants to know."""
        health, now_s = self.health(), self._clock.monotonic()
        mark = (health.alive, health.ready, health.state)
        if mark != self._kept or now_s - self._kept_s >= _KEEP_S:
            self._kept, self._kept_s = mark, now_s
            self._keep(health)
            self._notifier.send(STATUS=health.sentence)
        self._notify(health, now_s)
        return health

    def health(self) -> Health:
        """How the process stands now. May be called from any thread."""
        seen, now_s, offset_us = self._seen, self._clock.monotonic(), self._clock.offset_us()
        now_us = self._clock.now_us() + offset_us  # as the system's clock is now, for that is what readers compare with
        with self._lock:
            standing = self._standing(seen, now_s)
        return judge(
            seen.status,
            Outlook(
                now_us,
                standing,
                stage=seen.stage,
                waits=seen.waits,
                open_for_s=self._open_for(now_us),
                frame_age_s=None if seen.frame_s is None else now_s - seen.frame_s,
                disk=self._disk(),
                clock_off_s=(offset_us - self._offset_us) / 1e6 if seen.stage is None else 0.0,
            ),
        )

    def _standing(self, seen: _Seen, now_s: float) -> list[str]:
        still_s = now_s - seen.told_s
        if seen.stage is not None:
            return [f"{seen.stage} has taken {still_s:,.0f} s"] if still_s > seen.patience_s else []
        found = [f"the event loop stands still for {still_s:,.0f} s"] if still_s > self._config.loop_s else []
        return [*found, *self._progress.standing(seen.status, now_s)]

    def _keep(self, health: Health) -> None:
        if self._path is None:
            return
        content = json.dumps({"pid": os.getpid(), **health.as_json()}, ensure_ascii=False)
        with suppress(OSError):  # a full disk is what it would tell of; the endpoint and the log still do
            replace_file(self._path, content.encode("utf-8", "backslashreplace"), durable=False)

    def _notify(self, health: Health, now_s: float) -> None:
        if not self._ready_told and (health.state == "running" or self._seen.waits):
            self._ready_told = self._notifier.send(READY=1)
        interval_s = self._notifier.watchdog_s
        due = interval_s is not None and now_s - self._pinged_s >= min(interval_s / 3, _PING_S)
        if due and health.alive and self._notifier.send(WATCHDOG=1):
            self._pinged_s = now_s


@dataclass(frozen=True, slots=True)
class _Seconded:
    """A collector whose status has its health beside it, for the view on a terminal."""

    collector: Watched
    attendant: Attendant

    async def run(self) -> dict[str, Any]:
        return await self.collector.run()

    def status(self) -> dict[str, Any]:
        return {**self.collector.status(), "health": self.attendant.health().as_json()}


def read_health(path: Path) -> dict[str, Any] | None:
    """What the health file says; None where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "ready" in found else None
