"""``serve.json``: every number of a served model beside its ONNX files; JSON reads a float64 back as it was."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from hosu.errors import ModelDamagedError

SERVE: Final = "serve.json"
FORMAT: Final = 1
TENTHS: Final = 10
PRIOR_KIND: Final = "prior"
"""The kind of version 0, which looks at no feature."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is fixed about a served model; the content of ``serve.json``.

    Attributes:
        format: of this file.
        model: as ``day-1``.
        horizon: sessions or minutes.
        interval: ``day`` or ``minute``.
        feature_set: name and kernel version, as ``scale_free_v1/1``.
        names: of the features, in order.
        kind: as ``gbdt``.
        params, seed: it was made with.
        verdict: of the gate.
        persistence: the price model has no skill, so the predicted price is the last one.
        certified_only: it was trained on certified days only.
        prior: (3,) base rates.
        mix, price_mix: the model's share beside the prior.
        low, high: (k,) the range of each feature within which it answers.
        tenths: (k, 9) the edges between tenths of each feature in training, for drift.
        trees, depth: of the direction's; 0 without trees.
        calibrated: it passed the gate's G3, whatever else it failed; None in files that were kept before this was said.
    """

    format: int
    model: str
    horizon: int
    interval: str
    feature_set: str
    names: tuple[str, ...]
    kind: str
    params: dict[str, float]
    seed: int
    verdict: str
    persistence: bool
    certified_only: bool
    prior: tuple[float, ...]
    mix: float
    price_mix: float
    low: tuple[float, ...]
    high: tuple[float, ...]
    tenths: tuple[tuple[float, ...], ...]
    trees: int
    depth: int
    calibrated: bool | None = None


def written(facts: Facts) -> bytes:
    """The content of the file."""
    return json.dumps(asdict(facts), allow_nan=False, ensure_ascii=False, indent=1).encode()


def read_facts(data: bytes) -> Facts:
    """The content of ``serve.json``.

    Raises:
        ModelDamagedError: it is cut off, of a newer hosu, or holds what cannot be.
    """
    try:
        told = json.loads(data)
        facts = Facts(**{name: _frozen(value) for name, value in told.items()})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ModelDamagedError(SERVE, f"cannot be read: {error}") from error
    fault = _fault(facts)
    if fault:
        raise ModelDamagedError(SERVE, fault)
    return facts


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _fault(facts: Facts) -> str | None:
    """What is wrong with the facts; None for nothing."""
    if facts.format != FORMAT:
        return f"is of format {facts.format}, not {FORMAT}; a newer hosu wrote it"
    try:
        width = len(facts.names)
        numbers = [np.asarray(value, np.float64) for value in (facts.prior, facts.low, facts.high, facts.tenths)]
        shapes = [value.shape for value in numbers]
        shares = np.array([facts.mix, facts.price_mix], np.float64)
    except (ValueError, TypeError) as error:
        return f"holds what is no number: {error}"
    if shapes != [(3,), (width,), (width,), (width, TENTHS - 1)]:
        return f"has numbers of shapes {shapes} for {width} features"
    if not all(np.isfinite(each).all() for each in (*numbers, shares)) or shares.min() < 0 or shares.max() > 1:
        return "holds a number that cannot be"
    return None
