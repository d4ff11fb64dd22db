"""``hosu ledger repair``: fills what is missing with what the broker still gives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.options import FormatOption, LakeOption, lake_root, open_lake, sql_config, state_folder
from hosu.cli.output import Format, emit_rows, note, progress, stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.cli.repair_station import Means
    from hosu.collect.gaps import Gap
    from hosu.collect.repair import RepairReport
    from hosu.collect.repair_plan import RepairPlan
    from hosu.kis.hosts import Host
    from hosu.lake.lake import Lake
    from hosu.settings import KisSettings

_SHOWN = ("symbol", "scope", "gaps", "shares", "value", "what", "calls", "why")


def repair(
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The business date; default: the latest known.")
    ] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")] = None,
    scope: Annotated[str | None, typer.Option("--scope", metavar="KRX|NXT|UN", help="Only this scope.")] = None,
    kis: Annotated[str, typer.Option("--kis", metavar="live|paper|simulator", help="Whom to ask.")] = "live",
    rest: Annotated[str | None, typer.Option("--rest", metavar="URL", help="A simulator's REST address.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Begin without asking.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Try what was given up before, too.")] = False,
    state: Annotated[Path | None, typer.Option("--state", help="Folder of log and status (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Fills gaps with the trades that the broker still gives: those of today, back through their pages.

    First the plan: what is missing, what can be had for how many calls, what cannot and why. Then, once agreed to, the
    calls; the day is judged anew after them. What stays missing stays listed. May be stopped, and run again.
    """
    from hosu import logs
    from hosu.clock import SystemClock
    from hosu.collect.repair_plan import plan_repair
    from hosu.lake.repair_book import LakeRepairBook
    from hosu.settings import CollectSettings, KisSettings, LogSettings, load

    opened = open_lake(lake)
    day = _day(opened, date, symbol, scope)
    host, manners, clock = host_for(kis, rest), load(KisSettings), SystemClock()
    settings = load(CollectSettings, {"state": state})
    book = LakeRepairBook(opened)
    gaps = [gap for gap in book.open_gaps([day]) if symbol in (None, gap.symbol) and scope in (None, gap.scope)]
    from hosu.cli.repair_station import calls_a_second, plan_config, refuse_beside_a_collector

    plan = plan_repair(gaps, book.events([day]), clock.now_us(), plan_config(host, clock, again=again))
    if not gaps:
        emit_rows([], format_, columns=_SHOWN)
        note(f"{day}: no gap stands open")
        return
    agreed = yes or (sys.stdin.isatty() and sys.stderr.isatty())
    _show(plan, day, calls_a_second(host, manners, clock), format_, on_stdout=not agreed)
    if not plan.work:
        _refuse(plan, day, book.note)
    if not agreed:
        note("nothing was asked yet; add --yes to begin")
        return
    if not yes and not typer.confirm("Begin?", err=True):
        return
    folder = state_folder(lake_root(lake), settings)
    refuse_beside_a_collector(folder)
    means = _means(host, manners, opened, folder, settings)
    logs.configure(load(LogSettings).level, folder / "hosu.log", quiet=sys.stderr.isatty())
    _run(means, plan, day, format_)


def _day(lake: Lake, date: str | None, symbol: str | None, scope: str | None) -> str:
    """The date asked for. Raises InputError where the ledger knows nothing of it, or of the symbol on it."""
    from hosu.cli.ledger import _known_day, _where
    from hosu.lake.sql import Session

    with Session(lake, sql_config()) as session:
        day = _known_day(session, lake, date)
        _where(session, day, symbol, scope)
    return day


def host_for(kis: str, rest: str | None) -> Host:
    """The broker's addresses; of a simulator only REST is asked."""
    from hosu.cli.station import host_of
    from hosu.errors import InputError

    if kis == "simulator" and rest is None:
        raise InputError("--kis simulator", "needs --rest", "take it from the simulator's first line")
    return host_of(kis, rest, "ws://127.0.0.1:9" if kis == "simulator" else None)


def _means(host: Host, manners: KisSettings, lake: Lake, folder: Path, settings: Any) -> Means:
    from hosu.cli.repair_station import Means
    from hosu.cli.station import credentials_of

    return Means(host, credentials_of(host.name, manners), lake, folder, settings, manners)


# --- the plan -----------------------------------------------------------------------------------------------------


def plan_rows(plan: RepairPlan) -> list[dict[str, Any]]:
    """The plan as rows: what is done, in its order; what is left for later; what cannot be done."""
    from hosu.collect.repair_plan import Kind

    what = {Kind.TRADES: "trades", Kind.MINUTES: "minute bars only"}
    rows = [_row(each.gaps, what[each.kind], each.calls, "") for each in plan.work]
    rows += [_row((gap,), "later", 0, "tried a moment ago") for gap in plan.later]
    return rows + [_row((each.gap,), "nothing", 0, each.reason) for each in plan.hopeless]


def _row(gaps: Sequence[Gap], what: str, calls: int, why: str) -> dict[str, Any]:
    values = [gap.value for gap in gaps]
    return {
        "symbol": gaps[0].symbol,
        "scope": gaps[0].scope,
        "gaps": len(gaps),
        "shares": sum(gap.shares for gap in gaps),
        "value": None if None in values else sum(value or 0 for value in values),
        "what": what,
        "calls": calls,
        "why": why,
    }


