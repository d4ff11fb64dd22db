"""Logistic and ridge regression on standardized features. One of two doors to scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

import numpy as np

from hosu.models.extra import extra

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.panel import Floats

    Labels = npt.NDArray[np.int8]

CLIP: Final = 5.0
"""Standard deviations a feature may lie from its mean: one stock that rose tenfold is not to turn the whole plane."""


@dataclass(frozen=True, slots=True)
class Scaler:
    """Mean and deviation of each feature in training; a constant feature has deviation 1, so it scales to 0."""

    mean: Floats
    deviation: Floats

    @classmethod
    def fitted(cls, features: Floats) -> Self:
        """Of these rows and no others: what lies later is not known yet."""
        deviation = features.std(axis=0)
        return cls(features.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def scaled(self, features: Floats) -> Floats:
        """(n, k) in standard deviations from the mean, at most ``CLIP`` of them."""
        return np.clip((features - self.mean) / self.deviation, -CLIP, CLIP)


class Logistic:
    """Logistic regression of the three classes."""

    def __init__(self, inverse_penalty: float = 1.0) -> None:
        self.inverse_penalty = inverse_penalty
        self.scaler = Scaler(np.zeros(0), np.ones(0))
        self.coefficients: Floats = np.zeros((3, 0))
        self.intercepts: Floats = np.zeros(3)

    def fit(self, features: Floats, label: Labels, weight: Floats, seed: int) -> Self:
        """Fits scaler and plane; a class that never happened gets probability 0.

        Raises:
            NotInstalledError: scikit-learn is missing.
        """
        del seed  # nothing is drawn
        with extra():
            from sklearn.linear_model import LogisticRegression

        self.scaler = Scaler.fitted(features)
        model = LogisticRegression(C=self.inverse_penalty, max_iter=200)
        model.fit(self.scaler.scaled(features), label, sample_weight=weight)
        self._take(model.classes_, model.coef_, model.intercept_)
        return self

    def _take(self, classes: Labels, coefficients: Floats, intercepts: Floats) -> None:
        # Two classes come as one plane, which is the difference of the two there would be.
        if len(classes) == 2:
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.array([0.0, intercepts[0]])
        self.coefficients = np.zeros((3, coefficients.shape[1]))
        self.intercepts = np.full(3, -1e9)  # exp of it is 0
        self.coefficients[classes + 1] = coefficients
        self.intercepts[classes + 1] = intercepts

    def probabilities(self, features: Floats) -> Floats:
        """(n, 3) softmax of the three planes."""
        logits = self.scaler.scaled(features) @ self.coefficients.T + self.intercepts
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    def importance(self) -> Floats:
        """(k,) share of each feature's part in the plane that tells up from down."""
        return shares(np.abs(self.coefficients[2] - self.coefficients[0]))


class Ridge:
    """Least squares with a penalty on the coefficients, in closed form."""

    def __init__(self, penalty: float = 1e-3) -> None:
        self.penalty = penalty
        self.scaler = Scaler(np.zeros(0), np.ones(0))
        self.coefficients: Floats = np.zeros(0)
        self.intercept = 0.0

    def fit(self, features: Floats, ret: Floats, weight: Floats, seed: int) -> Self:
        """Fits scaler and plane."""
        del seed
        self.scaler = Scaler.fitted(features)
        x = self.scaler.scaled(features)
        mass = weight / weight.sum()
        middle, mean = mass @ x, float(mass @ ret)
        centred = x - middle
        weighted = centred * mass[:, None]
        inner = weighted.T @ centred + self.penalty * np.eye(x.shape[1])
        self.coefficients = np.linalg.solve(inner, weighted.T @ (ret - mean))
        self.intercept = mean - float(middle @ self.coefficients)
        return self

    def expected(self, features: Floats) -> Floats:
        """(n,) the plane's height."""
        return np.asarray(self.scaler.scaled(features) @ self.coefficients + self.intercept)

    def importance(self) -> Floats:
        """(k,) share of each feature's coefficient."""
        return shares(np.abs(self.coefficients))


def shares(parts: Floats) -> Floats:
    """(k,) divided by their sum; zeros stay zeros."""
    total = parts.sum()
    return parts / total if total > 0 else np.zeros(len(parts))
