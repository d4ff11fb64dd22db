"""Features served while collecting, through kills, are those of the replayed log and of the bars built afterwards."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from program import Collector, hosu, rows_of, simulator, until

from hosu.features.checkpoint import unpack
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.parity import parity
from hosu.lake.lake import Lake
from hosu.market.features import INDICATORS
from hosu.models.predictor import feature_hash

DAY = "2026-09-15"
SYMBOLS = "005930,000660,035420"


def refused_or_kept_anew(running: Collector, state: Path) -> Callable[[], bool]:
    """Whether the state has been laid down since now, or the collector has said that it will not be."""
    before = state.stat().st_ino
    return lambda: state.stat().st_ino != before or "tried again" in running.err or not running.running


@pytest.mark.slow
def test_killed_while_the_journal_is_damaged_it_predicts_all_that_it_has_not_said_to_be_lost(tmp_path: Path):
    """What a damaged journal refuses is lost, and said so: the collecting goes on, and the state with it. Behind the
    state nothing is missing: a restart closes that again, and predicts it."""
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 40_000, "--rate", 2_000, "--seed", 3)
    options = ("--symbols", SYMBOLS, "--feeds", "trades,quotes", "--no-poll", "--lake", tmp_path / "lake", "--predict")
    state, journal = tmp_path / "lake" / ".hosu" / "features.state", tmp_path / "lake" / "ml" / "predictions"
    with simulator(tmp_path, *market, "--expect", 6, "--away", "hold", "--token-interval", 0) as broker:
        running = Collector(tmp_path, "collector-0", broker, *options)
        try:
            running.until(lambda: state.exists() and journal.exists(), "closes were predicted")
            journal.rename(tmp_path / "away")
            journal.touch()  # a file where the table's folder was: nothing can be written below it
            for _ in range(2):  # the first may be of closes that were predicted before
                until(refused_or_kept_anew(running, state), "the state was laid down, or the journal was refused")
        finally:
            running.kill()
        reached = unpack(state.read_bytes(), state).lsn
        journal.unlink()
        (tmp_path / "away").rename(journal)
        last = Collector(tmp_path, "collector-1", broker, *options)
        try:
            ended = last.finish()
        finally:
            last.kill()
    assert ended.json()["reason"] == "every feed has ended", ended.err
    assert "predictions are lost: the journal refuses them" in running.err
    predicted_once_from_what_was_served(tmp_path / "lake", behind=reached)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_middle_it_serves_the_bits_of_replay_and_batch(tmp_path: Path, seed: int):
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 30_000, "--rate", 3_000, "--seed", seed)
    options = ("--symbols", SYMBOLS, "--feeds", "trades,quotes", "--lake", tmp_path / "lake", "--predict", "--seconds")
    chance = random.Random(seed)
    with simulator(tmp_path, *market, "--expect", 6, "--away", "hold", "--token-interval", 0) as broker:
        reached = 0
        for number in range(2):
            running = Collector(tmp_path, f"collector-{number}", broker, *options)
            try:
                reached = running.kill_at(reached + chance.randrange(3_000, 8_000))
            finally:
                running.kill()
        last = Collector(tmp_path, "collector-2", broker, *options)
        try:
            ended = last.finish()
        finally:
            last.kill()
    assert ended.json()["reason"] == "every feed has ended", ended.err
    assert "Traceback" not in ended.err
    report = parity(Lake.open(str(tmp_path / "lake"), create=False), DAY)
    assert report.passed, report.mismatches
    assert report.repaired == 0, report.repairs
    assert report.symbols == 3
    assert report.rows > 3 * 300
    twice = "SELECT count(*) AS n, count(DISTINCT (symbol, ts)) AS bars FROM features_served_1m"
    assert rows_of(tmp_path / "lake", twice) == [{"n": report.rows, "bars": report.rows}]
    closes = "SELECT count(DISTINCT lsn) AS n FROM features_served_1m"
    assert rows_of(tmp_path / "lake", closes)[0]["n"] > 50
    predicted_once_from_what_was_served(tmp_path / "lake")
    (seconds,) = hosu(tmp_path, "check", "parity", "--interval", "second", "--lake", "lake", "--format", "json").json()
    assert (seconds["passes"], seconds["repaired"], seconds["symbols"]) == (True, 0, 3), seconds
    once = "SELECT count(*) AS n, count(DISTINCT (symbol, ts)) AS keys FROM features_served_1s"
    assert rows_of(tmp_path / "lake", once) == [{"n": seconds["rows"], "keys": seconds["rows"]}]
    assert seconds["rows"] > 3 * 300


def predicted_once_from_what_was_served(lake: Path, behind: int = -1):
    """The journal names the bits of the features that were served, and every bar that was closed behind a record of
    the log, once of each seat."""
    keys = "SELECT count(*) AS n, count(DISTINCT (symbol, ts, model, model_version)) AS keys FROM predictions"
    (count,) = rows_of(lake, keys)
    assert count["n"] == count["keys"] > 2 * 300
    missing = (
        "SELECT model, count(*) AS bars, count(p.lsn) AS predicted FROM features_served_1m f"
        " CROSS JOIN (SELECT DISTINCT model FROM predictions) seats"
        f" LEFT JOIN predictions p USING (symbol, ts, model) WHERE f.lsn > {behind} GROUP BY model"
    )
    for seat in rows_of(lake, missing):
        assert seat["predicted"] == seat["bars"], seat
    closes = f"SELECT count(DISTINCT lsn) AS n FROM {{table}} WHERE lsn > {behind}"
    assert rows_of(lake, closes.format(table="predictions")) == rows_of(lake, closes.format(table="features_served_1m"))
    names = ", ".join(f"f.{name}" for name in INDICATORS)
    told = rows_of(
        lake,
        f"SELECT p.feature_hash, f.close, {names} FROM predictions p JOIN features_served_1m f USING (symbol, ts)"
        " WHERE p.model = 'minute-10' ORDER BY p.symbol, p.ts",
    )
    assert 2 * len(told) == count["n"]
    outputs = np.array([[row[name] for name in INDICATORS] for row in told], float)
    features = SCALE_FREE_V1.make(outputs, np.array([row["close"] for row in told], float))
    assert feature_hash(features) == [row["feature_hash"] for row in told]
    assert sum(row["feature_hash"] is not None for row in told) > 100


@pytest.mark.slow
def test_without_features_none_are_served(tmp_path: Path):
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 2_000, "--speed", "max", "--expect", 3)
    with simulator(tmp_path, *market) as broker:
        options = ("--symbols", SYMBOLS, "--feeds", "trades", "--lake", tmp_path / "lake", "--no-features")
        running = Collector(tmp_path, "collector", broker, *options)
        try:
            ended = running.finish()
        finally:
            running.kill()
    assert ended.code == 0, ended.err
    assert not (tmp_path / "lake" / "ml").exists()


@pytest.mark.slow
def test_books_and_trades_of_a_simulated_day_become_features_of_seconds(tmp_path: Path):
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 20_000, "--speed", "max", "--expect", 6)
    with simulator(tmp_path, *market) as broker:
        options = ("--symbols", SYMBOLS, "--feeds", "trades,quotes", "--lake", tmp_path / "lake")
        running = Collector(tmp_path, "collector", broker, *options)
        try:
            ended = running.finish()
        finally:
            running.kill()
    assert ended.code == 0, ended.err
    at = ("--lake", "lake", "--format", "json")
    built = hosu(tmp_path, "features", "build", "--interval", "second", "--set", "book_v1", *at)
    assert built.code == 0, built
    (told,) = built.json()
    assert (told["interval"], told["first"], told["dates"], told["symbols"]) == ("second", DAY, 1, 3)

    lake = tmp_path / "lake"
    (whole,) = rows_of(lake, "SELECT count(*) AS n, sum(quotes) AS quotes, sum(trades) AS trades FROM ml_features_1s")
    assert whole["n"] == told["rows"]
    kst = "(ts_event AT TIME ZONE 'Asia/Seoul')::TIME"
    hours = f"{kst} >= TIME '09:00:00' AND {kst} < TIME '15:20:00'"
    for table in ("quotes", "trades_unique"):
        (came,) = rows_of(lake, f"SELECT count(*) AS n FROM {table} WHERE {hours}")
        assert came["n"] == whole[table.removesuffix("_unique")] > 1_000
    (made,) = rows_of(
        lake,
        "SELECT count(features) AS n, min(features[1]) AS narrowest, max(abs(features[2])) AS most_uneven,"
        " max(abs(features[5])) AS one_way, max(abs(features[4] - features[1] * features[2] / 2)) AS off"
        " FROM ml_features_1s",
    )
    assert made["n"] > whole["n"] / 2
    assert made["narrowest"] > 0
    assert max(made["most_uneven"], made["one_way"]) <= 1
    assert made["off"] < 1e-12

    proof = hosu(tmp_path, "check", "lookahead", "--interval", "second", "--cuts", 3, *at)
    assert (proof.code, [row["passes"] for row in proof.json()]) == (0, [True]), proof
    again = hosu(tmp_path, "features", "build", "--interval", "second", *at)
    assert again.json()[0]["dates"] == 0
    refused = hosu(tmp_path, "features", "build", "--interval", "second", "--set", "spec_v1", *at)
    assert refused.code != 0
    assert "is made of a day or minute, not of a second; choose book_v1" in refused.err
