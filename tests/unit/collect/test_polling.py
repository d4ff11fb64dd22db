import asyncio
import contextlib
from dataclasses import dataclass
from datetime import date

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from hosu.clock import SimulatedClock
from hosu.collect.polling import Poller, Rotation, summary
from hosu.errors import BrokerReplyError, BrokerUnreachableError
from hosu.kis.limits import Governor, Pace, Priority, pace_on

DAY = date(2026, 9, 15)


class Settling(SimulatedClock):
    """Lets everybody who was woken come to rest before time goes on: what follows takes several turns of the loop."""

    async def advance(self, seconds):
        target = self._now_us + round(seconds * 1e6)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= target:
            await super().advance((self._sleepers[0][0] - self._now_us) / 1e6)
            await self._settle()
        self._now_us = target

    async def _settle(self):
        for _ in range(4):
            await asyncio.sleep(0)


def names(count):
    return [f"{number:06d}" for number in range(count)]


def answer(rotation, taken, asked_s, now_s, without=()):
    there = np.array([rotation.symbols[place] not in without for place in taken])
    rotation.done(taken, there, asked_s, now_s)


def test_the_first_round_goes_by_priority_30_at_a_time():
    rotation = Rotation(names(70), now_s=0.0)
    rounds = [rotation.take(0.0).tolist() for _ in range(4)]
    assert rounds == [list(range(30)), list(range(30, 60)), list(range(60, 70)), []]


def test_the_one_that_waited_longest_comes_first():
    rotation = Rotation(names(3), now_s=0.0)
    for second in (0.0, 0.2, 0.4):
        answer(rotation, rotation.take(second, most=1), second, second)
    assert rotation.take(5.0, most=2).tolist() == [0, 1]


def test_when_calls_are_short_all_intervals_stretch_in_proportion():
    rotation = Rotation(names(40), now_s=0.0)
    wanted = np.where(np.arange(40) < 20, 1.0, 4.0)
    rotation.want(wanted, 0.0)
    for step in range(4000):  # one symbol every 0.1 s: 10 a second, where 20 / 1 + 20 / 4 = 25 are wanted
        answer(rotation, rotation.take(step * 0.1, most=1), step * 0.1, step * 0.1)
    had = rotation.achieved(400.0)
    assert np.median(had.median_s[:20]) == pytest.approx(2.5, abs=0.3)
    assert np.median(had.median_s[20:]) == pytest.approx(10.0, abs=1.2)


def test_intervals_do_not_drift_while_calls_suffice():
    rotation = Rotation(names(30), now_s=0.0)
    at_s, asked = 0.0, []
    while at_s < 20:
        if len(taken := rotation.take(at_s)):
            asked.append(at_s)
            answer(rotation, taken, at_s, at_s + 0.05)
        at_s += 0.013
    assert len(asked) == 20


def test_a_call_that_goes_anyway_takes_along_who_is_nearly_due():
    rotation = Rotation(names(2), now_s=0.0)
    answer(rotation, rotation.take(0.0, most=1), 0.0, 0.0)
    answer(rotation, rotation.take(0.2, most=1), 0.2, 0.2)
    assert rotation.take(1.0).tolist() == [0, 1]


def test_nobody_is_asked_for_twice_at_once_and_who_failed_is_due_as_before():
    rotation = Rotation(names(2), now_s=0.0)
    taken = rotation.take(0.0)
    assert rotation.take(9.0).tolist() == []
    assert rotation.wait_s(9.0) == float("inf")
    rotation.failed(taken)
    assert rotation.take(9.0).tolist() == [0, 1]


