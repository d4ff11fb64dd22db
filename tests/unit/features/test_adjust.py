"""Adjustment factors, each number worked out by hand."""

from typing import Any

import numpy as np
import pytest
from panel_parts import Row, days_of, flat, panel_of, rules_of

from hosu.features.adjust import Adjustment, Explained, Known, Traded, adjustment
from hosu.features.panel import BarPanel


def adjusted(panel: BarPanel, **known: Any) -> Adjustment:
    """The adjustment of a panel; ``base`` and ``official`` are in won here, and each close is official if not told."""
    known = {"official": panel.close / 100, **known}
    for name in {"base", "official"} & known.keys():
        known[name] = np.array(known[name], np.int64) * 100
    for name, kind in (("ratio", np.float64), ("ex_code", np.int64), ("adjusted", np.bool_), ("halted", np.bool_)):
        if name in known:
            known[name] = np.array(known[name], kind)
    bars = Traded(panel.starts, panel.date, panel.high, panel.low, panel.close, panel.volume)
    return adjustment(bars, Known(**known), rules_of(panel))


def pair(before: Row, after: Row, days: tuple[int, int] = (20_250_915, 20_250_916)) -> BarPanel:
    return days_of({"A": [before, after]}, days)


SPLIT = pair((2_669_000, 2_682_000, 2_622_000, 2_650_000, 606_216), (53_000, 53_900, 51_800, 51_900, 39_565_391),
             (20_180_427, 20_180_504))  # fmt: skip
"""005930 before and after one share became fifty."""


def test_a_split_of_one_into_fifty_is_told_by_the_base_price() -> None:
    made = adjusted(SPLIT, base=[2_607_000, 53_000], halted=[False, True])

    assert made.factor.tolist() == [1.0, 0.02]
    assert made.masked.tolist() == [False, False]
    assert made.explained.tolist() == [Explained.NOTHING, Explained.BASE]
    assert made.base.tolist() == [0, 5_300_000]


def test_a_split_is_told_by_the_brokers_ratio_where_no_base_is_known() -> None:
    made = adjusted(SPLIT, ratio=[0, 0.02], base=[0, 0])

    assert made.factor.tolist() == [1.0, 0.02]
    assert made.masked.tolist() == [False, False]
    assert made.explained[1] == Explained.RATIO


def test_a_split_of_which_nobody_tells_is_masked() -> None:
    made = adjusted(SPLIT)

    assert made.factor.tolist() == [1.0, 1.0]
    assert made.masked.tolist() == [False, True]


def test_a_base_beside_an_older_close_is_no_event_but_the_market_that_moved_meanwhile() -> None:
    # Three sessions are missing here, and no halt is known.
    panel = pair(flat(10_000), flat(9_100), (20_250_915, 20_250_919))
    made = adjusted(panel, base=[0, 9_000])

    assert made.factor.tolist() == [1.0, 1.0]
    assert made.masked.tolist() == [False, False]
    assert adjusted(panel, base=[0, 9_000], halted=[False, True]).factor.tolist() == [1.0, 0.9]


PARTIAL = pair(flat(10_000), flat(10_350))
"""The first day was recorded until some hour; nobody here knows where it closed."""


@pytest.mark.parametrize(
    ("base", "factor", "doubtful", "explained"),
    [
        (10_300, 1.0, True, Explained.NOTHING),  # 3 % that nobody saw, or a reverse split of that size
        (10_010, 1.0, True, Explained.NOTHING),
        (10_005, 1.0, False, Explained.NOTHING),  # less than a tick of 10
        (8_000, 1.0, True, Explained.NOTHING),
        (5_000, 0.5, True, Explained.BASE),  # from 10,000 to 5,000 no session leads: at most by 0.7 / 1.3
        (2_060, 0.206, True, Explained.BASE),
        (20_000, 2.0, True, Explained.BASE),
    ],
)
def test_beside_a_close_that_is_not_known_a_base_tells_only_of_what_no_session_can_do(
    base: int, factor: float, doubtful: bool, explained: Explained
) -> None:
    made = adjusted(PARTIAL, base=[0, base], official=[0, 0])

    assert made.factor.tolist() == [1.0, factor]
    assert made.doubtful.tolist() == [False, doubtful]
    assert made.explained[1] == explained


