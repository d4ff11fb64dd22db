"""What the feature sink remembers of one log as bytes, and back: what a restart goes on from.

Seven bytes of magic and one of format, version of the kernel, CRC-32 of what follows, length of a JSON object, the
object, then the arrays it names, one behind the other, little-endian.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from math import prod
from typing import Final

import numpy as np

from hosu.errors import InputError, LogCorruptError
from hosu.features import kernel
from hosu.features.online_bars import OnlineBars

FORMAT: Final = 2
_MAGIC: Final = b"HOSUFEA"
_HEAD: Final = struct.Struct("<7sBIII")
_NEXT: Final = "move it away to begin anew without it"


@dataclass(slots=True)
class Kept:
    """All that is remembered of one log up to the record ``lsn``, and of the day at hand.

    ``base`` is what was begun with: ``new``, ``new@LSN`` where the log had no record up to that one any more, or
    date/revision of a ``feature_state``; ``since`` the day on which that was. ``known`` names what was known of the day
    at hand when it began; empty for nothing. ``market_us`` is the latest time of a
    trade, UTC microseconds; 0 for none. ``streamed`` are symbols that were to be polled and have traded on the day.
    """

    wal_id: str
    lsn: int = -1
    base: str = "new"
    since: str = ""
    known: str = ""
    market_us: int = 0
    streamed: set[str] = field(default_factory=set)
    bars: OnlineBars = field(default_factory=OnlineBars)

    @property
    def began(self) -> str:
        """What the day at hand began with; behind a plus the day since which this has been carried on, behind a star
        what was known of the day."""
        base = self.base if self.since == self.bars.date else f"{self.base}+{self.since}"
        return f"{base}*{self.known}" if self.known else base


def pack(kept: Kept) -> bytes:
    """What is kept, as bytes."""
    arrays = {name: np.ascontiguousarray(values) for name, values in kept.bars.arrays().items()}
    facts = {
        "wal_id": kept.wal_id,
        "lsn": kept.lsn,
        "base": kept.base,
        "since": kept.since,
        "known": kept.known,
        "market_us": kept.market_us,
        "streamed": sorted(kept.streamed),
        "date": kept.bars.date,
        "symbols": kept.bars.symbols,
        "arrays": [[name, values.dtype.str, list(values.shape)] for name, values in arrays.items()],
    }
    told = json.dumps(facts).encode()
    body = b"".join([told, *(values.tobytes() for values in arrays.values())])
    return _HEAD.pack(_MAGIC, FORMAT, kernel.VERSION, zlib.crc32(body), len(told)) + body


def unpack(content: bytes, source: object) -> Kept:
    """What is kept in ``content``.

    Raises:
        LogCorruptError: it is none, or damaged.
        InputError: another version of the kernel or of this format wrote it.
    """
    if len(content) < _HEAD.size or content[:7] != _MAGIC:
        raise LogCorruptError(source, 0, "it does not begin as a state of features does", _NEXT)
    _, version, formulas, crc, length = _HEAD.unpack_from(content)
    body = content[_HEAD.size :]
    if zlib.crc32(body) != crc:
        raise LogCorruptError(source, _HEAD.size, "the state of features does not match its checksum", _NEXT)
    if (version, formulas) != (FORMAT, kernel.VERSION):
        found = f"a state of format {version} and kernel {formulas}, this is {FORMAT} and {kernel.VERSION}"
        raise InputError(str(source), found, "let it be built anew")
    try:
        return _restored(body, length)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        # The checksum is of the body alone: a length that is damaged takes the wrong part of it for the object.
        raise LogCorruptError(source, _HEAD.size, f"the state of features cannot be read: {error}", _NEXT) from error


def _restored(body: bytes, length: int) -> Kept:
    facts = json.loads(body[:length])
    arrays, at = {}, length
    for name, kind, shape in facts["arrays"]:
        arrays[name] = np.frombuffer(body, kind, prod(shape), at).reshape(shape)
        at += arrays[name].nbytes
    bars = OnlineBars.restored(facts["date"], facts["symbols"], arrays)
    streamed = set(facts["streamed"])
    told = {name: facts[name] for name in ("wal_id", "lsn", "base", "since", "known", "market_us")}
    return Kept(**told, streamed=streamed, bars=bars)
