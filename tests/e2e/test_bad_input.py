"""What is wrong from outside: an exit code, a sentence that names it, nothing overwritten, no traceback or secret."""

import json
import shutil
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from program import Finished, Here, hosu

from hosu.clock import SystemClock
from hosu.collect.block import RecordKind
from hosu.collect.wal import Log, LogConfig

SECRETS = {
    "LIVE_KIS_APP_SECRET": "live-secret-that-nobody-may-see",
    "PAPER_KIS_APP_KEY": "paper-key-that-nobody-may-see",
    "AWS_SECRET_ACCESS_KEY": "aws-secret-that-nobody-may-see",
}
NOWHERE = ("--kis", "simulator", "--rest", "http://127.0.0.1:1", "--ws", "ws://127.0.0.1:1", "--symbols", "005930")


def refused(
    home: Path,
    *words: object,
    by: Callable[..., Finished] = hosu,
    code: int = 1,
    stdin: bytes = b"",
    variables: Mapping[str, str] | None = None,
) -> Finished:
    """Runs what must not succeed, with secrets in the environment."""
    ran = by(home, *words, stdin=stdin, **SECRETS, **(variables or {}))
    assert ran.code == code, ran
    assert "Traceback" not in ran.err
    assert "a fault of its own" not in ran.err
    said = [ran.out, ran.err, *(path.read_text("utf-8", "replace") for path in home.rglob("*.log") if path.is_file())]
    assert not [secret for secret in SECRETS.values() for text in said if secret in text]
    return ran


def sentence(ran: Finished) -> str:
    """The one thing it said, on one line."""
    assert ran.out == ""
    return " ".join(ran.err.split())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with things that are not what a command wants."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("mine")
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty").write_bytes(b"")
    pq.write_table(pa.table({"date": ["2025-09-15"], "code": ["005930"]}), tmp_path / "two-columns.parquet")
    return tmp_path


