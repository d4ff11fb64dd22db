"""The ledger's arithmetic, compiled by numba: trades cover shares, what lies between is a hole.

A trade of ``size`` whose cumulative volume is ``b`` covers the shares ``[b - size, b)`` of its series. Usually it
begins where the series stands: one compare. All else is decided behind that compare.

Volumes are shares, values hundredths of a won, times UTC microseconds, ``NULL`` stands for what is not known.
"""

# ruff: noqa: PLR0917, PLR1714 - compiled code takes arrays by position, and compares numbers one by one

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

NULL: Final = int(np.iinfo(np.int64).min)

# --- one row a series --------------------------------------------------------------------------------------------
HI: Final = 0  # the shares [0, HI) are covered but for the holes
LAST_TS: Final = 1  # of the trade that ends at HI: time, receive time, value, buys and sells, LSN
LAST_RECV: Final = 2
LAST_VALUE: Final = 3
LAST_COUNT: Final = 4
LAST_LSN: Final = 5
TRADES: Final = 6
VALUE: Final = 7  # the sum of price x size
HOLE: Final = 8  # the highest hole; -1 for none
HOLES: Final = 9
MISSING: Final = 10
FIRST: Final = 11  # where the lowest trade begins; NULL without trades
RING_AT: Final = 12  # trades put into the ring so far
EVICTED: Final = 13  # the highest volume that has left the ring
DUPLICATES: Final = 14
UNCHECKED: Final = 15  # of these, older than the ring remembers
CONTRADICTIONS: Final = 16  # overlaps, and the same volume with another size or value
WENT_BACK: Final = 17  # of these, volume lower although the trade is later
VALUE_BREAKS: Final = 18  # consecutive trades between which the cumulative value does not add up
COUNT_BREAKS: Final = 19  # the same for the counts of buys and sells
UNUSABLE: Final = 20  # trades without volume or size, or with an impossible one
SUSPECTS: Final = 21  # jumps that their own value belies, set aside
S_FROM: Final = 22  # the last of them
S_HI: Final = 23
S_TS: Final = 24
S_RECV: Final = 25
S_VALUE: Final = 26
S_COUNT: Final = 27
S_LSN: Final = 28
S_PRICE: Final = 29
S_SIDE: Final = 30
FILLS: Final = 31  # fillings of holes by the stream, and by REST
FILLS_REST: Final = 32
REST_HI: Final = 34  # HI as a trade over REST left it last; NULL if none did
CHANGED: Final = 35  # counts up with everything that a reader of the series may want to know
W_BOOK: Final = 36  # the latest book's word, five fields: volume, level, receive time, LSN, value
W_POLL: Final = 41  # the latest poll's
ZERO_LSN: Final = 46  # where a book or a poll last said that nothing was traded yet; NULL if none did
FILLED_BY: Final = 47  # 1 where the last filling came over REST
FIELDS: Final = 48  # 33 is free

W_VOLUME: Final = 0
W_LEVEL: Final = 1  # 0 before the close, 1 after it, 2 after the end of the day
W_RECV: Final = 2
W_LSN: Final = 3
W_VALUE: Final = 4

# --- one row a hole, from high to low within a series -------------------------------------------------------------
FROM: Final = 0
TO: Final = 1
NEXT: Final = 2
BEFORE_VALUE: Final = 3  # cumulative value and counts at FROM and at TO
AFTER_VALUE: Final = 4
BEFORE_COUNT: Final = 5
AFTER_COUNT: Final = 6
BEFORE_TS: Final = 7  # of the trades on both sides
AFTER_TS: Final = 8
BEFORE_RECV: Final = 9
AFTER_RECV: Final = 10
BEFORE_LSN: Final = 11
AFTER_LSN: Final = 12
HOLE_FIELDS: Final = 13

RING: Final = 16  # trades of a series that are remembered whole
RING_FIELDS: Final = 3  # cumulative volume, size, cumulative value

POOL_FREE: Final = 0  # the first free hole of the pool
POOL_FIELDS: Final = 1

MAX_VOLUME: Final = 1 << 40  # a day's shares of a symbol never reach a tenth of it
_MAX_AMOUNT: Final = 10.0**16  # hundredths of a won; a hundred trillion won in one trade
_FACTOR: Final = 10  # prices of one day lie within a factor of seven even on a first day of listing
_ROUNDING: Final = 100  # one won


@njit(inline="always")
def _amount(price, size):  # type: ignore[no-untyped-def]
    if price <= 0 or float(price) * float(size) > _MAX_AMOUNT:
        return np.int64(NULL)
    return price * size


@njit(inline="always")
def _minus(value, less):  # type: ignore[no-untyped-def]
    return value - less if value != NULL and less != NULL else np.int64(NULL)


