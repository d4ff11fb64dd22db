"""A lake from before there was a ledger, and a state that a power cut has damaged: the ledger begins all the same."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "collect"))

from archived_log import T0_US, ArchivedLog, trade
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect.ledger import LedgerSink
from hosu.collect.replay import replay
from hosu.collect.wal import Log
from hosu.lake.certify import certify
from hosu.lake.lake import Lake
from hosu.lake.ledger_begin import begin_ledger
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink

DAY = "2025-03-14"


def day_of(lake: Lake) -> dict[str, object]:
    with Session(lake) as session:
        return session.query("SELECT shares, missing_shares, first_volume FROM coverage").to_pylist()[0]


@pytest.fixture
def old_lake(lake: Lake, log: ArchivedLog) -> Lake:
    """Its log has twelve trades; the first five have left the disk, and the lake has them."""
    log.receive(5, 7)
    replay(log.folder, LakeSink(lake))
    log.segments[0].unlink()
    return lake


def test_in_the_middle_of_a_log_the_lake_tells_what_came_before(old_lake: Lake, log: ArchivedLog) -> None:
    store = LakeLedgerStore(old_lake)
    opened = Log.open(log.folder, SimulatedClock(T0_US))
    begin_ledger(old_lake, store, opened)
    opened.close()
    sink = LedgerSink(store, clock=SimulatedClock(T0_US))
    assert sink.resume_after(log.wal_id) == 4
    replay(log.folder, sink)
    sink.close()
    assert day_of(old_lake) == {"shares": 11, "missing_shares": 0, "first_volume": 0}


@pytest.mark.parametrize("damage", [b"", b"garbage", None])
def test_a_damaged_state_is_made_anew(old_lake: Lake, log: ArchivedLog, damage: bytes | None) -> None:
    store = LakeLedgerStore(old_lake)
    opened = Log.open(log.folder, SimulatedClock(T0_US))
    begin_ledger(old_lake, store, opened)
    sound = store.state(log.wal_id)
    assert sound is not None
    store.save(log.wal_id, sound[:-1] if damage is None else damage)
    begin_ledger(old_lake, store, opened)
    opened.close()
    assert LedgerSink(store).resume_after(log.wal_id) == 4


def test_a_new_log_begins_with_nothing(lake: Lake, tmp_path: Path) -> None:
    store = LakeLedgerStore(lake)
    opened = Log.open(tmp_path / "new", SimulatedClock(T0_US))
    begin_ledger(lake, store, opened)
    assert store.state(opened.wal_id) is None
    opened.append(1, 1, T0_US, trade(1))
    opened.close()


@pytest.mark.parametrize("table", ["trades", "ledger/coverage_days"])
def test_a_day_that_cannot_be_judged_keeps_no_collector_from_its_start(
    old_lake: Lake, log: ArchivedLog, table: str
) -> None:
    if table != "trades":
        certify(old_lake, DAY)
    for path in Path(old_lake.root).glob(f"raw/{table}/date=*/*.parquet"):
        path.unlink()
    opened = Log.open(log.folder, SimulatedClock(T0_US))
    with capture_logs() as logs:
        begin_ledger(old_lake, LakeLedgerStore(old_lake), opened)
    opened.close()
    (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
    assert said["date"] == DAY
    assert "run: hosu lake verify --repair" in said["error"]
    assert LedgerSink(LakeLedgerStore(old_lake)).resume_after(log.wal_id) == 4
