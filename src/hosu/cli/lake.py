"""``hosu lake``: the tables of the lake and their upkeep."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, counted, counting, emit_json, emit_rows, note, size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake
    from hosu.lake.ohlcv import BarsBuilt

app = typer.Typer(help="The lake's tables and their upkeep.", no_args_is_help=True, rich_markup_mode=None)

TableOption = Annotated[list[str] | None, typer.Option("--table", help="Only this table; may be repeated.")]
DateOption = Annotated[
    list[str] | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Only this date; may be repeated.")
]

_NOT_READ = "; the pages of the files were not read, nor the archive decoded: leave out --quick for that"


@app.command()
def tables(lake: LakeOption = None, format_: FormatOption = Format.table) -> None:
    """Every table: rows, files, bytes, first and last date. A damaged one is named, and the exit code is then 1."""
    from hosu.errors import TableCorruptError
    from hosu.lake.tables import TABLES

    opened = open_lake(lake)
    rows: list[dict[str, Any]] = []
    damaged: list[TableCorruptError] = []
    for name in TABLES:
        try:
            rows.append(_described(opened, name, opened.find(name), format_))
        except TableCorruptError as error:
            damaged.append(error)
            unknown = _described(opened, name, None, format_)
            rows.append({**unknown, "rows": None, "files": None, "bytes": None})
    emit_rows(rows, format_)
    for fault in damaged:
        note(f"hosu: {fault}")
    if damaged:
        raise typer.Exit(1)


def _described(lake: Lake, name: str, table: Table | None, format_: Format) -> dict[str, Any]:
    from hosu.lake.delta import total

    files = [] if table is None else table.files()
    count, count_bytes, rows = total(files)
    dates = sorted({file.date for file in files})
    return {
        "table": name,
        "location": lake.spec(name).location,
        "rows": rows,
        "files": count,
        "bytes": count_bytes if format_ is Format.json else size(count_bytes),
        "first_date": dates[0] if dates else None,
        "last_date": dates[-1] if dates else None,
        "version": None if table is None else table.version,
        "kept_days": lake.spec(name).retention_days,
    }


@app.command()
def compact(
    table: TableOption = None, date: DateOption = None, lake: LakeOption = None, format_: FormatOption = Format.table
) -> None:
    """Rewrites many small files into few sorted ones, and takes away what no version needs any more."""
    from hosu.lake.compact import CompactConfig
    from hosu.lake.compact import compact as compact_tables

    with counting("compacting") as tell:
        done = compact_tables(
            open_lake(lake),
            table,
            dates=_dates(date),
            config=CompactConfig(sort=sql_config()),
            progress=lambda name, day: tell(f"{name} {day}"),
        )
    emit_rows([_compacted(report, format_) for report in done], format_)


def _dates(texts: list[str] | None) -> list[str] | None:
    return None if texts is None else [day_of(text).isoformat() for text in texts]


def _compacted(report: Any, format_: Format) -> dict[str, Any]:
    as_size: Callable[[int], object] = (lambda n: n) if format_ is Format.json else size
    return {
        "table": report.table,
        "dates": len(report.dates),
        "rows": report.rows,
        "files_before": report.files_before,
        "files_after": report.files_after,
        "bytes_before": as_size(report.bytes_before),
        "bytes_after": as_size(report.bytes_after),
        "vacuumed": report.vacuumed,
    }


@app.command()
def verify(
    table: TableOption = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep/--quick",
            help="Read every page with its checksum, and compare the tables with what the archive decodes to; or only "
            "what the files say of themselves at their ends.",
        ),
    ] = True,
    repair: Annotated[
        bool, typer.Option("--repair", help="Say what can be rebuilt, and with --yes do it; no collector may run.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do what it says.")] = False,
    let_go: Annotated[
        bool,
        typer.Option(
            "--let-go",
            help="With --repair: take data files that cannot be rebuilt out of their tables and set them aside; their "
            "rows are lost, and the ledger says so.",
        ),
    ] = False,
    state: Annotated[Path | None, typer.Option("--state", help="The collector's folder (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Checks every page of every file, the files against the commits, these against the log and the archived segments.

    Changes nothing unless asked to repair. Exits 1 when something is wrong, and names the file.
    """
    from hosu.lake.verify import verify as verify_lake

    if (yes or let_go) and not repair:
        raise typer.BadParameter(f"{'--yes' if yes else '--let-go'} goes with --repair")
    if repair and not deep:
        raise typer.BadParameter("--repair reads every page; leave out --quick")
    if repair:
        _repair(lake, state, format_, yes=yes, let_go=let_go)
        if not yes:
            return
    with counting("verifying") as tell:
        result = verify_lake(
            open_lake(lake),
            table,
            deep=deep,
            config=sql_config(),
            progress=tell,
        )
    looked_at = ", ".join(
        counted(count, thing)
        for count, thing in ((result.tables, "table"), (result.files, "file"), (result.rows, "row"))
    )
    note(
        f"{looked_at} and {counted(result.archived, 'archived segment')} checked: "
        f"{len(result.findings) or 'nothing'} wrong{'' if deep else _NOT_READ}"
    )
    if result.findings or (format_ is Format.json and not repair):
        emit_rows([_found(finding) for finding in result.findings], format_)
    if result.findings:
        raise typer.Exit(1)


