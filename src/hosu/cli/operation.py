"""What surrounds collecting while ``hosu collect`` runs: logs, locks, health, disks, and day after day if wanted."""

from __future__ import annotations

import faulthandler
import os
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hosu.cli.output import note

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hosu.cli.attended import Attendant
    from hosu.cli.collecting import Work
    from hosu.cli.repair_station import Means
    from hosu.lake.lake import Lake
    from hosu.market.agenda import Turn
    from hosu.settings import CollectSettings, KisSettings


@dataclass(frozen=True, slots=True)
class Operation:
    """How it is done: ``lead_min`` minutes before each session, None for once, now; ``health_port`` None for no
    endpoint, 0 for a free port."""

    lake: Lake
    state: Path
    settings: CollectSettings
    manners: KisSettings
    lead_min: float | None
    health_port: int | None
    bars: bool


def operate(operation: Operation, work: Work, today: Callable[[], Work]) -> dict[str, Any]:
    """Collects what ``work`` says, once, or what ``today`` says on each day; returns the last status.

    Raises:
        LockedError: another process collects into this state folder.
        PortInUseError, InputError: the port for health cannot be had.
        HosuError: what ended the collection.
    """
    from hosu.locks import FileLock

    lock = FileLock(operation.state / "collect.lock", f"the state folder {operation.state}")
    # First, for whoever holds it writes the log file and the health file.
    with lock, _surroundings(operation, work) as attendant:

        def collect(work: Work) -> dict[str, Any]:
            return _collected(operation, work, attendant)

        if operation.lead_min is not None:
            return _daily(operation, work, today, collect, attendant)
        last = collect(work)
        _finish_unless_stopped(operation, work, last, attendant)
        return last


def _collected(operation: Operation, work: Work, attendant: Attendant) -> dict[str, Any]:
    """Collects until the end; returns the last status."""
    from hosu.cli.collecting import collect_all
    from hosu.cli.daily import end_on_signals
    from hosu.errors import ShardsFailedError

    note(f"hosu: {work.said}")
    attendant.enter("starting")
    try:
        return collect_all(work, operation.lake, operation.state, operation.settings, operation.manners, attendant)
    except ShardsFailedError as error:  # the others have ended in order, and what they brought is worth its bars
        end_on_signals()
        _finish_unless_stopped(operation, work, error.status, attendant)
        raise
    finally:
        end_on_signals()


def _finish_unless_stopped(operation: Operation, work: Work, last: dict[str, Any], attendant: Attendant) -> None:
    from hosu.collect.dates import day_text

    if not str(last.get("reason", "")).startswith("SIG"):
        date = last.get("business_date")
        _finish(operation, work, None if date is None else day_text(date), last.get("started_us"), attendant)


def _finish(operation: Operation, work: Work, day: str | None, began_us: int | None, attendant: Attendant) -> None:
    """What is done when a day is over: its gaps are asked for once more, then its bars are built. ``began_us`` is when
    its collection began; None where it is not known."""
    from hosu.cli.ledger_repair import repair_after_the_close

    if work.wish.repair and day is not None:
        attendant.enter("repairing")
        repair_after_the_close(_means(operation, work), day, began_us or 0)
    if operation.bars:
        attendant.enter("building bars")
        build_bars(operation.lake)


def _daily(
    operation: Operation,
    work: Work,
    today: Callable[[], Work],
    collect: Callable[[Work], dict[str, Any]],
    attendant: Attendant,
) -> dict[str, Any]:
    from hosu.cli.collect import run_loop
    from hosu.cli.daily import Days
    from hosu.clock import WallClock
    from hosu.market.day_plan import Scope

    assert operation.lead_min is not None
    host = work.wish.host
    return Days(
        Scope(work.wish.scope),
        WallClock(),
        attendant,
        lead_s=operation.lead_min * 60,
        prepare=[
            (
                "fetching the instruments",
                lambda turn: fetch_instruments(
                    operation.lake, host.rest if host.name == "simulator" else None, turn.day
                ),
            ),
            ("replacing polled minutes", lambda turn: _replace_polled_minutes(operation, work, turn)),
        ],
        collect=lambda _: collect(today()),
        finish=lambda turn: _finish(operation, work, turn.day.isoformat(), None, attendant),
        run_loop=run_loop,
    ).run()


