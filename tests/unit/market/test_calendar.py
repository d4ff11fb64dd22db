"""Days and hours, written out."""

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone

import pytest

from hosu.errors import CalendarRangeError, NoSessionError
from hosu.market.calendar import (
    business_day,
    classify,
    closed_because,
    closures,
    instant_us,
    is_session,
    next_session,
    overrides,
    phase_at,
    previous_session,
    session_windows,
    sessions_between,
    sessions_on,
    settlement_day,
)
from hosu.market.dated import Basis, in_force
from hosu.market.day_plan import CONTINUOUS, KRX_HOURS, DayPlan, Phase, Scope, Session

KST = timezone(timedelta(hours=9))


def us(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=KST).timestamp() * 1e6)


def clock(second: int) -> str:
    return f"{second // 3600:02d}:{second % 3600 // 60:02d}" + (f":{second % 60:02d}" if second % 60 else "")


def hours(plan: DayPlan) -> list[str]:
    return [f"{clock(span.start_s)}-{clock(span.end_s)} {span.phase}" for span in plan.phases]


def beside(plan: DayPlan) -> list[str]:
    return [f"{clock(span.start_s)}-{clock(span.end_s)} {span.phase}" for span in plan.beside]


@pytest.mark.parametrize(
    ("day", "why"),
    [
        (date(2025, 9, 13), "weekend"),
        (date(2025, 10, 3), "National Foundation Day"),
        (date(2026, 6, 3), "local elections"),
        (date(2026, 7, 17), "Constitution Day (a public holiday again from 2026)"),
        (date(2025, 7, 17), None),
        (date(2026, 12, 31), "year-end closing"),
        (date(2027, 5, 3), "Labour Day (substitute)"),
        (date(2027, 7, 19), "Constitution Day (substitute)"),
        (date(2017, 11, 16), None),
    ],
)
def test_a_day_is_closed_for_a_reason(day: date, why: str | None) -> None:
    assert closed_because(day) == why
    assert is_session(day) is (why is None)


def test_nextrade_opens_on_the_fourth_of_march_2025() -> None:
    assert not is_session(date(2025, 2, 28), Scope.NXT)
    assert closed_because(date(2025, 2, 28), Scope.NXT) == "Nextrade opened on 2025-03-04"
    assert is_session(date(2025, 3, 4), Scope.NXT)
    assert is_session(date(2025, 2, 28), Scope.UN)


def test_a_scope_may_come_as_the_string_a_table_holds() -> None:
    scope: Scope = "NXT"  # type: ignore[assignment]
    assert closed_because(date(2025, 2, 28), scope) == "Nextrade opened on 2025-03-04"
    assert sessions_on(date(2025, 9, 16), scope).scope is Scope.NXT


def test_sessions_between_is_half_open() -> None:
    chuseok = sessions_between(date(2025, 10, 2), date(2025, 10, 13))
    assert chuseok == (date(2025, 10, 2), date(2025, 10, 10))
    assert sessions_between(date(2025, 10, 2), date(2025, 10, 2)) == ()
    assert sessions_between(date(2025, 3, 1), date(2025, 3, 6), Scope.NXT) == (date(2025, 3, 4), date(2025, 3, 5))
    assert len(sessions_between(date(2010, 1, 1), date(2028, 1, 1))) == 4428


def test_previous_and_next_step_over_closures() -> None:
    assert next_session(date(2025, 10, 2)) == date(2025, 10, 10)
    assert previous_session(date(2025, 10, 10)) == date(2025, 10, 2)
    assert previous_session(date(2025, 10, 6)) == date(2025, 10, 2)
    assert next_session(date(2025, 1, 1), Scope.NXT) == date(2025, 3, 4)
    assert settlement_day(date(2024, 12, 27)) == date(2025, 1, 2)


@pytest.mark.parametrize("day", [date(2009, 12, 31), date(2028, 1, 1)])
def test_outside_of_the_known_years_every_question_is_refused(day: date) -> None:
    for ask in (is_session, sessions_on, previous_session, next_session):
        with pytest.raises(CalendarRangeError, match="2010-01-01 to 2027-12-31"):
            ask(day)
    with pytest.raises(CalendarRangeError):
        sessions_between(day, day)


def test_there_is_no_session_before_the_first_or_after_the_last() -> None:
    with pytest.raises(CalendarRangeError, match="the session before 2010-01-04"):
        previous_session(date(2010, 1, 4))
    with pytest.raises(CalendarRangeError, match="the session before 2025-03-04"):
        previous_session(date(2025, 3, 4), Scope.NXT)
    with pytest.raises(CalendarRangeError, match="the session after 2027-12-30"):
        next_session(date(2027, 12, 30))
    with pytest.raises(CalendarRangeError):
        sessions_between(date(2027, 12, 1), date(2028, 1, 2))


