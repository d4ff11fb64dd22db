"""A run of log records in memory: the one form in which frames travel from the log to whoever reads it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class RecordKind(IntEnum):
    """What a log record holds."""

    FRAME = 1  # one WebSocket text message as it came, control messages included
    REST = 2  # one REST reply: JSON {tr_id, path, params, status, body}, no secrets
    SESSION = 3  # what happened to a connection: JSON {event, ...}
    BAR_CLOSE = 4  # here the bars of an interval close: JSON {interval, until_us}
    CLOCK = 5  # system wall clock minus receive clock: JSON {offset_us}


@dataclass(frozen=True, slots=True)
class Block:
    """Records of one log, in the order of their log sequence numbers (LSN).

    ``data`` is one contiguous buffer; record ``i`` is ``data[start[i]:end[i]]``. Bytes between records may be
    headers: readers go by ``start`` and ``end`` only. All arrays have one entry a record.
    """

    wal_id: str
    data: npt.NDArray[np.uint8]
    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    lsn: npt.NDArray[np.int64]
    ts_recv_us: npt.NDArray[np.int64]  # UTC microseconds
    kind: npt.NDArray[np.uint8]  # RecordKind
    connection: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.lsn)

    def payload(self, i: int) -> bytes:
        """The bytes of record ``i``."""
        return self.data[self.start[i] : self.end[i]].tobytes()
