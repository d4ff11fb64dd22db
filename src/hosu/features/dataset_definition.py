"""What a dataset is asked to be: its span, its days, its labels, and where its features come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from hosu.errors import InputError
from hosu.features.bars_of_lake import DayState
from hosu.features.label_parts import LATENCY_US

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.features.followed import Followed
    from hosu.features.panel import BarPanel, Floats

ALLOWED: Final = {
    "certified": (DayState.CERTIFIED,),
    "assumed": (DayState.CERTIFIED, DayState.ASSUMED),
    "all": tuple(DayState),
}
_VIEWS: Final = ("repaired", "as_served")


class FeatureSource(Protocol):
    """A feature set and the code that computes it."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    @property
    def names(self) -> tuple[str, ...]:
        """Of the features, in order."""
        ...

    @property
    def revision(self) -> str:
        """Of the code: another one wherever a number may come out otherwise."""
        ...

    def compute(self, panel: BarPanel, followed: Followed | None = None) -> Floats:
        """(n, k) features of the panel's rows; NaN is null. A row's depend on it and the rows before it only.

        Args:
            panel: bars.
            followed: of minutes, the symbols of which an empty one is known to be empty; None: those with bars that
                day.
        """
        ...

    def of_outputs(self, outputs: Floats, close: Floats) -> Floats:
        """(n, k) features of what the kernel gave, (n, ``kernel.OUTPUTS``), at closes in won."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What is asked for. Dates are ``YYYY-MM-DD``, both ends included.

    Attributes:
        horizon: sessions, or minutes.
        interval: ``day`` or ``minute``.
        scope: KRX, NXT or UN.
        symbols: which; None: the whole universe of each day.
        history: the first day of bars; None: the lake's oldest. Features with unbounded memory start there.
        start: the first day of rows; None: the first of bars.
        end: the last day of rows and bars; None: the lake's newest.
        days: ``certified``, ``assumed`` (also what rests on named rules), or ``all``.
        view: ``repaired`` or ``as_served``.
        latency_us: of minutes, from a decision to the earliest trade.
    """

    horizon: int
    interval: str = "day"
    scope: str = "KRX"
    symbols: tuple[str, ...] | None = None
    history: str | None = None
    start: str | None = None
    end: str | None = None
    days: str = "certified"
    view: str = "repaired"
    latency_us: int = LATENCY_US

    def __post_init__(self) -> None:
        for name, value, known in (("days", self.days, tuple(ALLOWED)), ("view", self.view, _VIEWS)):
            if value not in known:
                raise InputError(f"{name} {value!r}", "is unknown", f"choose {', '.join(known)}")

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """The definition that a dataset's facts tell; what they have beside it (features, labels) is left out."""
        told = {name: value for name, value in facts["definition"].items() if name not in {"features", "labels"}}
        symbols = None if told["symbols"] is None else tuple(told["symbols"])
        return cls(**{**told, "symbols": symbols, "view": facts["view"]})
