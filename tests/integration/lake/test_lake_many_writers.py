"""Several collectors commit to the same tables at once, each with a log of its own: every commit lands, once."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.verify import verify

WRITER = """
import sys
import pyarrow as pa
from hosu.collect.sinks import EventBatch
from hosu.errors import CommitConflictError
from hosu.lake.lake import Lake
from hosu.lake.writer import LakeSink, WriterConfig
from hosu.market.events import EVENT_SCHEMAS

root, wal, commits = sys.argv[1], sys.argv[2], int(sys.argv[3])
print("ready", flush=True)
sys.stdin.readline()
sink = LakeSink(Lake.open(root, create=False), WriterConfig(reserve_bytes=0, cover_after_s=0.0))
schema = EVENT_SCHEMAS["trades"]
conflicts = 0
for lsn in range(commits):
    row = {"date": "2026-09-15", "wal_id": wal, "lsn": lsn, "record_no": 0, "symbol": wal, "size": 1, "cum_volume": lsn}
    rows = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names}], schema=schema)
    sink.write(EventBatch(wal, lsn, lsn, {"trades": rows}, 1))
    while True:
        try:
            sink.flush()
            break
        except CommitConflictError:
            conflicts += 1
sink.close()
print(conflicts, flush=True)
"""


def write(root: Path, writers: int, commits: int) -> list[int]:
    """Runs the writers at the same time; returns how often each was told to try again."""
    begun = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root), f"w{number}", str(commits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for number in range(writers)
    ]
    try:
        for each in begun:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        for each in begun:
            assert each.stdin is not None
            each.stdin.write("go\n")
            each.stdin.flush()
        said = [each.communicate(timeout=240) for each in begun]
    finally:
        for each in begun:
            each.kill()
    assert [each.returncode for each in begun] == [0] * writers, said
    return [int(out.split()[-1]) for out, _ in said]


@pytest.mark.slow
def test_four_writers_that_make_the_tables_at_once_lose_no_commit_and_store_nothing_twice(tmp_path: Path) -> None:
    root, commits = tmp_path / "lake", 15
    Lake.open(str(root))
    write(root, 4, commits)
    lake = Lake.open(str(root), create=False)
    with Session(lake) as session:
        found = session.query(
            "SELECT wal_id, count(*) AS n, count(DISTINCT lsn) AS lsns FROM trades GROUP BY 1 ORDER BY 1"
        ).to_pylist()
    assert found == [{"wal_id": f"w{number}", "n": commits, "lsns": commits} for number in range(4)]
    table = lake.find("trades")
    assert table is not None
    assert [table.covered(f"w{number}") for number in range(4)] == [commits - 1] * 4
    assert verify(lake, deep=False).findings == ()
