"""``hosu demo`` as a stranger runs it, and the lake it leaves."""

import json
import os
import shlex
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from program import PATIENCE_S, PROGRAM, Here, contents, environment, hosu, log_blocks, sql, until

pytestmark = pytest.mark.slow


def test_demo_says_that_nothing_was_lost(demo: Path):
    said = (demo / "stdout").read_text()
    assert "nothing was lost" in said
    assert "SOMETHING IS MISSING" not in said
    assert "equal for 3 of 3 symbols" in said
    assert "[info" not in said
    assert "Traceback" not in (demo / "stderr").read_text()


def test_the_questions_may_be_asked_again_as_they_are_printed(here: Here, demo: Path):
    printed = [line for line in (demo / "stdout").read_text().splitlines() if line.startswith("  hosu sql ")]
    assert len(printed) == 3
    for line in printed:
        again = here(demo, *shlex.split(line)[1:])
        assert (again.code, again.err) == (0, "")
        assert len(again.out.splitlines()) > 2


def test_demo_goes_on_to_features_and_a_model_that_finds_nothing_in_noise(demo: Path):
    said, noted = (demo / "stdout").read_text(), (demo / "stderr").read_text()
    (parity,) = [line for line in said.splitlines() if line.startswith("2026-09-15")]
    cells = [cell.strip() for cell in parity.split("│")]
    assert (cells[1], cells[3], cells[5:]) == ("1", "3", ["0", "0", "0", "yes"])
    assert "\nno edge: G1 signal" in noted
    assert "kept as version 1, does not serve" in noted


def test_demo_ends_with_what_became_of_whoever_serves(demo: Path):
    said, noted = (demo / "stdout").read_text(), (demo / "stderr").read_text()
    assert "day-1: the prior (no edge) answers for 110 of 110 symbols; 110 rows journaled" in noted
    assert "day: 110 outcomes added, 110 with a label, 0 wait" in noted
    (scored,) = [line for line in said.splitlines() if line.startswith("day-1") and "2026-09-10" in line]
    assert [cell.strip() for cell in scored.split("│")][:6] == ["day-1", "0", "2026-09-10", "110", "110", "0"]


def test_lake_of_the_demo_holds_what_the_simulator_sent(demo: Path, demo_lake: Path):
    sent = json.loads((demo / "demo" / "sent.json").read_text())
    assert sent["records"] > 5_000
    assert sent["unsent"]["records"] == 0
    counted = contents(demo_lake)
    by_table = {name: counted[name][0] for name in ("trades", "quotes", "expected", "market_events")}
    kinds = {"trades": "H0STCNT0", "quotes": "H0STASP0", "expected": "H0STANC0", "market_events": "H0STMKO0"}
    assert by_table == {name: sent["by_tr"][tr_id]["records"] for name, tr_id in kinds.items()}
    assert counted["quarantine"] == (0, 0)
    shares = sql(demo_lake, "SELECT symbol, sum(size)::BIGINT AS shares FROM trades GROUP BY symbol ORDER BY symbol")
    assert shares == [
        {"symbol": symbol, "shares": sent["symbols"][f"KRX:{symbol}"]["shares"]}
        for symbol in ("000660", "005930", "035420")
    ]


def processes_that_name(path: Path) -> list[int]:
    found = []
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if str(path).encode() in words.read_bytes():
                found.append(int(words.parent.name))
    return found


def test_a_demo_told_to_end_before_its_collector_runs_leaves_no_simulator_behind(tmp_path: Path):
    folder = tmp_path / "demo"
    report = folder / "sent.json"
    command = [*PROGRAM, "demo", "--dir", str(folder), "--symbols", "3"]
    with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as demo:
        try:
            # The simulator has told its addresses by then; nothing it does would end it now.
            until((folder / "lake" / ".hosu").is_dir, "the collector's state folder")
            demo.send_signal(signal.SIGTERM)
            assert demo.wait(PATIENCE_S) == 1
            assert processes_that_name(report) == []
        finally:
            demo.kill()
            for pid in processes_that_name(report):
                os.kill(pid, signal.SIGKILL)


def test_verify_finds_nothing_wrong(here: Here, demo_lake: Path):
    checked = here(demo_lake.parent, "lake", "verify", "--lake", demo_lake)
    assert checked.code == 0
    assert checked.out == ""
    assert "1 archived segment checked: nothing wrong" in checked.err


def test_archived_frames_replayed_give_the_same_rows(here: Here, demo_lake: Path, tmp_path: Path):
    again = tmp_path / "again"
    played = hosu(tmp_path, "replay", demo_lake / "raw" / "frames", "--lake", again, "--format", "json")
    before = contents(demo_lake)
    assert played.json()[0]["records"] == sum(count for name, (count, _) in before.items() if name != "snapshots")
    assert contents(again) == before
    # A second time adds nothing: the lake knows how far it has this log.
    assert here(tmp_path, "replay", demo_lake / "raw" / "frames", "--lake", again, "--no-bars").code == 0
    assert contents(again) == before


def test_status_of_a_collector_that_has_ended_says_so(here: Here, demo: Path, demo_lake: Path):
    status = here(demo, "status", "--lake", demo_lake, "--format", "json").json()
    sent = json.loads((demo / "demo" / "sent.json").read_text())
    assert (status["state"], status["reason"]) == ("stopped", "every feed has ended")
    assert (status["records"], status["quarantined"], status["success_rate"]) == (sent["records"], 0, 1.0)
    assert status["durable_lsn"] == int(log_blocks(demo_lake)[-1].lsn[-1])


def test_no_secret_is_in_what_the_demo_leaves(demo: Path, demo_lake: Path):
    secret = b"simulated-secret"
    cached = {demo_lake / ".hosu" / "cache"}
    for path in demo.rglob("*"):
        if path.is_file() and path.parent not in cached:
            assert secret not in path.read_bytes(), path
    for block in log_blocks(demo_lake):
        assert secret not in block.data.tobytes()
        assert b"approval_key" not in block.data.tobytes()
        assert b"access_token" not in block.data.tobytes()
    for folder in cached:
        for path in folder.iterdir():
            assert path.stat().st_mode & 0o077 == 0, path


def test_demo_into_a_folder_that_holds_something_leaves_it_alone(here: Here, tmp_path: Path):
    (tmp_path / "mine.txt").write_text("mine")
    refused = here(tmp_path, "demo", "--dir", ".")
    assert refused.code == 1
    assert refused.err == "hosu: .: is not empty; name a new folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
