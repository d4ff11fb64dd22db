"""Plans as tables: what is asked for, in which order, and what is not."""

from datetime import date

import pytest

from hosu.collect.gaps import Gap
from hosu.collect.repair_plan import Kind, PlanConfig, plan_repair, seconds_above
from hosu.collect.repair_words import event_of
from hosu.market.calendar import instant_us
from hosu.market.ledger import GapEvent

DAY, NEXT = date(2026, 9, 15), date(2026, 9, 16)
NOON = instant_us(DAY, 12 * 3600)
TODAY = PlanConfig(DAY)


def gap(begin: int, end: int, *, symbol: str = "005930", day: date = DAY, **more: object) -> Gap:
    at = instant_us(day, 10 * 3600)
    facts = {"value": 1000, "trades": 1, "before_ts": at, "after_ts": at + 60_000_000, "after_recv": at + 60_000_000}
    return Gap(day.isoformat(), "KRX", symbol, begin, end, **{**facts, **more})


def told(each: Gap, event: GapEvent, at_us: int = NOON - 10**9, detail: str = "why") -> dict:
    return event_of(each, event, at_us, detail)


def test_gaps_of_one_symbol_are_one_walk_and_closed_ones_none():
    gaps = [gap(50, 60), gap(10, 20), gap(70, 80, open=False), gap(5, 9, symbol="000660")]
    plan = plan_repair(gaps, [], NOON, TODAY)
    assert [[(each.symbol, each.from_volume) for each in work.gaps] for work in plan.work] == [
        [("005930", 10), ("005930", 50)],
        [("000660", 5)],
    ]
    assert {work.kind for work in plan.work} == {Kind.TRADES}


@pytest.mark.parametrize(("trades", "calls"), [(None, 2), (1, 2), (29, 2), (30, 3), (61, 4)])
def test_a_walk_costs_a_call_for_the_day_and_one_a_page(trades, calls):
    assert plan_repair([gap(0, 900, trades=trades)], [], NOON, TODAY).calls == calls


def test_what_brings_most_for_a_call_goes_first():
    gaps = [
        gap(0, 9, symbol="A00001", value=100),
        gap(0, 9, symbol="A00002", value=50_000, trades=900),
        gap(0, 9, symbol="A00003", value=5_000),
        gap(0, 90, symbol="A00004", value=None),
    ]
    plan = plan_repair(gaps, [], NOON, TODAY)
    assert [work.gaps[0].symbol for work in plan.work] == ["A00003", "A00002", "A00001", "A00004"]


def test_what_is_forgotten_first_goes_first():
    before = date(2026, 9, 14)
    gaps = [gap(0, 9, day=before, value=10**9), gap(0, 9, value=1)]
    plan = plan_repair(gaps, [], NOON, TODAY)
    assert [(work.kind, work.day) for work in plan.work] == [(Kind.TRADES, DAY), (Kind.MINUTES, before)]
    assert plan.work[0].forgets_us == instant_us(NEXT, 0)
    assert plan.work[1].forgets_us == instant_us(date(2027, 9, 15), 0)


@pytest.mark.parametrize(
    ("today", "now_us", "kind"),
    [
        (DAY, instant_us(DAY, 12 * 3600), Kind.TRADES),
        (DAY, instant_us(DAY, 86_399), Kind.TRADES),
        (NEXT, instant_us(NEXT, 7 * 3600), Kind.TRADES),  # the next morning, before anything begins: worth a question
        (NEXT, instant_us(NEXT, 8 * 3600 - 61), Kind.TRADES),
        (NEXT, instant_us(NEXT, 8 * 3600 - 60), Kind.MINUTES),
        (date(2027, 9, 14), instant_us(date(2027, 9, 14), 0), Kind.MINUTES),
        (date(2027, 9, 15), instant_us(date(2027, 9, 15), 0), None),
        (None, instant_us(date(2030, 1, 1), 0), Kind.TRADES),  # a simulator's day has nothing to do with our clock
    ],
)
def test_trades_are_of_the_day_and_minutes_of_a_year(today, now_us, kind):
    plan = plan_repair([gap(0, 9)], [], now_us, PlanConfig(today))
    assert [work.kind for work in plan.work] == ([kind] if kind is not None else [])
    forgotten = kind is not Kind.TRADES
    assert [each.event for each in plan.hopeless] == ([GapEvent.FORGOTTEN] if forgotten else [])


