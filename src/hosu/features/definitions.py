"""Feature sets, declared: what a model is given, in which order, from how much history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError
from hosu.features import book_kernel, kernel
from hosu.market.features import BOOK_FEATURES, INDICATORS

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Ints = npt.NDArray[np.int64]


SECOND: Final = "second"
"""The interval of what is made of quotes and trades."""
INTERVALS: Final = ("day", "minute", SECOND)
"""What features are made of."""
FEATURE_TABLES: Final = {
    "day": ("technical_indicators", "ml_features"),
    "minute": ("technical_indicators_1m", "ml_features_1m"),
}
"""The tables of indicators and of features, by interval of the bars."""


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """What is fixed about one set of features.

    Attributes:
        name: with its version behind it, since a change of meaning is another set.
        features: their names, in the order a model sees them.
        window: so many bars of one symbol before a value, itself included, it no longer depends on where the history
            began: to a part in a million of the value (what has a finite window: exactly). Of the interval ``second``,
            so many seconds.
        minute_window: the same of minutes; None: as ``window``. Where nothing trades for long, an RSI forgets nothing:
            both its means shrink alike.
        source: what the bars are made of; of the interval ``second`` the tables of events.
        owner: who answers for it.
        make: from the kernel's outputs (n, OUTPUTS) and closes (n,) in won, of seconds the middle of the book, the
            features (n, k).
        intervals: of what it can be made: of bars of a ``day`` or ``minute``, or of the events of each ``second``.
    """

    name: str
    features: tuple[str, ...]
    window: int
    source: str
    owner: str
    make: Callable[[Floats, Floats], Floats]
    dtype: str = "float64"
    intervals: tuple[str, ...] = ("day", "minute")
    minute_window: int | None = None

    def window_of(self, interval: str) -> int:
        """The window in bars of that interval."""
        return self.minute_window if interval == "minute" and self.minute_window is not None else self.window

    @property
    def version(self) -> str:
        """Name and kernel version: equal versions give equal bits from equal bars, or events."""
        return f"{self.name}/{book_kernel.VERSION if SECOND in self.intervals else kernel.VERSION}"


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


SPEC_V1: Final = FeatureSet("spec_v1", _SPEC, 300, "processed_ohlcv", "hosu", _spec, minute_window=1_000)
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
    minute_window=1_000,
)


def _as_they_are(outputs: Floats, close: Floats) -> Floats:
    del close
    return outputs


BOOK_V1: Final = FeatureSet("book_v1", BOOK_FEATURES, 61, "quotes, trades", "hosu", _as_they_are, intervals=(SECOND,))

FEATURE_SETS: Final[dict[str, FeatureSet]] = {each.name: each for each in (SPEC_V1, SCALE_FREE_V1, BOOK_V1)}
"""Every set by name."""


def sets_of(interval: str) -> list[FeatureSet]:
    """Every set that can be made of an interval; of an unknown one none."""
    return [each for each in FEATURE_SETS.values() if interval in each.intervals]


def feature_set(name: str, interval: str | None = None) -> FeatureSet:
    """The set of that name; one that is unknown, or is not made of ``interval``, is an ``InputError``."""
    if name not in FEATURE_SETS:
        raise InputError(f"feature set {name!r}", "does not exist", f"choose one of {', '.join(FEATURE_SETS)}")
    found = FEATURE_SETS[name]
    if interval is not None and interval not in found.intervals:
        fitting = ", ".join(each.name for each in sets_of(interval)) or "another interval"
        raise InputError(
            f"feature set {name!r}",
            f"is made of a {' or '.join(found.intervals)}, not of a {interval}",
            f"choose {fitting}",
        )
    return found
