"""How much of a model to believe: its mix with the prior, fitted on sessions it has not learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from hosu.features.panel import Floats
    from hosu.models.scores import Numbers


_NOTHING: Final = 1e-12
"""A mean square so small is the rounding of equal numbers."""


def by_session(session: Numbers) -> Floats:
    """(n,) weights by which each session weighs the same, adding up to 1, however many rows it has."""
    _, place, count = np.unique(session, return_inverse=True, return_counts=True)
    return np.asarray(1 / (count[place] * len(count)))


def mix_of(said: Floats, prior: Floats, truth: Floats, weight: Floats) -> float:
    """The share a of the model in a x model + (1 - a) x prior that is nearest to what happened, from 0 to 1.

    Args:
        said: (n,) or (n, k), what the model says.
        prior: what is said without it, of a shape that fits.
        truth: what happened; of classes 1 and 0.
        weight: (n,) of each row.

    Least weighted squares, which of probabilities is Brier's score: a closed form, with one maximum and nothing to
    tune. 0 where the model says what the prior says.
    """
    moved, wanted = said - prior, truth - prior
    mass = weight.reshape(-1, *[1] * (moved.ndim - 1))
    size = float((mass * moved * moved).sum())
    return float(np.clip((mass * moved * wanted).sum() / size, 0.0, 1.0)) if size > _NOTHING else 0.0
