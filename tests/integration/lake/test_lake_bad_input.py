"""Lakes that are not ours, cannot be written, or are damaged: a clear error, and nothing overwritten."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from typer.testing import CliRunner

from hosu.cli.main import app
from hosu.collect.sinks import EventBatch
from hosu.errors import InputError, LakeReadOnlyError, NotALakeError, QueryError, TableCorruptError
from hosu.lake.delta import NewFile
from hosu.lake.lake import FORMAT, Lake
from hosu.lake.sql import Session
from hosu.lake.storage import Storage
from hosu.lake.tables import TABLES
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink

Batch = Callable[..., EventBatch]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def filled(lake: Lake, batch: Batch) -> Lake:
    sink = LakeSink(lake)
    for n in range(3):
        sink.write(batch({"lsn": n}))
        sink.flush()
    sink.close()
    return lake


def data_files(lake: Lake) -> list[Path]:
    return sorted(Path(lake.root).glob("raw/trades/date=*/*.parquet"))


def test_a_folder_with_files_of_somebody_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(NotALakeError, match=r"it holds files but no _hosu/lake\.json"):
        Lake.open(str(tmp_path))
    assert tree(tmp_path) == {"thesis.txt": b"mine"}


def test_the_collectors_state_folder_may_be_there_first(tmp_path: Path) -> None:
    (tmp_path / ".hosu").mkdir()
    assert Lake.open(str(tmp_path)).find("trades") is None


def test_a_lake_of_a_newer_hosu_is_not_touched(lake: Lake) -> None:
    marker = Path(lake.root) / "_hosu/lake.json"
    marker.write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(NotALakeError, match=f"format {FORMAT + 1} is newer than {FORMAT}"):
        Lake.open(lake.root)
    marker.write_text("{")
    with pytest.raises(NotALakeError, match="cannot be read"):
        Lake.open(lake.root, create=False)
    (Path(lake.root) / "thesis.txt").write_text("mine")
    with pytest.raises(NotALakeError, match="cannot be read"):
        Lake.open(lake.root)


@pytest.mark.parametrize("left", [b"", b"{", bytes(80)])
def test_a_lake_whose_marker_was_torn_before_anything_else_was_written_is_begun_anew(lake: Lake, left: bytes) -> None:
    (Path(lake.root) / "_hosu/lake.json").write_bytes(left)
    assert Lake.open(lake.root).identity != lake.root


@pytest.mark.parametrize("left", ["unsynced", ".lake.json.again", "lake.json#1"])
def test_a_lake_whose_marker_a_power_cut_took_is_begun_anew_whatever_its_making_left(lake: Lake, left: str) -> None:
    """The disk refused to sync the marker, which was noted; the note outlived the marker."""
    (Path(lake.root) / "_hosu/lake.json").unlink()
    (Path(lake.root) / "_hosu" / left).write_text("_hosu/lake.json\n")
    assert Lake.open(lake.root).identity != lake.root
    assert (Path(lake.root) / "_hosu/lake.json").exists()


def test_no_lake_is_made_where_none_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(NotALakeError, match="there is no such folder"):
        Lake.open(str(tmp_path / "none"), create=False)
    with pytest.raises(NotALakeError, match="it is empty"):
        Lake.open(str(tmp_path), create=False)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_table_is_named_beside_the_known_ones(lake: Lake) -> None:
    with pytest.raises(InputError, match=r"'trade': does not exist; choose one of trades, quotes"):
        lake.find("trade")


@pytest.fixture
def as_nobody() -> Iterator[Path]:
    """A folder that this process may read and not write, also where the tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        user = os.geteuid()
        folder.chmod(0o755)
        yield folder
        os.seteuid(user)


def forbid_writing(folder: Path) -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)
    else:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)


def allow_writing(folder: Path) -> None:
    if os.getuid() == 0:
        os.seteuid(0)
    else:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_lake_that_may_only_be_read_can_be_asked_but_not_written(as_nobody: Path, batch: Batch) -> None:
    lake = Lake.open(str(as_nobody / "lake"))
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}))
    sink.close()
    sink.write(batch({"lsn": 1}))
    Session(lake).close()  # all modules are loaded before this process may read less
    before = tree(as_nobody)
    forbid_writing(as_nobody)
    try:
        with pytest.raises(LakeReadOnlyError, match="cannot be written"):
            sink.flush()
        with pytest.raises(LakeReadOnlyError, match="cannot be written"):
            Lake.open(str(as_nobody / "another"))
        with Session(Lake.open(lake.root)) as session:
            assert session.query("SELECT count(*) AS n FROM trades").to_pylist() == [{"n": 1}]
    finally:
        allow_writing(as_nobody)
    assert tree(as_nobody) == before
    sink.close()
    with Session(lake) as session:
        assert session.query("SELECT count(*) AS n FROM trades").to_pylist() == [{"n": 2}]


