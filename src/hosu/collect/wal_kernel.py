# ruff: noqa: PLR0917  # compiled functions take their arrays by position
"""The log's inner loops, compiled: record headers with their CRC, and the walk over a run of records.

Both release the GIL, so that a commit of a thousand frames does not stop the socket's thread. The CRC is that of
zlib (polynomial 0xEDB88320 reflected), sixteen bytes a step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numba import njit

if TYPE_CHECKING:
    import numpy.typing as npt

RECORD_HEADER_BYTES: Final = 32
MAX_PAYLOAD_BYTES: Final = 1 << 28  # far below the number that the footer's magic spells as a length

END: Final = 0  # the run ends with a whole record
SHORT: Final = 1  # the run ends within a record
BAD_LENGTH: Final = 2  # no record has such a length (a footer's magic reads so, too)
BAD_CRC: Final = 3
BAD_LSN: Final = 4  # not the number after the previous record's


def _crc_tables() -> npt.NDArray[np.uint32]:
    tables = np.zeros((16, 256), dtype=np.uint32)
    for byte in range(256):
        value = byte
        for _ in range(8):
            value = (value >> 1) ^ (0xEDB88320 if value & 1 else 0)
        tables[0, byte] = value
    for table in range(1, 16):
        previous = tables[table - 1]
        tables[table] = (previous >> np.uint32(8)) ^ tables[0][previous & np.uint32(0xFF)]
    return tables


_TABLES: Final = _crc_tables()
_T: Final = tuple(np.ascontiguousarray(table) for table in _TABLES)
_T0, _T1, _T2, _T3, _T4, _T5, _T6, _T7, _T8, _T9, _T10, _T11, _T12, _T13, _T14, _T15 = _T


@njit("uint32(uint32, uint8[::1], int64, int64)", nogil=True, cache=True)
def crc32(crc, data, begin, end):  # type: ignore[no-untyped-def]  # numba gives the types
    """zlib's CRC-32 of ``data[begin:end]``, continuing ``crc`` (0 to begin with)."""
    value = np.uint32(crc) ^ np.uint32(0xFFFFFFFF)
    i = begin
    while i + 16 <= end:
        value = (
            _T15[(value ^ data[i]) & 0xFF]
            ^ _T14[((value >> 8) ^ data[i + 1]) & 0xFF]
            ^ _T13[((value >> 16) ^ data[i + 2]) & 0xFF]
            ^ _T12[((value >> 24) ^ data[i + 3]) & 0xFF]
            ^ _T11[data[i + 4]]
            ^ _T10[data[i + 5]]
            ^ _T9[data[i + 6]]
            ^ _T8[data[i + 7]]
            ^ _T7[data[i + 8]]
            ^ _T6[data[i + 9]]
            ^ _T5[data[i + 10]]
            ^ _T4[data[i + 11]]
            ^ _T3[data[i + 12]]
            ^ _T2[data[i + 13]]
            ^ _T1[data[i + 14]]
            ^ _T0[data[i + 15]]
        )
        i += 16
    while i < end:
        value = (value >> 8) ^ _T0[(value ^ data[i]) & 0xFF]
        i += 1
    return np.uint32(value) ^ np.uint32(0xFFFFFFFF)


@njit(inline="always")
def _put(data, at, value, size):  # type: ignore[no-untyped-def]
    for k in range(size):
        data[at + k] = np.uint8((value >> (8 * k)) & 0xFF)


@njit(inline="always")
def _get(data, at, size):  # type: ignore[no-untyped-def]
    value = np.int64(0)
    for k in range(size):
        value |= np.int64(data[at + k]) << (8 * k)
    return value


