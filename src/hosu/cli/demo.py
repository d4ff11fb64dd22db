"""``hosu demo``: the whole way at once, and a count that proves nothing was lost."""

from __future__ import annotations

import datetime as dt
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hosu.cli.output import cell, counted, note, size, stdout

if TYPE_CHECKING:
    from asyncio.subprocess import Process

    from hosu.lake.lake import Lake

_DAY: Final = dt.date(2026, 9, 15)
"""The first whole day after the exchange's reform of 2026-09-14: today's widths, pre- and after-market rules."""
_FEEDS: Final = ("trades", "quotes", "expected", "market_events")
_REPORT_S: Final = 30.0
"""How long the simulator may take to write its report after the day is over."""
_QUESTIONS: Final = (
    (
        "Which symbols traded most?",
        (
            "SELECT symbol, count(*) AS trades, sum(size) AS shares, round(sum(price * size) / 1e8, 1) AS value_100m "
            "FROM trades_unique GROUP BY symbol ORDER BY value_100m DESC LIMIT 5"
        ),
    ),
    (
        "What did the day look like?",
        (
            "SELECT symbol, open, high, low, close, volume, round(vwap, 1) AS vwap FROM processed_ohlcv "
            "WHERE session_set = 'regular' ORDER BY value DESC LIMIT 5"
        ),
    ),
    (
        "How wide was the spread, by hour?",
        (
            "SELECT hour(ts_event AT TIME ZONE 'Asia/Seoul') AS hour_kst, count(*) AS books, "
            "round(avg((ask_prices[1] - bid_prices[1]) / ask_prices[1]) * 10000, 2) AS spread_bp FROM quotes "
            "WHERE ask_prices[1] > 0 AND bid_prices[1] > 0 GROUP BY ALL ORDER BY hour_kst"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Show:
    """What the demo plays, and whether what it leaves is kept."""

    folder: Path
    symbols: int
    rate: float
    minutes: float
    models: bool
    signal: float
    kept: bool

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def report(self) -> Path:
        return self.folder / "sent.json"

    @property
    def records(self) -> int:
        return max(1_000, round(self.rate * self.minutes * 60))


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where it happens, and stays; default: a temporary folder."),
    ] = None,
    symbols: Annotated[int, typer.Option("--symbols", min=1, max=2000, help="How many symbols are traded.")] = 10,
    rate: Annotated[float, typer.Option("--rate", min=1, max=1_000_000, help="Market records a second.")] = 5_000,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, max=390, help="How long the market lasts.")] = 1.0,
    models: Annotated[
        bool, typer.Option("--models/--no-models", help="Go on to features, a model and its gate.")
    ] = True,
    signal: Annotated[
        float,
        typer.Option("--signal", min=0, max=1, help="What of the next day the history lets predict; 0.3: an edge."),
    ] = 0.0,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary folder.")] = False,
) -> None:
    """Simulator, collector, lake, SQL, features and a model at once: no key, no cloud, no Java. Ends with a report.

    A made-up trading day of Korean stocks passes in a minute, over the broker's real protocol. Exits 1 if a single
    record or share is missing, or if what was served differs from its replay by a bit. Then a model is trained on a
    history whose truth is known: of random walks the verdict must be that there is no edge. Whoever then serves
    predicts one more session, and is scored by it.
    """
    from hosu.errors import InputError

    if folder is not None and folder.exists() and any(folder.iterdir()):
        raise InputError(str(folder), "is not empty", "name a new folder")
    place = folder if folder is not None else Path(tempfile.mkdtemp(prefix="hosu-demo-"))
    place.mkdir(parents=True, exist_ok=True)
    kept = folder is not None or keep
    show = Show(place, symbols, rate, minutes, models, signal, kept)
    try:
        whole = play(show)
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)
    _say_where_next(show if kept else None)
    if not whole:
        raise typer.Exit(1)


