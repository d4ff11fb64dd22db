"""Compiled readers of one field each: from the addresses where it starts and ends to its number.

Each gives the value and 1 if the field is ordinary; what it marks 0 the plain parser judges. A field is not empty.
Readers may look at up to sixteen bytes before a field's end: a frame's header lies there at least.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hosu.kis.byte_kernel import clock_digits, eight_digits, inlined, load1, load8, two_digits, types
from hosu.kis.records import NULL, pack

_NULL: Final = NULL
_NULL_TEXT: Final = pack("(null)")
_ONES: Final = 0x0101010101010101
_EACH_ONE: Final = np.uint64(_ONES)
_SPACES: Final = np.uint64(_ONES * 0x20)
_MARKS: Final = np.uint64(_ONES * 0x21)
_HIGH: Final = np.uint64(_ONES * 0x80)
_BYTE: Final = np.uint64(255)
_POINT: Final = np.uint64(46)
_FORTY: Final = np.uint64(40)
_FORTY_EIGHT: Final = np.uint64(48)
_READER: Final = types.UniTuple(types.int64, 2)(types.int64, types.int64)


@inlined(_READER)
def _digits(start: Any, end: Any) -> Any:
    """One to sixteen digits."""
    length = end - start
    if length <= 8:
        if length <= 0:
            return 0, 0
        return eight_digits(end, length)
    if length > 16:
        return 0, 0
    low, low_ok = eight_digits(end, 8)
    high, high_ok = eight_digits(end - 8, length - 8)
    return high * 100000000 + low, low_ok & high_ok


@inlined(_READER)
def read_whole(start: Any, end: Any) -> Any:
    negative = load1(start) == 45
    value, ok = _digits(start + negative, end)
    return -value if negative else value, ok


@inlined(_READER)
def read_hundredths(start: Any, end: Any) -> Any:
    """Won or a rate with no, one or two decimals, and at most thirteen digits before them."""
    negative = load1(start) == 45
    start += negative
    fraction, ok = 0, 1
    last = load8(end - 8)
    if (last >> _FORTY) & _BYTE == _POINT and end - start > 3:
        fraction, ok = two_digits(last)
        end -= 3
    elif (last >> _FORTY_EIGHT) & _BYTE == _POINT and end - start > 2:
        fraction, ok = eight_digits(end, 1)
        fraction *= 10
        end -= 2
    whole, whole_ok = _digits(start, end)
    value = whole * 100 + fraction
    return -value if negative else value, ok & whole_ok & np.int64(end - start <= 13)


@inlined(types.UniTuple(types.int64, 2)(types.int64, types.int64, types.boolean))
def read_code(start: Any, end: Any, symbol: Any) -> Any:
    length = end - start
    if length > 8:
        return 0, 0
    gap = np.uint64(64 - 8 * length)
    packed = load8(end - 8) >> gap
    # The bytes beyond the text count as spaces (or marks); all others must be printable, and all are ASCII.
    lowest = _MARKS if symbol else _SPACES
    filled = packed if length == 8 else packed | (lowest << (np.uint64(64) - gap))
    bad = (((filled - lowest) & ~filled) | (filled + _EACH_ONE)) & _HIGH
    value = np.int64(packed)
    if value == _NULL_TEXT:
        return _NULL, np.int64(not symbol)
    return value, np.int64(bad == np.uint64(0))


@inlined(_READER)
def read_time(start: Any, end: Any) -> Any:
    if end - start != 6:
        return 0, 0
    return clock_digits(end)


@inlined(_READER)
def read_date(start: Any, end: Any) -> Any:
    if end - start != 8:
        return 0, 0
    value, ok = eight_digits(end, 8)
    if value == 0:
        return _NULL, ok
    year, month, day = value // 10000, value // 100 % 100, value % 100
    if year < 1 or month < 1 or month > 12 or day < 1 or day > 31:
        return 0, 0
    if day > 28 and month == 2:
        leap = (year % 4 == 0 and year % 100 != 0) or year % 400 == 0
        return value, ok & np.int64(day == 29 and leap)
    return value, ok & np.int64(day <= 30 or month not in (4, 6, 9, 11))
