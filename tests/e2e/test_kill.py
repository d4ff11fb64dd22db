"""The collector is killed in the middle, started again, and the count still adds up.

Where it is killed is chosen by what it has reported durable, never by the time. The simulator goes on meanwhile and
resends nothing, as the broker does: what it sent to a connection that was killed may be lost as far as it had not
been reported durable, and what it had to say while nobody listened is in its report as unsent.
"""

import random
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import (
    EVENT_TABLES,
    Collector,
    Simulator,
    Started,
    contents,
    log_blocks,
    logged_connections,
    rows_of,
    simulator,
    until,
)

from hosu.collect.replay import replay
from hosu.lake.compact import compact
from hosu.lake.lake import Lake
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink

pytestmark = pytest.mark.slow

SYMBOLS = "005930,000660,035420"
FEEDS = "trades,quotes,expected,market_events"


def market(home: Path, seed: int) -> Any:
    """A day that waits for nobody, and is far longer than any test lets it last."""
    options = ("--synthetic", "--date", "2026-09-15", "--symbols", SYMBOLS, "--records", 500_000, "--rate", 3_000)
    return simulator(home, *options, "--seed", seed, "--expect", 12, "--away", "run", "--token-interval", 0)


def collector(home: Path, number: int, broker: Simulator) -> Collector:
    return Collector(
        home,
        f"collector-{number}",
        broker,
        "--symbols",
        SYMBOLS,
        "--feeds",
        FEEDS,
        "--lake",
        home / "lake",
        "--no-bars",
    )


def kill_points(chance: random.Random, kills: int) -> list[int]:
    """How many more log records shall be durable before each kill."""
    return [chance.randrange(200, 2_500) for _ in range(kills)]


def collect_with_kills(
    home: Path, broker: Simulator, points: list[int], *, meanwhile: Callable[[], bool] = lambda: True
) -> list[int]:
    """Kills one collector after the other; lets the last one see the market end, not before ``meanwhile`` is true.

    Returns the LSN that each had reported durable last.
    """
    reported: list[int] = []
    for number, further in enumerate(points):
        running = collector(home, number, broker)
        try:
            reported.append(running.kill_at((reported[-1] if reported else 0) + further))
        finally:
            running.kill()
    last = collector(home, len(points), broker)
    try:
        wanted = reported[-1] + 2_000
        last.until(lambda: last.durable_lsn >= wanted and meanwhile(), f"record {wanted} was durable")
        broker.signal(signal.SIGINT)
        ended = last.finish()
    finally:
        last.kill()
    assert ended.json()["reason"] == "every feed has ended", ended.err
    assert "Traceback" not in ended.err
    return [*reported, last.last_durable()]


def check_count(home: Path, report: dict[str, Any], reported: list[int]) -> None:
    """Everything durable is in the lake exactly once, and what was sent is accounted for to the record."""
    lake = home / "lake"
    blocks = log_blocks(lake)
    lsns = [int(lsn) for block in blocks for lsn in block.lsn]
    assert lsns == list(range(len(lsns)))
    assert lsns[-1] >= max(reported)

    counted = contents(lake)
    rows = sum(count for name, (count, _) in counted.items() if name != "snapshots")
    in_log = logged_connections(blocks)
    assert rows == sum(each.records for each in in_log)
    for name in EVENT_TABLES:
        keys = f"SELECT count(DISTINCT (wal_id, lsn, record_no)) AS n FROM {name}"
        assert rows_of(lake, keys) == [{"n": counted[name][0]}], name

    sent_to = [each for each in report["connections"] if each["records"]]
    assert len(sent_to) == len(in_log) == len(reported)
    never_durable = [sent["records"] - logged.records for sent, logged in zip(sent_to, in_log, strict=True)]
    assert all(lost >= 0 for lost in never_durable)
    assert never_durable[-1] == 0
    assert report["unsent"]["records"] > 0
    assert report["records"] == rows + sum(never_durable)
    check_connections(lake, sent_to, [each.first_lsn for each in in_log])


