"""``hosu replay``: archived frames through the same path into a lake."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, emit_rows, progress


def replay(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Segments of a log (.log, .log.zst), or a folder of them.")
    ],
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing", help="Go on behind records that are lost for good."),
    ] = False,
    bars: Annotated[bool, typer.Option("--bars/--no-bars", help="Build bars of what came in.")] = True,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Archived frames into a lake, as if they were just received. What the lake has of them it does not take twice.

    A log is replayed from where the lake stands: segments that would leave a hole are refused, and the hole is named.
    """
    from hosu.collect.fanout import Fanout
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.replay import replay as replay_into
    from hosu.lake.ledger_store import LakeLedgerStore
    from hosu.lake.ohlcv import build
    from hosu.lake.writer import LakeSink, WriterConfig
    from hosu.settings import CollectSettings, load

    reserve = load(CollectSettings).disk_reserve_mb << 20
    opened = open_lake(lake, create=True)
    sink = Fanout(
        [
            LakeSink(opened, WriterConfig(reserve_bytes=reserve)),
            LedgerSink(LakeLedgerStore(opened, reserve_bytes=reserve)),
        ]
    )
    with progress() as shown:
        task = shown.add_task("replaying", total=None)
        report = replay_into(
            folder,
            sink,
            skip_missing=skip_missing,
            progress=lambda done, total: shown.update(task, completed=done, total=total),
        )
    sink.close()
    if bars:
        build(opened, sort=sql_config())
    emit_rows(
        [
            {
                "segments": report.segments,
                "log_records": report.log_records,
                "records": report.records,
                "quarantined": report.quarantined,
                "unfiled": report.unfiled,
            }
        ],
        format_,
    )
