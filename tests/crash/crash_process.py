"""The real program, killed again and again: at named places, and whenever so many more records were durable.

A round is one simulated market, one lake, and some kills. Afterwards the market is seen to its end, and the lake must
hold everything that was ever reported durable, exactly once, as its own archive tells it, and as the simulator sent it.
"""

from __future__ import annotations

import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

import numpy as np
from crash_ledger import require_once
from program import (
    EVENT_TABLES,
    Collector,
    Finished,
    Logged,
    Simulator,
    Started,
    contents,
    log_blocks,
    logged_connections,
    rows_of,
    simulator,
)

from hosu.collect.replay import replay
from hosu.failpoints import POINTS
from hosu.lake.certify import certify, open_gaps
from hosu.lake.lake import Lake
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink
from hosu.market.ledger import Cause

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS = "005930,000660,035420"
DAY = "2026-09-15"
CAUSES = {Cause.OUTAGE, Cause.LATE_START}
"""Why shares may be missing: nobody collected for a time, or nobody did yet. Who was killed leaves no other word."""
AT_THE_END = ("log.sealing", "log.sealed")
"""Places that a collector reaches when it is stopped."""
COMPACTIONS = 10
"""How often compaction is started, at most, until there is something for it to do."""


@dataclass(frozen=True)
class Kill:
    """One kill: at the ``hits``-th time a place is reached, or, without one, after ``further`` durable records."""

    place: str = ""
    hits: int = 1
    further: int = 0

    @property
    def name(self) -> str:
        return f"{self.place}:{self.hits}" if self.place else f"{self.further} further records durable"


def kills(seed: int, count: int) -> list[Kill]:
    """Every place once, as far as ``count`` reaches, and the rest at random, in an order that lets each be reached."""
    chance = random.Random(seed)
    first = [Kill("lake.marked"), Kill(further=chance.randrange(200, 1_500))]
    often = {"log.written": 40, "log.synced": 40, "lake.stored": 6, "lake.committing": 6, "lake.committed": 6}
    places = [Kill(name, chance.randint(1, often.get(name, 1))) for name in POINTS if name != "lake.marked"]
    rest = [Kill(further=chance.randrange(50, 2_000)) for _ in range(count - len(first) - len(places))]
    later = [*places, *rest]
    chance.shuffle(later)
    return [*first, *later][:count]


