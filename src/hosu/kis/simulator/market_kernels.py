# ruff: noqa: PLR0917  a kernel takes its arrays one by one, and numba no keywords by signature
"""The arithmetic of the broker's records, and the two sources that need a loop: the exchange and the bars.

Everything is int64: prices in hundredths of a won, rates in hundredths, times in seconds of the day, codes packed as
ASCII. Columns are rows of a two-dimensional array, in the order of the layout's fields. Per symbol there are

* ``fixed``: what does not change in a day (``F_*``),
* ``state``: the day so far (``S_*``),
* ``book``: ten sizes a side; prices follow from the best ones and the tick grid.

All in one file: numba's cache does not notice when a function in another file changes.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from hosu.kis.byte_kernel import compiled

NULL = np.iinfo(np.int64).min

F_SYMBOL, F_PREVIOUS_CLOSE, F_PREVIOUS_VOLUME, F_LISTED, F_UPPER, F_LOWER, F_SIZE, F_DRIFT = range(8)
FIXED_WIDTH = 8
(
    S_OPEN, S_HIGH, S_LOW, S_OPEN_TIME, S_HIGH_TIME, S_LOW_TIME, S_VOLUME, S_VALUE, S_SELLS, S_BUYS, S_SOLD, S_BOUGHT,
    S_VI_PRICE, S_LAST, S_ASK, S_BID, S_ASK_TOTAL, S_BID_TOTAL, S_MODE, S_AUCTION_END, S_EXPECTED, S_EXPECTED_SIZE,
    S_OPENING_SIZE, S_SENT_ASK_TOTAL, S_SENT_BID_TOTAL,
) = range(25)  # fmt: skip
STATE_WIDTH = 25

SILENT, CONTINUOUS, AUCTION, HALTED = 0, 1, 2, 3
BUY, SELL, NO_SIDE = 49, 53, 51  # "1", "5", "3"
VI_START, VI_END = 1, 2

# What a call says of its records: business date, and the packed codes of this part of the day.
C_DATE, C_MKOP, C_HOUR, C_MARKET, C_OPENS, C_CLOSES = range(6)
CODES_WIDTH = 6

TRADE_WIDTH, BOOK_WIDTH = 47, 66
_YES, _NO = 89, 78
_ZERO = 48


@numba.njit(inline="always")
def _ratio(part: Any, whole: Any) -> Any:
    """part / whole in hundredths of a per cent or of one, rounded half away from zero; 0 where there is no whole."""
    if whole == 0:
        return 0
    if part < 0:
        return -((-part * 2 + whole) // (2 * whole))
    return (part * 2 + whole) // (2 * whole)


@numba.njit(inline="always")
def _sign(change: Any) -> Any:
    return 50 if change > 0 else 53 if change < 0 else 51


@numba.njit(inline="always")
def _tick(price: Any, ticks: Any) -> Any:
    """The tick of the band that holds ``price``; ``ticks`` are rows of (price from, tick), rising."""
    found = ticks[0, 1]
    for i in range(1, ticks.shape[0]):
        if price >= ticks[i, 0]:
            found = ticks[i, 1]
    return found


@numba.njit(inline="always")
def _up(price: Any, ticks: Any) -> Any:
    return price + _tick(price, ticks)


@numba.njit(inline="always")
def _down(price: Any, ticks: Any) -> Any:
    return price - _tick(price - 1, ticks)


@numba.njit
def _previous_day_by_now(volume: Any, t: Any, opens: Any, closes: Any) -> Any:
    """The previous day's volume up to this time of day: 2 per cent at the open, the rest evenly."""
    if t < opens:
        return 0
    span = max(1, closes - opens)
    gone = min(t - opens, span)
    return volume * (2 * span + 98 * gone) // (100 * span)


@numba.njit
def _record_trade(s: Any, t: Any, price: Any, size: Any, side: Any, state: Any) -> Any:
    """Takes a trade into the day so far."""
    day = state[s]
    if day[S_VOLUME] == 0:
        day[S_OPEN] = price
        day[S_HIGH] = price
        day[S_LOW] = price
        day[S_OPEN_TIME] = t
        day[S_HIGH_TIME] = t
        day[S_LOW_TIME] = t
        day[S_VI_PRICE] = price
    elif price > day[S_HIGH]:
        day[S_HIGH] = price
        day[S_HIGH_TIME] = t
    elif price < day[S_LOW]:
        day[S_LOW] = price
        day[S_LOW_TIME] = t
    day[S_LAST] = price
    day[S_VOLUME] += size
    day[S_VALUE] += price * size
    if side == BUY:
        day[S_BUYS] += 1
        day[S_BOUGHT] += size
    elif side == SELL:
        day[S_SELLS] += 1
        day[S_SOLD] += size


