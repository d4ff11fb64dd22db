# ruff: noqa: PLR0917  a kernel takes its arrays one by one, and numba no keywords by signature
"""Loops over frames that Python is too slow for: WebSocket framing of a whole burst, and checksums of its records."""

from __future__ import annotations

from typing import Any

import numpy as np

from hosu.kis.byte_kernel import compiled

_TEXT = np.uint8(0x81)  # FIN and opcode 1


def _crc_tables() -> np.ndarray:
    tables = np.zeros((8, 256), np.uint32)
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
        tables[0, byte] = crc
    for slot in range(1, 8):
        previous = tables[slot - 1]
        tables[slot] = tables[0][previous & 0xFF] ^ (previous >> np.uint32(8))
    return tables


CRC_TABLES = _crc_tables()


@compiled("uint8[::1](uint8[::1], int64[::1], int64[::1], int64[::1])")
def websocket_messages(data: Any, start: Any, end: Any, chosen: Any) -> Any:
    """The chosen frames as unmasked WebSocket text messages, one after another."""
    total = 0
    for i in chosen:
        size = end[i] - start[i]
        total += size + (2 if size < 126 else 4 if size < 65536 else 10)
    out = np.empty(total, np.uint8)
    at = 0
    for i in chosen:
        size = end[i] - start[i]
        out[at] = _TEXT
        if size < 126:
            out[at + 1] = size
            at += 2
        elif size < 65536:
            out[at + 1] = 126
            out[at + 2] = size >> 8
            out[at + 3] = size & 255
            at += 4
        else:
            out[at + 1] = 127
            for k in range(8):
                out[at + 2 + k] = (size >> (8 * (7 - k))) & 255
            at += 10
        out[at : at + size] = data[start[i] : end[i]]
        at += size
    return out


@compiled("uint32(uint8[::1], int64, int64, uint32, uint32[:, ::1])")
def _crc32(data: Any, start: Any, end: Any, crc: Any, tables: Any) -> Any:
    crc = crc ^ np.uint32(0xFFFFFFFF)
    i = start
    while i + 8 <= end:
        low = crc ^ (
            np.uint32(data[i])
            | (np.uint32(data[i + 1]) << np.uint32(8))
            | (np.uint32(data[i + 2]) << np.uint32(16))
            | (np.uint32(data[i + 3]) << np.uint32(24))
        )
        crc = (
            tables[7, low & np.uint32(255)]
            ^ tables[6, (low >> np.uint32(8)) & np.uint32(255)]
            ^ tables[5, (low >> np.uint32(16)) & np.uint32(255)]
            ^ tables[4, low >> np.uint32(24)]
            ^ tables[3, data[i + 4]]
            ^ tables[2, data[i + 5]]
            ^ tables[1, data[i + 6]]
            ^ tables[0, data[i + 7]]
        )
        i += 8
    while i < end:
        crc = tables[0, (crc ^ np.uint32(data[i])) & np.uint32(255)] ^ (crc >> np.uint32(8))
        i += 1
    return crc ^ np.uint32(0xFFFFFFFF)


@compiled("void(uint8[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], uint32[::1], uint32[:, ::1])")
def chain_checksums(
    data: Any, start: Any, end: Any, records: Any, chosen: Any, symbol: Any, checksums: Any, tables: Any
) -> Any:
    """Carries each symbol's CRC-32 on over the records of the chosen frames, separators between records left out.

    ``symbol`` has one entry a frame, ``checksums`` one a symbol and is changed in place.
    """
    for i in chosen:
        at, bars = start[i], 0
        while bars < 3 and at < end[i]:
            if data[at] == 124:
                bars += 1
            at += 1
        which = symbol[i]
        if records[i] <= 1:
            checksums[which] = _crc32(data, at, end[i], checksums[which], tables)
            continue
        fields = 1
        for k in range(at, end[i]):
            if data[k] == 94:
                fields += 1
        width = fields // records[i]
        seen = 0
        first = at
        for k in range(at, end[i]):
            if data[k] == 94:
                seen += 1
                if seen == width:
                    checksums[which] = _crc32(data, first, k, checksums[which], tables)
                    first = k + 1
                    seen = 0
        checksums[which] = _crc32(data, first, end[i], checksums[which], tables)


