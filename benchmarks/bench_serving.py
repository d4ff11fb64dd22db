"""How long does a prediction take, for one symbol and for 2,700, beside the library's own predict?

Models of each kind with their default parameters, learned from 60,000 made-up rows of eight features, packed as they
are registered and loaded as they are served: direction and price, the mix with the prior and the range of training.
The peer is the trained model itself in the same run, asked the same. Rounds alternate; each counts its best. Trees
and depth are the direction's; the price model has a third of LightGBM's trees, and as many of scikit-learn's.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from hosu.models.baselines import base_rates
from hosu.models.bundle import pack
from hosu.models.estimators import Configuration, Kind
from hosu.models.predictor import BarFacts, Role, Seat, predict
from hosu.models.served import Served
from hosu.models.walk import Learned

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS, SYMBOLS = 60_000, 2_700
NAMES = tuple("abcdefgh")
KINDS = (Kind.GBDT, Kind.RF, Kind.FOREST, Kind.LINEAR)


def made_up(count: int, seed: int, width: int = len(NAMES)) -> tuple[np.ndarray, np.ndarray]:
    """Features, and returns they tell a little of."""
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(count, width))
    return features, 0.003 * features[:, 0] * features[:, 1] + chance.normal(0, 0.02, count)


def trained(kind: Kind, names: tuple[str, ...] = NAMES) -> tuple[Learned, Configuration]:
    """A model of that kind, of so many features."""
    features, ret = made_up(ROWS, 0, len(names))
    label = ((ret > 0.01).astype(np.int8) - (ret < -0.01).astype(np.int8)).astype(np.int8)
    weight, configuration = np.ones(ROWS), Configuration(kind)
    low, high = np.quantile(features, [0.001, 0.999], axis=0)
    direction = configuration.direction().fit(features, label, weight, 0)
    price = configuration.price().fit(features, ret, weight, 0)
    return Learned(names, direction, price, base_rates(label, weight), 0.6, 0.4, low, high), configuration


def best(rounds: int, *calls: Callable[[], Any]) -> list[tuple[float, float]]:
    """Best and median seconds of each call, in alternating rounds."""
    taken: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(rounds):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
    return [(min(times), float(np.median(times))) for times in taken]


def rows_of(served: Served, features: np.ndarray) -> Callable[[], Any]:
    """The whole prediction of a close: rows of the table, with reasons and hashes."""
    count = len(features)
    bars = BarFacts(
        date="2026-01-02",
        symbol=np.array([f"{at:06}" for at in range(count)], object),
        ts=np.zeros(count, np.int64),
        decided_at=np.zeros(count, np.int64),
        price=np.full(count, 1e4),
        source=np.full(count, "trades", object),
        stale=np.full(count, None, object),
        gapped=np.full(count, None, object),
        uncertified=np.full(count, None, object),
    )
    seat = Seat(served, 1, Role.CHAMPION)
    return lambda: predict(seat, bars, features, feature_set="bench/1", names=NAMES, made_at=lambda: 0)


def run() -> list[dict[str, Any]]:
    """See the head of this page."""
    out = []
    for kind in KINDS:
        learned, configuration = trained(kind)
        served = Served.load(packed(learned, configuration, "minute-10", 10, "bench/1"))
        out += _figures(kind, learned, served)
    return out


def packed(
    learned: Learned, configuration: Configuration, model: str, horizon: int, feature_set: str
) -> dict[str, bytes]:
    """Its files, as they are registered."""
    return pack(
        learned,
        configuration,
        model=model,
        horizon=horizon,
        interval="minute",
        feature_set_version=feature_set,
        persistence=False,
        verdict="edge",
        calibrated=True,
        certified_only=False,
        sample=made_up(5_000, 1, len(learned.names))[0],
    )


def _figures(kind: Kind, learned: Learned, served: Served) -> list[dict[str, Any]]:
    # Within training's range, so that no row is spared by an abstention.
    features = np.clip(made_up(SYMBOLS, 2)[0], learned.low, learned.high)
    one, form = features[:1], f"{kind}: {served.facts.trees} trees of depth {served.facts.depth}"
    single = best(200, lambda: served.predict(one), lambda: learned.predict(one))
    every = best(15, lambda: served.predict(features), lambda: learned.predict(features), rows_of(served, features))
    return [
        _row(f"one prediction, p50 ({form})", "µs", 1e6, single[0][1], single[1][1]),
        _row(f"{SYMBOLS:,} predictions ({form})", "ms", 1e3, every[0][0], every[1][0]),
        _row(f"{SYMBOLS:,} rows for the journal ({form})", "ms", 1e3, every[2][0], every[1][0]),
    ]


def _row(name: str, unit: str, scale: float, ours: float, peer: float) -> dict[str, Any]:
    return {
        "name": name,
        "value": round(ours * scale, 2),
        "unit": unit,
        "peer": "the trained model's own predict",
        "peer_value": round(peer * scale, 2),
        "ratio": round(peer / ours, 2),
    }
