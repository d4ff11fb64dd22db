"""Feature sets, declared: what a model is given, in which order, from how much history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError
from hosu.features import kernel
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What is fixed about one set of features.

    Attributes:
        name: with its version behind it, since a change of meaning is another set.
        features: their names, in the order a model sees them.
        window: so many bars of one symbol before a value, itself included, it no longer depends on where the history
            began: to a part in a million of the value (what has a finite window: exactly).
        source: what the bars are made of.
        owner: who answers for it.
        make: from the kernel's outputs (n, OUTPUTS) and closes (n,) in won, the features (n, k).
    """

    name: str
    features: tuple[str, ...]
    window: int
    source: str
    owner: str
    make: Callable[[Floats, Floats], Floats]
    dtype: str = "float64"

    @property
    def version(self) -> str:
        """Name and kernel version: equal versions give equal bits from equal bars."""
        return f"{self.name}/{kernel.VERSION}"


_SPEC: Final = (
    "ma_20",
    "ma_50",
    "rsi",
    "macd",
    "bollinger_position",
    "volume_ma_ratio",
    "price_change_pct",
    "volatility",
)
_PLACES: Final = [INDICATORS.index(name) for name in _SPEC]


def _spec(outputs: Floats, close: Floats) -> Floats:
    del close
    return np.ascontiguousarray(outputs[:, _PLACES])


def _scale_free(outputs: Floats, close: Floats) -> Floats:
    # Plain arithmetic only: it has the same bits in any batch size, which numpy's log and exp have not.
    made = outputs[:, _PLACES]
    made[:, 0] = close / made[:, 0] - 1.0
    made[:, 1] = close / made[:, 1] - 1.0
    made[:, 2] = made[:, 2] / 100.0
    made[:, 3] = made[:, 3] / close
    return np.ascontiguousarray(made)


SPEC_V1: Final = FeatureSet("spec_v1", _SPEC, 300, "processed_ohlcv", "hosu", _spec)
SCALE_FREE_V1: Final = FeatureSet(
    "scale_free_v1",
    (
        "close_to_ma_20",
        "close_to_ma_50",
        "rsi_share",
        "macd_to_close",
        "bollinger_position",
        "volume_ma_ratio",
        "price_change_pct",
        "volatility",
    ),
    300,
    "processed_ohlcv",
    "hosu",
    _scale_free,
)

FEATURE_SETS: Final[dict[str, FeatureSet]] = {each.name: each for each in (SPEC_V1, SCALE_FREE_V1)}
"""Every set by name."""


def feature_set(name: str) -> FeatureSet:
    """The set of that name; an unknown one is an ``InputError``."""
    if name not in FEATURE_SETS:
        raise InputError(f"feature set {name!r}", "does not exist", f"choose one of {', '.join(FEATURE_SETS)}")
    return FEATURE_SETS[name]