T_TRADES, T_SHARES, T_VALUE, T_LAST, T_REPEATED, T_REPEATED_SHARES, T_SEEN = range(7)
TALLY_WIDTH = 7


@compiled("void(int64[::1], uint8[::1], int64[::1], int64[::1], int64[::1], int64[:, ::1])")
def tally_trades(key: Any, fate: Any, price: Any, size: Any, volume: Any, tally: Any) -> Any:
    """Counts the trades that were sent (fate 0) by registration; value is in hundredths of a won. A trade whose
    cumulative volume is not new is a repetition, and counted as such too."""
    for i in range(len(key)):
        if fate[i] != 0:
            continue
        row = tally[key[i]]
        row[T_TRADES] += 1
        row[T_SHARES] += size[i]
        row[T_VALUE] += price[i] * size[i]
        row[T_LAST] = volume[i]
        if volume[i] <= row[T_SEEN]:
            row[T_REPEATED] += 1
            row[T_REPEATED_SHARES] += size[i]
        row[T_SEEN] = max(row[T_SEEN], volume[i])


@compiled("void(int64[::1], boolean[::1], int64[::1], int64[:, ::1])")
def tally_line(key: Any, sent: Any, volume: Any, tally: Any) -> Any:
    """Counts one connection's trades by registration: how many, first and last cumulative volume."""
    for i in range(len(key)):
        if sent[i]:
            row = tally[key[i]]
            if row[0] == 0:
                row[1] = volume[i]
            row[0] += 1
            row[2] = volume[i]


C_FRAMES, C_RECORDS, C_WITHHELD, C_UNSENT = range(4)
COUNT_WIDTH = 4


@compiled("void(int64[::1], int64[::1], uint8[::1], int64[:, ::1])")
def count_frames(key: Any, records: Any, fate: Any, counts: Any) -> Any:
    """Adds to each registration's frames and records sent (fate 0), records withheld (1) and not asked for (2)."""
    for i in range(len(key)):
        row = counts[key[i]]
        if fate[i] == 0:
            row[C_FRAMES] += 1
            row[C_RECORDS] += records[i]
        else:
            row[C_RECORDS + fate[i]] += records[i]


FIRST_MINUTE, MINUTES, MINUTE_WIDTH = 480, 720, 6
P_SYMBOL, P_TIME, P_PRICE, P_SIZE, P_STRENGTH, P_ASK, P_BID = range(7)
PRINT_WIDTH = 7


@compiled(
    "int64(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64[:, :, ::1], int64[::1], int32[:, ::1], int64[::1], int64)"
)
def observe_trades(
    symbol: Any,
    time: Any,
    price: Any,
    size: Any,
    volume: Any,
    value: Any,
    strength: Any,
    ask: Any,
    bid: Any,
    minutes: Any,
    latest: Any,
    prints: Any,
    volumes: Any,
    used: Any,
) -> Any:
    """Takes trades into minute bars (open, high, low, close, volume, cumulative value) and into the day's prints.

    A trade whose cumulative volume is not above the ``latest`` of its symbol is a repetition and left out. ``prints``
    and ``volumes`` have room for all of them after row ``used``; returns how many rows are used then.
    """
    for i in range(len(symbol)):
        s = symbol[i]
        if volume[i] <= latest[s]:
            continue
        latest[s] = volume[i]
        row = prints[used]
        row[P_SYMBOL], row[P_TIME], row[P_PRICE], row[P_SIZE] = s, time[i], price[i], size[i]
        row[P_STRENGTH], row[P_ASK], row[P_BID] = strength[i], ask[i], bid[i]
        volumes[used] = volume[i]
        used += 1
        minute = time[i] // 60 - FIRST_MINUTE
        if 0 <= minute < MINUTES:
            bar = minutes[s, minute]
            if bar[4] == 0:
                bar[0] = price[i]
                bar[1] = price[i]
                bar[2] = price[i]
            bar[1] = max(bar[1], price[i])
            bar[2] = min(bar[2], price[i])
            bar[3] = price[i]
            bar[4] += size[i]
            bar[5] = value[i]
    return used
