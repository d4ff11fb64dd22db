"""What every model is, whatever library it is made with, and the ones there are by name."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from inspect import signature
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, Self, TypeVar

import numpy as np

from hosu.errors import InputError, UnusableRowsError
from hosu.models import baselines, linear, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from hosu.features.panel import Floats

    Labels = npt.NDArray[np.int8]

Model = TypeVar("Model")


class DirectionModel(Protocol):
    """Says how likely the classes are."""

    def fit(self, features: Floats, label: Labels, weight: Floats, seed: int) -> Self:
        """Learns, and returns itself. The features are complete; ``label`` is -1, 0 or 1 with two of them present."""
        ...

    def probabilities(self, features: Floats) -> Floats:
        """(n, 3) of -1, 0 and 1, each row adding up to 1. The features are complete."""
        ...

    def importance(self) -> Floats:
        """(k,) what each feature contributed, adding up to 1; all 0 where the model looks at none."""
        ...


class PriceModel(Protocol):
    """Says which return is to be expected."""

    def fit(self, features: Floats, ret: Floats, weight: Floats, seed: int) -> Self:
        """Learns, and returns itself. The features are complete, the returns finite."""
        ...

    def expected(self, features: Floats) -> Floats:
        """(n,) the return to be expected. The features are complete."""
        ...

    def importance(self) -> Floats:
        """(k,) as ``DirectionModel.importance``."""
        ...


class Kind(StrEnum):
    """Ways to learn."""

    PRIOR = "prior"  # base rates and last price: version 0 of everything
    LINEAR = "linear"  # logistic and ridge
    GBDT = "gbdt"  # gradient boosted trees, LightGBM
    RF = "rf"  # random forest, LightGBM
    FOREST = "forest"  # random forest, scikit-learn, each tree on a tenth


DIRECTION: Final[Mapping[Kind, Callable[..., DirectionModel]]] = {
    Kind.PRIOR: baselines.BaseRates,
    Kind.LINEAR: linear.Logistic,
    Kind.GBDT: trees.BoostedDirection,
    Kind.RF: trees.BaggedDirection,
    Kind.FOREST: trees.ForestDirection,
}
PRICE: Final[Mapping[Kind, Callable[..., PriceModel]]] = {
    Kind.PRIOR: baselines.LastPrice,
    Kind.LINEAR: linear.Ridge,
    Kind.GBDT: trees.BoostedPrice,
    Kind.RF: trees.BaggedPrice,
    Kind.FOREST: trees.ForestPrice,
}
_DEFAULTS: Final = {Kind.RF: 2}
"""Of kinds whose parameters have other defaults than before, so that the same words stand for another model. 2: thirty
rounds."""


class Range(NamedTuple):
    """What a number may be, both ends included; ``above`` leaves the lower one out."""

    least: float
    most: float
    above: bool = False

    def holds(self, value: float) -> bool:
        """Whether a value lies within; NaN does not."""
        return self.least <= value <= self.most and not (self.above and value == self.least)

    def __str__(self) -> str:
        if self.above:
            return f"above {self.least:,g}, up to {self.most:,g}"
        return " to ".join(f"{end:,.0f}" if float(end).is_integer() else f"{end:g}" for end in (self.least, self.most))


RANGES: Final[Mapping[str, Range]] = {
    "rounds": Range(1, 10_000),
    "leaves": Range(2, 131_072),  # LightGBM takes no other
    "rate": Range(0, 1, above=True),
    "trees": Range(1, 10_000),
    "depth": Range(1, 100),
    "max_samples": Range(0.02, 1),  # with less a tree of a short history sees a handful of rows
    "inverse_penalty": Range(1e-9, 1e9),
    "penalty": Range(1e-9, 1e9),
}
"""Of every parameter, of whatever kind: what the libraries take, and what can be meant."""
SEEDS: Final = Range(0, 2**32 - 1)
_TREES: Final = frozenset({Kind.GBDT, Kind.RF, Kind.FOREST})


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything that makes one model differ from another on the same data; two with equal ones are the same trial.

    Attributes:
        kind: of both models.
        params: given to the models' constructors, as ``{"rounds": 50}``; what is absent has its default.
        seed: of whatever is drawn while learning. Another seed is another configuration: who tries many seeds and
            keeps the best has tried many models.
        feature_set: name and version, as ``scale_free_v1``.
    """

    kind: Kind
    params: Mapping[str, float] = field(default_factory=dict)
    seed: int = 0
    feature_set: str = ""

    @property
    def key(self) -> str:
        """32 hex digits that are equal for equal configurations."""
        told = {
            "kind": self.kind.value,
            "params": dict(self.params),
            "seed": self.seed,
            "feature_set": self.feature_set,
            **({"defaults": _DEFAULTS[self.kind]} if self.kind in _DEFAULTS else {}),
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]

    def check(self) -> None:
        """Refuses parameters that no model of this kind takes, before anything is made for it.

        Raises:
            InputError: one is unknown or outside of its range, or a fraction where the models count: a half of a round
                would be none.
        """
        defaults = _defaults(DIRECTION[self.kind]) | _defaults(PRICE[self.kind])
        if unknown := sorted(self.params.keys() - defaults.keys()):
            raise InputError(f"parameters of {self.kind}", f"{', '.join(unknown)} is unknown", _choose(set(defaults)))
        for name, value in self.params.items():
            if isinstance(defaults[name], int) and not float(value).is_integer():
                raise InputError(
                    f"parameter {name} of {self.kind}", f"{value:g} is no whole number", "give a whole one"
                )
            self._require(name, value, RANGES[name])
        self._require("seed", self.seed, SEEDS)

    def _require(self, name: str, value: float, within: Range) -> None:
        if not within.holds(value):
            raise InputError(f"parameter {name} of {self.kind}", f"{value:.12g} is out of range", f"give {within}")

    def direction(self, threads: int = 1) -> DirectionModel:
        """A new one, that has learned nothing yet. ``threads`` changes how fast it learns, not what.

        Raises:
            InputError: as ``check``.
        """
        return _made(DIRECTION[self.kind], self, threads)

    def price(self, threads: int = 1) -> PriceModel:
        """As ``direction``."""
        return _made(PRICE[self.kind], self, threads)


def _made(maker: Callable[..., Model], configuration: Configuration, threads: int) -> Model:
    """The model with those of the parameters that are its own: direction and price of a kind may have others."""
    configuration.check()
    grown = {"threads": threads} if configuration.kind in _TREES else {}
    own = _defaults(maker)
    return maker(**{name: value for name, value in configuration.params.items() if name in own}, **grown)


def _defaults(maker: Callable[..., object]) -> dict[str, float]:
    """The parameters of a model by name, with what each is where nothing is said."""
    return {name: each.default for name, each in signature(maker).parameters.items() if name != "threads"}


def _choose(known: set[str]) -> str:
    return f"choose from {', '.join(sorted(known))}" if known else "it has none"


def check_learnable(names: tuple[str, ...], features: Floats, label: Labels) -> None:
    """Refuses what no model can learn from.

    Raises:
        UnusableRowsError: a feature is null in every row, no row has all features, or all rows are of one class.
    """
    null = [name for name, column in zip(names, features.T, strict=True) if not np.isfinite(column).any()]
    if null:
        raise UnusableRowsError(f"{', '.join(null)} null in every row", "leave them out or give a longer history")
    kept = np.isfinite(features).all(axis=1)
    if not kept.any():
        raise UnusableRowsError("no row has all features", "give a longer history")
    present = np.unique(label[kept])
    if len(present) < 2:
        raise UnusableRowsError(f"all labels are {int(present[0])}", "choose another band or span")
