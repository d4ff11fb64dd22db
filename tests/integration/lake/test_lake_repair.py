"""What a power cut takes of a lake is rebuilt from its frames; nothing else is touched, and nothing is removed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archived_log import ArchivedLog, volumes

from hosu.cli.lake import verify as verify_command
from hosu.cli.output import Format
from hosu.collect.replay import replay
from hosu.errors import LakeReadOnlyError, LockedError, TableCorruptError
from hosu.lake.compact import CompactConfig, compact
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode
from hosu.lake.repair import plan, repair
from hosu.lake.sql import Session
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink
from hosu.locks import FileLock

SEGMENTS = (6, 5, 4)
ALL = list(range(15))


@pytest.fixture
def filled(lake: Lake, log: ArchivedLog) -> Lake:
    """Fifteen trades in three files of as many commits, and the three segments they came from in the archive."""
    for segment in log.receive(*SEGMENTS):
        log.store(lake, segment)
        sink = LakeSink(lake)
        replay(Path(lake.root) / "raw/frames", sink)
        sink.close()
    return lake


def trades(lake: Lake) -> Path:
    return Path(lake.root) / "raw/trades"


def commits(lake: Lake) -> list[Path]:
    return sorted((trades(lake) / "_delta_log").glob("*.json"))


def data_files(lake: Lake) -> list[Path]:
    table = lake.find("trades")
    assert table is not None
    return [trades(lake) / file.path for file in table.files()]


def tree(lake: Lake) -> dict[str, bytes]:
    root = Path(lake.root)
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def zeroed(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:200] + bytes(300) + content[500:])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def cut_at_a_line(path: Path) -> None:
    path.write_bytes(path.read_bytes().rpartition(b"\n")[0])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_sound_lake_needs_nothing(filled: Lake):
    before = tree(filled)
    found = repair(filled)
    assert (found.steps, found.beyond) == ([], [])
    assert {name: content for name, content in tree(filled).items() if "/locks/" not in name} == before


@pytest.mark.parametrize("harm", [Path.unlink, emptied, halved, zeroed])
def test_a_damaged_data_file_is_decoded_again_from_the_frames(filled: Lake, harm: Callable[[Path], None]):
    victim = data_files(filled)[1]
    harm(victim)
    (step,) = plan(filled).steps
    assert (step.table, step.path) == ("trades", str(victim))
    assert "rows decoded again from the frames" in step.does
    assert repair(filled).beyond == []
    assert volumes(filled) == ALL
    assert verify(filled, deep=True).findings == ()


def test_a_disk_that_takes_nothing_ends_a_repair_and_does_not_make_the_file_lost(
    filled: Lake, monkeypatch: pytest.MonkeyPatch
):
    victim = data_files(filled)[1]
    victim.unlink()

    def refused(*args: object) -> None:
        raise LakeReadOnlyError(str(victim.parent), "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr("hosu.lake.repair_rows.RowRebuilder._store", refused)
        with pytest.raises(LakeReadOnlyError, match="cannot be written"):
            repair(filled)
    assert repair(filled).beyond == []
    assert volumes(filled) == ALL


def test_a_plan_changes_nothing(filled: Lake):
    zeroed(data_files(filled)[0])
    halved(commits(filled)[-1])
    before = tree(filled)
    times = {path: path.stat().st_mtime_ns for path in Path(filled.root).rglob("*")}
    assert len(plan(filled).steps) >= 1
    assert tree(filled) == before
    assert {path: path.stat().st_mtime_ns for path in Path(filled.root).rglob("*")} == times


@pytest.mark.parametrize("harm", [emptied, halved, cut_at_a_line, lambda path: path.write_bytes(bytes(500))])
@pytest.mark.parametrize("number", [-1, -2])
def test_a_torn_end_of_a_tables_log_is_set_aside_and_its_rows_stored_again(
    filled: Lake, harm: Callable[[Path], None], number: int
):
    victim = commits(filled)[number]
    harm(victim)
    with pytest.raises(TableCorruptError, match="verify --repair"):
        LakeSink(Lake.open(filled.root))
    torn = victim.read_bytes()
    assert repair(filled).beyond == []
    assert volumes(filled) == ALL
    assert verify(filled, deep=True).findings == ()
    (kept,) = (Path(filled.root) / "_hosu/aside").rglob(victim.name)
    assert kept.read_bytes() == torn


def test_commits_behind_one_that_is_missing_are_set_aside_and_stored_again(filled: Lake):
    commits(filled)[-2].unlink()
    assert repair(filled).beyond == []
    assert volumes(filled) == ALL
    assert verify(filled, deep=True).findings == ()


@pytest.mark.parametrize("harm", [emptied, halved, Path.unlink])
def test_a_damaged_checkpoint_is_set_aside(filled: Lake, harm: Callable[[Path], None]):
    table = filled.find("trades")
    assert table is not None
    table.checkpoint()
    (checkpoint,) = (trades(filled) / "_delta_log").glob("*.checkpoint.parquet")
    harm(checkpoint)
    assert verify(filled, ["trades"]).findings != ()
    found = repair(filled)
    assert found.beyond == []
    assert {step.does.rpartition("; ")[2] for step in found.steps} == {"the commits say the same"}
    assert volumes(filled) == ALL
    assert verify(filled, deep=True).findings == ()


def test_a_table_without_its_log_is_stored_again_as_a_whole(filled: Lake):
    shutil.rmtree(trades(filled) / "_delta_log")
    assert repair(filled).beyond == []
    assert volumes(filled) == ALL
    assert verify(filled, deep=True).findings == ()


def test_a_table_without_its_log_stays_where_the_frames_do_not_go_back_to_its_begin(filled: Lake):
    shutil.rmtree(trades(filled) / "_delta_log")
    before = sorted(trades(filled).rglob("*.parquet"))
    min((Path(filled.root) / "raw/frames").rglob("*.zst")).unlink()
    (beyond, *_) = repair(filled).beyond
    assert (beyond.table, "cannot all be rebuilt" in beyond.fault) == ("trades", True)
    assert sorted(trades(filled).rglob("*.parquet")) == before


@pytest.mark.parametrize(
    ("name", "again"),
    [
        ("features_served_1s", "the collector serves again"),
        ("predictions", "not made again"),
        ("processed_ohlcv", "build or fetch again"),
    ],
)
def test_a_table_of_no_records_without_its_log_is_set_aside_or_whoever_adds_to_it_would_stand_still_for_ever(
    lake: Lake, name: str, again: str
):
    table = lake.table(name)
    rows = pa.Table.from_pylist([{}], schema=table.spec.file_schema)
    table.append([table.store("2026-09-15", "rows.parquet", encode(table.spec, rows))], {})
    for commit in (Path(lake.root) / table.path("_delta_log")).iterdir():
        emptied(commit)
    with pytest.raises(TableCorruptError):
        lake.table(name)
    found = repair(lake)
    assert [again in step.does for step in found.steps if step.table == name] == [True]
    assert found.beyond == []
    (kept,) = (Path(lake.root) / "_hosu/aside").rglob("rows.parquet")
    assert pq.read_metadata(kept).num_rows == 1
    assert lake.table(name).files() == []


def test_a_copy_missing_from_the_archive_is_made_again_from_the_log(filled: Lake, log: ArchivedLog):
    copies = sorted((Path(filled.root) / "raw/frames").rglob("*.zst"))
    for segment in log.segments:
        segment.with_name(f"{segment.name}.stored").write_text("{}")
    whole = copies[1].read_bytes()
    copies[0].unlink()
    halved(copies[1])
    found = repair(filled, logs=[log.folder])
    assert found.beyond == []
    assert [step.table for step in found.steps] == ["frames"] * 3
    assert copies[1].read_bytes() == whole
    assert verify(filled, deep=True).findings == ()


def test_what_the_frames_do_not_hold_is_left_as_it_is_and_said(filled: Lake):
    victim = data_files(filled)[0]
    rows = volumes(filled)
    halved(victim)
    copies = sorted((Path(filled.root) / "raw/frames").rglob("*.zst"))
    for copy in copies:
        copy.unlink()
    before = tree(filled)
    found = repair(filled)
    (beyond,) = found.beyond
    assert beyond.path == str(victim)
    assert "the frames hold 0" in beyond.fault
    assert found.steps == []
    assert {name: content for name, content in tree(filled).items() if "/locks/" not in name} == before
    assert len(rows) == 15


def test_what_the_frames_do_not_hold_is_let_go_of_where_that_is_wished(filled: Lake):
    victim = data_files(filled)[0]
    lost = pq.read_table(victim, columns=["cum_volume"], partitioning=None).column(0).to_pylist()
    left = [volume for volume in volumes(filled) if volume not in lost]
    halved(victim)
    shutil.rmtree(Path(filled.root) / "raw/frames")
    before = tree(filled)
    planned = plan(filled, let_go=True)
    assert tree(filled) == before
    done = repair(filled, let_go=True)
    assert [(step.table, step.path) for step in done.steps] == [(step.table, step.path) for step in planned.steps]
    assert f"let go of, with its {len(lost)} rows" in done.steps[0].does
    assert done.beyond == []
    assert volumes(filled) == left != []
    assert verify(filled).findings == ()
    (aside,) = (Path(filled.root) / "_hosu/aside").rglob(victim.name)
    assert aside.stat().st_size > 0


def test_what_the_frames_hold_of_a_file_comes_back_where_the_rest_is_let_go_of(filled: Lake):
    table = filled.find("trades")
    assert table is not None
    compact(filled, ["trades"], config=CompactConfig(reserve_bytes=0))
    (victim,) = data_files(filled)
    halved(victim)
    min((Path(filled.root) / "raw/frames").rglob("*.zst")).unlink()
    (beyond,) = repair(filled).beyond
    assert beyond.next_step == "restore it from a copy, or let it go: --let-go"
    (first, *_) = repair(filled, let_go=True).steps
    assert "of 15 rows the frames hold 9, the others are let go of" in first.does
    assert volumes(filled) == ALL[6:]
    assert {finding.table for finding in verify(filled).findings} == {"frames"}  # the archive has its hole still


def test_commits_behind_a_damaged_one_stay_where_the_frames_lack_what_they_say(filled: Lake):
    for copy in (Path(filled.root) / "raw/frames").rglob("*.zst"):
        copy.unlink()
    before = commits(filled)
    victim = before[-2]
    halved(victim)
    (beyond,) = repair(filled).beyond
    assert beyond.path == str(victim)
    assert "the frames lack records" in beyond.fault
    assert commits(filled) == before


def test_a_damaged_file_keeps_nobody_from_asking_other_tables(filled: Lake):
    for file in data_files(filled)[:1]:
        emptied(file)
    with Session(filled) as session:
        assert session.query("SELECT count(*) AS n FROM quotes").to_pylist() == [{"n": 0}]
        with pytest.raises(Exception, match=r"live-|parquet"):
            session.query("SELECT sum(cum_volume) FROM trades")
    for file in data_files(filled):
        emptied(file)
    with Session(filled) as session:
        assert session.query("SELECT count(*) AS n FROM quotes").to_pylist() == [{"n": 0}]
        for sql in ("SELECT count(*) FROM trades", "SELECT symbol FROM trades_unique"):
            with pytest.raises(Exception, match="table trades is damaged"):
                session.query(sql)


def test_every_commit_says_of_how_many_actions_it_is(filled: Lake):
    lines = commits(filled)[-1].read_text().splitlines()
    told = [json.loads(line)["commitInfo"]["hosu.actions"] for line in lines if "commitInfo" in line]
    assert told == [str(len(lines) - 1)]


# --- the command ----------------------------------------------------------------------------------------------------


def command(lake: Lake, state: Path) -> None:
    """``hosu lake verify --repair --yes``."""
    verify_command(repair=True, yes=True, state=state, lake=lake.root, format_=Format.json)


@pytest.mark.parametrize("key", ["", "shards/1a2b", "backfill", "repair"])
def test_the_command_looks_at_the_log_of_every_key_and_of_every_errand(lake: Lake, tmp_path: Path, key: str):
    log = ArchivedLog(tmp_path / "state" / key / "wal")
    log.receive(6, 5)
    copies = log.store(lake)
    sink = LakeSink(lake)
    replay(Path(lake.root) / "raw/frames", sink)
    sink.close()
    for segment in log.segments:
        segment.with_name(f"{segment.name}.stored").write_text("{}")
    whole = copies[0].read_bytes()
    copies[0].unlink()
    command(lake, tmp_path / "state")
    assert copies[0].read_bytes() == whole


@pytest.mark.parametrize("held", ["collect.lock", "wal/lock", "shards/1a2b/wal/lock", "backfill/wal/lock"])
def test_the_command_changes_nothing_while_anybody_writes_to_the_lake(filled: Lake, tmp_path: Path, held: str):
    halved(commits(filled)[-1])
    before = tree(filled)
    with FileLock(tmp_path / "state" / held, "what a collector holds"), pytest.raises(LockedError, match="process"):
        command(filled, tmp_path / "state")
    assert tree(filled) == before
