"""Random days of trades, books and messages, put into a lake."""

import random
from pathlib import Path
from typing import Any

from lake_parts import books, messages, trades

from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build

Events = dict[str, list[tuple[Any, ...]]]


def clock(second: int) -> str:
    return f"{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"


def drawn(seed: int) -> Events:
    """Some 100 minutes of A, B and C from nine on, in order of time: C trades seldom, and B is interrupted once."""
    chance = random.Random(seed)
    made: Events = {"trades": [], "quotes": [], "market_events": []}
    price, cum = dict.fromkeys("ABC", 10_000.0), dict.fromkeys("ABC", 0)
    for second in range(9 * 3600, 9 * 3600 + 6_000):
        for symbol, pace in (("A", 0.2), ("B", 0.1), ("C", 0.03)):
            while chance.random() < pace:
                price[symbol] += 10 * chance.randint(-2, 2)
                cum[symbol] += 1
                made["trades"].append((clock(second), price[symbol], cum[symbol], {"symbol": symbol}))
            if chance.random() < pace:
                width = 10 * chance.randint(0, 4)  # 0: locked, no spread
                made["quotes"].append((clock(second), price[symbol] + width, price[symbol], {"symbol": symbol}))
    begun = 9 * 3600 + chance.randrange(2_400, 4_800)
    at = (clock(begun), {"symbol": "B", "vi_code": "Y"}), (clock(begun + 130), {"symbol": "B"})
    made["market_events"] += at
    return made


def fill(home: Path, days: dict[str, Events], until: str = "24:00:00") -> Lake:
    """A lake with the days' events, of the last day those before ``until``, and the bars that hosu makes of them."""
    lake = Lake.open(str(home))
    for day, events in days.items():
        mine = {name: [row for row in rows if day != max(days) or row[0] < until] for name, rows in events.items()}
        for put, name in ((trades, "trades"), (books, "quotes"), (messages, "market_events")):
            put(lake, day, *mine[name])
    build(lake)
    return lake
