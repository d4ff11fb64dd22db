"""Closes of minutes, models that answer them, and what the lake then says."""

import numpy as np

from hosu.features.definitions import FeatureSet
from hosu.features.served import Closed
from hosu.lake.sql import Session
from model_cases import NAMES, packed

MINUTE = 60_000_000
NINE = 1_767_312_000_000_000  # 2026-01-02 09:00 in Seoul
TEN = NINE + 60 * MINUTE  # the year's first session begins an hour late
LETTERS = FeatureSet("letters_v1", NAMES, 1, "none", "tests", lambda outputs, close: outputs[:, :3].copy())
MODELS = ("minute-10", "minute-30")


def closed(minute, lsn=None, count=2, wal_id="log"):
    chance = np.random.default_rng(minute)
    return Closed(
        wal_id=wal_id,
        lsn=100 + minute if lsn is None else lsn,
        date="2026-01-02",
        began="new",
        again=False,
        names=("005930", "000660"),
        code=np.arange(count),
        ts=np.full(count, NINE + minute * MINUTE),
        close=np.full(count, 100_000),
        volume=np.ones(count, np.int64),
        traded=np.ones(count, bool),
        polled=np.arange(count) == 1,
        outputs=chance.normal(0, 0.5, (count, 13)),
    )


def rows(lake, what="model, model_version, role, count(*) AS n", by="GROUP BY ALL ORDER BY ALL"):
    with Session(lake) as session:
        return [tuple(row.values()) for row in session.query(f"SELECT {what} FROM predictions {by}").to_pylist()]


def trained(registry, model="minute-10", horizon=10, verdict="edge", **changes):
    files = packed(model=model, horizon=horizon, verdict=verdict, **changes)
    return registry.register(model, files, {}, verdict)
