"""The repairer against a broker of a few trades: what it asks, what it tells the ledger, when it stops."""

import asyncio
from dataclasses import dataclass, field
from datetime import date, time
from itertools import pairwise

import pytest

from hosu.clock import SimulatedClock
from hosu.collect.gaps import Gap
from hosu.collect.repair import RepairConfig, Repairer
from hosu.collect.repair_plan import PlanConfig, RepairPlan, plan_repair
from hosu.errors import BrokerError, BrokerReplyError, BrokerUnreachableError, InputError, RateLimitedError
from hosu.kis.limits import Governor, Pace, Priority
from hosu.kis.replies import Conclusion, MinuteBar
from hosu.market.calendar import instant_us

DAY = date(2026, 9, 15)
OPEN_S = 9 * 3600
NOON = instant_us(DAY, 12 * 3600)


def bar(day: date, at: time) -> MinuteBar:
    return MinuteBar(f"{day:%Y%m%d}", f"{at:%H%M%S}", *[1.0] * 4, 1, 1)


@dataclass
class Broker:
    """Trades as (second, size), oldest first, and its day; ``faults`` are raised first, one a call."""

    trades: list[tuple[int, int]]
    day: date | None = DAY
    room: int = 30
    faults: list[BrokerError] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    days: set[date | None] = field(default_factory=set)
    priorities: set[Priority] = field(default_factory=set)

    def _hear(self, what: str, priority: Priority) -> None:
        self.asked.append(what)
        self.priorities.add(priority)
        if self.faults:
            raise self.faults.pop(0)

    async def time_conclusions(self, symbol, until, scope="KRX", *, day=None, priority=Priority.LIVE):
        self._hear(f"{symbol} {until:%H%M%S}", priority)
        self.days.add(day)
        volume, rows = 0, []
        for second, size in self.trades:
            volume += size
            at = time(second // 3600, second // 60 % 60, second % 60)
            if at <= until:
                rows.append(Conclusion(f"{at:%H%M%S}", 100.0, size, volume, None, None))
        return rows[-self.room :][::-1]

    async def minute_chart(self, symbol, until, scope="KRX", *, priority=Priority.LIVE):
        self._hear(f"{symbol} minutes {until:%H%M%S}", priority)
        return [] if self.day is None else [bar(self.day, until)]

    async def dated_minute_chart(self, symbol, day, until, scope="KRX", *, priority=Priority.LIVE):
        self._hear(f"{symbol} minutes of {day} {until:%H%M%S}", priority)
        first = (until.hour * 60 + until.minute) - 119
        return [bar(day, time(m // 60, m % 60)) for m in range(first, first + 120)]


def gap(begin: int, end: int, after_s: int | None, *, symbol: str = "005930", before_s: int = OPEN_S) -> Gap:
    after = None if after_s is None else instant_us(DAY, after_s)
    return Gap(DAY.isoformat(), "KRX", symbol, begin, end, before_ts=instant_us(DAY, before_s), after_ts=after)


def plan_of(*gaps: Gap, today: date = DAY, now_us: int = NOON) -> RepairPlan:
    return plan_repair(gaps, [], now_us, PlanConfig(today, settle_s=0))


class Stage:
    def __init__(self, broker: Broker, **config: object) -> None:
        self.broker, self.clock, self.events = broker, SimulatedClock(NOON), []
        self.slow_until_s = -1.0
        config = {"failure_pause_s": 1.0, **config}
        self.repairer = Repairer(
            broker, self.clock, slowness=self.slowness, note=self.note, config=RepairConfig(**config)
        )

    def slowness(self) -> float:
        return 1.5 if self.clock.monotonic() < self.slow_until_s else 1.0

    async def note(self, events: list[dict]) -> None:
        self.events += events

    def run(self, plan: RepairPlan):
        async def main():
            task = asyncio.create_task(self.repairer.run(plan))
            while not task.done():
                await self.clock.advance(0.5)
            return task.result()

        return asyncio.run(asyncio.wait_for(main(), 30))

    def told(self) -> list[tuple[str, int, int]]:
        return [(each["event"], each["from_volume"], each["to_volume"]) for each in self.events]


def test_a_hole_is_asked_for_from_its_upper_side_and_noted_before():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(100)], room=10))
    report = stage.run(plan_of(gap(20, 35, OPEN_S + 35)))
    assert stage.broker.asked == ["005930 minutes 090035", "005930 090035", "005930 090026"]
    assert stage.told() == [("attempted", 20, 35)]
    assert (report.calls, report.found, report.missing, report.stopped) == (3, 15, 0, None)
    assert [outcome for _, outcome in report.outcomes] == ["all 15 shares were found"]


def test_repair_asks_at_the_lowest_priority_and_says_of_which_day():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(10)]))
    stage.run(plan_of(gap(2, 5, OPEN_S + 5)))
    assert stage.broker.priorities == {Priority.BACKFILL}
    assert stage.broker.days == {DAY}


