"""What following the score would have earned: the top tenth, held, minus the universe and what trading costs.

No fill is simulated: entry and exit are those of the label. Each holding is bought and sold whole, so a name that
stays in the top tenth pays again; that is dear by a little, and never cheap.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.market.costs import sale_tax
from hosu.models.scores import MIN_SYMBOLS, mean_by, sections

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.panel import Flags, Floats, LabelledRows

MIN_VALUE: Final = 1e9
"""Won: names of which less is traded on the median day of the last 20 are left out."""

TOP: Final = 0.1
BROKER_SIDE: Final = 0.00015
"""What a broker takes of each side, as a share of its value."""


def stock_tax(day: date) -> float:
    """The tax on a sale of that day. KOSPI's total is KOSDAQ's on every date known, so the market need not be."""
    return float(sale_tax(day).total)


@dataclass(frozen=True, slots=True)
class Money:
    """Returns of one holding by the session it was decided in, (sessions,) each; NaN where none could be formed.

    Attributes:
        top: mean return of the top tenth, before cost.
        universe: mean return of all names that could be held.
        cost: of buying and selling the top tenth.
        horizon: sessions a holding lasts.
    """

    top: Floats
    universe: Floats
    cost: Floats
    horizon: int

    @property
    def gross(self) -> Floats:
        """The top tenth minus the universe, before cost."""
        return np.asarray(self.top - self.universe)

    @property
    def excess(self) -> Floats:
        """The top tenth minus the universe, net of cost."""
        return np.asarray(self.top - self.universe - self.cost)

    @property
    def absolute(self) -> Floats:
        """The top tenth net of cost, whatever the market did."""
        return np.asarray(self.top - self.cost)

    def a_session(self, holding: Floats) -> Floats:
        """(sessions,) return of each session, NaN where nothing runs: the mean over the holdings running, each
        earning its return in equal parts. Where a holding lasts one session it is what was given."""
        return running_mean(holding / self.horizon, self.horizon)


def running_mean(series: Floats, length: int) -> Floats:
    """(n,) the mean of the last ``length`` values that are not NaN; NaN where there is none."""
    known = np.isfinite(series)
    total = np.cumsum(np.append(np.zeros(length), np.where(known, series, 0.0)))
    count = np.cumsum(np.append(np.zeros(length), known))
    within, held = total[length:] - total[:-length], count[length:] - count[:-length]
    return np.asarray(np.divide(within, held, out=np.full(len(series), np.nan), where=held > 0.5))


def top_weights(score: Floats, share: float = TOP) -> Floats:
    """(n,) equal weights of the best ``share`` of the names, adding up to 1.

    Names that are equal at the border share what is left of it, so that a score that is the same for all holds all
    alike, and no name is held for its place in a list. NaN scores are not held.
    """
    known = np.isfinite(score)
    wanted = share * int(known.sum())
    if wanted <= 0:
        return np.zeros(len(score))
    ordered = np.sort(score[known])[::-1]
    border = ordered[min(int(np.ceil(wanted)), len(ordered)) - 1]
    above, at = known & (score > border), known & (score == border)
    weights = above.astype(np.float64)
    weights[at] = (wanted - above.sum()) / at.sum()
    return np.asarray(weights / wanted)


def money(
    rows: LabelledRows,
    score: Floats,
    horizon: int,
    *,
    min_symbols: int = MIN_SYMBOLS,
    min_value: float = MIN_VALUE,
    tax: Callable[[date], float] = stock_tax,
) -> Money:
    """What each session's holding earned; of several cross-sections in a session the mean.

    Args:
        rows: labelled, in order of t.
        score: (n,) NaN abstains: the name is in the universe, and is not held.
        horizon: sessions a label spans.
        min_symbols: cross-sections in which fewer names can be held are left out.
        min_value: won; names whose ``value_20`` is less, or not known, cannot be held.
        tax: share of the value of a sale, by its date.

    Raises:
        CalendarRangeError: a sale lies before the taxes that are known.
    """
    held = (rows.value_20 >= min_value) & np.isfinite(rows.half_spread) & np.isfinite(rows.ret_ex)
    taxes = np.array([tax(date.fromisoformat(session)) for session in rows.sessions])
    cost = 2 * (rows.half_spread + BROKER_SIDE) + taxes[rows.t1_session]
    _, first = sections(rows.t)
    figures = np.full((3, len(first)), np.nan)
    for number, (begin, end) in enumerate(zip(first, [*first[1:], len(rows)], strict=True)):
        span = slice(begin, end)
        figures[:, number] = _section(score[span], rows.ret_ex[span], cost[span], held[span], min_symbols)
    top, universe, paid = (mean_by(rows.session[first], figure, len(rows.sessions)) for figure in figures)
    return Money(top, universe, paid, horizon)


def _section(score: Floats, ret: Floats, cost: Floats, held: Flags, min_symbols: int) -> tuple[float, float, float]:
    known = held & np.isfinite(score)
    if np.count_nonzero(known) < min_symbols:
        return np.nan, np.nan, np.nan
    weights = top_weights(np.where(held, score, np.nan))
    chosen = weights > 0
    return (
        float(weights[chosen] @ ret[chosen]),
        float(ret[held].mean()),
        float(weights[chosen] @ cost[chosen]),
    )
