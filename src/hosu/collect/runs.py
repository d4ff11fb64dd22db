"""Runs of log records: packing a commit into bytes, and finding the records in bytes again.

A record is a header of 32 bytes and a payload. The header, little-endian: payload length (uint32), CRC-32 of the
24 bytes that follow and the payload (uint32), number (uint64), receive time in UTC microseconds (int64), kind
(uint8), flags (uint8), connection (uint16), zero (uint32).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from hosu.collect import wal_kernel as kernel
from hosu.collect.block import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

Bytes = npt.NDArray[np.uint8]
Record = tuple[int, int, int, bytes]
"""Kind, connection, receive time (UTC microseconds), payload."""

RECORD_HEADER_BYTES: Final = kernel.RECORD_HEADER_BYTES
MAX_PAYLOAD_BYTES: Final = kernel.MAX_PAYLOAD_BYTES
COMMIT_START: Final = 1
"""Flag of the first record of each commit: when it was written, everything before it had been synced."""

_HEADER_GAP: Final = bytearray(RECORD_HEADER_BYTES)
_FAULTS: Final = {
    kernel.SHORT: "the file ends within a record",
    kernel.BAD_LENGTH: "no record is that long",
    kernel.BAD_CRC: "a record's checksum does not match",
    kernel.BAD_LSN: "a record's number does not follow the one before",
}


def tag_of(kind: int, connection: int) -> int:
    """Kind and connection (0 to 65535) of a record in one number, as ``pack_columns`` takes them."""
    return kind << 16 | connection


def pack_columns(
    payloads: Sequence[bytes], times: Sequence[int], tags: Sequence[int], first_lsn: int
) -> tuple[bytearray, npt.NDArray[np.int64]]:
    """One commit's bytes, headers and payloads in turn, and the records' receive times (int64, microseconds).

    The three sequences have one entry a record: payload, receive time, and ``tag_of`` kind and connection.
    """
    count = len(payloads)
    buffer = _HEADER_GAP.join((b"", *payloads))
    ts_recv_us = np.fromiter(times, np.int64, count)
    packed_tags = np.fromiter(tags, np.int64, count)
    kernel.write_headers(
        np.frombuffer(buffer, np.uint8),
        np.fromiter(map(len, payloads), np.int64, count),
        first_lsn,
        ts_recv_us,
        (packed_tags >> 16).astype(np.uint8),
        (packed_tags & 0xFFFF).astype(np.uint16),
        COMMIT_START,
    )
    return buffer, ts_recv_us


def pack_records(items: Sequence[Record], first_lsn: int) -> tuple[bytearray, npt.NDArray[np.int64]]:
    """The same from one tuple a record."""
    kinds, connections, times, payloads = zip(*items, strict=True)
    return pack_columns(payloads, times, list(map(tag_of, kinds, connections)), first_lsn)


@dataclass(frozen=True, slots=True)
class Run:
    """The sound records a run of bytes begins with; ``stop`` is the offset behind them.

    ``fault`` says why it ends there: empty at the end of the bytes, else a sentence.
    ``flags`` has one entry a record of ``block``.
    """

    block: Block
    flags: npt.NDArray[np.uint8]
    stop: int
    fault: str


def read_run(
    wal_id: str, data: Bytes, begin: int, end: int, *, expected_lsn: int | None = None, check: bool = True
) -> Run:
    """The records in ``data[begin:end]``; the block refers to ``data`` without copying it.

    Args:
        wal_id: whose records they are.
        data: contiguous and writable, as the compiled readers want it.
        begin: offset of the first record's header.
        end: offset behind the last byte to look at.
        expected_lsn: number of the first record, each further one higher by one; None takes them as they come.
        check: compare checksums; False only for bytes checked before.
    """
    count, stop, fault = kernel.walk(data, begin, end, -1 if expected_lsn is None else expected_lsn, check)
    start, behind, lsn, ts_recv_us = (np.empty(count, np.int64) for _ in range(4))
    kind, flags, connection = np.empty(count, np.uint8), np.empty(count, np.uint8), np.empty(count, np.uint16)
    kernel.read_headers(data, begin, start, behind, lsn, ts_recv_us, kind, flags, connection)
    block = Block(wal_id, data, start, behind, lsn, ts_recv_us, kind, connection)
    return Run(block, flags, stop, _FAULTS.get(fault, ""))


def slice_block(block: Block, begin: int, end: int | None = None) -> Block:
    """Records ``begin`` to ``end`` (exclusive) of a block, without copying payloads."""
    part = slice(begin, end)
    return Block(
        block.wal_id,
        block.data,
        block.start[part],
        block.end[part],
        block.lsn[part],
        block.ts_recv_us[part],
        block.kind[part],
        block.connection[part],
    )


def join_blocks(blocks: Sequence[Block]) -> Block:
    """One block of the records of several, in their order. ``blocks`` must not be empty."""
    if len(blocks) == 1:
        return blocks[0]
    shifts = np.concatenate(([0], np.cumsum([len(block.data) for block in blocks[:-1]])))
    return Block(
        blocks[0].wal_id,
        np.concatenate([block.data for block in blocks]),
        np.concatenate([block.start + shift for block, shift in zip(blocks, shifts, strict=True)]),
        np.concatenate([block.end + shift for block, shift in zip(blocks, shifts, strict=True)]),
        np.concatenate([block.lsn for block in blocks]),
        np.concatenate([block.ts_recv_us for block in blocks]),
        np.concatenate([block.kind for block in blocks]),
        np.concatenate([block.connection for block in blocks]),
    )


def is_torn_tail(data: Bytes, at: int, expected_lsn: int) -> bool:
    """Whether what lies from ``at`` on can be the last, unsynced commit of a writer that was killed.

    It cannot when a later commit begins behind it: commits are written only after the one before is synced.
    """
    return int(kernel.find_record(data, at, len(data), expected_lsn, COMMIT_START)) < 0
