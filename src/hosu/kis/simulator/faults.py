"""The place for faults: what may go wrong between the simulated broker and its client, decided outside the server.

The server asks a ``Faults`` at every point where the real service has been seen to fail; ``NoFaults`` answers that
all is well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class RestFault:
    """An answer given instead of the right one; ``status`` 0 cuts the connection without an answer."""

    status: int
    body: str = ""
    delay_s: float = 0.0


class Faults(Protocol):
    """Asked before each act of the server; every method is cheap and does no I/O."""

    def on_connect(self, connection: int, path: str) -> bool:
        """False refuses the WebSocket connection with HTTP 503."""

    def before_ack(self, connection: int, answer: bytes) -> float:
        """Seconds by which the answer to a request is delayed; 0 sends it at once."""

    def before_send(self, connection: int, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Which of these frames (their indices within the burst) are really sent, in this order."""

    def before_ping(self, connection: int) -> bool:
        """False leaves out this PINGPONG."""

    def on_rest(self, method: str, path: str, tr_id: str) -> RestFault | None:
        """None answers rightly."""


class NoFaults:
    """All is well."""

    def on_connect(self, connection: int, path: str) -> bool:  # noqa: ARG002  the protocol's names
        return True

    def before_ack(self, connection: int, answer: bytes) -> float:  # noqa: ARG002
        return 0.0

    def before_send(self, connection: int, frames: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:  # noqa: ARG002
        return frames

    def before_ping(self, connection: int) -> bool:  # noqa: ARG002
        return True

    def on_rest(self, method: str, path: str, tr_id: str) -> RestFault | None:  # noqa: ARG002
        return None
