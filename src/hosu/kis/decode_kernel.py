"""Compiled loops over the bytes of many frames: what is in each frame, and the numbers of its records.

One kernel serves every layout: a table of kinds, one entry a field, drives it. Anything out of the ordinary is not
judged here but marked, for the plain parser to take or to refuse with a reason; the two must agree on what is
ordinary, and a property test holds them to it.

The scan notes the place of every caret, 64 bytes at a time; the decoder then goes through a block of records column
by column, so that one kind and one usual length repeat, and reads eight digits at once. All signatures are declared,
so nothing compiles while frames arrive.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from hosu.kis.byte_kernel import (
    BYTES,
    CARET,
    address_of,
    carets64,
    compiled,
    high64,
    load1,
    load4,
    load8,
    lowest_bit,
    store4,
    types,
)
from hosu.kis.field_kernel import read_code, read_date, read_hundredths, read_time, read_whole
from hosu.kis.layout_fields import Kind
from hosu.kis.records import NULL

# What `scan_frames` says of a frame, where it is not the number of a group (0 and above).
CONTROL: Final = -1
UNFILED: Final = -2
NOTHING: Final = -3
UNUSUAL: Final = -4
_RECORDS: Final = -5  # to be decoded: a group is still to be found

MAX_GROUPS: Final = 64
"""Different (TR, width) pairs of one batch that take the fast way; a live batch has a handful."""

BLOCK: Final = 128
"""Records decoded column by column at once: their bytes and places stay in the first cache."""

_NULL: Final = NULL
_PRICE, _SYMBOL, _TIME = int(Kind.PRICE), int(Kind.SYMBOL), int(Kind.TIME)

_BAR: Final = 124
_ONE: Final = np.uint64(1)

_I64 = types.int64[::1]
_I32 = types.int32[::1]
_MATRIX = types.int64[:, ::1]


# --- frames -----------------------------------------------------------------------------------------------------


@compiled(types.UniTuple(types.int64, 2)(types.int64, types.int64, types.int64, types.int64, types.int64))
def _note_carets(base: Any, start: Any, end: Any, size: Any, cut: Any) -> Any:
    """Writes where fields of ``start`` to ``end`` end to the address ``cut``; the next one, and whether all is ASCII.

    The byte before the first field counts as a caret, and so does the one behind the last. ``size`` is how many
    bytes may be read from ``base`` on.
    """
    store4(cut, start - 1)
    cut += 4
    place = start
    strange = np.uint64(0)
    while place < end and place + 64 <= size:
        inside = ~np.uint64(0) if end - place >= 64 else (_ONE << np.uint64(end - place)) - _ONE
        strange |= high64(base + place) & inside
        found = carets64(base + place) & inside
        while found != np.uint64(0):
            store4(cut, place + lowest_bit(found))
            cut += 4
            found &= found - _ONE
        place += 64
    while place < end:
        byte = load1(base + place)
        if byte == CARET:
            store4(cut, place)
            cut += 4
        strange |= np.uint64(byte >> 7)
        place += 1
    store4(cut, end)
    return cut + 4, np.int64(strange == np.uint64(0))


@compiled(types.UniTuple(types.int64, 3)(BYTES, types.int64, types.int64))
def _header(data: Any, start: Any, end: Any) -> Any:
    """TR id packed, count and place of the payload of a frame ``0|TR|NNN|``; -1 for the place if it is not that."""
    if end - start < 13 or data[start + 1] != _BAR or data[start + 10] != _BAR:
        return 0, 0, -1
    count: Any = 0
    place = start + 11
    while place < end and place < start + 17 and data[place] >= 48 and data[place] <= 57:
        count = count * 10 + np.int64(data[place]) - 48
        place += 1
    if place == start + 11 or place >= end or data[place] != _BAR:
        return 0, 0, -1
    return np.int64(load8(address_of(data) + start + 2)), count, place + 1


@compiled(types.int64(types.int64, _I64, types.int64))
def _index_of(tr_id: Any, tr_ids: Any, guess: Any) -> Any:
    if tr_ids[guess] == tr_id:
        return guess
    for i in range(tr_ids.shape[0]):
        if tr_ids[i] == tr_id:
            return i
    return -1


@compiled(types.int64(types.int64, types.int64, types.int64, _MATRIX, types.int64))
def _group_of(tr: Any, width: Any, count: Any, groups: Any, n_groups: Any) -> Any:
    """The group of a frame, which may be the new one at ``n_groups``; UNUSUAL when there are too many."""
    g = n_groups - 1
    while g >= 0 and (groups[g, 0] != tr or groups[g, 1] != width):
        g -= 1
    if g < 0:
        if n_groups == MAX_GROUPS:
            return UNUSUAL
        g = n_groups
        groups[g, 0], groups[g, 1], groups[g, 2], groups[g, 3] = tr, width, 0, 0
    groups[g, 2] += 1
    groups[g, 3] += count
    return g


@compiled(types.int64(types.int64, types.int64, types.int64, types.int64))
def _judged(flag: Any, count: Any, fields: Any, table: Any) -> Any:
    """What a frame of a known TR is; ``_RECORDS`` when it holds some that make up its fields."""
    if flag == 49:
        return UNFILED
    if flag != 48:
        return UNUSUAL
    if count == 0 and fields == 0:
        return NOTHING if table == 1 else UNFILED
    if count == 0 or fields == 0 or fields % count != 0:
        return UNUSUAL
    return _RECORDS


@compiled(types.int64(_I64, _I64, types.int64))
def bytes_in(start: Any, end: Any, size: Any) -> Any:
    """Bytes of all frames together; -1 if one of them does not lie inside ``size`` bytes."""
    total = 0
    for i in range(start.shape[0]):
        if start[i] < 0 or end[i] > size or end[i] < start[i]:
            return -1
        total += end[i] - start[i]
    return total


@compiled(types.int64(BYTES, _I64, _I64, _I64, _I64, _I64, _I32, _MATRIX, _MATRIX, _I64))
def scan_frames(  # noqa: PLR0917
    data: Any,
    start: Any,
    end: Any,
    tr_ids: Any,
    narrowest: Any,
    table: Any,
    carets: Any,
    meta: Any,
    groups: Any,
    tally: Any,
) -> Any:
    """Sorts the frames into groups of one TR and one width; returns the number of groups.

    ``tr_ids`` are the packed ids of the known TRs, ``narrowest`` their smallest width, ``table`` 1 where the fast
    way may parse them, 0 where no table takes them, -1 where only the plain parser may. ``carets`` receives the
    places of the carets around all fields, one more than fields a frame. ``meta`` has four rows, one column a frame:
    group (or CONTROL, UNFILED, NOTHING, UNUSUAL), count, place of the payload, first of its carets. ``groups`` has
    four columns, one row a group: index of the TR, width, frames, records. ``tally`` counts the frames that belong
    to no group: at 1 CONTROL, at 2 UNFILED, at 3 NOTHING, at 4 UNUSUAL.
    """
    n_groups = 0
    n_carets: Any = 0
    guess = 0
    base, cuts = address_of(data), address_of(carets)
    for i in range(start.shape[0]):
        s, e = start[i], end[i]
        meta[0, i], meta[1, i], meta[2, i], meta[3, i] = UNUSUAL, 0, 0, n_carets
        if s < e and data[s] == 123:
            meta[0, i] = CONTROL
            continue
        tr_id, count, place = _header(data, s, e)
        tr = _index_of(tr_id, tr_ids, guess)
        if place < 0 or tr < 0 or table[tr] < 0:
            continue
        guess = tr
        first = n_carets
        cut, ascii_only = _note_carets(base, place, e, data.shape[0], cuts + 4 * first)
        n_carets = (cut - cuts) // 4
        if not ascii_only:
            continue
        fields = n_carets - first - 1 if place < e else 0
        meta[1, i], meta[2, i], meta[3, i] = count, place, first
        judged = _judged(np.int64(data[s]), count, fields, table[tr])
        if judged == _RECORDS and fields // count >= narrowest[tr]:
            judged = _group_of(tr, fields // count, count, groups, n_groups) if table[tr] == 1 else UNFILED
            n_groups += judged == n_groups
        meta[0, i] = judged if judged != _RECORDS else UNUSUAL
    for i in range(start.shape[0]):
        if meta[0, i] < 0:
            tally[-meta[0, i]] += 1
    return n_groups


# --- records ----------------------------------------------------------------------------------------------------


@compiled(types.void(types.int64, types.int64, types.int64, _I64, _I64, _I64))
def _decode_column(base: Any, cuts: Any, kind: Any, caret: Any, out: Any, odd: Any) -> None:  # noqa: PLR0917
    """Fills ``out`` with one field of each record, the one behind its caret; marks the unusual in ``odd``.

    ``base`` is the address of the bytes, ``cuts`` that of the places of carets, ``caret`` the index of one of them.
    """
    for r in range(out.shape[0]):
        place = cuts + 4 * caret[r]
        start, end = base + load4(place) + 1, base + load4(place + 4)
        value: Any = np.int64(_NULL)
        ok: Any = 1
        if start == end:
            ok = np.int64(kind != _SYMBOL)
        elif kind < _PRICE:
            value, ok = read_whole(start, end)
        elif kind == _PRICE:
            value, ok = read_hundredths(start, end)
        elif kind <= _SYMBOL:
            value, ok = read_code(start, end, kind == _SYMBOL)
        elif kind == _TIME:
            value, ok = read_time(start, end)
        else:
            value, ok = read_date(start, end)
        out[r] = value
        odd[r] |= 1 - ok


@compiled(
    types.int64(BYTES, _I64, _MATRIX, _I32, types.uint8[::1], types.int64, _MATRIX, _I64, types.int32[::1], _MATRIX)
)
def decode_records(  # noqa: PLR0917
    data: Any,
    frames: Any,
    meta: Any,
    carets: Any,
    kinds: Any,
    width: Any,
    out: Any,
    frame: Any,
    record_no: Any,
    spans: Any,
) -> Any:
    """Fills one column of ``out`` a record of the frames named; returns how many records are out of the ordinary.

    ``frames`` are columns of ``meta``, as ``scan_frames`` left it; each frame holds exactly ``count * width`` fields,
    of which the first ``len(kinds)`` are known. ``spans`` has five rows: begin and end of the record in ``data``,
    where its tail begins, 1 if the record is out of the ordinary (its numbers are then not to be used), and a row
    for work.
    """
    known = kinds.shape[0]
    r: Any = 0
    for k in range(frames.shape[0]):
        i = frames[k]
        for n in range(meta[1, i]):
            caret = meta[3, i] + n * width
            frame[r], record_no[r] = i, n
            spans[0, r] = np.int64(carets[caret]) + 1
            spans[1, r] = carets[caret + width]
            spans[2, r] = np.int64(carets[caret + known]) + 1
            spans[3, r] = 0
            spans[4, r] = caret
            r += 1
    base, cuts = address_of(data), address_of(carets)
    for first in range(0, r, BLOCK):
        stop = min(first + BLOCK, r)
        caret_of, odd = spans[4, first:stop], spans[3, first:stop]
        for f in range(known):
            _decode_column(base, cuts, np.int64(kinds[f]), caret_of, out[f, first:stop], odd)
            for j in range(stop - first):
                caret_of[j] += 1
    return spans[3, :r].sum()