@njit(inline="always")
def _known_before(early, late):  # type: ignore[no-untyped-def]
    return early != NULL and late != NULL and early < late


@njit(inline="always")
def _ring_holds(row, ring, b):  # type: ignore[no-untyped-def]
    for i in range(min(row[RING_AT], RING)):
        if ring[i, 0] == b:
            return i
    return -1


@njit(inline="always")
def _remember(row, ring, b, size, value):  # type: ignore[no-untyped-def]
    at = row[RING_AT] % RING
    if row[RING_AT] >= RING:
        row[EVICTED] = max(row[EVICTED], ring[at, 0])
    ring[at, 0] = b
    ring[at, 1] = size
    ring[at, 2] = value
    row[RING_AT] += 1


@njit(inline="always")
def _stand(row, b, ts, recv, value, count, lsn):  # type: ignore[no-untyped-def]
    row[HI] = b
    row[LAST_TS] = ts
    row[LAST_RECV] = recv
    row[LAST_VALUE] = value
    row[LAST_COUNT] = count
    row[LAST_LSN] = lsn


@njit(inline="always")
def _new_hole(holes, pool):  # type: ignore[no-untyped-def]
    at = pool[POOL_FREE]
    pool[POOL_FREE] = holes[at, NEXT]
    return at


@njit(inline="always")
def _jump_is_plausible(row, a, before, price):  # type: ignore[no-untyped-def]
    # What the shares in between cost on average must be of the order of this trade's price.
    if before == NULL or row[LAST_VALUE] == NULL or price <= 0:
        return True
    cost = float(before - row[LAST_VALUE])
    shares = float(a - row[HI])
    return cost * _FACTOR >= shares * price and cost <= shares * price * _FACTOR


@njit
def _open_hole(row, holes, pool, a, ts, recv, before, count_before, lsn):  # type: ignore[no-untyped-def]
    at = _new_hole(holes, pool)
    hole = holes[at]
    hole[FROM] = row[HI]
    hole[TO] = a
    hole[NEXT] = row[HOLE]
    hole[BEFORE_VALUE] = row[LAST_VALUE]
    hole[AFTER_VALUE] = before
    hole[BEFORE_COUNT] = row[LAST_COUNT]
    hole[AFTER_COUNT] = count_before
    hole[BEFORE_TS] = row[LAST_TS]
    hole[AFTER_TS] = ts
    hole[BEFORE_RECV] = row[LAST_RECV]
    hole[AFTER_RECV] = recv
    hole[BEFORE_LSN] = row[LAST_LSN]
    hole[AFTER_LSN] = lsn
    row[HOLE] = at
    row[HOLES] += 1
    row[MISSING] += a - row[HI]
    row[CHANGED] += 1


@njit
def _fill(row, holes, pool, a, b, ts, recv, value, before, count, count_before, amount, lsn):  # type: ignore[no-untyped-def]  # noqa: PLR0912
    """Takes [a, b) out of the holes; returns how many shares that were."""
    filled = np.int64(0)
    above = np.int64(-1)
    at = row[HOLE]
    while at >= 0 and holes[at, TO] > a:
        following = holes[at, NEXT]
        low = max(a, holes[at, FROM])
        high = min(b, holes[at, TO])
        if low < high:
            filled += high - low
            if low > holes[at, FROM] and high < holes[at, TO]:
                upper = _new_hole(holes, pool)
                holes[upper, :] = holes[at, :]
                holes[upper, NEXT] = at
                if above >= 0:
                    holes[above, NEXT] = upper
                else:
                    row[HOLE] = upper
                row[HOLES] += 1
                above = upper
                _begin_at(holes[upper], high, b, ts, recv, value, count, lsn)
                _end_at(holes[at], low, a, ts, recv, before, count_before, lsn)
                above = at
            elif low > holes[at, FROM]:
                if value == NULL and b == holes[at, TO]:
                    before = _minus(holes[at, AFTER_VALUE], amount)
                _end_at(holes[at], low, a, ts, recv, before, count_before, lsn)
                above = at
            elif high < holes[at, TO]:
                if value == NULL and a == holes[at, FROM] and amount != NULL and holes[at, BEFORE_VALUE] != NULL:
                    value = holes[at, BEFORE_VALUE] + amount
                _begin_at(holes[at], high, b, ts, recv, value, count, lsn)
                above = at
            else:
                if above >= 0:
                    holes[above, NEXT] = following
                else:
                    row[HOLE] = following
                holes[at, NEXT] = pool[POOL_FREE]
                pool[POOL_FREE] = at
                row[HOLES] -= 1
        else:
            above = at
        at = following
    row[MISSING] -= filled
    return filled


