"""The minutes of a day as they come in: open bars of all symbols, closed together, the kernel stepped at each close."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date  # noqa: N812 - `date` is a column's name everywhere here
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.features import bar_kernel, kernel
from hosu.features.batch import States
from hosu.features.grid import minutes_of, window_of
from hosu.features.openings import Opening
from hosu.market.bars import MINUTE_US
from hosu.market.calendar import closing_us

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

_ROOM: Final = 64  # symbols there is room for at first
_GROWING: Final = (
    "_ints", "_floats", "_last_cum", "_late", "_last_close", "_dates", "_official", "_factor", "_masked",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bars:
    """Closed bars, minute after minute; ``n`` rows.

    Attributes:
        ts: (n,) start of the minute, UTC microseconds.
        code: (n,) place of the symbol.
        close: (n,) hundredths of a won; without a trade the last close.
        volume: (n,) shares; 0 without a trade.
        traded: (n,) whether there was a trade.
        outputs: (n, ``kernel.OUTPUTS``) the indicators; NaN is null.
    """

    ts: Ints
    code: Ints
    close: Ints
    volume: Ints
    traded: Flags
    outputs: Floats


class OnlineBars:
    """Bars of the regular session of one scope (KRX), day after day. For one thread at a time.

    Attributes:
        date: the day at hand, ``YYYY-MM-DD``; empty before the first.
        symbols: by their number, in the order in which they were met.
        counts: (``bar_kernel.COUNTS``,) what became of the trades since the start.
    """

    def __init__(self) -> None:
        self.date = ""
        self.symbols: list[str] = []
        self.counts = np.zeros(bar_kernel.COUNTS, np.int64)
        self._place: dict[str, int] = {}
        self._start_us = self._closed = self._ahead = 0  # minutes: closed so far, and those that trades have reached
        self._grid = np.zeros(0, np.bool_)
        self._ints, self._floats = np.zeros((0, kernel.INTS), np.int64), np.zeros((0, kernel.FLOATS))
        self._last_cum = self._late = self._last_close = self._dates = self._official = np.zeros(0, np.int64)
        self._auction = 0  # the minute in which the closing auction trades
        self._factor, self._masked = np.ones(0), np.zeros(0, np.bool_)  # of the first trade of the day, until it came
        self._close = self._volume = np.zeros((0, 0), np.int64)

    @property
    def states(self) -> States:
        """A copy of what the kernel remembers."""
        count = len(self.symbols)
        return States(
            tuple(self.symbols),
            self._ints[:count].copy(),
            self._floats[:count].copy(),
            self._dates[:count].copy(),
            self._official[:count].copy(),
        )

    @property
    def closed_us(self) -> int:
        """Up to when the day's minutes are closed, UTC microseconds."""
        return self._start_us + self._closed * MINUTE_US

    @property
    def late(self) -> dict[str, int]:
        """Trades of the day that came after their minute's close, by symbol."""
        found = np.flatnonzero(self._late[: len(self.symbols)])
        return {self.symbols[at]: int(self._late[at]) for at in found.tolist()}

    def begin(self, date: str, states: States, opening: Opening | None = None) -> None:
        """Begins a day with what is remembered; what stood open of the day before is let go.

        Args:
            date: business date, ``YYYY-MM-DD``.
            states: what is remembered.
            opening: what the day does to it at each symbol's first trade; None for nothing.

        Raises:
            NoSessionError, CalendarRangeError: the calendar knows no session of that day.
        """
        self._start_us, end_us = window_of(date)
        minutes = (end_us - self._start_us) // MINUTE_US
        self._grid = np.zeros(minutes, np.bool_)
        self._grid[(minutes_of(date) - self._start_us) // MINUTE_US] = True
        self.date, self._closed, self._ahead = date, 0, 0
        self._auction = (closing_us(Date.fromisoformat(date)) - self._start_us) // MINUTE_US
        self.symbols, self._place = list(states.symbols), {symbol: at for at, symbol in enumerate(states.symbols)}
        count, room = len(states.symbols), max(_ROOM, 2 * len(states.symbols))
        self._ints, self._floats = np.zeros((room, kernel.INTS), np.int64), np.zeros((room, kernel.FLOATS))
        self._ints[:count], self._floats[:count] = states.ints, states.floats
        self._last_cum, self._late, self._dates, self._official = (np.zeros(room, np.int64) for _ in range(4))
        self._factor, self._masked = np.ones(room), np.zeros(room, np.bool_)
        self._dates[:count], self._official[:count] = states.dates, states.official
        if opening is not None:
            self._factor[:count], self._masked[:count] = opening.factor, opening.masked
        self._last_close = np.ascontiguousarray(kernel.last_closes(self._ints))
        self._close, self._volume = np.zeros((minutes, room), np.int64), np.zeros((minutes, room), np.int64)

    def codes_of(self, symbols: Sequence[str], allowed: Collection[str] | None = None) -> Ints:
        """The symbols' numbers; one that has none gets a new one, or -1 where it is not among those allowed (None: all
        are)."""
        known = self._place.get
        codes = [known(symbol, -1) for symbol in symbols]
        if -1 in codes or allowed is not None:
            for at, symbol in enumerate(symbols):
                if allowed is not None and symbol not in allowed:
                    codes[at] = -1
                elif codes[at] < 0:
                    codes[at] = self._place[symbol] = len(self.symbols)
                    self.symbols.append(symbol)
        if len(self.symbols) > len(self._last_cum):
            self._grow(2 * len(self.symbols))
        return np.array(codes, np.int64)

    def _grow(self, room: int) -> None:
        for name in _GROWING:
            old = getattr(self, name)
            grown = np.full((room, *old.shape[1:]), 1.0 if name == "_factor" else 0, old.dtype)
            grown[: len(old)] = old
            setattr(self, name, grown)
        for name in ("_close", "_volume"):
            old = getattr(self, name)
            wide = np.zeros((len(old), room), np.int64)
            wide[:, : old.shape[1]] = old
            setattr(self, name, wide)

    def take(self, code: Ints, cum: Ints, price: Floats, size: Ints, ts_us: Ints) -> int:
        """Takes trades of the day, in the order of the log; returns the latest time among them, 0 for none.

        Args:
            code: (n,) from ``codes_of``; -1 is passed over.
            cum: (n,) cumulative volume of the day, this trade included.
            price: (n,) won.
            size: (n,) shares.
            ts_us: (n,) when they happened, UTC microseconds.
        """
        latest = int(
            bar_kernel.take(
                code,
                cum,
                price,
                size,
                ts_us,
                self._start_us,
                self._closed,
                self._last_cum,
                self._close,
                self._volume,
                self._late,
                self.counts,
            )
        )
        self._ahead = max(self._ahead, (latest - self._start_us) // MINUTE_US + 1)
        return latest

    def take_polls(self, code: Ints, cum: Ints, price: Floats, ts_us: Ints) -> None:
        """Takes polls of the current price of symbols that do not stream, in the order of the log.

        Args:
            code: (n,) from ``codes_of``; -1 is passed over.
            cum: (n,) cumulative volume of the day.
            price: (n,) won.
            ts_us: (n,) when they came, UTC microseconds.
        """
        bar_kernel.take_polls(
            code,
            cum,
            price,
            ts_us,
            self._start_us,
            self._closed,
            self._last_cum,
            self._close,
            self._volume,
            self._late,
            self.counts,
        )
        self._ahead = max(self._ahead, (int(ts_us.max(initial=0)) - self._start_us) // MINUTE_US + 1)

    def close(self, until_us: int | None = None) -> Bars | None:
        """Closes the minutes that end at or before ``until_us`` (None: all of the day) and steps the kernel over
        their bars; None where that makes none."""
        minutes = len(self._grid)
        end = minutes if until_us is None else min(minutes, (until_us - self._start_us) // MINUTE_US)
        first = self._closed
        if end <= first:
            return None
        self._closed = end
        return self._stepped(first, end)

    def _stepped(self, first: int, end: int) -> Bars | None:
        room = (end - first) * len(self.symbols)
        code, minute, price, shares = (np.empty(room, np.int64) for _ in range(4))
        traded = np.empty(room, np.bool_)
        count = bar_kernel.close_minutes(
            first,
            end,
            len(self.symbols),
            self._grid,
            self._close,
            self._volume,
            self._last_close,
            code,
            minute,
            price,
            shares,
            traded,
        )
        if not count:
            return None
        code, price, shares = code[:count], price[:count], shares[:count]
        out = np.empty((count, kernel.OUTPUTS))
        factor, masked = self._at_first_trades(code, shares)
        kernel.step_symbols(self._ints, self._floats, code, price, shares, factor, masked, out)
        minute, traded = minute[:count], traded[:count]
        self._dates[code[traded]] = int(self.date.replace("-", ""))
        # Of a symbol that trades on after all, the later bar counts.
        self._official[code[traded]] = np.where(minute >= self._auction, price, 0)[traded]
        return Bars(self._start_us + minute * MINUTE_US, code, price, shares, traded, out)

    def _at_first_trades(self, code: Ints, shares: Ints) -> tuple[Floats, Flags]:
        """(n,) factor and mask of these bars: what the day does to a symbol, at its first trade and never again."""
        factor, masked = np.ones(len(code)), np.zeros(len(code), np.bool_)
        for at in np.flatnonzero((self._factor != 1.0) | self._masked).tolist():
            first = np.flatnonzero((code == at) & (shares > 0))[:1]
            if first.size:
                factor[first], masked[first] = self._factor[at], self._masked[at]
                self._factor[at], self._masked[at] = 1.0, False
        return factor, masked

    # --- for a checkpoint ---------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, npt.NDArray[np.int64] | npt.NDArray[np.float64] | npt.NDArray[np.bool_]]:
        """All that is remembered of the day, by name; ``open`` has a row (minute, symbol, close, volume) for each bar
        that stands open."""
        count = len(self.symbols)
        minute, code = np.nonzero(self._close[self._closed : self._ahead, :count])
        minute += self._closed
        rows = np.column_stack([minute, code, self._close[minute, code], self._volume[minute, code]])
        return {
            "ints": self._ints[:count],
            "floats": self._floats[:count],
            "last_cum": self._last_cum[:count],
            "late": self._late[:count],
            "dates": self._dates[:count],
            "official": self._official[:count],
            "factor": self._factor[:count],
            "masked": self._masked[:count],
            "open": rows.astype(np.int64),
            "closed": np.array([self._closed], np.int64),
        }

    @classmethod
    def restored(cls, date: str, symbols: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]]) -> OnlineBars:
        """What ``arrays`` told of a day, gone on with.

        Raises:
            NoSessionError, CalendarRangeError: the calendar knows no session of that day.
        """
        bars = cls()
        if date:
            official = arrays.get("official", np.zeros(len(symbols), np.int64))  # states of before lack it
            states = States(tuple(symbols), arrays["ints"], arrays["floats"], arrays["dates"], official)
            bars.begin(date, states, Opening(arrays["factor"], arrays["masked"]))
            count = len(symbols)
            bars._last_cum[:count], bars._late[:count] = arrays["last_cum"], arrays["late"]
            minute, code, close, volume = arrays["open"].reshape(-1, 4).T.astype(np.int64)
            bars._close[minute, code], bars._volume[minute, code] = close, volume
            bars._ahead = int(minute.max(initial=-1)) + 1
            bars._closed = int(arrays["closed"][0])
        return bars


def chosen_states(states: States, symbols: Collection[str] | None) -> States:
    """The states of these symbols only, of all for None; each symbol once and in order."""
    chosen = states.symbols if symbols is None else {*symbols} & {*states.symbols}
    return states.of(tuple(sorted(chosen)))