def test_a_second_with_more_trades_than_a_page_stays_open_and_says_so():
    stage = Stage(Broker([(OPEN_S, 5), *[(OPEN_S + 1, 1)] * 12, (OPEN_S + 2, 1)], room=4))
    report = stage.run(plan_of(gap(2, 17, OPEN_S + 2)))
    assert stage.told() == [("attempted", 2, 17), ("unrepairable", 5, 13)]
    assert stage.events[1]["detail"] == "the second 09:00:01 has more trades than the 4 that the broker gives of one"
    assert (report.found, report.missing) == (7, 8)
    assert report.outcomes[0][1].startswith("7 of 15 shares were found: the second 09:00:01")


def test_holes_that_touch_are_told_apart():
    stage = Stage(Broker([(OPEN_S, 5), *[(OPEN_S + 1, 1)] * 12, (OPEN_S + 2, 1)], room=4))
    report = stage.run(plan_of(gap(5, 9, None), gap(9, 17, OPEN_S + 2)))
    assert stage.told()[2:] == [("unrepairable", 9, 13)]
    assert [outcome.split(":")[0] for _, outcome in report.outcomes] == [
        "0 of 4 shares were found",
        "4 of 8 shares were found",
    ]


def test_a_broker_that_answers_for_another_day_is_asked_for_no_trade():
    stage = Stage(Broker([(OPEN_S, 5)], day=date(2026, 9, 16)))
    report = stage.run(plan_of(gap(0, 5, OPEN_S + 1)))
    assert stage.broker.asked == ["005930 minutes 090001"]
    assert stage.told() == [("forgotten", 0, 5)]
    assert report.outcomes[0][1] == "the broker answers for 2026-09-16 by now"


def test_a_broker_that_does_not_say_its_day_is_asked_for_no_trade():
    stage = Stage(Broker([(OPEN_S, 5)], day=None))
    assert "nobody knows which day" in stage.run(plan_of(gap(0, 5, OPEN_S + 1))).outcomes[0][1]
    assert stage.told() == [("attempted", 0, 5)]


def test_a_hole_at_the_end_is_asked_for_from_the_end_of_the_day():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(10)]))
    stage.run(plan_of(gap(8, 10, None, before_s=OPEN_S + 7)))
    assert stage.broker.asked == ["005930 minutes 090007", "005930 200000"]


def test_minutes_of_a_day_that_is_over_are_asked_for_over_the_whole_hole_and_its_trades_are_forgotten():
    later = date(2026, 9, 17)
    plan = plan_of(gap(0, 5, 14 * 3600), today=later, now_us=instant_us(later, 10 * 3600))
    stage = Stage(Broker([]))
    report = stage.run(plan)
    assert stage.told() == [("forgotten", 0, 5)]
    assert stage.broker.asked == [f"005930 minutes of 2026-09-15 {at}" for at in ("140000", "120000", "100000")]
    assert "forgotten" in report.outcomes[0][1]


def test_no_page_is_asked_for_once_the_next_session_may_have_begun():
    begins_us = instant_us(date(2026, 9, 16), 8 * 3600)
    plan = plan_of(gap(0, 90, OPEN_S + 90), today=date(2026, 9, 16), now_us=begins_us - 61_000_000)
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(100)], room=10, faults=[refused()]))
    stage.clock = SimulatedClock(begins_us - 61_000_000)
    stage.slow_until_s = 5.0
    stage.repairer = Repairer(stage.broker, stage.clock, slowness=stage.slowness, note=stage.note)
    report = stage.run(plan)
    assert stage.broker.asked == []
    assert report.outcomes[0][1] == "the next session begins, and the broker may answer for it"
    assert report.stopped is None


def refused() -> RateLimitedError:
    return RateLimitedError("EGW00201", "초당 거래건수를 초과하였습니다.", call="x", status=500)


def test_after_a_refusal_for_pace_nothing_is_asked_until_everybody_is_back_to_pace():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(10)], faults=[refused()]))
    stage.slow_until_s = 60.0
    report = stage.run(plan_of(gap(2, 5, OPEN_S + 5)))
    assert stage.clock.monotonic() >= 60
    assert (report.found, report.calls, report.stopped) == (3, 3, None)


