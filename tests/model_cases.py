"""Rows to learn from, models learned from them, and their files, for tests of serving."""

from functools import cache

import numpy as np

from hosu.models.baselines import base_rates
from hosu.models.bundle import pack
from hosu.models.estimators import Configuration, Kind
from hosu.models.walk import Learned

NAMES = ("a", "b", "c")
SET = "letters_v1/1"


def rows(seed=0, count=3_000, classes=3):
    """Features, labels and returns in which the first feature tells a little of the direction."""
    chance = np.random.default_rng(seed)
    features = chance.normal(size=(count, len(NAMES)))
    ret = 0.01 * (features[:, 0] * (features[:, 1] > 0) + chance.normal(size=count))
    label = (ret > 0.005).astype(np.int8) - ((ret < -0.005).astype(np.int8) if classes == 3 else 0)
    return features, label.astype(np.int8), ret


@cache
def learned(kind, classes=3, **params):
    """A model of that kind, small, with a mix of 0.75 and 0.5."""
    features, label, ret = rows(classes=classes)
    weight = np.ones(len(ret))
    configuration = Configuration(Kind(kind), params)
    low, high = np.quantile(features, [0.001, 0.999], axis=0)
    direction = configuration.direction().fit(features, label, weight, 0)
    price = configuration.price().fit(features, ret, weight, 0)
    return Learned(NAMES, direction, price, base_rates(label, weight), 0.75, 0.5, low, high)


def packed(kind="linear", model="minute-10", horizon=10, interval="minute", *, params=None, **changes):
    """The files of such a model."""
    told = {
        "feature_set_version": SET,
        "persistence": False,
        "verdict": "edge",
        "calibrated": True,
        "certified_only": False,
        "sample": rows(seed=1)[0],
        **changes,
    }
    given = params or {}
    return pack(
        learned(kind, **given),
        Configuration(Kind(kind), given),
        model=model,
        horizon=horizon,
        interval=interval,
        **told,
    )