def test_a_symbol_that_is_never_in_a_reply_is_asked_for_ever_more_rarely_and_is_named():
    rotation = Rotation(["000000", "GONE"], now_s=0.0)
    asked_for_gone = []
    for step in range(4000):
        now_s = step * 0.1
        taken = rotation.take(now_s)
        if len(taken):
            asked_for_gone += [now_s] if 1 in taken else []
            answer(rotation, taken, now_s, now_s, without={"GONE"})
    assert rotation.unknown.tolist() == [False, True]
    assert len(asked_for_gone) < 15
    had = rotation.achieved(400.0)
    assert (had.polls[1], had.missed[1], had.polls[0]) == (0, len(asked_for_gone), 400)
    assert np.isnan(had.median_s[1])


def test_achieved_intervals_are_last_median_and_longest_of_the_last_polls():
    rotation = Rotation(["A", "B"], now_s=0.0)
    for at_s in (0.0, 1.0, 2.5, 3.5):
        rotation.done(np.array([0]), np.array([True]), at_s, at_s)
    had = rotation.achieved(5.0)
    assert (had.last_s[0], had.median_s[0], had.max_s[0], had.age_s[0]) == (1.0, 1.0, 1.5, 1.5)
    assert np.isnan([had.last_s[1], had.median_s[1], had.max_s[1], had.age_s[1]]).all()
    assert summary(had, np.array([True, True])) == {"symbols": 2, "polled_twice": 1, "median_s": 1.0, "max_s": 1.5}
    for step in range(70):
        rotation.done(np.array([0]), np.array([True]), 4.0 + step, 4.0 + step)
    had = rotation.achieved(80.0)
    assert (had.last_s[0], had.median_s[0], had.max_s[0]) == (1.0, 1.0, 1.0)  # 1.5 lies too far back


def test_who_gets_a_slot_is_polled_rarely_and_comes_back_when_it_loses_it():
    rotation = Rotation(["A"], now_s=0.0)
    answer(rotation, rotation.take(0.0), 0.0, 0.0)
    rotation.want(np.array([60.0]), 0.1)
    answer(rotation, rotation.take(1.0), 1.0, 1.0)
    assert rotation.take(30.0).tolist() == []
    rotation.want(np.array([1.0]), 30.0)
    assert rotation.take(30.0).tolist() == [0]


@given(st.lists(st.tuples(st.sampled_from(["take", "done", "fail", "want"]), st.floats(0, 5)), max_size=80))
def test_whatever_happens_nobody_is_lost(steps):
    rotation, now_s, away = Rotation(names(50), now_s=0.0), 0.0, []
    for what, wait_s in steps:
        now_s += wait_s
        if what == "take":
            taken = rotation.take(now_s)
            assert not set(taken) & {place for each in away for place in each}
            away += [taken] if len(taken) else []
        elif what == "want":
            rotation.want(np.full(50, 0.5 + wait_s), now_s)
        elif away:
            taken = away.pop(0)
            if what == "done":
                answer(rotation, taken, now_s, now_s)
            else:
                rotation.failed(taken)
    for taken in away:
        rotation.failed(taken)
    seen = set()
    for _ in range(10):
        taken = rotation.take(now_s + 1000.0)
        seen |= set(taken.tolist())
    assert seen == set(range(50))


# --- under the governor ----------------------------------------------------------------------------------------------


@dataclass
class Row:
    symbol: str
    cum_value: int = 1


class Broker:
    """Answers after ``latency_s``, as the governor allows; notes the time of each call."""

    def __init__(self, governor, clock, latency_s=0.0, refuses=lambda now_s: False):
        self.governor, self.clock, self.latency_s, self.refuses = governor, clock, latency_s, refuses
        self.calls_us, self.priorities = [], set()

    async def multi_price(self, symbols, scope="KRX", *, priority=Priority.LIVE):
        self.calls_us.append(await self.governor.acquire(priority))
        self.priorities.add(priority)
        await self.clock.sleep(self.latency_s)
        if self.refuses(self.clock.monotonic()):
            raise BrokerUnreachableError("http://127.0.0.1:1", "refused")
        return [Row(symbol) for symbol in symbols]


