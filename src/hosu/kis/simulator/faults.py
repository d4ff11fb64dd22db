"""The place for faults: what may go wrong between the simulated broker and its client, decided outside the server.

The server asks a ``Faults`` at every point where the real service has been seen to fail; ``NoFaults`` answers that
all is well. Times are the market's, UTC microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Literal, Protocol

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
    server's clock.
    """

    status: int | None
    body: str = ""
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AckFault:
    """What becomes of a request: refused with ``code`` if there is one; its answer comes ``delay_s`` later (of the
    server's clock), or not at all where it is ``lost``."""

    code: str | None = None
    delay_s: float = 0.0
    lost: bool = False


class Welcome(Enum):
    """What happens to somebody who connects."""

    COME_IN = auto()
    REFUSED = auto()  # HTTP 404
    CUT = auto()  # no answer, and the connection ends
    IGNORED = auto()  # no answer, and the connection stays


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
    """Something that happens at a moment. ``number`` is a close code or a factor, ``until_us`` the end of its span."""

    kind: Literal["close", "silence", "deaf", "expire", "burst", "restart"]
    clause: int
    number: float = 0.0
    until_us: int = NEVER_US


class Faults(Protocol):
    """Asked before each act of the server; every method is cheap and does no I/O."""

    def on_connect(self, connection: int, now_us: int) -> Welcome:
        """How the client that connects as ``connection`` is received."""

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

    def on_rest(self, method: str, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:
        """None answers rightly."""

    def first_act(self, burst: Burst, position: int, serial: int) -> int:
        """The first frame from ``position`` on before which something happens; the burst's length if nothing does."""

    def acts(self, now_us: int, frame: int) -> list[Act]:
        """What happens now: before frame number ``frame`` of the day, which is of the time ``now_us``. Once each."""

    def closed_until_us(self) -> int:
        """Until when nobody can connect, so that the day must go on without anybody; 0 when somebody can."""

    def trades(self, now_us: int) -> bool:
        """Whether anything is traded."""

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None:
        """Notes that something was done to somebody, or, with None, to everybody."""

    def report(self) -> list[dict[str, Any]]:
        """What was done when, ready for JSON."""


class NoFaults:
    """All is well."""

    def on_connect(self, connection: int, now_us: int) -> Welcome:  # noqa: ARG002  the protocol's names
        return Welcome.COME_IN

    def before_ack(self, connection: int, tr_id: str, key: str, now_us: int) -> AckFault | None:  # noqa: ARG002
        return None

    def before_send(self, connection: int, burst: Burst, wanted: Ints, serial: int) -> Treatment | None:  # noqa: ARG002
        return None

    def before_ping(self, connection: int, now_us: int) -> float | None:  # noqa: ARG002
        return 0.0

    def hears(self, connection: int, now_us: int) -> bool:  # noqa: ARG002
        return True

    def on_rest(self, method: str, path: str, tr_id: str, symbol: str, now_us: int) -> RestFault | None:  # noqa: ARG002
        return None

    def first_act(self, burst: Burst, position: int, serial: int) -> int:  # noqa: ARG002
        return len(burst)

    def acts(self, now_us: int, frame: int) -> list[Act]:  # noqa: ARG002
        return []

    def closed_until_us(self) -> int:
        return 0

    def trades(self, now_us: int) -> bool:  # noqa: ARG002
        return True

    def done(self, clause: int, now_us: int, connection: int | None = None, count: int = 1) -> None: ...

    def report(self) -> list[dict[str, Any]]:
        return []
