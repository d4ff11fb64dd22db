"""What the broker sends in a crash test: frames of the simulator's exchange, control messages, replies, and garbage."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.market.calendar import instant_us, next_session

if TYPE_CHECKING:
    import random

    from hosu.collect.recorder import Recorder

DAY = date(2026, 9, 16)
START_US = instant_us(DAY, 9 * 3600.0)
_DAY_TEXT = b"20260916"
_PING = '{"header":{"tr_id":"PINGPONG","datetime":"%s"}}'
_TRADES = "H0STCNT0"
_ASKED_FOR = 3  # symbols whose registration the broker acknowledges by name
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


@cache
def symbols() -> tuple[str, ...]:
    """The symbols of the trades among these frames, in the order in which they come."""
    heads = (frame.split(b"|", 3) for frame in frames())
    found = (rest.split(b"^", 1)[0].decode() for _, tr_id, _, rest in heads if tr_id == _TRADES.encode())
    return tuple(dict.fromkeys(found))


class Market:
    """Sends ever on, whoever listens: the broker resends nothing.

    Attributes:
        day: the business date it is.
        time: what the broker's clock says, HHMMSS.
        tells: whether it does what a ledger goes by: acknowledges registrations, and loses a frame now and then.
    """

    def __init__(self, chance: random.Random) -> None:
        self._chance, self._place, self.volume = chance, chance.randrange(len(frames())), 0
        self.day, self.time, self.tells = DAY, "090000", False

    def connect(self, recorder: Recorder, now_us: int) -> None:
        recorder.session_event(1, {"event": "connected"})
        for symbol in symbols()[:_ASKED_FOR] if self.tells else ():
            recorder.session_event(1, {"event": "registered", "tr_id": _TRADES, "key": symbol})
        self._ping(recorder, now_us)

    def next_day(self) -> int:
        """The morning of the next business date; returns when that is, UTC microseconds.

        It is never played to its end, so that no day of those that are told apart counts anew.
        """
        self.day, self.time = next_session(self.day), "090000"
        self._place = self._chance.randrange(len(frames()) // 2)
        return instant_us(self.day, 9 * 3600.0)

    def evening(self, recorder: Recorder) -> int:
        """The day's last session is over, and the broker's clock says so twice, as it has to be; returns when."""
        now_us = instant_us(self.day, 20 * 3600.0 + 60)
        self.time = "200100"
        self._ping(recorder, now_us)
        self._ping(recorder, now_us)
        return now_us

    def _ping(self, recorder: Recorder, now_us: int) -> None:
        recorder.frames(1, now_us, [(_PING % f"{self.day:%Y%m%d}{self.time}").encode()])

    def send(self, recorder: Recorder, now_us: int) -> None:
        """One message, mostly market data."""
        kind = self._chance.random()
        if kind < 0.03:
            self._ping(recorder, now_us)
        elif kind < 0.05:
            recorder.frames(1, now_us, [b"0|H0STCNT0|001|005930^broken^" + str(self.volume).encode()])
        elif kind < 0.10:
            self.volume += 100
            recorder.reply(Reply(_PRICE % self.volume, now_us))
        elif kind < 0.12:
            recorder.clock_offset(self._chance.randrange(-1000, 1000))
        else:
            frame = frames()[self._place]
            self._place = (self._place + 1) % len(frames())
            if self.tells and self._chance.random() < 0.03:
                return  # lost on the way, and nobody says so
            if self.day != DAY:
                frame = frame.replace(_DAY_TEXT, f"{self.day:%Y%m%d}".encode())
            recorder.frames(1, now_us, [frame])
