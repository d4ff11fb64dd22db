"""From a made-up history to scaled features, by the commands one would type."""

from pathlib import Path

import pytest
from program import Here, hosu, rows_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a lake of 90 made-up sessions of five symbols, and their features."""
    folder = tmp_path_factory.mktemp("history")
    file = ("--file", "h.parquet", "--any-code", "--adjusted", "--name", "synthetic", "--no-bars")
    size = ("--sessions", 90, "--symbols", 5)
    for words in (("synthetic", "h.parquet", *size), ("backfill", "daily", *file, "--lake", "lake")):
        ran = hosu(folder, *words)
        assert ran.code == 0, ran
    return folder


def test_without_features_there_is_nothing_to_scale(here: Here, history: Path):
    ran = here(history, "features", "scale", "--until", "2026-12-30", "--lake", "lake")

    assert ran.code == 1, ran
    assert "has 0 rows with all features" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("words", [("--until", "banana"), ()])
def test_it_wants_a_date(here: Here, history: Path, words: tuple[str, ...]):
    assert here(history, "features", "scale", *words, "--lake", "lake").code == 2


def test_dates_behind_the_last_one_are_scaled(history: Path):
    lake, at = history / "lake", ("--lake", "lake", "--format", "json")
    built = hosu(history, "features", "build", *at)
    assert built.code == 0, built
    dates = [row["date"] for row in rows_of(lake, "SELECT DISTINCT date FROM ml_features ORDER BY date")]
    until = dates[79]

    scaled = hosu(history, "features", "scale", "--set", "scale_free_v1", "--until", until, *at)

    assert scaled.code == 0, scaled
    assert scaled.err.startswith("scale_free_v1/1/day/1: 155 rows from ")  # 31 days from the fiftieth on
    assert [row["feature"] for row in scaled.json()][:2] == ["close_to_ma_20", "close_to_ma_50"]
    again = hosu(history, "features", "build", *at).json()[0]
    assert (again["first"], again["dates"]) == (dates[80], 10)
    told = rows_of(
        lake,
        "SELECT scaler, min(date) AS first, count(scaled_features) AS n FROM ml_features"
        " WHERE feature_set = 'scale_free_v1/1' GROUP BY scaler ORDER BY first",
    )
    assert told == [
        {"scaler": None, "first": dates[0], "n": 0},
        {"scaler": "scale_free_v1/1/day/1", "first": dates[80], "n": 50},
    ]
    kept = rows_of(lake, "SELECT date, scaler, rows FROM scalers")
    assert kept == [{"date": until, "scaler": "scale_free_v1/1/day/1", "rows": 155}]
    proof = hosu(history, "check", "lookahead", "--cuts", 2, *at)
    assert proof.code == 0, proof
