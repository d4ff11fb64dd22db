"""Events of an order book, the kernel over them, and the same once more in plain Python, from the definitions."""

from fractions import Fraction
from itertools import accumulate

import numpy as np

from hosu.features import book_kernel as kernel

NINE = 1_757_894_400  # 2025-09-15 09:00 in Seoul, seconds since 1970


def quote(second, bid, ask, sizes=(10, 10), five=None, mode=kernel.CONTINUOUS, series=0):
    """A book: best prices in won, their sizes, and those of five levels."""
    best = [round(bid * 100), round(ask * 100), *sizes]
    return [series, NINE + second, kernel.QUOTE, mode, *best, *(sizes if five is None else five)]


def trade(second, price, size, side=0, cum=0, mode=kernel.CONTINUOUS, series=0):
    """A trade: price in won, shares, who took it, and the day's volume with it."""
    return [series, NINE + second, kernel.TRADE, mode, round(price * 100), size, side, cum, 0, 0]


def run(events, states=None, close=True):
    """``(rows, outputs)`` of events; ``states`` are gone on from, and stepped."""
    array = np.array(events, np.int64).reshape(-1, kernel.EVENT)
    series = 1 if not len(array) else int(array[:, kernel.SERIES].max()) + 1
    held = np.zeros((series, kernel.STATE), np.int64) if states is None else states
    room = len(array) + len(held)
    rows, out = np.zeros((room, kernel.ROW), np.int64), np.empty((room, kernel.OUTPUTS))
    made = kernel.step_events(held, array, rows, out, np.zeros(len(array), np.int64))
    if close:
        made += kernel.close_all(held, rows[made:], out[made:])
    return rows[:made], out[:made]


def oracle(events):
    """[(second, bid, ask, quotes, trades, open, high, low, close, volume, features or None each)] of the events of one
    series; slow, and sees no window but as a list of all that ever happened."""
    seconds = list(accumulate((event[kernel.SECOND] for event in events), max))
    told = []
    moment = {"book": None, "auction": False, "since": seconds[0] if seconds else 0, "cum": 0, "last": None, "move": 0}
    happened = []  # (second, net, volume, order flow, both sizes, books)
    for at, (second, event) in enumerate(zip(seconds, events, strict=True)):
        counted = _taken(moment, second, event, happened)
        told.append((second, event, counted))
        if at + 1 == len(events) or seconds[at + 1] > second:
            mine = [each for when, each, known in told if when == second and known]
            if mine:
                bid, ask = moment["book"][:2] if moment["book"] else (0, 0)
                trades = [each for each in mine if each[kernel.KIND] == kernel.TRADE]
                count = (len(mine) - len(trades), len(trades))
                yield (second, bid, ask, *count, *_bar(trades), _features(moment, second, happened))


def _bar(trades):
    in_market = [each for each in trades if each[kernel.MODE] != kernel.BESIDE]
    prices, sizes = ([each[at] for each in in_market] for at in (kernel.PRICE, kernel.SIZE))
    return (prices[0], max(prices), min(prices), prices[-1], sum(sizes)) if prices else (0, 0, 0, 0, 0)


def _taken(moment, second, event, happened):
    """Takes an event; whether it counts as one."""
    kind, mode = event[kernel.KIND], event[kernel.MODE]
    if kind == kernel.QUOTE:
        bid, ask, bid_size, ask_size, *_ = event[4:]
        before = None if moment["auction"] else moment["book"]
        moment["auction"] = mode != kernel.CONTINUOUS
        if moment["auction"]:
            moment["book"], moment["since"] = None, second
        elif not (0 < bid < ask and bid_size > 0 and ask_size > 0):
            moment["book"] = None
        else:
            moment["book"] = tuple(event[4:])
            flow = 0 if before is None else _flow(before, moment["book"])
            happened.append((second, 0, 0, flow, bid_size + ask_size, 1))
        return True
    price, size, side, cum = event[4:8]
    if cum:
        if cum <= moment["cum"]:
            return False
        if moment["cum"] and cum - size != moment["cum"] and cum - size > moment["cum"]:
            moment["since"] = second
        moment["cum"] = cum
    if mode == kernel.BESIDE:
        return True
    if mode == kernel.AUCTION:
        moment["since"] = second
    else:
        happened.append((second, size * (side or _guess(moment, price)), size, 0, 0, 0))
    if moment["last"] is not None and price != moment["last"]:
        moment["move"] = 1 if price > moment["last"] else -1
    moment["last"] = price
    return True


def _guess(moment, price):
    if moment["book"]:
        middle = Fraction(moment["book"][0] + moment["book"][1], 2)
        if price != middle:
            return 1 if price > middle else -1
    if moment["last"] is None or price == moment["last"]:
        return moment["move"]
    return 1 if price > moment["last"] else -1


def _flow(before, now):
    """Cont, Kukanov and Stoikov (2014), equation 10, case by case."""
    (bid_0, ask_0, bid_size_0, ask_size_0, *_), (bid, ask, bid_size, ask_size, *_) = before, now
    bids = bid_size if bid > bid_0 else -bid_size_0 if bid < bid_0 else bid_size - bid_size_0
    asks = ask_size if ask < ask_0 else -ask_size_0 if ask > ask_0 else ask_size - ask_size_0
    return bids - asks


def _features(moment, second, happened):
    made = [None] * kernel.OUTPUTS
    if moment["auction"]:
        return made
    for length, flow, ofi in ((10, kernel.FLOW_10, kernel.OFI_10), (60, kernel.FLOW_60, kernel.OFI_60)):
        if moment["since"] > second - length:
            continue
        _, net, volume, orders, depth, books = [
            sum(part) for part in zip(*(each for each in happened if each[0] > second - length), strict=True)
        ] or [0] * 6
        made[flow] = Fraction(net, volume) if volume else Fraction(0)
        if moment["book"]:
            made[ofi] = orders / Fraction(depth, 2 * books) if books else Fraction(0)
    if moment["book"]:
        bid, ask, bid_size, ask_size, bid_5, ask_5 = moment["book"]
        middle, both = Fraction(bid + ask, 2), bid_size + ask_size
        made[kernel.SPREAD_BP] = 10_000 * (ask - bid) / middle
        made[kernel.IMBALANCE_1] = Fraction(bid_size - ask_size, both)
        made[kernel.IMBALANCE_5] = Fraction(bid_5 - ask_5, bid_5 + ask_5)
        made[kernel.MICROPRICE_BP] = 10_000 * (Fraction(ask * bid_size + bid * ask_size, both) - middle) / middle
    return made
