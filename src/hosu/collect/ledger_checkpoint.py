"""The ledger's state of one log as bytes, and back: what a restart goes on from.

Eight bytes of magic with the format's version, CRC-32 of what follows, then an Arrow stream: one row a series, and in
the schema's metadata what belongs to the log as a whole.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from hosu.collect import ledger_kernel as kernel
from hosu.collect.ledger_causes import Timeline
from hosu.collect.ledger_state import SeriesTable
from hosu.errors import InputError, LogCorruptError

FORMAT: Final = 1
_FAR: Final = 1 << 61  # higher than any number of a record
_MAGIC: Final = b"HOSULED"
_HEAD: Final = struct.Struct("<7sBI")
_SCHEMA: Final = pa.schema(
    [
        pa.field("date", pa.string()),
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("row", pa.binary()),
        pa.field("ring", pa.binary()),
        pa.field("holes", pa.binary()),
    ]
)
_SHAPE: Final = [kernel.FIELDS, kernel.RING, kernel.RING_FIELDS, kernel.HOLE_FIELDS]


@dataclass(slots=True)
class LogState:
    """All that the ledger knows of one log up to the record ``lsn``.

    ``began`` is, by date, the first record of the log that told of it, ``told`` the last one so far; ``marks``, by
    (date, scope), the first record by which the regular session had closed, and the day had ended (-1: not yet).
    ``heard`` are the last two times of the broker's clock. ``closed`` are dates that this log has had and that are
    judged by the lake alone from now on.
    """

    wal_id: str
    lsn: int = -1
    table: SeriesTable = field(default_factory=SeriesTable)
    timeline: Timeline = field(default_factory=Timeline)
    began: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    marks: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    heard: list[int] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)

    @property
    def clock_us(self) -> int:
        """The broker's clock, as the last two of its words agree on; before them a time long past."""
        return min(self.heard) if len(self.heard) == 2 else 0

    def span(self, date: str) -> tuple[int, int]:
        """The first record that tells of a date, and the number behind the last."""
        return self.began.get(date, 0), self.told.get(date, _FAR) + 1

    def close(self, date: str) -> None:
        """Leaves a date to who judges the lake: whatever comes of it, this log tells nothing of it any more."""
        self.closed.add(date)
        self.began.pop(date, None)
        self.told.pop(date, None)
        self.table.drop([date])
        self.timeline.let_go(min(self.began.values(), default=self.lsn))
        self.marks = {key: marks for key, marks in self.marks.items() if key[0] != date}

    def mark_clock(self, lsn: int, clock_us: int) -> None:
        """Notes which sessions are over by the broker's clock, of dates that had begun when it said so."""
        if not clock_us:
            return
        for number, series in enumerate(self.table.names):
            if self.began.get(series[0], -1) > lsn:
                continue
            marks = self.marks.setdefault(series[:2], [-1, -1])
            for level in (0, 1):
                if marks[level] < 0 and clock_us >= self.table.bounds[number, level]:
                    marks[level] = lsn


def pack(state: LogState) -> bytes:
    """The state as bytes."""
    table = state.table
    numbers = range(len(table))
    columns = [[series[i] for series in table.names] for i in range(3)]
    holes = [np.array(table.holes_of(number), np.int64).tobytes() for number in numbers]
    rows = [table.rows[number].tobytes() for number in numbers]
    rings = [table.rings[number].tobytes() for number in numbers]
    batch = pa.record_batch([*columns, rows, rings, holes], schema=_SCHEMA)
    facts = {
        "wal_id": state.wal_id,
        "lsn": state.lsn,
        "shape": _SHAPE,
        "timeline": state.timeline.pack(),
        "began": state.began,
        "told": state.told,
        "marks": [[*key, *marks] for key, marks in state.marks.items()],
        "heard": state.heard,
        "closed": sorted(state.closed),
    }
    sink = pa.BufferOutputStream()
    schema = _SCHEMA.with_metadata({b"ledger": json.dumps(facts).encode()})
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        writer.write_batch(batch.replace_schema_metadata(schema.metadata))
    body: bytes = sink.getvalue().to_pybytes()
    return _HEAD.pack(_MAGIC, FORMAT, zlib.crc32(body)) + body


def unpack(content: bytes, source: object) -> LogState:
    """The state in ``content``.

    Raises:
        LogCorruptError: it is none, or damaged.
        InputError: a newer hosu wrote it.
    """
    if len(content) < _HEAD.size or content[:7] != _MAGIC:
        raise LogCorruptError(source, 0, "it does not begin as a state of the ledger does")
    _, version, crc = _HEAD.unpack_from(content)
    if version != FORMAT:
        raise InputError(str(source), f"a ledger's state of format {version}, this is {FORMAT}", "update hosu")
    body = content[_HEAD.size :]
    if zlib.crc32(body) != crc:
        raise LogCorruptError(source, _HEAD.size, "the ledger's state does not match its checksum")
    reader = pa.ipc.open_stream(body)
    facts = json.loads(reader.schema.metadata[b"ledger"])
    if facts["shape"] != _SHAPE:
        raise InputError(str(source), "a ledger's state of another layout", "update hosu")
    state = LogState(
        facts["wal_id"],
        facts["lsn"],
        timeline=Timeline.unpack(facts["timeline"]),
        began=facts["began"],
        told=facts.get("told", {}),
        marks={(date, scope): marks for date, scope, *marks in facts["marks"]},
        heard=facts["heard"],
        closed=set(facts["closed"]),
    )
    for row in reader.read_all().to_pylist():
        _restore(state.table, row)
    return state


def _restore(table: SeriesTable, row: dict[str, Any]) -> None:
    holes = np.frombuffer(row["holes"], np.int64).reshape(-1, kernel.HOLE_FIELDS)
    ring = np.frombuffer(row["ring"], np.int64).reshape(kernel.RING, kernel.RING_FIELDS)
    table.restore((row["date"], row["scope"], row["symbol"]), np.frombuffer(row["row"], np.int64), ring, list(holes))