@pytest.mark.parametrize(("base", "factor"), [(10_300, 1.0), (2_060, 0.2), (9_785, 0.95)])
def test_an_event_is_reckoned_from_the_official_close_whatever_the_last_price_here(base: int, factor: float) -> None:
    made = adjusted(PARTIAL, base=[0, base], official=[10_300, 0])

    assert made.factor.tolist() == [1.0, factor]
    assert not made.doubtful.any()


@pytest.mark.parametrize(
    ("told", "factor", "explained"),
    [({"ratio": [0, 0.92]}, 0.92, Explained.RATIO), ({"ex_code": [0, 2]}, 1.0, Explained.CASH)],
)
def test_where_the_close_is_not_known_the_broker_may_tell_what_the_base_does_not(
    told: dict[str, list[float]], factor: float, explained: Explained
) -> None:
    made = adjusted(PARTIAL, base=[0, 9_476], official=[0, 0], **told)

    assert (made.factor[1], made.explained[1], bool(made.doubtful[1])) == (factor, explained, False)


def test_a_close_before_a_halt_must_be_known_too() -> None:
    days = (20_250_915, 20_250_916, 20_250_917)
    panel = days_of({"A": [flat(10_000), flat(10_000, 0), flat(9_500)]}, days)

    known, unknown = (adjusted(panel, base=[0, 0, 9_500], official=[close, 0, 0]) for close in (10_000, 0))

    assert (known.factor[2], bool(known.doubtful[2])) == (0.95, False)
    assert (unknown.factor[2], bool(unknown.doubtful[2])) == (1.0, True)


def test_bars_of_another_venue_end_elsewhere_and_their_last_price_is_not_doubted() -> None:
    known = {"base": [0, 10_050], "is_krx": False}

    for official in (0, 10_050):
        made = adjusted(PARTIAL, official=[official, 0], **known)
        assert (made.factor[1], bool(made.doubtful[1])) == (1.0, False)
    assert adjusted(PARTIAL, official=[10_550, 0], **known).factor[1] == 10_050 / 10_550


def test_a_base_far_from_an_older_close_is_masked() -> None:
    made = adjusted(SPLIT, base=[2_607_000, 53_000])

    assert made.factor.tolist() == [1.0, 1.0]
    assert made.masked.tolist() == [False, True]


def test_in_a_halt_the_last_price_is_carried_and_the_factor_waits_for_the_first_trade() -> None:
    halted = flat(2_650_000, 0)
    days = (20_180_427, 20_180_430, 20_180_502, 20_180_503, 20_180_504)
    panel = days_of({"A": [flat(2_650_000), halted, halted, halted, flat(51_900)]}, days)

    made = adjusted(panel, base=[0, 2_650_000, 53_000, 53_000, 53_000])

    assert made.factor.tolist() == [1.0, 1.0, 1.0, 1.0, 0.02]
    assert not made.masked.any()
    assert made.base.tolist() == [0, 0, 0, 0, 5_300_000]


def test_a_rights_issue_lowers_the_base_and_the_limits_with_it() -> None:
    # 30 % of 9,200 is 2,760, a whole number of ticks of 10: the limits are 6,440 and 11,960.
    lowest = adjusted(pair(flat(10_000), (9_000, 9_100, 6_440, 6_500, 1)), base=[0, 9_200])
    beyond = adjusted(pair(flat(10_000), (9_000, 9_100, 6_430, 6_500, 1)), base=[0, 9_200])

    assert lowest.factor.tolist() == [1.0, 0.92]
    assert (lowest.masked[1], beyond.masked[1]) == (False, True)


def test_a_dividend_in_shares_lowers_the_base() -> None:
    # One new share for twenty: 50,000 / 1.05 is 47,619, on the grid 47,600.
    made = adjusted(pair(flat(50_000), flat(48_000)), base=[0, 47_600])

    assert made.factor.tolist() == [1.0, 0.952]
    assert made.masked.tolist() == [False, False]