def test_a_garbled_commit_is_named_and_the_log_left_as_it_is(filled: Lake) -> None:
    path = Path(filled.root) / "raw/trades/_delta_log/00000000000000000002.json"
    path.write_text("{garbage")
    before = tree(Path(filled.root))

    with pytest.raises(TableCorruptError, match=r"table trades is damaged at .*_delta_log"):
        LakeSink(filled)
    with Session(filled) as session:
        assert session.query("SELECT count(*) AS n FROM quotes").to_pylist() == [{"n": 0}]
        with pytest.raises(TableCorruptError, match="table trades is damaged"):
            session.query("FROM trades WHERE false")
    findings = verify(filled).findings
    assert [finding.table for finding in findings] == ["trades"]
    assert tree(Path(filled.root)) == before


def test_one_damaged_table_hides_no_other(filled: Lake) -> None:
    for commit in Path(filled.root).glob("raw/quotes/_delta_log/*"):
        commit.write_text("{garbage")
    ran = CliRunner().invoke(app, ["lake", "tables", "--lake", filled.root, "--format", "json"])
    assert ran.exit_code == 1
    rows = {row["table"]: (row["rows"], row["files"]) for row in json.loads(ran.stdout)}
    assert sorted(rows) == sorted(TABLES)
    assert (rows["trades"], rows["expected"], rows["quotes"]) == ((3, 3), (0, 0), (None, None))
    (said,) = ran.stderr.splitlines()
    assert said.startswith("hosu: table quotes is damaged at ")


def test_a_missing_commit_is_found(filled: Lake) -> None:
    (Path(filled.root) / "raw/trades/_delta_log/00000000000000000001.json").unlink()
    with pytest.raises(TableCorruptError, match="trades"):
        filled.find("trades")


def test_data_files_without_a_log_are_no_empty_table(filled: Lake) -> None:
    log = Path(filled.root) / "raw/trades/_delta_log"
    log.rename(Path(filled.root) / "elsewhere")
    with pytest.raises(TableCorruptError, match="data files but no log"):
        filled.table("trades")


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-20]), "bytes, the log says"),
        (lambda path: path.write_bytes(b"\0" * path.stat().st_size), "cannot be read"),
    ],
)
def test_verify_names_the_damaged_file_and_only_it(filled: Lake, damage: Callable[[Path], object], says: str) -> None:
    victim = data_files(filled)[1]
    damage(victim)

    findings = verify(filled).findings
    assert [(finding.table, finding.path) for finding in findings] == [("trades", str(victim))]
    assert says in findings[0].fault
    assert "verify --repair" in findings[0].next_step


