"""``hosu collect``: from the broker into the lake."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config, state_folder
from hosu.cli.output import Format, emit_json, note, stderr, stdout
from hosu.cli.status import block

if TYPE_CHECKING:
    from hosu.cli.station import Plan
    from hosu.collect.collector import Collector
    from hosu.kis.rest import Scope
    from hosu.lake.lake import Lake
    from hosu.settings import CollectSettings, KisSettings

_LONGEST_NAME = 255


def collect(
    kis: Annotated[str, typer.Option("--kis", metavar="live|paper|simulator", help="Whom to ask.")] = "live",
    rest: Annotated[str | None, typer.Option("--rest", metavar="URL", help="A simulator's REST address.")] = None,
    ws: Annotated[str | None, typer.Option("--ws", metavar="URL", help="A simulator's WebSocket address.")] = None,
    symbols: Annotated[
        str,
        typer.Option("--symbols", metavar="A,B|FILE|all", help="A list, a file of one a line, or all of the universe."),
    ] = "all",
    feeds: Annotated[
        str, typer.Option("--feeds", metavar="A,B", help="Of trades, quotes, expected, market_events.")
    ] = "trades,quotes",
    scope: Annotated[str, typer.Option("--scope", metavar="KRX|NXT|UN", help="Which venue, or both as one.")] = "KRX",
    slots: Annotated[int, typer.Option("--slots", min=1, help="Registrations the session may hold.")] = 41,
    until_idle: Annotated[
        float | None, typer.Option("--until-idle", metavar="S", min=0.1, help="End after so many seconds without data.")
    ] = None,
    bars: Annotated[bool, typer.Option("--bars/--no-bars", help="Build bars when the day is over.")] = True,
    poll: Annotated[bool, typer.Option("--poll/--no-poll", help="Take REST snapshots too.")] = True,
    repair: Annotated[bool, typer.Option("--repair/--no-repair", help="Ask for missing trades over REST.")] = True,
    durable_fd: Annotated[
        int | None,
        typer.Option("--durable-fd", metavar="N", help="Write each durable LSN as a line to this descriptor."),
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", help="Folder of log and status (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """From the broker into the lake, until the day is over, a signal comes, or --until-idle.

    The first Ctrl-C stops receiving and commits what came; a second leaves at once. Nothing durable is lost either way:
    the next start goes on from the log.
    """
    from hosu import logs
    from hosu.cli.options import lake_root
    from hosu.cli.station import Plan, credentials_of, host_of, registrations_of
    from hosu.settings import CollectSettings, KisSettings, LogSettings, load

    if scope not in ("KRX", "NXT", "UN"):
        raise typer.BadParameter("--scope is KRX, NXT or UN")
    if durable_fd is not None and not _is_open(durable_fd):
        raise typer.BadParameter(f"--durable-fd {durable_fd} is not open in this process")
    keys = load(KisSettings)
    host, credentials = host_of(kis, rest, ws), credentials_of(kis, keys)
    settings = load(CollectSettings, {"state": state})
    opened = open_lake(lake, create=True)
    folder = state_folder(lake_root(lake), settings)
    logs.configure(load(LogSettings).level, folder / "hosu.log", quiet=sys.stderr.isatty())
    chosen = _symbols(symbols, opened, host.rest if kis == "simulator" else None)
    plan = Plan(
        host,
        credentials,
        registrations_of(chosen, [feed.strip() for feed in feeds.split(",")], scope),
        chosen,
        scope=cast("Scope", scope),
        slots=slots,
        until_idle_s=until_idle,
        poll=poll and kis != "paper",
        durable_fd=durable_fd,
        repair=repair,
    )
    if len(plan.registrations) > slots:
        note(f"hosu: {len(plan.registrations)} registrations wanted, {slots} slots: the first {slots} are covered")
    last = run_loop(_collect(plan, opened, folder, settings, keys))
    if format_ is Format.json:
        emit_json(last)
    else:
        stdout().print(block(last))
    if repair and not str(last.get("reason", "")).startswith("SIG"):
        _repair(plan, opened, folder, settings, keys, last)
    if bars and not str(last.get("reason", "")).startswith("SIG"):
        _build_bars(opened)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except (OSError, OverflowError):
        return False
    return True


def run_loop(job: Any) -> Any:
    """Runs a coroutine on uvloop where there is one."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(job)
    return uvloop.run(job)


async def _collect(plan: Plan, lake: Lake, state: Path, settings: CollectSettings, keys: KisSettings) -> dict[str, Any]:
    from hosu.cli.station import station

    async with station(plan, lake, state, settings, keys, handle_signals=True) as collector:
        return await watched(collector)


async def watched(collector: Collector) -> dict[str, Any]:
    """Runs a collector with its status block on the terminal, if stderr is one. Returns the last status."""
    if not sys.stderr.isatty():
        return await collector.run()
    from rich.live import Live

    with Live(block(collector.status()), console=stderr(), refresh_per_second=4, transient=True) as live:
        drawing = asyncio.create_task(_draw(live, collector), name="live-view")
        try:
            return await collector.run()
        finally:
            drawing.cancel()


async def _draw(live: Any, collector: Collector) -> None:
    while True:
        await asyncio.sleep(0.5)
        live.update(block(collector.status()))


def _repair(
    plan: Plan, lake: Lake, state: Path, settings: CollectSettings, keys: KisSettings, last: dict[str, Any]
) -> None:
    from hosu.cli.ledger_repair import repair_after_the_close
    from hosu.cli.repair_station import Means
    from hosu.collect.dates import day_text

    if last["business_date"] is not None:
        means = Means(plan.host, plan.credentials, lake, state, settings, keys)
        repair_after_the_close(means, day_text(last["business_date"]), last["started_us"])


def _build_bars(lake: Lake) -> None:
    from hosu.lake.ohlcv import build

    for built in build(lake, sort=sql_config()):
        note(f"bars of {built.date}: {built.minute_bars:,} one-minute and {built.day_bars:,} daily ones")


def _symbols(text: str, lake: Lake, simulator: str | None) -> list[str]:
    """The symbols meant by ``--symbols``, in order, each once.

    Raises:
        InputError: no such file, no universe, or something that is no symbol.
    """
    from hosu.market.instruments import validate_symbol

    if text == "all":
        listed = _universe(lake, simulator)
    elif (
        "," not in text and len(text) < _LONGEST_NAME and Path(text).is_file()
    ):  # a long list is no file name, and the system says so
        listed = _lines(Path(text))
    else:
        listed = [part.strip() for part in text.split(",")]
    chosen = list(dict.fromkeys(validate_symbol(symbol) for symbol in listed if symbol))
    if not chosen:
        raise typer.BadParameter("--symbols names none")
    return chosen


def _lines(file: Path) -> list[str]:
    from hosu.errors import InputError

    try:
        return [line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(str(file), f"is not UTF-8 text (byte {error.start})", "give one symbol a line") from None


def _universe(lake: Lake, simulator: str | None) -> list[str]:
    from hosu.cli.instruments import fetch
    from hosu.errors import InputError
    from hosu.lake.instruments import universe

    if simulator is not None:
        return [instrument.symbol for instrument in fetch(simulator)]
    known = universe(lake, "9999-12-31")
    if not known.num_rows:
        raise InputError("--symbols all", "the lake knows no instruments", "run: hosu instruments sync")
    return [str(symbol) for symbol in known.column("symbol").to_pylist()]
