"""The order book's kernel: takes quotes and trades in the order of the log and gives features at each second's close.

An event belongs to the second of its ``ts_event``, but never to one before the open one: what comes late counts in the
second in which it comes, as it would have live, and no closed second is ever changed. A second is closed by the first
event of a later one, so its values rest on nothing that came after. One without any event has no row.

Prices are int64 hundredths of a won, sizes shares; windows are sums of int64 over the last seconds, hence exact, and
with the same bits wherever the state was kept and resumed. A state is one row of int64 (``STATE`` wide), all zero
before the first event. Whoever changes its layout, or any formula, raises ``VERSION``.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit

VERSION: Final = 2
"""Of formulas and state."""

# The columns of an event.
SERIES: Final = 0  # the row of its state
SECOND: Final = 1  # since 1970, UTC
KIND: Final = 2
MODE: Final = 3
BID: Final = 4  # of a quote: best prices, their sizes, the sizes of five levels; 0 none
ASK: Final = 5
BID_SIZE: Final = 6
ASK_SIZE: Final = 7
BID_5: Final = 8
ASK_5: Final = 9
PRICE: Final = 4  # of a trade
SIZE: Final = 5
SIDE: Final = 6  # 1 a buyer took it, -1 a seller did, 0 unknown
CUM_VOLUME: Final = 7  # 0 unknown
EVENT: Final = 10

QUOTE: Final = 0
TRADE: Final = 1
"""Kinds of events."""
CONTINUOUS: Final = 0
AUCTION: Final = 1
BESIDE: Final = 2
"""Modes: a trade ``BESIDE`` the book, as a block, counts in the cumulative volume only; one of an ``AUCTION`` in the
second's bar, not in the flow."""

# The columns of a row beside its features.
ROW_SERIES: Final = 0
ROW_SECOND: Final = 1
ROW_BID: Final = 2  # 0 where the book has not two sides
ROW_ASK: Final = 3
ROW_QUOTES: Final = 4  # events of this second
ROW_TRADES: Final = 5
ROW_OPEN: Final = 6  # the bar of its trades but those beside the book; all 0 where there was none
ROW_HIGH: Final = 7
ROW_LOW: Final = 8
ROW_CLOSE: Final = 9
ROW_VOLUME: Final = 10
ROW: Final = 11

# The outputs, by place.
SPREAD_BP: Final = 0
IMBALANCE_1: Final = 1
IMBALANCE_5: Final = 2
MICROPRICE_BP: Final = 3
FLOW_10: Final = 4
FLOW_60: Final = 5
OFI_10: Final = 6
OFI_60: Final = 7
OUTPUTS: Final = 8

# The state.
_OPEN: Final = 0  # the open second; 0 before the first event
_SINCE: Final = 1  # windows hold only what came after this second
_CUM: Final = 2  # cumulative volume of the last trade
_LAST: Final = 3  # its price
_MOVE: Final = 4  # which way the price went when it last changed
_BOOK: Final = 5
_BOOK_BID: Final = 6  # the book as it stands, as the columns of a quote
_BOOK_ASK: Final = 7
_BOOK_BID_SIZE: Final = 8
_BOOK_ASK_SIZE: Final = 9
_BOOK_BID_5: Final = 10
_BOOK_ASK_5: Final = 11
_QUOTES: Final = 12
_TRADES: Final = 13
_BAR_OPEN: Final = 14
_BAR_HIGH: Final = 15
_BAR_LOW: Final = 16
_BAR_CLOSE: Final = 17
_BAR_VOLUME: Final = 18
_RING: Final = 19
_LONG: Final = 60  # seconds
_SHORT: Final = 10
_NET: Final = 0  # of each second: shares bought less sold; traded; order flow imbalance; both best sizes; books
_VOLUME: Final = 1
_OFI: Final = 2
_DEPTH: Final = 3
_BOOKS: Final = 4
_PARTS: Final = 5
STATE: Final = _RING + _LONG * _PARTS

_ONE_SIDED: Final = 0  # or empty, locked, crossed
_TWO_SIDED: Final = 1
_IN_AUCTION: Final = 2


