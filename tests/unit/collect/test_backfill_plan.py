"""What a backfill asks: days less those known, in tasks of a page; and what it remembers of the answers."""

from datetime import date
from pathlib import Path

import pytest

from hosu.collect.backfill_plan import Wanted, hours, plan, trading_days
from hosu.collect.backfill_progress import Progress
from hosu.errors import InputError

TODAY = date(2026, 9, 15)


def wanted(kind: str = "daily", **more: object) -> Wanted:
    facts = {"symbols": ["005930"], "first": date(2026, 9, 1), "end": date(2026, 9, 16), "host": "live", "today": TODAY}
    return Wanted(kind, **{**facts, **more})  # type: ignore[arg-type]


def test_a_span_is_cut_into_pages_of_a_hundred_days_the_newest_first() -> None:
    made = plan(wanted(first=date(2025, 9, 1), symbols=["005930", "000660"]), lambda _: ())
    days = trading_days(date(2025, 9, 1), TODAY, "KRX")
    assert [(task.symbol, len(task.days)) for task in made.tasks] == [
        ("005930", 100),
        ("000660", 100),
        ("005930", 100),
        ("000660", 100),
        ("005930", len(days) - 200),
        ("000660", len(days) - 200),
    ]
    assert made.calls == 6
    assert made.tasks[0].days == tuple(days[-100:])


def test_days_that_are_known_are_not_asked_for() -> None:
    known = {"005930": {date(2026, 9, 10), date(2026, 9, 14)}, "000660": set()}
    made = plan(wanted(first=date(2026, 9, 10), symbols=["005930", "000660"]), known.__getitem__)
    assert [(task.symbol, [day.day for day in task.days]) for task in made.tasks] == [
        ("000660", [10, 11, 14]),
        ("005930", [11]),
    ]
    assert made.known == 2


@pytest.mark.parametrize(("over", "last"), [(False, 14), (True, 15)])
def test_a_day_that_is_not_over_is_left_for_later(over: bool, last: int) -> None:
    made = plan(wanted(over=over), lambda _: ())
    assert made.tasks[0].days[-1].day == last
    assert [lost.reason[:22] for lost in made.out_of_reach] == ([] if over else ["the day is not over; r"])


def test_minutes_older_than_a_year_are_not_asked_for() -> None:
    made = plan(wanted("minutes", first=date(2025, 9, 10), end=date(2025, 9, 18)), lambda _: ())
    assert [task.days[0].day for task in made.tasks] == [17, 16, 15]
    assert [(lost.first.day, lost.last.day, lost.days) for lost in made.out_of_reach] == [(10, 12, 3)]


def test_paper_accounts_are_given_the_minutes_of_today_only() -> None:
    made = plan(wanted("minutes", host="paper", over=True), lambda _: ())
    assert [(task.days[0], task.live) for task in made.tasks] == [(TODAY, True)]
    assert "live account" in made.out_of_reach[0].reason


@pytest.mark.parametrize(
    ("day", "scope", "begin", "end", "calls"),
    [
        (date(2025, 9, 15), "KRX", 9.0, 15.5, 4),
        (date(2025, 9, 15), "NXT", 8.0, 20.0, 7),
        (date(2026, 9, 14), "KRX", 9.0, 20.0, 6),
        (date(2025, 11, 13), "KRX", 10.0, 16.5, 4),
    ],
)
def test_minutes_are_asked_for_within_the_hours_of_the_day(
    day: date, scope: str, begin: float, end: float, calls: int
) -> None:
    assert hours(day, scope) == (begin * 3600, end * 3600)
    made = plan(
        wanted("minutes", first=day, end=date.fromordinal(day.toordinal() + 1), scope=scope, host="simulator"),
        lambda _: (),
    )
    assert [task.calls for task in made.tasks] == [calls]


def test_before_the_calendar_every_day_but_sunday_is_asked_for() -> None:
    assert trading_days(date(2009, 12, 24), date(2010, 1, 6), "KRX") == [
        *(date(2009, 12, day) for day in (24, 25, 26, 28, 29, 30, 31)),
        *(date(2010, 1, day) for day in (4, 5)),
    ]


def test_progress_is_read_back_and_a_cut_off_line_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "done.jsonl"
    with Progress(path) as progress:
        progress.add(("daily", "KRX", "005930", False), date(2026, 9, 1), date(2026, 9, 3), 3)
        progress.add(("daily", "KRX", "005930", True), date(2026, 9, 7), date(2026, 9, 7), 1)
    with path.open("a") as file:
        file.write('{"kind": "daily", "sco')
    with Progress(path) as progress:
        days = progress.days("daily", "KRX", "005930", adjusted=False)
        assert sorted(day.day for day in days) == [1, 2, 3]
        assert progress.days("minutes", "KRX", "005930", adjusted=False) == frozenset()
        progress.add(("minutes", "KRX", "005930", False), date(2026, 9, 1), date(2026, 9, 1), 390)
    assert len(path.read_text().splitlines()) == 3
    with Progress(path) as progress:
        assert progress.days("minutes", "KRX", "005930", adjusted=False) == {date(2026, 9, 1)}


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"kind": "daily"}', '{"first": "x"}'])
def test_progress_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "done.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"line 1.*move the file away"):
        Progress(path)