def play(show: Show) -> bool:
    """Runs the demo and prints its report. Returns whether every record and share arrived.

    Raises:
        KeyboardInterrupt: Ctrl-C ended it, whether the collector took it in order or not.
    """
    import asyncio

    from hosu import logs
    from hosu.cli.collect import run_loop
    from hosu.lake.compact import compact
    from hosu.lake.lake import Lake
    from hosu.lake.ohlcv import build
    from hosu.settings import LogSettings, load

    began = time.monotonic()
    logs.configure(load(LogSettings).level, show.folder / "hosu.log", quiet=True)
    market = counted(show.symbols, "symbol")
    note(f"A trading day of {market}, {show.records:,} records at {show.rate:,.0f}/s, in {show.folder}")
    lake = Lake.open(str(show.lake))
    try:
        status = run_loop(_run(show, lake))
    except asyncio.CancelledError:
        status = {"reason": "SIGTERM"}
    if str(status["reason"]).startswith("SIG"):
        note("hosu: stopped before the day was over; what was durable is in the lake")
        if status["reason"] == "SIGINT":
            raise KeyboardInterrupt
        return False
    note("The day is over. Building bars, compacting ...")
    build(lake)
    before = _table_bytes(lake)
    compact(lake)
    sent = json.loads(show.report.read_text(encoding="utf-8"))
    whole = _report(lake, status, sent)
    _tables(lake, before)
    _answers(lake, show.lake if show.kept else None)
    whole = _go_on(show) and whole
    note(f"\nThe whole took {time.monotonic() - began:.0f} s.")
    return whole


def _go_on(show: Show) -> bool:
    from hosu.cli.demo_models import believe, may_train

    if not show.models:
        return True
    if not may_train():
        note("\nModels need more: pip install 'hosu[models]'")
        return True
    return believe(show.folder, show.lake, show.signal)


async def _run(show: Show, lake: Lake) -> dict[str, Any]:
    """Starts the simulator as a process of its own, and collects from it until it has ended."""
    import asyncio

    from hosu.cli.collect import watched
    from hosu.cli.station import Plan, credentials_of, host_of, registrations_of, station
    from hosu.kis.simulator.universe import default_symbols
    from hosu.settings import CollectSettings, KisSettings, load

    symbols = default_symbols(show.symbols)
    registrations = registrations_of(symbols, _FEEDS, "KRX")
    # The collector handles the signal only once it runs; the simulator must not outlive us before that either.
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    process = await _simulator(show, len(registrations))
    try:
        assert process.stdout is not None
        addresses = json.loads(await process.stdout.readline())
        plan = Plan(
            host_of("simulator", addresses["rest"], addresses["ws"]),
            credentials_of("simulator", load(KisSettings)),
            registrations,
            symbols,
            slots=len(registrations),
            predict=show.models,
        )
        settings = load(CollectSettings, {"state": show.lake / ".hosu"})
        async with station(
            plan, lake, show.lake / ".hosu", settings, load(KisSettings), handle_signals=True
        ) as collector:
            status = await watched(collector)
        if not str(status["reason"]).startswith("SIG"):
            async with asyncio.timeout(_REPORT_S):
                await process.wait()
        return status
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _simulator(show: Show, registrations: int) -> Process:
    import asyncio

    options = {
        "--date": _DAY,
        "--symbols": show.symbols,
        "--records": show.records,
        "--rate": show.rate,
        "--slots": registrations,
        "--expect": registrations,
        "--report": show.report,
    }
    words = [str(word) for option in options.items() for word in option]
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hosu", "simulator", "--synthetic", *words,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def _report(lake: Lake, status: dict[str, Any], sent: dict[str, Any]) -> bool:
    from rich.table import Table

    from hosu.lake.sql import Session

    with Session(lake) as session:
        rows = {name: _count(session, name) for name in (*_FEEDS, "quarantine")}
        shares = {
            row["symbol"]: row["shares"]
            for row in session.query(
                "SELECT symbol, sum(size)::BIGINT AS shares FROM trades GROUP BY symbol"
            ).to_pylist()
        }
    wanted = {key.split(":")[1]: facts["shares"] for key, facts in sent["symbols"].items() if facts.get("trades")}
    arrived, logged = sum(rows.values()), _logged(lake)
    equal = sum(shares.get(symbol) == count for symbol, count in wanted.items())
    whole = bool(sent["records"] == logged == arrived and wanted and wanted == shares)
    table = Table(title="Was anything lost?", show_header=False, title_justify="left", show_edge=False)
    table.add_row("sent by the simulator", f"{sent['records']:,} records")
    table.add_row("in the log", f"{logged:,} records, {status['log_records']:,} messages")
    filed = arrived - rows["quarantine"]
    table.add_row("in the lake", f"{filed:,} rows + {rows['quarantine']:,} quarantined = {arrived:,}")
    table.add_row(
        "shares traded, to the share", f"equal for {equal} of {len(wanted)} symbols, {sent['shares']:,} in all"
    )
    verdict = "nothing was lost" if whole else "SOMETHING IS MISSING"
    table.add_row("so", f"[bold {'green' if whole else 'red'}]{verdict}[/]")
    latency = status["latency_us"]
    through = status["records"] / max(status["runtime_s"], 0.001)
    table.add_row("throughput", f"{through:,.0f} records/s over {status['runtime_s']:.0f} s, start and end included")
    ms = " / ".join(f"{latency[name] / 1000:.1f}" for name in ("p50", "p99", "max") if latency[name])
    table.add_row("socket to durable", f"{ms} ms (median / 99th percentile / worst)")
    _print(table)
    return whole


