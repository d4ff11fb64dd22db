"""The order book's kernel against numbers worked out by hand, and what it gives where there is no book to speak of."""

import numpy as np
import pytest

from book_cases import NINE, quote, run, trade
from feature_cases import bits
from hosu.features import book_kernel as kernel
from hosu.market.features import BOOK_FEATURES

BOOK = ("spread_bp", "imbalance_1", "imbalance_5", "microprice_bp")
FLOWS = ("flow_10", "flow_60", "ofi_10", "ofi_60")


def last(events):
    """The features of the last second, by name; null is None."""
    _, out = run(events)
    return {name: None if np.isnan(value) else value for name, value in zip(BOOK_FEATURES, out[-1], strict=True)}


def seconds(events, **how):
    return (run(events, **how)[0][:, kernel.ROW_SECOND] - NINE).tolist()


def calm(end, every=5):
    """A book that stands still, from 0 up to ``end``."""
    return [quote(second, 99, 101) for second in range(0, end, every)]


def test_the_outputs_have_the_names_of_the_set():
    assert [getattr(kernel, name.upper()) for name in BOOK_FEATURES] == list(range(kernel.OUTPUTS))


def test_a_book_alone_tells_spread_imbalance_and_microprice_at_once():
    made = last([quote(0, 9_990, 10_010, sizes=(300, 100), five=(1_000, 3_000))])
    assert made == {
        "spread_bp": 20.0,  # 20 won of 10,000
        "imbalance_1": 0.5,
        "imbalance_5": -0.5,
        "microprice_bp": 5.0,  # (10,010 x 300 + 9,990 x 100) / 400 = 10,005
        **dict.fromkeys(FLOWS),
    }


@pytest.mark.parametrize(
    ("bid", "ask", "sizes"),
    [
        pytest.param(0, 0, (0, 0), id="empty"),
        pytest.param(100, 0, (5, 0), id="limit up: nobody sells"),
        pytest.param(0, 100, (0, 5), id="limit down: nobody buys"),
        pytest.param(100, 100, (5, 5), id="locked"),
        pytest.param(101, 100, (5, 5), id="crossed"),
        pytest.param(99, 100, (0, 5), id="a price without shares"),
    ],
)
def test_a_book_without_two_sides_has_no_features_but_the_flow_of_trades(bid, ask, sizes):
    events = [*calm(70), trade(70, 101, 30, side=1), trade(70, 99, 10, side=-1), quote(70, bid, ask, sizes)]
    made = last(events)
    assert [made[name] for name in (*BOOK, "ofi_10", "ofi_60")] == [None] * 6
    assert (made["flow_10"], made["flow_60"]) == (0.5, 0.5)
    rows, _ = run(events)
    assert rows[-1, [kernel.ROW_BID, kernel.ROW_ASK]].tolist() == [0, 0]


def test_windows_are_null_until_all_their_seconds_were_seen():
    """The first second was seen in part, so ten whole ones end at second 10."""
    _, out = run([quote(second, 99, 101) for second in range(75)])
    for name, first in (("flow_10", 10), ("ofi_10", 10), ("flow_60", 60), ("ofi_60", 60)):
        column = out[:, BOOK_FEATURES.index(name)]
        assert np.isnan(column[:first]).all()
        assert (column[first:] == 0.0).all()


def test_flow_is_what_buyers_took_less_what_sellers_took_of_all_that_was_traded():
    events = [*calm(60), trade(55, 101, 40, side=1), trade(61, 101, 10, side=1), trade(64, 99, 30, side=-1)]
    made = last([*events, quote(65, 99, 101)])
    assert made["flow_10"] == (10 - 30) / 40  # what was traded in second 55 has just left: 56 to 65
    assert made["flow_60"] == (50 - 30) / 80
    assert last([*events, quote(64, 99, 101)])["flow_10"] == (50 - 30) / 80


@pytest.mark.parametrize(
    ("before", "price", "side"),
    [
        pytest.param([], 101, 1, id="above the middle"),
        pytest.param([], 99.5, -1, id="below the middle"),
        pytest.param([trade(20, 99, 1, side=-1)], 100, 1, id="at it, above the last price"),
        pytest.param([trade(20, 101, 1, side=1)], 100, -1, id="at it, below the last price"),
        pytest.param([trade(20, 99, 1, side=1), trade(20, 100, 1, side=1)], 100, 1, id="at it, where a rise led"),
        pytest.param([trade(20, 101, 1, side=1), trade(20, 100, 1, side=1)], 100, -1, id="at it, where a fall led"),
        pytest.param([], 100, 0, id="at it, and nothing was traded before"),
        pytest.param([quote(68, 0, 101), trade(20, 99, 1, side=-1)], 99.5, 1, id="no book: by the last price"),
    ],
)
def test_a_trade_whose_side_is_not_told_is_judged_by_the_book_then_by_the_price(before, price, side):
    """What was traded before lies outside of the ten seconds."""
    events = [*calm(20), *[each for each in before if each[kernel.KIND] == kernel.TRADE], *calm(60)[4:]]
    books = [each for each in before if each[kernel.KIND] == kernel.QUOTE]
    assert last([*events, *books, trade(70, price, 10)])["flow_10"] == side


