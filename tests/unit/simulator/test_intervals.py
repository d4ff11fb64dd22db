"""Half-open share intervals: noted trade by trade, united, taken out of one another."""

import numpy as np
import pytest

from hosu.kis.simulator.intervals import SENT, UNSENT, WITHHELD, IntervalNotes, measure, unite, without

Rows = list[list[int]]


def rows(*pairs: tuple[int, int]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


@pytest.mark.parametrize(
    ("given", "united"),
    [
        ([], []),
        ([(5, 5)], []),
        ([(0, 3), (3, 5)], [[0, 5]]),
        ([(7, 9), (0, 3)], [[0, 3], [7, 9]]),
        ([(0, 10), (2, 3), (9, 12)], [[0, 12]]),
        ([(4, 6), (4, 6)], [[4, 6]]),
    ],
)
def test_intervals_are_united_where_they_touch_or_overlap(given: list[tuple[int, int]], united: Rows) -> None:
    assert unite(rows(*given)).tolist() == united


@pytest.mark.parametrize(
    ("given", "taken", "left"),
    [
        ([(0, 10)], [], [[0, 10]]),
        ([(0, 10)], [(3, 4)], [[0, 3], [4, 10]]),
        ([(0, 10)], [(0, 10)], []),
        ([(0, 4), (6, 9)], [(2, 7)], [[0, 2], [7, 9]]),
        ([(0, 4)], [(4, 9)], [[0, 4]]),
        ([(2, 3), (5, 6), (8, 9)], [(0, 1), (5, 6), (9, 12)], [[2, 3], [8, 9]]),
    ],
)
def test_shares_are_taken_out_of_others(given: list[tuple[int, int]], taken: list[tuple[int, int]], left: Rows) -> None:
    assert without(rows(*given), rows(*taken)).tolist() == left


def noted(*trades: tuple[int, int, int]) -> tuple[Rows, Rows]:
    """What is withheld and unsent of one symbol's (fate, size, cumulative volume)."""
    notes = IntervalNotes()
    for fate, size, volume in trades:
        one = (np.array([value], kind) for value, kind in ((0, np.int64), (fate, np.uint8)))
        notes.note(*one, np.array([size]), np.array([volume]), 1)
    withheld, unsent = notes.of_symbols(np.zeros(1, np.int64)).get(0, (rows(), rows()))
    return withheld.tolist(), unsent.tolist()


def test_neighbouring_trades_of_one_fate_make_one_interval() -> None:
    trades = ((SENT, 5, 5), (WITHHELD, 3, 8), (WITHHELD, 2, 10), (SENT, 1, 11), (UNSENT, 4, 15), (UNSENT, 5, 20))
    assert noted(*trades) == ([[5, 10]], [[11, 20]])


def test_a_share_that_went_out_once_is_not_missing_whatever_became_of_its_repetition() -> None:
    assert noted((SENT, 5, 5), (WITHHELD, 5, 5)) == ([], [])
    assert noted((WITHHELD, 5, 5), (SENT, 5, 5)) == ([], [])
    assert noted((UNSENT, 5, 5), (SENT, 5, 5)) == ([], [])


def test_a_share_that_was_withheld_and_then_asked_for_by_nobody_is_withheld() -> None:
    assert noted((WITHHELD, 5, 5), (UNSENT, 5, 5)) == ([[0, 5]], [])


def test_trades_without_shares_leave_no_interval() -> None:
    assert noted((WITHHELD, 0, 7), (UNSENT, 0, 0)) == ([], [])


def test_many_trades_need_no_more_room_than_their_union() -> None:
    """Every second trade is withheld, in an order that makes no two neighbours, until the store has grown often."""
    notes, count = IntervalNotes(), 20_000
    volume = np.random.default_rng(1).permutation(count) + 1
    for some in np.split(volume, 40):
        fate = np.where(some % 2, WITHHELD, SENT).astype(np.uint8)
        notes.note(np.zeros(len(some), np.int64), fate, np.ones(len(some), np.int64), some, 1)
    withheld, unsent = notes.of_symbols(np.zeros(1, np.int64))[0]
    assert (len(withheld), measure(withheld), len(unsent)) == (count // 2, count // 2, 0)
    again = np.arange(count) + 1
    notes.note(np.zeros(count, np.int64), np.zeros(count, np.uint8), np.ones(count, np.int64), again, 1)
    assert measure(notes.of_symbols(np.zeros(1, np.int64))[0][0]) == 0