def _logged(lake: Lake) -> int:
    """Market records in the archived log, counted from the frames themselves: ``flag|TR id|count|fields``."""
    from hosu.collect.block import RecordKind
    from hosu.collect.segment import read_segment
    from hosu.lake.archive import FramesArchive

    archive, count = FramesArchive(lake), 0
    for entry in archive.entries():
        for block in read_segment(archive.read(entry.path)):
            frames = (block.payload(i) for i in range(len(block)) if block.kind[i] == RecordKind.FRAME)
            count += sum(int(frame.split(b"|", 3)[2]) for frame in frames if not frame.startswith(b"{"))
    return count


def _count(session: Any, table: str) -> int:
    return int(session.query(f"SELECT count(*) AS n FROM {table}").column("n")[0].as_py())  # noqa: S608  our own names


def _table_bytes(lake: Lake) -> dict[str, int]:
    from hosu.lake.tables import TABLES

    return {name: sum(file.size for file in table.files()) for name in TABLES if (table := lake.find(name)) is not None}


def _tables(lake: Lake, before: dict[str, int]) -> None:
    from rich.table import Table

    shown = Table("table", "rows", "files", "landed", "compacted", "bytes a row", title="What the lake holds")
    for column in shown.columns[1:]:
        column.justify = "right"
    shown.title_justify = "left"
    for name, landed in before.items():
        found = lake.find(name)
        files = [] if found is None else found.files()
        rows, now = sum(file.rows for file in files), sum(file.size for file in files)
        if rows:
            shown.add_row(name, f"{rows:,}", f"{len(files)}", size(landed), size(now), f"{now / rows:.1f}")
    _print(shown)


def _answers(lake: Lake, kept: Path | None) -> None:
    """Questions, their answers, and the command that gives them again where the lake is ``kept``, else its SQL."""
    from rich.table import Table

    from hosu.lake.sql import Session

    with Session(lake) as session:
        for question, sql in _QUESTIONS:
            rows = session.query(sql).to_pylist()
            table = Table(*(rows[0] if rows else ("nothing",)), title=question, title_justify="left")
            for row in rows:
                table.add_row(*map(cell, row.values()))
            _print(table)
            command = sql if kept is None else f'hosu sql --lake {shlex.quote(str(kept))} "{sql}"'
            stdout().print(f"  {command}\n", soft_wrap=True)


def _print(table: Any) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    console.print()
    console.print(table)


def _say_where_next(kept: Show | None) -> None:
    if kept is None:
        note("Keep the next one and look around:  hosu demo --dir my-demo  (make demo ARGS='--dir my-demo')")
        return
    lake = f"--lake {shlex.quote(str(kept.lake))}"
    note("Where to go next:")
    note(f'  hosu sql {lake} "FROM trades LIMIT 5"')
    note(f"  hosu lake tables {lake}        hosu lake verify {lake}")
    frames, again = (shlex.quote(str(kept.folder / name)) for name in ("lake/raw/frames", "again"))
    note(f"  hosu replay {frames} --lake {again}   # the same day, from the archived frames")
    note("  hosu doctor                    # what is missing for collecting the real market")
