"""Compaction changes how rows lie, never which rows there are."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hosu.clock import SimulatedClock, SystemClock
from hosu.collect.sinks import EventBatch
from hosu.errors import CommitConflictError, LakeFullError, LockedError, TableCorruptError
from hosu.lake.commits import log_versions
from hosu.lake.compact import CompactConfig, compact, compact_date, is_compact, vacuum
from hosu.lake.delta import CHECKPOINT_EVERY, CLEAN_EVERY, FENCE, Table
from hosu.lake.lake import Lake
from hosu.lake.lease import maintenance
from hosu.lake.sql import Session, SqlConfig
from hosu.lake.storage import Storage
from hosu.lake.tables import TABLES
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink

Batch = Callable[..., EventBatch]
CONFIG = CompactConfig(sort=SqlConfig(memory_mib=256))


def table_of(lake: Lake, name: str = "trades") -> Table:
    table = lake.find(name)
    assert table is not None
    return table


def lsns(lake: Lake) -> list[int]:
    with Session(lake) as session:
        return session.query("SELECT lsn FROM trades ORDER BY lsn").column(0).to_pylist()


@pytest.fixture
def sink(lake: Lake, batch: Batch) -> LakeSink:
    """A lake with six files of two dates."""
    sink = LakeSink(lake)
    for n in range(0, 12, 2):
        date = "2025-09-15" if n < 8 else "2025-09-16"
        sink.write(
            batch(
                {"lsn": n, "symbol": "005930", "date": date, "cum_volume": n + 1},
                {"lsn": n + 1, "symbol": "000660", "date": date, "cum_volume": n + 1},
            )
        )
        sink.flush()
    return sink


def test_each_date_becomes_one_sorted_run_with_the_same_rows(lake: Lake, sink: LakeSink) -> None:
    with Session(lake) as session:
        before = session.query("SELECT * FROM trades ORDER BY lsn")
    report = compact(lake, ["trades"], config=CONFIG)[0]

    assert (report.files_before, report.files_after, report.rows) == (6, 2, 12)
    assert report.dates == ("2025-09-15", "2025-09-16")
    with Session(lake) as session:
        assert session.query("SELECT * FROM trades ORDER BY lsn").equals(before)
        inside = session.query("SELECT symbol, cum_volume FROM trades WHERE date = '2025-09-15'").to_pylist()
    assert [(row["symbol"], row["cum_volume"]) for row in inside] == [
        *[("000660", n) for n in (1, 3, 5, 7)],
        *[("005930", n) for n in (1, 3, 5, 7)],
    ]
    assert verify(lake, deep=True).findings == ()


def test_what_is_compact_is_left_alone(lake: Lake, sink: LakeSink) -> None:
    compact(lake, ["trades"], config=CONFIG)
    paths = {file.path for file in table_of(lake).files()}
    assert compact(lake, ["trades"], config=CONFIG)[0].dates == ()
    assert {file.path for file in table_of(lake).files()} == paths


def test_large_dates_become_several_files_in_order(lake: Lake, sink: LakeSink, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLES, "trades", replace(TABLES["trades"], row_group_rows=3))
    compact(lake, ["trades"], config=CompactConfig(target_bytes=1))
    files = sorted(table_of(lake).files("2025-09-15", bounds=True), key=lambda file: file.path)

    assert [file.rows for file in files] == [3, 3, 2]
    assert [(file.least["symbol"], file.greatest["symbol"]) for file in files] == [
        ("000660", "000660"),
        ("000660", "005930"),
        ("005930", "005930"),
    ]
    assert is_compact(files)
    assert lsns(lake) == list(range(12))


def test_a_row_appended_between_read_and_commit_survives_beside_the_rewritten_ones(
    lake: Lake, sink: LakeSink, batch: Batch
) -> None:
    table = table_of(lake)
    files = table.files("2025-09-15")
    sink.write(batch({"lsn": 12}))
    sink.flush()

    compact_date(lake, table, "2025-09-15", files, CONFIG)

    assert lsns(lake) == list(range(13))
    assert len(table_of(lake).files("2025-09-15")) == 2
    assert table_of(lake).covered("w1") == 12
    sink.write(batch({"lsn": 13}))
    sink.close()
    assert lsns(lake) == list(range(14))
    assert verify(lake).findings == ()


def test_the_second_of_two_compactors_fails_and_changes_nothing(lake: Lake, sink: LakeSink) -> None:
    first, second = table_of(lake), table_of(lake)
    files = second.files("2025-09-15")
    compact_date(lake, first, "2025-09-15", first.files("2025-09-15"), CONFIG)
    version = first.version

    with pytest.raises(CommitConflictError, match="has been rewritten already"):
        compact_date(lake, second, "2025-09-15", files, CONFIG)

    assert table_of(lake).version == version
    assert lsns(lake) == list(range(12))


def test_two_rewrites_from_the_same_version_cannot_both_be_committed(
    lake: Lake, sink: LakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = table_of(lake), table_of(lake)
    one, two = first.files("2025-09-15"), first.files("2025-09-16")
    with monkeypatch.context() as patch:
        patch.setattr(Table, "refresh", lambda self: None)  # both have looked before either commits
        patch.setattr(first, "refresh", lambda: None)
        first.rewrite(one[:1], [], data_change=False)
        with pytest.raises(CommitConflictError, match=r"(?i)transaction"):
            second.rewrite(two[:1], [], data_change=False)
    assert table_of(lake).covered(FENCE) == 0
    assert len(table_of(lake).files("2025-09-16")) == len(two)


def test_maintenance_of_a_table_is_one_at_a_time(lake: Lake, sink: LakeSink) -> None:
    with maintenance(lake.storage, "trades"), pytest.raises(LockedError, match="maintenance of table trades"):
        compact(lake, ["trades"], config=CONFIG)
    assert compact(lake, ["trades"], config=CONFIG)[0].files_after == 2


def test_a_disk_without_room_for_the_rewrite_changes_nothing(
    lake: Lake, sink: LakeSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Storage, "free_bytes", lambda self: 1000)
    with pytest.raises(LakeFullError):
        compact(lake, ["trades"], config=CONFIG)
    assert lsns(lake) == list(range(12))


def test_a_file_that_is_gone_is_named_and_nothing_is_changed(lake: Lake, sink: LakeSink) -> None:
    table = table_of(lake)
    victim = Path(lake.root) / table.path(table.files("2025-09-15")[2])
    victim.unlink()
    with pytest.raises(TableCorruptError, match=victim.name):
        compact(lake, ["trades"], config=CONFIG)
    assert table_of(lake).version == table.version


def test_vacuum_removes_old_files_of_ours_and_nothing_else(lake: Lake, sink: LakeSink) -> None:
    table = table_of(lake)
    folder = Path(lake.root) / "raw/trades/date=2025-09-15"
    orphan = folder / f"live-{0:032x}.parquet"
    (folder / "notes.parquet").write_bytes(b"somebody else's")
    orphan.write_bytes(b"left by a crash")
    compact(lake, ["trades"], config=CONFIG)
    names = {path.name for path in folder.iterdir()}
    assert len(names) == 1 + 4 + 2  # the new file, the four it stands for, the two above: all too young

    day_later = SimulatedClock(SystemClock().now_us() + round(25 * 3600e6))
    assert vacuum(lake, table, 24 * 3600.0, day_later) == 0  # by Delta's clock they were removed just now

    os.utime(orphan, (0, 0))
    assert vacuum(lake, table, 24 * 3600.0, SystemClock()) == 1
    assert not orphan.exists()
    assert (folder / "notes.parquet").exists()
    assert lsns(lake) == list(range(12))


def test_a_table_opens_from_a_checkpoint_and_its_log_is_cleaned(lake: Lake, batch: Batch) -> None:
    table = lake.table("expected")
    stale = table_of(lake, "expected")
    for n in range(CHECKPOINT_EVERY + 20):
        table.append([], {"w1": n})
    commits, checkpoints = log_versions(lake.storage, table.spec)
    assert len(commits) == CHECKPOINT_EVERY + 21
    assert checkpoints == [CHECKPOINT_EVERY - 1]
    assert CLEAN_EVERY % CHECKPOINT_EVERY == 0

    for path in (Path(lake.root) / "raw/expected/_delta_log").iterdir():
        os.utime(path, (0, 0))
    compact(lake, ["expected"], config=CONFIG)
    commits, checkpoints = log_versions(lake.storage, table.spec)
    assert len(commits) <= 2
    assert checkpoints[-1] >= CHECKPOINT_EVERY + 20
    assert table_of(lake, "expected").covered("w1") == CHECKPOINT_EVERY + 19
    stale.refresh()  # its next commit is no longer in the log
    assert (stale.version, stale.covered("w1")) == (CHECKPOINT_EVERY + 20, CHECKPOINT_EVERY + 19)
    assert verify(lake, ["expected"]).findings == ()
