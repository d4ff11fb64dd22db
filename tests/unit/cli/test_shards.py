"""What becomes of the shards: restarts, giving up, stops; with real processes that fail for real reasons."""

import asyncio
import json
import os
import signal
from pathlib import Path
from random import Random

import pytest

from hosu.cli.shard import Job
from hosu.cli.shard_status import merged
from hosu.cli.shards import Shard, Shards, ShardsConfig
from hosu.clock import SystemClock
from hosu.errors import ShardsFailedError

SECRET = "a-secret-that-nobody-may-see"


def job(number: int, lake: str, state: Path) -> Job:
    """One that nobody answers: port 1 of this machine."""
    host = ("simulator", "http://127.0.0.1:1", "ws://127.0.0.1:1")
    return Job(
        number,
        host,
        f"appkey-{number}",
        SECRET,
        "P",
        (("H0STCNT0", "005930"),),
        (("H0STCNT0", "000660"),),
        ("005930", "000660"),
        "KRX",
        41,
        None,
        True,
        1.0,
        0,
        True,
        lake,
        str(state),
    )


def test_a_job_crosses_the_pipe_whole_and_shows_no_secret(tmp_path: Path) -> None:
    one = job(1, "lake", tmp_path)
    there = Job.of_line(one.to_line())
    assert there.plan().credentials.appsecret == SECRET
    assert there.plan() == one.plan()
    assert [each.key for each in there.plan().reserve] == ["000660"]
    assert SECRET not in repr(one)
    assert Job.of_plan(1, one.plan(), "lake", tmp_path) == one


def shards(tmp_path: Path, lakes: list[str], told: list[str], **config: float) -> Shards:
    jobs = [
        (job(number, lake, tmp_path / f"s{number}"), tmp_path / f"s{number}") for number, lake in enumerate(lakes, 1)
    ]
    for _, folder in jobs:
        folder.mkdir()
    settings = ShardsConfig(backoff_min_s=0.001, backoff_max_s=0.002, **config)
    return Shards(jobs, tmp_path, SystemClock(), Random(1), tell=told.append, config=settings)


