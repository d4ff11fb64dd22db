"""``hosu backfill``: bars of the past, over REST or from a file."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of, lake_root, open_lake, sql_config, state_folder
from hosu.cli.output import Format, emit_rows, note
from hosu.cli.output import progress as progress_bar

if TYPE_CHECKING:
    from hosu.cli.backfill_run import Broker
    from hosu.clock import Clock
    from hosu.collect.backfill import BackfillReport, Missing
    from hosu.collect.backfill_plan import Plan, Wanted
    from hosu.collect.backfill_progress import Progress
    from hosu.kis.rest import Scope
    from hosu.lake.lake import Lake

_SHOWN: Final = 20


class Kind(StrEnum):
    """What is filled in."""

    daily = "daily"
    minutes = "minutes"


def backfill(
    kind: Annotated[Kind, typer.Argument(help="Bars of days or of minutes.")],
    from_: Annotated[
        str | None, typer.Option("--from", metavar="YYYY-MM-DD|FILE", help="The first day; or a file to import.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day; default: the last that is over.")
    ] = None,
    symbols: Annotated[
        str,
        typer.Option("--symbols", metavar="A,B|FILE|all", help="A list, a file of one a line, or all of the universe."),
    ] = "all",
    scope: Annotated[str, typer.Option("--scope", metavar="KRX|NXT|UN", help="Which venue, or both as one.")] = "KRX",
    adjusted: Annotated[
        bool | None,
        typer.Option("--adjusted/--original", help="Prices adjusted for splits and the like; default: as they were."),
    ] = None,
    kis: Annotated[str, typer.Option("--kis", metavar="live|paper|simulator", help="Whom to ask.")] = "live",
    rest: Annotated[str | None, typer.Option("--rest", metavar="URL", help="A simulator's REST address.")] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be asked.")] = False,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Import these bars, Parquet or CSV, instead of asking."),
    ] = None,
    map_: Annotated[
        str | None, typer.Option("--map", metavar="OURS=THEIRS,..", help="File: columns that are not recognized.")
    ] = None,
    zone: Annotated[str, typer.Option("--zone", help="File: the zone of times that name none.")] = "Asia/Seoul",
    units: Annotated[
        str | None, typer.Option("--units", metavar="COLUMN=N,..", help="File: what to multiply a column by.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="File: the source's name; default: the file's.")] = None,
    any_code: Annotated[bool, typer.Option("--any-code", help="File: take codes that no universe knows.")] = False,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE", help="Where what was refused or missing is listed.")
    ] = None,
    bars: Annotated[bool, typer.Option("--bars/--no-bars", help="Build bars of what came in.")] = True,
    state: Annotated[Path | None, typer.Option("--state", help="Folder of log and progress (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Bars of the past into bars_daily_external or bars_1m_external, from the broker or from a file.

    Asking can be stopped and goes on where it was; what the lake has is not asked for again. A plan is shown first.
    What could not be got, or was refused, is listed with its reason. Exits 1 if asking again may help, or if rows of a
    file were refused.
    """
    if scope not in ("KRX", "NXT", "UN"):
        raise typer.BadParameter("--scope is KRX, NXT or UN")
    source = file if file is not None else _as_file(from_)
    if source is not None:
        from hosu.cli.backfill_import import ImportOptions, import_file

        if to is not None or (file is not None and from_ is not None):
            raise typer.BadParameter("a file is imported whole: --from and --to name days to ask the broker for")
        if adjusted is None:
            raise typer.BadParameter("say whether the file's prices are --adjusted or --original")
        options = ImportOptions(map_, zone, units, name, scope, adjusted=adjusted, any_code=any_code, report=report)
        import_file(kind.value, source, options, lake, state, format_, bars=bars)
        return
    if from_ is None:
        raise typer.BadParameter("say --from which day, or name a file with --file")
    if kind is Kind.minutes and adjusted:
        raise typer.BadParameter("the broker gives minutes at original prices only")
    span = (day_of(from_), None if to is None else day_of(to))
    _ask(
        kind,
        span,
        symbols,
        cast("Scope", scope),
        adjusted or False,
        kis,
        rest,
        lake,
        state,
        report,
        format_,
        plan,
        bars,
    )


def _as_file(text: str | None) -> Path | None:
    """The file that --from names, if it names no day."""
    if text is None:
        return None
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        if Path(text).exists():
            return Path(text)
        raise typer.BadParameter(f"--from {text} is neither a date (YYYY-MM-DD) nor a file that exists") from None
    return None


def _ask(
    kind: Kind,
    span: tuple[dt.date, dt.date | None],
    symbols: str,
    scope: Scope,
    adjusted: bool,
    kis: str,
    rest: str | None,
    lake_name: str | None,
    state: Path | None,
    report: Path | None,
    format_: Format,
    only_plan: bool,
    bars: bool,
) -> None:
    from hosu import logs
    from hosu.cli.backfill_run import broker_of
    from hosu.cli.universe import symbols_of
    from hosu.clock import SystemClock
    from hosu.collect.backfill_plan import Wanted
    from hosu.collect.backfill_progress import Progress
    from hosu.settings import CollectSettings, KisSettings, LogSettings, load

    clock = SystemClock()
    settings = load(CollectSettings, {"state": state})
    folder = state_folder(lake_root(lake_name), settings) / "backfill"
    logs.configure(load(LogSettings).level, folder / "hosu.log", quiet=sys.stderr.isatty())
    broker = broker_of(kis, rest, load(KisSettings), settings.cache, folder, clock)
    lake = open_lake(lake_name, create=True)
    chosen = symbols_of(symbols, lambda: lake, rest if kis == "simulator" else None)
    today, over = _today(clock.now_us(), scope)
    first, last = span[0], span[1] or today
    if last < first:
        raise typer.BadParameter(f"--to {last} lies before --from {first}")
    wanted = Wanted(kind.value, chosen, first, last + dt.timedelta(1), broker.host.name, today, over, scope, adjusted)
    with Progress(folder / f"done-{_name(lake.identity)}.jsonl") as done:
        todo = _planned(wanted, lake, done)
        _tell(todo, broker)
        if only_plan:
            emit_rows([_summary(todo)], format_)
            return
        result = _run(todo, broker, lake, folder, done, clock)
    if bars:
        build_bars(lake)
    _finish(todo, result, report or folder / f"missing-{kind.value}.jsonl", chosen, format_)


