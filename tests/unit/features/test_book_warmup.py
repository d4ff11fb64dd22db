"""How long the order book's features remember is measured, and a set that declares less is found."""

from dataclasses import replace

import numpy as np
import pytest

from book_cases import quote, trade
from hosu.errors import InputError
from hosu.features import book_kernel as kernel
from hosu.features.book_warmup import BookWarmUp, made_of, measured
from hosu.features.definitions import BOOK_V1
from hosu.market.features import BOOK_FEATURES

SECONDS = 900


def series(seed: int = 1, side: int | None = None) -> np.ndarray:
    """A quarter of an hour of books and trades, some in each second; ``side``: of every trade, else of each its own."""
    chance, made, cum = np.random.default_rng(seed), [], 0
    for second in range(SECONDS):
        bid = 70_000 - 100 * int(chance.integers(0, 3))
        made.append(quote(second, bid, bid + 100, tuple(chance.integers(1, 50, 2).tolist())))
        size = int(chance.integers(1, 9))
        cum += size
        taker = int(chance.choice([-1, 1])) if side is None else side
        made.append(trade(second, bid + 50 * int(chance.integers(0, 3)), size, taker, cum))
    return np.array(made, np.int64)


def needed(found: BookWarmUp) -> dict[str, int | None]:
    return {each.feature.removeprefix("book_v1."): each.needed for each in found.features}


WINDOWS = dict(zip(BOOK_FEATURES, (1, 1, 1, 1, 11, 61, 11, 61), strict=True))


def test_each_feature_needs_its_window_and_the_second_in_which_the_day_begins() -> None:
    found = measured([series(1), series(2)], [BOOK_V1])
    assert needed(found) == WINDOWS
    assert all(each.passes for each in found.features)
    assert (found.series, found.starts, found.waited_s) == (2, 8, 0)


def test_where_sides_are_not_told_flow_is_counted_from_the_change_of_the_price() -> None:
    found = measured([series(1, side=0), series(2, side=0)], [BOOK_V1])
    assert needed(found) == WINDOWS | {"flow_10": 10, "flow_60": 60}  # it came a second later at each of the starts
    assert found.waited_s >= 1


def test_a_declared_window_that_is_too_short_is_found() -> None:
    found = measured([series()], [replace(BOOK_V1, window=60)])
    assert [each.feature for each in found.features if not each.passes] == ["book_v1.flow_60", "book_v1.ofi_60"]


@pytest.mark.parametrize(("window", "seconds"), [(120, 120), (None, None)])
def test_a_kernel_that_remembers_longer_than_its_set_declares_is_found(window: int | None, seconds: int | None) -> None:
    def longer(events: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, outputs = made_of(events)
        total = np.cumsum(rows[:, kernel.ROW_VOLUME])
        before = np.concatenate([np.zeros(window or 0, np.int64), total])[: len(total)] if window else 0
        outputs[:, kernel.FLOW_10] = total - before
        return rows, outputs

    found = measured([series()], [BOOK_V1], made=longer)
    assert needed(found) == WINDOWS | {"flow_10": seconds}
    assert [each.feature for each in found.features if not each.passes] == ["book_v1.flow_10"]


def test_a_side_that_is_not_told_waits_for_the_price_to_change() -> None:
    # All but one trade in 150 seconds are at the middle of the book, where only the last change of the price tells.
    made = []
    for second in range(SECONDS):
        made += [quote(second, 99, 101), trade(second, 101 if second % 150 == 0 else 100, 1 + second % 7)]
    found = measured([np.array(made, np.int64)], [BOOK_V1])
    assert all(each.passes for each in found.features)
    assert 0 < found.waited_s < 150


@pytest.mark.parametrize("seed", range(5))
def test_no_start_is_drawn_before_a_trade_behind_a_hole_or_one_that_came_twice(seed: int) -> None:
    made, cum = [], 0
    for second in range(2 * SECONDS):
        made.append(quote(second, 99, 101, (1 + second % 5, 1 + second % 3)))
        if second % 50 == 25:
            cum += 100 if second % 100 == 25 else 5  # or five shares, of which we are told
            made += [trade(second, 101, 5, 1, cum)]
            made += [trade(second + 20, 101, 5, 1, cum)] if second % 150 == 25 else []
    events = np.array(sorted(made, key=lambda event: event[kernel.SECOND]), np.int64)
    assert all(each.passes for each in measured([events], [BOOK_V1], seed=seed).features)


def test_a_series_that_is_too_short_measures_nothing() -> None:
    with pytest.raises(InputError, match="order books: last nowhere 183 seconds behind a full book"):
        measured([series()[: 2 * 180]], [BOOK_V1])
