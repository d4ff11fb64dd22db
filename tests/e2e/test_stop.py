"""Ctrl-C in the middle: it ends soon, and nothing that was received is lost."""

import signal
from pathlib import Path

import pytest
from program import Collector, contents, log_blocks, logged_connections, simulator

pytestmark = pytest.mark.slow

STOP_S = 10
"""The promise is five seconds; a test on a busy machine is given twice that."""
SYMBOLS = "005930,000660"


@pytest.mark.parametrize(
    ("first", "twice"), [(signal.SIGINT, False), (signal.SIGTERM, True)], ids=["ctrl-c", "terminated twice"]
)
def test_stopped_in_the_middle_it_ends_soon_and_loses_nothing(tmp_path: Path, first: signal.Signals, twice: bool):
    market = ("--synthetic", "--date", "2026-09-15", "--symbols", SYMBOLS, "--records", 6_000, "--rate", 3_000)
    options = ("--symbols", SYMBOLS, "--lake", tmp_path / "lake", "--no-bars")
    with simulator(tmp_path, *market, "--expect", 4, "--away", "hold", "--token-interval", 0) as broker:
        stopped = Collector(tmp_path, "stopped", broker, *options)
        try:
            stopped.until(lambda: stopped.durable_lsn >= 1_000, "a thousand records were durable")
            stopped.signal(first)
            if twice:
                stopped.until(lambda: "collector stops" in stopped.err, "it had heard the first signal")
                stopped.signal(first)
            ended = stopped.finish(STOP_S)
        finally:
            stopped.kill()
        durable = stopped.last_durable()
        assert (ended.code, ended.json()["reason"]) == (0, first.name)
        assert ended.json()["durable_lsn"] == durable
        assert "Traceback" not in ended.err
        rest = Collector(tmp_path, "rest", broker, *options)
        try:
            assert rest.finish().json()["reason"] == "every feed has ended"
        finally:
            rest.kill()
        report = broker.report()
    blocks = log_blocks(tmp_path / "lake")
    lsns = [int(lsn) for block in blocks for lsn in block.lsn]
    assert lsns == list(range(len(lsns)))
    assert lsns[-1] > durable
    rows = sum(count for name, (count, _) in contents(tmp_path / "lake").items() if name != "snapshots")
    in_log = logged_connections(blocks)
    sent_to = [each["records"] for each in report["connections"] if each["records"]]
    assert rows == sum(each.records for each in in_log)
    assert 1 < len(in_log) == len(sent_to)
    assert in_log[0].records <= sent_to[0]
    assert [each.records for each in in_log[1:]] == sent_to[1:]
    # The second signal may come before the close frame is out; then the connection just ends.
    assert report["connections"][0]["reason"] in ("closed by the client", "broken off")


def test_stopped_before_anything_came_it_ends_in_order(tmp_path: Path):
    market = ("--synthetic", "--date", "2026-09-15", "--symbols", SYMBOLS, "--rate", 1_000, "--expect", 40)
    with simulator(tmp_path, *market) as broker:
        waiting = Collector(tmp_path, "waiting", broker, "--symbols", SYMBOLS, "--lake", tmp_path / "lake")
        try:
            waiting.until(lambda: "settled" in waiting.err, "it had registered")
            waiting.signal(signal.SIGINT)
            ended = waiting.finish(STOP_S)
        finally:
            waiting.kill()
        status = ended.json()
        assert (status["state"], status["reason"], status["records"]) == ("stopped", "SIGINT", 0)
        # The simulator is stopped in the middle too, and still says what it sent.
        broker.signal(signal.SIGINT)
        assert broker.report()["records"] == 0