class Round:
    """Kills in one market. ``tell(text)`` is called before each."""

    def __init__(self, home: Path, seed: int, tell: Callable[[str], None] = lambda text: None) -> None:
        self.home, self.seed, self.tell = home, seed, tell
        self.lake = home / "lake"
        self.reported = -1
        self.done: list[Kill] = []
        self._number = 0

    def run(self, planned: list[Kill]) -> None:
        """Raises AssertionError where a promise was broken; its text names seed and kill."""
        options = ("--synthetic", "--date", DAY, "--symbols", SYMBOLS, "--records", 900_000, "--rate", 3_000)
        more = ("--seed", self.seed, "--expect", 12, "--away", "run", "--token-interval", 0)
        with simulator(self.home, *options, *more) as broker:
            for kill in planned:
                self.tell(kill.name)
                self._kill(broker, kill)
                self.done.append(kill)
            self._finish(broker)
            report = broker.report()
        self.check(report)

    def _kill(self, broker: Simulator, kill: Kill) -> None:
        if kill.place.startswith("compact."):
            self._kill_compaction(broker, kill)
            return
        variables = {"HOSU_FAILPOINT": f"{kill.place}:{kill.hits}"} if kill.place else {}
        running = self._collector(broker, **variables)
        try:
            if not kill.place:
                running.kill_at(max(self.reported, 0) + kill.further)
            else:
                if kill.place in AT_THE_END:
                    running.until(lambda: running.durable_lsn > self.reported + 20, "it had received something")
                    running.signal(signal.SIGINT)
                ended = running.finish()
                assert ended.code == -signal.SIGKILL, f"{kill.name} was not reached: {ended.code} {ended.err[-2000:]}"
        finally:
            running.kill()
            self.reported = max(self.reported, running.last_durable())

    def _kill_compaction(self, broker: Simulator, kill: Kill) -> None:
        """Compaction dies beside a collector, which dies later and has not noticed."""
        running = self._collector(broker)
        try:
            ended = self._compact_until_killed(running, kill)
            assert ended.code == -signal.SIGKILL, f"{kill.name} was not reached: {ended.code} {ended.err[-2000:]}"
            assert running.running, running.err[-2000:]
        finally:
            running.kill()
            self.reported = max(self.reported, running.last_durable())

    def _compact_until_killed(self, running: Collector, kill: Kill) -> Finished:
        """What is durable need not be in the lake yet: where there was nothing to compact, more has to come first."""
        words = ("lake", "compact", "--lake", self.lake)
        for turn in range(1, COMPACTIONS + 1):
            wanted = self.reported + 500 * turn
            running.until(lambda wanted=wanted: running.durable_lsn >= wanted, f"record {wanted} was durable")
            name = f"compaction-{self._number}-{turn}"
            compaction = Started(self.home, name, *words, HOSU_FAILPOINT=f"{kill.place}:{kill.hits}")
            try:
                ended = compaction.finish()
            finally:
                compaction.kill()
            if ended.code:
                break
        return ended

    def _finish(self, broker: Simulator) -> None:
        last = self._collector(broker)
        try:
            wanted = self.reported + 500
            last.until(lambda: last.durable_lsn >= wanted, f"record {wanted} was durable")
            broker.signal(signal.SIGINT)
            ended = last.finish()
        finally:
            last.kill()
        assert ended.code == 0, ended.err[-2000:]
        assert ended.json()["reason"] == "every feed has ended", ended.err[-2000:]
        self.reported = max(self.reported, last.last_durable())

    def _collector(self, broker: Simulator, **variables: str) -> Collector:
        self._number += 1
        words = ("--symbols", SYMBOLS, "--feeds", "trades,quotes,expected,market_events", "--no-bars")
        return Collector(self.home, f"collector-{self._number}", broker, *words, "--lake", self.lake, **variables)

    # --- afterwards -----------------------------------------------------------------------------------------------

    def check(self, report: dict[str, Any]) -> None:
        """Everything reported durable is there once, and what is there was sent."""
        blocks = log_blocks(self.lake)
        lsns = [int(lsn) for block in blocks for lsn in block.lsn]
        assert lsns == list(range(len(lsns))), "the log's numbers have a hole"
        assert lsns[-1] >= self.reported, f"durable up to {self.reported}, the log ends at {lsns[-1]}"
        counted = contents(self.lake)
        logged = logged_connections(blocks)
        rows = sum(count for name, (count, _) in counted.items() if name != "snapshots")
        assert rows == sum(each.records for each in logged), "the lake holds more or less than the log"
        for name in EVENT_TABLES:
            keys = f"SELECT count(DISTINCT (wal_id, lsn, coalesce(record_no, -1))) AS n FROM {name}"
            assert rows_of(self.lake, keys) == [{"n": counted[name][0]}], f"{name} holds rows twice"
        self._check_sent(report, logged)
        self._check_ledger(report)
        self._check_replay(counted)
        found = verify(Lake.open(str(self.lake), create=False), deep=True).findings
        assert found == (), found

    def _check_sent(self, report: dict[str, Any], logged: list[Logged]) -> None:
        """Each connection in the log is one that the simulator sent to, from its first trade on, and the last one is
        whole; nobody else's trades are there."""
        sent = [each for each in report["connections"] if each["records"]]
        place = 0
        for number, each in enumerate(logged):
            behind = logged[number + 1].first_lsn if number + 1 < len(logged) else 1 << 62
            rows = self._trades(each.first_lsn, behind)
            while not _begins_as(rows, sent[place]):
                place += 1
                assert place < len(sent), f"nobody was sent what the log has from record {each.first_lsn} on"
            assert each.records <= sent[place]["records"]
            whole = number + 1 == len(logged)
            for row in rows:
                wanted = sent[place]["symbols"][f"KRX:{row['symbol']}"]
                assert row["trades"] <= wanted["trades"]
                if whole:
                    assert (row["trades"], row["last"]) == (wanted["trades"], wanted["last_cum_volume"])
            place += 1

    def _check_ledger(self, report: dict[str, Any]) -> None:
        """Of every share that was traded the lake has a trade, or the ledger a gap with its cause; of none both."""
        lake = Lake.open(str(self.lake), create=False)
        store = LakeLedgerStore(lake)
        require_once(store, [DAY])
        self._check_gaps(store, report)
        before = {gap.key: gap.cause for gap in open_gaps(lake, DAY)}
        judged = certify(lake, DAY)
        assert {gap.key: gap.cause for gap in open_gaps(lake, DAY)} == before, "the judge finds other gaps"
        assert judged.missing_shares == sum(end - begin for *_, begin, end in before), judged

    def _check_gaps(self, store: LakeLedgerStore, report: dict[str, Any]) -> None:
        gaps = {series[2]: [gap for gap in found if gap.open] for series, found in store.gaps([DAY]).items()}
        unsent = report["unsent"]["symbols"]
        for symbol in SYMBOLS.split(","):
            key = f"KRX:{symbol}"
            never = unsent.get(key, {}).get("intervals", [])
            end = max([report["symbols"][key]["last_cum_volume"], *(last for _, last in never)])
            held, missing = np.zeros(end, np.int64), np.zeros(end, np.int64)
            for row in rows_of(self.lake, f"SELECT DISTINCT size, cum_volume FROM trades WHERE symbol = '{symbol}'"):
                held[row["cum_volume"] - row["size"] : row["cum_volume"]] += 1
            for gap in gaps.get(symbol, []):
                missing[gap.from_volume : gap.to_volume] += 1
            assert (held + missing == 1).all(), f"{symbol}: shares {np.flatnonzero(held + missing != 1)[:5]}"
            assert not any(held[begin:last].any() for begin, last in never), f"{symbol}: nobody was sent what is there"
            causes = {gap.cause for gap in gaps.get(symbol, [])}
            assert causes <= CAUSES, f"{symbol}: {causes - CAUSES}"

    def _trades(self, first_lsn: int, behind: int) -> list[dict[str, Any]]:
        return rows_of(
            self.lake,
            "SELECT symbol, count(*) AS trades, arg_min(cum_volume, (lsn, record_no)) AS first, "
            "arg_max(cum_volume, (lsn, record_no)) AS last "
            f"FROM trades WHERE lsn >= {first_lsn} AND lsn < {behind} GROUP BY symbol",
        )

    def _check_replay(self, counted: dict[str, tuple[int, int]]) -> None:
        sink = LakeSink(Lake.open(str(self.home / "again")))
        replay(self.lake / "raw" / "frames", sink)
        sink.close()
        assert contents(self.home / "again") == counted, "the archive does not replay to what the lake holds"


def _begins_as(rows: list[dict[str, Any]], sent: dict[str, Any]) -> bool:
    known = sent["symbols"]
    return all(
        f"KRX:{row['symbol']}" in known and row["first"] == known[f"KRX:{row['symbol']}"]["first_cum_volume"]
        for row in rows
    )
