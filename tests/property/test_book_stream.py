"""However the log is cut into batches and wherever the sink is killed, it serves the seconds that the kernel makes."""

import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from book_cases import NINE, quote, run, trade
from effort import examples
from feature_cases import bits
from hosu.collect.sinks import EventBatch
from hosu.features import book_kernel as kernel
from hosu.features.book_sink import BookSink
from stream_batches import MemoryRows, batch_of

DAY, END_US = "2025-09-15", (NINE + 6 * 3600 + 40 * 60) * 1_000_000  # the session's last minute ends before


@dataclass(frozen=True)
class Day:
    """Events (symbol, as the kernel takes them) and, as int, closes, one a record; where the log is cut into batches,
    before which of them the sink is killed, and behind which it has laid its state down."""

    items: list[tuple[str, list[int]] | int]
    cuts: list[int]
    kills: set[int]
    lays_down: set[int]

    @property
    def batches(self) -> list[EventBatch]:
        edges = sorted({0, *self.cuts, len(self.items)})
        return [batch_of(self.items[first:end], first, DAY) for first, end in pairwise(edges)]


@st.composite
def days(draw: st.DrawFn) -> Day:
    second, cum = 0, dict.fromkeys("AB", 0)
    items: list[tuple[str, list[int]] | int] = []
    for _ in range(draw(st.integers(1, 50))):
        second += draw(st.sampled_from([0, 0, 1, 1, 3, 11, 61]))
        at, symbol = max(0, second - draw(st.sampled_from([0, 0, 0, 2]))), draw(st.sampled_from("AB"))
        mode = draw(st.sampled_from([kernel.CONTINUOUS] * 8 + [kernel.AUCTION]))
        if draw(st.booleans()):
            bid, sizes = draw(st.sampled_from([0, 97, 98, 99])), (draw(st.integers(0, 9)), draw(st.integers(0, 9)))
            items.append((symbol, quote(at, bid, draw(st.sampled_from([0, 99, 100])), sizes, sizes, mode)))
        else:
            size = draw(st.integers(1, 9))
            cum[symbol] += draw(st.sampled_from([size, size, 0, size + 5]))
            side = draw(st.sampled_from([1, -1, 0]))
            items.append((symbol, trade(at, draw(st.integers(97, 100)), size, side, cum[symbol], mode)))
        if draw(st.integers(0, 9)) == 0:
            items.append((NINE + second // 60 * 60) * 1_000_000)
    if draw(st.booleans()):
        items.append(END_US)
    cuts = draw(st.lists(st.integers(0, len(items)), max_size=10))
    return Day(items, cuts, draw(st.sets(st.integers(0, 11), max_size=4)), draw(st.sets(st.integers(0, 11))))


def served(day: Day, store: MemoryRows) -> dict[str, Any]:
    """By symbol what is in the table after the whole log: killed, the sink is made anew and reads on from its place."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "books.state"
        sink, number, killed, batches = BookSink(store, keep=path), 0, set(day.kills), day.batches
        while number < len(batches):
            if number in killed:
                killed.discard(number)
                sink = BookSink(store, keep=path)
                resumed = sink.resume_after("w1")
                number = next(i for i, batch in enumerate(batches) if batch.last_lsn > resumed)
            sink.write(batches[number])
            if number in day.lays_down:
                sink.sync()
            number += 1
        sink.close()
    found: dict[str, list[Any]] = {}
    for part in store.made:
        for row, out in zip(part.rows.tolist(), bits(part.outputs).tolist(), strict=True):
            found.setdefault(part.names[row[kernel.ROW_SERIES]], []).append([row[1:], out])
    return found


def in_one_go(day: Day) -> dict[str, Any]:
    """By symbol what the kernel makes of its events; the last second only where the log closed the day."""
    found, ended = {}, END_US in day.items
    for symbol in "AB":
        rows, out = run([each[1] for each in day.items if isinstance(each, tuple) and each[0] == symbol], close=ended)
        made = [[row[1:], bit] for row, bit in zip(rows.tolist(), bits(out).tolist(), strict=True)]
        if made:
            found[symbol] = made
    return found


@given(days())
@examples(100)
def test_seconds_are_served_as_the_kernel_makes_them_of_the_whole_log(day: Day):
    assert served(day, MemoryRows()) == in_one_go(day)


@given(days())
@examples(50)
@pytest.mark.slow
def test_rows_that_were_committed_before_the_state_was_lost_are_not_added_twice(day: Day):
    store = MemoryRows()
    first = BookSink(store)
    for batch in day.batches:
        first.write(batch)
    first.close()
    assert served(day, store) == in_one_go(day)


def test_the_days_drawn_can_hold_what_they_are_to_prove():
    """A whole minute of both symbols through kills: else the tests above might hold of empty tables."""
    chance = np.random.default_rng(4)
    items: list[tuple[str, list[int]] | int] = []
    for second in range(130):
        symbol = "AB"[second % 2]
        items += [(symbol, quote(second, 98, 100, tuple(chance.integers(1, 9, 2).tolist())))]
        items += [(symbol, trade(second, 99, 3, 1))]
    day = Day([*items, END_US], [50, 100, 150, 200], {1, 2, 4}, {0, 2})
    rows = served(day, MemoryRows())
    assert rows == in_one_go(day)
    assert {symbol: len(made) for symbol, made in rows.items()} == {"A": 65, "B": 65}
