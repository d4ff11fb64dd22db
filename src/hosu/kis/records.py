"""What parsing a batch of frames gives: records in columns, rejects with their reason, and what is neither.

Numbers are int64 everywhere: INT as they are, PRICE in hundredths of a won, CODE and SYMBOL as up to eight ASCII
bytes packed little-endian, TIME as seconds of the day (KST), DATE as yyyymmdd. ``NULL`` stands for an empty field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.layouts import Layout

    Ints = npt.NDArray[np.int64]

NULL: Final = int(np.iinfo(np.int64).min)
"""An empty field. No packed text looks like it: its last byte is not ASCII."""


def pack(text: str) -> int:
    """Up to eight ASCII characters as an int64; ``NULL`` for an empty text.

    Example: ``pack("Y")`` is 89, ``unpack(pack("005930"))`` is ``"005930"``.

    Raises:
        ValueError: longer than eight characters, or not ASCII.
    """
    raw = text.encode("ascii")
    if len(raw) > 8:
        raise ValueError(f"{text!r} is longer than eight characters")
    return int.from_bytes(raw, "little") if raw else NULL


def unpack(value: int) -> str | None:
    """The text of a packed code; None for ``NULL``."""
    if value == NULL:
        return None
    return int(value).to_bytes(8, "little").rstrip(b"\0").decode("ascii")


def unpack_many(values: Ints) -> list[str]:
    """The texts of packed codes; ``NULL`` must not be among them."""
    return [raw.decode("ascii") for raw in np.ascontiguousarray(values).view("S8").tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """Records of one TR and one width, in the order of their frames.

    ``frame`` is the index of each record's frame in the batch that was parsed, ``record_no`` its place in the frame
    from 0. ``columns`` has one array a field of the layout, by the broker's name, free texts excepted: those are in
    ``texts``, None where the broker sent nothing or ``(null)``. ``tails`` holds what lies beyond the layout, joined
    by ``^`` as it came; None when the records are no wider than the layout.
    """

    layout: Layout
    width: int
    frame: Ints
    record_no: npt.NDArray[np.int32]
    columns: dict[str, Ints]
    tails: list[str] | None
    texts: dict[str, list[str | None]]

    def __len__(self) -> int:
        return len(self.frame)


@dataclass(frozen=True, slots=True)
class Reject:
    """A record, or with ``record_no`` None a whole frame, that could not be parsed; goes to quarantine.

    ``raw`` is the frame, or the bytes of the one record; ``layout`` the label of the layout tried, if it came so
    far; ``symbol`` is None where none could be read.
    """

    frame: int
    record_no: int | None
    tr_id: str
    layout: str
    reason: str
    raw: bytes
    symbol: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A parsed batch.

    ``control`` are the frames that are JSON messages; ``unfiled`` well-formed frames that no table takes (encrypted
    ones too), which stand for ``unfiled_records`` records. Frames that say 000 and hold nothing appear nowhere.
    """

    records: list[Records]
    rejects: list[Reject]
    control: Ints
    unfiled: Ints
    unfiled_records: int


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """What the log knows of the frames, and the calendar of the records; turns records into rows.

    ``lsn`` and ``ts_recv_us`` (UTC microseconds) have one entry a frame of the batch, ``dates`` (business date,
    yyyymmdd, -1 where unknown) one a record.
    """

    wal_id: str
    lsn: Ints
    ts_recv_us: Ints
    dates: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFrames:
    """Frames in one buffer: frame ``i`` is ``data[start[i]:end[i]]`` and holds ``records[i]`` records."""

    data: npt.NDArray[np.uint8]
    start: Ints
    end: Ints
    records: Ints

    def __len__(self) -> int:
        return len(self.start)

    def frame(self, i: int) -> bytes:
        """The bytes of frame ``i``."""
        return self.data[self.start[i] : self.end[i]].tobytes()

    def frames(self) -> list[bytes]:
        """All frames as bytes."""
        raw = self.data.tobytes()
        return [raw[s:e] for s, e in zip(self.start.tolist(), self.end.tolist(), strict=True)]
