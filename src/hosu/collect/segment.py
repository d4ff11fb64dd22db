"""The log's file format, version 1: a header, records, and a seal. Described in docs/reference/log-format.md.

A segment file is called by its first log sequence number (LSN), 20 digits, and ``.log``. While it is written it has
no seal; the seal is added when it is closed. A sealed segment can be checked by itself, compressed or not.
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import pyarrow as pa

from hosu.collect.runs import MAX_PAYLOAD_BYTES, RECORD_HEADER_BYTES, Bytes, Run, is_torn_tail, read_run
from hosu.errors import InputError, LogCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.collect.block import Block

FORMAT_VERSION: Final = 1
MAGIC: Final = b"HOSULOG\x01"
SEAL_MAGIC: Final = b"HOSUEND\x01"
HEADER_BYTES: Final = 64
SEAL_BYTES: Final = 64
MAX_SEGMENT_BYTES: Final = 1 << 31  # what a reader unpacks of a compressed copy before it calls it no segment

_HEADER: Final = struct.Struct("<8sHHI24sQqI")  # magic, version, header bytes, flags, wal_id, first LSN, created, 0
_SEAL: Final = struct.Struct("<8sQqqQqIII")  # magic, records, first LSN, last LSN, bytes before, sealed at, their crc
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_CRC: Final = struct.Struct("<I")
_WAL_ID: Final = re.compile(rb"[0-9A-Za-z_-]{1,24}")
_LAST_LSN: Final = 1 << 62
BLOCK_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The first 64 bytes of a segment."""

    wal_id: str
    first_lsn: int
    created_us: int

    def pack(self) -> bytes:
        head = _HEADER.pack(
            MAGIC, FORMAT_VERSION, HEADER_BYTES, 0, self.wal_id.encode("ascii"), self.first_lsn, self.created_us, 0
        )
        return head + _CRC.pack(zlib.crc32(head))

    @classmethod
    def unpack(cls, raw: bytes, source: object) -> SegmentHeader:
        """Reads a header.

        Raises:
            LogCorruptError: it is none, or damaged.
            InputError: a newer hosu wrote it.
        """
        if len(raw) < HEADER_BYTES or raw[:8] != MAGIC:
            raise LogCorruptError(source, 0, "it does not begin as a log segment does")
        if zlib.crc32(raw[: HEADER_BYTES - 4]) != _CRC.unpack_from(raw, HEADER_BYTES - 4)[0]:
            raise LogCorruptError(source, 0, "the header's checksum does not match")
        _, version, _, _, wal_id, first_lsn, created_us, _ = _HEADER.unpack_from(raw)
        if version != FORMAT_VERSION:
            raise InputError(str(source), f"a log segment of format {version}, this is {FORMAT_VERSION}", "update hosu")
        name = wal_id.rstrip(b"\0")
        if not _WAL_ID.fullmatch(name) or first_lsn > _LAST_LSN:
            raise LogCorruptError(source, 0, "the header names no log or no record that there can be")
        return cls(name.decode("ascii"), first_lsn, created_us)


@dataclass(frozen=True, slots=True)
class Seal:
    """The last 64 bytes of a closed segment: what lies before, so that a copy can be checked.

    ``bytes_before`` counts header and records, ``crc`` is zlib's CRC-32 of them. ``last_lsn`` is ``first_lsn - 1``
    where there are no records.
    """

    records: int
    first_lsn: int
    last_lsn: int
    bytes_before: int
    sealed_us: int
    crc: int

    def pack(self) -> bytes:
        head = _SEAL.pack(
            SEAL_MAGIC, self.records, self.first_lsn, self.last_lsn, self.bytes_before, self.sealed_us, self.crc, 0, 0
        )
        return head + _CRC.pack(zlib.crc32(head))

    @classmethod
    def unpack(cls, raw: bytes) -> Seal | None:
        """The seal in the last bytes of ``raw``; None when there is none."""
        tail = bytes(raw[-SEAL_BYTES:])
        if len(tail) < SEAL_BYTES or tail[:8] != SEAL_MAGIC:
            return None
        if zlib.crc32(tail[:-4]) != _CRC.unpack_from(tail, SEAL_BYTES - 4)[0]:
            return None
        _, records, first_lsn, last_lsn, bytes_before, sealed_us, crc, _, _ = _SEAL.unpack_from(tail)
        return cls(records, first_lsn, last_lsn, bytes_before, sealed_us, crc)


def segment_name(first_lsn: int) -> str:
    """The file name of the segment that begins with that record."""
    return f"{first_lsn:020d}.log"


def archive_name(wal_id: str, first_lsn: int, last_lsn: int) -> str:
    """The name of a segment's compressed copy, unique over all logs."""
    return f"{wal_id}-{first_lsn:020d}-{last_lsn:020d}.log.zst"


def check_segment(content: bytes | bytearray, source: object) -> tuple[SegmentHeader, Seal]:
    """Header and seal of a closed segment whose every byte agrees with the seal.

    Raises:
        LogCorruptError: there is no seal, or something before it is not what was sealed.
    """
    header = SegmentHeader.unpack(bytes(content[:HEADER_BYTES]), source)
    seal = Seal.unpack(bytes(content[-SEAL_BYTES:]))
    if seal is None:
        raise LogCorruptError(source, max(0, len(content) - SEAL_BYTES), "it has no seal: the copy is incomplete")
    if seal.bytes_before != len(content) - SEAL_BYTES or seal.first_lsn != header.first_lsn:
        raise LogCorruptError(source, 0, f"its length is not that of the seal, {seal.bytes_before + SEAL_BYTES} bytes")
    if zlib.crc32(memoryview(content)[:-SEAL_BYTES]) != seal.crc:
        raise LogCorruptError(source, 0, "the checksum of the whole does not match")
    return header, seal


