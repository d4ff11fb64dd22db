"""The place for faults: what may go wrong between the simulated broker and its client, decided outside the server.

The server asks a ``Faults`` at every point where the real service has been seen to fail; ``NoFaults`` answers that
all is well. Times are the market's, UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from hosu.kis.records import EncodedFrames, Ints
    from hosu.kis.simulator.tape import Burst

NEVER_US = 1 << 62
"""A time that does not come."""


@dataclass(frozen=True, slots=True)
class RestFault:
    """An answer given instead of the right one, or in front of it.

    ``status`` None answers rightly after the delay, 0 cuts the connection without an answer. The delay is of the
    server's clock. Where ``expires`` is set, every access token ends before the call is looked at.
    """

    status: int | None
    body: str = ""
    delay_s: float = 0.0
    expires: bool = False


@dataclass(frozen=True, slots=True)
class AckFault:
    """What becomes of a request: refused with ``code`` if there is one; its answer comes ``delay_s`` later (of the
    server's clock), or not at all where it is ``lost``; with ``close`` the connection ends with that code instead."""

    code: str | None = None
    delay_s: float = 0.0
    lost: bool = False
    close: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Treatment:
    """What becomes of frames that a connection should get; arrays have one entry a frame.

    ``frames`` holds their bytes, at the same places as the burst's, changed where ``spoiled``. Each is sent ``copies``
    times, in the sequence of ``order`` (twice the frame's number in the day where it keeps its place), and not before
    a frame of the time ``until_us`` is given out.
    """

    frames: EncodedFrames
    copies: npt.NDArray[np.uint8]
    spoiled: npt.NDArray[np.bool_]
    order: Ints
    until_us: Ints


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at a moment. ``number`` is a close code or a factor, ``until_us`` the end of its span;
    ``over`` says that this is that end."""

    kind: str
    clause: int
    number: float = 0.0
    until_us: int = NEVER_US
    over: bool = False


class Faults(Protocol):
    """Asked before each act of the server; every method is cheap and does no I/O."""

    def on_connect(self, connection: int, now_us: int) -> bool:
        """False refuses the WebSocket connection with HTTP 503."""

    def before_ack(self, connection: int, tr_id: str, key: str, now_us: int) -> AckFault | None:
        """What becomes of a request; None does what it asks."""

    def before_send(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:
        """What becomes of these frames (their indices within the burst); None sends them as they are.

        ``serial`` is the number, in the day, of the burst's first frame.
        """

    def before_ping(self, connection: int, now_us: int) -> float | None:
        """By how many seconds the datetime of this PINGPONG is off; None leaves it out."""

    def hears(self, connection: int, now_us: int) -> bool:
        """Whether an answer to PINGPONG counts."""

    def on_rest(self, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:
        """None answers rightly."""

    def first_act(self, burst: Burst, position: int, serial: int) -> int:
        """The first frame from ``position`` on before which something happens; the burst's length if nothing does."""

    def acts(self, now_us: int, frame: int) -> list[Act]:
        """What happens now: before frame number ``frame`` of the day, which is of the time ``now_us``. Once each."""

    def closed(self, now_us: int) -> bool:
        """Whether nobody can connect, so that the day must go on without anybody."""

    def prepare(self, burst: Burst) -> Burst:
        """The burst as it is sent. Called in the order of the day, in the thread that reads the tape."""

    def trades(self, now_us: int) -> bool:
        """Whether anything is traded."""

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None:
        """Notes that something was done to somebody, or, with None, to everybody."""

    def report(self) -> list[dict[str, Any]]:
        """What was done when, ready for JSON."""


class NoFaults:
    """All is well."""

    def on_connect(self, connection: int, now_us: int) -> bool:  # noqa: ARG002  the protocol's names
        return True

    def before_ack(self, connection: int, tr_id: str, key: str, now_us: int) -> AckFault | None:  # noqa: ARG002
        return None

    def before_send(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:  # noqa: ARG002
        return None

    def before_ping(self, connection: int, now_us: int) -> float | None:  # noqa: ARG002
        return 0.0

    def hears(self, connection: int, now_us: int) -> bool:  # noqa: ARG002
        return True

    def on_rest(self, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:  # noqa: ARG002
        return None

    def first_act(self, burst: Burst, position: int, serial: int) -> int:  # noqa: ARG002
        return len(burst)

    def acts(self, now_us: int, frame: int) -> list[Act]:  # noqa: ARG002
        return []

    def closed(self, now_us: int) -> bool:  # noqa: ARG002
        return False

    def prepare(self, burst: Burst) -> Burst:
        return burst

    def trades(self, now_us: int) -> bool:  # noqa: ARG002
        return True

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None: ...

    def report(self) -> list[dict[str, Any]]:
        return []
