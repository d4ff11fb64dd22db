"""How often the whole pipeline finds something where there is nothing: many worlds, learned anew in each.

This is what ``checks.signal`` cannot do with scores that are already there: a split that leaks shows in both kinds of
worlds here, a feature that looks ahead where the bars were turned before it was made, and neither anywhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hosu.models import bootstrap, checks
from hosu.models.checks import Rules
from hosu.models.money import money
from hosu.models.walk import walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hosu.features.panel import BarPanel, LabelledRows
    from hosu.models.estimators import Configuration
    from hosu.models.walk import Walked


@dataclass(frozen=True, slots=True)
class World:
    """What was found in one world.

    Attributes:
        seed: of the world.
        ic: mean daily rank IC.
        p: of it, one-sided.
        gross: mean return a session of the top tenth beside the universe, before cost.
        gross_p: of it, one-sided.
    """

    seed: int
    ic: float
    p: float
    gross: float
    gross_p: float


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of so many worlds, and the bounds of the true share, (Clopper and Pearson, 95 %, two-sided)."""

    found: int
    worlds: int
    lower: float
    upper: float


def measured(walked: Walked, seed: int, rules: Rules | None = None) -> World:
    """The figures of one world that are compared with chance.

    Raises:
        NotEnoughDataError: too few sessions have enough symbols.
    """
    ruled = rules or Rules()
    ic = bootstrap.of_mean(checks.daily_ic(walked, walked.said.score, ruled), horizon=walked.horizon, seed=ruled.seed)
    held = money(walked.rows, walked.said.score, walked.horizon, min_symbols=ruled.min_symbols)
    gross = bootstrap.of_mean(held.gross / held.horizon, horizon=walked.horizon, seed=ruled.seed)
    return World(seed, ic.value, ic.p, gross.value, gross.p)


def of_labels(
    rows: LabelledRows,
    configuration: Configuration,
    seeds: Iterable[int],
    *,
    turned: Callable[[LabelledRows, int], LabelledRows],
    rules: Rules | None = None,
    threads: int = 1,
) -> list[World]:
    """Everything learned anew in each world of turned labels (``worlds.flip_labels``); errors as ``walk``."""
    return [
        measured(walk(turned(rows, seed), configuration, threads=threads, with_price=False), seed, rules)
        for seed in seeds
    ]


def of_bars(
    panel: BarPanel,
    configuration: Configuration,
    seeds: Iterable[int],
    *,
    world: Callable[[BarPanel, int], BarPanel],
    rows_of: Callable[[BarPanel], LabelledRows],
    rules: Rules | None = None,
    threads: int = 1,
) -> list[World]:
    """Features, labels and everything learned anew in each world of bars; errors as ``walk`` and ``rows_of``.

    Args:
        panel: the bars as they were.
        configuration: what is learned.
        seeds: one for each world.
        world: as ``worlds.flip`` or ``worlds.walk``.
        rows_of: makes features and labels of bars, exactly as in training.
        rules: None are the gate's.
        threads: of the libraries.
    """
    made = ((rows_of(world(panel, seed)), seed) for seed in seeds)
    return [measured(walk(rows, configuration, threads=threads, with_price=False), seed, rules) for rows, seed in made]


def rate(values: Sequence[float], most: float) -> Rate:
    """How many p values are at most ``most``."""
    found = int(np.count_nonzero(np.array(values) <= most))
    lower, upper = share_bounds(found, len(values))
    return Rate(found, len(values), lower, upper)


def share_bounds(found: int, count: int, level: float = 0.95) -> tuple[float, float]:
    """Bounds of a share of which ``found`` of ``count`` were seen (Clopper and Pearson, Biometrika 1934): the shares
    under which so many, or so few, have probability (1 - level) / 2; 0 and 1 at the ends."""
    tail = (1 - level) / 2
    lower = 0.0 if found == 0 else _solved(lambda share: 1 - _at_most(found - 1, count, share), tail)
    upper = 1.0 if found == count else _solved(lambda share: -_at_most(found, count, share), -tail)
    return lower, upper


def _at_most(found: int, count: int, share: float) -> float:
    """The binomial's distribution, by its terms in order."""
    term = (1 - share) ** count
    total = term
    for k in range(found):
        term *= (count - k) / (k + 1) * share / (1 - share)
        total += term
    return min(total, 1.0)


def _solved(rising: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < value else (low, middle)
    return (low + high) / 2
