"""Worlds in which it is known what can be predicted: nothing, or a return that was planted.

A pipeline that finds an edge where there is none is wrong, whatever it finds in the market. Permuting the days of a
history is no such world: what is peculiar to a symbol survives it and looks like skill. So whole sessions are turned
over (``flip``), or prices are walked anew (``walk``). Shuffling a day's returns among the symbols (``shuffle``) makes
too easy a world, since the market's common move no longer hides anything: it is for the sanity of a pipeline only.

Prices are rebuilt step by step from each bar's opening gap and its moves within, in hundredths of a won, so features
and labels are made anew by the caller. Volumes, values, factors and masks stay.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.market.rules import tick_table
from hosu.models.scores import ranks

if TYPE_CHECKING:
    from hosu.features.panel import BarPanel, Flags, Floats, Ints, LabelledRows

RATIO_WINDOW: Final = 20
"""Bars of the volume's mean; that of the feature ``volume_ma_ratio``, by which a planted return is to be seen."""

_STEEPEST: Final = 0.9
"""A gain so high turned over would leave next to nothing; such a move is turned into its reciprocal."""

_FARTHEST: Final = 0.29
"""A walked return is cut here, short of the day's limit."""


@dataclass(frozen=True, slots=True)
class _Moves:
    """(n,) each: the open from the close before (after the factor), and high, low and close from the open."""

    gap: Floats
    high: Floats
    low: Floats
    close: Floats


def _moves(panel: BarPanel) -> _Moves:
    opened = panel.open.astype(np.float64)
    before = np.empty(len(panel))
    before[1:] = panel.close[:-1] * panel.factor[1:]
    begins = panel.starts[:-1][np.diff(panel.starts) > 0]
    before[begins] = opened[begins]
    return _Moves(opened / before - 1, panel.high / opened - 1, panel.low / opened - 1, panel.close / opened - 1)


def _rebuilt(panel: BarPanel, moves: _Moves) -> BarPanel:
    """Each symbol begins at its own first open; errors of rounding do not add up, since the path is not rounded."""
    steps = np.log1p(moves.gap) + np.log(panel.factor)
    begins = panel.starts[:-1][np.diff(panel.starts) > 0]
    steps[begins] = np.log(panel.open[begins])
    inside = np.log1p(moves.close)
    path = np.cumsum(steps + inside)
    path -= np.repeat((path - steps - inside)[begins], np.diff(panel.starts)[np.diff(panel.starts) > 0])
    opened = np.exp(path - inside)
    prices = [opened, opened * (1 + moves.high), opened * (1 + moves.low), np.exp(path)]
    o, h, low, c = (np.maximum(np.rint(price), 1).astype(np.int64) for price in prices)
    # Without a trade all four are the last close, to the hundredth.
    still = panel.volume == 0
    o, h, low = np.where(still, c, o), np.where(still, c, h), np.where(still, c, low)
    return replace(panel, open=o, high=np.maximum.reduce([o, h, c]), low=np.minimum.reduce([o, low, c]), close=c)


def _turned(move: Floats, turn: Flags) -> Floats:
    steep = move > _STEEPEST
    return np.where(turn, np.where(steep, 1 / (1 + np.where(steep, move, 0)) - 1, -move), move)


def flip(panel: BarPanel, seed: int) -> BarPanel:
    """The returns of all symbols in each bar times one random sign, the same for all: a session's, of daily bars.

    The gap and the move within the bar are turned each, so that a return from open to close is turned exactly (its
    mean over the signs is 0); one from close to close is turned but for the product of the two. High and low change
    places. How the stocks of a day move together, how far, and with which volumes stays as it was.
    Minute bars have a sign a minute: with one a session, a minute would tell the direction of the next.
    Masked moves stay as they are.
    """
    times, place = np.unique(panel.ts, return_inverse=True)
    turn = (np.random.default_rng(seed).random(len(times)) < 0.5)[place] & ~panel.masked
    moves = _moves(panel)
    turned = _Moves(
        gap=_turned(moves.gap, turn),
        high=np.where(turn, _turned(moves.low, turn), moves.high),
        low=np.where(turn, _turned(moves.high, turn), moves.low),
        close=_turned(moves.close, turn),
    )
    return _rebuilt(panel, turned)