def _replace_polled_minutes(operation: Operation, work: Work, turn: Turn) -> None:
    from hosu.cli.daily import leave_where_asked
    from hosu.cli.morning import replace_polled_minutes
    from hosu.clock import WallClock

    if work.wish.poll and work.wish.repair:
        within_s = (turn.open_us - WallClock().now_us()) / 1e6
        report = replace_polled_minutes(_means(operation, work), turn.day, within_s)
        leave_where_asked(None if report is None else report.stopped)


def _means(operation: Operation, work: Work) -> Means:
    """The first key's, for what is asked for when no collecting goes on."""
    from hosu.cli.repair_station import Means

    key = work.keys[0]
    return Means(key.host, key.credentials, operation.lake, operation.state, operation.settings, operation.manners)


@contextmanager
def _surroundings(operation: Operation, work: Work) -> Iterator[Attendant]:
    from hosu.cli.attended import FILE, Attendant
    from hosu.cli.disk import DiskWatch
    from hosu.cli.endpoint import Endpoint
    from hosu.cli.notify import Notifier
    from hosu.clock import SystemClock, WallClock
    from hosu.collect.disk import DiskConfig
    from hosu.market.agenda import trading_for_s
    from hosu.market.day_plan import Scope

    _begin_logs(operation.state)
    settings, state = operation.settings, operation.state
    scope, simulated = Scope(work.wish.scope), work.wish.host.name == "simulator"
    budget = DiskConfig(settings.disk_reserve_mb << 20, settings.disk_warn_days, settings.raw_budget_bytes)
    disk = DiskWatch(state, operation.lake, budget, WallClock())
    notifier = Notifier.of_environment(os.environ)
    if notifier.watchdog_s is not None:
        faulthandler.enable()  # the watchdog ends us by SIGABRT: the journal shall have what hung where
    attendant = Attendant(
        state / FILE,
        notifier,
        SystemClock(),
        open_for=(lambda _: None) if simulated else lambda now_us: trading_for_s(now_us, scope),
        disk=lambda: disk.report,
    )
    with ExitStack() as stack:
        if operation.health_port is not None:
            endpoint = Endpoint(operation.health_port, attendant.health)
            stack.callback(endpoint.close)
            note(f"hosu: health at http://127.0.0.1:{endpoint.port}/health")
        disk.start()
        stack.callback(disk.stop)
        yield stack.enter_context(attendant)


def _begin_logs(state: Path) -> None:
    from hosu import logs
    from hosu.settings import LogSettings, load

    settings = load(LogSettings)
    as_json = settings.as_json(sys.stderr.isatty())
    logs.configure(settings.level, state / "hosu.log", quiet=sys.stderr.isatty(), as_json=as_json)
    # The shards' stderr is a pipe to us: whether we write JSON for a reader or lines for a person, only we know.
    os.environ["HOSU_LOG_FORMAT"] = "json" if as_json else "text"


def fetch_instruments(lake: Lake, rest: str | None, day: dt.date) -> None:
    """The master files of the broker, or of the simulator at ``rest``, into the lake as the universe of a day.

    Raises:
        HosuError: they cannot be had, or the lake refuses them.
    """
    from hosu.cli.instruments import fetch
    from hosu.lake.instruments import write_universe
    from hosu.market.instruments import to_arrow

    count = write_universe(lake, day.isoformat(), to_arrow(day, fetch(rest)))
    note(f"hosu: {count:,} instruments as of {day}")


def require_instruments(lake: Lake, rest: str | None) -> None:
    """Fetches today's instruments where the lake does not have them: what can be traded, and from which base prices.

    Where they cannot be had, that is said: who names symbols one by one needs none, and goes on with an older list.
    """
    from hosu.clock import WallClock
    from hosu.errors import HosuError
    from hosu.market.calendar import business_day

    today = business_day(WallClock().now_us())[0]
    table = lake.find("instruments")
    if table is not None and today.isoformat() in table.dates():
        return
    try:
        fetch_instruments(lake, rest, today)
    except HosuError as error:
        note(f"hosu: {error}; going on without instruments of today")


def build_bars(lake: Lake) -> None:
    """Builds the bars of all days that have got new trades, and says which."""
    from hosu.cli.options import sql_config
    from hosu.lake.ohlcv import build

    for built in build(lake, sort=sql_config()):
        note(f"bars of {built.date}: {built.minute_bars:,} one-minute and {built.day_bars:,} daily ones")
