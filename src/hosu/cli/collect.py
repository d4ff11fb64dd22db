"""``hosu collect``: from the broker into the lake."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake, state_folder
from hosu.cli.output import Format, emit_json, note, stderr, stdout
from hosu.cli.status import block

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.cli.collecting import Work
    from hosu.cli.operation import Operation
    from hosu.kis.rest import Scope


def collect(
    kis: Annotated[str, typer.Option("--kis", metavar="live|paper|simulator", help="Whom to ask.")] = "live",
    rest: Annotated[str | None, typer.Option("--rest", metavar="URL", help="A simulator's REST address.")] = None,
    ws: Annotated[str | None, typer.Option("--ws", metavar="URL", help="A simulator's WebSocket address.")] = None,
    symbols: Annotated[
        str,
        typer.Option(
            "--symbols",
            metavar="A,B|FILE|market:M|top:N|all",
            help="A list, a file of one a line, a market, the most traded, or all; what comes first is streamed first.",
        ),
    ] = "all",
    feeds: Annotated[
        str, typer.Option("--feeds", metavar="A,B", help="Of trades, quotes, expected, market_events.")
    ] = "trades,quotes",
    scope: Annotated[str, typer.Option("--scope", metavar="KRX|NXT|UN", help="Which venue, or both as one.")] = "KRX",
    keys: Annotated[
        str | None,
        typer.Option("--keys", metavar="N|FILE", help="How many of the keys set, or a file of keys; default: all set."),
    ] = None,
    slots: Annotated[int, typer.Option("--slots", min=1, help="Registrations the session of a key may hold.")] = 41,
    exchanges: Annotated[
        int,
        typer.Option("--exchanges", min=0, max=60, help="Slots an hour and key that may go to symbols trading more."),
    ] = 0,
    until_idle: Annotated[
        float | None,
        typer.Option(
            "--until-idle", metavar="S", min=0.1, help="End so many seconds after the last data (60 if none)."
        ),
    ] = None,
    bars: Annotated[bool, typer.Option("--bars/--no-bars", help="Build bars when the day is over.")] = True,
    poll: Annotated[bool, typer.Option("--poll/--no-poll", help="Take REST snapshots too.")] = True,
    poll_every: Annotated[
        float, typer.Option("--poll-every", metavar="S", min=0.1, help="Interval of polls of what finds no slot.")
    ] = 1.0,
    repair: Annotated[bool, typer.Option("--repair/--no-repair", help="Ask for missing trades over REST.")] = True,
    features: Annotated[
        bool, typer.Option("--features/--no-features", help="Serve features at each minute's close.")
    ] = True,
    seconds: Annotated[
        bool, typer.Option("--seconds/--no-seconds", help="Serve the order book's features of each second too.")
    ] = False,
    predict: Annotated[
        bool, typer.Option("--predict/--no-predict", help="Let whoever serves predict at each minute's close.")
    ] = False,
    durable_fd: Annotated[
        int | None,
        typer.Option("--durable-fd", metavar="N", help="Write each durable LSN as a line to this descriptor."),
    ] = None,
    daily: Annotated[
        bool, typer.Option("--daily", help="Each trading day, from before its first order book to after its last.")
    ] = False,
    lead: Annotated[
        float, typer.Option("--lead", metavar="MIN", min=0, max=360, help="With --daily: so long before the session.")
    ] = 30.0,
    health_port: Annotated[
        int | None,
        typer.Option("--health-port", metavar="N", min=0, max=65535, help="Answer /alive, /ready, /health here."),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Only say what would be covered how.")] = False,
    state: Annotated[Path | None, typer.Option("--state", help="Folder of log and status (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """From the broker into the lake, until the day is over, a signal comes, or --until-idle.

    The first Ctrl-C stops receiving and commits what came; a second leaves at once. Nothing durable is lost either way:
    the next start goes on from the log. With several keys (LIVE_KIS_APP_KEY_2 and so on) each is a process of its own.
    With --until-idle it exits 1 if no connection ever stood.
    With --daily it goes on for weeks, and tells systemd how it stands where that asks (hosu service print).
    """
    from hosu.cli.collecting import Wish, planned
    from hosu.cli.coverage import emit_plan
    from hosu.cli.daily import end_on_signals
    from hosu.cli.keys import keys_of, unusual_lengths
    from hosu.cli.operation import Operation, require_instruments
    from hosu.cli.options import lake_root
    from hosu.cli.station import host_of
    from hosu.cli.universe import symbols_of
    from hosu.settings import CollectSettings, KisSettings, load

    _require_scope(scope)
    for wanted, option in ((predict, "--predict answers on"), (seconds, "--seconds serves")):
        if wanted:
            _require_features(option, scope, features)
    if daily and until_idle is not None:
        raise typer.BadParameter("--until-idle ends the work, --daily goes on with it: choose one")
    end_on_signals()
    manners = load(KisSettings)
    host, credentials = host_of(kis, rest, ws), keys_of(kis, manners, keys)
    if odd := unusual_lengths(kis, credentials):
        note(f"hosu: {odd}")
    _require_descriptor(durable_fd, len(credentials))
    settings = load(CollectSettings, {"state": state})
    opened = None if plan else open_lake(lake, create=True)
    folder = state_folder(lake_root(lake), settings)
    simulator = host.rest if kis == "simulator" else None
    if daily and opened is not None:
        require_instruments(opened, simulator)

    def chosen() -> list[str]:  # on another day others may be traded
        return symbols_of(symbols, lambda: opened or open_lake(lake), simulator)

    wish = Wish(
        host,
        credentials,
        chosen(),
        tuple(feed.strip() for feed in feeds.split(",")),
        cast("Scope", scope),
        slots,
        until_idle_s=until_idle,
        poll=poll and kis != "paper",
        poll_every_s=poll_every,
        exchanges=exchanges,
        durable_fd=durable_fd,
        repair=repair,
        features=features,
        seconds=seconds,
        predict=predict,
    )
    work = planned(wish, folder, manners)
    if opened is None:
        emit_plan(work.plan, wish.poll_every_s, format_)
        return
    operation = Operation(opened, folder, settings, manners, lead if daily else None, health_port, bars=bars)
    _operate(operation, work, lambda: planned(replace(wish, symbols=chosen()), folder, manners), format_)


def _operate(operation: Operation, work: Work, today: Callable[[], Work], format_: Format) -> None:
    from hosu.cli.operation import operate
    from hosu.errors import ShardsFailedError

    try:
        last = operate(operation, work, today)
    except ShardsFailedError as error:  # the others have ended in order
        _show(error.status, format_)
        raise
    _show(last, format_)
    if work.wish.until_idle_s is not None:
        _require_connection(work, last)


def _require_connection(work: Work, last: dict[str, Any]) -> None:
    """Nothing that came in vain is no success.

    Raises:
        BrokerUnreachableError: nothing was received because no connection ever stood.
    """
    from hosu.errors import BrokerUnreachableError

    reason = str(last.get("reason"))
    streams = any(each.registrations for each in work.keys)
    if streams and "no market data" in reason and not last.get("connects"):
        raise BrokerUnreachableError(work.wish.host.ws, f"no connection ever stood; {reason}")


def _require_scope(scope: str) -> None:
    if scope not in ("KRX", "NXT", "UN"):
        raise typer.BadParameter("--scope is KRX, NXT or UN")


def _require_features(option: str, scope: str, features: bool) -> None:
    name = option.partition(" ")[0]
    if not features:
        raise typer.BadParameter(f"{option} features, and --no-features makes none: leave out one of them")
    if scope != "KRX":
        fault = f"{option} features, which are made of KRX alone, and --scope is {scope}"
        raise typer.BadParameter(f"{fault}: leave out {name}, or collect KRX in a process of its own")


def _require_descriptor(descriptor: int | None, keys: int) -> None:
    if descriptor is None:
        return
    if not _is_open(descriptor):
        raise typer.BadParameter(f"--durable-fd {descriptor} is not open in this process")
    if keys > 1:
        raise typer.BadParameter("--durable-fd needs a single key: each has a log of its own")


def _show(last: dict[str, Any], format_: Format) -> None:
    """The last status; none where a signal came before the first day."""
    if format_ is Format.json:
        emit_json(last)
    elif last:
        stdout().print(block(last))


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
        import asyncio

        return asyncio.run(job)
    return uvloop.run(job)


class Watched(Protocol):
    """What runs and tells how it stands: a collector, or several."""

    async def run(self) -> dict[str, Any]: ...

    def status(self) -> dict[str, Any]: ...


async def watched(collector: Watched) -> dict[str, Any]:
    """Runs a collector with its status block on the terminal, if stderr is one. Returns the last status."""
    if not sys.stderr.isatty():
        return await collector.run()
    import asyncio

    from rich.live import Live

    with Live(block(collector.status()), console=stderr(), refresh_per_second=4, transient=True) as live:
        drawing = asyncio.create_task(_draw(live, collector), name="live-view")
        try:
            return await collector.run()
        finally:
            drawing.cancel()


async def _draw(live: Any, collector: Watched) -> None:
    import asyncio

    while True:
        await asyncio.sleep(0.5)
        live.update(block(collector.status()))
