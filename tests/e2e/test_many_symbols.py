"""More symbols than slots: one key streams 41 and polls the rest, three keys are three processes into one lake."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from program import Collector, Simulator, Started, contents, hosu, rows_of, simulator, until

from hosu.collect.block import RecordKind
from hosu.collect.replay import segments_in
from hosu.collect.segment import read_segment
from hosu.lake.lake import Lake
from hosu.lake.verify import verify

pytestmark = pytest.mark.slow

SYMBOLS = 300


def market(home: Path, *, records: int, expect: int) -> Any:
    options = ("--date", "2026-09-15", "--symbols", SYMBOLS, "--records", records, "--rate", 1_500)
    return simulator(home, *options, "--expect", expect, "--feeds", "trades", "--token-interval", 0)


def coverage(lake: Path, *words: object) -> dict[str, Any]:
    return hosu(lake.parent, "coverage", "--lake", lake, "--format", "json", *words).json()


def replies_of(lake: Path) -> Iterator[dict[str, Any]]:
    """Every REST reply in the archived log."""
    for segment in segments_in([lake / "raw" / "frames"]):
        for block in read_segment(segment):
            for i in range(len(block)):
                if block.kind[i] == RecordKind.REST:
                    yield json.loads(block.payload(i))


def test_300_symbols_on_one_key_are_41_streamed_and_the_rest_polled_without_a_limit_provoked(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with market(tmp_path, records=60_000, expect=41) as broker:
        words = ("--symbols", f"top:{SYMBOLS}", "--feeds", "trades", "--lake", lake, "--no-bars", "--no-repair")
        collector = Collector(tmp_path, "collector", broker, *words)
        try:
            collector.until((lake / ".hosu" / "coverage.json").exists, "coverage was reported")
            collector.until(lambda: _least_polls(coverage(lake)) >= 5, "everybody was polled five times")
            during = coverage(lake)
            broker.signal(signal.SIGINT)
            ended = collector.finish().json()
        finally:
            collector.kill()
        report = broker.report()
    assert (during["streamed"], during["polled"], during["not_covered"]) == (41, 259, 0)
    assert {row["wanted_s"] for row in during["symbols"] if row["how"] == "polled"} == {1.0}
    assert report["refusals"] == {}
    assert {json.loads(reply["body"]).get("msg_cd") for reply in replies_of(lake)} == {"MCA00000"}
    assert ended["coverage"]["streamed"] == 41
    assert len(report["symbols"]) == 41
    assert rows_of(lake, "SELECT count(DISTINCT symbol) AS n FROM trades") == [{"n": 41}]
    assert rows_of(lake, "SELECT count(DISTINCT symbol) AS n FROM snapshots") == [{"n": SYMBOLS}]


def _least_polls(found: dict[str, Any]) -> int:
    return min(row["polls"] or 0 for row in found["symbols"] if row["how"] == "polled") if found["polled"] else 0


def shard_statuses(lake: Path) -> list[dict[str, Any]]:
    try:
        found: list[dict[str, Any]] = json.loads((lake / ".hosu" / "status.json").read_text())["shards"]
    except (OSError, ValueError, KeyError):
        return []
    return found


def sharded(home: Path, broker: Simulator, lake: Path) -> Started:
    words = (
        "--symbols",
        f"top:{SYMBOLS}",
        "--feeds",
        "trades",
        "--keys",
        3,
        "--lake",
        lake,
        "--no-bars",
        "--no-repair",
    )
    return Started(home, "collect", "collect", *broker.addresses, *words, "--format", "json")


def test_three_keys_stream_123_and_a_shard_that_is_killed_comes_back_without_anything_twice(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with market(tmp_path, records=200_000, expect=123) as broker:
        collect = sharded(tmp_path, broker, lake)
        try:
            collect.until(lambda: _all(lake, lambda each: each["status"]["records"] >= 400), "all shards filed")
            victim = shard_statuses(lake)[1]
            os.kill(victim["pid"], signal.SIGKILL)
            collect.until(lambda: shard_statuses(lake)[1]["restarts"] == 1, "the shard was missed")
            collect.until(
                lambda: _all(lake, lambda each: each["status"].get("coverage", {}).get("streamed") == 41), "it was back"
            )
            during = coverage(lake)
            broker.signal(signal.SIGINT)
            ended = collect.finish()
        finally:
            collect.kill()
        report = broker.report()
    status = ended.json()
    assert (during["streamed"], during["polled"], during["not_covered"]) == (123, 177, 0)
    assert [each["restarts"] for each in status["shards"]] == [0, 1, 0]
    assert len({each["status"]["wal_id"] for each in status["shards"]}) == 3
    assert report["refusals"] == {}
    check_count(lake, report)


def _all(lake: Path, holds: Any) -> bool:
    found = shard_statuses(lake)
    return len(found) == 3 and all(each["status"] and holds(each) for each in found)


def check_count(lake: Path, report: dict[str, Any]) -> None:
    """Each record once; what is missing was sent to the connection that was killed, after its last durable record."""
    (count, _) = contents(lake)["trades"]
    assert rows_of(lake, "SELECT count(DISTINCT (wal_id, lsn, record_no)) AS n FROM trades") == [{"n": count}]
    assert rows_of(lake, "SELECT count(DISTINCT symbol) AS n FROM trades") == [{"n": 123}]
    opened = sorted(report["connections"], key=lambda each: each["id"])
    assert len(opened) == 4
    killed = next(each for each in opened if each["reason"] == "broken off")
    whole = {symbol for each in opened if each is not killed for symbol in each["symbols"]} - set(killed["symbols"])
    assert len(whole) == 82
    sent = {symbol.removeprefix("KRX:"): facts["trades"] for symbol, facts in report["symbols"].items()}
    stored = {row["symbol"]: row["n"] for row in rows_of(lake, "SELECT symbol, count(*) AS n FROM trades GROUP BY 1")}
    for symbol in whole:
        assert stored[symbol.removeprefix("KRX:")] == sent[symbol.removeprefix("KRX:")]
    assert 0 <= report["records"] - count <= killed["records"]
    assert verify(Lake.open(str(lake), create=False), deep=True).findings == ()


def test_shards_end_with_their_parent_and_the_next_start_with_one_key_commits_what_they_left(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with market(tmp_path, records=200_000, expect=123) as broker:
        collect = sharded(tmp_path, broker, lake)
        collect.until(lambda: _all(lake, lambda each: each["status"]["records"] >= 200), "all shards filed")
        pids = [each["pid"] for each in shard_statuses(lake)]
        collect.kill()
        until(lambda: not any(_alive(pid) for pid in pids), "the shards noticed")
        left = list((lake / ".hosu" / "shards").glob("*/wal/*.log"))
        assert left  # an end in a hurry archives nothing
        words = (
            "--symbols",
            "005930",
            "--feeds",
            "trades",
            "--lake",
            lake,
            "--no-bars",
            "--no-repair",
            "--format",
            "json",
        )
        single = Started(tmp_path, "single", "collect", *broker.addresses, *words)
        status_file = lake / ".hosu" / "status.json"
        single.until(lambda: json.loads(status_file.read_text())["wal_id"] is not None, "one key took over")
        single.signal(signal.SIGINT)
        assert single.finish().json()["reason"] == "SIGINT"
        assert single.err.count("committing what the log in") == 3
    assert list((lake / ".hosu" / "shards").glob("*/wal/*.log")) == []
    found = rows_of(lake, "SELECT count(DISTINCT wal_id) AS logs, count(*) AS n FROM trades")
    assert found[0]["logs"] >= 3
    count = found[0]["n"]
    assert rows_of(lake, "SELECT count(DISTINCT (wal_id, lsn, record_no)) AS n FROM trades") == [{"n": count}]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_collections_into_one_state_folder_are_one_too_many(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with market(tmp_path, records=200_000, expect=1) as broker:
        words = ("--symbols", "005930", "--feeds", "trades", "--lake", lake, "--no-bars", "--no-repair")
        first = Collector(tmp_path, "first", broker, *words)
        try:
            first.until(lambda: first.durable_lsn >= 1, "it collects")
            second = hosu(tmp_path, "collect", *broker.addresses, *words, "--keys", 2)
        finally:
            first.kill()
    assert second.code == 1
    assert f"the state folder {lake / '.hosu'} is in use by process {first.process.pid}" in second.err


def test_a_plan_is_shown_and_nothing_is_done(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    with market(tmp_path, records=10_000, expect=1) as broker:
        words = ("--symbols", "top:100", "--feeds", "trades,quotes", "--keys", 2, "--lake", lake, "--plan")
        shown = hosu(tmp_path, "collect", *broker.addresses, *words, "--format", "json").json()
        table = hosu(tmp_path, "collect", *broker.addresses, *words, "--no-poll")
    assert [(key["streamed"], key["registrations"], key["polled"]) for key in shown["keys"]] == [(21, 41, 29)] * 2
    assert len(shown["symbols"]) == 100
    assert table.out.count("no slot left, and polling is off") == 58
    assert not (lake / ".hosu").exists()


@pytest.mark.parametrize("words", [(), ("--how", "polled")])
def test_without_a_collection_there_is_nothing_to_show(tmp_path: Path, words: tuple[str, ...]) -> None:
    ran = hosu(tmp_path, "coverage", "--lake", tmp_path / "lake", *words)
    assert (ran.code, ran.out) == (1, "")
    assert "there is no plan; start `hosu collect` first" in ran.err
