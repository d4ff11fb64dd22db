"""How often something was tried: an append-only log, whose count the deflated Sharpe ratio is deflated by.

Who tries a hundred models and shows the best has shown luck. What counts as one trial is a configuration on a
dataset. The same pair again gives the same numbers, and is no second chance; the same configuration on a newer
dataset is one, since its luck is drawn anew, and counts again. All datasets count together: a new one does not wipe
out what was tried on the old, for what was kept from there (features, parameters, the decision to go on) was chosen
by having looked. A trial is logged after its score is known and before it is shown to anybody: one that was cut off
before has been seen by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration on one dataset.

    Attributes:
        market: as ``KRX``.
        horizon: as ``1d`` or ``10m``; another one is another question, counted apart.
        configuration: ``Configuration.key``.
        dataset: id of the dataset.
        sharpe: of the net excess per holding, not annualized; None where it could not be reckoned, or the score
            ordered nobody.
    """

    market: str
    horizon: str
    configuration: str
    dataset: str
    sharpe: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Equal for trials that count once."""
        return (self.market, self.horizon, self.configuration, self.dataset)


class Trials(Protocol):
    """Where trials are kept."""

    def record(self, trial: Trial) -> None:
        """Keeps it, durably; again is harmless."""
        ...

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """Every trial of that market and horizon, each key once, in the order they were recorded."""
        ...


@dataclass(slots=True)
class TrialsInMemory:
    """For tests and simulated worlds, whose trials are nobody's choice."""

    _kept: dict[tuple[str, str, str, str], Trial] = field(default_factory=dict)

    def record(self, trial: Trial) -> None:
        """Keeps the first of each key."""
        self._kept.setdefault(trial.key, trial)

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """As ``Trials.history``."""
        return tuple(trial for trial in self._kept.values() if (trial.market, trial.horizon) == (market, horizon))
