"""The lake as a sink: when it flushes, what it covers, what it skips."""

import asyncio
from collections.abc import Callable, Iterable

import pytest

from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch, Sink
from hosu.errors import LakeFullError
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.storage import Storage
from hosu.lake.writer import LakeSink, WriterConfig

Batch = Callable[..., EventBatch]


def lsns(lake: Lake, table: str = "trades") -> list[int]:
    with Session(lake) as session:
        return session.query(f"SELECT lsn FROM {table} ORDER BY lsn, record_no").column(0).to_pylist()


def test_it_is_a_sink(lake: Lake) -> None:
    sink: Sink = LakeSink(lake)
    assert sink.name == "lake"
    assert sink.resume_after("w1") == -1


def test_it_is_due_by_age_by_rows_and_by_bytes(lake: Lake, batch: Batch) -> None:
    clock = SimulatedClock()
    sink = LakeSink(lake, WriterConfig(flush_after_s=2.0, flush_rows=3), clock)
    assert not sink.due()
    sink.write(batch({"lsn": 0}))
    assert not sink.due()
    asyncio.run(clock.advance(2.0))
    assert sink.due()
    sink.flush()
    assert not sink.due()
    sink.write(batch({"lsn": 1}, {"lsn": 2}, {"lsn": 3}))
    assert sink.due()

    small = LakeSink(lake, WriterConfig(flush_bytes=1), clock)
    small.write(batch({"lsn": 4}))
    assert small.due()


def test_a_batch_without_rows_is_due_by_age_too(lake: Lake, batch: Batch) -> None:
    clock = SimulatedClock()
    sink = LakeSink(lake, WriterConfig(flush_after_s=2.0), clock)
    sink.write(batch(first=0, last=9))
    asyncio.run(clock.advance(2.0))
    assert sink.due()


def test_each_date_gets_a_file_of_its_own_in_one_commit(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, {"lsn": 1, "date": "2025-09-16"}, {"lsn": 2}))
    sink.flush()

    table = lake.find("trades")
    assert table is not None
    assert table.version == 1
    assert sorted((file.date, file.rows) for file in table.files()) == [("2025-09-15", 2), ("2025-09-16", 1)]
    with Session(lake) as session:
        rows = session.query("SELECT date, lsn FROM trades ORDER BY lsn").to_pylist()
    assert [row["date"] for row in rows] == ["2025-09-15", "2025-09-16", "2025-09-15"]
    assert (sink.commits, sink.rows) == (1, 3)


def test_tables_without_rows_say_how_far_they_are_when_synced(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, last=7))
    assert sink.flush() == -1  # quotes and the others have said nothing yet
    sink.sync()
    assert sink.resume_after("w1") == 7
    assert LakeSink(lake).resume_after("w1") == 7
    assert LakeSink(lake).resume_after("w2") == -1


def test_tables_without_rows_say_how_far_they_are_once_a_minute(lake: Lake, batch: Batch) -> None:
    clock = SimulatedClock()
    sink = LakeSink(lake, WriterConfig(cover_after_s=60.0), clock)
    sink.write(batch({"lsn": 0}, last=7))
    assert sink.flush() == -1
    asyncio.run(clock.advance(60.0))
    sink.write(batch({"lsn": 8}, last=9))
    assert sink.flush() == 9


def test_a_table_skips_what_it_has_and_takes_the_rest_of_a_batch(lake: Lake, batch: Batch) -> None:
    first = LakeSink(lake)
    first.write(batch({"lsn": 0}, {"lsn": 1}))
    first.flush()

    again = LakeSink(lake)
    again.write(batch({"lsn": 0}, {"lsn": 1}, {"lsn": 2}))
    again.write(batch({"lsn": 1}, first=1, last=1))
    assert again.rows_held == 1
    again.close()
    assert lsns(lake) == [0, 1, 2]


def test_two_logs_are_told_apart(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 5}))
    sink.write(batch({"lsn": 3}, wal="w2"))
    sink.close()
    assert (sink.resume_after("w1"), sink.resume_after("w2")) == (5, 3)
    assert lsns(lake) == [3, 5]


def test_below_the_reserve_nothing_is_written_and_nothing_lost(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake, WriterConfig(reserve_bytes=1000))
    sink.write(batch({"lsn": 0}))
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "free_bytes", lambda self: 999)
        with pytest.raises(LakeFullError, match="no space left"):
            sink.flush()
    assert sink.rows_held == 1
    sink.close()
    assert lsns(lake) == [0]


def test_a_disk_that_fills_up_between_two_tables_loses_and_doubles_nothing(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}))
    sink.write(batch({"lsn": 1}, table="quotes"))
    put = Storage.put

    def full_for_quotes(self: Storage, path: str, data: bytes) -> None:
        if "raw/quotes" in path:
            raise LakeFullError(path)
        put(self, path, data)

    with monkeypatch.context() as patch:
        patch.setattr(Storage, "put", full_for_quotes)
        with pytest.raises(LakeFullError, match="raw/quotes"):
            sink.flush()
    assert (lsns(lake), lsns(lake, "quotes")) == ([0], [])
    sink.close()
    assert (lsns(lake), lsns(lake, "quotes")) == ([0], [1])


def test_what_an_earlier_process_left_unsynced_is_synced_once_before_it_is_relied_on(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = LakeSink(lake)
    killed.write(batch({"lsn": 0}))
    killed.flush()
    settled: list[str] = []
    synced: list[str] = []
    sync = Storage.sync

    def seen(self: Storage, paths: Iterable[str]) -> None:
        names = sorted(paths)
        synced.extend(names)
        sync(self, names)

    monkeypatch.setattr(Storage, "settle", lambda self: settled.append(self.uri))
    monkeypatch.setattr(Storage, "sync", seen)
    sink = LakeSink(Lake.open(lake.root))
    sink.write(batch({"lsn": 1}))
    sink.flush()
    sink.sync()
    sink.sync()

    assert len(settled) == 6  # once a table
    assert "raw/trades/_delta_log/00000000000000000002.json" in synced
    assert [path for path in synced if path.startswith("raw/trades/date=2025-09-15/live-")] != []
