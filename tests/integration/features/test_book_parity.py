"""Seconds as served are those of the replayed log and of the lake's tables; what differs without a reason is found."""

from collections.abc import Callable
from datetime import date
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from archived_log import ArchivedLog

from hosu.clock import SimulatedClock
from hosu.collect import control
from hosu.collect.block import RecordKind
from hosu.collect.wal import Log
from hosu.errors import InputError
from hosu.features import book_kernel, book_rows
from hosu.features.book_parity import parity
from hosu.features.book_sink import BookSink
from hosu.features.served_seconds import TABLE, rows_of
from hosu.features.served_table import ServedTable
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.lake.frames import Frames
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink
from hosu.market.calendar import instant_us

DAY = date(2026, 9, 15)
OPEN_US, END_US = instant_us(DAY, 9 * 3600), instant_us(DAY, 15 * 3600 + 2400)


@cache
def market() -> tuple[bytes, ...]:
    """Frames of two symbols' trades and quotes from the open on, some minutes of them."""
    exchange = Exchange(ExchangeConfig(DAY, seed=5, records=60_000, symbols=("005930", "000660"), fills=4))
    found: list[bytes] = []
    for burst in islice(exchange, 400):
        data = burst.frames.data
        found += [data[start:end].tobytes() for start, end in zip(burst.frames.start, burst.frames.end, strict=True)]
    chosen = [frame for frame in found if frame[2:10] in {b"H0STCNT0", b"H0STASP0"}]
    return tuple(chosen[:3_000])


class Station:
    """A log, its archive and a lake behind it; sinks are made anew whenever records come, as after a restart."""

    def __init__(self, home: Path) -> None:
        self.lake, self.keep = Lake.open(str(home / "lake")), home / "books.state"
        self.archive = ArchivedLog(home / "log")

    def receive(self, *items: bytes | int, lays_down: bool = True, first: int | None = None) -> None:
        """One segment of frames and closes, into the lake and served; the state is laid down, or lost as in a kill.
        ``first`` is the record behind which the log begins on disk."""
        log = Log.open(self.archive.folder, SimulatedClock(OPEN_US))
        self.archive.wal_id = log.wal_id
        for item in items:
            if isinstance(item, bytes):
                log.append(RecordKind.FRAME, 1, OPEN_US, item)
            else:
                log.append(RecordKind.BAR_CLOSE, 0, OPEN_US, control.bar_close(item))
        log.wait_written(10)
        log.seal()
        log.close()
        self.archive.segments = sorted(self.archive.folder.glob("*.log"))
        self.archive.store(self.lake, self.archive.segments[-1], date=DAY.isoformat())
        floors = {} if first is None else {self.archive.wal_id: first}
        served = BookSink(ServedTable(self.lake, TABLE, rows_of), keep=self.keep, floors=floors)
        for sink in (LakeSink(self.lake), served):
            after = sink.resume_after(self.archive.wal_id)
            for batch in Frames(self.lake).numbered(self.archive.wal_id, after):
                sink.write(batch)
            if sink is served and not lays_down:
                served._commit()
            else:
                sink.close()

    def compared(self) -> Any:
        return parity(self.lake, DAY.isoformat())

    def asked(self, sql: str) -> list[dict[str, Any]]:
        with Session(self.lake) as session:
            return session.query(sql).to_pylist()


@pytest.fixture
def station(tmp_path: Path) -> Station:
    return Station(tmp_path)


def test_a_day_through_restarts_and_a_kill_agrees_in_every_bit(station: Station):
    frames = market()
    station.receive(*frames[:1_000])
    station.receive(*frames[1_000:1_700], lays_down=False)
    station.receive(*frames[1_700:2_400])
    station.receive(*frames[2_400:], END_US)
    report = station.compared()
    assert (report.passed, report.repaired, report.symbols) == (True, 0, 2)
    (rows,) = station.asked(
        f"SELECT count(*) AS n, count(DISTINCT (symbol, ts)) AS seconds, sum(quotes) AS quotes, sum(trades) AS trades,"
        f" count(flow_60) AS flows, count(imbalance_5) AS books, count(close) AS bars FROM {TABLE}"
    )
    assert rows["n"] == rows["seconds"] == report.rows
    assert min(rows["quotes"], rows["trades"], rows["flows"], rows["books"], rows["bars"]) > 100


def test_the_last_seconds_of_a_day_that_nothing_has_closed_yet_are_no_fault(station: Station):
    station.receive(*market())
    report = station.compared()
    assert (report.passed, report.repaired) == (True, 2)  # one of each symbol


def test_what_comes_behind_the_close_of_the_day_is_not_served(station: Station):
    frames = market()
    station.receive(*frames[:-200], END_US, *frames[-200:])
    report = station.compared()
    assert (report.passed, report.repaired) == (True, 0)
    closed = station.asked(f"SELECT max(lsn) AS lsn, count(*) AS n FROM {TABLE}")
    assert closed == [{"lsn": len(frames) - 200, "n": report.rows}]


def test_seconds_that_were_never_served_are_found_in_the_replay(station: Station, monkeypatch: pytest.MonkeyPatch):
    frames = market()
    station.receive(*frames[:2_000])
    with monkeypatch.context() as patch:
        patch.setattr(BookSink, "_hold", lambda *_: None)
        station.receive(*frames[2_000:], END_US)
    assert station.compared().mismatched["replay"] > 100


def test_who_begins_in_mid_log_says_so_and_is_compared_from_there_on(station: Station):
    frames = market()
    station.receive(*frames[:2_000], lays_down=False)
    station.lake = Lake.open(str(station.keep.parent / "other"))  # as if nothing had ever been served
    station.archive.store(station.lake, *station.archive.segments, date=DAY.isoformat())
    station.receive(*frames[2_000:], END_US, first=1_999)
    assert station.asked(f"SELECT DISTINCT began FROM {TABLE}") == [{"began": "new@1999"}]
    report = station.compared()
    assert (report.passed, report.repaired) == (True, 0)
    assert report.rows > 100


def test_a_day_that_began_twice_in_a_log_cannot_be_compared(station: Station):
    frames = market()
    station.receive(*frames[:2_000])
    station.keep.unlink()
    station.receive(*frames[2_000:], END_US, first=1_999)
    with pytest.raises(InputError, match=r"began several times: new, new@1999"):
        station.compared()


def doubled(step: Callable[..., int]) -> Callable[..., int]:
    """A kernel that takes every trade's shares twice."""

    def wrong(states: Any, events: Any, rows: Any, out: Any, closers: Any) -> int:
        events = events.copy()
        events[events[:, book_kernel.KIND] == book_kernel.TRADE, book_kernel.SIZE] *= 2
        return step(states, events, rows, out, closers)

    return wrong


def test_a_fault_while_serving_is_found_against_replay_and_batch(station: Station, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        patch.setattr(book_kernel, "step_events", doubled(book_kernel.step_events))
        station.receive(*market(), END_US)
    report = station.compared()
    assert report.mismatched["replay"] == report.mismatched["batch"] > 100
    assert "volume" in {each.feature for each in report.mismatches}


def test_another_code_on_the_stream_than_in_batch_is_found_although_replay_agrees(
    station: Station, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(book_rows, "LEVELS", 4)  # a level less than in the lake's
    station.receive(*market(), END_US)
    report = station.compared()
    assert report.mismatched["replay"] == 0
    assert report.mismatched["batch"] > 100
    assert {each.feature for each in report.mismatches} == {"imbalance_5"}


def test_a_day_of_which_nothing_was_served_has_no_logs(station: Station):
    report = station.compared()
    assert (report.logs, report.rows) == ((), 0)
