from random import Random

import pytest

from hosu.clock import SimulatedClock
from hosu.kis.reconnects import Backoff, HourlyCap


def test_delays_grow_within_their_bounds_and_start_over():
    backoff = Backoff(1.0, 60.0, Random(7))
    bounds = [2, 4, 8, 16, 32, 60, 60]
    assert all(1.0 <= backoff.delay_s() <= bound for bound in bounds)
    for _ in range(2000):
        assert 1.0 <= backoff.delay_s() <= 60.0
    backoff.reset()
    assert backoff.delay_s() <= 2.0


def test_delays_are_jittered_over_the_whole_range():
    delays = [Backoff(1.0, 60.0, Random(seed)).delay_s() for seed in range(200)]
    assert min(delays) < 1.1
    assert max(delays) > 1.9


def test_the_hourly_cap_outlives_the_process_and_forgets_after_an_hour(tmp_path):
    clock, path = SimulatedClock(1_700_000_000_000_000), tmp_path / "c" / "connections.json"
    waits = []
    for _ in range(3):
        cap = HourlyCap(path, 3, clock)
        waits.append(cap.wait_s())
        cap.take()
        clock._now_us += 60_000_000
    assert waits == [0.0, 0.0, 0.0]
    assert HourlyCap(path, 3, clock).wait_s() == 3600.0 - 180.0
    assert HourlyCap(path, 2, clock).wait_s() == 3600.0 - 120.0
    clock._now_us += 3_420_000_000
    assert HourlyCap(path, 3, clock).wait_s() == 0.0
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_cap_that_would_never_let_anybody_through_is_refused():
    with pytest.raises(ValueError, match="a cap of 0 connections an hour allows none"):
        HourlyCap(None, 0, SimulatedClock())


def test_an_attempt_that_never_reached_the_broker_is_forgiven():
    cap = HourlyCap(None, 1, SimulatedClock())
    cap.take()
    assert cap.wait_s() == 3600.0
    cap.forgive()
    assert cap.wait_s() == 0.0


@pytest.mark.parametrize("content", [b"", b"{", b"7", b'["a"]', b"[99999999999999999999]"])
def test_a_garbled_history_starts_over(tmp_path, content):
    path = tmp_path / "connections.json"
    path.write_bytes(content)
    cap = HourlyCap(path, 1, SimulatedClock(1_700_000_000_000_000))
    assert cap.wait_s() == 0.0
    cap.take()
    assert path.read_bytes() == b"[1700000000000000]"