def test_a_storm_of_refusals_ends_the_run_and_what_is_left_is_not_asked_for():
    stage = Stage(Broker([], faults=[refused()] * 50), most_refusals=4)
    report = stage.run(plan_of(gap(2, 5, OPEN_S + 5), gap(2, 5, OPEN_S + 5, symbol="000660")))
    assert report.stopped == "refused for its pace 4 times in a row (EGW00201)"
    assert (len(stage.broker.asked), report.done) == (4, 0)
    assert stage.told() == []


def test_a_storm_of_refusals_slows_live_calls_by_half_at_most(tmp_path):
    async def main():
        clock = SimulatedClock(NOON)
        governor = Governor(tmp_path / "governor", Pace(12, gap_s=0.03), clock)
        slowest, refusals = 1.0, []

        class Storm(Broker):
            async def minute_chart(self, symbol, until, scope="KRX", *, priority=Priority.LIVE):
                await governor.acquire(priority)
                governor.refused()
                refusals.append(clock.monotonic())
                raise refused()

        async def note(events): ...

        async def poll():
            nonlocal slowest
            for _ in range(600):
                began_s = clock.monotonic()
                await governor.acquire(Priority.LIVE)
                waits_s.append(clock.monotonic() - began_s)
                slowest = max(slowest, governor.slowness())
                await clock.sleep(0.5)

        waits_s: list[float] = []
        repairer = Repairer(Storm([]), clock, slowness=governor.slowness, note=note)
        task, live = asyncio.create_task(repairer.run(plan_of(gap(2, 5, OPEN_S + 5)))), asyncio.create_task(poll())
        while not (task.done() and live.done()):
            await clock.advance(0.05)
        return task.result().stopped, slowest, refusals, max(waits_s)

    stopped, slowest, refusals, longest_s = asyncio.run(asyncio.wait_for(main(), 60))
    assert stopped is not None
    assert slowest == 1.5
    assert len(refusals) == 5
    assert all(later - early >= 60 for early, later in pairwise(refusals))
    assert longest_s < 0.1


def test_a_broker_that_does_not_answer_is_asked_a_few_times_and_left():
    stage = Stage(Broker([], faults=[BrokerUnreachableError("http://x", "no route")] * 50), most_failures=3)
    assert "cannot be reached" in (stage.run(plan_of(gap(2, 5, OPEN_S + 5))).stopped or "")
    assert len(stage.broker.asked) == 3


def test_a_failure_that_passes_costs_a_call_and_no_more():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(10)], faults=[BrokerUnreachableError("http://x", "reset")]))
    assert stage.run(plan_of(gap(2, 5, OPEN_S + 5))).found == 3


@pytest.mark.parametrize(("code", "others"), [("OPSQ2001", True), ("EGW00103", False)])
def test_a_refusal_of_one_symbol_ends_the_others_only_where_none_can_succeed(code, others):
    fault = BrokerReplyError(code, "no", call="x", status=200)
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(10)], faults=[fault]))
    report = stage.run(plan_of(gap(2, 5, OPEN_S + 5), gap(2, 5, OPEN_S + 5, symbol="000660")))
    assert (report.found, report.stopped is None) == ((3, True) if others else (0, False))


def test_a_walk_that_is_too_long_for_one_try_leaves_the_rest_for_the_next():
    stage = Stage(Broker([(OPEN_S + i, 1) for i in range(100)], room=10), most_calls=2)
    report = stage.run(plan_of(gap(0, 90, OPEN_S + 90)))
    assert (report.found, report.missing) == (18, 72)
    assert report.outcomes[0][1] == "18 of 90 shares were found: the walk was not finished"
    assert stage.told() == [("attempted", 0, 90)]


def test_what_was_received_as_a_symbol_and_is_none_keeps_nobody_else_from_repair():
    broker = Broker([(OPEN_S + i, 1) for i in range(10)], faults=[InputError("symbol '00#930'", "no code", "none")])
    stage = Stage(broker)
    report = stage.run(plan_of(gap(2, 5, OPEN_S + 5, symbol="00#930"), gap(2, 5, OPEN_S + 5)))
    assert stage.told() == [("attempted", 2, 5), ("attempted", 2, 5)]
    assert (report.found, report.missing, report.stopped) == (3, 3, None)


def test_a_symbol_that_is_refused_before_its_trades_are_asked_for_has_used_up_a_try():
    broker = Broker([(OPEN_S, 1)], faults=[BrokerReplyError("OPSQ2001", "no such symbol", call="minutes")])
    stage = Stage(broker)
    stage.run(plan_of(gap(2, 5, OPEN_S + 5)))
    assert stage.told() == [("attempted", 2, 5)]
    assert "no such symbol" in stage.events[0]["detail"]