@njit(inline="always")
def _begin_at(hole, volume, b, ts, recv, value, count, lsn):  # type: ignore[no-untyped-def]
    hole[FROM] = volume
    hole[BEFORE_TS] = ts
    hole[BEFORE_RECV] = recv
    hole[BEFORE_VALUE] = value if volume == b else NULL
    hole[BEFORE_COUNT] = count if volume == b else NULL
    hole[BEFORE_LSN] = lsn


@njit(inline="always")
def _end_at(hole, volume, a, ts, recv, before, count_before, lsn):  # type: ignore[no-untyped-def]
    hole[TO] = volume
    hole[AFTER_TS] = ts
    hole[AFTER_RECV] = recv
    hole[AFTER_VALUE] = before if volume == a else NULL
    hole[AFTER_COUNT] = count_before if volume == a else NULL
    hole[AFTER_LSN] = lsn


@njit
def _take_new(row, ring, holes, pool, b, size, ts, recv, value, price, count, side, lsn):  # type: ignore[no-untyped-def]
    """A trade that ends above HI: it goes on, jumps, or overlaps."""
    a = b - size
    amount = _amount(price, size)
    before = _minus(value, amount)
    count_before = _minus(count, side)
    if a > row[HI]:
        _open_hole(row, holes, pool, a, ts, recv, before, count_before, lsn)
    elif a < row[HI]:
        _fill(row, holes, pool, a, min(b, row[HI]), ts, recv, NULL, before, NULL, count_before, NULL, lsn)
        row[CONTRADICTIONS] += 1
        row[CHANGED] += 1
    elif value != NULL and amount != NULL and row[LAST_VALUE] != NULL:
        difference = before - row[LAST_VALUE]
        if difference > _ROUNDING or difference < -_ROUNDING:
            row[VALUE_BREAKS] += 1
    if a == row[HI]:
        if count_before != NULL and row[LAST_COUNT] != NULL and count_before != row[LAST_COUNT]:
            row[COUNT_BREAKS] += 1
        if value == NULL and amount != NULL and row[LAST_VALUE] != NULL:
            value = row[LAST_VALUE] + amount
    if _known_before(ts, row[LAST_TS]) and _known_before(recv, row[LAST_RECV]):
        row[CONTRADICTIONS] += 1
        row[WENT_BACK] += 1
        row[CHANGED] += 1
    _count_in(row, a, amount)
    _remember(row, ring, b, size, value)
    _stand(row, b, ts, recv, value, count, lsn)


@njit(inline="always")
def _count_in(row, a, amount):  # type: ignore[no-untyped-def]
    row[TRADES] += 1
    if amount != NULL and row[VALUE] < (1 << 62):
        row[VALUE] += amount
    if row[FIRST] == NULL or a < row[FIRST]:
        row[FIRST] = a


@njit
def _take_old(row, ring, holes, pool, b, size, ts, recv, value, price, count, side, lsn, rest):  # type: ignore[no-untyped-def]
    """A trade that ends at or below HI: received again, late, or in contradiction to what is known."""
    a = b - size
    known = _ring_holds(row, ring, b)
    if known >= 0:
        same_value = value == NULL or ring[known, 2] == NULL or abs(ring[known, 2] - value) <= _ROUNDING
        if ring[known, 1] == size and same_value:
            row[DUPLICATES] += 1
        else:
            row[CONTRADICTIONS] += 1
            row[CHANGED] += 1
        return
    if _known_before(row[LAST_TS], ts) and _known_before(row[LAST_RECV], recv):
        row[CONTRADICTIONS] += 1
        row[WENT_BACK] += 1
        row[CHANGED] += 1
        return
    amount = _amount(price, size)
    before, count_before = _minus(value, amount), _minus(count, side)
    filled = _fill(row, holes, pool, a, b, ts, recv, value, before, count, count_before, amount, lsn)
    if filled > 0:
        if filled < size:
            row[CONTRADICTIONS] += 1
        _count_in(row, a, amount)
        _remember(row, ring, b, size, value)
        row[FILLS + rest] += 1
        row[FILLED_BY] = rest
        row[CHANGED] += 1
    elif b <= row[EVICTED]:
        row[DUPLICATES] += 1
        row[UNCHECKED] += 1
    else:
        row[CONTRADICTIONS] += 1
        row[CHANGED] += 1


@njit
def _take_unusable(row, b, size, recv, value, lsn):  # type: ignore[no-untyped-def]
    """A trade that covers nothing. One without a size still says how many shares were traded."""
    row[CHANGED] += 1
    if 0 <= b <= MAX_VOLUME and size in (0, NULL):
        if b <= row[HI]:
            row[DUPLICATES] += 1
        else:
            _witness(row, W_BOOK, b, np.int64(0), recv, lsn, value)
    else:
        row[UNUSABLE] += 1


@njit(inline="always")
def _witness(row, place, volume, level, recv, lsn, value):  # type: ignore[no-untyped-def]
    row[place + W_VOLUME] = volume
    row[place + W_LEVEL] = level
    row[place + W_RECV] = recv
    row[place + W_LSN] = lsn
    row[place + W_VALUE] = value