@numba.njit
def _change(out: Any, i: Any, at: Any, price: Any, since: Any) -> Any:
    """Sign and difference against a price of the day, at columns ``at`` and ``at + 1``."""
    out[at, i] = _sign(price - since)
    out[at + 1, i] = price - since


@numba.njit
def _price_part(out: Any, i: Any, s: Any, t: Any, price: Any, fixed: Any) -> Any:
    facts = fixed[s]
    change = price - facts[F_PREVIOUS_CLOSE]
    out[0, i] = facts[F_SYMBOL]
    out[1, i] = t
    out[2, i] = price
    sign = _sign(change)
    if price == facts[F_UPPER]:
        sign = 49
    elif price == facts[F_LOWER]:
        sign = 52
    out[3, i] = sign
    out[4, i] = change
    out[5, i] = _ratio(change * 10000, facts[F_PREVIOUS_CLOSE])


@numba.njit
def _book_part(out: Any, i: Any, s: Any, state: Any, book: Any) -> Any:
    day = state[s]
    out[10, i] = day[S_ASK]
    out[11, i] = day[S_BID]
    out[36, i] = book[s, 0, 0]
    out[37, i] = book[s, 1, 0]
    out[38, i] = day[S_ASK_TOTAL]
    out[39, i] = day[S_BID_TOTAL]


@numba.njit
def _trade_row(
    out: Any, i: Any, s: Any, t: Any, price: Any, size: Any, side: Any, fixed: Any, state: Any, book: Any, codes: Any
) -> Any:
    """Writes 실시간체결가 after the trade was taken into the day."""
    day, facts = state[s], fixed[s]
    volume = day[S_VOLUME]
    _price_part(out, i, s, t, price, fixed)
    out[6, i] = _ratio(day[S_VALUE], volume)
    out[7, i] = day[S_OPEN]
    out[8, i] = day[S_HIGH]
    out[9, i] = day[S_LOW]
    _book_part(out, i, s, state, book)
    out[12, i] = size
    out[13, i] = volume
    out[14, i] = day[S_VALUE] // 100
    out[15, i] = day[S_SELLS]
    out[16, i] = day[S_BUYS]
    out[17, i] = day[S_BUYS] - day[S_SELLS]
    out[18, i] = _ratio(day[S_BOUGHT] * 10000, day[S_SOLD])
    out[19, i] = day[S_SOLD]
    out[20, i] = day[S_BOUGHT]
    out[21, i] = side
    # Bought shares of all shares, rounded up: so in three recorded frames (0.39, 0.47, 0.61).
    out[22, i] = (day[S_BOUGHT] * 100 + volume - 1) // volume
    out[23, i] = _ratio(volume * 10000, facts[F_PREVIOUS_VOLUME])
    out[24, i] = day[S_OPEN_TIME]
    _change(out, i, 25, price, day[S_OPEN])
    out[27, i] = day[S_HIGH_TIME]
    _change(out, i, 28, price, day[S_HIGH])
    out[30, i] = day[S_LOW_TIME]
    _change(out, i, 31, price, day[S_LOW])
    out[33, i] = codes[C_DATE]
    out[34, i] = codes[C_MKOP]
    out[35, i] = _NO
    out[40, i] = _ratio(volume * 10000, facts[F_LISTED])
    before = _previous_day_by_now(facts[F_PREVIOUS_VOLUME], t, codes[C_OPENS], codes[C_CLOSES])
    out[41, i] = before
    out[42, i] = _ratio(volume * 10000, before)
    out[43, i] = codes[C_HOUR]
    out[44, i] = NULL
    out[45, i] = day[S_VI_PRICE]
    out[46, i] = codes[C_MARKET]