CASES = {
    "no keys": (("collect",), {}, "hosu: LIVE_KIS_APP_KEY is not set; set it in the environment or .env"),
    "key without its secret": (
        ("collect", "--kis", "paper"),
        {},
        "hosu: PAPER_KIS_APP_SECRET is not set; set it in the environment or .env",
    ),
    "log level": (
        ("collect", *NOWHERE, "--lake", "lake"),
        {"LOG_LEVEL": "chatty"},
        "hosu: LOG_LEVEL is malformed (input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR')",
    ),
    "memory": (
        ("sql", "SELECT 1", "--lake", "foreign"),
        {"HOSU_SQL_MEMORY_MIB": "plenty"},
        "hosu: HOSU_SQL_MEMORY_MIB is malformed (input should be a valid integer",
    ),
    "poll interval": (
        ("status", "--lake", "lake"),
        {"HOSU_POLL_SECONDS": "0"},
        "hosu: HOSU_POLL_SECONDS is malformed (input should be greater than or equal to 1)",
    ),
    "foreign folder to collect into": (
        ("collect", *NOWHERE, "--lake", "foreign"),
        {},
        "foreign is not a lake of hosu (it holds files but no _hosu/lake.json); name an empty folder or",
    ),
    "foreign folder to replay into": (
        ("replay", "garbage", "--lake", "foreign"),
        {},
        "foreign is not a lake of hosu (it holds files but no _hosu/lake.json)",
    ),
    "no lake to ask": (("sql", "SELECT 1", "--lake", "nowhere"), {}, "nowhere is not a lake of hosu"),
    "file as lake": (("lake", "tables", "--lake", "garbage"), {}, "garbage: is a file, not a folder"),
    "lake below a file": (("collect", *NOWHERE, "--lake", "garbage/lake"), {}, "Not a directory"),
    "lake where no folder can be made": (("collect", *NOWHERE, "--lake", "/proc/lake"), {}, "hosu: /proc/lake"),
    "no status": (
        ("status", "--lake", "nowhere"),
        {},
        "hosu: nowhere/.hosu/status.json: there is no status; start `hosu collect` first",
    ),
    "frames to decode are not there": (("decode", "frames"), {}, "frames: No such file or directory; name a readable"),
    "folder to decode": (("decode", "foreign"), {}, "foreign: Is a directory; name a readable file"),
    "segments to replay are not there": (("replay", "wal", "--lake", "lake"), {}, "wal: does not exist; name a"),
    "nothing to replay": (("replay", "foreign", "--lake", "lake"), {}, "foreign: holds no segments"),
    "no segment to replay": (("replay", "garbage", "--lake", "lake"), {}, "garbage is damaged at byte 0"),
    "simulator is not named": (
        ("collect", "--kis", "simulator", "--lake", "lake"),
        {},
        "hosu: --kis simulator: needs --rest and --ws; take them from the simulator's first line",
    ),
    "unknown broker": (("collect", "--kis", "mars"), {}, "--kis mars: is unknown; choose live, paper or simulator"),
    "address": (
        ("collect", "--kis", "simulator", "--rest", "here", "--ws", "there", "--symbols", "005930", "--lake", "lake"),
        {},
        "hosu: here: not an address of the kind http://; write it as http://host:port",
    ),
    "unknown feed": (
        ("collect", *NOWHERE, "--lake", "lake", "--feeds", "trades,candles"),
        {},
        "are not all known; choose from trades, quotes, expected, market_events",
    ),
    "symbol": (
        ("collect", *NOWHERE[:-1], "5930", "--lake", "lake"),
        {},
        "hosu: symbol '5930': has 4 digits instead of six; keep its leading zeros, as in 005930",
    ),
    "list of symbols is no text": (
        ("collect", *NOWHERE[:-1], "garbage", "--lake", "lake"),
        {},
        "hosu: garbage: is not UTF-8 text",
    ),
    "no universe to be had": (("collect", *NOWHERE[:-1], "all", "--lake", "lake"), {}, "cannot be reached"),
    "bars are no Parquet": (
        ("simulator", "--bars", "garbage", "--date", "2025-09-15"),
        {},
        "hosu: garbage: cannot be read as minute bars",
    ),
    "bars are not there": (("simulator", "--bars", "b", "--date", "2025-09-15"), {}, "hosu: b: does not exist"),
    "bars lack columns": (
        ("simulator", "--bars", "two-columns.parquet", "--date", "2025-09-15"),
        {},
        "two-columns.parquet: has no column time, open, high, low, close, volume, amount",
    ),
    "holiday": (("simulator", "--date", "2025-10-03"), {}, "hosu: KRX does not trade on 2025-10-03"),
    "weekend": (("simulator", "--date", "2026-09-13"), {}, "hosu: KRX does not trade on 2026-09-13 (weekend)"),
    "beyond the calendar": (("simulator", "--date", "2099-09-14"), {}, "2099-09-14 lies outside the known calendar"),
    "simulated symbol": (("simulator", "--symbols", "005930,a$"), {}, "hosu: symbol 'a$': is not a code"),
    "simulated feed": (("simulator", "--feeds", "candles"), {}, "candles"),
    "speed": (("simulator", "--speed", "fast"), {}, "hosu: speed fast: is no number; give a number above 0, or max"),
    "no recorded frames": (("simulator", "--frames", "empty"), {}, "hosu: recorded frames: there are none"),
    "report into no folder": (("simulator", "--report", "no/sent.json"), {}, "no/sent.json: its folder does not exist"),
    "address of master files": (
        ("instruments", "sync", "--rest", "here", "--lake", "lake"),
        {},
        "hosu: here: not an address of the kind http://; write it as http://host:port",
    ),
    "no master files": (("instruments", "sync", "--from", "foreign", "--lake", "lake"), {}, "holds no master file"),
}


