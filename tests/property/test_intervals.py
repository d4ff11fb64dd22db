"""Intervals against sets of shares, which are slow and plain."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hosu.kis.simulator.intervals import SENT, UNSENT, WITHHELD, IntervalNotes, measure, unite, without

PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)
TRADES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 9), st.integers(0, 40)), max_size=40)


def rows(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(pairs, np.int64).reshape(-1, 2)


def shares(pairs: list[tuple[int, int]]) -> set[int]:
    return {share for begin, end in pairs for share in range(begin, end)}


def is_canonical(intervals: list[tuple[int, int]]) -> bool:
    ends = [end for _, end in intervals]
    begins = [begin for begin, _ in intervals]
    return all(a < b for a, b in intervals) and all(end < begin for end, begin in zip(ends, begins[1:], strict=False))


@given(PAIRS)
def test_a_union_holds_the_same_shares_in_the_fewest_intervals(pairs: list[tuple[int, int]]) -> None:
    united = [tuple(pair) for pair in unite(rows(pairs)).tolist()]
    assert shares(united) == shares(pairs)
    assert is_canonical(united)
    assert measure(rows(united)) == len(shares(pairs))


@given(PAIRS, PAIRS)
def test_what_is_left_is_in_the_one_and_not_in_the_other(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    left = [tuple(pair) for pair in without(rows(one), rows(other)).tolist()]
    assert shares(left) == shares(one) - shares(other)
    assert is_canonical(left)


@given(TRADES, st.integers(1, 7))
@settings(max_examples=300)
def test_notes_give_every_share_of_a_symbol_one_fate(trades: list[tuple[int, int, int, int]], step: int) -> None:
    """Two registrations of one symbol and one of another; taken in in pieces of any length."""
    notes = IntervalNotes()
    columns = np.array(trades, np.int64).reshape(-1, 4)
    for first in range(0, len(columns), step):
        key, fate, size, volume = (np.ascontiguousarray(each) for each in columns[first : first + step].T)
        notes.note(key, fate.astype(np.uint8), size, volume, 3)
    symbols = np.array([0, 1, 0], np.int64)
    found = notes.of_symbols(symbols)
    for symbol in (0, 1):
        mine = [(f, (max(0, v - s), v)) for k, f, s, v in trades if symbols[k] == symbol]
        sent, withheld, unsent = (shares([pair for f, pair in mine if f == fate]) for fate in (SENT, WITHHELD, UNSENT))
        missing = found.get(symbol, (rows([]), rows([])))
        assert shares([tuple(pair) for pair in missing[0].tolist()]) == withheld - sent
        assert shares([tuple(pair) for pair in missing[1].tolist()]) == unsent - withheld - sent