def test_a_weekend_lies_between_two_days_like_a_night():
    friday, sunday = date(2026, 9, 18), date(2026, 9, 20)
    plan = plan_repair([gap(0, 9, day=friday)], [], instant_us(sunday, 40_000), PlanConfig(sunday))
    assert [work.kind for work in plan.work] == [Kind.TRADES]


def test_what_is_forgotten_is_said_once_and_minutes_are_asked_for_once():
    late = instant_us(NEXT, 10 * 3600)
    plan = plan_repair([gap(0, 9)], [told(gap(0, 9), GapEvent.FORGOTTEN)], late, PlanConfig(NEXT))
    assert plan.work == ()
    assert [each.event for each in plan.hopeless] == [None]
    assert plan_repair([gap(0, 9)], [], late, PlanConfig(NEXT, past_minutes=False)).work == ()


def test_what_cannot_be_had_is_not_asked_for_again_nor_what_is_left_of_it():
    crowded = told(gap(10, 20), GapEvent.UNREPAIRABLE, detail="the second is crowded")
    plan = plan_repair([gap(10, 20), gap(12, 15), gap(12, 30)], [crowded], NOON, TODAY)
    assert [(each.gap.from_volume, each.gap.to_volume, each.reason, each.event) for each in plan.hopeless] == [
        (10, 20, "the second is crowded", None),
        (12, 15, "the second is crowded", None),
    ]
    assert [work.gaps for work in plan.work] == [(gap(12, 30),)]


@pytest.mark.parametrize(
    ("tries_s", "what"),
    [
        ([], "work"),
        ([299], "later"),
        ([301], "work"),
        ([900, 301], "work"),
        ([900, 600, 301], "hopeless"),
    ],
)
def test_tries_are_counted_and_lie_apart(tries_s, what):
    events = [told(gap(0, 9), GapEvent.ATTEMPTED, NOON - each * 10**6) for each in tries_s]
    plan = plan_repair([gap(0, 9)], events, NOON, TODAY)
    assert (len(plan.work), len(plan.later), len(plan.hopeless)) == {
        "work": (1, 0, 0),
        "later": (0, 1, 0),
        "hopeless": (0, 0, 1),
    }[what]


def test_what_shrank_has_tries_of_its_own():
    events = [told(gap(0, 90), GapEvent.ATTEMPTED)] * 3
    assert plan_repair([gap(0, 89)], events, NOON, TODAY).calls > 0


def test_a_hole_that_has_just_opened_is_left_alone_for_a_while():
    fresh = gap(0, 9, after_recv=NOON - 9_000_000)
    assert plan_repair([fresh], [], NOON, TODAY).later == (fresh,)
    assert plan_repair([fresh], [], NOON + 1_000_000, TODAY).calls > 0


def test_again_asks_once_more_for_everything_that_can_still_be_asked_for():
    events = [told(gap(0, 9), GapEvent.UNREPAIRABLE), *[told(gap(0, 9), GapEvent.ATTEMPTED, NOON)] * 5]
    assert plan_repair([gap(0, 9)], events, NOON, PlanConfig(DAY, again=True)).calls > 0


def test_the_trade_above_a_hole_tells_where_to_begin():
    gaps = [gap(10, 20), gap(50, 60, after_ts=None), gap(70, 80, after_ts=instant_us(DAY, 86_400))]
    assert seconds_above(gaps) == {20: 10 * 3600 + 60}
    assert seconds_above([]) == {}
