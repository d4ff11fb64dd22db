"""Which dates are believed."""

import numpy as np
import pytest

from hosu.collect.dates import REST, Told, day_text
from hosu.collect.trust import BrokerClock, plausible, possible, reach


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("20250314", 20250314),
        ("20100101", 20100101),
        ("20371231", 20371231),
        ("20091231", 0),
        ("20380101", 0),
        ("00010101", 0),
        ("20990101", 0),
        ("20250230", 0),
        ("2025031", 0),
        ("２０２５0314", 0),
        ("", 0),
    ],
)
def test_a_date_is_one_that_this_market_can_have(text: str, date: int):
    assert possible(text) == date


@pytest.mark.parametrize(
    ("clock", "first", "last"),
    [
        (20250314, 20250313, 20250317),  # a Friday
        (20250315, 20250314, 20250317),  # a Saturday
        (20251008, 20251002, 20251010),  # in the week of Chuseok, on the longest closure of the year
        (20271230, 20271229, 20280102),  # the calendar's last session: what comes next nobody knows
        (20280104, 20280101, 20280107),
        (20100104, 20100101, 20100105),  # and its first
        (0, 20100101, 20371231),
    ],
)
def test_a_trade_may_lie_one_session_to_either_side(clock: int, first: int, last: int):
    assert reach(clock) == (first, last)


def test_each_trade_is_held_against_the_clock_of_its_own_connection():
    dates = np.array([20250314, 20250317, 20250318, 20250314, 20250230, 20250314], np.int64)
    clock = np.array([20250314, 20250314, 20250314, 20250310, 20250228, 0], np.int64)
    assert plausible(dates, clock).tolist() == [True, True, False, False, False, True]
    assert plausible(dates[:3], clock[:3]).tolist() == [True, True, False]
    assert plausible(dates[:0], clock[:0]).tolist() == []


def test_the_clock_follows_days_at_once_and_leaps_when_they_are_said_twice_running():
    clock = BrokerClock()
    said = [20250314, 20250324, 20250404, 20250324, 20250404, 20250405, 20250404, 20250404]
    assert [clock.hear(1, each) for each in said] == [20250314, 20250324, 0, 20250324, 0, 0, 0, 20250404]
    assert clock.told == {1: 20250404, REST: 20250404}


def test_a_new_connection_is_held_against_what_any_was_told():
    clock = BrokerClock({REST: 20250314})
    assert clock.hear(7, 20260101) == 0
    assert clock.hear(7, 20250317) == 20250317
    clock.forget(7)
    assert clock.told == {REST: 20250317}


def test_the_begin_of_a_segment_replaces_what_was_heard_and_forgets_what_was_doubted():
    connection, said = (
        np.array([1, 1, 0, 1, 1], np.int64),
        np.array([20250314, 20250414, 0, 20250414, 20250415], np.int64),
    )
    clock = BrokerClock()
    assert clock.follow(connection, said, {2: Told(20250312, {1: 20250312})}).tolist() == [20250314, 0, 0, 0, 0]
    assert clock.told == {1: 20250312, REST: 20250312}
    assert BrokerClock().follow(connection[:2], said[:2], {2: Told()}).tolist() == [20250314, 0]


def test_a_day_is_written_with_all_its_digits():
    assert [day_text(each) for each in (20250314, 10101)] == ["2025-03-14", "0001-01-01"]
