"""Where batch does something else to a symbol's state on a day than was served, and whether there is a reason.

The stream knows of a day what the exchange's list said when it began. There is a reason where that list says otherwise
now, or where batch rests on what no list says: a base told by polls, the broker's split ratio, a price beyond its
day's limits. Without one the factor was reckoned wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hosu.features.adjust import Explained
from hosu.features.dated_rules import DatedRules, Listing

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.bars_of_lake import LakePanel
    from hosu.features.openings import Morning
    from hosu.features.panel import BarPanel
    from hosu.features.replayed import Again

    Ints = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]
    Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LateAction:
    """A corporate action that became known after the day had begun, or something else than what was known then.

    Attributes:
        symbol: whose.
        ts: start of the first minute that differs for it, UTC microseconds.
        served: the factor with which that minute was served; NaN where the state was begun anew.
        batch: the factor that batch knows of; NaN as above.
    """

    symbol: str
    ts: int
    served: float
    batch: float


class Apart(NamedTuple):
    """Symbols of which stream and batch do something else to the state: with a reason, and without one."""

    late: list[LateAction]
    wrong: list[LateAction]


class Facts(NamedTuple):
    """What was known of a day when it began, and what the list says now; None for no list."""

    then: Morning | None
    now: Morning | None

    def differ(self, symbol: str, listing: Listing) -> bool:
        """Whether the list says something else of a symbol than it did; ``listing`` is what batch takes it for."""
        return _of(self.then, symbol) != (*_of(self.now, symbol)[:2], listing)

    def had_base(self, symbol: str) -> bool:
        """Whether the day began with a base price of it."""
        return _of(self.then, symbol)[0] is not None


def apart(bars: BarPanel, again: Again, loaded: LakePanel, now: Morning | None) -> Apart:
    """Of each symbol the first bar at which batch rescales its state, or begins it anew, and the stream did not, or the
    other way round.

    Args:
        bars: the day with its empty minutes, as batch stepped them.
        again: the same day replayed.
        loaded: the bars without the empty minutes, and what batch knows of them.
        now: what the list says of the day now.
    """
    facts, over, by_ratio = Facts(again.facts, now), _beyond(loaded), _by_ratio(loaded)
    found = Apart([], [])
    served = _served(bars, again)
    odd = np.flatnonzero(~_same(served, _factors(bars.factor, bars.masked)))
    _, first = np.unique(bars.symbol[odd], return_index=True)
    for row in odd[first].tolist():
        symbol, ts = bars.symbols[int(bars.symbol[row])], int(bars.ts[row])
        was, factor = float(served[row]), float(bars.factor[row])
        action = LateAction(symbol, ts, was, float("nan") if bars.masked[row] else factor)
        differ = facts.differ(symbol, loaded.listings.get(symbol, Listing()))
        # Beside a base that was known only a price beyond its limits makes batch begin anew; the factor is the same.
        bounded = was == factor and (symbol, ts) in over
        excused = differ or (symbol, ts) in by_ratio or (bounded if facts.had_base(symbol) else was == 1.0)
        (found.late if excused else found.wrong).append(action)
    return found


def _of(facts: Morning | None, symbol: str) -> tuple[int | None, bool, Listing]:
    if facts is None:
        return None, False, Listing()
    return facts.base.get(symbol), symbol in facts.halted, facts.listings.get(symbol, Listing())


def _served(bars: BarPanel, again: Again) -> Floats:
    """(n,) what the stream did to each state at batch's bars: at a symbol's first trade what the day began with."""
    told = dict(zip(again.states.symbols, _factors(again.opening.factor, again.opening.masked), strict=True))
    served = np.ones(len(bars))
    for at, symbol in enumerate(bars.symbols):
        rows = np.arange(bars.starts[at], bars.starts[at + 1])
        served[rows[bars.volume[rows] > 0][:1]] = told.get(symbol, 1.0)
    return served


def _factors(factor: Floats, masked: Flags) -> Floats:
    """What is done to a state, as one number: NaN where it is begun anew."""
    return np.where(masked, np.nan, factor)


def _beyond(loaded: LakePanel) -> set[tuple[str, int]]:
    """Symbol and minute of the bars with a price beyond the limits around their day's base."""
    bars = loaded.bars
    rules = DatedRules.of(bars.date, bars.symbol, bars.symbols, loaded.listings)
    lower, upper = rules.limits(loaded.base)
    rows = np.flatnonzero((bars.high > upper) | (bars.low < lower)).tolist()
    return {(bars.symbols[int(bars.symbol[row])], int(bars.ts[row])) for row in rows}


def _by_ratio(loaded: LakePanel) -> set[tuple[str, int]]:
    """Symbol and minute of the bars whose factor is the broker's split ratio."""
    bars = loaded.bars
    rows = np.flatnonzero(loaded.explained == Explained.RATIO).tolist()
    return {(bars.symbols[int(bars.symbol[row])], int(bars.ts[row])) for row in rows}


def _same(one: Floats, two: Floats) -> Flags:
    same: Flags = (one == two) | (np.isnan(one) & np.isnan(two))
    return same