def check_connections(lake: Path, sent_to: list[dict[str, Any]], first_lsns: list[int]) -> None:
    """Each connection's trades in the lake begin with the first one sent; the last one's also end with the last."""
    for number, (sent, first_lsn) in enumerate(zip(sent_to, first_lsns, strict=True)):
        behind = first_lsns[number + 1] if number + 1 < len(first_lsns) else 1 << 62
        found = rows_of(
            lake,
            "SELECT symbol, count(*) AS trades, arg_min(cum_volume, (lsn, record_no)) AS first, "
            "arg_max(cum_volume, (lsn, record_no)) AS last "
            f"FROM trades WHERE lsn >= {first_lsn} AND lsn < {behind} GROUP BY symbol",
        )
        for row in found:
            wanted = sent["symbols"][f"KRX:{row['symbol']}"]
            assert row["first"] == wanted["first_cum_volume"]
            assert row["trades"] <= wanted["trades"]
            if number + 1 == len(sent_to):
                assert (row["trades"], row["last"]) == (wanted["trades"], wanted["last_cum_volume"])


def check_against_the_log(home: Path) -> None:
    """Its archived frames, replayed, give the same rows in every column."""
    sink = LakeSink(Lake.open(str(home / "again")))
    replay(home / "lake" / "raw" / "frames", sink)
    sink.close()
    assert contents(home / "again") == contents(home / "lake")


class Compactor:
    """``hosu lake compact`` again and again beside the collector; the first runs are killed in the middle.

    ``killed_after`` says after how many rewritten files each of them is killed.
    """

    def __init__(self, home: Path, *, killed_after: list[int]) -> None:
        self._home, self._lake = home, home / "lake"
        self._killed_after = killed_after
        self._stop = threading.Event()
        self.finished = self.killed = 0
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        until(lambda: self._stop.is_set() or self._rewritten("live-") > 0, "there was something to compact")
        while not self._stop.is_set():
            self._once()

    def _once(self) -> None:
        before = self._rewritten("sorted-")
        compactor = Started(self._home, "compactor", "lake", "compact", "--lake", self._lake)
        if len(self._killed_after) > self.killed:
            wanted = before + self._killed_after[self.killed]
            # A file that was rewritten is there before the commit that puts it in the place of others.
            until(lambda: self._rewritten("sorted-") >= wanted or not compactor.running, "a file was rewritten")
            if compactor.running:
                compactor.kill()
                self.killed += 1
                return
        ended = compactor.finish()
        self.finished += ended.code == 0
        if ended.code != 0:
            self.failures.append(ended.err)

    def _rewritten(self, kind: str) -> int:
        return sum(1 for _ in (self._lake / "raw").glob(f"*/date=*/{kind}*.parquet"))


@pytest.mark.parametrize(("seed", "kills"), [(1, 1), (2, 2)])
def test_killed_in_the_middle_the_collector_loses_nothing_that_was_durable(tmp_path: Path, seed: int, kills: int):
    with market(tmp_path, seed) as broker:
        reported = collect_with_kills(tmp_path, broker, kill_points(random.Random(seed), kills))
        report = broker.report()
    check_count(tmp_path, report, reported)
    check_against_the_log(tmp_path)


def test_killed_while_compaction_runs_and_is_killed_too_it_loses_nothing_either(tmp_path: Path):
    with market(tmp_path, 3) as broker:
        compactor = Compactor(tmp_path, killed_after=[1, 2])
        try:
            points = kill_points(random.Random(3), 1)
            reported = collect_with_kills(tmp_path, broker, points, meanwhile=lambda: compactor.finished >= 1)
            report = broker.report()
        finally:
            compactor.end()
    assert compactor.failures == []
    assert compactor.killed == 2
    check_count(tmp_path, report, reported)
    lake = Lake.open(str(tmp_path / "lake"), create=False)
    before = contents(tmp_path / "lake")
    compact(lake)
    assert contents(tmp_path / "lake") == before
    assert verify(lake, deep=True).findings == ()