def compress(content: bytes | bytearray) -> bytes:
    """One zstd frame (level 1: levels above cost twice the time for 3 % in size)."""
    packed: bytes = pa.Codec("zstd", compression_level=1).compress(pa.py_buffer(content), asbytes=True)
    return packed


def decompress(packed: bytes, source: object) -> bytearray:
    """The bytes of a compressed segment.

    Raises:
        LogCorruptError: no zstd, cut off, or larger than any segment is.
    """
    content = bytearray()
    try:
        with pa.CompressedInputStream(pa.BufferReader(packed), "zstd") as stream:
            while chunk := stream.read(8 << 20):
                content += chunk
                if content[: len(MAGIC)] != MAGIC:  # told at once, not after gigabytes of something else
                    raise LogCorruptError(source, 0, "it does not begin as a log segment does")
                if len(content) > MAX_SEGMENT_BYTES:
                    raise LogCorruptError(source, len(packed), f"it unpacks to more than {MAX_SEGMENT_BYTES} bytes")
    except (OSError, pa.ArrowException) as error:
        raise LogCorruptError(source, 0, f"it cannot be unpacked: {error}") from None
    return content


def read_header(path: Path) -> SegmentHeader:
    """The header of a ``.log`` or ``.log.zst`` file; nothing behind it is read or checked.

    Raises:
        LogCorruptError: it is none, or damaged.
        InputError: the file cannot be read, or a newer hosu wrote it.
    """
    with _named(path), path.open("rb") as file:
        head = file.read(HEADER_BYTES)
        if head[:4] == _ZSTD_MAGIC:
            file.seek(0)
            head = _unpacked_head(file, path)
    return SegmentHeader.unpack(head, path)


def _unpacked_head(file: BinaryIO, path: Path) -> bytes:
    try:
        with pa.CompressedInputStream(file, "zstd") as stream:
            head: bytes = stream.read(HEADER_BYTES)
            return head
    except (OSError, pa.ArrowException) as error:
        raise LogCorruptError(path, 0, f"it cannot be unpacked: {error}") from None


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})", "name a segment of a log") from None


def read_segment(
    source: Path | bytes | bytearray, *, name: str = "segment", max_bytes: int = BLOCK_BYTES
) -> Iterator[Block]:
    """The records of a segment in blocks of about ``max_bytes``, every checksum compared.

    Args:
        source: a ``.log`` or ``.log.zst`` file, or the bytes of either; a bytearray is read where it is.
        name: what errors call bytes that are no file.
        max_bytes: payload and header bytes a block holds at most, unless one record alone is larger.

    Yields:
        Blocks in the order of LSNs. Of a segment without a seal (still being written, or its writer was killed) a
        torn tail is left out silently.

    Raises:
        LogCorruptError: damage anywhere else, or a compressed copy without a seal.
        InputError: the file cannot be read.
    """
    called = str(source) if isinstance(source, Path) else name
    content = _content(source, called)
    header, end, sealed = _frame_of(content, called)
    data = np.frombuffer(content, np.uint8)
    at, expected = HEADER_BYTES, header.first_lsn
    while at < end:
        run = _bounded_run(header, data, at, end, expected_lsn=expected, max_bytes=max_bytes)
        if len(run.block):
            yield run.block
            at, expected = run.stop, expected + len(run.block)
        if run.fault and run.stop < end and not len(run.block):
            if sealed or not is_torn_tail(data, run.stop, expected):
                raise LogCorruptError(called, run.stop, run.fault)
            return


def _bounded_run(header: SegmentHeader, data: Bytes, at: int, end: int, *, expected_lsn: int, max_bytes: int) -> Run:
    """At most ``max_bytes`` of records from ``at`` on, but one record at least if it is sound."""
    run = read_run(header.wal_id, data, at, min(end, at + max_bytes), expected_lsn=expected_lsn)
    if not len(run.block) and at + max_bytes < end:
        length = int.from_bytes(data[at : at + 4].tobytes(), "little")
        bound = min(end, at + RECORD_HEADER_BYTES + min(length, MAX_PAYLOAD_BYTES))
        run = read_run(header.wal_id, data, at, bound, expected_lsn=expected_lsn)
    return run


def _content(source: Path | bytes | bytearray, name: str) -> bytearray:
    if isinstance(source, Path):
        with _named(source):
            return _unpacked(source.read_bytes(), name)
    return _unpacked(source, name)


def _unpacked(raw: bytes | bytearray, name: str) -> bytearray:
    if raw[:4] != _ZSTD_MAGIC:
        return raw if isinstance(raw, bytearray) else bytearray(raw)
    content = decompress(bytes(raw), name)
    check_segment(content, name)
    return content


def _frame_of(content: bytearray, name: str) -> tuple[SegmentHeader, int, bool]:
    """The header, the offset behind the records, and whether a seal stands there."""
    header = SegmentHeader.unpack(bytes(content[:HEADER_BYTES]), name)
    seal = Seal.unpack(bytes(content[-SEAL_BYTES:]))
    if seal is None:
        return header, len(content), False
    if seal.bytes_before + SEAL_BYTES != len(content):
        raise LogCorruptError(name, len(content), f"its length is not that of the seal, {seal.bytes_before} bytes")
    return header, seal.bytes_before, True
