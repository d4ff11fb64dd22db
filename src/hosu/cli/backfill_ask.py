"""Asking the broker for bars of the past: what there is to ask, the asking, and what was not got."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import typer

from hosu.cli.options import lake_root, open_lake, sql_config, state_folder
from hosu.cli.output import Format, counted, emit_rows, note
from hosu.cli.output import progress as progress_bar

if TYPE_CHECKING:
    from pathlib import Path

    from hosu.cli.backfill_run import Broker
    from hosu.clock import Clock
    from hosu.collect.backfill import BackfillReport, Missing
    from hosu.collect.backfill_plan import Plan, Wanted
    from hosu.collect.backfill_progress import Kind, Progress
    from hosu.kis.rest import Scope
    from hosu.lake.lake import Lake

_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What the options ask for. ``last`` None is the last day that is over; ``whom`` is --kis and --rest."""

    kind: Kind
    symbols: str
    first: dt.date
    last: dt.date | None
    scope: Scope
    adjusted: bool
    whom: tuple[str, str | None]
    report: Path | None
    only_plan: bool
    bars: bool


def ask(options: AskOptions, lake_name: str | None, state: Path | None, format_: Format) -> None:
    """Shows the plan, works it off, and exits 1 if asking again may help."""
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
    broker = broker_of(*options.whom, load(KisSettings), cache=settings.cache, state=folder, clock=clock)
    lake = open_lake(lake_name, create=True)
    chosen = symbols_of(options.symbols, lambda: lake, broker.host.rest if broker.host.name == "simulator" else None)
    today, over = _today(clock.now_us(), options.scope)
    last = options.last or today
    if last < options.first:
        raise typer.BadParameter(f"--to {last} lies before --from {options.first}")
    wanted = Wanted(
        options.kind,
        chosen,
        options.first,
        last + dt.timedelta(1),
        broker.host.name,
        today,
        over,
        options.scope,
        options.adjusted,
    )
    with Progress(progress_file(folder, lake)) as done:
        todo = planned(wanted, lake, done)
        _tell(todo, broker)
        if options.only_plan:
            emit_rows([_summary(todo)], format_)
            return
        result = _run(todo, broker, lake, folder, done, clock)
    if options.bars:
        build_bars(lake)
    _finish(todo, result, options.report or folder / f"missing-{options.kind}.jsonl", chosen, format_)


def _today(now_us: int, scope: str) -> tuple[dt.date, bool]:
    from hosu.errors import MarketError
    from hosu.market.calendar import business_day, sessions_on
    from hosu.market.day_plan import Scope as Venue

    today, second = business_day(now_us)
    try:
        return today, second >= sessions_on(today, Venue(scope)).end_s
    except MarketError:
        return today, False


def progress_file(folder: Path, lake: Lake) -> Path:
    """Where is noted what the broker has answered for that lake."""
    from hashlib import sha256

    return folder / f"done-{sha256(lake.identity.encode()).hexdigest()[:12]}.jsonl"


def planned(wanted: Wanted, lake: Lake, done: Progress) -> Plan:
    """What there is to ask for: neither what the lake has nor what has been answered."""
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
        note(f"not asked for: {counted(lost.days, 'day')} from {lost.first} to {lost.last}: {lost.reason}")
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