def _show(plan: RepairPlan, day: str, calls_a_second: float, format_: Format, *, on_stdout: bool) -> None:
    rows = plan_rows(plan)
    if on_stdout or not plan.work:
        emit_rows(rows, format_, columns=_SHOWN)
    elif sys.stderr.isatty():
        from rich.table import Table

        table = Table(*_SHOWN, show_edge=False, pad_edge=False)
        for row in rows:
            table.add_row(*("" if row[name] is None else f"{row[name]:,}" if isinstance(row[name], int) else row[name]
                            for name in _SHOWN))  # fmt: skip
        stderr().print(table)
    gaps = [gap for work in plan.work for gap in work.gaps]
    note(
        f"{day}: {len(gaps):,} gaps of {sum(gap.shares for gap in gaps):,} shares for about {plan.calls:,} calls, "
        f"{plan.calls / calls_a_second:,.0f} s or more at {calls_a_second:g} a second; "
        f"{len(plan.hopeless):,} gaps cannot be repaired"
    )


def _refuse(plan: RepairPlan, day: str, tell: Callable[[Sequence[dict[str, Any]]], None]) -> None:
    """Raises InputError: nothing can be done, and why; what was not known before is noted."""
    from hosu.clock import SystemClock
    from hosu.collect.repair_words import event_of
    from hosu.errors import InputError

    now_us = SystemClock().now_us()
    fresh = [event_of(each.gap, each.event, now_us, each.reason) for each in plan.hopeless if each.event is not None]
    if fresh:
        tell(fresh)
    reasons = "; ".join(dict.fromkeys(each.reason for each in plan.hopeless)) or "all were tried a moment ago"
    count = len(plan.hopeless) + len(plan.later)
    raise InputError(
        f"--date {day}",
        f"{'a gap stays' if count == 1 else f'{count:,} gaps stay'} open: {reasons}",
        "hosu ledger gaps lists them; --again tries once more what was given up",
    )


# --- the work -------------------------------------------------------------------------------------------------------


def _run(means: Means, plan: RepairPlan, day: str, format_: Format) -> None:
    from hosu.cli.collect import run_loop
    from hosu.cli.repair_station import repair_now
    from hosu.errors import InputError
    from hosu.lake.certify import certify

    with progress() as shown:
        task = shown.add_task("repairing", total=max(plan.calls, 1))

        def tell(report: RepairReport) -> None:
            text = f"repairing {report.done}/{len(plan.work)} symbols, {report.found:,} shares found"
            shown.update(task, completed=min(report.calls, plan.calls), description=text)

        report = run_loop(repair_now(means, plan, tell))
        if report is not None and report.outcomes:
            shown.update(task, description=f"judging {day}", total=None)
            certify(means.lake, day, sort=sql_config())
    if report is None:
        note("hosu: stopped; what was answered is kept, run the command again for the rest")
        raise typer.Exit(1)
    _result(means.lake, report, day, format_)
    if report.stopped is not None:
        raise InputError(
            f"--date {day}",
            f"repair ended early: {report.stopped.rstrip('.')}",
            "what was answered is kept; run the command again later for the rest",
        )


def _result(lake: Lake, report: RepairReport, day: str, format_: Format) -> None:
    from hosu.lake.repair_book import LakeRepairBook

    still = LakeRepairBook(lake).open_gaps([day])
    rows = []
    for gap, outcome in report.outcomes:
        left = sum(
            max(0, min(each.to_volume, gap.to_volume) - max(each.from_volume, gap.from_volume))
            for each in still
            if each.series == gap.series
        )
        rows.append(
            {
                "symbol": gap.symbol,
                "scope": gap.scope,
                "from_volume": gap.from_volume,
                "to_volume": gap.to_volume,
                "shares": gap.shares,
                "left": left,
                "outcome": outcome,
            }
        )
    columns = ("symbol", "scope", "from_volume", "to_volume", "shares", "left", "outcome")
    emit_rows(rows, format_, columns=columns)
    closed = sum(not row["left"] for row in rows)
    note(
        f"{day}: {closed:,} of {len(rows):,} gaps are closed, with {report.calls:,} calls; "
        f"{len(still):,} gaps of {sum(gap.shares for gap in still):,} shares stand open"
    )


def repair_after_the_close(means: Means, day: str, began_us: int) -> None:
    """What ``hosu collect`` does when its day is over: repairs what stands open, and judges anew what was repaired
    since it began. Where a table is damaged that is said, and keeps nothing else from being done."""
    from hosu.errors import TableCorruptError

    try:
        _repair_and_judge(means, day, began_us)
    except TableCorruptError as error:
        note(f"hosu: what is missing of {day} is asked for, or judged, later: {error}")


def _repair_and_judge(means: Means, day: str, began_us: int) -> None:
    from hosu.cli.collect import run_loop
    from hosu.cli.repair_station import plan_config, repair_now, session_before
    from hosu.clock import SystemClock
    from hosu.collect.repair_plan import plan_repair
    from hosu.lake.repair_book import LakeRepairBook

    clock, book = SystemClock(), LakeRepairBook(means.lake)
    gaps = book.open_gaps([day])
    plan = plan_repair(gaps, book.events([day]), clock.now_us(), plan_config(means.host, clock))
    if plan.work:
        note(f"hosu: {len(gaps):,} gaps stand open; asking for them, about {plan.calls:,} calls")
        report = run_loop(repair_now(means, plan))
        if report is None:
            return
        stopped = "" if report.stopped is None else f"; it ended early: {report.stopped}"
        note(f"hosu: {report.found:,} missing shares found with {report.calls:,} calls{stopped}")
    for each in (session_before(day), day):
        tries = [row for row in book.events([each]) if row["event"] == "attempted"] if each is not None else []
        if each is not None and any(row["at"] >= began_us for row in tries):
            _judge(means.lake, each)


def _judge(lake: Lake, day: str) -> None:
    from hosu.lake.certify import certify

    judged = certify(lake, day, sort=sql_config())
    if judged.gaps:
        note(f"hosu: {judged.gaps:,} gaps of {judged.missing_shares:,} shares of {day} stay open: hosu ledger gaps")
