"""Who answers now: champion and challenger of each model, brought up to date with the registry while others serve.

A version that cannot be loaded leaves the one before it in its place, and says so: something always serves, in the
end the prior.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hosu.errors import HosuError, ModelDamagedError
from hosu.models.predictor import Role, Seat
from hosu.models.registry import HORIZONS, PRIOR, TABLE
from hosu.models.served import EVEN, Served

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.definitions import FeatureSet
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake
    from hosu.models.registry import Registry

_log = structlog.get_logger(__name__)


def models_of(interval: str) -> tuple[str, ...]:
    """The models that predict at the close of bars of ``day`` or ``minute``."""
    return tuple(model for model, (kind, _) in HORIZONS.items() if kind == interval)


class Seats:
    """The seats of some models.

    ``now`` may be read from any thread: it is replaced as a whole. ``refresh`` is for one thread at a time.

    Args:
        lake: where the registry is.
        registry: of that lake.
        models: whose seats.
        features: what is served; a version that learned from another set is not seated.
    """

    def __init__(self, lake: Lake, registry: Registry, models: Sequence[str], features: FeatureSet) -> None:
        self._lake, self._registry, self._features = lake, registry, features
        self._table: Table | None = None
        self._seen = -2  # of no registry the version is -1
        self._again = False
        self._told: set[tuple[str, int, str]] = set()
        self._held: dict[str, tuple[Seat, ...]] = {model: (self._prior(model, EVEN),) for model in models}
        self.now: tuple[Seat, ...] = tuple(seat for held in self._held.values() for seat in held)

    def refresh(self) -> bool:
        """Looks whether the registry has changed, and loads who is new; returns whether anybody was seated or left.

        What cannot be loaded is logged once and tried again when the registry changes, or the next time where it may
        come right by itself; a registry that cannot be read leaves everybody where they are.
        """
        try:
            version = self._version()
            if version == self._seen:
                return False
            self._again = False
            held = {model: self._seated(model, before) for model, before in self._held.items()}
        except HosuError as error:
            _log.warning("the registry cannot be read; whoever serves goes on", error=str(error))
            return False
        changed = held != self._held
        self._held, self._seen = held, -2 if self._again else version
        self.now = tuple(seat for each in held.values() for seat in each)
        return changed

    def _version(self) -> int:
        if self._table is None:
            self._table = self._lake.find(TABLE)
        else:
            self._table.refresh()
        return -1 if self._table is None else self._table.version

    def _seated(self, model: str, before: tuple[Seat, ...]) -> tuple[Seat, ...]:
        history = self._registry.history(model)
        if not history:
            return before
        held = next(seat for seat in before if seat.role == Role.CHAMPION)
        champion = self._loaded(model, history[-1].champion, Role.CHAMPION, before) or held
        wanted = history[-1].challenger
        challenger = None if wanted is None else self._loaded(model, wanted, Role.CHALLENGER, before)
        return (champion,) if challenger is None else (champion, challenger)

    def _loaded(self, model: str, version: int, role: Role, before: tuple[Seat, ...]) -> Seat | None:
        """That version in that role; None where it cannot be loaded."""
        if version == PRIOR:
            return self._prior(model, self._rates(model))
        for seat in before:
            if seat.version == version:
                return Seat(seat.served, version, role)
        try:
            return Seat(self._load(model, version), version, role)
        except HosuError as error:
            self._again = self._again or error.retryable
            self._tell(model, version, role, error)
            return None

    def _load(self, model: str, version: int) -> Served:
        served = Served.load(self._registry.load(model, version))
        wanted = self._features.version, self._features.features
        if (served.facts.feature_set, served.facts.names) != wanted:
            learned = served.facts.feature_set
            raise ModelDamagedError(f"{model} {version}", f"it learned from {learned}, served is {wanted[0]}")
        if (served.facts.model, (served.facts.interval, served.facts.horizon)) != (model, HORIZONS[model]):
            raise ModelDamagedError(f"{model} {version}", f"its files are those of {served.facts.model}")
        return served

    def _tell(self, model: str, version: int, role: Role, error: HosuError) -> None:
        if (model, version, str(error)) not in self._told:
            self._told.add((model, version, str(error)))
            _log.warning(
                "a model cannot be loaded; whoever serves goes on",
                model=model,
                version=version,
                role=str(role),
                error=str(error),
            )

    def _rates(self, model: str) -> tuple[float, ...]:
        """Base rates for version 0: those of the oldest version that tells them, so that they never change."""
        for version in self._registry.versions(model):
            told = version.card.get("prior")
            if isinstance(told, list) and len(told) == 3:
                return tuple(float(share) for share in told)
        return EVEN

    def _prior(self, model: str, rates: tuple[float, ...]) -> Seat:
        interval, horizon = HORIZONS[model]
        served = Served.of_prior(
            model=model,
            horizon=horizon,
            interval=interval,
            feature_set_version=self._features.version,
            names=self._features.features,
            prior=rates,
        )
        return Seat(served, PRIOR, Role.CHAMPION)
