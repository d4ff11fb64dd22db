"""What the ledger's tables lost is judged again from records and frames, and they say what they said before."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from archived_log import T0_US, ArchivedLog, trade

from hosu.clock import SimulatedClock
from hosu.collect.fanout import Fanout
from hosu.collect.ledger import LedgerSink
from hosu.collect.recorder import Recorder
from hosu.collect.replay import replay
from hosu.collect.wal import Log
from hosu.errors import TableCorruptError
from hosu.lake import repair as repairing
from hosu.lake.certify import certify
from hosu.lake.judge_again import WAITING, keep_waiting, waiting
from hosu.lake.lake import Lake
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.repair import plan, repair
from hosu.lake.repair_book import LakeRepairBook
from hosu.lake.sql import Session
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink
from hosu.market.ledger import LEDGER_SCHEMAS

DAY = "2025-03-14"
TABLES = tuple(LEDGER_SCHEMAS)
ASKED = {
    "date": DAY, "scope": "KRX", "symbol": "005930", "from_volume": 3, "to_volume": 7, "at": T0_US + 60_000_000,
    "event": "attempted", "shares": 4, "by": "repair", "detail": None, "wal_id": None, "lsn": None,
}  # fmt: skip


def received(log: ArchivedLog, *parts: tuple[int, ...]) -> None:
    """One segment a part, of a connection and trades of one share each up to these cumulative volumes."""
    opened = Log.open(log.folder, SimulatedClock(T0_US))
    log.wal_id = opened.wal_id
    for number, volumes in enumerate(parts):
        recorder = Recorder(opened, SimulatedClock(T0_US + number * 60_000_000))
        recorder.session_event(number + 1, {"event": "connected", "address": "ws://there"})
        recorder.session_event(number + 1, {"event": "registered", "tr_id": "H0STCNT0", "key": "005930"})
        for volume in volumes:
            at_us = T0_US + number * 60_000_000 + volume * 3_000_000
            opened.append(1, number + 1, at_us, trade(volume))
            opened.wait_written(10)
        recorder.session_event(number + 1, {"event": "disconnected", "code": 1006, "cause": "broke"})
        opened.seal()
    opened.close()
    log.segments = sorted(log.folder.glob("*.log"))


@pytest.fixture
def judged(lake: Lake, log: ArchivedLog) -> Lake:
    """A day with a hole within a connection and one between two, told segment by segment, and of which a repair was
    tried in vain."""
    received(log, (1, 2, 3, 8, 9), (20, 21), (22, 23, 30))
    for segment in log.segments:
        log.store(lake, segment, date=DAY)
        sink = Fanout([LakeSink(lake), LedgerSink(LakeLedgerStore(lake), clock=SimulatedClock(T0_US))])
        replay(Path(lake.root) / "raw/frames", sink)
        sink.close()
    LakeRepairBook(lake).note([ASKED])
    return lake


def told(lake: Lake) -> dict[str, list[dict[str, Any]]]:
    """What the ledger says, but for when, and at which record of the log, that was found out."""
    with Session(lake) as session:
        return {
            "gaps": session.query("SELECT * EXCLUDE (wal_id, lsn, revision) FROM gaps_latest ORDER BY ALL").to_pylist(),
            "events": session.query(
                'SELECT event, from_volume, to_volume, shares, "by", detail FROM gap_events ORDER BY ALL'
            ).to_pylist(),
            "days": session.query(
                "SELECT symbol, state, assumptions, reason, shares, missing_shares, gaps FROM coverage"
            ).to_pylist(),
        }


def files(lake: Lake, table: str) -> list[Path]:
    return sorted(Path(lake.root).glob(f"raw/ledger/{table}/date=*/*.parquet"), key=lambda path: path.stat().st_mtime)


def commits(lake: Lake, table: str) -> list[Path]:
    return sorted(Path(lake.root).glob(f"raw/ledger/{table}/_delta_log/*.json"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def garbled(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def first_record(path: Path) -> int:
    return min(pq.read_table(path, columns=["lsn"], partitioning=None).column(0).to_pylist())


def first_file(harm: Callable[[Path], object]) -> Callable[[Lake, str], None]:
    return lambda lake, table: harm(files(lake, table)[0]) and None


def every_file(lake: Lake, table: str) -> None:
    for path in files(lake, table):
        path.unlink()


def last_commit(lake: Lake, table: str) -> None:
    path = commits(lake, table)[-1]
    path.write_bytes(path.read_bytes()[:100])


def early_commit(lake: Lake, table: str) -> None:
    emptied(commits(lake, table)[1])


def whole_log(lake: Lake, table: str) -> None:
    shutil.rmtree(commits(lake, table)[0].parent)


HARMS = {
    "a file is gone": first_file(Path.unlink),
    "a file is empty": first_file(emptied),
    "a file is garbled": first_file(garbled),
    "every file is gone": every_file,
    "the last commit is torn": last_commit,
    "an early commit is torn": early_commit,
    "the log is gone": whole_log,
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
@pytest.mark.parametrize("table", TABLES)
def test_the_ledger_says_after_the_repair_what_it_said_before_the_damage(
    judged: Lake, table: str, harm: Callable[[Lake, str], None]
) -> None:
    before = told(judged)
    assert {gap["cause"] for gap in before["gaps"]} == {"unknown", "outage"}
    harm(judged, table)
    steps = [step.does for step in plan(judged).steps]
    assert steps[-1] == f"{DAY} is judged again from the lake's records, and from the frames as far as they hold it"
    found = repair(judged)
    assert (found.beyond, [step.does for step in found.steps]) == ([], steps)
    after = told(judged)
    if table == "gap_events":
        # What a repair asked is in no log; that is said.
        known = "when repairs asked, and for what, is not known any more"
        assert all(does.endswith(known) for does in steps[:-1])
        before["events"] = [event for event in before["events"] if event["event"] != "attempted"]
        after["events"] = [event for event in after["events"] if event["event"] != "attempted"]
    assert after == before
    assert verify(judged, deep=True).findings == ()
    assert repair(judged).steps == []


def test_what_is_damaged_is_kept_aside(judged: Lake) -> None:
    victim = files(judged, "gaps")[0]
    garbled(victim)
    torn = victim.read_bytes()
    repair(judged)
    (kept,) = (Path(judged.root) / "_hosu/aside").rglob(victim.name)
    assert kept.read_bytes() == torn
    assert not victim.exists()


@pytest.mark.parametrize("table", TABLES)
def test_a_repair_that_was_stopped_before_it_judged_is_gone_on_with(
    judged: Lake, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = told(judged)
    every_file(judged, table)

    def stopped(*args: object, **named: object) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(repairing, "judge_again", stopped)
        with pytest.raises(KeyboardInterrupt):
            repair(judged)
    assert waiting(judged.storage) == {DAY}
    (finding,) = verify(judged).findings
    assert (finding.path, finding.fault) == (
        judged.storage.address(WAITING),
        f"names {DAY}, which waits to be judged",
    )
    assert "hosu lake verify --repair" in finding.next_step
    assert [step.table for step in plan(judged).steps] == ["coverage_days"]
    assert repair(judged).beyond == []
    assert (told(judged)["gaps"], told(judged)["days"]) == (before["gaps"], before["days"])
    assert verify(judged).findings == ()


def test_without_frames_the_judge_still_finds_what_is_missing_and_says_what_it_cannot_tell(judged: Lake) -> None:
    before = told(judged)["gaps"]
    every_file(judged, "gaps")
    shutil.rmtree(Path(judged.root) / "raw/frames")
    found = repair(judged)
    assert found.beyond == []
    assert found.steps[-1].does == (
        f"{DAY} is judged again from the lake's records; why shares are missing, the frames do not tell"
    )
    untold = {"cause": "unknown", "detail": "found in the lake; what the log tells of it is not at hand"}
    assert told(judged)["gaps"] == [gap | untold for gap in before]


def test_where_the_records_are_damaged_too_they_are_mended_first(judged: Lake) -> None:
    before = told(judged)
    every_file(judged, "gaps")
    for path in Path(judged.root).glob("raw/trades/date=*/*.parquet"):
        emptied(path)
    assert repair(judged).beyond == []
    assert told(judged)["gaps"] == before["gaps"]


def test_a_date_whose_records_cannot_be_mended_waits_until_they_are(judged: Lake) -> None:
    before = told(judged)["gaps"]
    every_file(judged, "gaps")
    victim, *_ = Path(judged.root).glob("raw/trades/date=*/*.parquet")
    whole = victim.read_bytes()
    emptied(victim)
    frames = Path(judged.root) / "raw/frames"
    frames.rename(frames.with_name("elsewhere"))
    beyond = repair(judged).beyond
    assert [finding.table for finding in beyond] == ["trades", "trades"]
    assert beyond[1].next_step == "the date is judged once that is mended: run this command again"
    assert waiting(judged.storage) == {DAY}
    with pytest.raises(TableCorruptError):
        certify(judged, DAY)
    victim.write_bytes(whole)
    frames.with_name("elsewhere").rename(frames)
    assert repair(judged).beyond == []
    assert told(judged)["gaps"] == before


def test_what_cannot_be_judged_since_no_record_is_left_stays_as_it_is(judged: Lake) -> None:
    victim = files(judged, "gaps")[0]
    emptied(victim)
    shutil.rmtree(Path(judged.root) / "raw/trades")
    shutil.rmtree(Path(judged.root) / "raw/frames")
    (beyond,) = repair(judged).beyond
    assert (beyond.path, beyond.next_step) == (str(victim), "restore it from a copy, or let it go: --let-go")
    assert f"the lake has no records of {DAY} to judge it by" in beyond.fault
    assert victim.exists()


@pytest.mark.parametrize(("number", "missing"), [(0, 14 + 5), (1, 14 + 2), (2, 14 + 2)])
def test_of_trades_that_are_let_go_the_ledger_says_that_they_are_missing(
    judged: Lake, number: int, missing: int
) -> None:
    """Those at the end of the day too, of which no later record tells: up to 23, where its last trade but for one that
    nobody believes had come."""
    with Session(judged) as session:
        rows = session.query("SELECT DISTINCT wal_id FROM trades").to_pylist()
    before = told(judged)["gaps"]
    victim = sorted(Path(judged.root).glob("raw/trades/date=*/*.parquet"), key=first_record)[number]
    emptied(victim)
    shutil.rmtree(Path(judged.root) / "raw/frames")
    assert repair(judged, let_go=True).beyond == []
    after = told(judged)
    assert [day["missing_shares"] for day in after["days"]] == [missing]
    assert sum(gap["shares"] for gap in after["gaps"] if gap["open"]) == missing
    assert after["days"][0]["state"] != "certified"
    assert {gap["cause"] for gap in after["gaps"] if gap["open"] and gap not in before} == {"disk"}
    assert verify(judged).findings == ()
    (wal_id,) = {row["wal_id"] for row in rows}
    sink = LedgerSink(LakeLedgerStore(judged), clock=SimulatedClock(T0_US))
    sink.resume_after(wal_id)
    sink.close()  # a collector that goes on with the log does not vouch for what it had read
    assert told(judged)["days"] == after["days"]


def test_of_a_date_of_which_nothing_was_let_go_the_judge_says_what_it_would_say_without_that_wish(judged: Lake) -> None:
    before = told(judged)["gaps"]
    every_file(judged, "gaps")
    shutil.rmtree(Path(judged.root) / "raw/frames")
    assert repair(judged, let_go=True).beyond == []
    untold = {"cause": "unknown", "detail": "found in the lake; what the log tells of it is not at hand"}
    assert told(judged)["gaps"] == [gap | untold for gap in before]


def test_where_all_records_of_a_date_are_let_go_all_its_shares_are_missing(judged: Lake) -> None:
    for victim in Path(judged.root).glob("raw/trades/date=*/*.parquet"):
        emptied(victim)
    shutil.rmtree(Path(judged.root) / "raw/frames")
    assert repair(judged, let_go=True).beyond == []
    (day,) = told(judged)["days"]
    assert (day["state"], day["missing_shares"], day["gaps"]) == ("open", 23, 1)
    assert waiting(judged.storage) == set()
    assert verify(judged).findings == ()


def test_dates_that_wait_are_kept_whatever_lies_there(lake: Lake) -> None:
    assert waiting(lake.storage) == set()
    keep_waiting(lake.storage, {"2025-03-14", "2025-03-13"})
    assert waiting(lake.storage) == {"2025-03-13", "2025-03-14"}
    lake.storage.put(WAITING, b"{")
    assert waiting(lake.storage) == set()
    keep_waiting(lake.storage, set())
    assert lake.storage.head(WAITING) is None