@contextlib.asynccontextmanager
async def polling(folder, count, pace, clock, **broker):
    governor = Governor(folder / "governor", pace, clock)
    source = Broker(governor, clock, **broker)
    rotation = Rotation(names(count), clock.monotonic())
    poller = Poller(source, rotation, "KRX", clock, calls_per_s=governor.calls_per_s)
    task = asyncio.create_task(poller.run())
    try:
        yield poller, source
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def most_in_a_second(times_us):
    times = np.array(times_us)
    return int((np.searchsorted(times, times + 1_000_000, side="right") - np.arange(len(times))).max())


@pytest.mark.slow
def test_one_key_reads_2700_symbols_for_an_hour_each_within_8_seconds(tmp_path):
    async def main():
        clock = Settling(1_789_000_000_000_000)
        async with polling(tmp_path, 2700, pace_on(DAY, "live"), clock, latency_s=0.08) as (poller, source):
            longest = np.zeros(2700)
            for _ in range(120):
                await clock.advance(30.0)
                longest = np.maximum(longest, poller.rotation.achieved(clock.monotonic()).max_s)
            return longest, poller.rotation.polls, source

    longest, polls, source = asyncio.run(main())
    assert longest.max() <= 8.0
    assert polls.min() >= 3600 / 8
    assert most_in_a_second(source.calls_us) == 12
    assert len(source.calls_us) == pytest.approx(12 * 3600, rel=0.005)
    assert source.priorities == {Priority.POLL}


@pytest.mark.parametrize(
    ("pace", "count", "median_s", "longest_s"),
    [
        (pace_on(DAY, "live"), 259, 1.0, 1.3),  # 300 symbols, 41 of them streamed
        (pace_on(DAY, "live", account_age_days=0), 259, 4.32, 5.2),  # 8.6 calls at 2 a second
        (pace_on(DAY, "paper"), 60, 2.5, 2.6),  # 2 calls at 1 in 1.25 s
    ],
    ids=["live", "new account", "paper"],
)
def test_the_interval_reached_follows_the_limit(tmp_path, pace, count, median_s, longest_s):
    async def main():
        clock = Settling(1_789_000_000_000_000)
        async with polling(tmp_path, count, pace, clock, latency_s=0.05) as (poller, _):
            await clock.advance(90.0)
            return poller.rotation.achieved(clock.monotonic()), poller.expected_times()

    had, times = asyncio.run(main())
    assert np.median(had.median_s) == pytest.approx(median_s, rel=0.08)
    assert had.max_s.max() <= longest_s
    assert times == pytest.approx(max(1.0, count * pace.window_s / pace.calls / 30), rel=0.01)


def test_a_storm_of_refusals_lengthens_the_interval_says_so_and_passes(tmp_path):
    async def main():
        clock = Settling(1_789_000_000_000_000)
        async with polling(tmp_path, 300, pace_on(DAY, "live"), clock) as (poller, source):
            await clock.advance(20.0)
            before = poller.rotation.achieved(clock.monotonic()).last_s.max()
            for _ in range(4):
                source.governor.refused()
            await clock.advance(30.0)
            during, times = poller.rotation.achieved(clock.monotonic()).last_s.max(), poller.expected_times()
            await clock.advance(400.0)
            return before, during, times, poller.rotation.achieved(clock.monotonic()).last_s.max()

    with structlog.testing.capture_logs() as said:
        before, during, times, after = asyncio.run(main())
    assert before == pytest.approx(1.0, abs=0.2)
    assert during > 3.0
    assert times == pytest.approx(300 / 360 * 1.5**4, rel=0.01)
    assert after == pytest.approx(1.0, abs=0.2)
    levels = [line["log_level"] for line in said if line["event"] == "polls are further apart than wanted"]
    assert levels[0] == "warning"
    assert levels[-1] == "info"