@pytest.mark.parametrize(("words", "variables", "wanted"), CASES.values(), ids=CASES)
def test_wrong_input_is_one_sentence_and_changes_nothing(
    here: Here, home: Path, words: tuple[str, ...], variables: dict[str, str], wanted: str
):
    said = sentence(refused(home, *words, by=here, variables=variables))
    assert said.startswith("hosu: ")
    assert wanted in said
    assert (home / "foreign" / "thesis.txt").read_text() == "mine"
    assert [path.name for path in (home / "foreign").iterdir()] == ["thesis.txt"]
    assert (home / "garbage").read_bytes() == bytes(range(256)) * 8


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("sql", "--quickly", "SELECT 1"), "No such option: --quickly"),
        (("sell",), "No such command 'sell'"),
        (("collect", *NOWHERE, "--scope", "NYSE"), "--scope is KRX, NXT or UN"),
        (("collect", *NOWHERE, "--durable-fd", "77"), "--durable-fd 77 is not open in this process"),
        (("simulator", "--bars", "b.parquet", "--frames", "f"), "choose one of --synthetic, --bars and --frames"),
        (("simulator", "--bars", "garbage"), "--bars needs --date"),
        (("simulator", "--date", "2025-13-99"), "2025-13-99 is no date; write it as YYYY-MM-DD"),
        (("simulator", "--port", "99999"), "should be less than or equal to 65534"),
        (("instruments", "sync", "--date", "yesterday"), "yesterday is no date; write it as YYYY-MM-DD"),
        (("instruments", "list", "--market", "NYSE"), "--market is KOSPI, KOSDAQ, KONEX"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_how_to_get_help(here: Here, home: Path, words: tuple[str, ...], wanted: str):
    ran = refused(home, *words, by=here, code=2)
    assert wanted in " ".join(ran.err.split())
    assert "--help" in ran.err
    assert not (home / "lake").exists()


def test_decode_says_what_is_wrong_with_each_frame_and_goes_on(here: Here, home: Path):
    (home / "frames").write_bytes(
        b'0|H0STCNT0|001|005930^093000\nhello\n0|H0XXXXX0|001|a^b\n\xff\xfe\n{"header":{"tr_id":"PINGPONG"}}\n'
    )
    ran = refused(home, "decode", "frames", by=here)
    assert [line.split('"error": "')[1].split('"')[0] for line in ran.out.splitlines() if "error" in line] == [
        "record of 2 fields; the narrowest known layout of H0STCNT0 has 46",
        "has 1 of the four parts flag|TR id|count|records",
        "unknown TR id",
        "not UTF-8 text: byte 0xff at 0",
    ]
    assert ran.err == "hosu: 4 of 5 frames could not be parsed\n"


def test_decode_of_nothing_says_nothing(here: Here, home: Path):
    assert here(home, "decode", "empty") == Finished(0, "", "")
    assert here(home, "decode", stdin=b"\n\n") == Finished(0, "", "")


def test_doctor_without_keys_says_what_is_missing_and_ends_well(here: Here, home: Path):
    checks = {each["check"]: each for each in here(home, "doctor", "--no-network", "--format", "json").json()}
    assert checks["LIVE_KIS_APP_KEY"]["state"] == "note"
    assert checks["LIVE_KIS_APP_KEY"]["found"] == "not set"
    assert "demo and simulator need none" in checks["LIVE_KIS_APP_KEY"]["do"]
    assert {checks[name]["state"] for name in ("python", "libraries")} == {"ok"}


def test_doctor_never_shows_a_key(here: Here, home: Path):
    ran = here(home, "doctor", "--no-network", **SECRETS)
    assert ran.code == 0
    assert "characters, usual are 180" in ran.out
    assert not [secret for secret in SECRETS.values() if secret in ran.out + ran.err]


def test_port_in_use_is_named(here: Here, home: Path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = sentence(refused(home, "simulator", "--port", port, by=here))
    assert said == f"hosu: port {port} on 127.0.0.1 is in use; choose another, or 0 for a free one"


@pytest.mark.slow
def test_a_collector_that_never_stood_connected_has_not_succeeded(home: Path):
    ran = refused(home, "collect", *NOWHERE, "--lake", "lake", "--until-idle", "1", "--no-bars", "--format", "json")
    assert json.loads(ran.out)["connects"] == 0
    said = ran.err.splitlines()[-1]
    assert said.startswith("hosu: ws://127.0.0.1:1 cannot be reached (no connection ever stood; no market data for 6")


# --- SQL ----------------------------------------------------------------------------------------------------------

READ_ONLY = "hosu: SQL changes nothing in the lake: what is run is a query (SELECT, WITH, FROM, DESCRIBE, "


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELEC 1", 'hosu: Parser Error: syntax error at or near "SELEC"'),
        ("SELECT nope FROM trades", 'hosu: Binder Error: Referenced column "nope" not found'),
        ("FROM nothing", "hosu: Catalog Error: Table with name nothing does not exist"),
        ("", "hosu: the query is empty; write one, such as FROM trades LIMIT 5"),
        (" \n", "hosu: the query is empty"),
        ("SELECT 1; SELECT 2", "hosu: that is 2 statements; one query is run at a time"),
        ("COPY trades TO 'out.csv'", READ_ONLY),
        ("ATTACH 'out.duckdb'", READ_ONLY),
        ("DROP TABLE trades", READ_ONLY),
        ("SET memory_limit = '100GB'", READ_ONLY),
        ("EXPLAIN ANALYZE COPY trades TO 'out.csv'", READ_ONLY),
        ("SELECT * FROM read_text('/etc/passwd')", 'hosu: Permission Error: Cannot access file "/etc/passwd"'),
        ("FROM '../../../secret.csv'", "hosu: Permission Error"),
        ("SELECT * FROM read_text('{lake}/.hosu/status.json')", "hosu: Permission Error"),
    ],
)
def test_sql_that_is_wrong_or_writes_is_refused(here: Here, home: Path, demo_lake: Path, query: str, wanted: str):
    query = query.replace("{lake}", str(demo_lake))
    said = sentence(refused(home, "sql", "-", "--lake", demo_lake, by=here, stdin=query.encode()))
    assert said.startswith(wanted)
    assert not list(home.glob("out.*"))


# --- damage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def lake(demo_lake: Path, home: Path) -> Path:
    """A copy of the demo's lake to damage."""
    shutil.copytree(demo_lake, home / "lake")
    return home / "lake"


