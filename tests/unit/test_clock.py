import time

import pytest

from hosu.clock import SystemClock, elapsed_ns


def test_the_time_that_a_machine_slept_has_passed():
    elapsed = [5_000_000_000]
    clock = SystemClock(lambda: elapsed[0])
    before = clock.now_us()
    elapsed[0] += 3600 * 10**9
    assert clock.now_us() - before == 3600 * 10**6


def test_receive_times_are_wall_time():
    before = time.time_ns() // 1000
    now = SystemClock().now_us()
    assert before - 1_000_000 <= now <= time.time_ns() // 1000 + 1_000_000
    assert abs(SystemClock().offset_us()) < 1_000_000


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="only Linux has a clock of its own for that")
def test_the_clock_that_carries_time_on_is_the_one_that_counts_sleep():
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    elapsed = elapsed_ns()
    assert before <= elapsed <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