@njit
def _slot(second):  # type: ignore[no-untyped-def]
    return _RING + (second % _LONG) * _PARTS


@njit
def _windows(state, length, flow, ofi, out):  # type: ignore[no-untyped-def]
    """What the last ``length`` seconds make, where all of them were seen."""
    second = state[_OPEN]
    if second - state[_SINCE] < length:
        return
    net, volume, imbalance, depth, books = np.int64(0), np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for back in range(length):
        at = _slot(second - back)
        net += state[at + _NET]
        volume += state[at + _VOLUME]
        imbalance += state[at + _OFI]
        depth += state[at + _DEPTH]
        books += state[at + _BOOKS]
    out[flow] = net / volume if volume > 0 else 0.0
    if state[_BOOK] == _TWO_SIDED:
        out[ofi] = imbalance * (2.0 * books) / depth if depth > 0 else 0.0


@njit
def _features(state, out):  # type: ignore[no-untyped-def]
    out[:] = np.nan
    if state[_BOOK] == _IN_AUCTION:
        return
    _windows(state, _SHORT, FLOW_10, OFI_10, out)
    _windows(state, _LONG, FLOW_60, OFI_60, out)
    if state[_BOOK] != _TWO_SIDED:
        return
    bid, ask, bid_size, ask_size = state[_BOOK_BID], state[_BOOK_ASK], state[_BOOK_BID_SIZE], state[_BOOK_ASK_SIZE]
    bid_5, ask_5 = state[_BOOK_BID_5], state[_BOOK_ASK_5]
    out[SPREAD_BP] = 20_000.0 * (ask - bid) / (ask + bid)
    out[IMBALANCE_1] = (bid_size - ask_size) / (bid_size + ask_size)
    out[IMBALANCE_5] = (bid_5 - ask_5) / (bid_5 + ask_5)
    out[MICROPRICE_BP] = 0.5 * out[SPREAD_BP] * out[IMBALANCE_1]


@njit
def _write(state, series, row, out):  # type: ignore[no-untyped-def]
    """The row of the open second; 1, or 0 where nothing happened in it."""
    if state[_QUOTES] + state[_TRADES] == 0:
        return 0
    two_sided = state[_BOOK] == _TWO_SIDED
    row[ROW_SERIES] = series
    row[ROW_SECOND] = state[_OPEN]
    row[ROW_BID] = state[_BOOK_BID] if two_sided else 0
    row[ROW_ASK] = state[_BOOK_ASK] if two_sided else 0
    row[ROW_QUOTES] = state[_QUOTES]
    row[ROW_TRADES] = state[_TRADES]
    row[ROW_OPEN : ROW_VOLUME + 1] = state[_BAR_OPEN : _BAR_VOLUME + 1]
    _features(state, out)
    return 1


@njit
def _open(state, second):  # type: ignore[no-untyped-def]
    """Makes ``second`` the open one; those between had no event."""
    for passed in range(max(state[_OPEN] + 1, second - _LONG + 1), second + 1):
        at = _slot(passed)
        state[at : at + _PARTS] = 0
    if state[_OPEN] == 0:
        state[_SINCE] = second
    state[_OPEN] = second
    state[_QUOTES : _BAR_VOLUME + 1] = 0


@njit
def _order_flow(state, event):  # type: ignore[no-untyped-def]
    """What a new best level says of what was ordered, cancelled and taken since the one before."""
    flow = np.int64(0)
    if event[BID] >= state[_BOOK_BID]:
        flow += event[BID_SIZE]
    if event[BID] <= state[_BOOK_BID]:
        flow -= state[_BOOK_BID_SIZE]
    if event[ASK] <= state[_BOOK_ASK]:
        flow -= event[ASK_SIZE]
    if event[ASK] >= state[_BOOK_ASK]:
        flow += state[_BOOK_ASK_SIZE]
    return flow