@numba.njit
def _expected_row(
    out: Any, i: Any, s: Any, t: Any, more: Any, fixed: Any, state: Any, book: Any, codes: Any, hour: Any
) -> Any:
    """Writes 실시간예상체결: the expected price and volume in the places of price and volume."""
    day = state[s]
    price = day[S_EXPECTED]
    _price_part(out, i, s, t, price, fixed)
    for at in range(6, TRADE_WIDTH):
        out[at, i] = 0
    _book_part(out, i, s, state, book)
    out[12, i] = more
    out[13, i] = day[S_EXPECTED_SIZE]
    out[14, i] = day[S_EXPECTED_SIZE] * price // 100
    out[21, i] = BUY
    out[23, i] = _ratio(day[S_EXPECTED_SIZE] * 10000, fixed[s, F_PREVIOUS_VOLUME])
    out[25, i] = 51
    out[28, i] = 51
    out[31, i] = 51
    out[33, i] = codes[C_DATE]
    out[34, i] = codes[C_MKOP]
    out[35, i] = _NO
    out[40, i] = _ratio(day[S_EXPECTED_SIZE] * 10000, fixed[s, F_LISTED])
    out[43, i] = hour
    out[44, i] = NULL
    out[45, i] = fixed[s, F_PREVIOUS_CLOSE] if day[S_VOLUME] == 0 else day[S_VI_PRICE]
    out[46, i] = _ZERO


@numba.njit
def _level_prices(out: Any, i: Any, best: Any, first: Any, rising: Any, limit: Any, ticks: Any) -> Any:
    """Ten prices from the best one on, 0 beyond the price limit or where the side is empty."""
    price = best
    for level in range(10):
        out[first + level, i] = price
        if price == 0:
            continue
        price = _up(price, ticks) if rising else _down(price, ticks)
        if (rising and price > limit) or (not rising and price < limit):
            price = 0


@numba.njit
def _book_row(out: Any, i: Any, s: Any, t: Any, fixed: Any, state: Any, book: Any, hour: Any, ticks: Any) -> Any:
    """Writes 실시간호가; in an auction with the expected match, else with the zeros the broker sends."""
    day, facts = state[s], fixed[s]
    out[0, i] = facts[F_SYMBOL]
    out[1, i] = t
    out[2, i] = hour
    _level_prices(out, i, day[S_ASK], 3, True, facts[F_UPPER], ticks)
    _level_prices(out, i, day[S_BID], 13, False, facts[F_LOWER], ticks)
    for level in range(10):
        out[23 + level, i] = book[s, 0, level]
        out[33 + level, i] = book[s, 1, level]
    out[43, i] = day[S_ASK_TOTAL]
    out[44, i] = day[S_BID_TOTAL]
    out[45, i] = 0
    out[46, i] = 0
    auction = day[S_MODE] == AUCTION
    expected = day[S_EXPECTED] if auction else 0
    out[47, i] = expected
    out[48, i] = day[S_EXPECTED_SIZE] if auction else 0
    out[49, i] = day[S_EXPECTED_SIZE] if auction else day[S_OPENING_SIZE]
    change = expected - facts[F_PREVIOUS_CLOSE]
    out[50, i] = change
    out[51, i] = _sign(change)
    out[52, i] = _ratio(change * 10000, facts[F_PREVIOUS_CLOSE])
    out[53, i] = day[S_VOLUME]
    out[54, i] = day[S_ASK_TOTAL] - day[S_SENT_ASK_TOTAL]
    out[55, i] = day[S_BID_TOTAL] - day[S_SENT_BID_TOTAL]
    day[S_SENT_ASK_TOTAL] = day[S_ASK_TOTAL]
    day[S_SENT_BID_TOTAL] = day[S_BID_TOTAL]
    out[56, i] = 0
    out[57, i] = 0
    out[58, i] = _ZERO
    out[59, i] = (day[S_ASK] + day[S_BID]) // 2 if day[S_ASK] > 0 and day[S_BID] > 0 else 0
    out[60, i] = 0
    out[61, i] = _ZERO
    out[62, i] = 0
    out[63, i] = 0
    out[64, i] = _ZERO
    out[65, i] = 49


@numba.njit
def _draw_size(u: Any, mean: Any) -> Any:
    """A size of about exponential distribution, at least 1."""
    return 1 + np.int64(-np.log(1.0 - u) * mean)


