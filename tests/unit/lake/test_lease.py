"""One maintainer at a time, on a folder and on an object store."""

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
