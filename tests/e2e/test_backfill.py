"""``hosu backfill`` over REST: killed in the middle and started again, against the simulator's limits."""

import json
import shutil
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from program import Started, hosu, rows_of, simulator

from hosu.collect.block import RecordKind
from hosu.collect.replay import segments_in
from hosu.collect.segment import read_segment
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.market.calendar import sessions_between

DAY = date(2025, 9, 15)
SYMBOLS = ("000660", "005930", "035420", "035720")
FIRST, END = date(2024, 3, 4), DAY
BARS = "SELECT symbol, date, open, high, low, close, volume, value FROM bars_daily_latest ORDER BY ALL"


def expected() -> list[tuple[Any, ...]]:
    """Every bar of the span, from the market that the simulator plays."""
    market = Exchange(ExchangeConfig(DAY, symbols=SYMBOLS))
    return sorted(
        (symbol, bar.day.isoformat(), bar.open, bar.high, bar.low, bar.close, bar.volume, bar.value)
        for symbol in SYMBOLS
        for bar in market.history(symbol, 400)
        if FIRST <= bar.day < END
    )


def stored(lake: Path) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in rows_of(lake, BARS)]


def replies(lake: Path) -> list[dict[str, Any]]:
    """Every REST reply in the log of the backfill, archived or not."""
    found: dict[int, dict[str, Any]] = {}
    folders = [
        each for each in (lake / "raw" / "frames", lake / ".hosu" / "backfill" / "wal") if any(each.rglob("*.log*"))
    ]
    for segment in segments_in(folders):
        for block in read_segment(segment):
            for i in (block.kind == RecordKind.REST).nonzero()[0].tolist():
                found[int(block.lsn[i])] = json.loads(block.payload(i))
    return [found[lsn] for lsn in sorted(found)]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_a_second_one_asks_nothing(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with simulator(tmp_path, "--synthetic", "--date", DAY, "--symbols", ",".join(SYMBOLS), "--speed", "1") as broker:
        words = ("backfill", "daily", *broker.addresses[:4], "--symbols", ",".join(SYMBOLS))
        words += ("--from", FIRST, "--to", "2025-09-14", "--lake", lake, "--no-bars", "--format", "json")
        first = Started(tmp_path, "first", *words)
        done = lake / ".hosu" / "backfill"
        try:
            first.until(lambda: sum(len(each.read_text().splitlines()) for each in done.glob("done-*")) >= 5, "5 tasks")
        finally:
            first.kill()
        answered = [json.loads(line) for each in done.glob("done-*") for line in each.read_text().splitlines()]
        second = hosu(tmp_path, *words).json()[0]
        third = hosu(tmp_path, *words).json()[0]

    assert stored(lake) == expected()
    tasks = len(SYMBOLS) * 4
    assert len(sessions_between(FIRST, END)) in range(301, 401)
    assert 5 <= len(answered) < tasks
    assert second["asked"] == tasks - len(answered)
    assert (third["calls"], third["asked"], third["missing"]) == (0, 0, 0)
    assert third["known"] == len(expected())

    asked = replies(lake)
    assert [reply for reply in asked if reply["status"] != 200 or "EGW00201" in reply["body"]] == []
    again = Counter((reply["params"]["FID_INPUT_ISCD"], reply["params"]["FID_INPUT_DATE_2"]) for reply in asked)
    # Up to four calls were on their way when it was killed: answered, maybe, but not noted.
    assert len(again) == tasks
    assert sum(times - 1 for times in again.values()) <= 4

    verified = hosu(tmp_path, "lake", "verify", "--lake", lake)
    assert verified.code == 0, verified.err
    replayed = tmp_path / "again"
    shutil.copytree(lake / "raw" / "frames", tmp_path / "frames")
    assert hosu(tmp_path, "replay", "frames", "--no-bars", "--lake", replayed).code == 0
    assert stored(replayed) == stored(lake)


@pytest.mark.slow
def test_what_the_broker_does_not_have_is_listed(tmp_path: Path) -> None:
    with simulator(tmp_path, "--synthetic", "--date", DAY, "--symbols", "005930", "--speed", "1") as broker:
        words = ("backfill", "daily", *broker.addresses[:4], "--symbols", "005930,999999", "--lake", tmp_path / "lake")
        words += ("--from", "2025-09-08", "--to", "2025-09-12", "--format", "json")
        planned = hosu(tmp_path, *words, "--plan")
        assert planned.json()[0]["calls"] == 2
        assert "2 calls for 10 symbol-days" in planned.err
        ran = hosu(tmp_path, *words)
    assert ran.json()[0] | {"asked": 2, "bars": 5, "missing": 5, "left": 0} == ran.json()[0]
    assert "missing: 999999 2025-09-08 to 2025-09-12: the broker has no bars there" in ran.err
    listing = tmp_path / "lake" / ".hosu" / "backfill" / "missing-daily.jsonl"
    (missing,) = [json.loads(line) for line in listing.read_text().splitlines()]
    assert (missing["symbol"], missing["days"], missing["final"]) == ("999999", 5, True)
    day = rows_of(tmp_path / "lake", "SELECT source, count(*) AS n FROM processed_ohlcv GROUP BY ALL")
    assert day == [{"source": "rest", "n": 5}]


@pytest.mark.slow
def test_a_broker_that_went_away_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    with simulator(tmp_path, "--synthetic", "--date", DAY, "--symbols", "005930", "--speed", "1") as broker:
        addresses = broker.addresses[:4]
    ran = hosu(
        tmp_path, "backfill", "daily", *addresses, "--symbols", "005930", "--from", "2025-09-08", "--lake", "lake"
    )
    assert ran.code == 1
    assert "cannot be reached" in ran.err
    assert "Traceback" not in ran.err
