"""Who gets which frames: the registrations of every connection against the frames of a burst, without a socket."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hosu.kis.simulator.frame_kernels import websocket_messages
from hosu.kis.simulator.report import LineTally, Tally
from hosu.kis.simulator.state import MarketState

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.kis.registrations import Registration
    from hosu.kis.simulator.faults import Faults
    from hosu.kis.simulator.tape import Burst, Tape


class Wire(Protocol):
    """The way to one client."""

    def write(self, messages: memoryview) -> None:
        """Sends WebSocket messages that are framed already; keeps what the client does not read yet."""


class Line:
    """One connection: what it has registered, and whether it takes more."""

    def __init__(self, connection: int, wire: Wire, tally: LineTally) -> None:
        self.connection, self.wire, self.tally = connection, wire, tally
        self.writable = asyncio.Event()
        self.writable.set()
        self._numbers: set[int] = set()
        self._mask = np.zeros(0, np.bool_)

    @property
    def registered(self) -> int:
        """How many keys it has registered."""
        return len(self._numbers)

    def register(self, number: int) -> None:
        """From now on it gets the frames of this registration."""
        self._numbers.add(number)
        self._mask = np.zeros(0, np.bool_)

    def release(self, number: int) -> None:
        """From now on it does not."""
        self._numbers.discard(number)
        self._mask = np.zeros(0, np.bool_)

    def mask(self, keys: int) -> npt.NDArray[np.bool_]:
        """One flag a registration number: whether it is registered here."""
        if len(self._mask) < keys:
            self._mask = np.zeros(keys, np.bool_)
            self._mask[list(self._numbers)] = True
        return self._mask


class Delivery:
    """Hands frames to connections, and counts."""

    def __init__(self, tape: Tape, clock: Clock, faults: Faults) -> None:
        self._tape, self._clock, self._faults = tape, clock, faults
        self.lines: dict[int, Line] = {}
        self.tally = Tally(tape)
        self.state = MarketState(tape.keys)
        self.changed_s = float("-inf")
        """When (monotonic) a registration was last made or released."""
        self.position_us = tape.start_us
        """The market time of the last frame given out."""

    def open(self, connection: int, wire: Wire) -> Line:
        """A new connection, without registrations."""
        tally = LineTally(connection, self._clock.now_us())
        self.tally.lines.append(tally)
        line = self.lines[connection] = Line(connection, wire, tally)
        return line

    def close(self, connection: int, reason: str) -> None:
        """The connection is gone, with its registrations."""
        line = self.lines.pop(connection, None)
        if line is not None:
            line.tally.closed_us, line.tally.reason = self._clock.now_us(), reason
            line.writable.set()

    def register(self, connection: int, key: Registration) -> None:
        """Frames of ``key`` go to the connection from now on."""
        self.lines[connection].register(self._tape.keys.number(key))
        self.changed_s = self._clock.monotonic()

    def release(self, connection: int, key: Registration) -> None:
        """They do no longer."""
        self.lines[connection].release(self._tape.keys.number(key))
        self.changed_s = self._clock.monotonic()

    def registrations(self) -> int:
        """How many there are, over all connections."""
        return sum(line.registered for line in self.lines.values())

    async def writable(self) -> None:
        """Returns when every connection takes more; so the slowest reader sets the pace, and nothing piles up."""
        for line in list(self.lines.values()):
            await line.writable.wait()

    def send(self, burst: Burst, first: int, last: int) -> None:
        """Gives out the frames from ``first`` to ``last`` of a burst."""
        keys, frames = len(self._tape.keys), burst.frames
        key = burst.key[first:last]
        sent = np.zeros(last - first, np.bool_)
        for line in list(self.lines.values()):
            if not line.registered:
                continue
            wanted = np.flatnonzero(line.mask(keys)[key]) + first
            chosen = self._faults.before_send(line.connection, wanted)
            if len(chosen):
                line.wire.write(memoryview(websocket_messages(frames.data, frames.start, frames.end, chosen)))
                mine = np.zeros(last - first, np.bool_)
                mine[chosen - first] = True
                line.tally.note(burst, first, last, mine, keys)
                sent |= mine
        self.tally.note(burst, first, last, sent)
        self.state.observe(burst, first, last)
        self.position_us = int(burst.at_us[last - 1])
