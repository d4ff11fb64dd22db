"""Whoever serves has its dataset kept: made again from its card where training did not keep it, or it serves not."""

import datetime as dt
import json
from pathlib import Path

import pyarrow as pa
import pytest

from feature_cases import random_closes
from hosu.clock import SimulatedClock
from hosu.errors import DatasetLostError
from hosu.features.dataset import build
from hosu.features.dataset_definition import Definition
from hosu.features.dataset_files import encode, load, save
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.source import KernelSource
from hosu.lake.derived import replace_dates
from hosu.lake.lake import Lake
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us, sessions_between
from hosu.models.registry import PRIOR, Registry

DAYS = [day.isoformat() for day in sessions_between(dt.date(2025, 9, 1), dt.date(2026, 1, 10))][:70]
SYMBOLS = ("000660", "005930", "035720")
CLOSES = {symbol: random_closes(at, len(DAYS), start=50_000) for at, symbol in enumerate(SYMBOLS)}
MODEL = "day-1"


def put(lake, days, extra=0):
    """Bars without a range; ``extra`` won on every close."""
    schema = TABLES["processed_ohlcv"].file_schema
    by_day = {}
    for day in days:
        close = [CLOSES[symbol][DAYS.index(day)] + extra for symbol in SYMBOLS]
        same = {
            "scope": "KRX", "session_set": "regular", "volume": 100 + DAYS.index(day), "value": 1e10,
            "data_points": 3, "source": "trades", "revision": 1,
            "ts": dt.datetime.fromtimestamp(instant_us(dt.date.fromisoformat(day), 0) / 1e6, dt.UTC),
        }  # fmt: skip
        columns = {"symbol": SYMBOLS, **dict.fromkeys(("open", "high", "low", "close", "vwap"), close)}
        columns |= {name: [value] * len(SYMBOLS) for name, value in same.items()}
        by_day[day] = pa.table({each.name: pa.array(columns[each.name], each.type) for each in schema}, schema=schema)
    replace_dates(lake, "processed_ohlcv", by_day.items())


@pytest.fixture
def lake(tmp_path) -> Lake:
    made = Lake.open(str(tmp_path / "lake"))
    put(made, DAYS[:65])
    return made


@pytest.fixture
def registry(lake) -> Registry:
    return Registry(lake, SimulatedClock())


@pytest.fixture
def dataset(lake):
    return build(lake, KernelSource(SCALE_FREE_V1), Definition(horizon=1, days="all", end=DAYS[64]))


def registered(registry, dataset, verdict="no edge"):
    card = {"dataset": dataset.id, "dataset_facts": json.loads(json.dumps(dataset.facts))}
    return registry.register(MODEL, {"a": b"1"}, card, verdict)


def test_a_version_promoted_past_its_gate_has_its_dataset_made_again_and_kept(lake, registry, dataset):
    version = registered(registry, dataset)
    assert lake.storage.head(f"ml/datasets/{dataset.id}/dataset.json") is None
    put(lake, DAYS[65:66])  # what comes later changes nothing
    registry.promote(MODEL, version, "I want it", override=True)
    assert registry.champion(MODEL) == version
    assert encode(load(lake, dataset.id)) == encode(dataset)


def test_what_is_kept_already_is_enough_whatever_became_of_the_tables(lake, registry, dataset):
    version = registered(registry, dataset)
    save(lake, dataset)
    for file in Path(lake.root, "processed", "ohlcv").rglob("*.parquet"):
        file.unlink()
    registry.promote(MODEL, version, "I want it", override=True)
    assert registry.champion(MODEL) == version


def test_one_whose_dataset_cannot_be_made_again_does_not_serve_and_says_why(lake, registry, dataset):
    version = registered(registry, dataset)
    table = lake.table("processed_ohlcv")
    old = table.files(DAYS[64])
    put(lake, DAYS[64:65], extra=50)
    for file in old:  # what the clean-up of old versions does
        lake.storage.delete(table.path(file))
    with pytest.raises(DatasetLostError, match=r"version 1 of day-1 is not promoted: .* has been removed") as told:
        registry.promote(MODEL, version, "I want it", override=True)
    assert "train it again" in str(told.value)
    assert registry.champion(MODEL) == PRIOR
    assert lake.storage.head(f"ml/datasets/{dataset.id}/dataset.json") is None


def test_one_whose_kept_dataset_is_damaged_does_not_serve(lake, registry, dataset):
    version = registered(registry, dataset, "edge")
    save(lake, dataset)
    lake.storage.put(f"ml/datasets/{dataset.id}/rows.parquet", b"other")
    with pytest.raises(DatasetLostError, match="its SHA-256 is"):
        registry.promote(MODEL, version, "gate passed")
    assert registry.champion(MODEL) == PRIOR


def test_formulas_that_are_others_now_make_another_dataset(lake, registry, dataset, monkeypatch):
    version = registered(registry, dataset)
    monkeypatch.setattr("hosu.features.source.kernel.VERSION", 99)
    with pytest.raises(DatasetLostError, match="comes out as another one"):
        registry.promote(MODEL, version, "I want it", override=True)


JUNK = {
    "no features": {"definition": {}},
    "no definition": {},
    "a list": [1],
    "a text": "abc",
    "features of a list": {"definition": {"features": [1]}},
}


@pytest.mark.parametrize("what", JUNK)
def test_a_card_that_does_not_say_of_what_it_was_made_has_lost_its_dataset(registry, what):
    version = registry.register(MODEL, {"a": b"1"}, {"dataset": "ab" * 16, "dataset_facts": JUNK[what]}, "edge")
    with pytest.raises(DatasetLostError, match="its card does not say of what it was made"):
        registry.promote(MODEL, version, "better")
    assert registry.champion(MODEL) == PRIOR
