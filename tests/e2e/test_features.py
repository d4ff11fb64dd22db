"""Features served while collecting, through kills, are those of the replayed log and of the bars built afterwards."""

import random
from pathlib import Path

import pytest
from program import Collector, rows_of, simulator

from hosu.features.parity import parity
from hosu.lake.lake import Lake

DAY = "2026-09-15"
SYMBOLS = "005930,000660,035420"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_killed_in_the_middle_it_serves_the_bits_of_replay_and_batch(tmp_path: Path, seed: int):
    market = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 30_000, "--rate", 3_000, "--seed", seed)
    options = ("--symbols", SYMBOLS, "--feeds", "trades,quotes", "--lake", tmp_path / "lake")
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
