"""``hosu status``: what the collector of a lake is doing, and the block that shows it."""

from __future__ import annotations

import time
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.options import FormatOption, LakeOption, lake_root, state_folder
from hosu.cli.output import Format, counted, emit_json, size, stderr, stdout

if TYPE_CHECKING:
    from rich.console import RenderableType


def status(
    watch: Annotated[bool, typer.Option("--watch", help="Keep showing it, until Ctrl-C.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="One sentence; exits 1 unless the collector does its work.")
    ] = False,
    alive: Annotated[
        bool, typer.Option("--alive", help="With --check: only unless it lives, for who would restart it.")
    ] = False,
    state: Annotated[Path | None, typer.Option("--state", help="The collector's folder (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """What the collector is doing: run time, records, rate, success, latency, durable LSN, buffers, reconnects."""
    from hosu.cli import checking
    from hosu.collect.status import StatusFile
    from hosu.settings import CollectSettings, load

    folder = state_folder(lake_root(lake), load(CollectSettings, {"state": state}))
    if check:
        well, sentence = checking.check(folder, alive_only=alive)
        print(f"hosu: {'OK' if well else 'NOT OK'}: {sentence}")
        raise typer.Exit(0 if well else 1)
    file = StatusFile(folder / "status.json")

    def now() -> dict[str, Any]:
        return checking.with_health(checking.checked(file.read()), folder)

    if not watch:
        _show(now(), format_)
        return
    from rich.live import Live

    with Live(block(now()), console=stderr(), refresh_per_second=4) as live:
        while True:
            time.sleep(0.5)
            live.update(block(now()))


def _show(found: dict[str, Any], format_: Format) -> None:
    if format_ is Format.json:
        emit_json(found)
    else:
        stdout().print(block(found))


def block(found: dict[str, Any]) -> RenderableType:
    """The status as two columns of facts under a headline.

    Raises:
        InputError: a fact is missing, or none that a collector of this hosu writes.
    """
    from hosu.errors import InputError

    try:
        return _block(found)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        fault = f"is not what this hosu writes ({type(error).__name__}: {error})"
        raise InputError("the status", fault, "ask with the hosu that collects, or start the collector again") from None


def _block(found: dict[str, Any]) -> RenderableType:
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    facts = Table.grid(padding=(0, 3))
    left, right = _left(found), _right(found)
    for one, other in zip_longest(left, right, fillvalue=("", "")):
        facts.add_row(Text(one[0], "dim"), one[1], Text(other[0], "dim"), other[1])
    health = found.get("health") or {}
    fault = found.get("last_error") or "; ".join(f"{name}: {text}" for name, text in found.get("trouble", {}).items())
    title = f"hosu: {found['state']}" + (f", {found['reason']}" if found.get("reason") else "")
    if health.get("running") and health.get("state") not in (None, found["state"]):
        title = f"hosu: {health['state']}"  # such as waiting for the next day
    fault = fault or "; ".join(health.get("warnings") or ())
    return Panel(facts, title=title, subtitle=fault or None, border_style="red" if fault else "cyan", expand=False)


def _latency(found: dict[str, Any], kind: str) -> str:
    told = found.get(kind) or {}
    return " / ".join(_ms(told.get(name)) for name in ("p50", "p99", "max"))


def _left(found: dict[str, Any]) -> list[tuple[str, str]]:
    rate = found.get("success_rate")
    return [
        ("run time", _duration(found["runtime_s"])),
        ("records", f"{found['records']:,}"),
        ("records/s", f"{found['records_per_s']:,.0f}"),
        ("success", "-" if rate is None else f"{rate:.4%}"),
        ("quarantined", f"{found['quarantined']:,}"),
        ("socket to durable", _latency(found, "latency_us")),
        ("socket to sinks", _latency(found, "sink_latency_us")),
        ("business date", _date(found)),
        ("streamed / polled / not", _covered(found)),
        ("wal id", str(found.get("wal_id") or "-")),
        ("last market data", _frame_age(found)),
    ]


def _right(found: dict[str, Any]) -> list[tuple[str, str]]:
    buffers = found.get("buffers", {})
    registered = sum(facts.get("registered", 0) for facts in found.get("connections", {}).values())
    return [
        ("durable LSN", f"{found['durable_lsn']:,}"),
        ("log", f"{counted(found['commits'], 'commit')}, {size(found['bytes_written'])}"),
        ("sinks", _sinks(found)),
        ("log queue", size(buffers.get("log_queue_bytes", 0))),
        ("behind the log", _by_name(buffers.get("lag_records", {}))),
        ("not committed", _by_name(buffers.get("uncommitted_records", {}))),
        ("registrations", f"{registered:,}"),
        ("reconnects", f"{found['reconnects']:,}"),
        ("polled every", _polled_every(found)),
        ("ledger", _ledger(found)),
        ("disk", _disk(found)),
    ]


def _ledger(found: dict[str, Any]) -> str:
    facts = found.get("ledger")
    if not facts:
        return "-"
    if not facts["open_gaps"]:
        return "no gap open"
    return f"{counted(facts['open_gaps'], 'gap')} open, {counted(facts['missing_shares'], 'share')} missing"


def _sinks(found: dict[str, Any]) -> str:
    counts = found.get("sinks", {}).items()
    said = (f"{name} {counted(each['commits'], 'commit')}, {size(each['bytes'])}" for name, each in counts)
    return "; ".join(said) or "-"


def _by_name(records: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in records.items()) or "-"


def _covered(found: dict[str, Any]) -> str:
    """Symbols by how they are covered, and how the shards are where there are several."""
    coverage = found.get("coverage") or {}
    if not coverage:
        return "-"
    said = " / ".join(f"{coverage[name]:,}" for name in ("streamed", "polled", "not_covered"))
    states = [str(shard["state"]) for shard in found.get("shards", ())]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    return f"{said} ({len(states)} shards: {counts})" if states else said


def _polled_every(found: dict[str, Any]) -> str:
    """Median and longest interval of the last polls; says when the calls do not suffice for the interval wanted."""
    coverage = found.get("coverage") or {}
    polls = coverage if "median_s" in coverage else (coverage.get("polls") or {}).get("polled") or {}
    if polls.get("median_s") is None:
        return "-"
    times = coverage.get("expected_times") or 1.0
    short = f", calls allow {times:,.1f} times what is wanted" if times > 1 else ""
    return f"{polls['median_s']:,.1f} s, longest {polls['max_s']:,.1f} s{short}"


def _frame_age(found: dict[str, Any]) -> str:
    age_s = (found.get("health") or {}).get("last_frame_age_s")
    return "-" if age_s is None else f"{_duration(age_s)} ago"


def _disk(found: dict[str, Any]) -> str:
    """Free room, and how long it lasts where that is known; the fuller disk where there are two."""
    disk = (found.get("health") or {}).get("disk") or {}
    if not disk.get("disks"):
        return "-"
    free = min(each["free_bytes"] for each in disk["disks"])
    days = disk.get("days_left")
    return f"{size(free)} free" + ("" if days is None else f", for {days:,.1f} days")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _ms(microseconds: float | None) -> str:
    return "-" if microseconds is None else f"{microseconds / 1000:,.1f} ms"


def _date(found: dict[str, Any]) -> str:
    from hosu.collect.dates import day_text

    date = found.get("business_date")
    return day_text(date) if date else "-"
