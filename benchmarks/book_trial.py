"""What book_v1 says of real ticks: its spread, and whether it goes with the next move of the middle, as books say.

    python -m benchmarks.book_trial FOLDER

The folder holds ``<symbol>_quotes.parquet`` and ``<symbol>_trades.parquet``: ticks of US shares as QuantConnect's Lean
publishes them (date, ms of the day, prices times 10,000). A quote is a new national best bid or ask with its shares
on one exchange, 0 on the side that did not change; so the book has one level. Of trades nobody says who took them: the
kernel judges. In the same millisecond a trade comes before a quote. Korean books differ: ten levels of one exchange,
wider ticks, sides that are told.
"""

from __future__ import annotations

import datetime as dt
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from hosu.features import book_kernel as kernel
from hosu.market.features import BOOK_FEATURES

OPEN_S, CLOSE_S = 9 * 3600 + 1800, 16 * 3600
AHEAD_S = (1, 10)
ROUNDS = 5


def main(words: list[str]) -> int:
    if len(words) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(words[0])
    symbols = sorted(path.name.removesuffix("_quotes.parquet") for path in folder.glob("*_quotes.parquet"))
    if not symbols:
        print(f"no <symbol>_quotes.parquet in {folder}", file=sys.stderr)
        return 2
    for symbol in symbols:
        days = [Day(events) for events in days_of(folder, symbol)]
        print(f"\n{symbol}: {len(days)} days, {sum(len(day.events) for day in days):,} events")
        tell(days)
    return 0


def days_of(folder: Path, symbol: str) -> list[np.ndarray]:
    """The events of each day's regular hours, as the kernel takes them."""
    quotes, trades = (pq.read_table(folder / f"{symbol}_{name}.parquet") for name in ("quotes", "trades"))
    made = []
    for date in sorted(set(quotes.column("date").to_pylist())):
        books = books_of(of_day(quotes, date))
        prints = of_day(trades, date)
        keep = np.flatnonzero((prints["price_1e4"] > 0) & (prints["size"] > 0) & (prints["suspicious"] == 0))
        events = np.zeros((len(books) + len(keep), kernel.EVENT), np.int64)
        events[: len(keep), kernel.KIND] = kernel.TRADE
        events[: len(keep), kernel.PRICE] = prints["price_1e4"][keep]
        events[: len(keep), kernel.SIZE] = prints["size"][keep]
        events[len(keep) :, kernel.BID : kernel.EVENT] = books[:, [1, 2, 3, 4, 3, 4]]
        ms = np.concatenate([prints["ms"][keep].astype(np.int64), books[:, 0]])
        events[:, kernel.SECOND] = ms // 1000 + (date - dt.date(1970, 1, 1)).days * 86_400
        order = np.argsort(ms, kind="stable")  # trades stand first, so they come first in a millisecond
        within = (ms[order] >= OPEN_S * 1000) & (ms[order] < CLOSE_S * 1000)
        made.append(np.ascontiguousarray(events[order][within]))
    return made


def of_day(table: Any, date: dt.date) -> dict[str, np.ndarray]:
    mine = table.filter(np.array(table.column("date").to_pylist()) == date)
    return {name: mine.column(name).to_numpy() for name in mine.column_names if name != "date"}


def books_of(quotes: dict[str, np.ndarray]) -> np.ndarray:
    """(n, 5) ms, best bid and ask, and their shares, after each quote; 0 before the side's first one."""
    sound = quotes["suspicious"] == 0
    columns = [quotes["ms"][sound]]
    for price, size in (("bid_1e4", "bid_size"), ("ask_1e4", "ask_size")):
        told = quotes[price][sound] > 0
        latest = np.maximum.accumulate(np.where(told, np.arange(len(told)), -1))
        columns += [np.where(latest >= 0, quotes[name][sound][latest], 0) for name in (price, size)]
    return np.stack(columns, axis=1).astype(np.int64)[:, [0, 1, 3, 2, 4]]


class Day:
    """One day's features, and the middle of the book at the end of every second from the first row on."""

    def __init__(self, events: np.ndarray) -> None:
        self.events = events
        rows, out = np.zeros((len(events) + 1, kernel.ROW), np.int64), np.empty((len(events) + 1, kernel.OUTPUTS))
        self.taken_s = min(self._taken(rows, out) for _ in range(ROUNDS))
        rows, out = rows[: self.made], out[: self.made]
        self.at = rows[:, kernel.ROW_SECOND] - rows[0, kernel.ROW_SECOND]
        self.outputs = out
        both = (rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK]).astype(float)
        self.mid = np.full(self.at[-1] + 1, np.nan)
        self.mid[self.at] = np.where(both > 0, both / 2, np.nan)
        known = np.maximum.accumulate(np.where(np.isnan(self.mid), 0, np.arange(len(self.mid))))
        self.mid = self.mid[known]

    def _taken(self, rows: np.ndarray, out: np.ndarray) -> float:
        states = np.zeros((1, kernel.STATE), np.int64)
        began = time.perf_counter()
        self.made = kernel.step_events(states, self.events, rows, out, np.empty(len(self.events), np.int64))
        self.made += kernel.close_all(states, rows[self.made :], out[self.made :])
        return time.perf_counter() - began

    def move_bp(self, ahead: int) -> np.ndarray:
        """(n,) by how much the middle moves from each row on within so many seconds, or before it where negative."""
        there = self.at + ahead
        inside = (there >= 0) & (there < len(self.mid))
        moved = np.full(len(self.at), np.nan)
        moved[inside] = 1e4 * (self.mid[there[inside]] / self.mid[self.at[inside]] - 1)
        return moved if ahead > 0 else -moved

    def correlation(self, name: str, ahead: int) -> float:
        value, moved = self.outputs[:, BOOK_FEATURES.index(name)], self.move_bp(ahead)
        both = ~(np.isnan(value) | np.isnan(moved))
        return float(np.corrcoef(value[both], moved[both])[0, 1])


def tell(days: list[Day]) -> None:
    spread = np.concatenate([day.outputs[:, kernel.SPREAD_BP] for day in days])
    known = spread[~np.isnan(spread)]
    fifths = ", ".join(f"{np.percentile(known, share):.2f}" for share in (5, 50, 95))
    print(f"  seconds {len(spread):,}, without a book of two sides {np.isnan(spread).mean():.1%}")
    print(f"  spread in bp, 5th, 50th, 95th percentile: {fifths}")
    print("  correlation with the move of the middle, mean of days (least, most)")
    for name in BOOK_FEATURES[1:]:
        told = []
        for ahead in AHEAD_S:
            found = [day.correlation(name, ahead) for day in days]
            told.append(f"next {ahead} s {np.mean(found):+.3f} ({min(found):+.3f}, {max(found):+.3f})")
        print(f"    {name:14} {'   '.join(told)}")
    same = [day.correlation("ofi_10", -10) for day in days]
    print(f"    {'ofi_10':14} same 10 s {np.mean(same):+.3f} ({min(same):+.3f}, {max(same):+.3f})")
    events, taken = sum(len(day.events) for day in days), sum(day.taken_s for day in days)
    print(f"  the kernel alone: {events / taken / 1e6:.1f} million events/s on one core, best of {ROUNDS}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
