"""Verify between the archive and the tables: what one has, the other must have."""

from collections.abc import Callable
from pathlib import Path

import pytest
from archived_log import ArchivedLog

from hosu.collect.replay import replay
from hosu.collect.sinks import EventBatch
from hosu.lake.delta import Table
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import Session
from hosu.lake.tables import EVENT_TABLES
from hosu.lake.verify import verify
from hosu.lake.writer import LakeSink


@pytest.fixture
def archived(lake: Lake, log: ArchivedLog) -> list[Path]:
    """Three segments of 5, 7 and 3 trades, in the archive and in the tables."""
    log.receive(5, 7, 3)
    copies = log.store(lake)
    LakeSink(lake)
    replay(Path(lake.root) / "raw/frames", LakeSink(lake))
    return copies


def faults(lake: Lake, *, deep: bool = False) -> list[tuple[str, str]]:
    return [(finding.table, finding.fault) for finding in verify(lake, deep=deep).findings]


def remove_rows(lake: Lake, condition: str) -> None:
    """Rewrites the trades of the one file without the rows of a condition, as a faulty compaction might."""
    table = lake.table("trades")
    (file,) = table.files()
    rows = kept_rows(lake, table, f"NOT ({condition})")
    table.rewrite([file], [table.store(file.date, live_name(), encode(table.spec, rows))], data_change=True)


def kept_rows(lake: Lake, table: Table, condition: str):
    with Session(lake) as session:
        columns = ", ".join(table.spec.file_schema.names)
        return session.query(f"SELECT {columns} FROM trades WHERE {condition}").cast(table.spec.file_schema)


def test_a_lake_that_holds_what_its_archive_holds_has_no_findings(lake: Lake, archived: list[Path]) -> None:
    seen: list[str] = []
    report = verify(lake, deep=True, progress=seen.append)
    assert (report.findings, report.archived, report.rows) == ((), 3, 15)
    assert seen[:2] == ["trades", "quotes"]
    assert seen[-6:] == [copy.name for copy in archived] * 2  # sealed, then decoded


@pytest.mark.parametrize("deep", [False, True])
def test_an_archive_that_never_came_into_the_tables_is_found(lake: Lake, log: ArchivedLog, deep: bool) -> None:
    log.receive(12)
    log.store(lake)
    says = f"covers log {log.wal_id} up to record -1, the archive holds it up to 11"
    assert faults(lake, deep=deep) == [(name, says) for name in EVENT_TABLES]
    assert "hosu replay" in verify(lake).findings[0].next_step
    LakeSink(lake)  # makes the tables
    assert faults(lake, deep=deep) == [(name, says) for name in EVENT_TABLES]


def test_an_archive_that_is_ahead_of_the_tables_is_found(lake: Lake, log: ArchivedLog) -> None:
    first, _ = log.receive(5, 7)
    log.store(lake)
    replay(first, LakeSink(lake))
    says = f"covers log {log.wal_id} up to record 4, the archive holds it up to 11"
    assert faults(lake, deep=True) == [(name, says) for name in EVENT_TABLES]


def test_segments_missing_from_the_archive_are_found(lake: Lake, log: ArchivedLog, archived: list[Path]) -> None:
    archived[1].unlink()
    (finding,) = verify(lake, deep=True).findings
    assert (finding.path, finding.fault) == (
        str(archived[2]),
        f"records 5 to 11 of log {log.wal_id} are missing before it",
    )
    archived[0].unlink()
    assert faults(lake) == [("frames", f"records 0 to 11 of log {log.wal_id} are missing before it")]


def test_a_hole_that_the_log_tells_of_is_no_finding(lake: Lake, log: ArchivedLog) -> None:
    log.receive(5)
    log.receive(4, advance_to=9)
    log.store(lake)
    replay(Path(lake.root) / "raw/frames", LakeSink(lake))
    assert faults(lake, deep=True) == []


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:-3], lambda data: b"\0" * len(data)])
def test_a_damaged_segment_is_named(lake: Lake, archived: list[Path], damage: Callable[[bytes], bytes]) -> None:
    archived[2].write_bytes(damage(archived[2].read_bytes()))
    (finding,) = verify(lake, deep=True).findings
    assert (finding.table, finding.path, finding.next_step) == ("frames", str(archived[2]), "restore it from a copy")
    assert finding.fault.startswith("is damaged: ")


def test_a_segment_under_a_wrong_name_is_named(lake: Lake, archived: list[Path]) -> None:
    archived[2].rename(archived[2].with_name("copy.log.zst"))
    assert faults(lake) == [("frames", f"is damaged: it is the segment {archived[2].name}")]


def test_rows_that_a_table_lacks_are_found_when_it_looks_deep(
    lake: Lake, log: ArchivedLog, archived: list[Path]
) -> None:
    remove_rows(lake, "lsn IN (3, 7, 8)")
    assert faults(lake) == []
    assert faults(lake, deep=True) == [("trades", f"lacks 3 rows of log {log.wal_id}, the first is of record 3")]


def test_rows_that_the_archive_does_not_give_are_found_when_it_looks_deep(
    lake: Lake, log: ArchivedLog, archived: list[Path], batch: Callable[..., EventBatch]
) -> None:
    table = lake.table("quotes")
    rows = batch({"lsn": 6}, {"lsn": 900}, table="quotes", wal=log.wal_id).tables["quotes"]
    file = table.store("2025-03-14", live_name(), encode(table.spec, rows_of(rows, table)))
    table.append([file], {log.wal_id: 900})
    fault = f"holds, beyond what the archive decodes to, 1 rows of log {log.wal_id}, the first is of record 6"
    assert faults(lake, deep=True) == [("quotes", fault)]


def rows_of(rows, table: Table):
    import pyarrow as pa

    return pa.Table.from_batches([rows]).select(table.spec.file_schema.names).cast(table.spec.file_schema)


def test_only_the_named_tables_are_compared(lake: Lake, log: ArchivedLog, archived: list[Path]) -> None:
    remove_rows(lake, "lsn = 3")
    assert verify(lake, ["quotes", "processed_ohlcv"], deep=True).findings == ()
    assert len(verify(lake, ["trades"], deep=True).findings) == 1
