"""Models answer while the program collects, and what they were given is what batch makes."""

from pathlib import Path

import numpy as np
import pytest
from program import Collector, hosu, rows_of, simulator

from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.replayed import served
from hosu.lake.lake import Lake
from hosu.models.predictor import feature_hash

DAY = "2026-09-15"
SYMBOLS = "005930,000660,035420"


@pytest.mark.slow
def test_at_each_close_the_prior_answers_once_for_every_symbol_and_says_no_edge(tmp_path: Path):
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 20_000, "--rate", 2_000)
    options = ("--symbols", SYMBOLS, "--feeds", "trades", "--lake", tmp_path / "lake", "--predict")
    with simulator(tmp_path, *market, "--expect", 3, "--token-interval", 0) as broker:
        running = Collector(tmp_path, "collector", broker, *options)
        try:
            ended = running.finish()
        finally:
            running.kill()
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err
    lake = Lake.open(str(tmp_path / "lake"), create=False)
    (wal_id,) = {row["wal_id"] for row in rows_of(tmp_path / "lake", "SELECT wal_id FROM features_served_1m LIMIT 1")}
    bars = served(lake, DAY, wal_id)
    made = rows_of(tmp_path / "lake", "SELECT * FROM predictions ORDER BY model, symbol, ts")
    assert len(made) == 2 * len(bars)
    assert {(row["model"], row["model_version"], row["role"], row["verdict"]) for row in made} == {
        ("minute-10", 0, "champion", "no edge"),
        ("minute-30", 0, "champion", "no edge"),
    }
    answered = [row for row in made if row["abstained"] is None]
    assert len(answered) > 100
    assert all(row["predicted_price"] == row["price"] and row["persistence"] for row in answered)
    features = SCALE_FREE_V1.make(bars.outputs, bars.close / 100.0)
    whole = int((~np.isnan(features).any(axis=1)).sum())
    assert len(made) // 2 - whole == sum(row["feature_hash"] is None for row in made) // 2
    given_is_what_batch_makes(tmp_path, whole)


def given_is_what_batch_makes(folder: Path, whole: int):
    """The bits that each model was given are those of the features that are built from the lake afterwards."""
    built = hosu(folder, "features", "build", "--interval", "minute", "--lake", "lake")
    assert built.code == 0, built
    told = rows_of(
        folder / "lake",
        "SELECT p.model, p.feature_hash, f.features FROM predictions p JOIN ml_features_1m f USING (symbol, scope, ts)"
        f" WHERE f.feature_set = '{SCALE_FREE_V1.version}' AND p.feature_hash IS NOT NULL",
    )
    assert len(told) == 2 * whole > 200
    width = len(SCALE_FREE_V1.features)
    features = np.array([row["features"] for row in told], np.float64).reshape(-1, width)
    assert feature_hash(features) == [row["feature_hash"] for row in told]
