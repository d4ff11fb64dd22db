"""Predictions in a collecting process, wired: whoever serves answers at each minute's close."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.clock import Clock
    from hosu.features.sink import FeatureSink
    from hosu.lake.lake import Lake

MODELS = ("minute-10", "minute-30")


@contextmanager
def predicting(lake: Lake, features: FeatureSink, clock: Clock, *, simulated: bool) -> Iterator[None]:
    """While the block runs, champions and challengers predict from what ``features`` closes, and it is journaled.

    Raises:
        NotInstalledError: a model serves, and the extra ``models`` is missing.
    """
    from hosu.features.definitions import SCALE_FREE_V1
    from hosu.models.journal import LiveJournal
    from hosu.models.live import Live
    from hosu.models.registry import Registry
    from hosu.models.seats import Seats

    seats = Seats(lake, Registry(lake, clock), MODELS, SCALE_FREE_V1)
    # A simulated day runs faster than a clock: there is no saying how late an answer is.
    late = {"clock": _MarketTime(features, clock), "late_us": None} if simulated else {"clock": clock}
    live = Live(seats, LiveJournal(lake), SCALE_FREE_V1, **late)
    features.on_close.append(live.on_close)
    live.start()
    try:
        yield
    finally:
        live.stop()


@dataclass(frozen=True, slots=True)
class _MarketTime:
    """The time of a simulated market: how far its trades have come. Waiting is done by the clock on the wall."""

    features: FeatureSink
    clock: Clock

    def now_us(self) -> int:
        return self.features.market_us or self.clock.now_us()

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)