def test_a_broker_that_is_away_is_asked_ever_more_rarely_and_polls_go_on_when_it_is_back(tmp_path):
    async def main():
        clock = Settling(1_789_000_000_000_000)
        away = {"refuses": lambda now_s: now_s < 120}
        async with polling(tmp_path, 30, Pace(12), clock, **away) as (poller, source):
            await clock.advance(100.0)
            calls, trouble = len(source.calls_us), poller.trouble
            await clock.advance(120.0)
            return calls, trouble, poller.rotation.polls.min(), poller.trouble, poller.failures

    calls, trouble, polls, later, failures = asyncio.run(main())
    assert calls < 60
    assert "refused" in trouble
    assert polls > 60
    assert (later, failures >= calls) == (None, True)


def test_a_sweep_asks_for_everybody_once_the_streamed_ones_first(tmp_path):
    async def main():
        clock, asked = SimulatedClock(), []
        rotation = Rotation(names(70), 0.0)
        rotation.want(np.where(np.arange(70) >= 60, 60.0, 1.0), 0.0)

        class Notes:
            async def multi_price(self, symbols, scope="KRX", *, priority=Priority.LIVE):
                asked.append(list(symbols))
                return [Row(symbol) for symbol in symbols]

        await Poller(Notes(), rotation, "KRX", clock, calls_per_s=lambda: 12.0).sweep()
        return asked

    asked = asyncio.run(main())
    assert [len(each) for each in asked] == [30, 30, 10]
    assert asked[0][:10] == [f"{number:06d}" for number in range(60, 70)]
    assert sorted(symbol for each in asked for symbol in each) == names(70)


REFUSED = BrokerReplyError("OPSQ2001", "no such symbol", call="prices")
GONE = BrokerUnreachableError("http://there", "refused")


class Refusing:
    """Answers after 50 ms; for calls with one of ``bad`` with ``fault``."""

    def __init__(self, clock, bad, fault=REFUSED):
        self.clock, self.bad, self.fault, self.refused = clock, bad, fault, 0

    async def multi_price(self, symbols, scope="KRX", *, priority=Priority.LIVE):
        await self.clock.sleep(0.05)
        if self.bad & set(symbols):
            self.refused += 1
            raise self.fault
        return [Row(symbol) for symbol in symbols]


@pytest.mark.parametrize(
    ("bad", "fault", "polled"),
    [
        ({"000040"}, REFUSED, 149),
        ({"000040", "000119"}, REFUSED, 148),
        (set(names(150)), REFUSED, 0),
        ({"000040"}, GONE, 30),
    ],
    ids=["one is refused", "two are", "all are", "nobody answers"],
)
def test_a_sweep_goes_on_past_what_is_refused_and_ends_where_nobody_answers(bad, fault, polled):
    async def main():
        clock = Settling()
        source, rotation = Refusing(clock, bad, fault), Rotation(names(150), 0.0)
        task = asyncio.create_task(Poller(source, rotation, "KRX", clock, calls_per_s=lambda: 12.0).sweep())
        while not task.done():
            await clock.advance(0.5)
        return source.refused, rotation

    refused, rotation = asyncio.run(main())
    assert rotation.polls.sum() == polled
    assert refused <= (12 if polled > 100 else 3)


@pytest.mark.parametrize("bad", [{"000017"}, {"000017", "000045"}, set(names(90))], ids=["one", "two", "all"])
def test_a_symbol_that_is_refused_keeps_none_of_the_others_away(bad):
    async def main():
        clock = Settling()
        source, rotation = Refusing(clock, bad), Rotation(names(90), 0.0)
        task = asyncio.create_task(Poller(source, rotation, "KRX", clock, calls_per_s=lambda: 12.0, parallel=2).run())
        await clock.advance(60.0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return source.refused, rotation

    refused, rotation = asyncio.run(main())
    others = [rotation.polls[place] for place, symbol in enumerate(rotation.symbols) if symbol not in bad]
    assert min(others, default=60) > 40
    # Where nobody is answered it is no symbol's fault, and all are asked for ever more rarely.
    assert refused < (60 * len(bad) if others else 20)
