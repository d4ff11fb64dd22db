"""The lake as a sink: when it flushes, what it covers, what it skips."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch, Sink
from hosu.errors import LakeFullError, LakeUnreachableError, LogGapError
from hosu.lake.delta import NewFile, Table
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
    small.write(batch({"lsn": 4}, first=0))
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
    sink.write(batch({"lsn": 5}, first=0))
    sink.write(batch({"lsn": 3}, first=0, wal="w2"))
    sink.close()
    assert (sink.resume_after("w1"), sink.resume_after("w2")) == (5, 3)
    assert lsns(lake) == [3, 5]


def test_below_the_reserve_nothing_is_written_and_nothing_lost(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake, WriterConfig(reserve_bytes=3 << 20))
    sink.write(batch({"lsn": 0}))
    with monkeypatch.context() as patch:
        patch.setattr(Storage, "free_bytes", lambda self: (3 << 20) - 1)
        with pytest.raises(
            LakeFullError, match=r"no space left for .*lake but the 3 MiB of HOSU_DISK_RESERVE_MB; free some"
        ):
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
    (left,) = [file.path for file in lake.table("trades").files()]
    synced: list[str] = []
    sync = Storage.sync

    def seen(self: Storage, paths: Iterable[str]) -> None:
        names = sorted(paths)
        synced.extend(names)
        sync(self, names)

    monkeypatch.setattr(Storage, "sync", seen)
    sink = LakeSink(Lake.open(lake.root))
    sink.write(batch({"lsn": 1}, first=0))
    sink.flush()
    sink.sync()
    sink.sync()

    log = [f"raw/trades/_delta_log/{version:020d}.json" for version in range(3)]
    assert [synced.count(path) for path in (f"raw/trades/{left}", *log)] == [1, 1, 1, 1]
    assert len({path for path in synced if path.startswith("raw/trades/date=2025-09-15/live-")}) == 2


def test_a_batch_behind_records_that_never_came_is_refused_and_covers_nothing(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, last=4))
    with pytest.raises(LogGapError, match="records 5 to 9 of log w1 are missing") as caught:
        sink.write(batch({"lsn": 10}))
    assert (caught.value.wal_id, caught.value.first_missing, caught.value.last_missing) == ("w1", 5, 9)
    assert not caught.value.retryable
    sink.close()
    assert (lsns(lake), sink.resume_after("w1")) == ([0], 4)

    with pytest.raises(LogGapError, match="records 5 to 6"):
        LakeSink(lake).write(batch({"lsn": 7}))
    with pytest.raises(LogGapError, match="records 0 to 2 of log w2"):
        sink.write(batch({"lsn": 3}, wal="w2"))


def test_a_batch_that_says_what_it_follows_crosses_a_hole(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, last=4))
    sink.write(replace(batch({"lsn": 10}), follows=4))
    sink.close()
    assert (lsns(lake), sink.resume_after("w1")) == ([0, 10], 10)


def test_rows_taken_before_are_not_taken_again_before_they_are_committed(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, {"lsn": 1}))
    sink.write(batch({"lsn": 0}, {"lsn": 1}))
    sink.write(batch({"lsn": 1}, {"lsn": 2}))
    assert sink.rows_held == 3
    sink.close()
    assert lsns(lake) == [0, 1, 2]


def test_a_commit_tried_again_writes_no_file_twice(lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, {"lsn": 1, "date": "2025-09-16"}))

    def unreachable(self: Table, adds: list[NewFile], covers: dict[str, int]) -> int:
        raise LakeUnreachableError(self.spec.name, "connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", unreachable)
        for _ in range(3):
            with pytest.raises(LakeUnreachableError):
                sink.flush()
        sink.write(batch({"lsn": 2}))
    sink.close()
    stored = sorted(entry.path for entry in lake.storage.list("raw/trades/") if entry.path.endswith(".parquet"))
    table = lake.table("trades")
    assert stored == sorted(table.path(file) for file in table.files())
    assert len(stored) == 3
    assert lsns(lake) == [0, 1, 2]


def test_a_file_that_was_cleaned_up_between_two_tries_is_written_again(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}))

    def unreachable(self: Table, adds: list[NewFile], covers: dict[str, int]) -> int:
        lake.storage.delete(self.path(adds[0]))
        raise LakeUnreachableError(self.spec.name, "connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", unreachable)
        with pytest.raises(LakeUnreachableError):
            sink.flush()
    sink.close()
    assert lsns(lake) == [0]