def test_a_closed_day_has_no_plan_and_the_error_says_why() -> None:
    with pytest.raises(NoSessionError, match="KRX does not trade on 2025-12-25 \\(Christmas\\)"):
        sessions_on(date(2025, 12, 25))


def test_an_ordinary_day_of_2025() -> None:
    krx = sessions_on(date(2025, 9, 15))
    assert hours(krx) == [
        "08:30-09:00 opening_auction",
        "09:00-15:20 regular",
        "15:20-15:30 closing_auction",
        "15:30-15:40 after_close_entry",
        "15:40-16:00 after_close",
        "16:00-18:00 single_price",
    ]
    assert beside(krx) == ["08:30-08:40 before_open"]
    assert (krx.basis, krx.reason) == (Basis.ANNOUNCED, "")
    nxt = sessions_on(date(2025, 9, 15), Scope.NXT)
    assert hours(nxt) == [
        "08:00-08:50 pre_market",
        "08:50-09:00:30 break",
        "09:00:30-15:20 regular",
        "15:20-15:30 break",
        "15:30-15:40 after_close_entry",
        "15:40-20:00 after_market",
    ]
    assert [clock(second) for second in (nxt.start_s, nxt.open_s, nxt.close_s, nxt.end_s)] == [
        "08:00",
        "09:00:30",
        "15:20",
        "20:00",
    ]
    both = sessions_on(date(2025, 9, 15), Scope.UN)
    assert hours(both) == [
        "08:00-08:50 pre_market",
        "08:50-09:00 opening_auction",
        "09:00-15:20 regular",
        "15:20-15:30 closing_auction",
        "15:30-15:40 after_close_entry",
        "15:40-20:00 after_market",
    ]
    assert beside(both) == [
        "08:30-08:40 before_open",
        "08:30-09:00 opening_auction",
        "15:40-16:00 after_close",
        "16:00-18:00 single_price",
    ]


@pytest.mark.parametrize(
    ("day", "opening", "close", "last"),
    [
        (date(2015, 3, 2), "08:00-09:00", "15:00", "15:30-18:00 single_price"),
        (date(2016, 7, 29), "08:00-09:00", "15:00", "15:30-18:00 single_price"),
        (date(2016, 8, 1), "08:00-09:00", "15:30", "16:00-18:00 single_price"),
        (date(2019, 4, 26), "08:00-09:00", "15:30", "16:00-18:00 single_price"),
        (date(2019, 4, 29), "08:30-09:00", "15:30", "16:00-18:00 single_price"),
        (date(2026, 9, 11), "08:30-09:00", "15:30", "16:00-18:00 single_price"),
        (date(2026, 9, 14), "08:20-09:00", "15:30", "16:00-20:00 after_market"),
        # The day of the exam: one hour later, but for the evening's end.
        (date(2015, 11, 12), "09:00-10:00", "16:00", "16:30-18:00 single_price"),
        (date(2017, 11, 16), "09:00-10:00", "16:30", "17:00-18:00 single_price"),
        (date(2025, 11, 13), "09:30-10:00", "16:30", "17:00-18:00 single_price"),
        (date(2026, 11, 19), "09:20-10:00", "16:30", "17:00-20:00 after_market"),
        # The first day of the year: only the open is late.
        (date(2012, 1, 2), "09:00-10:00", "15:00", "15:30-18:00 single_price"),
        (date(2026, 1, 2), "09:30-10:00", "15:30", "16:00-18:00 single_price"),
    ],
)
def test_krx_hours_by_date(day: date, opening: str, close: str, last: str) -> None:
    plan = sessions_on(day)
    assert hours(plan)[0] == f"{opening} opening_auction"
    assert clock(plan.close_s) == close
    assert hours(plan)[-1] == last
    assert plan.open_s == plan.phases[0].end_s


def test_on_late_days_nextrade_has_no_pre_market() -> None:
    exam = sessions_on(date(2025, 11, 13), Scope.NXT)
    assert hours(exam) == [
        "10:00:30-16:20 regular",
        "16:20-16:30 break",
        "16:30-16:40 after_close_entry",
        "16:40-20:00 after_market",
    ]
    assert (exam.basis, exam.reason) == (Basis.PROVED, "college entrance exam (CSAT)")
    new_year = sessions_on(date(2026, 1, 2), Scope.NXT)
    assert hours(new_year)[0] == "10:00:30-15:20 regular"
    assert hours(new_year)[-1] == "15:40-20:00 after_market"
    assert session_windows(date(2026, 1, 2), Scope.NXT)[0].session is Session.REGULAR
    assert hours(sessions_on(date(2026, 1, 2), Scope.UN))[0] == "09:30-10:00 opening_auction"


def test_a_phase_a_day_does_not_have_is_none() -> None:
    plan = sessions_on(date(2025, 9, 15))
    assert plan.span(Phase.PRE_MARKET) is None
    before_open = plan.span(Phase.BEFORE_OPEN)
    assert before_open is not None
    assert clock(before_open.end_s) == "08:40"