def shuffle(panel: BarPanel, seed: int) -> BarPanel:
    """The returns of each bar dealt anew among the symbols that traded in it. For sanity only."""
    free = np.flatnonzero((panel.volume > 0) & ~panel.masked)
    drawn = np.random.default_rng(seed).random(len(free))
    to = free[np.argsort(panel.ts[free], kind="stable")]
    taken = free[np.lexsort((drawn, panel.ts[free]))]
    source = np.arange(len(panel))
    source[to] = taken
    m = _moves(panel)
    return _rebuilt(panel, _Moves(m.gap[source], m.high[source], m.low[source], m.close[source]))


def plant(panel: BarPanel, strength: float) -> BarPanel:
    """A return that can be predicted is added to what each symbol does in the next bar between open and close.

    Its driver is what the feature ``volume_ma_ratio`` shows at the close of a bar: the volume over the mean of the
    last 20, its rank among all symbols of that time scaled to deviation 1. The next bar's move from open to close
    gets ``strength`` times the driver times that move's deviation over all symbols. Volumes stay, so planting does
    not change what drives it. Nothing is added to a bar without a trade, a masked one, or where fewer than 20 bars
    were seen.
    """
    moves, driver = _moves(panel), _driver(panel)
    told = np.full(len(panel), np.nan)
    told[1:] = np.where(panel.symbol[1:] == panel.symbol[:-1], driver[:-1], np.nan)
    _, place = np.unique(panel.ts, return_inverse=True)
    free = np.isfinite(told) & (panel.volume > 0) & ~panel.masked
    added = np.where(free, strength * told * _deviation(moves.close, place, free)[place], 0.0)
    close = np.maximum(moves.close + added, -_STEEPEST)
    return _rebuilt(
        panel, replace(moves, close=close, high=np.maximum(moves.high, close), low=np.minimum(moves.low, close))
    )


def _driver(panel: BarPanel) -> Floats:
    volume = panel.volume.astype(np.float64)
    total = np.concatenate([[0.0], np.cumsum(volume)])
    mean = np.full(len(panel), np.nan)
    mean[RATIO_WINDOW - 1 :] = (total[RATIO_WINDOW:] - total[:-RATIO_WINDOW]) / RATIO_WINDOW
    age = np.arange(len(panel)) - np.repeat(panel.starts[:-1], np.diff(panel.starts))
    known = np.flatnonzero((age >= RATIO_WINDOW - 1) & (mean > 0))
    _, place = np.unique(panel.ts[known], return_inverse=True)
    size = np.bincount(place)[place]
    centred = ranks(volume[known] / mean[known], place) - (size - 1) / 2
    out = np.full(len(panel), np.nan)
    # Places 0 to m - 1 have the variance (m² - 1) / 12.
    out[known] = np.where(size > 1, centred / np.sqrt(np.maximum(size.astype(np.float64) ** 2 - 1, 1) / 12), np.nan)
    return out


def _deviation(value: Floats, place: Ints, known: Flags) -> Floats:
    count = np.maximum(np.bincount(place[known], minlength=place.max() + 1), 1)
    mean = np.bincount(place[known], value[known], len(count)) / count
    square = np.bincount(place[known], value[known] ** 2, len(count)) / count
    return np.asarray(np.sqrt(np.maximum(square - mean**2, 0)))


