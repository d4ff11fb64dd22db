"""Synthetic trades and quotes with the shape of a Korean trading day, for the lake's benchmarks.

2,700 symbols, activity by Zipf's law, prices that walk on the tick grid, sizes heavy-tailed, cumulative volume and
value that add up, books of ten levels around the price. What the exchange would make regular is regular, the rest
is drawn at random, so sizes on disk are rather too large than too small.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hosu.market.events import QUOTES, TIMESTAMP, TRADES

SYMBOLS = 2700
OPEN_US = 1_757_894_400_000_000  # 2025-09-15 09:00 in Seoul
SESSION_S = 23_400


def _tick(price: np.ndarray) -> np.ndarray:
    return np.select([price < 2_000, price < 5_000, price < 20_000, price < 50_000, price < 200_000, price < 500_000],
                     [1, 5, 10, 50, 100, 500], 1000)  # fmt: skip


def _events(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    weight = 1 / np.arange(1, SYMBOLS + 1)
    symbol = np.sort(rng.choice(SYMBOLS, n, p=weight / weight.sum()).astype(np.int32))
    first = np.searchsorted(symbol, np.arange(SYMBOLS))[symbol]
    ts = OPEN_US + rng.integers(0, SESSION_S, n) * 1_000_000
    ts = ts[np.lexsort((ts, symbol))]  # ascending within each symbol
    recv = ts + rng.integers(20_000, 980_000, n)
    lsn = np.empty(n, np.int64)
    lsn[np.argsort(recv, kind="stable")] = np.arange(n)
    base = np.exp(rng.uniform(np.log(1_500), np.log(300_000), SYMBOLS)).astype(np.int64)
    tick = _tick(base)[symbol]
    steps = np.cumsum(rng.choice([-1, 0, 0, 0, 0, 0, 0, 1], n))
    price = np.maximum((base // _tick(base))[symbol] + steps - steps[first], 50) * tick
    return {"symbol": symbol, "first": first, "ts": ts, "recv": recv, "lsn": lsn, "price": price, "tick": tick}


def _since_first(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    total = np.cumsum(values)
    return total - (total[first] - values[first])


def _strings(codes: np.ndarray, names: list[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names))


def _same(text: str | None, n: int) -> pa.Array:
    codes = pa.array(np.zeros(n, np.int32), mask=np.full(n, text is None))
    return pa.DictionaryArray.from_arrays(codes, pa.array([text or ""]))


def _origin(events: dict[str, np.ndarray], date: str) -> dict[str, pa.Array]:
    n = len(events["symbol"])
    return {
        "date": _same(date, n),
        "wal_id": _same("0198f3a2c4d5", n),
        "lsn": pa.array(events["lsn"]),
        "record_no": pa.array(np.zeros(n, np.int32)),
        "ts_event": pa.array(events["ts"]).cast(TIMESTAMP),
        "ts_recv": pa.array(events["recv"]).cast(TIMESTAMP),
        "scope": _same("KRX", n),
        "symbol": _strings(events["symbol"], [f"{code * 10:06d}" for code in range(SYMBOLS)]),
    }


def trades(n: int, seed: int = 1, date: str = "2025-09-15") -> pa.Table:
    """``n`` trades in order of (symbol, cum_volume), with the columns of the table, strings as dictionaries."""
    rng = np.random.default_rng(seed)
    events = _events(n, rng)
    size = np.minimum(1 + (rng.pareto(1.1, n) * 5).astype(np.int64), 50_000)
    side = rng.integers(0, 2, n)
    price, tick, first = events["price"], events["tick"], events["first"]
    columns = _origin(events, date) | {
        "price": pa.array(price.astype(float)),
        "size": pa.array(size),
        "side": _strings(side, ["sell", "buy"]),
        "cum_volume": pa.array(_since_first(size, first)),
        "cum_value": pa.array(_since_first(size * price, first)),
        "buy_count": pa.array(_since_first(side, first)),
        "sell_count": pa.array(_since_first(1 - side, first)),
        "ask1": pa.array((price + tick * (1 - side)).astype(float)),
        "bid1": pa.array((price - tick * side).astype(float)),
        "ask1_size": pa.array(_walk(n, rng)),
        "bid1_size": pa.array(_walk(n, rng)),
        "mkop_code": _same("20", n),
        "hour_code": _same("0", n),
        "end_code": _same(None, n),
        "market_code": _same(None, n),
        "halted": pa.array(np.zeros(n, bool)),
        "vi_price": pa.array((price[first] * 1.1).round()),
        "tail": _same(None, n),
        "source": _same("ws", n),
    }
    return pa.table([columns[name] for name in TRADES.names], names=TRADES.names)


def quotes(n: int, seed: int = 2, date: str = "2025-09-15") -> pa.Table:
    """``n`` book updates in order of (symbol, log), each of which changes one level of its book."""
    rng = np.random.default_rng(seed)
    events = _events(n, rng)
    price, tick, first = events["price"], events["tick"], events["first"]
    level = np.arange(10)
    asks = ((price + tick)[:, None] + level * tick[:, None]).astype(float)
    bids = np.maximum(price[:, None] - level * tick[:, None], 1).astype(float)
    ask_sizes, bid_sizes = _books(n, rng), _books(n, rng)
    cum = _since_first(np.where(rng.random(n) < 0.2, rng.integers(1, 200, n), 0), first)
    nothing = pa.array(np.zeros(n, np.int64))
    columns = _origin(events, date) | {
        "ask_prices": _lists(asks),
        "bid_prices": _lists(bids),
        "ask_sizes": _lists(ask_sizes),
        "bid_sizes": _lists(bid_sizes),
        "ask_total": pa.array(ask_sizes.sum(1)),
        "bid_total": pa.array(bid_sizes.sum(1)),
        "after_hours_ask_total": nothing,
        "after_hours_bid_total": nothing,
        "expected_price": pa.array(np.zeros(n)),
        "expected_size": nothing,
        "expected_volume": nothing,
        "mid_price": pa.array(np.zeros(n)),
        "mid_size": nothing,
        "mid_side": _same(None, n),
        "cum_volume": pa.array(cum),
        "hour_code": _same("0", n),
        "market_code": _same(None, n),
        "tail": _same(None, n),
    }
    return pa.table([columns[name] for name in QUOTES.names], names=QUOTES.names)


def _walk(n: int, rng: np.random.Generator) -> np.ndarray:
    # The best level's size changes now and then and stays in between.
    changes = np.where(rng.random(n) < 0.5, rng.integers(1, 5_000, n), 0)
    at = np.maximum.accumulate(np.where(changes > 0, np.arange(n), 0))
    return np.maximum(changes[at], 1)


def _books(n: int, rng: np.random.Generator) -> np.ndarray:
    sizes = np.zeros((n, 10), np.int64)
    changed = rng.integers(0, 10, n)
    fresh = np.minimum(1 + (rng.pareto(1.0, n) * 50).astype(np.int64), 99_999)
    for level in range(10):
        mine = np.where(changed == level, np.arange(n), 0)
        sizes[:, level] = fresh[np.maximum.accumulate(mine)]
    return sizes


def _lists(values: np.ndarray) -> pa.Array:
    offsets = pa.array(np.arange(0, values.size + 1, values.shape[1], dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(np.ascontiguousarray(values).reshape(-1)))
