"""Repair beside a collector: when it looks, at what, and that nothing it meets ends it."""

import asyncio
from datetime import date

import pytest
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect import repair_watch
from hosu.collect.gaps import Gap
from hosu.collect.repair import RepairReport
from hosu.collect.repair_watch import RepairWatch, Watching
from hosu.errors import LakeUnreachableError
from hosu.market.calendar import instant_us

DAY = date(2026, 9, 15)
TEN, ELEVEN = (instant_us(DAY, hour * 3600) for hour in (10, 11))


class Book:
    """Holes by date; ``faults`` are raised first."""

    def __init__(self, *gaps: Gap, faults: tuple[Exception, ...] = (), tries: int = 0) -> None:
        self.gaps, self.faults, self.asked, self.tries = list(gaps), list(faults), [], tries

    def open_gaps(self, dates):
        self.asked.append(tuple(dates))
        if self.faults:
            raise self.faults.pop(0)
        return [gap for gap in self.gaps if gap.date in dates]

    def events(self, dates):
        tried = {"event": "attempted", "at": TEN, "detail": None}
        named = ("date", "scope", "symbol", "from_volume", "to_volume")
        return [dict(zip(named, gap.key, strict=True)) | tried for gap in self.gaps] * self.tries

    def note(self, events): ...


class Repairs:
    """Stands where the repairer does, and remembers the plans."""

    def __init__(self, faults: tuple[Exception, ...] = ()) -> None:
        self.plans, self.faults = [], list(faults)

    async def run(self, plan):
        self.plans.append(plan)
        if self.faults:
            raise self.faults.pop(0)
        return RepairReport(calls=plan.calls, found=1)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """The book is asked without a thread, so that no test waits for one."""

    async def answered(call):
        return call()

    monkeypatch.setattr(repair_watch, "answered", answered)


def gap(day: str = "2026-09-15", after: int = TEN, symbol: str = "005930") -> Gap:
    return Gap(day, "KRX", symbol, 10, 20, before_ts=TEN, after_ts=after, after_recv=after, trades=1)


def watched(book: Book, repairs: Repairs, *, seconds: float, **watching: object) -> RepairWatch:
    facts = {"wanted": lambda: True, "date": lambda: 20260915, **watching}

    async def main() -> RepairWatch:
        clock = SimulatedClock(ELEVEN)
        watch = RepairWatch(repairs, book, clock, Watching(**facts))
        task = asyncio.create_task(watch.run())
        while clock.monotonic() < seconds:
            await clock.advance(0.5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return watch

    return asyncio.run(main())


def test_it_looks_now_and_then_and_repairs_what_stands_open():
    repairs = Repairs()
    watch = watched(Book(gap()), repairs, seconds=25)
    assert [work.gaps for work in repairs.plans[0].work] == [(gap(),)]
    assert len(repairs.plans) == 1
    assert (watch.calls, watch.found) == (2, 1)


@pytest.mark.parametrize(
    ("facts", "looks"),
    [({"wanted": lambda: False}, 0), ({"date": lambda: None}, 0), ({"date": lambda: 20261399}, 0), ({}, 1)],
    ids=["nothing is open", "no date was told", "the date is none", "open"],
)
def test_it_does_not_look_without_need(facts, looks):
    book = Book(gap())
    watched(book, Repairs(), seconds=25, **facts)
    assert len(book.asked) == looks


def test_the_first_look_is_at_what_the_day_before_left_too():
    book = Book()
    watched(book, Repairs(), seconds=45, before=("2026-09-14",))
    assert book.asked == [("2026-09-14", "2026-09-15"), ("2026-09-15",)]


def test_it_leaves_what_another_watch_looks_after_to_that_one():
    repairs = Repairs()
    watched(Book(gap(), gap(symbol="000660")), repairs, seconds=25, mine=lambda symbol: symbol == "000660")
    assert [[work.gaps[0].symbol for work in plan.work] for plan in repairs.plans] == [["000660"]]


@pytest.mark.parametrize(("before", "tries", "plans"), [((), 2, 1), ((), 3, 0), (("2026-09-14",), 4, 1)])
def test_what_was_tried_in_vain_while_the_day_ran_has_one_more_try_the_next_morning(before, tries, plans):
    repairs = Repairs()
    watched(Book(gap(), tries=tries), repairs, seconds=25, before=before)
    assert len(repairs.plans) == plans


def test_a_hole_is_let_settle():
    repairs = Repairs()
    watched(Book(gap(after=ELEVEN + 15_000_000)), repairs, seconds=25)
    assert repairs.plans == []


@pytest.mark.parametrize("fault", [LakeUnreachableError("s3://x", "no answer"), KeyError("a fault of our own")])
def test_whatever_it_runs_into_it_goes_on(fault):
    repairs = Repairs()
    with capture_logs() as lines:
        watched(Book(gap(), faults=(fault,)), repairs, seconds=45)
    assert len(repairs.plans) == 1
    assert next(line["event"] for line in lines) in {"repair is put off", "repair failed"}
