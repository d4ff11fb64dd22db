"""Recorded minute bars played as trades: each minute's open, high, low, close, volume and value are the bar's.

A bar becomes one share at the open, one at the close, one at the high and the low where these differ, and the rest
at two adjacent prices that give the bar's value exactly; such prices may lie off the tick grid. What no trades can
meet (a value outside of low x volume to high x volume, too few shares) is listed, and the nearest that trades can do
is played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.kis.codec import encode
from hosu.kis.layouts import layout_on
from hosu.kis.registrations import Registration
from hosu.kis.simulator import bars_kernels, market_kernels
from hosu.kis.simulator.bars_file import closes_before, read_bars
from hosu.kis.simulator.ground import Ground, codes_of, columns_of, lay_ground
from hosu.kis.simulator.tape import KeyTable, Part, merge
from hosu.market.calendar import instant_us
from hosu.market.instruments import Instrument, InstrumentType, Market

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from hosu.kis.records import Ints
    from hosu.kis.simulator.tape import Burst, DailyBar

_REASONS: Final = {
    bars_kernels.VALUE_TOO_LOW: "value below low x volume",
    bars_kernels.VALUE_TOO_HIGH: "value above high x volume",
    bars_kernels.TOO_FEW_SHARES: "fewer shares than open, high, low and close need",
    bars_kernels.NO_ROOM: "the shares left beside open, high, low and close cannot make the value",
    bars_kernels.VALUE_WITHOUT_VOLUME: "value without volume",
}
_CLOSING: Final = 153000
_PRINTS_A_BURST: Final = 4096


@dataclass(frozen=True, slots=True)
class BarsConfig:
    """Which bars are played, and how.

    ``symbols`` None plays every symbol of the day. ``prints`` is about the most trades a bar becomes, ``fills`` the
    most records a frame holds, ``books`` adds an order book around each trade, ``layouts`` is the date whose record
    widths are sent (None: the day's own).
    """

    path: Path
    day: date
    symbols: tuple[str, ...] | None = None
    prints: int = 8
    fills: int = 19
    books: bool = False
    layouts: date | None = None
    seed: int = 1


class Bars:
    """A tape of the trades that a day's minute bars allow."""

    source = "bars"
    nxt: frozenset[str] = frozenset()

    def __init__(self, config: BarsConfig) -> None:
        """Reads and checks the day's bars. Raises InputError where the file is not what it should be."""
        self._config = config
        self.day, self.seed = config.day, config.seed
        codes, self._bars = read_bars(config.path, config.day, config.symbols)
        self._layouts = {feed: layout_on(tr_id, config.layouts or config.day) for feed, tr_id in _TR_IDS.items()}
        self.keys = KeyTable()
        self.instruments = _instruments(codes, self._bars, closes_before(config.path, config.day, codes))
        self._ground: Ground = lay_ground(tuple(self.instruments.values()), config.day, limits=False)
        feeds = ("trades", "quotes") if config.books else ("trades",)
        self._numbers = {
            feed: np.array([self.keys.number(Registration(_TR_IDS[feed], s)) for s in self.instruments], np.int64)
            for feed in feeds
        }
        self._impossible: list[dict[str, object]] = []
        self._rng = np.random.default_rng(config.seed)
        self._last: tuple[Ints, Ints] = (np.zeros(len(self.instruments), np.int64), self._opening_sides())

    @property
    def start_us(self) -> int:
        return instant_us(self.day, _seconds(int(self._bars["time"][0])))

    def history(self, symbol: str, days: int) -> list[DailyBar]:  # noqa: ARG002  the file's other days are not read
        return []

    def impossible_bars(self) -> list[dict[str, object]]:
        return list(self._impossible)

    def __iter__(self) -> Iterator[Burst]:
        times = self._bars["time"]
        cuts = np.flatnonzero(np.diff(times, prepend=-1, append=-1))
        for first, last in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            yield from self._minute(int(times[first]), {name: each[first:last] for name, each in self._bars.items()})

    def _minute(self, time: int, bars: dict[str, Ints]) -> Iterator[Burst]:
        bar, price, size, second = self._split(time, bars)
        if time == _CLOSING:
            second[:] = 0
        # By second, then by symbol; prints of one bar stay in their order.
        order = np.lexsort((np.arange(len(bar)), bars["symbol"][bar], second))
        who = np.ascontiguousarray(bars["symbol"][bar][order])
        side = self._sides(time, who, price[order] * 100)
        when = _seconds(time) + second[order]
        for first in range(0, len(who), _PRINTS_A_BURST):
            part = slice(first, first + _PRINTS_A_BURST)
            yield self._burst(who[part], when[part], price[order][part] * 100, size[order][part], side[part])

    def _split(self, time: int, bars: dict[str, Ints]) -> tuple[Ints, Ints, Ints, Ints]:
        n, prints = len(bars["open"]), self._config.prints
        room = n * (prints + 8)
        bar, price, size, second = (np.empty(room, np.int64) for _ in range(4))
        fault = np.empty(n, np.int64)
        grid = self._ground.ticks
        tick = grid[np.searchsorted(grid[:, 0], bars["low"] * 100, side="right") - 1, 1] // 100
        seeds = self._rng.integers(0, 2**63, n, dtype=np.uint64)
        ohlcva = [np.ascontiguousarray(bars[name]) for name in ("open", "high", "low", "close", "volume", "amount")]
        written = bars_kernels.split_bars(*ohlcva, tick, prints, seeds, bar, price, size, second, fault)
        self._impossible += [self._impossible_bar(time, bars, i, int(fault[i])) for i in np.flatnonzero(fault).tolist()]
        return bar[:written], price[:written], size[:written], second[:written]

    def _impossible_bar(self, time: int, bars: dict[str, Ints], i: int, fault: int) -> dict[str, object]:
        symbol = list(self.instruments)[int(bars["symbol"][i])]
        minute = f"{time:06d}"
        facts = {"date": self.day.isoformat(), "symbol": symbol, "minute": f"{minute[:2]}:{minute[2:4]}"}
        return {**facts, "reason": _REASONS[fault]}

    def _opening_sides(self) -> Ints:
        return np.full(len(self.instruments), market_kernels.BUY, np.int64)

    def _sides(self, time: int, who: Ints, price: Ints) -> Ints:
        """A price above the last one was bought, below it sold, the same as before; auctions have no side."""
        side = np.empty(len(who), np.int64)
        if time == _CLOSING:
            side[:] = market_kernels.NO_SIDE
            return side
        last_price, last_side = self._last
        by_symbol = np.argsort(who, kind="stable")
        w, p = who[by_symbol], price[by_symbol]
        first = np.diff(w, prepend=-1) != 0
        before = np.where(first, last_price[w], np.roll(p, 1))
        moved = np.where(p > before, market_kernels.BUY, np.where(p < before, market_kernels.SELL, 0))
        moved = np.where(first & (moved == 0), last_side[w], moved)
        filled = moved[np.maximum.accumulate(np.where(moved != 0, np.arange(len(w)), 0))]
        last_price[w], last_side[w] = p, filled
        opening = first & (self._ground.state[w, market_kernels.S_VOLUME] == 0)
        side[by_symbol] = np.where(opening, market_kernels.NO_SIDE, filled)
        return side

    def _burst(self, who: Ints, when: Ints, price: Ints, size: Ints, side: Ints) -> Burst:
        ground, n = self._ground, len(who)
        codes = codes_of(self.day, ("20", "0", "2"), _seconds(90000), _seconds(_CLOSING))
        trades = np.empty((market_kernels.TRADE_WIDTH, n), np.int64)
        books = np.empty((market_kernels.BOOK_WIDTH, n if self._config.books else 0), np.int64)
        market_kernels.trade_rows(
            *(np.ascontiguousarray(each, np.int64) for each in (who, when, price, size, side)), self._rng.random(n),
            ground.fixed, ground.state, ground.book, codes, ground.ticks, trades, books,
        )  # fmt: skip
        parts = [self._part("trades", trades, codes, who, when)]
        if self._config.books:
            parts.append(self._part("quotes", books, codes, who, when))
        return merge(parts)

    def _part(self, feed: str, rows: Ints, codes: Ints, who: Ints, when: Ints) -> Part:
        """Neighbouring rows of one symbol and second share a frame; of books each has its own, as the broker's."""
        layout = self._layouts[feed]
        columns = columns_of(layout, rows, codes)
        new = (np.diff(who, prepend=-1) != 0) | (np.diff(when, prepend=-1) != 0)
        run = np.arange(len(who)) - np.maximum.accumulate(np.where(new, np.arange(len(who)), 0))
        first = np.flatnonzero(new | (run % (1 if feed == "quotes" else self._config.fills) == 0))
        last = np.append(first[1:], len(who)) - 1
        frames = encode(layout, columns, group=np.diff(first, append=len(who)))
        at_us = instant_us(self.day, 0) + when[first] * 1_000_000
        return Part(layout, frames, at_us, last * 2 + (feed == "quotes"), self._numbers[feed][who[first]], columns)


_TR_IDS: Final = {"trades": "H0STCNT0", "quotes": "H0STASP0"}


def _seconds(time: int) -> int:
    return time // 10000 * 3600 + time // 100 % 100 * 60 + time % 100


def _instruments(codes: list[str], bars: dict[str, Ints], before: Mapping[str, int]) -> dict[str, Instrument]:
    """What can be known of the symbols from their bars and the closes before; without one the first open stands for
    it."""
    first = np.full(len(codes), 0, np.int64)
    backwards = slice(None, None, -1)
    first[bars["symbol"][backwards]] = bars["open"][backwards]
    volume = np.bincount(bars["symbol"], bars["volume"], len(codes)).astype(np.int64)
    return {
        code: Instrument(
            symbol=code,
            isin="",
            name=code,
            market=Market.KOSPI,
            type=InstrumentType.STOCK,
            group="ST",
            base_price=before.get(code, int(first[i])),
            previous_volume=int(volume[i]),
            listed_shares=max(1, int(volume[i])) * 100,
        )
        for i, code in enumerate(codes)
    }
