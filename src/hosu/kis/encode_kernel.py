"""Compiled printing of records: columns to the bytes of frames, the way back of the decode kernel."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hosu.kis.byte_kernel import compiled, types
from hosu.kis.layout_fields import Kind
from hosu.kis.records import NULL

_NULL: Final = NULL
_PRICE, _CODE = int(Kind.PRICE), int(Kind.CODE)
_SYMBOL, _TIME, _DATE = int(Kind.SYMBOL), int(Kind.TIME), int(Kind.DATE)

MAX_FIELD: Final = 22
"""Bytes of the longest field with the caret behind it: a price of eighteen digits, sign and decimals."""
HEADER: Final = 15
"""Bytes of ``0|H0STCNT0|001|``."""

_OUT = types.uint8[::1]
_I64 = types.int64[::1]
# The two digits of 00 to 99, one after another: one division a pair of digits.
_PAIRS: Final = np.frombuffer(b"".join(b"%02d" % i for i in range(100)), np.uint8).copy()


@compiled(types.int64(_OUT, types.int64, types.int64))
def _print_int(out: Any, place: Any, value: Any) -> Any:
    if value < 0:
        out[place] = 45
        place += 1
        value = -value
    stop = place + 1
    bound = np.int64(10)
    while stop - place < 19 and value >= bound:
        stop += 1
        bound = bound * 10 if stop - place < 19 else bound
    at = stop
    while value >= 10:
        rest = value // 100
        pair = (value - rest * 100) * 2
        out[at - 1] = _PAIRS[pair + 1]
        out[at - 2] = _PAIRS[pair]
        at -= 2
        value = rest
    if at > place:
        out[place] = 48 + value
    return stop


@compiled(types.int64(_OUT, types.int64, types.int64))
def _print_pair(out: Any, place: Any, value: Any) -> Any:
    out[place] = _PAIRS[2 * value]
    out[place + 1] = _PAIRS[2 * value + 1]
    return place + 2


@compiled(types.int64(_OUT, types.int64, types.int64, types.int64))
def _print_hundredths(out: Any, place: Any, value: Any, decimals: Any) -> Any:
    if value < 0:
        out[place] = 45
        place += 1
        value = -value
    whole = value // 100
    rest = value - whole * 100
    place = _print_int(out, place, whole)
    if decimals == 0 and rest == 0:
        return place
    out[place] = 46
    place = _print_pair(out, place + 1, rest)
    return place - 1 if decimals == 0 and rest % 10 == 0 else place


@compiled(types.int64(_OUT, types.int64, types.int64))
def _print_code(out: Any, place: Any, value: Any) -> Any:
    while value != 0:
        byte = value & 255
        if byte < 32 or byte > 126 or byte == 94:
            return -1
        out[place] = byte
        value >>= 8
        place += 1
    return place


@compiled(types.int64(_OUT, types.int64, types.int64, types.int64, types.int64))
def _print_field(out: Any, place: Any, value: Any, kind: Any, decimals: Any) -> Any:
    """The place behind the field; -1 for a number that is no text, time or date, and for a missing symbol."""
    if value == _NULL:
        return -1 if kind == _SYMBOL else place
    if kind < _PRICE:
        return _print_int(out, place, value)
    if kind == _PRICE:
        return _print_hundredths(out, place, value, decimals)
    if kind <= _SYMBOL:
        return _print_code(out, place, value)
    if kind == _TIME:
        if value < 0 or value >= 86400:
            return -1
        place = _print_pair(out, place, value // 3600)
        place = _print_pair(out, place, value // 60 % 60)
        return _print_pair(out, place, value % 60)
    if value < 10101 or value > 99991231:
        return -1
    place = _print_pair(out, place, value // 1000000)
    place = _print_pair(out, place, value // 10000 % 100)
    place = _print_pair(out, place, value // 100 % 100)
    return _print_pair(out, place, value % 100)


@compiled(types.void(_OUT, types.int64, types.int64, types.int64))
def _print_header(out: Any, place: Any, tr_id: Any, count: Any) -> None:
    out[place] = 48
    out[place + 1] = 124
    for i in range(8):
        out[place + 2 + i] = (tr_id >> (8 * i)) & 255
    out[place + 10] = 124
    out[place + 11] = 48 + count // 100
    out[place + 12] = 48 + count // 10 % 10
    out[place + 13] = 48 + count % 10
    out[place + 14] = 124


@compiled(
        types.UniTuple(types.int64, 3)(
            _OUT, types.int64, types.int64[:, ::1], types.uint8[:, ::1], _I64, _I64, _I64,
            types.int64, types.int64, types.int64,
        )
)  # fmt: skip
def encode_records(  # noqa: PLR0917
    out: Any,
    tr_id: Any,
    values: Any,
    spec: Any,
    group: Any,
    start: Any,
    end: Any,
    first_frame: Any,
    first_record: Any,
    place: Any,
) -> Any:
    """Prints frames from ``first_frame`` on, as long as ``out`` surely has room for the next.

    ``values`` has one row a field and one column a record; ``spec`` two rows: the kind and the decimals of each
    field; ``group`` the records of each frame. Returns (next frame, next record, next place), or (-1, record,
    field) where a number is no text, time or date.
    """
    fields = values.shape[0]
    r = first_record
    k = first_frame
    while k < group.shape[0]:
        if place + HEADER + group[k] * fields * MAX_FIELD > out.shape[0]:
            break
        start[k] = place
        _print_header(out, place, tr_id, group[k])
        place += HEADER
        for _ in range(group[k]):
            for f in range(fields):
                after = _print_field(out, place, values[f, r], np.int64(spec[0, f]), np.int64(spec[1, f]))
                if after < 0:
                    return -1, r, f
                out[after] = 94
                place = after + 1
            r += 1
        place -= 1
        end[k] = place
        k += 1
    return k, r, place
