"""What any model must beat: the base rates, the last price, and yesterday's sign either way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.panel import Floats, LabelledRows

    Labels = npt.NDArray[np.int8]


def base_rates(label: Labels, weight: Floats) -> Floats:
    """(3,) the weighted share of -1, 0 and 1."""
    mass = np.bincount(label.astype(np.int64) + 1, weight, minlength=3)
    return np.asarray(mass / mass.sum())


class BaseRates:
    """The prior of the direction: the shares of the classes in training, whatever the features say."""

    def __init__(self) -> None:
        self.rates: Floats = np.full(3, 1 / 3)
        self.width = 0

    def fit(self, features: Floats, label: Labels, weight: Floats, seed: int) -> Self:
        """Counts the classes."""
        del seed
        self.rates, self.width = base_rates(label, weight), features.shape[1]
        return self

    def probabilities(self, features: Floats) -> Floats:
        """(n, 3) the same for every row."""
        return np.tile(self.rates, (len(features), 1))

    def importance(self) -> Floats:
        """(k,) zeros."""
        return np.zeros(self.width)


class LastPrice:
    """The prior of the price: it stays."""

    def __init__(self) -> None:
        self.width = 0

    def fit(self, features: Floats, ret: Floats, weight: Floats, seed: int) -> Self:
        """Learns nothing."""
        del ret, weight, seed
        self.width = features.shape[1]
        return self

    def expected(self, features: Floats) -> Floats:
        """(n,) zeros."""
        return np.zeros(len(features))

    def importance(self) -> Floats:
        """(k,) zeros."""
        return np.zeros(self.width)


def yesterdays_sign(rows: LabelledRows) -> Floats:
    """(n,) a score that expects the last bar's direction to go on; NaN where it is not known."""
    return np.sign(rows.ret_last)


def opposite_sign(rows: LabelledRows) -> Floats:
    """(n,) a score that expects the last bar's direction to turn. A price that jumps between bid and ask alone gives
    it some skill, which nobody can trade."""
    return -np.sign(rows.ret_last)
