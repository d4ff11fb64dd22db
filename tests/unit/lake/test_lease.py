"""One maintainer at a time, on a folder and on an object store."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from hosu.clock import SimulatedClock
from hosu.errors import LockedError
from hosu.lake.lease import LEASE_S, maintenance
from hosu.lake.storage import Storage


def objects() -> Storage:
    return Storage("s3://bucket", MemoryStore(), None, {})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["folder", "objects"])
def test_a_second_maintainer_is_refused_and_told_who_holds_it(kind: str, tmp_path: Path) -> None:
    storage = Storage.open(str(tmp_path)) if kind == "folder" else objects()
    clock = SimulatedClock()
    with maintenance(storage, "trades", clock), maintenance(storage, "quotes", clock):
        again = maintenance(storage, "trades", clock)
        with pytest.raises(LockedError, match="maintenance of table trades is in use by process"):
            again.__enter__()
    with maintenance(storage, "trades", clock):
        pass


class AskedTwice(Storage):
    """A store whose first answer is lost each time, and whose client asks again by itself."""

    def put_if_absent(self, path: str, data: bytes) -> bool:
        super().put_if_absent(path, data)
        return super().put_if_absent(path, data)

    def put_if_unchanged(self, path: str, data: bytes, etag: str | None) -> bool:
        super().put_if_unchanged(path, data, etag)
        return super().put_if_unchanged(path, data, etag)


def test_who_is_refused_for_its_own_lease_holds_it() -> None:
    storage = AskedTwice("s3://bucket", MemoryStore(), None, {})  # type: ignore[arg-type]
    clock = SimulatedClock(0)
    with maintenance(storage, "trades", clock) as lease:
        lease.renew()
        clock._now_us = round(LEASE_S * 2e6)
        with maintenance(storage, "trades", clock), pytest.raises(LockedError):
            lease.renew()
    with maintenance(storage, "trades", clock):
        pass


def test_a_lease_nobody_renews_runs_out() -> None:
    storage = objects()
    later = SimulatedClock(round(LEASE_S * 1e6) + 1)
    with (
        maintenance(storage, "trades", SimulatedClock(0)) as first,
        maintenance(storage, "trades", later),
        pytest.raises(LockedError),
    ):
        first.renew()


def test_a_renewed_lease_holds_on() -> None:
    storage = objects()
    clock = SimulatedClock(0)
    with maintenance(storage, "trades", clock) as lease:
        clock._now_us = round(LEASE_S * 0.9 * 1e6)
        lease.renew()
        clock._now_us = round(LEASE_S * 1.5 * 1e6)
        with pytest.raises(LockedError), maintenance(storage, "trades", clock):
            pass


def test_a_lease_of_a_process_of_this_machine_that_is_no_more_is_taken_over_at_once() -> None:
    storage, clock = objects(), SimulatedClock(0)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    for holder, passes in (
        (f"process {gone.pid} (hosu lake compact) on {socket.gethostname()} (0a1b2c3d)", True),
        (f"process {os.getppid()} (hosu lake compact) on {socket.gethostname()} (0a1b2c3d)", False),
        (f"process {gone.pid} (hosu lake compact) on another-machine (0a1b2c3d)", False),
        ("process 99999999999 (hosu) on here (0a1b2c3d)", False),
    ):
        left = {"holder": holder, "expires_us": round(LEASE_S * 1e6)}
        storage.put("_hosu/locks/trades.json", json.dumps(left).encode())
        if passes:
            with maintenance(storage, "trades", clock):
                pass
            continue
        with pytest.raises(LockedError) as refused:
            maintenance(storage, "trades", clock).__enter__()
        assert holder in str(refused.value)
        assert "(in 15 minutes); if that process has gone for good, delete s3://bucket/_hosu/locks/trades.json" in str(
            refused.value
        )


def test_a_lease_of_another_machine_is_taken_over_once_it_has_run_out() -> None:
    storage = objects()
    left = {"holder": "process 7 (hosu lake compact) on another-machine (0a1b2c3d)", "expires_us": 1_000_000}
    storage.put("_hosu/locks/trades.json", json.dumps(left).encode())
    with maintenance(storage, "trades", SimulatedClock(1_000_001)):
        assert f"process {os.getpid()}" in str(json.loads(storage.get("_hosu/locks/trades.json"))["holder"])
    assert storage.head("_hosu/locks/trades.json") is None
