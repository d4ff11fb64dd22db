import asyncio
import itertools
import os
import subprocess
import sys
from datetime import date

import pytest

from hosu.clock import SimulatedClock
from hosu.kis.limits import Governor, Pace, Priority, limit_on, pace_on

START_US = 1_700_000_000_000_000


@pytest.mark.parametrize(
    ("day", "host", "age", "limit"),
    [
        (date(2022, 1, 1), "live", None, 20),
        (date(2025, 9, 15), "live", None, 20),
        (date(2025, 9, 15), "paper", None, 2),
        (date(2026, 4, 2), "live", 0, 20),
        (date(2026, 4, 3), "live", 2, 3),
        (date(2026, 4, 3), "live", 3, 20),
        (date(2026, 4, 20), "live", None, 18),
        (date(2026, 4, 20), "paper", None, 1),
        (date(2026, 4, 20), "paper", 0, 1),
        (date(2026, 4, 20), "simulator", None, 18),
    ],
)
def test_the_brokers_limits_are_looked_up_by_date(day, host, age, limit):
    assert limit_on(day, host, age) == limit


@pytest.mark.parametrize(
    ("host", "age", "calls", "window_s"), [("live", None, 12, 1.0), ("live", 1, 2, 1.0), ("paper", None, 1, 1.25)]
)
def test_our_pace_stays_under_the_limit(host, age, calls, window_s):
    pace = pace_on(date(2026, 5, 1), host, age)
    assert (pace.calls, pace.window_s) == (calls, window_s)
    assert pace.gap_s * pace.calls < pace.window_s


async def grants(governor, clock, count, priority=Priority.LIVE):
    tasks = [asyncio.create_task(governor.acquire(priority)) for _ in range(count)]
    while not all(task.done() for task in tasks):
        await clock.advance(0.01)
    return [task.result() for task in tasks]


def most_in_any_second(times, window_us=1_000_000):
    return max(sum(1 for other in times if at <= other <= at + window_us) for at in times)


def test_no_sliding_second_holds_more_than_the_pace_and_the_gap_is_kept(tmp_path):
    async def main():
        clock = SimulatedClock(START_US)
        governor = Governor(tmp_path / "governor", Pace(5, 1.0, gap_s=0.05), clock)
        return await grants(governor, clock, 23)

    times = asyncio.run(main())
    assert most_in_any_second(times) == 5
    assert min(later - earlier for earlier, later in itertools.pairwise(times)) >= 50_000


def test_live_calls_overtake_waiting_backfill(tmp_path):
    async def main():
        clock, order = SimulatedClock(START_US), []
        governor = Governor(tmp_path / "governor", Pace(1, 1.0), clock)

        async def call(name, priority):
            await governor.acquire(priority)
            order.append(name)

        await call("first", Priority.LIVE)
        async with asyncio.TaskGroup() as group:
            for name, priority in (("old", 1), ("older", 1), ("live", 0)):
                group.create_task(call(name, Priority(priority)))
                await asyncio.sleep(0)
            while len(order) < 4:
                await clock.advance(0.5)
        return order

    assert asyncio.run(main()) == ["first", "live", "old", "older"]


def test_backfill_leaves_a_quarter_of_the_calls_to_live_work(tmp_path):
    async def main():
        clock = SimulatedClock(START_US)
        backfill = Governor(tmp_path / "governor", Pace(8, 1.0), clock)
        live = Governor(tmp_path / "governor", Pace(8, 1.0), clock)  # as another process would
        tasks = [asyncio.create_task(backfill.acquire(Priority.BACKFILL)) for _ in range(20)]
        await clock.advance(0)
        at_once = [await live.acquire() for _ in range(2)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sum(task.done() and not task.cancelled() for task in tasks), at_once

    assert asyncio.run(main()) == (6, [START_US, START_US])


def test_a_refusal_slows_every_process_down_and_quiet_minutes_speed_up_again(tmp_path):
    async def main():
        clock = SimulatedClock(START_US)
        governor, other = (Governor(tmp_path / "governor", Pace(10, 1.0), clock) for _ in range(2))
        governor.refused()
        governor.refused()
        slowed = other.slowness()
        await clock.advance(5)
        times = await grants(other, clock, 21)
        await clock.advance(60)
        recovering = other.slowness()
        await clock.advance(120)
        for _ in range(99):
            governor.refused()
        worst = governor.slowness()
        await clock.advance(3600)
        return slowed, most_in_any_second(times, 2_249_999), recovering, worst, other.slowness()

    assert asyncio.run(main()) == (2.25, 10, 1.5, 8.0, 1.0)


def test_cancelling_gives_the_turn_to_the_next(tmp_path):
    async def main():
        clock = SimulatedClock(START_US)
        governor = Governor(tmp_path / "governor", Pace(1, 1.0), clock)
        await governor.acquire()
        first, second = (asyncio.create_task(governor.acquire()) for _ in range(2))
        await clock.advance(0.1)
        first.cancel()
        await clock.advance(2)
        return first.cancelled(), second.result()

    assert asyncio.run(main()) == (True, START_US + 1_000_001)


@pytest.mark.parametrize(
    "content", [b"", b"HGV1", b"x" * 100, b"HGV1" + b"\xff" * 200], ids=["empty", "cut", "foreign", "absurd"]
)
def test_a_garbled_file_starts_over(tmp_path, content):
    (tmp_path / "governor").write_bytes(content)
    governor = Governor(tmp_path / "governor", Pace(1), SimulatedClock(START_US))
    assert asyncio.run(governor.acquire()) == START_US
    assert governor.slowness() == 1.0


WORKER = """
import asyncio, sys
from pathlib import Path
from hosu.clock import SystemClock
from hosu.kis.limits import Governor, Pace

async def main():
    governor = Governor(Path(sys.argv[1]), Pace(20, 0.2, gap_s=0.001), SystemClock())
    await asyncio.gather(*(take(governor) for _ in range(60)))

async def take(governor):
    print(await governor.acquire(), flush=True)

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(main())
"""


def test_two_processes_together_never_exceed_the_rate(tmp_path):
    path = tmp_path / "governor"
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for _ in range(2)
    ]
    times = []
    for worker in workers:
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        out, _ = worker.communicate(timeout=60)
        times += [int(line) for line in out.split()]
        assert worker.returncode == 0
    assert len(times) == 120
    # A time is taken by each process's own clock; two clocks of one machine agree to well under 2 ms.
    assert most_in_any_second(sorted(times), 198_000) <= 20


