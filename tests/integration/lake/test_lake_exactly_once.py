"""Every row once, whatever is repeated, wherever it breaks off."""

from collections.abc import Callable

import pytest

from hosu.collect.sinks import EventBatch
from hosu.errors import LakeError, LakeUnreachableError
from hosu.lake.delta import NewFile, Table
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink

Batch = Callable[..., EventBatch]


def lsns(lake: Lake, table: str) -> list[int]:
    with Session(lake) as session:
        return session.query(f"SELECT lsn FROM {table} ORDER BY lsn, record_no").column(0).to_pylist()


def mixed(batch: Batch, first: int) -> EventBatch:
    """Ten records: eight trades, one quote, one in quarantine."""
    trades = batch(*[{"lsn": first + i} for i in range(8)])
    quotes = batch({"lsn": first + 8}, table="quotes")
    odd = batch({"lsn": first + 9}, table="quarantine")
    return EventBatch("w1", first, first + 9, {**trades.tables, **quotes.tables, **odd.tables}, 10)


def test_a_replay_of_everything_after_reopening_adds_nothing(lake: Lake, batch: Batch) -> None:
    batches = [mixed(batch, first) for first in range(0, 100, 10)]
    for _ in range(3):
        sink = LakeSink(Lake.open(lake.root))
        for number, each in enumerate(batches):
            sink.write(each)
            if number % 3 == 0:
                sink.flush()
        sink.close()

    assert lsns(lake, "trades") == [n for n in range(100) if n % 10 < 8]
    assert lsns(lake, "quotes") == list(range(8, 100, 10))
    assert lsns(lake, "quarantine") == list(range(9, 100, 10))


def test_a_replay_cut_into_other_batches_adds_nothing(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    for first in range(0, 40, 10):
        sink.write(mixed(batch, first))
    sink.close()

    again = LakeSink(lake)
    again.write(batch(*[{"lsn": n} for n in range(5, 45) if n % 10 < 8], first=0, last=44))
    again.close()
    assert lsns(lake, "trades") == [n for n in range(45) if n % 10 < 8]


def test_a_crash_between_the_commits_of_two_tables_leaves_both_exact(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake)
    sink.write(mixed(batch, 0))
    sink.close()
    sink.write(mixed(batch, 10))
    append = Table.append

    def dies_at_quotes(self: Table, adds: list[NewFile], covers: dict[str, int]) -> int:
        if self.spec.name == "quotes":
            raise KeyboardInterrupt
        return append(self, adds, covers)

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", dies_at_quotes)
        with pytest.raises(KeyboardInterrupt):
            sink.flush()
    assert (len(lsns(lake, "trades")), len(lsns(lake, "quotes"))) == (16, 1)

    restarted = LakeSink(Lake.open(lake.root))
    resume = restarted.resume_after("w1")
    assert resume == 9
    restarted.write(mixed(batch, 10))
    restarted.close()
    assert lsns(lake, "trades") == [0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17]
    assert lsns(lake, "quotes") == [8, 18]
    assert lsns(lake, "quarantine") == [9, 19]


def test_a_commit_that_landed_although_it_reported_an_error_is_not_repeated(
    lake: Lake, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}, {"lsn": 1}))
    append = Table.append

    def lost_answer(self: Table, adds: list[NewFile], covers: dict[str, int]) -> int:
        append(self, adds, covers)
        raise LakeUnreachableError(self.spec.name, "connection reset")

    with monkeypatch.context() as patch:
        patch.setattr(Table, "append", lost_answer)
        with pytest.raises(LakeError, match="connection reset"):
            sink.flush()
    sink.write(batch({"lsn": 2}))
    sink.close()
    assert lsns(lake, "trades") == [0, 1, 2]


def test_what_two_sinks_of_two_logs_write_at_once_is_all_there(lake: Lake, batch: Batch) -> None:
    one, two = LakeSink(lake), LakeSink(lake)
    for n in range(5):
        one.write(batch({"lsn": n}))
        two.write(batch({"lsn": n}, wal="w2"))
        one.flush()
        two.flush()
    one.close()
    two.close()
    assert lsns(lake, "trades") == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert (LakeSink(lake).resume_after("w1"), LakeSink(lake).resume_after("w2")) == (4, 4)
