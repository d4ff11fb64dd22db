"""Who answers now: champion and challenger of each model, brought up to date with the registry while others serve.

A version that cannot be loaded leaves whoever serves in its place; where nobody does yet, as at a start, the last
champion before it that can be loaded takes it. Either way it says so: something always serves, in the end the prior.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from hosu.errors import HosuError, ModelDamagedError
from hosu.models.history import challenger_of, champion_of, rates_in, served_before
from hosu.models.predictor import Role, Seat
from hosu.models.registry import HORIZONS, PRIOR, TABLE
from hosu.models.served import EVEN, Served

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hosu.features.definitions import FeatureSet
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake
    from hosu.models.history import Event, Rates
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
        counted: base rates of version 0 by model where the history tells none; without any it says thirds.
        tell: told in a sentence, once each, who cannot be seated, why, and who answers instead.
    """

    def __init__(
        self,
        lake: Lake,
        registry: Registry,
        models: Sequence[str],
        features: FeatureSet,
        *,
        counted: Mapping[str, Rates] | None = None,
        tell: Callable[[str], object] = _log.warning,
    ) -> None:
        self._lake, self._registry, self._features, self._say = lake, registry, features, tell
        self._counted = counted or {}
        self._table: Table | None = None
        self._seen = -2  # of no registry the version is -1
        self._again = False
        self._told: set[str] = set()
        self._held: dict[str, tuple[Seat, ...]] = {
            model: (self._prior(model, self._counted.get(model, EVEN)),) for model in models
        }
        self.now: tuple[Seat, ...] = tuple(seat for held in self._held.values() for seat in held)

    def refresh(self) -> bool:
        """Looks whether the registry has changed, and loads who is new; returns whether anybody was seated or left.

        What cannot be loaded is told once and tried again when the registry changes, or the next time where it may
        come right by itself; a registry that cannot be read leaves everybody where they are.
        """
        try:
            version = self._version()
            if version == self._seen:
                return False
            self._again = False
            held = {model: self._seated(model, before) for model, before in self._held.items()}
        except HosuError as error:
            goes_on = any(seat.version != PRIOR for seat in self.now)
            who = "whoever serves goes on" if goes_on else "the prior answers"
            self._missed(error, f"the registry cannot be read; {who}: {error}")
            return False
        changed = held != self._held
        self._held, self._seen = held, -2 if self._again else version
        self.now = tuple(seat for each in held.values() for seat in each)
        return changed

    @property
    def may_come_right(self) -> bool:
        """Whether somebody else than the history says answers for a reason that may be over the next time."""
        return self._again

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
        champion, wanted = self._champion(model, history, before), challenger_of(history)
        if wanted is None or wanted == champion.version:  # who stands in for a champion does not challenge itself
            return (champion,)
        try:
            return champion, self._loaded(model, wanted, Role.CHALLENGER, before)
        except HosuError as error:
            self._missed(error, f"{model}: version {wanted}, the challenger, does not answer: {error}")
            return (champion,)

    def _champion(self, model: str, history: Sequence[Event], before: tuple[Seat, ...]) -> Seat:
        wanted = champion_of(history)
        try:
            return self._loaded(model, wanted, Role.CHAMPION, before)
        except HosuError as error:
            held = next(seat for seat in before if seat.role == Role.CHAMPION)
            seat = self._stand_in(model, history, before) if held.version == PRIOR else held
            who = "the prior" if seat.version == PRIOR else f"version {seat.version}"
            self._missed(error, f"{model}: {who} answers in place of version {wanted}: {error}")
            return seat

    def _stand_in(self, model: str, history: Sequence[Event], before: tuple[Seat, ...]) -> Seat:
        """The last one that served before the champion and can be loaded, in the end the prior."""
        for version in served_before(history):
            if version == PRIOR:
                break
            try:
                return self._loaded(model, version, Role.CHAMPION, before)
            except HosuError as error:
                self._missed(error, f"{model}: version {version} cannot stand in either: {error}")
        return self._loaded(model, PRIOR, Role.CHAMPION, before)

    def _loaded(self, model: str, version: int, role: Role, before: tuple[Seat, ...]) -> Seat:
        """That version in that role."""
        if version == PRIOR:
            return self._prior(model, self._rates(model))
        for seat in before:
            if seat.version == version:
                return Seat(seat.served, version, role)
        return Seat(self._load(model, version), version, role)

    def _load(self, model: str, version: int) -> Served:
        served = Served.load(self._registry.load(model, version))
        wanted = self._features.version, self._features.features
        if (served.facts.feature_set, served.facts.names) != wanted:
            learned = served.facts.feature_set
            raise ModelDamagedError(f"{model} {version}", f"it learned from {learned}, served is {wanted[0]}")
        if (served.facts.model, (served.facts.interval, served.facts.horizon)) != (model, HORIZONS[model]):
            raise ModelDamagedError(f"{model} {version}", f"its files are those of {served.facts.model}")
        return served

    def _missed(self, error: HosuError, sentence: str) -> None:
        self._again = self._again or error.retryable
        self._tell(sentence)

    def _tell(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._say(sentence)

    def _rates(self, model: str) -> Rates:
        return rates_in(self._registry.history(model)) or self._counted.get(model, EVEN)

    def _prior(self, model: str, rates: Rates) -> Seat:
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