@numba.njit
def _lay_out_side(
    s: Any, side: Any, best: Any, limit: Any, state: Any, book: Any, fixed: Any, ticks: Any, u: Any
) -> Any:
    """Fills one side of the book afresh from its best price."""
    total, price = 0, best
    for level in range(10):
        size = 0
        if price > 0:
            size = _draw_size((u * (level + 7) * 0.6180339887) % 1.0, fixed[s, F_SIZE] * (2 + level))
            price = _up(price, ticks) if side == 0 else _down(price, ticks)
            if (side == 0 and price > limit) or (side == 1 and price < limit):
                price = 0
        book[s, side, level] = size
        total += size
    state[s, S_ASK if side == 0 else S_BID] = best
    state[s, S_ASK_TOTAL if side == 0 else S_BID_TOTAL] = total


@numba.njit
def _lay_out_book(s: Any, price: Any, state: Any, book: Any, fixed: Any, ticks: Any, u: Any) -> Any:
    """A fresh book around a price on the grid, its best bid at the price."""
    facts = fixed[s]
    bid, ask = price, _up(price, ticks)
    if ask > facts[F_UPPER]:
        ask = 0
    _lay_out_side(s, 0, ask, facts[F_UPPER], state, book, fixed, ticks, u)
    _lay_out_side(s, 1, bid, facts[F_LOWER], state, book, fixed, ticks, 1.0 - u)


@compiled("void(int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[:, ::1], float64[::1])")
def lay_out_books(fixed: Any, state: Any, book: Any, ticks: Any, draws: Any) -> Any:
    """A fresh book for every symbol around its expected price; ``draws`` has one uniform number a symbol."""
    for s in range(len(fixed)):
        _lay_out_book(s, state[s, S_EXPECTED], state, book, fixed, ticks, draws[s])


@numba.njit
def _level_price(s: Any, side: Any, level: Any, state: Any, fixed: Any, ticks: Any) -> Any:
    """The price of a level, 0 beyond the limit."""
    price = state[s, S_ASK if side == 0 else S_BID]
    for _ in range(level):
        if price > 0:
            price = _up(price, ticks) if side == 0 else _down(price, ticks)
            if price > fixed[s, F_UPPER] or price < fixed[s, F_LOWER]:
                price = 0
    return price


@numba.njit
def _drop_best(s: Any, side: Any, state: Any, book: Any, fixed: Any, ticks: Any, u: Any) -> Any:
    """The best level is used up: the next takes its place, and one comes in at the far end."""
    at, total = (S_ASK, S_ASK_TOTAL) if side == 0 else (S_BID, S_BID_TOTAL)
    state[s, at] = _level_price(s, side, 1, state, fixed, ticks)
    for level in range(9):
        book[s, side, level] = book[s, side, level + 1]
    last = 0
    if _level_price(s, side, 9, state, fixed, ticks) > 0:
        last = _draw_size(u, fixed[s, F_SIZE] * 11)
    book[s, side, 9] = last
    state[s, total] += last


@numba.njit
def _push_best(s: Any, side: Any, price: Any, size: Any, state: Any, book: Any) -> Any:
    """A better price than the best so far: every level moves back by one."""
    at, total = (S_ASK, S_ASK_TOTAL) if side == 0 else (S_BID, S_BID_TOTAL)
    state[s, total] += size - book[s, side, 9]
    for level in range(9, 0, -1):
        book[s, side, level] = book[s, side, level - 1]
    book[s, side, 0] = size
    state[s, at] = price


@numba.njit
def _refresh_book(s: Any, state: Any, book: Any, fixed: Any, ticks: Any, u: Any, v: Any) -> Any:
    """After trades: orders come in and go on a level of each side, and a wide spread closes."""
    day = state[s]
    level = np.int64(u * 10)
    for side in range(2):
        total = S_ASK_TOTAL if side == 0 else S_BID_TOTAL
        old = book[s, side, level]
        if old > 0:
            new = max(1, old + _draw_size((v * 7.0 + side * 0.5) % 1.0, fixed[s, F_SIZE] * 3) - fixed[s, F_SIZE] * 2)
            book[s, side, level] = new
            day[total] += new - old
    facts = fixed[s]
    if day[S_BID] == 0 and day[S_ASK] > facts[F_LOWER]:
        _lay_out_side(s, 1, _down(day[S_ASK], ticks), facts[F_LOWER], state, book, fixed, ticks, u)
    elif day[S_ASK] == 0 and day[S_BID] < facts[F_UPPER] and v < 0.02:
        _lay_out_side(s, 0, _up(day[S_BID], ticks), facts[F_UPPER], state, book, fixed, ticks, u)
    elif day[S_ASK] > 0 and day[S_BID] > 0 and _up(day[S_BID], ticks) < day[S_ASK] and v < 0.7:
        if u < 0.5:
            _push_best(s, 1, _up(day[S_BID], ticks), _draw_size(v, facts[F_SIZE] * 2), state, book)
        else:
            _push_best(s, 0, _down(day[S_ASK], ticks), _draw_size(v, facts[F_SIZE] * 2), state, book)


