"""What a minute's model was asked about: the features that were served, not those that are built later."""

import numpy as np
import pyarrow as pa
import pytest

from hosu.clock import SimulatedClock
from hosu.features.definitions import FEATURE_SETS, FeatureSet
from hosu.features.served import Closed
from hosu.features.store import LakeFeatureStore
from hosu.lake.derived import replace_dates
from hosu.lake.lake import Lake
from hosu.lake.sql import SqlConfig
from hosu.lake.tables import TABLES
from hosu.models.asked_about import AskedAbout
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.live_drift import drift_of
from hosu.models.registry import Registry
from hosu.models.seats import Seats
from hosu.models.serve_facts import SERVE, read_facts
from model_cases import NAMES, SET, packed

pytest.importorskip("onnxruntime")
pytest.importorskip("river")

MINUTE = 60_000_000
NINE = 1_767_312_000_000_000  # 2026-01-02 09:00 in Seoul
DAY = "2026-01-02"
MODEL = "minute-10"
SYMBOLS = ("000660", "005930")
LETTERS = FeatureSet("letters_v1", NAMES, 1, "none", "tests", lambda outputs, close: outputs[:, :3] + close[:, None])


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    monkeypatch.setattr("hosu.features.definitions.kernel.VERSION", 1)
    monkeypatch.setitem(FEATURE_SETS, "letters_v1", LETTERS)
    assert LETTERS.version == SET


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    registry = Registry(made, SimulatedClock())
    registry.register(MODEL, packed(), {}, "edge")
    registry.promote(MODEL, 1, "better")
    return made


def close_of(minute, level, wal_id="log"):
    """A close of both symbols whose indicators are all of that level, and 1 more for the second symbol; at 2 won."""
    return Closed(
        wal_id=wal_id,
        lsn=minute,
        date=DAY,
        began="new",
        again=False,
        names=SYMBOLS,
        code=np.arange(2),
        ts=np.full(2, NINE + minute * MINUTE),
        close=np.full(2, 200),
        volume=np.ones(2, np.int64),
        traded=np.ones(2, bool),
        polled=np.zeros(2, bool),
        outputs=np.full((2, 13), float(level)) + np.arange(2)[:, None],
    )


def predicted(lake, close, made_us=NINE + 500 * MINUTE):
    clock = SimulatedClock(start_us=made_us)
    seats = Seats(lake, Registry(lake, clock), (MODEL,), LETTERS)
    seats.refresh()
    Live(seats, LiveJournal(lake), LETTERS, clock=clock).take(close)


def served(lake, *closes):
    for close in closes:
        LakeFeatureStore(lake).add([close], close.wal_id, close.lsn)


def built(lake, minutes, level):
    """Rows of both symbols in ``ml_features_1m``, all features of that level."""
    keys = [(symbol, minute) for symbol in SYMBOLS for minute in minutes]
    told = {
        "symbol": [symbol for symbol, _ in keys],
        "scope": ["KRX"] * len(keys),
        "session_set": ["regular"] * len(keys),
        "ts": pa.array([NINE + minute * MINUTE for _, minute in keys], pa.timestamp("us", "UTC")),
        "feature_set": [SET] * len(keys),
        "features": [[float(level)] * 3] * len(keys),
        "revision": [1] * len(keys),
    }
    schema = TABLES["ml_features_1m"].file_schema
    columns = {each.name: pa.array(told.get(each.name, [None] * len(keys)), each.type) for each in schema}
    replace_dates(lake, "ml_features_1m", {DAY: pa.table(columns, schema=schema)}.items())


def asked_about(lake):
    facts = read_facts(packed()[SERVE])
    return AskedAbout(lake, MODEL, 1, facts, SqlConfig()).of(DAY)[:, 0].tolist()


def test_what_was_served_counts_and_what_was_built_only_where_nothing_was(lake):
    predicted(lake, close_of(1, 10))
    predicted(lake, close_of(2, 20))
    served(lake, close_of(1, 10), close_of(3, 30))  # of minute 2 nothing: killed before the commit
    built(lake, (1, 2, 3), -5)
    assert asked_about(lake) == [12.0, 13.0, -5.0, -5.0]


def test_without_built_features_there_are_those_that_were_served(lake):
    predicted(lake, close_of(1, 10))
    assert asked_about(lake) == []
    served(lake, close_of(1, 10))
    assert asked_about(lake) == [12.0, 13.0]


def test_of_two_logs_the_one_counts_whose_prediction_was_made_first(lake):
    early, late = close_of(1, 10, "zog"), close_of(1, 70, "alog")
    predicted(lake, late, NINE + 600 * MINUTE)
    predicted(lake, early, NINE + 500 * MINUTE)
    served(lake, early, late)
    assert asked_about(lake) == [12.0, 13.0]


def test_by_other_formulas_nothing_is_made_of_what_was_served(lake, monkeypatch):
    predicted(lake, close_of(1, 10))
    served(lake, close_of(1, 10))
    built(lake, (1,), -5)
    monkeypatch.setattr("hosu.features.definitions.kernel.VERSION", 2)
    assert asked_about(lake) == [-5.0, -5.0]


def test_drift_is_told_of_what_was_served(lake):
    """Built, the features lie as in training; served, they lay far outside of it."""
    for minute in range(1, 4):
        predicted(lake, close_of(minute, 1_000))
        served(lake, close_of(minute, 1_000))
    built(lake, range(1, 4), 0)
    (found,) = drift_of(lake, Registry(lake, SimulatedClock()), [MODEL])
    assert [(each.word, each.days[0][1].outside) for each in found.features] == [("moved", 1.0)] * 3
