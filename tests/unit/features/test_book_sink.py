"""The sink of order books by the second: how days begin and end, and what it goes on from."""

from pathlib import Path

import pytest
import structlog

from book_cases import NINE, quote, trade
from hosu.features import book_kernel as kernel
from hosu.features.book_sink import BookSink
from hosu.features.served_seconds import rows_of
from stream_batches import MemoryRows, batch_of

DAY, NEXT, SUNDAY = "2025-09-15", "2025-09-16", "2025-09-14"
TOMORROW = 86_400
CLOSE_US = (NINE + 6 * 3600 + 40 * 60) * 1_000_000


def short(store: MemoryRows) -> list[tuple[str, str, int, int]]:
    """(date, symbol, second since nine, record that closed it)"""
    return [
        (part.date, part.names[row[kernel.ROW_SERIES]], row[kernel.ROW_SECOND] - NINE, lsn)
        for part in store.made
        for row, lsn in zip(part.rows.tolist(), part.closed_by.tolist(), strict=True)
    ]


def test_a_second_is_closed_by_the_next_event_of_its_symbol_and_the_last_by_the_end_of_the_session():
    store = MemoryRows()
    sink = BookSink(store)
    minute = (NINE + 60) * 1_000_000
    events = [("A", quote(0, 99, 101)), ("B", trade(1, 50, 2)), ("A", quote(5, 99, 101)), minute, CLOSE_US]
    sink.write(batch_of(events, 0, DAY))
    sink.close()
    assert short(store) == [(DAY, "A", 0, 2), (DAY, "A", 5, 4), (DAY, "B", 1, 4)]
    assert {part.began for part in store.made} == {"new"}


def test_what_comes_behind_the_end_of_the_day_is_counted_and_told_once():
    store = MemoryRows()
    sink = BookSink(store)
    sink.write(batch_of([("A", quote(0, 99, 101)), CLOSE_US], 0, DAY))
    with structlog.testing.capture_logs() as told:
        for lsn in (2, 3):
            sink.write(batch_of([("A", quote(7, 99, 101))], lsn, DAY))
    sink.close()
    assert short(store) == [(DAY, "A", 0, 1)]
    assert sink.facts == {"late_events": 2}
    assert ["after their day was closed" in each["event"] for each in told] == [True]


def test_a_later_day_closes_the_one_before_and_begins_with_an_empty_book():
    store = MemoryRows()
    sink = BookSink(store)
    sink.write(batch_of([("A", quote(0, 99, 101)), ("A", trade(3, 100, 1, 1, 50))], 0, DAY))
    sink.write(batch_of([("A", trade(TOMORROW + 4, 100, 1, 1, 1)), ("A", trade(TOMORROW + 6, 100, 1, 1, 2))], 2, NEXT))
    sink.write(batch_of([("A", quote(9, 99, 101))], 4, DAY))  # of a day that is over
    sink.close()
    assert short(store) == [(DAY, "A", 0, 1), (DAY, "A", 3, 2), (NEXT, "A", TOMORROW + 4, 3)]
    assert store.made[-1].rows[0, kernel.ROW_BID] == 0


def test_nothing_is_served_of_a_day_without_a_session_or_outside_of_its_hours():
    store = MemoryRows()
    sink = BookSink(store)
    sink.write(batch_of([("A", quote(-86_400, 99, 101)), ("A", quote(-86_395, 99, 101))], 0, SUNDAY))
    sink.write(batch_of([("A", quote(-1, 99, 101)), ("A", quote(22_800, 99, 101)), CLOSE_US], 2, DAY))
    sink.close()
    assert store.made == []


@pytest.mark.parametrize("place", [3, 12, 16, 40, -1])
def test_a_damaged_state_is_set_aside_and_built_anew(tmp_path: Path, place: int):
    keep = tmp_path / "books.state"
    sink = BookSink(MemoryRows(), keep=keep)
    sink.write(batch_of([("A", quote(0, 99, 101))], 0, DAY))
    sink.sync()
    assert BookSink(MemoryRows(), keep=keep).resume_after("w1") == 0
    content = bytearray(keep.read_bytes())
    content[place] ^= 1
    keep.write_bytes(content)
    assert BookSink(MemoryRows(), keep=keep).resume_after("w1") == -1
    assert keep.with_name("books.state.damaged").read_bytes() == content


def test_a_state_of_another_version_of_the_kernel_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    keep = tmp_path / "books.state"
    sink = BookSink(MemoryRows(), keep=keep)
    sink.write(batch_of([("A", quote(0, 99, 101))], 0, DAY))
    sink.sync()
    monkeypatch.setattr(kernel, "VERSION", 99)
    assert BookSink(MemoryRows(), keep=keep).resume_after("w1") == -1


def test_rows_have_the_bar_of_the_second_and_null_where_there_is_none():
    store = MemoryRows()
    sink = BookSink(store)
    trades = [("A", trade(0, price, size)) for price, size in ((100, 3), (102, 1), (99, 2), (101, 4))]
    block = ("A", trade(0, 90, 500, mode=kernel.BESIDE))
    sink.write(batch_of([*trades, block, ("A", quote(1, 99, 101)), CLOSE_US], 0, DAY))
    sink.close()
    first, second = rows_of(store.made).to_pylist()
    assert [first[name] for name in ("open", "high", "low", "close", "volume", "trades")] == [100, 102, 99, 101, 10, 5]
    assert [second[name] for name in ("open", "high", "low", "close", "volume", "mid")] == [*[None] * 4, 0, 100]
    assert (first["mid"], first["spread_bp"], second["spread_bp"], second["flow_10"]) == (None, None, 200.0, None)
    assert (first["lsn"], first["began"], first["kernel"]) == (5, "new", kernel.VERSION)