@njit
def _set_aside(row, a, b, ts, recv, value, price, count, side, lsn):  # type: ignore[no-untyped-def]
    row[SUSPECTS] += 1
    row[CHANGED] += 1
    row[S_FROM] = a
    row[S_HI] = b
    row[S_TS] = ts
    row[S_RECV] = recv
    row[S_VALUE] = value
    row[S_COUNT] = count
    row[S_LSN] = lsn
    row[S_PRICE] = price
    row[S_SIDE] = side


@njit
def _take_back_suspect(row, ring, holes, pool):  # type: ignore[no-untyped-def]
    """A trade that goes on from the one set aside bears it out."""
    size = row[S_HI] - row[S_FROM]
    _take_new(
        row, ring, holes, pool, row[S_HI], size, row[S_TS], row[S_RECV], row[S_VALUE], row[S_PRICE], row[S_COUNT],
        row[S_SIDE], row[S_LSN],
    )  # fmt: skip
    row[SUSPECTS] -= 1
    row[S_HI] = NULL


@njit(
    [
        (
            "int64(int64, int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], "
            "int64[::1], int64[::1], int64[::1], int64[::1], int64[:,::1], int64[:,:,::1], int64[:,::1], int64[::1])"
        )
    ],
    cache=True,
    nogil=True,
)
def take_trades(  # type: ignore[no-untyped-def]
    start, series, cum, size, value, price, count, side, ts, recv, lsn, rest, rows, rings, holes, pool
):
    """Takes trades from ``start`` on; returns their number, or the row that needs more room for holes.

    Args:
        series: which row of ``rows`` and ``rings`` each belongs to.
        value: cumulative value, hundredths of a won.
        price: hundredths of a won.
        count: buys and sells so far; ``side`` is 1 where the trade is counted in it, else 0.
        rest: 1 where it came over REST, else 0.
        rows, rings, holes, pool: the state, as listed above; updated. A trade needs room for two holes.
    """
    for i in range(start, len(series)):
        row = rows[series[i]]
        b, shares = cum[i], size[i]
        if b < 0 or b > MAX_VOLUME or shares <= 0 or shares > b:
            _take_unusable(row, b, shares, recv[i], value[i], lsn[i])
            continue
        a = b - shares
        if rest[i] == 1 and b > row[HI]:
            row[REST_HI] = b
        if a > row[HI]:
            if pool[POOL_FREE] < 0 or holes[pool[POOL_FREE], NEXT] < 0:
                return i
            ring = rings[series[i]]
            if row[S_HI] == a:
                _take_back_suspect(row, ring, holes, pool)
            elif not _jump_is_plausible(row, a, _minus(value[i], _amount(price[i], shares)), price[i]):
                _set_aside(row, a, b, ts[i], recv[i], value[i], price[i], count[i], side[i], lsn[i])
                continue
            _take_new(row, ring, holes, pool, b, shares, ts[i], recv[i], value[i], price[i], count[i], side[i], lsn[i])
        elif a == row[HI]:
            _take_new(
                row, rings[series[i]], holes, pool, b, shares, ts[i], recv[i], value[i], price[i], count[i], side[i],
                lsn[i],
            )  # fmt: skip
        else:
            if pool[POOL_FREE] < 0 or holes[pool[POOL_FREE], NEXT] < 0:
                return i
            ring = rings[series[i]]
            if b > row[HI]:
                _take_new(
                    row, ring, holes, pool, b, shares, ts[i], recv[i], value[i], price[i], count[i], side[i], lsn[i]
                )
            else:
                _take_old(
                    row, ring, holes, pool, b, shares, ts[i], recv[i], value[i], price[i], count[i], side[i], lsn[i],
                    rest[i],
                )  # fmt: skip
    return len(series)


@njit(
    [("void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, int64[:,::1])")],
    cache=True,
    nogil=True,
)
def take_witnesses(series, volume, value, level, recv, lsn, place, rows):  # type: ignore[no-untyped-def]
    """Takes what books or polls say of the cumulative volume, in the order received.

    Args:
        place: ``W_BOOK`` or ``W_POLL``.
    """
    for i in range(len(series)):
        row = rows[series[i]]
        w = volume[i]
        if w < 0 or w > MAX_VOLUME:
            continue
        if w == 0:
            row[ZERO_LSN] = lsn[i]
        if w != row[place + W_VOLUME]:
            _witness(row, place, w, level[i], recv[i], lsn[i], value[i])
            if w > row[HI]:
                row[CHANGED] += 1
        elif level[i] > row[place + W_LEVEL]:
            row[place + W_LEVEL] = level[i]
            row[CHANGED] += 1