@njit
def _quote(state, event):  # type: ignore[no-untyped-def]
    state[_QUOTES] += 1
    if event[MODE] != CONTINUOUS:
        state[_BOOK] = _IN_AUCTION
        state[_SINCE] = state[_OPEN]
        return
    if event[BID] <= 0 or event[ASK] <= event[BID] or event[BID_SIZE] <= 0 or event[ASK_SIZE] <= 0:
        state[_BOOK] = _ONE_SIDED
        return
    at = _slot(state[_OPEN])
    if state[_BOOK] == _TWO_SIDED:
        state[at + _OFI] += _order_flow(state, event)
    state[at + _DEPTH] += event[BID_SIZE] + event[ASK_SIZE]
    state[at + _BOOKS] += 1
    state[_BOOK] = _TWO_SIDED
    state[_BOOK_BID : _BOOK_ASK_5 + 1] = event[BID : ASK_5 + 1]


@njit
def _side(state, price):  # type: ignore[no-untyped-def]
    """Who took a trade of which that is not told: by the middle of the book, at it by the last change of the price."""
    if state[_BOOK] == _TWO_SIDED:
        middle = state[_BOOK_BID] + state[_BOOK_ASK]
        if 2 * price != middle:
            return 1 if 2 * price > middle else -1
    if state[_LAST] == 0 or price == state[_LAST]:
        return state[_MOVE]
    return 1 if price > state[_LAST] else -1


@njit
def _bar(state, price, size):  # type: ignore[no-untyped-def]
    if state[_BAR_VOLUME] == 0:
        state[_BAR_OPEN : _BAR_CLOSE + 1] = price
    state[_BAR_HIGH] = max(state[_BAR_HIGH], price)
    state[_BAR_LOW] = min(state[_BAR_LOW], price)
    state[_BAR_CLOSE] = price
    state[_BAR_VOLUME] += size


@njit
def _trade(state, event):  # type: ignore[no-untyped-def]
    cum, price, size = event[CUM_VOLUME], event[PRICE], event[SIZE]
    if cum > 0:
        if cum <= state[_CUM]:
            return  # received twice
        if 0 < state[_CUM] < cum - size:
            state[_SINCE] = state[_OPEN]  # shares were traded that nobody told us of
        state[_CUM] = cum
    state[_TRADES] += 1
    if event[MODE] == BESIDE:
        return
    _bar(state, price, size)
    if event[MODE] == AUCTION:
        state[_SINCE] = state[_OPEN]
    else:
        at = _slot(state[_OPEN])
        side = event[SIDE] if event[SIDE] != 0 else _side(state, price)
        state[at + _NET] += side * size
        state[at + _VOLUME] += size
    if state[_LAST] > 0 and price != state[_LAST]:
        state[_MOVE] = 1 if price > state[_LAST] else -1
    state[_LAST] = price


@njit("int64(int64[:,::1], int64[:,::1], int64[:,::1], float64[:,::1], int64[::1])", cache=True, nogil=True)
def step_events(states, events, rows, out, closers):  # type: ignore[no-untyped-def]
    """Takes events into their series' states, and writes the seconds that they close; how many.

    Args:
        states: (s, STATE); updated.
        events: (n, EVENT), of each series in the order of the log.
        rows: (n, ROW); the first so many are written.
        out: (n, OUTPUTS) their features, NaN is null.
        closers: (n,) places of the events that closed them.
    """
    made = 0
    for at in range(len(events)):
        event = events[at]
        state = states[event[SERIES]]
        if event[SECOND] > state[_OPEN]:
            closers[made] = at
            made += _write(state, event[SERIES], rows[made], out[made])
            _open(state, event[SECOND])
        if event[KIND] == QUOTE:
            _quote(state, event)
        else:
            _trade(state, event)
    return made


@njit("int64(int64[:,::1], int64[:,::1], float64[:,::1])", cache=True, nogil=True)
def close_all(states, rows, out):  # type: ignore[no-untyped-def]
    """Writes the open second of every series, as at the end of a day; how many. The states are as they were.

    Args:
        states: (s, STATE).
        rows: (s, ROW); the first so many are written.
        out: (s, OUTPUTS) their features, NaN is null.
    """
    made = 0
    for series in range(len(states)):
        made += _write(states[series], series, rows[made], out[made])
    return made
