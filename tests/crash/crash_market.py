"""What the broker sends in a crash test: frames of the simulator's exchange, control messages, replies, and garbage."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    import random

    from hosu.collect.recorder import Recorder

DAY = date(2026, 9, 16)
START_US = instant_us(DAY, 9 * 3600.0)
PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20260916090000"}}'
_PRICE = '{"rt_cd":"0","output":{"stck_prpr":"71900","acml_vol":"%d"}}'


@dataclass
class Reply:
    """A REST reply as the recorder takes it."""

    body: str
    ts_recv_us: int
    tr_id: str = "FHKST01010100"
    path: str = "/uapi/domestic-stock/v1/quotations/inquire-price"
    params: dict[str, str] = field(default_factory=lambda: {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"})
    status: int = 200
    day: date | None = None


@cache
def frames() -> tuple[bytes, ...]:
    """Frames of all feeds from the open of one synthetic day on."""
    tape = Exchange(ExchangeConfig(DAY, seed=11, records=6_000, fills=4))
    found: list[bytes] = []
    for burst in islice(tape, 200):
        data = burst.frames.data
        found += [data[start:end].tobytes() for start, end in zip(burst.frames.start, burst.frames.end, strict=True)]
        if len(found) > 3_000:
            break
    return tuple(found)


class Market:
    """Sends ever on, whoever listens: the broker resends nothing."""

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._place, self.volume = chance, chance.randrange(len(frames())), 0

    def connect(self, recorder: Recorder, now_us: int) -> None:
        recorder.session_event(1, {"event": "connected"})
        recorder.frames(1, now_us, [PING])

    def send(self, recorder: Recorder, now_us: int) -> None:
        """One message, mostly market data."""
        kind = self._chance.random()
        if kind < 0.03:
            recorder.frames(1, now_us, [PING])
        elif kind < 0.05:
            recorder.frames(1, now_us, [b"0|H0STCNT0|001|005930^broken^" + str(self.volume).encode()])
        elif kind < 0.10:
            self.volume += 100
            recorder.reply(Reply(_PRICE % self.volume, now_us))
        elif kind < 0.12:
            recorder.clock_offset(self._chance.randrange(-1000, 1000))
        else:
            recorder.frames(1, now_us, [frames()[self._place]])
            self._place = (self._place + 1) % len(frames())
