"""A trained model as files: two of ONNX, and ``serve.json`` beside them.

The files are compared with the model on a sample of rows whenever one is packed, so that what is served is what the
gate has judged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import ModelDamagedError
from hosu.models import onnx
from hosu.models.baselines import BaseRates, LastPrice
from hosu.models.linear import CLIP, Logistic, Ridge
from hosu.models.serve_facts import FORMAT, SERVE, TENTHS, Facts, written
from hosu.models.served import DIRECTION, PRICE, Served
from hosu.models.tree_nodes import of_booster, of_forest
from hosu.models.trees import ForestDirection, ForestPrice

if TYPE_CHECKING:
    from hosu.features.panel import Floats
    from hosu.models.estimators import Configuration, DirectionModel, PriceModel
    from hosu.models.tree_nodes import Nodes
    from hosu.models.walk import Learned

EQUAL: Final = 1e-5
"""What an ONNX file may differ by from the model it was made of, in any probability and any return."""


def pack(
    learned: Learned,
    configuration: Configuration,
    *,
    model: str,
    horizon: int,
    interval: str,
    feature_set_version: str,
    persistence: bool,
    verdict: str,
    calibrated: bool,
    certified_only: bool,
    sample: Floats,
) -> dict[str, bytes]:
    """The files of a model by name.

    Args:
        learned: what is served.
        configuration: what it was made with.
        model: as ``day-1``.
        horizon: sessions or minutes.
        interval: ``day`` or ``minute``.
        feature_set_version: ``FeatureSet.version``.
        persistence: as ``gate.Judgement``.
        verdict: of the gate.
        calibrated: whether it passed G3.
        certified_only: whether it was trained on certified days only.
        sample: (n, k) rows of training, a few thousand or more: the files are compared with the model on them, and
            the tenths of drift are theirs.

    Raises:
        ModelDamagedError: the files do not answer as the model does, or there is no complete row to compare them on.
        NotInstalledError: onnx or onnxruntime is missing.
    """
    complete = sample[np.isfinite(sample).all(axis=1)]
    if not len(complete):
        raise ModelDamagedError(model, "no row of the sample has all features, so its ONNX files cannot be checked")
    width = len(learned.names)
    direction, nodes = _direction(learned.direction, width)
    edges = np.quantile(complete, np.arange(1, TENTHS) / TENTHS, axis=0).T
    facts = Facts(
        format=FORMAT,
        model=model,
        horizon=horizon,
        interval=interval,
        feature_set=feature_set_version,
        names=learned.names,
        kind=configuration.kind.value,
        params=dict(configuration.params),
        seed=configuration.seed,
        verdict=verdict,
        persistence=persistence,
        certified_only=certified_only,
        prior=_told(learned.prior),
        mix=learned.mix,
        price_mix=learned.price_mix,
        low=_told(learned.low),
        high=_told(learned.high),
        tenths=tuple(_told(each) for each in edges),
        trees=nodes.trees if nodes else 0,
        depth=nodes.depth if nodes else 0,
        calibrated=calibrated,
    )
    files = {DIRECTION: direction, PRICE: _price(learned.price, width), SERVE: written(facts)}
    check_equal(learned, Served.load(files), sample, complete)
    return files


def _told(values: Floats) -> tuple[float, ...]:
    return tuple(values.tolist())


def _direction(model: DirectionModel, width: int) -> tuple[bytes, Nodes | None]:
    if isinstance(model, BaseRates):
        return onnx.constant_graph(model.rates, width), None
    if isinstance(model, Logistic):
        return _plane(model, model.coefficients, model.intercepts, softmax=True), None
    if isinstance(model, ForestDirection):
        nodes = of_forest(model.model, (model.model.classes_.astype(int) + 1).tolist(), 3)
        return onnx.tree_graph(nodes, width, softmax=False), nodes
    nodes = of_booster(model.booster, 3)  # type: ignore[attr-defined]  # all others are LightGBM's
    return onnx.tree_graph(nodes, width, softmax=True), nodes


def _price(model: PriceModel, width: int) -> bytes:
    if isinstance(model, LastPrice):
        return onnx.constant_graph(np.zeros(1), width)
    if isinstance(model, Ridge):
        return _plane(model, model.coefficients[None, :], np.array([model.intercept]), softmax=False)
    if isinstance(model, ForestPrice):
        return onnx.tree_graph(of_forest(model.model, [0], 1), width, softmax=False)
    return onnx.tree_graph(of_booster(model.booster, 1), width, softmax=False)  # type: ignore[attr-defined]


def _plane(model: Logistic | Ridge, coefficients: Floats, intercepts: Floats, *, softmax: bool) -> bytes:
    scaler = model.scaler
    return onnx.plane_graph(
        mean=scaler.mean,
        deviation=scaler.deviation,
        clip=CLIP,
        coefficients=coefficients,
        intercepts=intercepts,
        softmax=softmax,
    )


def check_equal(learned: Learned, served: Served, sample: Floats, complete: Floats) -> None:
    """Refuses files that do not answer as the model they were made of.

    Args:
        learned: the model.
        served: its files.
        sample: (n, k) rows on which the whole answers are compared, abstentions included.
        complete: (m, k) rows on which both models are compared bare, before the prior is mixed in: a mix of nearly 0
            would hide any difference.

    Raises:
        ModelDamagedError: they differ by more than ``EQUAL``.
    """
    said, answered = learned.predict(sample), served.predict(sample)
    gaps = {
        "direction": np.abs(learned.direction.probabilities(complete) - served.direction(complete)),
        "price": np.abs(learned.price.expected(complete) - served.price(complete)),
        "probabilities": np.abs(said.probabilities - answered.probabilities),
        "expected": np.abs(said.expected - answered.expected),
    }
    for name, gap in gaps.items():
        worst = float(gap.max(initial=0.0))
        if not worst <= EQUAL:
            raise ModelDamagedError(served.facts.model, f"ONNX and the trained model differ by {worst:.2g} in {name}")
    if not np.array_equal(said.abstained, answered.abstained):
        raise ModelDamagedError(served.facts.model, "ONNX and the trained model abstain from other rows")