@pytest.mark.parametrize(("column", "found_by_footers"), [("size", False), ("lsn", True)])
def test_verify_finds_a_flipped_byte_unless_it_is_to_be_quick_and_has_no_need_to_read_it(
    filled: Lake, column: str, found_by_footers: bool
) -> None:
    victim = data_files(filled)[0]
    group = pq.read_metadata(victim).row_group(0)
    chunk = next(group.column(i) for i in range(group.num_columns) if group.column(i).path_in_schema == column)
    data = bytearray(victim.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 0x40
    victim.write_bytes(bytes(data))

    named = [str(victim)]
    assert [finding.path for finding in verify(filled, deep=False).findings] == (named if found_by_footers else [])
    assert [finding.path for finding in verify(filled).findings] == named

    root = ("--lake", filled.root)
    found = CliRunner().invoke(app, ["lake", "verify", *root])
    assert (found.exit_code, "1 wrong\n" in found.stderr) == (1, True)
    assert str(victim) in found.stdout
    quick = CliRunner().invoke(app, ["lake", "verify", "--quick", *root])
    assert quick.exit_code == int(found_by_footers)
    assert "wrong; the pages of the files were not read, nor the archive decoded: leave out --quick" in quick.stderr


def test_a_repair_is_never_quick(filled: Lake) -> None:
    refused = CliRunner().invoke(app, ["lake", "verify", "--repair", "--quick", "--lake", filled.root])
    assert refused.exit_code == 2
    assert "--repair reads every page" in refused.stderr


def test_verify_finds_rows_stored_twice_and_rows_no_commit_covers(filled: Lake) -> None:
    table = filled.find("trades")
    assert table is not None
    file = table.files()[0]
    data = (Path(filled.root) / table.path(file)).read_bytes()
    copy = f"date={file.date}/live-{1:032x}.parquet"
    filled.storage.put(table.path(copy), data)
    table.append([NewFile(copy, file.date, len(data), file.rows, '{"numRecords": 1}')], {"other": 1})

    faults = [finding.fault for finding in verify(filled).findings]
    assert len(faults) == 1
    assert faults[0].startswith("holds 1 records more than once, the first is ")


def test_a_healthy_lake_has_no_findings(filled: Lake) -> None:
    report = verify(filled, deep=True)
    assert (report.findings, report.files, report.rows) == ((), 3, 3)


def test_a_table_that_vanishes_while_it_is_open_is_damaged(filled: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled.table("trades")
    shutil.rmtree(Path(filled.root) / "raw/trades")

    def stale(self: DeltaTable) -> None:  # as after commits were cleaned away
        raise DeltaError("log segment is gone")

    monkeypatch.setattr(DeltaTable, "update_incremental", stale)
    with pytest.raises(TableCorruptError, match="table trades is damaged"):
        table.refresh()


def test_a_query_over_a_file_that_went_missing_says_which(filled: Lake) -> None:
    victim = data_files(filled)[2]
    with Session(filled) as session:
        victim.unlink()
        with pytest.raises(TableCorruptError, match=rf"table trades .*{victim.name} is missing\); run"):
            session.query("SELECT * FROM trades")


ASKED_OF_TRADES = (
    "SELECT count(*) AS n FROM trades",
    "SELECT count(*) AS n FROM trades WHERE date = '2025-09-15'",
    "SELECT count(*) AS n FROM trades WHERE false",
    "SELECT count(*) AS n FROM quotes LEFT JOIN trades USING (date, symbol)",
    "SELECT count(*) AS n FROM quotes WHERE EXISTS (SELECT 1 FROM main.Trades WHERE price < 0)",
    "SELECT count(*) AS n FROM trades_unique WHERE date = '2025-09-15'",
    "SELECT count(*) AS n FROM raw_stock_data WHERE date = '2025-09-15' AND data_type = 'trade'",
    "WITH day AS (FROM raw_stock_data LIMIT 0) SELECT count(*) AS n FROM day",
    "EXPLAIN SELECT symbol FROM trades",
)


@pytest.mark.parametrize("harm", ["one is missing", "all are missing", "all are empty", "all are garbled"])
def test_a_table_that_cannot_be_read_is_refused_and_never_taken_for_an_empty_one(filled: Lake, harm: str) -> None:
    files = data_files(filled)
    for path in files[1:2] if harm == "one is missing" else files:
        if harm.endswith("missing"):
            path.unlink()
        else:
            path.write_bytes(b"" if harm.endswith("empty") else bytes(path.stat().st_size))
    with Session(filled) as session:
        for sql in ASKED_OF_TRADES:
            with pytest.raises(TableCorruptError, match=r"table trades is damaged .* run: hosu lake verify --repair"):
                session.query(sql)
            with pytest.raises(TableCorruptError, match="table trades is damaged"):
                session.reader(sql)


@pytest.mark.parametrize("harm", [Path.unlink, lambda path: path.write_bytes(b"")])
def test_a_table_that_cannot_be_read_keeps_nobody_from_asking_others(
    filled: Lake, harm: Callable[[Path], object]
) -> None:
    for path in data_files(filled):
        harm(path)
    with Session(filled) as session:
        for name in (*session.names, "information_schema.columns", "duckdb_views()"):
            if name not in ("trades", "trades_unique", "raw_stock_data"):
                session.query(f"FROM {name}")
        assert session.query("WITH trades AS (SELECT 7 AS x) FROM trades").to_pylist() == [{"x": 7}]
        assert set(session.query("SHOW TABLES")["name"].to_pylist()) == set(session.names)
        with pytest.raises(QueryError, match="no_such_table"):
            session.query("FROM no_such_table")


def test_what_the_damage_of_a_view_s_table_is_is_said_of_the_table(filled: Lake, batch: Batch) -> None:
    """A view over two tables: the one that is damaged is named."""
    sink = LakeSink(filled)
    sink.write(batch({"lsn": 3}, table="quotes", wal="w2", first=0))
    sink.close()
    for path in Path(filled.root).glob("raw/quotes/date=*/*.parquet"):
        path.unlink()
    with Session(filled) as session:
        assert session.query("SELECT count(*) AS n FROM trades_unique").to_pylist() == [{"n": 3}]
        with pytest.raises(TableCorruptError, match="table quotes is damaged"):
            session.query("SELECT count(*) AS n FROM raw_stock_data WHERE data_type = 'trade'")


def test_a_damaged_file_behind_the_first_is_told_as_damage_where_it_is_met(filled: Lake) -> None:
    victim = data_files(filled)[-1]
    victim.write_bytes(b"")
    with Session(filled) as session, pytest.raises(TableCorruptError, match=victim.name):
        session.query("SELECT sum(price) FROM trades")


def test_a_marker_is_made_durable_whoever_wrote_it_before_anything_is_written_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote it may have been killed before it was synced: a power cut then leaves tables without a lake."""
    root = str(tmp_path / "lake")
    Lake.open(root)
    synced: list[str] = []
    monkeypatch.setattr(Storage, "sync", lambda _, paths: synced.extend(paths))
    Lake.open(root)
    assert synced == ["_hosu/lake.json"]
    synced.clear()
    Lake.open(root, create=False)
    assert synced == []
