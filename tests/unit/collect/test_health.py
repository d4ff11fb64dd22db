"""Alive, ready, or why not."""

from typing import Any

import pytest

from hosu.collect.disk import DiskReport
from hosu.collect.health import Outlook, judge

RUNNING: dict[str, Any] = {
    "state": "running",
    "records": 1_234,
    "connections": {"1": {"registered": 41}},
    "reconnects": 2,
    "buffers": {"lag_records": {"lake": 17}, "uncommitted_records": {"lake": 40}, "log_queue_bytes": 5},
    "coverage": {"streamed": 41},
    "trouble": {},
}


def outlook(**facts: Any) -> Outlook:
    return Outlook(1_000_000, **{"open_for_s": 3_600.0, "frame_age_s": 0.4, **facts})


def test_who_receives_while_the_market_trades_is_ready():
    health = judge(RUNNING, outlook())
    assert (health.alive, health.ready, health.problems, health.warnings) == (True, True, (), ())
    assert health.sentence == "collecting: 1,234 records, the last market data 0 s ago, 17 records behind the log"
    assert health.as_json() == {
        "alive": True,
        "ready": True,
        "state": "running",
        "sentence": health.sentence,
        "problems": [],
        "warnings": [],
        "updated_us": 1_000_000,
        "market_open_s": 3_600.0,
        "last_frame_age_s": 0.4,
        "records": 1_234,
        "connections": 1,
        "reconnects": 2,
        "lag_records": {"lake": 17},
        "uncommitted_records": {"lake": 40},
        "log_queue_bytes": 5,
        "open_gaps": None,
        "disk": None,
        "clock_off_s": 0.0,
    }


@pytest.mark.parametrize(
    ("status", "facts", "problem"),
    [
        ({}, {"frame_age_s": 120.0}, "no market data for 120 s, though the market trades"),
        ({}, {"frame_age_s": None}, "no market data yet, though the market trades"),
        (
            {"connections": {}},
            {"frame_age_s": 900.0},
            "no market data for 900 s, though the market trades, and no connection stands",
        ),
        ({"state": "starting"}, {}, "it is starting"),
        ({"state": "failed", "last_error": "no room"}, {}, "it is failed (no room)"),
        ({"state": "draining", "reason": "SIGTERM"}, {}, "it is draining (SIGTERM)"),
        ({"disk_low": True}, {}, "the disk is nearly full, and the lake is held back"),
        ({"shards": [{"number": 2, "state": "failed", "status": {}}]}, {}, "shard 2 has failed"),
        ({}, {"stage": "building bars"}, "it does not collect: building bars"),
    ],
)
def test_who_lives_and_does_not_do_its_work_is_alive_and_not_ready(
    status: dict[str, Any], facts: dict[str, Any], problem: str
):
    health = judge({**RUNNING, **status}, outlook(**facts))
    assert (health.alive, health.ready, health.problems) == (True, False, (problem,))
    assert health.sentence == problem


@pytest.mark.parametrize(
    ("status", "facts"),
    [
        ({}, {"frame_age_s": 119.9}),
        ({}, {"open_for_s": None, "frame_age_s": 9_000.0}),  # the market is shut, or nobody knows
        ({}, {"open_for_s": 60.0, "frame_age_s": 9_000.0}),  # it has just opened
        ({"coverage": {"streamed": 0}}, {"frame_age_s": None}),  # all are polled
        ({"state": "stopped"}, {"stage": "waiting for 2025-03-13", "waits": True}),
    ],
)
def test_silence_that_is_in_order_is_ready(status: dict[str, Any], facts: dict[str, Any]):
    assert judge({**RUNNING, **status}, outlook(**facts)).ready


def test_what_stands_still_is_not_alive():
    health = judge(RUNNING, outlook(standing=["the log's writer stands still for 61 s"]))
    assert (health.alive, health.ready) == (False, False)
    assert health.sentence == "the log's writer stands still for 61 s"


def test_warnings_make_nothing_unready_and_are_said():
    status = {**RUNNING, "trouble": {"lake": "it cannot be reached"}, "shards": [{"number": 3, "state": "waiting"}]}
    report = DiskReport(warnings={"days": "10.0 GiB free for log and lake, which last 2.0 days"})
    health = judge(status, outlook(disk=report, clock_off_s=-3_600.0))
    assert health.ready
    assert health.warnings == (
        "lake: it cannot be reached",
        "shard 3 starts again",
        "10.0 GiB free for log and lake, which last 2.0 days",
        "the system's clock was set by -3,600 s since the start",
    )
    assert health.sentence.endswith("; but " + "; ".join(health.warnings))


def test_open_gaps_are_those_of_all_shards():
    shards = [{"number": n, "state": "running", "status": {"ledger": {"open_gaps": n}}} for n in (1, 2)]
    assert judge({**RUNNING, "shards": shards}, outlook()).facts["open_gaps"] == 3
    alone = judge({**RUNNING, "ledger": {"open_gaps": 0}}, outlook())
    assert alone.facts["open_gaps"] == 0
    assert alone.sentence.endswith(", 0 gaps open")