def counts(clock, paths_of, seconds):
    """Runs one caller a class, each its own process as far as the file is concerned, and counts their grants."""

    async def main():
        got = dict.fromkeys(paths_of, 0)

        async def ask(priority, governor):
            while True:
                await governor.acquire(priority)
                got[priority] += 1

        tasks = [asyncio.create_task(ask(priority, governor)) for priority, governor in paths_of.items()]
        for _ in range(seconds * 100):
            await clock.advance(0.01)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return got

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("pace", "classes", "least"),
    [
        (Pace(12, 1.0, 0.03), (Priority.POLL,), {Priority.POLL: 12}),
        (Pace(12, 1.0, 0.03), (Priority.POLL, Priority.BACKFILL), {Priority.POLL: 8.5, Priority.BACKFILL: 3}),
        (Pace(12, 1.0, 0.03), (Priority.POLL, Priority.LIVE), {Priority.LIVE: 3}),
        (Pace(2, 1.0, 0.2), (Priority.POLL, Priority.BACKFILL), {Priority.POLL: 1.4, Priority.BACKFILL: 0.5}),
        (Pace(1, 1.0), (Priority.POLL, Priority.BACKFILL), {Priority.POLL: 0.7, Priority.BACKFILL: 0.25}),
    ],
    ids=["alone", "backfill", "live", "new account", "paper"],
)
def test_endless_polls_take_what_is_left_and_yield_a_quarter_to_whoever_waits(tmp_path, pace, classes, least):
    clock = SimulatedClock(START_US)
    governors = {each: Governor(tmp_path / "governor", pace, clock) for each in classes}  # each as its own process
    got = counts(clock, governors, 40)
    for priority, per_second in least.items():
        assert got[priority] >= per_second * 40 - pace.calls
    assert pace.calls * 40 * 0.95 <= sum(got.values()) <= pace.calls * 41


def test_within_one_process_backfill_gets_on_beside_endless_polls(tmp_path):
    clock = SimulatedClock(START_US)
    shared = Governor(tmp_path / "governor", Pace(12, 1.0, gap_s=0.03), clock)
    got = counts(clock, {Priority.POLL: shared, Priority.BACKFILL: shared}, 20)
    assert got[Priority.BACKFILL] >= 20 * 3 - 12
    assert got[Priority.POLL] >= 20 * 8.5 - 12


def test_live_calls_wait_less_than_a_second_for_polls_that_fill_every_window(tmp_path):
    async def main():
        clock, waits = SimulatedClock(START_US), []
        polls, live = (Governor(tmp_path / "governor", Pace(12, 1.0, 0.03), clock) for _ in range(2))

        async def poll():
            while True:
                await polls.acquire(Priority.POLL)

        polling = asyncio.create_task(poll())
        await clock.advance(5.0)
        for _ in range(10):
            asked = clock.now_us()
            call = asyncio.create_task(live.acquire())
            while not call.done():
                await clock.advance(0.01)
            waits.append((call.result() - asked) / 1e6)
            await clock.advance(1.7)
        polling.cancel()
        return waits

    assert max(asyncio.run(main())) < 1.0


def test_what_is_granted_a_second_follows_the_pace_and_the_brokers_refusals(tmp_path):
    governor = Governor(tmp_path / "governor", pace_on(date(2026, 5, 1), "paper"), SimulatedClock(START_US))
    assert governor.calls_per_s() == pytest.approx(1 / 1.25)
    governor.refused()
    assert governor.calls_per_s() == pytest.approx(1 / 1.875)
