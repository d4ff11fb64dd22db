"""When to be at work."""

import datetime as dt

import pytest

from hosu.market.agenda import Turn, next_turn, trading_for_s
from hosu.market.calendar import KST
from hosu.market.day_plan import Scope

LEAD_S = 1_800


def at(text: str) -> int:
    """UTC microseconds of a time in Korea."""
    return int(dt.datetime.fromisoformat(text).replace(tzinfo=KST).timestamp() * 1e6)


def in_korea(us: int) -> str:
    return dt.datetime.fromtimestamp(us / 1e6, KST).strftime("%Y-%m-%d %H:%M")


def of(now: str, scope: Scope = Scope.KRX, after: str | None = None) -> Turn:
    return next_turn(at(now), scope, lead_s=LEAD_S, after=dt.date.fromisoformat(after) if after else None)


@pytest.mark.parametrize(
    ("now", "scope", "begin", "end"),
    [
        # An ordinary day: KRX's first order book opens at 08:30, its last closes at 18:00.
        ("2025-03-12 03:00", Scope.KRX, "2025-03-12 08:00", "2025-03-12 18:10"),
        ("2025-03-12 12:00", Scope.KRX, "2025-03-12 08:00", "2025-03-12 18:10"),
        ("2025-03-12 18:09", Scope.KRX, "2025-03-12 08:00", "2025-03-12 18:10"),
        ("2025-03-12 18:10", Scope.KRX, "2025-03-13 08:00", "2025-03-13 18:10"),
        ("2025-03-14 20:00", Scope.KRX, "2025-03-17 08:00", "2025-03-17 18:10"),  # over the weekend
        ("2025-03-12 03:00", Scope.NXT, "2025-03-12 07:30", "2025-03-12 20:10"),
        ("2025-03-12 03:00", Scope.UN, "2025-03-12 07:30", "2025-03-12 20:10"),
        ("2025-02-01 03:00", Scope.NXT, "2025-03-04 07:30", "2025-03-04 20:10"),  # before it opened
        # Late openings: the first trading day of a year, and a college entrance exam.
        ("2025-12-31 03:00", Scope.KRX, "2026-01-02 09:00", "2026-01-02 18:10"),
        ("2025-11-13 03:00", Scope.KRX, "2025-11-13 09:00", "2025-11-13 18:10"),
        # Chuseok 2025: from Friday the 3rd to Thursday the 9th, and a weekend after one day.
        ("2025-10-02 19:00", Scope.KRX, "2025-10-10 08:00", "2025-10-10 18:10"),
    ],
)
def test_the_next_turn_begins_before_the_first_order_book(now: str, scope: Scope, begin: str, end: str):
    turn = of(now, scope)
    assert (in_korea(turn.begin_us), in_korea(turn.end_us)) == (begin, end)
    assert turn.open_us - turn.begin_us == LEAD_S * 1_000_000


def test_a_late_day_says_why():
    assert of("2025-11-13 03:00").note == "college entrance exam (CSAT)"
    assert of("2025-11-14 03:00").note == ""


def test_a_day_that_was_done_is_not_begun_again():
    assert of("2025-03-12 12:00", after="2025-03-12").day == dt.date(2025, 3, 13)
    assert of("2025-03-12 12:00", after="2025-03-11").day == dt.date(2025, 3, 12)


def test_beyond_the_calendar_every_weekday_is_a_day_until_midnight_and_says_that_it_is_assumed():
    turn = of("2027-12-30 23:00", after="2027-12-31")
    assert turn.day == dt.date(2028, 1, 3)  # a Monday; the first two are a weekend
    assert (in_korea(turn.begin_us)[-5:], in_korea(turn.end_us)) == ("07:50", "2028-01-04 00:00")
    assert "2028-01-03 lies beyond the known calendar" in turn.note
    assert "update hosu" in turn.note


def test_a_clock_that_was_never_set_waits_for_the_first_day_known():
    assert next_turn(0, Scope.KRX, lead_s=0).day == dt.date(2010, 1, 4)


@pytest.mark.parametrize(
    ("now", "scope", "expected"),
    [
        ("2025-03-12 08:59", Scope.KRX, None),
        ("2025-03-12 09:02", Scope.KRX, 120.0),
        ("2025-03-12 15:25", Scope.KRX, None),  # the closing auction
        ("2025-03-12 08:01", Scope.NXT, 60.0),
        ("2025-03-15 10:00", Scope.KRX, None),  # a Saturday
        ("2028-03-15 10:00", Scope.KRX, None),  # nobody knows
    ],
)
def test_how_long_the_market_has_traded_without_a_pause(now: str, scope: Scope, expected: float | None):
    assert trading_for_s(at(now), scope) == expected