@pytest.mark.parametrize(
    ("bid", "ask", "sizes", "flow"),
    [
        pytest.param(99, 101, (10, 10), 0, id="nothing changed"),
        pytest.param(99, 101, (14, 10), 4, id="bids added"),
        pytest.param(99, 101, (7, 10), -3, id="bids cancelled or taken"),
        pytest.param(99, 101, (10, 15), -5, id="asks added"),
        pytest.param(100, 101, (6, 10), 6, id="a better bid"),
        pytest.param(98, 101, (6, 10), -10, id="the bid is gone"),
        pytest.param(99, 100, (10, 6), -6, id="a better ask"),
        pytest.param(99, 102, (10, 6), 10, id="the ask is gone"),
        pytest.param(100, 102, (3, 4), 13, id="the book moved up"),
    ],
)
def test_order_flow_imbalance_is_that_of_cont_kukanov_and_stoikov_over_the_mean_depth(bid, ask, sizes, flow):
    made = last([*calm(70), quote(70, bid, ask, sizes)])
    depth = (10 + (sizes[0] + sizes[1]) / 2) / 2  # of the two books in seconds 61 to 70: those of 65 and 70
    assert made["ofi_10"] == pytest.approx(flow / depth, rel=1e-15)


def test_a_change_across_a_book_without_two_sides_is_no_order_flow():
    made = last([*calm(70), quote(70, 99, 0, (10, 0)), quote(70, 90, 101, (500, 10))])
    assert made["ofi_10"] == 0.0


def test_no_window_reaches_over_an_auction_and_in_it_everything_is_null():
    """A volatility interruption: two minutes in which orders are collected."""
    halt = [quote(second, 98, 102, mode=kernel.AUCTION) for second in (100, 160, 219)]
    during = last([*calm(100), trade(99, 101, 5, side=1), *halt])
    assert set(during.values()) == {None}
    after = [*calm(100), *halt, trade(220, 101, 9, side=1, mode=kernel.AUCTION)]
    assert last([*after, quote(229, 99, 101)])["flow_10"] is None
    made = last([*after, quote(230, 99, 101), trade(230, 99, 4, side=-1)])
    assert (made["flow_10"], made["flow_60"], made["ofi_10"]) == (-1.0, None, 0.0)


def test_shares_that_were_traded_unseen_begin_the_windows_anew():
    seen = [*calm(70), trade(65, 101, 5, side=1, cum=1_005), trade(66, 101, 5, side=1, cum=1_010)]
    assert last([*seen, quote(69, 99, 101)])["flow_60"] == 1.0
    missed = [*seen, trade(70, 101, 5, side=1, cum=1_025)]  # 1,010 to 1,020 are missing
    made = last(missed)
    assert (made["flow_10"], made["ofi_10"], made["imbalance_1"]) == (None, None, 0.0)
    assert last([*missed, quote(79, 99, 101)])["flow_10"] is None
    assert last([*missed, quote(80, 99, 101)])["flow_10"] == 0.0


def test_a_trade_received_twice_counts_once_and_one_beside_the_book_not_at_all():
    once = [*calm(70), trade(69, 101, 5, side=1, cum=1_005), trade(70, 99, 5, side=-1, cum=1_010)]
    assert last([*once, trade(70, 99, 5, side=-1, cum=1_010), trade(70, 101, 5, side=1, cum=1_005)]) == last(once)
    block = trade(70, 90, 5_000, side=-1, cum=6_010, mode=kernel.BESIDE)
    after = trade(70, 101, 5, side=1, cum=6_015)
    assert last([*once, block, after])["flow_10"] == (10 - 5) / 15


def test_what_comes_late_counts_in_the_second_in_which_it_comes():
    late = [*calm(60), quote(60, 99, 101), quote(70, 99, 101), trade(62, 101, 8, side=1)]
    rows, out = run(late)
    assert seconds(late)[-2:] == [60, 70]
    assert rows[-1, [kernel.ROW_QUOTES, kernel.ROW_TRADES]].tolist() == [1, 1]
    assert out[-1, kernel.FLOW_10] == 1.0
    assert bits(out[:-1]).tolist() == bits(run(late[:-1])[1][:-1]).tolist()


def test_a_second_without_an_event_has_no_row_and_an_open_one_only_at_the_end():
    events = [quote(0, 99, 101), quote(3, 99, 101), trade(3, 101, 1), quote(500, 99, 101)]
    assert seconds(events) == [0, 3, 500]
    assert seconds(events, close=False) == [0, 3]
    assert last(events)["ofi_60"] == 0.0  # nothing is left in the ring of what happened 500 seconds ago


def test_after_a_silence_of_any_length_nothing_is_left_of_what_was_before_the_window():
    for silence in range(1, 190):
        made = last([*calm(70), trade(70, 101, 5, side=1), quote(70 + silence, 99, 101)])
        assert (made["flow_10"], made["flow_60"]) == (float(silence < 10), float(silence < 60)), silence


def test_symbols_do_not_touch_each_other():
    chance = np.random.default_rng(5)
    mine = [quote(int(at), 99, 101, tuple(chance.integers(1, 9, 2))) for at in range(80)]
    other = [trade(int(at), 100 + at % 3, 7, side=1, series=1) for at in range(80)]
    mixed = [event for pair in zip(mine, other, strict=True) for event in pair]
    rows, out = run(mixed)
    alone = run(mine)
    chosen = rows[:, kernel.ROW_SERIES] == 0
    assert rows[chosen].tolist() == alone[0].tolist()
    assert bits(out[chosen]).tolist() == bits(alone[1]).tolist()


def test_no_event_makes_no_row():
    assert seconds([]) == []
