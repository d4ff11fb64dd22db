"""Broken frames among sound ones, through the whole way: kept with their reasons, counted, and the stream goes on."""

import json
from pathlib import Path

import pytest
from program import Collector, Here, log_blocks, rows_of, simulator

from hosu.clock import SystemClock
from hosu.collect.block import RecordKind
from hosu.collect.wal import Log

pytestmark = pytest.mark.slow

SYMBOL = "005930"
PRICE = 2  # the field STCK_PRPR of a trade


@pytest.fixture(scope="module")
def trades(demo_lake: Path) -> list[list[str]]:
    """Fields of single trades of one symbol, as they came over the wire in the demo."""
    found = []
    for block in log_blocks(demo_lake):
        for i in range(len(block)):
            flag, *rest = block.payload(i).split(b"|", 3)
            if block.kind[i] == RecordKind.FRAME and flag == b"0" and rest[:2] == [b"H0STCNT0", b"001"]:
                fields = rest[2].decode().split("^")
                if fields[0] == SYMBOL:
                    found.append(fields)
    assert len(found) > 20
    return found


def frame(*records: list[str], tr_id: str = "H0STCNT0", count: int | None = None) -> str:
    fields = "^".join(field for record in records for field in record)
    return f"0|{tr_id}|{len(records) if count is None else count:03}|{fields}"


def with_field(record: list[str], place: int, text: str) -> list[str]:
    return [*record[:place], text, *record[place + 1 :]]


def test_broken_frames_are_quarantined_with_their_reasons_and_the_stream_goes_on(
    tmp_path: Path, trades: list[list[str]]
):
    lines = [
        frame(trades[0]),
        frame(trades[1][:20]),  # cut off
        frame(trades[2], count=4),  # says four, holds one
        frame(trades[3], with_field(trades[4], PRICE, "seventy"), trades[5]),  # the middle one is garbled
        frame([*trades[6], "new", "field"]),  # wider than known
        frame([*trades[7], "new", "field"]),
        frame(trades[8], tr_id="H0XXXXX0"),  # nobody can have asked for it
        frame(with_field(trades[9], 1, "999999")),  # no time of day
        frame(trades[10], trades[11]),
    ]
    (tmp_path / "frames.txt").write_text("\n".join(lines) + "\n")
    recorded = ("--frames", "frames.txt", "--date", "2026-09-15", "--speed", "max")
    options = ("--symbols", SYMBOL, "--feeds", "trades", "--no-poll", "--no-bars", "--lake", tmp_path / "lake")
    with simulator(tmp_path, *recorded) as broker:
        collector = Collector(tmp_path, "collector", broker, *options)
        try:
            ended = collector.finish()
        finally:
            collector.kill()
        report = broker.report()
    status = ended.json()
    assert "Traceback" not in ended.err
    assert report["unsent"]["records"] == 1
    # Seven records are sound, two have a garbled field, two frames are broken as a whole and count as one each.
    assert (report["records"], status["records"]) == (11, 11)
    assert status["quarantined"] == 4
    kept = rows_of(tmp_path / "lake", "SELECT reason, tr_id, symbol, record_no FROM quarantine ORDER BY lsn, record_no")
    assert {(row["tr_id"], row["symbol"]) for row in kept} == {("H0STCNT0", SYMBOL)}
    assert [row["record_no"] for row in kept] == [None, None, 1, 0]
    assert [row["reason"] for row in kept] == [
        "record of 20 fields; the narrowest known layout of H0STCNT0 has 46",
        f"says 4 records, holds {len(trades[0])} fields",
        "STCK_PRPR (field 2) is 'seventy': not a number",
        "STCK_CNTG_HOUR (field 1) is '999999': not a possible time of day",
    ]
    rows = rows_of(tmp_path / "lake", "SELECT cum_volume, price, tail, date FROM trades ORDER BY lsn, record_no")
    sound = [trades[place] for place in (0, 3, 5, 6, 7, 10, 11)]
    assert [row["price"] for row in rows] == [float(record[PRICE]) for record in sound]
    assert [row["tail"] for row in rows] == [None, None, None, "new^field", "new^field", None, None]
    assert {row["date"] for row in rows} == {"2026-09-15"}
    warned = [line for line in ended.err.splitlines() if "wider than any known layout" in line]
    assert len(warned) == 1
    assert json.loads(warned[0])["width"] == len(trades[0]) + 2


def test_unknown_and_unreadable_frames_of_a_log_are_quarantined_on_replay(
    here: Here, tmp_path: Path, trades: list[list[str]]
):
    clock = SystemClock()
    log = Log.open(tmp_path / "wal", clock)
    for payload in (
        frame(trades[0]).encode(),
        b"0|H0XXXXX0|001|005930^1",
        b"\xff\xfe not a frame",
        b"",
        b"{ not JSON",
        frame(trades[1]).encode(),
    ):
        log.append(RecordKind.FRAME, 1, clock.now_us(), payload)
    log.close()
    played = here(tmp_path, "replay", "wal", "--lake", "lake", "--no-bars", "--format", "json").json()[0]
    kept = rows_of(tmp_path / "lake", "SELECT reason FROM quarantine ORDER BY lsn")
    counted = rows_of(tmp_path / "lake", "SELECT count(*) AS n FROM trades")
    assert [row["reason"] for row in kept] == [
        "unknown TR id",
        "not UTF-8 text: byte 0xff at 0",
        "empty frame",
        "a control message that is no JSON",
    ]
    assert counted == [{"n": 2}]
    assert (played["records"], played["quarantined"], played["unfiled"]) == (6, 4, 0)
