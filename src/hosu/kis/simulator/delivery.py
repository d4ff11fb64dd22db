"""Who gets which frames: the registrations of every connection against the frames of a burst, without a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from hosu.kis.simulator.faults import Treatment
from hosu.kis.simulator.frame_kernels import websocket_messages
from hosu.kis.simulator.outbox import Chunk, Outbox, Run
from hosu.kis.simulator.report import LineTally, Tally
from hosu.kis.simulator.state import MarketState

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.kis.records import Ints
    from hosu.kis.registrations import Registration
    from hosu.kis.simulator.faults import Faults
    from hosu.kis.simulator.tape import Burst, Tape


_LAST: Final = 1 << 62  # later than any time, behind any frame


class Wire(Protocol):
    """The way to one client."""

    def write(self, messages: memoryview) -> None:
        """Sends WebSocket messages that are framed already; keeps what the client does not read yet."""


class Line:
    """One connection: what it has registered, and whether it takes more."""

    def __init__(self, connection: int, wire: Wire, tally: LineTally) -> None:
        self.connection, self.wire, self.tally = connection, wire, tally
        self.outbox = Outbox()
        self.silent_until_us = 0
        """Before this time (the market's) nothing goes out, although the connection stands."""
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
        self._chunks: deque[Chunk] = deque()
        self._burst: Burst | None = None
        self._serial = 0
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
            line.outbox.lose()
            line.writable.set()
            self._count()

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

    def serial(self, burst: Burst) -> int:
        """The number, in the day, of the burst's first frame. Bursts come in their order."""
        if burst is not self._burst:
            self._serial += len(self._burst) if self._burst is not None else 0
            self._burst = burst
        return self._serial

    def send(self, burst: Burst, first: int, last: int) -> None:
        """Gives out the frames from ``first`` to ``last`` of a burst."""
        keys, key, serial = len(self._tape.keys), burst.key[first:last], self.serial(burst)
        chunk = Chunk(burst, first, last)
        self._chunks.append(chunk)
        for line in list(self.lines.values()):
            if line.registered or line.outbox:
                wanted = np.flatnonzero(line.mask(keys)[key]) + first
                self._give(line, chunk, wanted, serial)
        self._count()
        self.state.observe(burst, first, last)
        self.position_us = int(burst.at_us[last - 1])

    def finish(self) -> None:
        """Gives out what is held back, for nothing more comes that it could wait for."""
        for line in list(self.lines.values()):
            self._release(line, _LAST, _LAST)
        self._count()

    def silence(self, connection: int, until_us: int) -> None:
        """Nothing goes out on a connection before that time (the market's), and what is held back for it is lost."""
        line = self.lines.get(connection)
        if line is not None:
            line.silent_until_us = until_us
            line.outbox.lose()
            self._count()

    def _give(self, line: Line, chunk: Chunk, wanted: Ints, serial: int) -> None:
        chunk.asked(wanted)
        burst = chunk.burst
        if line.silent_until_us:
            wanted = wanted[burst.at_us[wanted] >= line.silent_until_us]
        treatment = self._faults.before_send(line.connection, burst, wanted, serial) if len(wanted) else None
        if treatment is None and not line.outbox:
            self._write(line, Run(chunk, burst.frames, wanted))
            return
        if len(wanted):
            line.outbox.put(chunk, wanted, treatment or as_they_are(burst, wanted, serial))
        self._release(line, int(burst.at_us[chunk.last - 1]), 2 * (serial + chunk.last - 1) + 1)

    def _release(self, line: Line, at_us: int, order: int) -> None:
        for run in line.outbox.due(at_us, order):
            self._write(line, run)

    def _write(self, line: Line, run: Run) -> None:
        """Sends, and counts: frames that are spoiled are sent too, but nobody can say that he got what they said."""
        if not len(run.frame):
            return
        frames, chunk = run.frames, run.chunk
        line.wire.write(memoryview(websocket_messages(frames.data, frames.start, frames.end, run.frame)))
        whole = run.frame if run.spoiled is None else run.frame[~run.spoiled]
        once = np.zeros(chunk.last - chunk.first, np.bool_)
        once[whole - chunk.first] = True
        line.tally.note(chunk.burst, chunk.first, chunk.last, once, len(self._tape.keys))
        if run.spoiled is not None:
            again = np.bincount(whole - chunk.first, minlength=len(once)) > 1
            if again.any():
                line.tally.note(chunk.burst, chunk.first, chunk.last, again, len(self._tape.keys))
        chunk.sent(whole)

    def _count(self) -> None:
        """Counts, in the order of the day, what is settled."""
        while self._chunks and not self._chunks[0].holds:
            chunk = self._chunks.popleft()
            self.tally.note(chunk.burst, chunk.first, chunk.last, chunk.fate)


def as_they_are(burst: Burst, wanted: Ints, serial: int) -> Treatment:
    """No fault, for frames that have to wait behind others."""
    count = len(wanted)
    order, now_us = 2 * (serial + wanted), np.zeros(count, np.int64)
    return Treatment(burst.frames, np.ones(count, np.uint8), np.zeros(count, np.bool_), order, now_us)