def flip(path: Path, offset: int) -> bytes:
    """Turns one byte of a file around. Returns what the file holds now."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)
    return bytes(content)


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_verify_names_the_damaged_parquet_file(here: Here, lake: Path, home: Path):
    file = next(lake.glob("raw/trades/date=*/sorted-*.parquet"))
    flip(file, file.stat().st_size // 2)
    before = snapshot(lake)
    ran = refused(home, "lake", "verify", "--lake", "lake", "--format", "json", by=here)
    assert refused(home, "lake", "verify", "--deep", "--lake", "lake", "--format", "json", by=here) == ran
    assert str(file) in ran.out
    assert '"table": "trades"' in ran.out
    assert "1 wrong" in ran.err
    assert snapshot(lake) == before


@pytest.mark.slow
def test_verify_names_the_damaged_segment_of_the_archive(here: Here, lake: Path, home: Path):
    file = next(lake.glob("raw/frames/date=*/*.log.zst"))
    flip(file, file.stat().st_size // 2)
    ran = refused(home, "lake", "verify", "--lake", "lake", by=here)
    assert file.name in ran.out
    assert "1 wrong" in ran.err


@pytest.mark.slow
@pytest.mark.parametrize("words", [("sql", "SELECT count(*) FROM trades"), ("lake", "compact"), ("lake", "bars")])
def test_corrupt_delta_log_is_named_and_left_alone(here: Here, lake: Path, home: Path, words: tuple[str, ...]):
    log = lake / "raw" / "trades" / "_delta_log"
    for file in log.iterdir():
        file.write_bytes(b"\x00garbage\n" * 20)
    before = snapshot(lake / "raw")
    said = sentence(refused(home, *words, "--lake", "lake", by=here))
    assert "table trades is damaged at" in said
    assert "run: hosu lake verify" in said
    assert snapshot(lake / "raw") == before


@pytest.mark.slow
def test_collector_does_not_start_on_a_corrupt_delta_log(lake: Path, home: Path):
    (commit,) = sorted((lake / "raw" / "quotes" / "_delta_log").glob("*.checkpoint.parquet"))
    flip(commit, commit.stat().st_size // 2)
    before = snapshot(lake / "raw")
    said = refused(home, "collect", *NOWHERE, "--lake", "lake").err
    assert "table quotes is damaged at" in said
    assert snapshot(lake / "raw") == before


@pytest.mark.slow
def test_lost_data_file_is_named_by_who_needs_it(here: Here, lake: Path, home: Path):
    file = next(lake.glob("raw/trades/date=*/sorted-*.parquet"))
    file.unlink()
    assert file.name in sentence(refused(home, "sql", "SELECT sum(size) FROM trades", "--lake", "lake", by=here))


# --- the log ------------------------------------------------------------------------------------------------------


def write_log(folder: Path, payloads: list[bytes], segment_bytes: int = 64 << 20) -> list[Path]:
    """A log that holds these frames. Returns its segments."""
    clock = SystemClock()
    log = Log.open(folder, clock, LogConfig(segment_bytes=segment_bytes))
    for payload in payloads:
        log.append(RecordKind.FRAME, 1, clock.now_us(), payload)
        log.wait_written(10)
    log.close()
    return sorted(folder.glob("*.log"))


@pytest.fixture
def frames() -> list[bytes]:
    """Frames that no table takes, so that nothing but the log matters."""
    return [b"0|H0UNKNOWN|001|005930^%d" % number for number in range(400)]


@pytest.mark.slow
def test_damaged_last_segment_stops_the_start_and_is_left_alone(home: Path, frames: list[bytes]):
    (segment,) = write_log(home / "state" / "wal", frames)
    damaged = flip(segment, segment.stat().st_size // 2)
    said = sentence(refused(home, "collect", *NOWHERE, "--lake", "lake", "--state", home / "state"))
    assert f"{segment} is damaged at byte" in said
    assert "keep the file and restore it from a copy" in said
    assert segment.read_bytes() == damaged


@pytest.mark.slow
def test_damaged_earlier_segment_stops_the_collector_and_is_left_alone(home: Path, frames: list[bytes]):
    segments = write_log(home / "state" / "wal", frames, segment_bytes=4_000)
    assert len(segments) > 2
    damaged = flip(segments[0], segments[0].stat().st_size // 2)
    ran = refused(home, "collect", *NOWHERE, "--lake", "lake", "--state", home / "state")
    assert f"{segments[0]} is damaged at byte" in ran.err
    assert segments[0].read_bytes() == damaged
    assert all(segment.exists() for segment in segments)


@pytest.mark.slow
def test_second_collector_of_a_log_is_told_who_has_it(home: Path, frames: list[bytes]):
    log = Log.open(home / "state" / "wal", SystemClock())
    try:
        said = sentence(refused(home, "collect", *NOWHERE, "--lake", "lake", "--state", home / "state"))
    finally:
        log.close()
    assert "in use by" in said
    assert "stop that process first" in said
