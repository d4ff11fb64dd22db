"""What the begin of a day makes of what is remembered: a split, a rights issue or a dividend in shares, live.

What is known of a day when it begins is the exchange's list of that morning: each symbol's base price, and which were
halted the session before. Whether the last close is the official one is remembered with it. ``adjust`` is asked the
same question as in batch, about a trade at the base itself: whatever the day's first trade will be, earlier prices are
worth then what it says. So stream and batch step the kernel with the
same factor, at the same bar: the symbol's first trade of the day.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from hosu.features import kernel
from hosu.features.adjust import Known, LastTrade, Traded, adjustment
from hosu.features.dated_rules import DatedRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.features.batch import States
    from hosu.features.dated_rules import Listing
    from hosu.features.panel import Flags, Floats

LONG_AGO: Final = 20100104
"""Stands for the date of a bar that is not known: no session before any day that is asked about."""


@dataclass(frozen=True, slots=True)
class Morning:
    """What is known of a day when it begins.

    Attributes:
        label: names it, so that it can be read again: table and version, ``instruments@17``.
        base: base price in hundredths of a won, by symbol.
        halted: symbols that were halted on the session before.
        listings: market and type, by symbol.
    """

    label: str
    base: Mapping[str, int]
    halted: frozenset[str]
    listings: Mapping[str, Listing]


@dataclass(frozen=True, slots=True)
class Opening:
    """What takes effect at the day's first trade of each symbol of some states, in their order.

    Attributes:
        factor: (n,) what is remembered of prices is multiplied with; 1.0 without an event.
        masked: (n,) whether the state is begun anew.
    """

    factor: Floats
    masked: Flags

    @classmethod
    def plain(cls, count: int) -> Self:
        """Nothing happens to any of ``count`` symbols."""
        return cls(np.ones(count), np.zeros(count, np.bool_))


def last_trades(states: States) -> dict[str, LastTrade]:
    """What is remembered of each symbol's last bar; without those that had none."""
    closes = kernel.last_closes(states.ints).tolist()
    found = zip(states.symbols, closes, states.dates.tolist(), states.official.tolist(), strict=True)
    return {symbol: LastTrade(*told) for symbol, *told in found if told[0] > 0}


def opening(states: States, date: str, facts: Morning | None) -> Opening:
    """What a day does to these states.

    Args:
        states: as they are after the day before.
        date: business date, ``YYYY-MM-DD``.
        facts: what is known of it; None for nothing.

    Raises:
        CalendarRangeError: a date before 2010.
    """
    found = Opening.plain(len(states.symbols))
    last = last_trades(states)
    known = [at for at, symbol in enumerate(states.symbols) if facts and symbol in facts.base and symbol in last]
    if facts is None or not known:
        return found
    names = [states.symbols[at] for at in known]
    made = adjustment(*_two_bars(names, last, int(date.replace("-", "")), facts))
    found.factor[known], found.masked[known] = made.factor[1::2], made.masked[1::2]
    return found


def _two_bars(
    symbols: list[str], last: Mapping[str, LastTrade], day: int, facts: Morning
) -> tuple[Traded, Known, DatedRules]:
    """Of each symbol its last bar, and one of the day at the base."""
    count = len(symbols)
    base = np.array([facts.base[symbol] for symbol in symbols], np.int64)
    date, close, told, official = (np.zeros(2 * count, np.int64) for _ in range(4))
    official[0::2] = [last[symbol].official for symbol in symbols]
    date[0::2], date[1::2] = [last[symbol].date or LONG_AGO for symbol in symbols], day
    close[0::2], close[1::2], told[1::2] = [last[symbol].close for symbol in symbols], base, base
    halted = np.zeros(2 * count, np.bool_)
    halted[1::2] = [symbol in facts.halted for symbol in symbols]
    bars = Traded(np.arange(0, 2 * count + 1, 2), date, close, close, close, np.ones(2 * count, np.int64))
    rules = DatedRules.of(date, np.repeat(np.arange(count), 2), symbols, facts.listings)
    return bars, Known(base=told, halted=halted, official=official), rules
