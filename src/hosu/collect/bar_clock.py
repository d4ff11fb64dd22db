"""When bars close: a record in the log says so, at the place where it was decided.

Market time is what the caller says it is: the clock that stamps records, or how far a simulator's trades have come. A
minute is closed once market time has passed its end by a grace, for what is still on its way. Whoever builds bars goes
by the records alone, so that a replay closes every bar where it was closed live.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.clock import Clock


@dataclass(frozen=True, slots=True)
class BarClockConfig:
    """``grace_us`` passes between a minute's end and its close; ``look_every_s`` between looks at the time."""

    grace_us: int = 1_000_000
    look_every_s: float = 0.05


class BarClock:
    """Closes minutes as market time goes on. In the event loop's thread.

    Attributes:
        closed_us: up to when it has closed, UTC microseconds; 0 before the first time since the start. What was closed
            before a restart is closed again by the first record, and whoever reads it has it already.
    """

    def __init__(
        self,
        config: BarClockConfig,
        *,
        market_us: Callable[[], int],
        session_of: Callable[[int], tuple[int, int] | None],
        close: Callable[[int], None],
        clock: Clock,
        last_day: Callable[[], int | None] = lambda: None,
    ) -> None:
        """Begins; nothing is closed yet.

        Args:
            config: how long it waits.
            market_us: market time, UTC microseconds; 0 while it is not known.
            session_of: start and end of the session on the day of an instant; None on a day without one.
            close: closes all minutes that end at or before an instant (``Recorder.bar_close``).
            clock: for the looks.
            last_day: an instant of the day whose session ends with its feed, where that ends in order (a simulator's);
                None where the session ends by market time alone.
        """
        self._config, self._clock = config, clock
        self._market_us, self._session_of, self._close, self._last_day = market_us, session_of, close, last_day
        self.closed_us = 0

    async def run(self) -> None:
        """Looks at the time until cancelled."""
        while True:
            self.look()
            await self._clock.sleep(self._config.look_every_s)

    def look(self) -> None:
        """Closes what has ended."""
        now_us = self._market_us() - self._config.grace_us
        session = self._session_of(now_us) if now_us > 0 else None
        if session is None:
            return
        starts_us, ends_us = session
        self._close_until(min(now_us // MINUTE_US * MINUTE_US, ends_us), starts_us)

    def end_day(self) -> None:
        """The feed has ended in order: closes the rest of its day, where the day ends with it."""
        day_us = self._last_day()
        session = self._session_of(day_us) if day_us is not None else None
        if session is not None:
            self._close_until(session[1], session[0])

    def _close_until(self, until_us: int, starts_us: int) -> None:
        if until_us > max(self.closed_us, starts_us):
            self.closed_us = until_us
            self._close(until_us)
