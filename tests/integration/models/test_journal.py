"""The journal: once each, whoever writes, and never changed."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hosu.errors import CommitConflictError
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.models.journal import Answered, Close, LiveJournal, add_new
from hosu.models.predictor import BarFacts, Role, Seat, predict
from hosu.models.served import Served

NAMES, DATE = ("a", "b"), "2026-01-02"


def rows(symbols=("A", "B"), model="day-1", version=0, price=1_000.0, role=Role.CHAMPION):
    """Predictions of the prior."""
    prior = Served.of_prior(model=model, horizon=1, interval="day", feature_set_version="s/1", names=NAMES)
    count = len(symbols)
    none = np.full(count, None, object)
    bars = BarFacts(
        date=DATE,
        symbol=np.array(symbols, object),
        ts=np.zeros(count, np.int64),
        decided_at=np.ones(count, np.int64),
        price=np.full(count, price),
        source=none,
        stale=none,
        gapped=none,
        uncertified=none,
    )
    seat = Seat(prior, version, role)
    return predict(seat, bars, np.zeros((count, 2)), feature_set="s/1", names=NAMES, made_at=lambda: 2)


def kept(lake, what="symbol, model, model_version, price"):
    with Session(lake) as session:
        found = session.query(f"SELECT {what} FROM predictions ORDER BY ALL").to_pylist()
    return [tuple(row.values()) for row in found]


def test_what_is_there_is_not_added_again_and_not_changed(lake):
    assert add_new(lake, "predictions", {DATE: rows()}) == 2
    assert add_new(lake, "predictions", {DATE: rows(("A", "B", "C"), price=9.0)}) == 1
    assert add_new(lake, "predictions", {DATE: rows(version=1)}) == 2
    assert kept(lake) == [
        ("A", "day-1", 0, 1000.0), ("A", "day-1", 1, 1000.0), ("B", "day-1", 0, 1000.0), ("B", "day-1", 1, 1000.0),
        ("C", "day-1", 0, 9.0),
    ]  # fmt: skip


def test_of_each_bar_a_model_has_one_champion(lake):
    assert add_new(lake, "predictions", {DATE: rows()}, one_champion=True) == 2
    assert add_new(lake, "predictions", {DATE: rows(("A", "B", "C"), version=1)}, one_champion=True) == 1
    assert add_new(lake, "predictions", {DATE: rows(model="day-5", version=1)}, one_champion=True) == 2
    assert add_new(lake, "predictions", {DATE: rows(version=2, role=Role.CHALLENGER)}, one_champion=True) == 2
    assert kept(lake, "model, symbol, model_version, role") == [
        ("day-1", "A", 0, "champion"), ("day-1", "A", 2, "challenger"), ("day-1", "B", 0, "champion"),
        ("day-1", "B", 2, "challenger"), ("day-1", "C", 1, "champion"), ("day-5", "A", 1, "champion"),
        ("day-5", "B", 1, "champion"),
    ]  # fmt: skip


def test_nothing_to_add_writes_nothing(lake):
    add_new(lake, "predictions", {DATE: rows()})
    version = lake.table("predictions").version
    assert add_new(lake, "predictions", {DATE: rows(), "2026-01-05": rows(())}) == 0
    assert lake.table("predictions").version == version


def test_several_at_once_add_each_row_once(lake, tmp_path):
    lake.table("predictions")

    def add(number):
        other = Lake.open(str(tmp_path / "lake"))
        return add_new(other, "predictions", {DATE: rows(("A", "B", f"own {number}"))})

    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(add, range(4)))
    assert sum(added) == 6
    assert len(kept(lake)) == 6


def test_who_never_gets_a_turn_says_so(lake, monkeypatch):
    def refused(*_):
        raise CommitConflictError("predictions", "somebody was quicker")

    monkeypatch.setattr("hosu.lake.delta.Table.append", refused)
    with pytest.raises(CommitConflictError, match="others write to it all the time"):
        add_new(lake, "predictions", {DATE: rows()})


def test_a_live_close_is_told_by_log_record_model_and_version(lake):
    journal = LiveJournal(lake)
    answered = [Answered("day-1", 0, rows()), Answered("day-5", 0, rows(model="day-5"))]
    assert journal.covers("log", "day-1", 0) == -1
    assert journal.add([Close(DATE, "log", 7, answered)]) == 4
    assert journal.add([Close(DATE, "log", 7, answered)]) == 0
    assert journal.add([Close(DATE, "log", 7, [*answered, Answered("day-1", 1, rows(version=1))])]) == 2
    again = LiveJournal(lake)
    assert (again.covers("log", "day-1", 0), again.covers("log", "day-1", 2), again.covers("other", "day-1", 0)) == (
        7, -1, -1,
    )  # fmt: skip
    assert again.add([Close(DATE, "log", 6, answered)]) == 0


def test_a_close_has_one_champion_of_a_model_whatever_its_version(lake):
    journal = LiveJournal(lake)
    assert journal.add([Close(DATE, "log", 7, [Answered("day-1", 0, rows(), champion=True)])]) == 2
    promoted = [Answered("day-1", 1, rows(version=1), champion=True)]
    assert journal.covers("log", "day-1", 1) == -1
    assert journal.covers("log", "day-1", 1, champion=True) == 7
    assert journal.covers("log", "day-5", 1, champion=True) == -1
    assert journal.add([Close(DATE, "log", 7, promoted)]) == 0
    assert journal.add([Close(DATE, "log", 7, [Answered("day-1", 1, rows(version=1))])]) == 2  # a challenger
    together = [Close(DATE, "log", 8, promoted), Close(DATE, "log", 8, [Answered("day-1", 2, rows(), champion=True)])]
    assert journal.add(together) == 2


def test_a_commit_whose_answer_was_lost_is_not_made_twice(lake, monkeypatch):
    journal, answered = LiveJournal(lake), [Answered("day-1", 0, rows())]
    table = lake.table("predictions")
    whole = type(table).append

    def lost(self, adds, covers):
        whole(self, adds, covers)
        raise CommitConflictError("predictions", "no answer")

    monkeypatch.setattr(type(table), "append", lost)
    with pytest.raises(CommitConflictError):
        journal.add([Close(DATE, "log", 7, answered)])
    monkeypatch.setattr(type(table), "append", whole)
    assert journal.add([Close(DATE, "log", 7, answered)]) == 0
    assert len(kept(lake)) == 2


def test_several_closes_are_one_commit_and_each_is_added_once(lake):
    journal = LiveJournal(lake)
    closes = [Close(DATE, "log", lsn, [Answered("day-1", 0, rows((f"at {lsn}",)))]) for lsn in (3, 4, 4, 3)]
    assert journal.add([*closes, Close("2026-01-05", "log", 9, [Answered("day-1", 0, rows(("next day",)))])]) == 3
    assert [symbol for symbol, *_ in kept(lake)] == ["at 3", "at 4", "next day"]
    assert lake.table("predictions").version == 1
    assert LiveJournal(lake).covers("log", "day-1", 0) == 9
