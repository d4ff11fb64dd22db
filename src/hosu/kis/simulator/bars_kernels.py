# ruff: noqa: PLR0917, E741  a kernel takes its arrays one by one; o, h, l, c are the letters of OHLC
"""Minute bars taken apart into trades whose open, high, low, close, volume and value are the bar's."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from hosu.kis.byte_kernel import compiled

POSSIBLE, VALUE_TOO_LOW, VALUE_TOO_HIGH, TOO_FEW_SHARES, NO_ROOM, VALUE_WITHOUT_VOLUME = range(6)


@numba.njit(inline="always")
def _next(random: Any) -> Any:
    """xorshift64*: 31 uniform bits, and the next state."""
    random ^= random >> np.uint64(12)
    random ^= random << np.uint64(25)
    random ^= random >> np.uint64(27)
    return np.int64((random * np.uint64(2685821657736338717)) >> np.uint64(33)), random


@numba.njit
def _pieces(price: Any, shares: Any, count: Any, prices: Any, sizes: Any, at: Any, random: Any) -> Any:
    """Splits shares at one price into ``count`` prints of at least one share; returns the place after them."""
    left = shares
    for k in range(count):
        size = left
        if k < count - 1:
            bits, random = _next(random)
            room = left - (count - 1 - k)
            size = 1 + bits % max(1, 2 * room // (count - k)) if room > 1 else 1
            size = min(size, room)
        prices[at] = price
        sizes[at] = size
        left -= size
        at += 1
    return at, random


@numba.njit
def _shuffle(prices: Any, sizes: Any, first: Any, last: Any, random: Any) -> Any:
    for i in range(last - 1, first, -1):
        bits, random = _next(random)
        j = first + bits % (i - first + 1)
        prices[i], prices[j] = prices[j], prices[i]
        sizes[i], sizes[j] = sizes[j], sizes[i]
    return random


@numba.njit
def _two_prices(value: Any, shares: Any, low: Any, high: Any, tick: Any) -> Any:
    """Adjacent prices and how many shares at the upper one, so that they are worth ``value``.

    The distance is the tick if that can be, else half of it, else 1 won; ``low * shares <= value <= high * shares``.
    """
    for part in range(3):
        step = tick if part == 0 else tick // 2 if part == 1 else 1
        if step < 1 or (part == 1 and tick % 2 != 0):
            continue
        price = value // (shares * step) * step
        rest = value - price * shares
        if rest % step == 0 and price >= low and (rest == 0 or price + step <= high):
            return price, step, rest // step
    return low, 1, 0


@numba.njit
def _one_bar(
    o: Any,
    h: Any,
    l: Any,
    c: Any,
    volume: Any,
    value: Any,
    tick: Any,
    prints: Any,
    random: Any,
    prices: Any,
    sizes: Any,
    at: Any,
) -> Any:
    """Writes the prints of one bar from place ``at`` on; returns the place after them and what could not be met."""
    fault = POSSIBLE
    if value < l * volume:
        fault = VALUE_TOO_LOW
    elif value > h * volume:
        fault = VALUE_TOO_HIGH
    if l == h:
        bits, random = _next(random)
        at, random = _pieces(o, volume, min(volume, 1 + bits % max(1, prints // 2)), prices, sizes, at, random)
        return at, fault
    first = at
    needed = np.array([o, h, l, c])
    use = np.array([True, h not in (o, c), l not in (o, c), True])
    if volume < use.sum():
        fault = TOO_FEW_SHARES
        use[2] = use[2] and volume > 3
        use[1] = use[1] and volume > 2
        use[3] = volume > 1
    left, worth = volume, value
    for k in range(4):
        if use[k]:
            prices[at] = needed[k]
            sizes[at] = 1
            left -= 1
            worth -= needed[k]
            at += 1
    if left > 0:
        if worth < l * left or worth > h * left:
            fault = NO_ROOM if fault == POSSIBLE else fault
            worth = min(max(worth, l * left), h * left)
        price, step, upper = _two_prices(worth, left, l, h, tick)
        close = sizes[at - 1]
        at -= 1  # the close goes to the end again
        room = max(0, prints - (at - first) - 3)
        for group in range(2):
            shares = left - upper if group == 0 else upper
            if shares > 0:
                bits, random = _next(random)
                count = min(shares, 1 + bits % (room // 2 + 1))
                at, random = _pieces(price + group * step, shares, count, prices, sizes, at, random)
        _shuffle(prices, sizes, first + 1, at, random)
        prices[at] = c
        sizes[at] = close
        at += 1
    elif worth != 0 and fault == POSSIBLE:
        fault = NO_ROOM
    return at, fault


@compiled(
    "int64(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], int64, uint64[::1],"
    " int64[::1], int64[::1], int64[::1], int64[::1], int64[::1])"
)
def split_bars(
    o: Any,
    h: Any,
    l: Any,
    c: Any,
    volume: Any,
    value: Any,
    tick: Any,
    prints: Any,
    seeds: Any,
    bar: Any,
    prices: Any,
    sizes: Any,
    second: Any,
    fault: Any,
) -> Any:
    """Prints of each bar, about ``prints`` of them at most; returns how many were written.

    Prices and ticks are won. ``bar``, ``prices``, ``sizes`` and ``second`` (of the minute) have room for
    ``prints + 8`` entries a bar; ``fault`` gets one code a bar.
    """
    at = 0
    for i in range(len(o)):
        fault[i] = POSSIBLE
        if volume[i] == 0:
            fault[i] = VALUE_WITHOUT_VOLUME if value[i] != 0 else POSSIBLE
            continue
        random = seeds[i] | np.uint64(1)
        first = at
        at, fault[i] = _one_bar(o[i], h[i], l[i], c[i], volume[i], value[i], tick[i], prints, random, prices, sizes, at)
        count = at - first
        bits, random = _next(random)
        shift = bits % 1000
        for k in range(count):
            bar[first + k] = i
            # In pairs, so that some frames hold two records.
            second[first + k] = 60 * (1000 * (k - k % 2) + shift) // (1000 * count)
    return at