@pytest.mark.slow
def test_a_shard_that_fails_again_and_again_is_given_up_and_its_reason_is_said(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    told: list[str] = []
    parent = shards(tmp_path, [str(foreign)], told, tries=3)
    with pytest.raises(ShardsFailedError) as caught:
        asyncio.run(asyncio.wait_for(parent.run(), 120))
    assert "1 of 1 shards failed again and again: [1] " in str(caught.value)
    assert "is not a lake of hosu" in str(caught.value)
    status = json.loads((tmp_path / "status.json").read_text())
    assert (status["state"], status["shards"][0]["restarts"], status["pid"]) == ("failed", 2, os.getpid())
    assert "is not a lake of hosu" in status["last_error"]
    assert len([line for line in told if line.startswith("[1] hosu: ")]) == 3
    assert SECRET not in "".join(told) + (tmp_path / "status.json").read_text()


@pytest.mark.slow
def test_a_signal_is_handed_on_and_every_shard_ends_in_order(tmp_path: Path) -> None:
    told: list[str] = []
    parent = shards(tmp_path, [str(tmp_path / "lake")] * 2, told)
    (tmp_path / "lake").mkdir()
    from hosu.lake.lake import Lake

    Lake.open(str(tmp_path / "lake"))

    async def main():
        running = asyncio.create_task(parent.run())
        while sum(each["status"].get("state") == "running" for each in parent.status()["shards"]) < 2:
            await asyncio.sleep(0.02)
        for each in parent.status()["shards"]:
            words = Path(f"/proc/{each['pid']}/cmdline")
            assert not words.exists() or SECRET.encode() not in words.read_bytes()
        os.kill(os.getpid(), signal.SIGTERM)
        return await asyncio.wait_for(running, 60)

    status = asyncio.run(main())
    assert (status["state"], status["reason"]) == ("stopped", "SIGTERM")
    assert [(each["state"], each["restarts"]) for each in status["shards"]] == [("ended", 0), ("ended", 0)]


def status(**facts: object) -> dict:
    coverage = {"streamed": 41, "polled": 59, "not_covered": 0, "slots": 41, "limit": 41, "registered": 41}
    polls = {"polled": {"symbols": 59, "median_s": 1.0, "max_s": 1.5}}
    base = {
        "state": "running",
        "reason": None,
        "records": 10,
        "filed": 9,
        "quarantined": 1,
        "durable_lsn": 100,
        "connects": 1,
        "latency_us": {"p50": 1.0, "p99": None, "max": 7.0},
        "sink_latency_us": {"p50": 4.0, "p99": 5.0, "max": 6.0},
        "buffers": {"log_queue_bytes": 1, "lag_records": {"lake": 2}, "uncommitted_records": {"lake": 3}},
        "sinks": {"lake": {"commits": 4, "rows": 5, "bytes": 6}},
        "connections": {"1": {"registered": 41}},
        "business_date": 20260915,
        "trouble": {},
        "coverage": {**coverage, "expected_times": 1.0, "trouble": None, "polls": polls},
    }
    return base | facts


def shard(number: int, state: str, found: dict) -> dict:
    return {"number": number, "key": "k", "state": state, "pid": 1, "restarts": 0, "cause": None, "status": found}


def test_counts_are_summed_and_the_worst_stands_for_what_cannot_be() -> None:
    second = status(trouble={"lake": "full"}, latency_us={"p50": 3.0, "p99": 2.0, "max": None}, records=5)
    one = merged([shard(1, "running", status()), shard(2, "waiting", second)], now_us=2_000_000, started_us=0)
    assert (one["state"], one["records"], one["durable_lsn"], one["runtime_s"]) == ("running", 15, 200, 2.0)
    assert one["latency_us"] == {"p50": 3.0, "p99": 2.0, "max": 7.0}
    assert one["sink_latency_us"] == {"p50": 4.0, "p99": 5.0, "max": 6.0}
    assert one["success_rate"] == 0.9
    assert one["connects"] == 2
    assert one["sinks"] == {"lake": {"commits": 8, "rows": 10, "bytes": 12}}
    assert one["buffers"]["lag_records"] == {"lake": 4}
    assert one["connections"] == {"1.1": {"registered": 41}, "2.1": {"registered": 41}}
    assert one["trouble"] == {"2 lake": "full"}
    assert (one["coverage"]["streamed"], one["coverage"]["polled"], one["coverage"]["max_s"]) == (82, 118, 1.5)


def test_before_anybody_has_reported_there_is_a_status_all_the_same() -> None:
    one = merged([shard(1, "starting", {})], now_us=1, started_us=0)
    assert (one["state"], one["records"], one["coverage"], one["success_rate"]) == ("starting", 0, {}, None)


@pytest.mark.parametrize(
    ("states", "expected"),
    [(("ended", "ended"), "stopped"), (("ended", "failed"), "failed"), (("ended", "running"), "running")],
)
def test_the_collection_runs_while_one_shard_does(states: tuple[str, ...], expected: str) -> None:
    found = [shard(number, state, status()) for number, state in enumerate(states, 1)]
    assert merged(found, now_us=1, started_us=0)["state"] == expected


def test_a_stop_while_a_process_is_being_made_reaches_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shard = Shard(job(1, str(tmp_path / "lake"), tmp_path), tmp_path, ShardsConfig(), SystemClock(), Random(0))
    make = asyncio.create_subprocess_exec

    async def slowly(*words: object, **facts: object) -> asyncio.subprocess.Process:
        process = await make(*words, **facts)  # type: ignore[arg-type]
        shard.stop(signal.SIGTERM)
        return process

    async def main() -> None:
        monkeypatch.setattr(asyncio, "create_subprocess_exec", slowly)
        await asyncio.wait_for(shard.run(lambda _: None), 20)

    asyncio.run(main())
    assert (shard.state, shard.cause) == ("ended", None)
