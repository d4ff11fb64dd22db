"""Which shares trades cover: tables of trades, and the holes, repeats and contradictions they make."""

from typing import Any

import numpy as np
import pytest
from ledger_parts import DAY, PRICE, at, book, poll, rows, trade

from hosu.collect import ledger_kernel as kernel
from hosu.collect.ledger_state import SeriesTable, day_bounds

NO_CLOCK = np.zeros((1, 2), np.int64)
COUNTS = {
    "duplicates": kernel.DUPLICATES,
    "contradictions": kernel.CONTRADICTIONS,
    "went_back": kernel.WENT_BACK,
    "unusable": kernel.UNUSABLE,
    "suspects": kernel.SUSPECTS,
    "value_breaks": kernel.VALUE_BREAKS,
    "count_breaks": kernel.COUNT_BREAKS,
    "unchecked": kernel.UNCHECKED,
}

CASES: dict[str, tuple[list[dict[str, Any]], int, list[tuple[int, int]], dict[str, int]]] = {
    # name: trades in the order received; then the highest share, the holes, what was counted
    "trades that follow one another": ([trade(10, 10), trade(15, 5), trade(16, 1)], 16, [], {}),
    "one is missing between": ([trade(10, 10), trade(20, 5)], 20, [(10, 15)], {}),
    "the first ones are missing": ([trade(20, 5)], 20, [(0, 15)], {}),
    "two are missing": ([trade(10, 5), trade(20, 5)], 20, [(0, 5), (10, 15)], {}),
    "a late one fills a hole": ([trade(10, 10), trade(20, 5), trade(15, 5)], 20, [], {}),
    "a late one fills the bottom of a hole": ([trade(10, 10), trade(30, 5), trade(15, 5)], 30, [(15, 25)], {}),
    "a late one fills the top of a hole": ([trade(10, 10), trade(30, 5), trade(25, 5)], 30, [(10, 20)], {}),
    "a late one splits a hole": ([trade(10, 10), trade(30, 5), trade(20, 5)], 30, [(10, 15), (20, 25)], {}),
    "the last comes again": ([trade(10, 10), trade(10, 10, "15:35:00")], 10, [], {"duplicates": 1}),
    "an earlier one comes again": ([trade(10, 10), trade(15, 5), trade(10, 10)], 15, [], {"duplicates": 1}),
    "a filling comes again": (
        [trade(10, 10), trade(20, 5), trade(15, 5), trade(15, 5)],
        20,
        [],
        {"duplicates": 1},
    ),
    "a repeat without a value, as REST has it": (
        [trade(10, 10), trade(10, 10, cum_value=None, source="rest")],
        10,
        [],
        {"duplicates": 1},
    ),
    "it overlaps the one before": ([trade(10, 10), trade(15, 8)], 15, [], {"contradictions": 1}),
    "it lies within another": ([trade(10, 10), trade(7, 3)], 10, [], {"contradictions": 1}),
    "it reaches over the edge of a hole": (
        [trade(10, 10), trade(20, 5), trade(15, 8)],
        20,
        [],
        {"contradictions": 1},
    ),
    "the same volume with another size": ([trade(10, 10), trade(10, 4)], 10, [], {"contradictions": 1}),
    "the same volume and size with another value": (
        [trade(10, 10), trade(10, 10, cum_value=1)],
        10,
        [],
        {"contradictions": 1},
    ),
    "the volume goes back": (
        [trade(10, 10, "10:00:00"), trade(20, 10, "10:00:01"), trade(15, 5, "10:00:02")],
        20,
        [],
        {"contradictions": 1, "went_back": 1},
    ),
    "the count begins anew, where the day's begin is missing": (
        [trade(100, 5, "15:30:00"), trade(5, 5, "16:00:00"), trade(9, 4, "16:00:01")],
        100,
        [(0, 95)],
        {"contradictions": 2, "went_back": 2},
    ),
    "no size": ([trade(10, 10), trade(10, 0)], 10, [], {"duplicates": 1}),
    "a negative size": ([trade(10, 10), trade(11, -1)], 10, [], {"unusable": 1}),
    "no cumulative volume": ([trade(10, 10), trade(11, 1) | {"cum_volume": None}], 10, [], {"unusable": 1}),
    "more than there was": ([trade(5, 10)], 0, [], {"unusable": 1}),
    "a volume beyond all reason": ([trade(10, 10), trade(2**62, 5, cum_value=1)], 10, [], {"unusable": 1}),
    "a garbled volume that its value belies": (
        [trade(10, 10), trade(90_015, 5, cum_value=15 * PRICE), trade(20, 5, "09:00:05")],
        20,
        [(10, 15)],
        {"suspects": 1},
    ),
    "a jump that its value belies, and that goes on": (
        [trade(10, 10), trade(90_015, 5, cum_value=15), trade(90_020, 5, cum_value=20)],
        90_020,
        [(10, 90_010)],
        {"value_breaks": 1},
    ),
    "value that does not add up": ([trade(10, 10), trade(15, 5, cum_value=1_700)], 15, [], {"value_breaks": 1}),
    "counts that add up": (
        [trade(10, 10, buy_count=1, sell_count=0), trade(11, 1, buy_count=1, sell_count=1, side="sell")],
        11,
        [],
        {},
    ),
    "counts that do not add up": (
        [trade(10, 10, buy_count=1, sell_count=0), trade(11, 1, buy_count=2, sell_count=1, side="sell")],
        11,
        [],
        {"count_breaks": 1},
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_trades_leave_these_holes_and_counts(
    case: tuple[list[dict[str, Any]], int, list[tuple[int, int]], dict[str, int]],
) -> None:
    trades, high, holes, counts = case
    table = SeriesTable()
    table.take_trades(rows("trades", *trades))
    row = table.rows[0]
    assert row[kernel.HI] == high
    assert [(hole[kernel.FROM], hole[kernel.TO]) for hole in table.holes_of(0)] == holes
    found = {name: int(row[place]) for name, place in COUNTS.items()}
    assert found == {**dict.fromkeys(COUNTS, 0), **counts}


def test_a_hole_tells_value_trades_and_times_of_what_is_missing() -> None:
    table = SeriesTable()
    first = trade(10, 1, "09:00:01", buy_count=3, sell_count=4)
    second = trade(25, 1, "09:00:09", buy_count=6, sell_count=9)
    table.take_trades(rows("trades", first, second))
    _, hole = table.holes_of(0)
    assert hole[kernel.AFTER_VALUE] - hole[kernel.BEFORE_VALUE] == 14 * PRICE * 100
    assert hole[kernel.AFTER_COUNT] - hole[kernel.BEFORE_COUNT] == 7
    assert (hole[kernel.BEFORE_TS], hole[kernel.AFTER_TS]) == (at("09:00:01"), at("09:00:09"))
    assert (hole[kernel.BEFORE_LSN], hole[kernel.AFTER_LSN]) == (0, 1)


def test_a_filling_without_value_leaves_the_value_of_the_rest_known() -> None:
    table = SeriesTable()
    table.take_trades(rows("trades", trade(10, 10), trade(40, 5)))
    table.take_trades(rows("trades", trade(15, 5, cum_value=None, source="rest"), first=2))
    (hole,) = table.holes_of(0)
    assert (hole[kernel.FROM], hole[kernel.TO]) == (15, 35)
    assert hole[kernel.AFTER_VALUE] - hole[kernel.BEFORE_VALUE] == 20 * PRICE * 100
    assert (table.rows[0, kernel.FILLS], table.rows[0, kernel.FILLS_REST]) == (0, 1)


def test_a_repeat_older_than_what_is_remembered_is_counted_as_unchecked() -> None:
    table = SeriesTable()
    table.take_trades(rows("trades", *(trade(n, 1) for n in range(1, 41)), trade(3, 1)))
    assert table.rows[0, [kernel.DUPLICATES, kernel.UNCHECKED, kernel.CONTRADICTIONS]].tolist() == [1, 1, 0]


def test_scopes_dates_and_symbols_are_series_of_their_own() -> None:
    table = SeriesTable()
    other = [trade(5, 5, scope="UN"), trade(3, 3, scope="NXT"), trade(2, 2, symbol="000660")]
    table.take_trades(rows("trades", trade(10, 10), *other, trade(4, 4, date="2025-09-16")))
    assert {name: int(table.rows[i, kernel.HI]) for i, name in enumerate(table.names)} == {
        (DAY, "KRX", "005930"): 10,
        (DAY, "UN", "005930"): 5,
        (DAY, "NXT", "005930"): 3,
        (DAY, "KRX", "000660"): 2,
        ("2025-09-16", "KRX", "005930"): 4,
    }


def test_rows_that_name_no_series_are_left_out() -> None:
    table = SeriesTable()
    table.take_polls(
        rows("snapshots", poll(5), poll(9, scope=None), poll(9, symbol=None), poll(9, date=None)), NO_CLOCK
    )
    assert len(table) == 1
    assert table.rows[0, kernel.W_POLL] == 5


def level_of(table: SeriesTable, place: int) -> tuple[int, int]:
    return int(table.rows[0, place]), int(table.rows[0, place + kernel.W_LEVEL])


@pytest.mark.parametrize(("clock", "level"), [("15:29:59", 0), ("15:30:00", 1), ("17:59:59", 1), ("18:00:00", 2)])
def test_a_book_counts_by_its_own_time(clock: str, level: int) -> None:
    table = SeriesTable()
    table.take_books(rows("quotes", book(10, clock)), NO_CLOCK)
    assert level_of(table, kernel.W_BOOK) == (10, level)


@pytest.mark.parametrize(
    ("recv", "told", "level"),
    [
        (at("18:00:01"), 0, 2),  # our clock, on the day itself
        (at("16:00:00"), 0, 1),
        (at("10:00:00", "2026-11-25"), 0, 0),  # a day of last year, played today: our clock says nothing
        (at("10:00:00", "2026-11-25"), at("18:00:00"), 2),  # but the broker's does
        (at("10:00:00", "2026-11-25"), at("15:30:00"), 1),
    ],
)
def test_a_poll_counts_by_our_clock_on_the_day_and_else_by_the_brokers(recv: int, told: int, level: int) -> None:
    table = SeriesTable()
    clock = np.array([[-1, 0], [5, told]], np.int64)
    table.take_polls(rows("snapshots", poll(10, ts_recv=recv, lsn=4)), clock)
    assert level_of(table, kernel.W_POLL) == (10, 0 if recv > at("23:59:59") else level)
    table.take_polls(rows("snapshots", poll(10, ts_recv=recv, lsn=5)), clock)
    assert level_of(table, kernel.W_POLL) == (10, level)


def test_the_days_bounds_are_the_calendars() -> None:
    assert day_bounds("2025-09-15", "KRX")[:2] == (at("15:30:00"), at("18:00:00"))
    assert day_bounds("2026-09-15", "KRX")[1] == at("20:00:00", "2026-09-15")
    assert day_bounds("2025-09-15", "NXT")[1] == at("20:00:00")
    assert day_bounds("2025-09-14", "KRX") == day_bounds("nonsense", "KRX") == (2**63 - 1,) * 3