def _today(now_us: int, scope: str) -> tuple[dt.date, bool]:
    from hosu.errors import MarketError
    from hosu.market.calendar import business_day, sessions_on
    from hosu.market.day_plan import Scope as Venue

    today, second = business_day(now_us)
    try:
        return today, second >= sessions_on(today, Venue(scope)).end_s
    except MarketError:
        return today, False


def _name(identity: str) -> str:
    from hashlib import sha256

    return sha256(identity.encode()).hexdigest()[:12]


def _planned(wanted: Wanted, lake: Lake, done: Progress) -> Plan:
    from hosu.collect.backfill_plan import hours
    from hosu.collect.backfill_plan import plan as plan_of
    from hosu.lake.bars_external import days_fetched

    kept = days_fetched(
        lake,
        wanted.kind,
        wanted.scope,
        wanted.first,
        wanted.end,
        adjusted=wanted.adjusted,
        hours=hours,
        config=sql_config(),
    )

    def known(symbol: str) -> frozenset[dt.date]:
        answered = done.days(wanted.kind, wanted.scope, symbol, adjusted=wanted.adjusted)
        return answered | kept.get(symbol, set())

    return plan_of(wanted, known)


def _tell(plan: Plan, broker: Broker) -> None:
    for lost in plan.out_of_reach:
        note(f"not asked for: {lost.days} days from {lost.first} to {lost.last}: {lost.reason}")
    rate = max(1, broker.pace.calls * 3 // 4) / broker.pace.window_s
    note(
        f"plan: {plan.calls:,} calls for {sum(len(task.days) for task in plan.tasks):,} symbol-days, about "
        f"{dt.timedelta(seconds=round(plan.calls / rate))} at {rate:.3g} calls a second; "
        f"{plan.known:,} symbol-days are there already"
    )


def _run(plan: Plan, broker: Broker, lake: Lake, folder: Path, done: Progress, clock: Clock) -> BackfillReport:
    from hosu.cli.backfill_run import run

    with progress_bar() as shown:
        bar = shown.add_task("asking", total=plan.calls)
        return asyncio.run(
            run(
                plan.tasks,
                broker,
                lake,
                folder,
                done,
                clock,
                on_task=lambda task: shown.update(bar, advance=task.calls, description=f"asking {task.days[0]}"),
            )
        )


def build_bars(lake: Lake) -> None:
    """Builds the bars of all dates whose sources have changed."""
    from hosu.lake.ohlcv import build

    with progress_bar() as shown:
        bar = shown.add_task("building bars", total=None)
        build(lake, sort=sql_config(), progress=lambda date: shown.update(bar, advance=1, description=f"bars {date}"))


def _summary(plan: Plan) -> dict[str, Any]:
    return {
        "tasks": len(plan.tasks),
        "calls": plan.calls,
        "symbol_days": sum(len(task.days) for task in plan.tasks),
        "known": plan.known,
        "out_of_reach": sum(lost.days for lost in plan.out_of_reach),
    }


def _finish(plan: Plan, result: BackfillReport, listing: Path, symbols: list[str], format_: Format) -> None:
    from hosu.collect.backfill import Missing

    beyond = [
        Missing("", lost.first, lost.last, lost.days * len(symbols), lost.reason, True) for lost in plan.out_of_reach
    ]
    missing = [*result.missing, *beyond]
    _list(missing, listing)
    undone = len(plan.tasks) - result.tasks
    again = sum(not each.final for each in missing)
    summary = {"asked": result.tasks, "bars": result.bars, "missing": sum(each.days for each in missing)}
    emit_rows([{**_summary(plan), **summary, "left": undone, "stopped": result.stopped}], format_)
    if result.stopped is not None:
        note(f"hosu: stopped with {undone:,} tasks left ({result.stopped}); the same command goes on")
    elif again:
        note(f"hosu: {again:,} spans were not given this time; the same command asks for them again")
    if result.stopped is not None or again:
        raise typer.Exit(1)


def _list(missing: list[Missing], listing: Path) -> None:
    """What was not got: the first lines to the terminal, all of it to a file."""
    if not missing:
        listing.unlink(missing_ok=True)
        return
    lines = [json.dumps(asdict(each), default=str, ensure_ascii=False) for each in missing]
    listing.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for each in missing[:_SHOWN]:
        note(f"missing: {each.symbol or 'all symbols'} {each.first} to {each.last}: {each.reason}")
    more = f" and {len(missing) - _SHOWN:,} more" if len(missing) > _SHOWN else ""
    note(f"what is missing{more} is listed in {listing}")
