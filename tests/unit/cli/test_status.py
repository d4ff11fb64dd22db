"""The block that ``hosu status`` and a terminal show."""

from typing import Any

import pytest
from rich.console import Console

from hosu.cli.status import block
from hosu.errors import InputError

STATUS: dict[str, Any] = {
    "state": "running",
    "runtime_s": 61.0,
    "records": 1_200,
    "records_per_s": 20.0,
    "success_rate": 1.0,
    "quarantined": 0,
    "durable_lsn": 1_199,
    "commits": 1,
    "bytes_written": 2_048,
    "reconnects": 0,
    "buffers": {
        "log_queue_bytes": 0,
        "lag_records": {"lake": 17, "features": 0},
        "uncommitted_records": {"lake": 1_040, "features": 3},
    },
    "sinks": {
        "lake": {"commits": 6, "rows": 9, "bytes": 505_651},
        "features": {"commits": 1, "rows": 0, "bytes": 0},
    },
    "ledger": {"open_gaps": 1, "missing_shares": 2_000},
}


def lines(status: dict[str, Any]) -> list[str]:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(block(status))
    return [" ".join(line.strip("│ ").split()) for line in shown.get().splitlines()]


@pytest.mark.parametrize(
    "row",
    [
        "sinks lake 6 commits, 493.8 KiB; features 1 commit, 0 B",
        "behind the log lake 17, features 0",
        "not committed lake 1,040, features 3",
        "log 1 commit, 2.0 KiB",
        "ledger 1 gap open, 2,000 shares missing",
    ],
)
def test_every_sink_has_its_name_and_what_it_has_not_committed(row: str) -> None:
    assert [line for line in lines(STATUS) if line.endswith(row)]


def test_a_status_that_tells_of_no_sink_is_shown_all_the_same() -> None:
    bare = {**STATUS, "sinks": {}, "buffers": {}, "ledger": None}
    assert [line for line in lines(bare) if line.endswith("not committed -")]


def test_what_is_no_status_is_named() -> None:
    with pytest.raises(InputError, match="is not what this hosu writes"):
        block({"state": "running"})
