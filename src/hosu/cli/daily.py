"""``hosu collect --daily``: each trading day from before its first order book to after its last, for weeks.

Waiting is done by the system's wall clock, looked at again and again: one that is corrected, or a machine that sleeps
through the morning, must not be found out at the end of a long sleep.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from hosu.cli.output import note
from hosu.errors import HosuError
from hosu.market.agenda import next_turn
from hosu.market.calendar import KST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from hosu.cli.attended import Attendant
    from hosu.clock import Clock
    from hosu.market.agenda import Turn
    from hosu.market.day_plan import Scope

_log = structlog.get_logger(__name__)

_LOOK_S: Final = 20.0
"""Between two looks at the clock; a laptop that wakes up is at work so soon."""
_WAIT_S: Final = 300.0
_RETRY_MIN_S: Final = 30.0
_RETRY_MAX_S: Final = 600.0
"""Between two tries of a day whose collection failed for now; what fails for good ends the process."""
_AGAIN_S: Final = 600.0
"""With more than this left of a day that seemed over, the clock was wrong, and the day is gone on with."""


class Days:
    """Collects day by day until a signal comes; ``run`` once, from the main thread and outside of an event loop.

    Args:
        prepare: by name what is done before a day, such as fetching its instruments; what it fails with is told, and
            the day collected.
        collect: collects a day, and returns the last status.
        finish: after a day, such as building bars; not after a signal.
        run_loop: runs a coroutine to its end.
    """

    def __init__(
        self,
        scope: Scope,
        clock: Clock,
        attendant: Attendant,
        *,
        lead_s: float,
        prepare: Sequence[tuple[str, Callable[[Turn], None]]],
        collect: Callable[[Turn], dict[str, Any]],
        finish: Callable[[Turn], None],
        run_loop: Callable[[Any], Any],
    ) -> None:
        self._scope, self._clock, self._attendant, self._lead_s = scope, clock, attendant, lead_s
        self._prepare, self._collect, self._finish, self._run_loop = prepare, collect, finish, run_loop
        self._stopped_by: str | None = None
        self._done: date | None = None
        self._failures, self._rest_until_s = 0, float("-inf")
        self._failed_with = ""

    def run(self) -> dict[str, Any]:
        """Collects for ever; returns the last day's status, or an empty one, after a signal.

        Raises:
            HosuError: what ended a day's collection for good. Who supervises starts again, within limits; what may pass
            is tried again here.
        """
        last: dict[str, Any] = {}
        while True:
            turn = self._run_loop(self._await_turn())
            if turn is None:
                _log.info("collector stops", reason=self._stopped_by)
                return last
            end_on_signals()
            for name, job in self._prepare:
                self._try(name, job, turn)
            try:
                last = self._collect(turn)
            except HosuError as error:
                if not error.retryable:
                    raise
                self._rest(error)
                continue
            finally:
                end_on_signals()
            self._failures = 0
            if str(last.get("reason") or "").startswith("SIG"):
                return last
            self._try("building bars", self._finish, turn)
            if self._clock.now_us() >= turn.end_us - _AGAIN_S * 1e6 or not _ended_by_clock(last):
                self._done = turn.day

    def _rest(self, error: HosuError) -> None:
        """What may pass is tried again, ever more slowly: a supervisor's restarts are few."""
        delay_s = min(_RETRY_MIN_S * 2.0 ** min(self._failures, 10), _RETRY_MAX_S)
        self._failures += 1
        self._rest_until_s, self._failed_with = self._clock.monotonic() + delay_s, str(error)
        _log.warning("collection failed, it will be tried again", error=str(error), delay_s=delay_s)
        note(f"hosu: {error}; trying again in {delay_s:,.0f} s")

    async def _await_turn(self) -> Turn | None:
        """The next day, once its time has come; None when a signal came first."""
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, stopped, signal.Signals(number).name)
        try:
            return await self._turn_or(stopped)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    def _stop(self, stopped: asyncio.Event, name: str) -> None:
        self._stopped_by = name
        self._attendant.stopping()
        stopped.set()

    async def _turn_or(self, stopped: asyncio.Event) -> Turn | None:
        said: Turn | None = None
        while not stopped.is_set():
            now_us = self._clock.now_us()
            turn = next_turn(now_us, self._scope, lead_s=self._lead_s, after=self._done)
            if turn != said:
                self._tell(turn, now_us, said)
                said = turn
            early_s, rest_s = (turn.begin_us - now_us) / 1e6, self._rest_until_s - self._clock.monotonic()
            if early_s <= 0 and rest_s <= 0:
                return turn
            if early_s > 0:
                self._attendant.enter(f"waiting for {_day_and_time(turn)}", waits=True, at_most_s=_WAIT_S)
            else:
                self._attendant.enter(f"waiting to try again ({self._failed_with})", at_most_s=_WAIT_S)
            await self._sleep(min(_LOOK_S, max(early_s, rest_s)), stopped)
        return None

    async def _sleep(self, seconds: float, stopped: asyncio.Event) -> None:
        tasks = [asyncio.ensure_future(self._clock.sleep(seconds)), asyncio.ensure_future(stopped.wait())]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    def _tell(self, turn: Turn, now_us: int, before: Turn | None) -> None:
        if before is not None and before.end_us <= now_us:
            note(f"hosu: {before.day} is over and was not collected: the machine slept, or its clock was set")
        special = f" ({turn.note})" if turn.note else ""
        doing = "waiting for" if turn.begin_us > now_us else "collecting"
        note(f"hosu: {doing} {_day_and_time(turn)}{special}")

    def _try(self, name: str, job: Callable[[Turn], None], turn: Turn) -> None:
        """Does what the next day can do without."""
        self._attendant.enter(name)
        try:
            job(turn)
        except (HosuError, OSError) as error:
            _log.warning("failed, going on without", what=name, day=str(turn.day), error=str(error))
            note(f"hosu: {name} failed: {error}; going on without")
        finally:
            end_on_signals()


def end_on_signals() -> None:
    """From now on SIGTERM ends the program, in order, wherever it is; until an event loop takes it over.

    The first process of a container has no default for it: without this, it would not hear it at all.
    """
    signal.signal(signal.SIGTERM, _leave)


def leave_where_asked(reason: str | None) -> None:
    """Ends the program where what it did was stopped by a signal of that name, as the signal would have."""
    if reason == signal.SIGTERM.name:
        _leave()
    if reason == signal.SIGINT.name:
        raise KeyboardInterrupt


def _leave(*_: object) -> None:
    note("hosu: stopped (SIGTERM)")
    sys.exit(0)


def _ended_by_clock(last: dict[str, Any]) -> bool:
    return "the market's day is over" in str(last.get("reason"))


def _day_and_time(turn: Turn) -> str:
    opens = datetime.fromtimestamp(turn.begin_us / 1e6, UTC).astimezone(KST)
    return f"{turn.day}, from {opens:%Y-%m-%d %H:%M} in Korea"
