"""How many bytes does a row take in the lake, and how fast does a table open after a day of commits?

Sizes are of the files compaction writes, beside pyarrow's default (dictionary on everything, Snappy) of the same
rows in the same order. Opening is measured after 20,000 commits with the checkpoints that the commits make.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import lake_data
from hosu.lake.compact import CompactConfig, compact
from hosu.lake.delta import CHECKPOINT_EVERY, NewFile
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode, live_name
from hosu.lake.tables import TABLES

if TYPE_CHECKING:
    from hosu.lake.tables import TableSpec

NINE = ["symbol", "ts_event", "ts_recv", "price", "size", "side", "cum_volume", "ask1", "bid1"]
DATE = "2025-09-15"


def run(rows: int = 2_000_000, commits: int = 20_000) -> list[dict[str, Any]]:
    """The figures as rows: name, value, unit, peer, peer_value, ratio."""
    trades, quotes = lake_data.trades(rows), lake_data.quotes(rows // 4)
    return [
        _nine_columns(trades),
        _whole_rows("trades", trades),
        _whole_rows("quotes", quotes),
        _opening(commits),
    ]


def _nine_columns(trades: pa.Table) -> dict[str, Any]:
    spec = TABLES["trades"]
    part = trades.select(NINE)
    ours = len(_encode_part(spec, part)) / part.num_rows
    return _row("trades, nine columns", ours, "bytes a row", "pyarrow default", _default(part))


def _encode_part(spec: TableSpec, part: pa.Table) -> pa.Buffer:
    from dataclasses import replace

    fields = [spec.schema.field(name) for name in ("date", *part.column_names)]
    return encode(replace(spec, schema=pa.schema(fields)), part, level=CompactConfig().compression_level).data


def _whole_rows(name: str, rows: pa.Table) -> dict[str, Any]:
    """Through the lake: written in the order received, in 20 files, then compacted."""
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.open(folder + "/lake")
        table = lake.table(name)
        received = rows.sort_by("lsn").drop_columns(["date"])
        step = -(-rows.num_rows // 20)
        for start in range(0, rows.num_rows, step):
            part = received.slice(start, step)
            table.append([table.store(DATE, live_name(), encode(table.spec, part))], {"bench": start})
        start_s = time.perf_counter()
        report = compact(lake, [name])[0]
        speed = rows.num_rows / (time.perf_counter() - start_s)
        print(f"{name}: {report.bytes_before / report.rows:.1f} -> {report.bytes_after / report.rows:.1f} bytes a row, "
              f"{speed / 1e6:.2f} million rows/s", file=sys.stderr)  # fmt: skip
        ours = report.bytes_after / report.rows
    return _row(f"{name}, whole row", ours, "bytes a row", "pyarrow default", _default(rows.drop_columns(["date"])))


def _default(rows: pa.Table) -> float:
    sink = io.BytesIO()
    plain = [field.with_type(pa.string()) if pa.types.is_dictionary(field.type) else field for field in rows.schema]
    pq.write_table(rows.cast(pa.schema(plain)), sink)
    return sink.tell() / rows.num_rows


def _opening(commits: int) -> dict[str, Any]:
    """One file a commit, as a collector that is never compacted would leave it.

    Every hundredth commit, and the last hundred, go through the committer, and with them all checkpoints; those in
    between are copies of its first, with another file and number, since 20,000 commits one by one take an hour.
    """
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake.open(folder + "/lake")
        table = lake.table("trades")
        file = encode(table.spec, lake_data.trades(100).drop_columns(["date"]))
        log = Path(lake.root) / table.spec.location / "_delta_log"
        took, template = [], ""
        for number in range(1, commits + 1):
            name = f"date={DATE}/live-{number:032x}.parquet"
            if template and number % CHECKPOINT_EVERY not in {98, 99} and number <= commits - 100:
                text = template.replace(f"live-{1:032x}", f"live-{number:032x}")
                text = text.replace('"version":1000000000001', f'"version":{1_000_000_000_000 + number}')
                (log / f"{number:020d}.json").write_text(text)
                continue
            table.refresh()
            # The commits are what is measured: their files need not exist.
            add = NewFile(name, DATE, len(file.data), file.rows, file.statistics)
            start = time.perf_counter()
            table.append([add], {"bench": 1_000_000_000_000 + number})
            took.append(time.perf_counter() - start)
            template = template or (log / f"{number:020d}.json").read_text()
        _age(log, commits)
        table.clean_log()
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            opened = lake.find("trades")
            assert opened is not None
            assert opened.covered("bench") == 1_000_000_000_000 + commits
            assert len(opened.files()) == commits
            seconds.append(time.perf_counter() - start)
        print(f"commit {commits}: median {sorted(took[-50:])[25] * 1e3:.0f} ms, {len(list(log.iterdir()))} log files, "
              f"{len(list(log.glob('*.checkpoint.parquet')))} checkpoints", file=sys.stderr)  # fmt: skip
        return _row(f"open a table after {commits} commits", sorted(seconds)[2], "s", "goal", 1.0)


def _age(log: Path, commits: int) -> None:
    # As if a commit had come every two seconds; the committer cleans its log every thousand.
    now = time.time()
    for path in log.iterdir():
        if path.name[:20].isdigit():
            age = 2 * (commits - int(path.name[:20]))
            os.utime(path, (now - age, now - age))


def _row(name: str, value: float, unit: str, peer: str, peer_value: float) -> dict[str, Any]:
    return {
        "name": name, "value": value, "unit": unit, "peer": peer, "peer_value": peer_value, "ratio": value / peer_value
    }  # fmt: skip


if __name__ == "__main__":
    for row in run(commits=int(sys.argv[1]) if len(sys.argv) > 1 else 20_000):
        print(row)