@numba.njit
def _choose_side(s: Any, state: Any, fixed: Any, u: Any) -> Any:
    """0 takes from the asks (a buy), 1 from the bids; the price is drawn back to where the day tends to."""
    day = state[s]
    if day[S_ASK] == 0:
        return 1
    if day[S_BID] == 0:
        return 0
    pull = 4.0 * (fixed[s, F_DRIFT] - day[S_LAST]) / day[S_LAST]
    return 0 if u < 0.5 + min(0.2, max(-0.2, pull)) else 1


@numba.njit
def _auction_print(
    trades: Any, i: Any, s: Any, t: Any, fixed: Any, state: Any, book: Any, codes: Any, ticks: Any, u: Any
) -> Any:
    """The match of an auction: one print without a side at the expected price, and a fresh book around it."""
    day = state[s]
    price, size = day[S_EXPECTED], max(1, day[S_EXPECTED_SIZE])
    if day[S_VOLUME] == 0:
        day[S_OPENING_SIZE] = size
    _record_trade(s, t, price, size, NO_SIDE, state)
    day[S_VI_PRICE] = price
    day[S_EXPECTED_SIZE] = 0
    day[S_AUCTION_END] = 0
    _lay_out_book(s, price, state, book, fixed, ticks, u)
    _trade_row(trades, i, s, t, price, size, NO_SIDE, fixed, state, book, codes)


@compiled(
    "void(int64[::1], int64[::1], float64[::1], int64[:, ::1], int64[:, ::1], int64[:, :, ::1], int64[::1],"
    " int64[:, ::1], int64[:, ::1])"
)
def auction_prints(
    who: Any, when: Any, draws: Any, fixed: Any, state: Any, book: Any, codes: Any, ticks: Any, trades: Any
) -> Any:
    """One print for each of ``who`` at the seconds ``when``: the end of a call auction for all at once."""
    for i in range(len(who)):
        _auction_print(trades, i, who[i], when[i], fixed, state, book, codes, ticks, draws[i])


@numba.njit
def _auction_event(s: Any, fixed: Any, state: Any, ticks: Any, u: Any, v: Any) -> Any:
    """Orders come into the auction: the expected price moves by a tick at most, the volume grows."""
    day = state[s]
    if u < 0.15:
        day[S_EXPECTED] = min(fixed[s, F_UPPER], _up(day[S_EXPECTED], ticks))
    elif u > 0.85:
        day[S_EXPECTED] = max(fixed[s, F_LOWER], _down(day[S_EXPECTED], ticks))
    more = _draw_size(v, fixed[s, F_SIZE] * 2)
    day[S_EXPECTED_SIZE] += more
    return more