def _found(finding: Any) -> dict[str, Any]:
    return {"table": finding.table, "path": finding.path, "fault": finding.fault, "next_step": finding.next_step}


def _repair(lake: str | None, state: Path | None, format_: Format, *, yes: bool, let_go: bool) -> None:
    """Shows what can be repaired; with ``yes`` repairs it. Exits 1 where something is beyond repair."""
    from hosu.cli.options import lake_root, state_folder
    from hosu.lake import repair as repairing
    from hosu.settings import CollectSettings, load

    opened = open_lake(lake)
    folder = state_folder(lake_root(lake), load(CollectSettings, {"state": state}))
    with _alone(folder) as logs, counting("repairing" if yes else "looking for what to repair") as tell:
        do = repairing.repair if yes else repairing.plan
        result = do(opened, logs=logs, let_go=let_go, config=sql_config(), progress=tell)
    steps = [{"table": step.table, "path": step.path, "does": step.does} for step in result.steps]
    beyond = [_found(finding) for finding in result.beyond]
    if format_ is Format.json:
        emit_json({"done": yes, "steps": steps, "beyond": beyond})
    else:
        for rows in (steps, beyond):
            if rows:
                emit_rows(rows, format_)
    said = "done" if yes else "to do; nothing was changed, add --yes to do it"
    note(f"{len(steps)} {said}; {len(beyond)} beyond repair" if steps or beyond else "nothing to repair")
    if beyond:
        raise typer.Exit(1)


@contextmanager
def _alone(state: Path) -> Iterator[list[Path]]:
    """The logs of a state folder: the collector's, those of its shards, of backfill and of repair. Nobody writes to the
    lake through any of them meanwhile.

    Raises:
        LockedError: somebody does; names the process.
    """
    from hosu.cli.collecting import SHARDS
    from hosu.locks import FileLock

    places = (state, state / "backfill", state / "repair", *sorted((state / SHARDS).glob("*")))
    logs = [place / "wal" for place in places if (place / "wal").is_dir()]
    with ExitStack() as held:
        if state.is_dir():  # with several keys a collector has no log here, and its shards come and go
            held.enter_context(FileLock(state / "collect.lock", f"the state folder {state}"))
        for log in logs:
            held.enter_context(FileLock(log / "lock", f"the log {log}"))
        yield logs


@app.command()
def bars(
    date: DateOption = None,
    seconds: Annotated[
        bool, typer.Option("--seconds", help="One-second bars too; many rows. Dates that have them keep them anyway.")
    ] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Builds one-minute and daily bars of the dates whose sources have changed, or of those named.

    Sources are trades, the broker's and files' bars, and snapshots, in this order of preference; of one-second bars
    trades alone.
    """
    from hosu.lake.ohlcv import build

    with counting("building bars") as tell:
        built = build(open_lake(lake), _dates(date), seconds=seconds, sort=sql_config(), progress=tell)
    shown = [each for each in built if date or each.second_bars or each.minute_bars or each.day_bars or each.trades]
    if not built:
        note("every date is up to date")
    emit_rows(
        [
            {
                "date": report.date,
                "trades": report.trades,
                "duplicates": report.duplicates,
                "incomplete": report.incomplete,
                "second_bars": report.second_bars,
                "minute_bars": report.minute_bars,
                "day_bars": report.day_bars,
                "revision": report.revision,
                "sources": report.sources,
            }
            for report in shown
        ],
        format_,
    )
    for report in shown:
        if not (report.second_bars or report.minute_bars or report.day_bars or report.trades):
            note(f"{report.date}: {_why_empty(report)}")
    if len(shown) < len(built):
        note(f"{len(built) - len(shown):,} dates have nothing that bars are built from, as those of adjusted imports")


def _why_empty(report: BarsBuilt) -> str:
    """Why a date has no bar, and what to do."""
    from hosu.errors import MarketError
    from hosu.market.calendar import sessions_on

    try:
        sessions_on(day_of(report.date))
    except MarketError as error:
        return str(error)
    if report.incomplete:
        return f"none of its {report.incomplete:,} trades has all of price, size, time and cumulative volume"
    return "the lake has nothing that bars are built from; collect the day, or `hosu backfill` it"