@pytest.mark.parametrize(
    ("text", "scope", "phase"),
    [
        ("2025-09-15T07:59:59.999999", Scope.NXT, None),
        ("2025-09-15T08:00:00", Scope.NXT, Phase.PRE_MARKET),
        ("2025-09-15T08:50:00", Scope.NXT, Phase.BREAK),
        ("2025-09-15T09:00:00", Scope.KRX, Phase.REGULAR),
        ("2025-09-15T15:20:00", Scope.KRX, Phase.CLOSING_AUCTION),
        ("2025-09-15T18:00:00", Scope.KRX, None),
        ("2025-09-14T10:00:00", Scope.KRX, None),
        ("2026-09-14T19:59:59", Scope.KRX, Phase.AFTER_MARKET),
        ("2025-01-02T10:00:00", Scope.NXT, None),
    ],
)
def test_phase_at_an_instant(text: str, scope: Scope, phase: Phase | None) -> None:
    assert phase_at(us(text), scope) is phase


@pytest.mark.parametrize(
    ("text", "scope", "session"),
    [
        ("2025-09-15T08:29:59", Scope.KRX, None),
        ("2025-09-15T08:35:00", Scope.KRX, Session.BEFORE_OPEN),
        ("2025-09-15T09:00:00", Scope.KRX, Session.REGULAR),  # the opening auction's result
        ("2025-09-15T15:30:00", Scope.KRX, Session.REGULAR),  # the closing auction's result
        ("2025-09-15T15:30:29", Scope.KRX, Session.REGULAR),  # ... drawn to end later
        ("2025-09-15T15:40:00", Scope.KRX, Session.AFTER_CLOSE),
        ("2025-09-15T16:10:00", Scope.KRX, Session.SINGLE_PRICE),
        ("2025-09-15T18:00:20", Scope.KRX, Session.SINGLE_PRICE),  # the last auction of the evening
        ("2025-09-15T18:01:00", Scope.KRX, None),
        ("2026-09-14T16:39:00", Scope.KRX, Session.AFTER_MARKET),
        ("2025-09-15T08:10:00", Scope.NXT, Session.PRE_MARKET),
        ("2025-09-15T15:40:00", Scope.NXT, Session.AFTER_MARKET),
        ("2025-09-15T15:40:00", Scope.UN, Session.AFTER_MARKET),
        ("2025-09-15T08:55:00", Scope.UN, Session.PRE_MARKET),
        ("2025-11-13T09:35:00", Scope.UN, Session.BEFORE_OPEN),  # no pre-market on the day of the exam
        ("2025-11-13T16:30:00", Scope.UN, Session.REGULAR),
        ("2024-09-13T15:45:00", Scope.UN, Session.AFTER_CLOSE),  # before Nextrade UN is KRX
        ("2025-09-13T10:00:00", Scope.KRX, None),
    ],
)
def test_a_trade_belongs_to_a_session(text: str, scope: Scope, session: Session | None) -> None:
    assert classify(us(text), scope) is session


def test_instants_and_business_days_go_both_ways() -> None:
    assert business_day(us("2025-09-15T00:00:00")) == (date(2025, 9, 15), 0.0)
    assert business_day(us("2025-09-15T23:59:59.5")) == (date(2025, 9, 15), 86399.5)
    assert instant_us(date(2025, 9, 15), 9 * 3600) == us("2025-09-15T09:00:00")


def test_every_closure_is_a_weekday_in_order_and_every_special_day_a_session() -> None:
    days = list(closures())
    assert days == sorted(days)
    assert all(day.weekday() < 5 for day in days)
    assert list(overrides()) == sorted(overrides())
    assert all(is_session(day) for day in overrides())
    assert all(row.reason for row in [*closures().values(), *overrides().values()])


def test_every_year_has_one_first_day_and_at_least_one_exam_day() -> None:
    for year in range(2010, 2028):
        special = [row for day, row in overrides().items() if day.year == year]
        first = min(sessions_between(date(year, 1, 1), date(year, 12, 31)))
        assert [row.day for row in special if row.shift == "late_open"] == [first]
        assert len([row for row in special if row.shift == "late_day"]) == (2 if year == 2017 else 1)


def test_nothing_is_in_force_before_the_first_fact() -> None:
    with pytest.raises(CalendarRangeError, match="2009-01-01"):
        in_force(KRX_HOURS, date(2009, 1, 1))


def test_continuous_phases_are_those_in_which_silence_is_a_sign() -> None:
    assert {Phase.PRE_MARKET, Phase.REGULAR, Phase.AFTER_MARKET} == CONTINUOUS


def test_the_calendar_loads_no_heavy_library() -> None:
    heavy = "{'pyarrow', 'numpy', 'pandas', 'exchange_calendars', 'zoneinfo'}"
    code = f"import sys, hosu.market.calendar; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