@compiled(
    "int64[::1](int64[::1], int64[::1], int64[::1], float64[:, ::1], int64[:, ::1], int64[:, ::1], int64[:, :, ::1],"
    " int64[::1], int64[:, ::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[::1], int64[:, ::1], int64[::1],"
    " int64[:, ::1])"
)
def exchange_events(
    who: Any, when: Any, fills: Any, draws: Any, fixed: Any, state: Any,
    book: Any, codes: Any, ticks: Any, trades: Any, trade_event: Any,
    books: Any, book_event: Any, expected: Any, expected_event: Any, happened: Any,
) -> Any:  # fmt: skip  # fmt: skip
    """Plays the events of a stretch of the day; returns how many trades, books, expected matches, VI changes it wrote.

    Event ``n`` is somebody trading ``who[n]`` at second ``when[n]`` in ``fills[n]`` fills; in an auction it is an
    order that moves the expected match. ``draws`` has two rows an event and two a fill, from row 2 * events on. The
    ``*_event`` arrays tell which event a row belongs to; ``happened`` has rows of (event, symbol, VI_START or
    VI_END).
    """
    written = np.zeros(4, np.int64)
    at_draw = 0
    for n in range(len(who)):
        s, t = who[n], when[n]
        day = state[s]
        mode = day[S_MODE]
        if mode == AUCTION and 0 < day[S_AUCTION_END] <= t:
            _auction_print(trades, written[0], s, t, fixed, state, book, codes, ticks, draws[n, 0])
            trade_event[written[0]] = n
            written[0] += 1
            day[S_MODE] = CONTINUOUS
            happened[written[3], 0], happened[written[3], 1], happened[written[3], 2] = n, s, VI_END
            written[3] += 1
        elif mode == AUCTION:
            more = _auction_event(s, fixed, state, ticks, draws[n, 0], draws[n, 1])
            hour = 67 if day[S_AUCTION_END] > 0 else codes[C_HOUR]
            _expected_row(expected, written[2], s, t, more, fixed, state, book, codes, hour)
            expected_event[written[2]] = n
            written[2] += 1
        elif mode == CONTINUOUS:
            side = _choose_side(s, state, fixed, draws[n, 0])
            for k in range(fills[n]):
                draw = len(who) + at_draw + k
                price = day[S_ASK if side == 0 else S_BID]
                if price == 0:
                    break
                size = min(_draw_size(draws[draw, 0], fixed[s, F_SIZE]), book[s, side, 0])
                book[s, side, 0] -= size
                day[S_ASK_TOTAL if side == 0 else S_BID_TOTAL] -= size
                if book[s, side, 0] == 0:
                    _drop_best(s, side, state, book, fixed, ticks, draws[draw, 1])
                code = BUY if side == 0 else SELL
                _record_trade(s, t, price, size, code, state)
                _trade_row(trades, written[0], s, t, price, size, code, fixed, state, book, codes)
                trade_event[written[0]] = n
                written[0] += 1
            _refresh_book(s, state, book, fixed, ticks, draws[n, 0], draws[n, 1])
            if abs(day[S_LAST] - day[S_VI_PRICE]) * 10 >= day[S_VI_PRICE]:
                day[S_MODE] = AUCTION
                day[S_AUCTION_END] = t + 120 + np.int64(draws[n, 1] * 30)
                day[S_EXPECTED] = day[S_LAST]
                day[S_EXPECTED_SIZE] = 0
                happened[written[3], 0], happened[written[3], 1], happened[written[3], 2] = n, s, VI_START
                written[3] += 1
        at_draw += fills[n]
        if mode in (CONTINUOUS, AUCTION):
            hour = codes[C_HOUR] if day[S_MODE] != AUCTION or day[S_AUCTION_END] == 0 else 67
            _book_row(books, written[1], s, t, fixed, state, book, hour, ticks)
            book_event[written[1]] = n
            written[1] += 1
    return written


@numba.njit
def _book_around(s: Any, price: Any, side: Any, state: Any, book: Any, fixed: Any, ticks: Any, u: Any) -> Any:
    """A book in which ``price`` was just traded: at the ask for a buy, at the bid for a sell; off-grid in between."""
    tick = _tick(price, ticks)
    below = price - price % tick
    if below < price:
        bid, ask = below, below + tick
    elif side == SELL:
        bid, ask = price, _up(price, ticks)
    else:
        bid, ask = _down(price, ticks), price
    _lay_out_side(s, 0, ask, fixed[s, F_UPPER], state, book, fixed, ticks, u)
    _lay_out_side(s, 1, bid, fixed[s, F_LOWER], state, book, fixed, ticks, 1.0 - u)


@compiled(
    "void(int64[::1], int64[::1], int64[::1], int64[::1], int64[::1], float64[::1], int64[:, ::1], int64[:, ::1],"
    " int64[:, :, ::1], int64[::1], int64[:, ::1], int64[:, ::1], int64[:, ::1])"
)
def trade_rows(
    who: Any,
    when: Any,
    price: Any,
    size: Any,
    side: Any,
    draws: Any,
    fixed: Any,
    state: Any,
    book: Any,
    codes: Any,
    ticks: Any,
    trades: Any,
    books: Any,
) -> Any:
    """Writes given trades, in their order, and after each the book around it if ``books`` has room for them."""
    for i in range(len(who)):
        s = who[i]
        _record_trade(s, when[i], price[i], size[i], side[i], state)
        _book_around(s, price[i], side[i], state, book, fixed, ticks, draws[i])
        _trade_row(trades, i, s, when[i], price[i], size[i], side[i], fixed, state, book, codes)
        if books.shape[1] > 0:
            _book_row(books, i, s, when[i], fixed, state, book, codes[C_HOUR], ticks)