@njit("void(uint8[::1], int64[::1], int64, int64[::1], uint8[::1], uint16[::1], uint8)", nogil=True, cache=True)
def write_headers(data, length, first_lsn, ts_recv_us, kind, connection, first_flags):  # type: ignore[no-untyped-def]
    """Fills the 32 bytes before each payload of ``data`` (headers and payloads in turn, from byte 0).

    The first record gets ``first_flags``, the others none; record ``i`` gets the number ``first_lsn + i``.
    """
    at = np.int64(0)
    for i in range(len(length)):
        _put(data, at, length[i], 4)
        _put(data, at + 8, first_lsn + i, 8)
        _put(data, at + 16, ts_recv_us[i], 8)
        data[at + 24] = kind[i]
        data[at + 25] = first_flags if i == 0 else 0
        _put(data, at + 26, np.int64(connection[i]), 2)
        _put(data, at + 28, np.int64(0), 4)
        end = at + 32 + length[i]
        _put(data, at + 4, np.int64(crc32(np.uint32(0), data, at + 8, end)), 4)
        at = end


@njit("UniTuple(int64, 3)(uint8[::1], int64, int64, int64, boolean)", nogil=True, cache=True)
def walk(data, begin, end, expected_lsn, check):  # type: ignore[no-untyped-def]
    """``(records, stop, fault)`` of the run ``data[begin:end]``: how many whole, sound records it begins with.

    ``stop`` is the offset behind the last of them, ``fault`` why it ends there. ``expected_lsn`` is the first
    record's number, or -1 to take numbers as they come; ``check`` compares CRCs.
    """
    at = begin
    count = np.int64(0)
    while True:
        if at == end:
            return count, at, np.int64(END)
        if at + 32 > end:
            return count, at, np.int64(SHORT)
        length = _get(data, at, 4)
        if length > MAX_PAYLOAD_BYTES:
            return count, at, np.int64(BAD_LENGTH)
        behind = at + 32 + length
        if behind > end:
            return count, at, np.int64(SHORT)
        if check and _get(data, at + 4, 4) != np.int64(crc32(np.uint32(0), data, at + 8, behind)):
            return count, at, np.int64(BAD_CRC)
        if expected_lsn >= 0 and _get(data, at + 8, 8) != expected_lsn + count:
            return count, at, np.int64(BAD_LSN)
        count += 1
        at = behind


@njit(
    "void(uint8[::1], int64, int64[::1], int64[::1], int64[::1], int64[::1], uint8[::1], uint8[::1], uint16[::1])",
    nogil=True,
    cache=True,
)
def read_headers(data, begin, start, end, lsn, ts_recv_us, kind, flags, connection):  # type: ignore[no-untyped-def]
    """Fills the arrays from the ``len(start)`` records that ``walk`` found from ``begin`` on."""
    at = begin
    for i in range(len(start)):
        length = _get(data, at, 4)
        start[i] = at + 32
        end[i] = at + 32 + length
        lsn[i] = _get(data, at + 8, 8)
        ts_recv_us[i] = _get(data, at + 16, 8)
        kind[i] = data[at + 24]
        flags[i] = data[at + 25]
        connection[i] = np.uint16(_get(data, at + 26, 2))
        at = end[i]


@njit("int64(uint8[::1], int64, int64, int64, uint8)", nogil=True, cache=True)
def find_record(data, begin, end, min_lsn, flag):  # type: ignore[no-untyped-def]
    """Offset of the first sound record at or behind ``begin`` with a number >= ``min_lsn`` and ``flag`` set, or -1.

    Looks at every byte offset: behind damage nothing says where the next record begins.
    """
    for at in range(begin, end - 31):
        if data[at + 25] & flag == 0 or _get(data, at + 28, 4) != 0 or data[at + 24] == 0 or data[at + 24] > 15:
            continue
        lsn = _get(data, at + 8, 8)
        if lsn < min_lsn or lsn > min_lsn + (end - begin):
            continue
        behind = at + 32 + _get(data, at, 4)
        if behind > end or behind < at + 32:
            continue
        if _get(data, at + 4, 4) == np.int64(crc32(np.uint32(0), data, at + 8, behind)):
            return at
    return np.int64(-1)