def flip_labels(rows: LabelledRows, seed: int, horizon: int = 1) -> LabelledRows:
    """Both returns and the class of each session times one random sign; the features stay.

    Cheaper than ``flip``, which makes the features anew. Labels decided within the same ``horizon`` sessions overlap,
    and are turned together.
    """
    blocks = len(rows.sessions) // horizon + 1
    sign = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), blocks)[rows.session // horizon]
    return replace(
        rows,
        ret_px=rows.ret_px * sign,
        ret_ex=rows.ret_ex * sign,
        label=(rows.label * sign).astype(np.int8),
    )


# --- prices walked anew -------------------------------------------------------------------------------------------


def walk(panel: BarPanel, seed: int) -> BarPanel:
    """One-factor random walks on the grid of ticks, with each symbol's own volatilities and share of the market.

    The gap and the move within a bar are each b x market + own noise, normal, with the deviations that the symbol
    had; both are drawn around 0 and rounded to the grid from the rounded price before, so nothing but the price that
    is seen carries over and no return can be predicted. Highs and lows exceed open and close by as much as the
    symbol's did on average. Bars without a trade and masked ones stand still, and so does a factor's event. The grid
    is KOSPI's of each date, which is all markets' since 2023.
    """
    rng = np.random.default_rng(seed)
    m = _moves(panel)
    traded = (panel.volume > 0) & ~panel.masked
    gap, inside = (_drawn(panel, move, traded, rng) for move in (m.gap, m.close))
    above = _scaled(panel, m.high - np.maximum(m.close, 0), traded, rng)
    below = _scaled(panel, np.minimum(m.close, 0) - m.low, traded, rng)
    prices = np.empty((4, len(panel)))
    last = np.zeros(len(panel.symbols))
    symbol = panel.symbol
    for day, rows in _by_time(panel):
        who = symbol[rows]
        fresh = last[who] == 0
        before = np.where(fresh, panel.open[rows] / 100, last[who] * panel.factor[rows])
        opened = on_grid(before * (1 + np.where(fresh, 0, gap[rows])), day)
        closed = on_grid(opened * (1 + inside[rows]), day)
        high = on_grid(np.maximum(opened, closed) * (1 + above[rows]), day)
        low = on_grid(np.minimum(opened, closed) * (1 - below[rows]), day)
        prices[:, rows] = opened, high, low, closed
        last[who] = closed
    o, h, low, c = np.rint(prices * 100).astype(np.int64)
    still = panel.volume == 0
    return replace(panel, open=np.where(still, c, o), high=np.where(still, c, h), low=np.where(still, c, low), close=c)


def _by_time(panel: BarPanel) -> list[tuple[date, Ints]]:
    order = np.argsort(panel.ts, kind="stable")
    times, first = np.unique(panel.ts[order], return_index=True)
    groups = np.split(order, first[1:]) if len(times) else []
    return [(_day(int(panel.date[rows[0]])), rows) for rows in groups]


def _day(number: int) -> date:
    return date(number // 10_000, number // 100 % 100, number % 100)


def on_grid(price: Floats, day: date) -> Floats:
    """Won, to the nearest tick, half-way to the even one (always up would be a drift), at least one tick."""
    table = tick_table(day)
    ticks = np.array(table.ticks)[np.searchsorted(np.array(table.below), price, side="right")]
    return np.asarray(np.maximum(np.rint(price / ticks), 1) * ticks)


def _drawn(panel: BarPanel, move: Floats, traded: Flags, rng: np.random.Generator) -> Floats:
    """(n,) normal moves of one factor and own noise, with the symbols' loadings and deviations."""
    _, place = np.unique(panel.ts, return_inverse=True)
    moved, symbol = np.where(traded, np.clip(move, -_FARTHEST, _FARTHEST), 0.0), panel.symbol
    factor = np.bincount(place, moved) / np.maximum(np.bincount(place, traded), 1)
    common = factor - factor.mean()
    names = len(panel.symbols)
    count = np.maximum(np.bincount(symbol, traded, names), 1)
    seen = np.where(traded, common[place], 0.0)
    load = np.bincount(symbol, seen * moved, names) / np.maximum(np.bincount(symbol, seen**2, names), 1e-12)
    spread = np.bincount(symbol, moved**2, names) / count - load**2 * np.bincount(symbol, seen**2, names) / count
    market = rng.normal(0, common.std(), len(common))
    own = rng.normal(0, 1, len(panel)) * np.sqrt(np.maximum(spread, 0))[symbol]
    return np.where(traded, np.clip(load[symbol] * market[place] + own, -_FARTHEST, _FARTHEST), 0.0)


def _scaled(panel: BarPanel, excess: Floats, traded: Flags, rng: np.random.Generator) -> Floats:
    """(n,) exponential excesses over open and close, each symbol's with the mean it had."""
    names = len(panel.symbols)
    total = np.bincount(panel.symbol, np.where(traded, np.clip(excess, 0, _FARTHEST), 0.0), names)
    mean = total / np.maximum(np.bincount(panel.symbol, traded, names), 1)
    return np.where(traded, np.minimum(rng.exponential(1, len(panel)) * mean[panel.symbol], _FARTHEST), 0.0)