def test_on_an_ordinary_day_the_base_is_the_last_close_and_the_factor_exactly_one() -> None:
    made = adjusted(pair(flat(70_100), flat(70_200)), base=[0, 70_100])

    assert made.factor.tolist() == [1.0, 1.0]
    assert made.explained.tolist() == [0, 0]


def test_the_base_price_counts_before_the_brokers_ratio() -> None:
    made = adjusted(pair(flat(10_000), flat(9_000)), base=[0, 9_230], ratio=[0, 0.92])

    assert made.factor[1] == 0.923


def test_a_cash_dividend_does_not_move_the_base() -> None:
    made = adjusted(pair(flat(10_000), flat(9_800)), ex_code=[0, 2])

    assert made.factor.tolist() == [1.0, 1.0]
    assert made.explained[1] == Explained.CASH


def test_the_first_day_of_a_listing_has_nothing_before_it() -> None:
    # Four times the offer price of 10,000 is allowed on the first day; another symbol's rows stand before it.
    panel = days_of({"A": [flat(1_000), flat(1_010)], "B": [None, (25_000, 40_000, 25_000, 40_000, 1)]},
                    (20_250_915, 20_250_916))  # fmt: skip

    made = adjusted(panel, base=[0, 0, 10_000])

    assert made.factor.tolist() == [1.0, 1.0, 1.0]
    assert made.masked.tolist() == [False, False, False]


def test_prices_that_are_adjusted_already_are_not_adjusted_again_but_masked_beyond_the_limit() -> None:
    panel = days_of({"A": [flat(10_000), flat(5_000), flat(5_100)]}, (20_250_915, 20_250_916, 20_250_917))

    made = adjusted(panel, base=[0, 20_000, 10_200], adjusted=[True, True, True])

    assert made.factor.tolist() == [1.0, 1.0, 1.0]
    assert made.masked.tolist() == [False, True, False]
    assert made.explained.tolist() == [Explained.NOTHING, Explained.IMPORT, Explained.IMPORT]


def test_rounding_of_adjusted_prices_is_no_reason_to_mask() -> None:
    # 30 % over 101 is 131.3; ticks of 1: 131, and by rounding 133 at most.
    up = [adjusted(pair(flat(101), flat(price)), adjusted=[True, True]).masked[1] for price in (131, 135, 136)]

    assert up == [False, False, True]


@pytest.mark.parametrize(("day", "beyond"), [(20_150_612, True), (20_150_615, False)])
def test_the_limit_is_that_of_the_day(day: int, beyond: bool) -> None:
    made = adjusted(pair(flat(10_000), flat(12_000), (20_150_611, day)))

    assert made.masked[1] == beyond


def test_the_factor_of_minutes_lies_on_the_first_trade_of_the_day_and_each_minute_keeps_to_the_days_limits() -> None:
    minute = 60_000_000
    rows = [(20_250_915, 0, flat(10_000)), (20_250_916, minute, flat(10_000, 0)), (20_250_916, 2 * minute, flat(5_000)),
            (20_250_916, 3 * minute, flat(6_500)), (20_250_916, 4 * minute, flat(6_510))]  # fmt: skip

    made = adjusted(panel_of({"A": rows}), base=[10_000, 5_000, 5_000, 5_000, 5_000])

    assert made.factor.tolist() == [1.0, 1.0, 0.5, 1.0, 1.0]
    assert made.masked.tolist() == [False, False, False, False, True]  # the limit is 6,500


def test_a_days_wrong_first_price_says_nothing_of_the_rest_of_the_day() -> None:
    rows = [(20_250_915, 0, flat(10_000)), (20_250_916, 1, flat(5_000)), (20_250_916, 2, flat(5_010))]

    assert adjusted(panel_of({"A": rows})).masked.tolist() == [False, True, False]


def test_an_empty_panel_has_no_factors() -> None:
    assert adjusted(panel_of({})).factor.tolist() == []
