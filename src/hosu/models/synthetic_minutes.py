"""A made-up history of minute bars whose truth is known: random walks, and on request a signal planted in them.

The signal may differ from session to session, or turn: by that it can be tried what becomes of a model whose market
changes under it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.errors import InputError
from hosu.features.grid import minutes_of
from hosu.models.synthetic import MOST_SYMBOLS, code
from hosu.models.worlds import on_grid

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from hosu.features.panel import Floats, Ints

_MOVE: Final = 0.003
"""Deviation of a symbol's minute. Of a lively market: what is planted has to pay for tax, fees and ticks in minutes."""
_WINDOW: Final = 20
_MARKET: Final = 0.0004
_BUSY: Final = 0.6
_SHARES: Final = 6_000
_FARTHEST: Final = 0.25
"""From the close before: short of the day's limit."""


def minute_history(
    days: Sequence[date], symbols: int, *, seed: int, signal: float = 0.0, minutes: int | None = None
) -> pa.Table:
    """Bars of these sessions, as ``MinuteMarket`` makes them one by one.

    Raises:
        InputError: a count or a signal that cannot be.
        NoSessionError: there is no session on one of the days.
    """
    market = MinuteMarket(symbols, seed)
    return pa.concat_tables([market.session(day, signal, minutes) for day in days])


class MinuteMarket:
    """A market of made-up symbols that goes on from session to session.

    Prices are one-factor random walks on the grid of ticks; volumes are log-normal, each minute drawn by itself. The
    move of each minute gets ``signal`` times the deviation of a minute times what the feature ``close_to_ma_20`` shows
    at the close before, as its rank among all symbols scaled to deviation 1: prices go on in their direction, or with a
    signal below 0 turn back.

    Args:
        symbols: how many.
        seed: the same one gives the same bars.

    Raises:
        InputError: as many symbols cannot be.
    """

    def __init__(self, symbols: int, seed: int) -> None:
        if not 1 <= symbols <= MOST_SYMBOLS:
            raise InputError(f"{symbols} symbols", "cannot be made", f"ask for 1 to {MOST_SYMBOLS}")
        chance = np.random.default_rng(seed)
        self._chance, self._count = chance, symbols
        self._price = np.exp(chance.uniform(np.log(11_000), np.log(17_000), symbols))  # where a tick is small
        self._beta = chance.uniform(0.5, 1.5, symbols)
        self._path = np.zeros((_WINDOW, symbols))  # logarithms of the last closes, from that before the session
        self._names = pa.array([code(at) for at in range(symbols)], pa.string())

    def session(self, day: date, signal: float = 0.0, minutes: int | None = None) -> pa.Table:
        """The bars of one session, in the columns of the broker's minute chart.

        That is: date, code, time (HHMMSS of the minute's start), open, high, low, close, volume, amount (won).

        Args:
            day: which; sessions follow each other.
            signal: what is planted; 0 plants nothing, below 0 it is turned.
            minutes: with trades, from the open on; None: all of continuous trading, and the closing auction.

        Raises:
            InputError: a signal or a number of minutes that cannot be.
            NoSessionError, CalendarRangeError: the calendar knows no session on that day.
        """
        if not abs(signal) <= 1 or (minutes is not None and minutes < 1):
            raise InputError(f"a signal of {signal} in {minutes} minutes", "cannot be planted", "choose -1 to 1, and 1")
        starts = minutes_of(day.isoformat())[:minutes]
        noise = self._chance.normal(0, _MOVE, (len(starts), self._count))
        common = self._chance.normal(0, _MARKET, (len(starts), 1)) * self._beta
        path = np.clip(self._walked(noise + common, signal * _MOVE), -_FARTHEST, _FARTHEST)
        close = on_grid(self._price * np.exp(path), day)
        opened = np.vstack([on_grid(self._price, day)[None], close[:-1]])
        self._price = self._price * np.exp(path[-1])
        self._path = np.vstack([self._path, path])[-_WINDOW:] - path[-1]
        volume = np.maximum(_SHARES * np.exp(self._chance.normal(0, _BUSY, path.shape)), 1).astype(np.int64)
        return self._table(day, starts, opened, close, volume)

    def _walked(self, noise: Floats, planted: float) -> Floats:
        """(minutes, symbols) logarithms of closes, from that before the session."""
        rows = [*self._path]
        for each in noise:
            rows.append(rows[-1] + each + planted * _ranks(rows[-1] - np.mean(rows[-_WINDOW:], axis=0)))
        return np.array(rows[_WINDOW:])

    def _table(self, day: date, starts: Ints, opened: Floats, close: Floats, volume: Ints) -> pa.Table:
        shape = close.shape
        high, low = np.maximum(opened, close), np.minimum(opened, close)
        second = (starts // 1_000_000 + 9 * 3_600) % 86_400
        clock = second // 3_600 * 10_000 + second // 60 % 60 * 100
        symbol = np.tile(np.arange(shape[1]), shape[0])
        whole = {name: each.astype(np.int64) for name, each in (("o", opened), ("h", high), ("l", low), ("c", close))}
        # Half at the open, the rest at the close: an amount that trades at these prices add up to.
        amount = volume // 2 * whole["o"] + (volume - volume // 2) * whole["c"]
        return pa.table(
            {
                "date": pa.array([day.isoformat()] * symbol.size, pa.string()),
                "code": self._names.take(pa.array(symbol)),
                "time": pa.array(np.repeat(clock, shape[1]).astype(np.int64)),
                "open": pa.array(whole["o"].ravel()),
                "high": pa.array(whole["h"].ravel()),
                "low": pa.array(whole["l"].ravel()),
                "close": pa.array(whole["c"].ravel()),
                "volume": pa.array(volume.ravel()),
                "amount": pa.array(amount.ravel()),
            }
        )


def _ranks(values: Floats) -> Floats:
    """(symbols,) ranks, scaled to mean 0 and deviation 1."""
    size = len(values)
    return np.asarray((values.argsort().argsort() - (size - 1) / 2) / np.sqrt(max(size**2 - 1, 1) / 12))
