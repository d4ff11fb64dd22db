"""A model that answers out of its files, as ``walk.Learned`` did when the gate judged it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from hosu.errors import FeatureSetError, ModelDamagedError
from hosu.models import onnx
from hosu.models.run_facts import checks_of
from hosu.models.serve_facts import FORMAT, PRIOR_KIND, SERVE, Facts, read_facts
from hosu.models.walk import Prediction

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.features.panel import Floats

DIRECTION, PRICE = "direction.onnx", "price.onnx"
EVEN: Final = (1 / 3, 1 / 3, 1 / 3)
"""Base rates where nothing was ever counted."""


def is_calibrated(facts: Facts, files: Mapping[str, bytes]) -> bool:
    """Whether a version passed G3. Of files that were kept before their facts said so, as their report has it; of
    those without a report, as far as the verdict tells."""
    if facts.calibrated is not None:
        return facts.calibrated
    told = [each["passed"] for each in checks_of(files) if str(each["name"]).startswith("G3 ")]
    return bool(told[0]) if told else facts.verdict != "uncalibrated"


class Served:
    """A model that answers out of its files. For one thread at a time."""

    def __init__(self, facts: Facts, direction: onnx.Session | None, price: onnx.Session | None) -> None:
        self.facts, self._direction, self._price = facts, direction, price
        self._prior = np.array(facts.prior)
        self._rest = (1 - facts.mix) * self._prior
        self._low, self._high = np.array(facts.low), np.array(facts.high)

    @classmethod
    def load(cls, files: Mapping[str, bytes]) -> Self:
        """From the files of a version.

        Raises:
            ModelDamagedError: one is missing, cut off, or does not belong to the others.
            NotInstalledError: onnxruntime is missing.
        """
        missing = [name for name in (SERVE, DIRECTION, PRICE) if name not in files]
        if missing:
            raise ModelDamagedError(missing[0], "is missing")
        facts = read_facts(files[SERVE])
        facts = replace(facts, calibrated=is_calibrated(facts, files))
        width = len(facts.names)
        direction = onnx.Session(files[DIRECTION], DIRECTION, width=width, outputs=3)
        served = cls(facts, direction, onnx.Session(files[PRICE], PRICE, width=width, outputs=1))
        served.predict(np.array([facts.low]))  # a file that loads and cannot run is found here, not at a bar's close
        return served

    @classmethod
    def of_prior(
        cls,
        *,
        model: str,
        horizon: int,
        interval: str,
        feature_set_version: str,
        names: tuple[str, ...],
        prior: tuple[float, ...] = EVEN,
    ) -> Self:
        """Version 0: base rates and last price. It needs no file and no library, looks at no feature, and so abstains
        for none."""
        facts = Facts(
            format=FORMAT,
            model=model,
            horizon=horizon,
            interval=interval,
            feature_set=feature_set_version,
            names=names,
            kind=PRIOR_KIND,
            params={},
            seed=0,
            verdict="no edge",
            persistence=True,
            certified_only=False,
            prior=prior,
            mix=0.0,
            price_mix=0.0,
            low=(-math.inf,) * len(names),
            high=(math.inf,) * len(names),
            tenths=(),
            trees=0,
            depth=0,
            calibrated=True,
        )
        return cls(facts, None, None)

    def direction(self, features: Floats) -> Floats:
        """(n, 3) of the bare direction model; the features are complete."""
        return np.tile(self._prior, (len(features), 1)) if self._direction is None else self._direction.run(features)

    def price(self, features: Floats) -> Floats:
        """(n,) of the bare price model; the features are complete."""
        return np.zeros(len(features)) if self._price is None else self._price.run(features)[:, 0]

    def predict(self, features: Floats, names: tuple[str, ...] | None = None) -> Prediction:
        """What is said of rows of features (n, k), as ``walk.Learned.predict``.

        Raises:
            FeatureSetError: ``names`` are not those it learned from.
            ModelDamagedError: the files fail where they run.
        """
        if names is not None and names != self.facts.names:
            raise FeatureSetError(self.facts.names, names)
        count = len(features)
        if self._direction is None or not count:
            return Prediction(np.tile(self._prior, (count, 1)), np.zeros(count), np.zeros(count, bool))
        within = (features >= self._low) & (features <= self._high)  # of NaN neither holds
        if within.all():  # nearly always, where one symbol is asked about
            return Prediction(*self._answers(features), np.zeros(count, bool))
        answered = np.asarray(within.all(axis=1))
        probabilities, expected = np.tile(self._prior, (count, 1)), np.zeros(count)
        if answered.any():
            probabilities[answered], expected[answered] = self._answers(features[answered])
        return Prediction(probabilities, expected, ~answered)

    def _answers(self, features: Floats) -> tuple[Floats, Floats]:
        mixed = self.facts.mix * self.direction(features) + self._rest
        return mixed, self.facts.price_mix * self.price(features)
