"""Plays a tape to whoever is connected, at a pace."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from hosu.kis.simulator.faults import NoFaults
from hosu.kis.simulator.pacing import MaxPacer, Pace, Pacer, Pulse, RatePacer, SpeedPacer, make_pacer
from hosu.market.calendar import business_day, instant_us

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from hosu.clock import Clock
    from hosu.kis.simulator.delivery import Delivery
    from hosu.kis.simulator.faults import Act, Faults
    from hosu.kis.simulator.tape import Burst, Tape

_LOOK_S = 0.01
_DOZE_S = 1.0  # what should happen at a moment may come long before the next frame


def _midnight_after_us(ts_us: int) -> int:
    """The KST midnight that ends the day of ``ts_us``, UTC microseconds."""
    day, _ = business_day(ts_us)
    return instant_us(day, 86_400)


@dataclass(frozen=True, slots=True)
class PlayConfig:
    """When and how fast the tape is played.

    At a ``speed`` the day begins with the server. At a ``rate`` or ``max`` it begins once ``expect`` registrations
    are there and none has come for ``settle_s``, for otherwise what is registered later would miss the beginning; at
    ``max`` later changes of registrations stop it for so long too.

    ``away`` says what happens while nobody has registered anything after that: ``hold`` stops the day, ``run`` lets
    it go on. At ``max`` it goes on ``grace_s`` later and at ``away_rate`` records a second, or nothing would be left
    for a client that comes back.
    """

    pace: Pace = field(default_factory=Pace)
    expect: int = 1
    settle_s: float = 1.0
    away: Literal["run", "hold"] = "run"
    grace_s: float = 1.0
    away_rate: float = 10_000.0


class Player:
    """One run of a tape."""

    def __init__(
        self,
        tape: Tape,
        delivery: Delivery,
        config: PlayConfig,
        clock: Clock,
        on_new_day: Callable[[], None] = lambda: None,
        *,
        faults: Faults | None = None,
        commit: Callable[[Act], Awaitable[None]] | None = None,
    ) -> None:
        """``commit`` does what ``faults`` say should happen at a moment of the day."""
        self._tape, self._delivery, self._config, self._clock = tape, delivery, config, clock
        self._on_new_day, self._faults, self._commit = on_new_day, faults or NoFaults(), commit
        self._midnight_us = _midnight_after_us(tape.start_us)
        self._pacer: Pacer | None = None
        self._pulse = Pulse(clock)
        self._away: RatePacer | None = None
        self.ended = False

    def now_us(self) -> int:
        """The market's time, UTC microseconds: at a speed its clock's, else that of the last frame given out."""
        if isinstance(self._pacer, SpeedPacer) and not self.ended:
            return max(self._delivery.position_us, self._pacer.now_us())
        return self._delivery.position_us

    def hurry(self, factor: float) -> None:
        """From now on the day passes so many times as fast as it would; at ``max`` that changes nothing."""
        self._pulse.hurry(factor)

    async def run(self) -> None:
        """Returns when everything has been given out. Cancelling leaves the rest unsent."""
        if self._config.pace.kind != "speed":
            await self._gathered()
        pacer = self._pacer = make_pacer(self._config.pace, self._pulse, self._tape.start_us)
        async with _Prefetch(map(self._faults.prepare, self._tape)) as bursts:
            async for burst in bursts:
                await self._play(burst, pacer)
        self._delivery.finish()
        self.ended = True

    async def _play(self, burst: Burst, pacer: Pacer) -> None:
        position, serial = 0, self._delivery.serial(burst)
        while position < len(burst):
            away = await self._attend(pacer)
            last = min((away or pacer).due(burst, position), self._end_of_day(burst, position))
            if last == position:
                await self._act(self.now_us(), serial + position - 1)
                await self._clock.sleep(min((away or pacer).wait_s(burst, position) / self._pulse.factor, _DOZE_S))
                continue
            until = self._faults.first_act(burst, position, serial)
            if until == position:
                await self._act(int(burst.at_us[position]), serial + position)
                continue  # it may have changed who is there
            last = min(last, until)
            await self._delivery.writable()
            self._tell_a_new_day(int(burst.at_us[position]))
            if self._faults.trades(int(burst.at_us[position])):
                self._delivery.send(burst, position, last)
            else:
                self._delivery.position_us = int(burst.at_us[last - 1])
            position = last
            await asyncio.sleep(0)

    async def _act(self, now_us: int, frame: int) -> None:
        """Does what should happen by now, before frame number ``frame`` of the day."""
        for act in self._faults.acts(now_us, frame):
            self._delivery.position_us = max(self._delivery.position_us, now_us)
            if self._commit is not None:
                await self._commit(act)

    # --- recordings of several days -------------------------------------------------------------------------------

    def _end_of_day(self, burst: Burst, position: int) -> int:
        """The first frame after ``position`` that is of a later day."""
        return int(np.searchsorted(burst.at_us, _midnight_after_us(int(burst.at_us[position])), side="left"))

    def _tell_a_new_day(self, at_us: int) -> None:
        """Heartbeats before the first frame of a later day: clients take the date of order books from them, and the
        next regular one may come after hours of the new day have passed. Two, for a single one may be a garbled one."""
        if at_us >= self._midnight_us:
            self._midnight_us = _midnight_after_us(at_us)
            self._delivery.position_us = at_us
            for _ in range(2):
                self._on_new_day()

    # --- nobody there ---------------------------------------------------------------------------------------------

    async def _attend(self, pacer: Pacer) -> Pacer | None:
        """Waits while the day stands still; returns the pace of a day that goes on without anybody, else None."""
        if self._delivery.registrations() and not self._unsettled(pacer):
            self._away = None
            return None
        alone = self._faults.closed(self.now_us())
        if (self._config.away == "hold" and not alone) or self._delivery.registrations():
            began = self._pulse.monotonic()
            await self._gathered()
            pacer.hold(self._pulse.monotonic() - began)
            return None
        if not isinstance(pacer, MaxPacer):
            return None
        if self._away is None:
            if not alone and await self._came_back():
                return None
            self._away = RatePacer(self._clock, self._config.away_rate)
        return self._away

    def _unsettled(self, pacer: Pacer) -> bool:
        quiet_s = self._clock.monotonic() - self._delivery.changed_s
        return isinstance(pacer, MaxPacer) and quiet_s < self._config.settle_s

    async def _came_back(self) -> bool:
        """Whether somebody registers within the grace."""
        until = self._clock.monotonic() + self._config.grace_s
        while self._clock.monotonic() < until and not self._delivery.registrations():
            await self._clock.sleep(_LOOK_S)
        return self._delivery.registrations() > 0

    async def _gathered(self) -> None:
        """Returns when enough has been registered and no more comes."""
        wanted = self._config.expect if self._pacer is None else 1
        while True:
            quiet_s = self._clock.monotonic() - self._delivery.changed_s
            if self._delivery.registrations() >= wanted and quiet_s >= self._config.settle_s:
                return
            await self._clock.sleep(_LOOK_S)


class _Prefetch:
    """Reads the tape one burst ahead, in a thread: what is drawn and encoded there runs beside the sending."""

    def __init__(self, bursts: Iterator[Burst]) -> None:
        self._iterator = bursts
        self._thread = ThreadPoolExecutor(1, "simulator-tape")

    async def __aenter__(self) -> AsyncIterator[Burst]:
        return self._bursts()

    async def __aexit__(self, *_: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    async def _bursts(self) -> AsyncIterator[Burst]:
        loop = asyncio.get_running_loop()
        ahead = loop.run_in_executor(self._thread, next, self._iterator, None)
        while (burst := await ahead) is not None:
            ahead = loop.run_in_executor(self._thread, next, self._iterator, None)
            yield burst
