"""``hosu coverage``: what is covered how, by which key, at what interval, and what is not and why."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.options import FormatOption, LakeOption, lake_root, state_folder
from hosu.cli.output import Format, emit_json, emit_rows, note

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.collect.subscriptions import Plan

_SHOWN = ("symbol", "how", "key", "feeds", "wanted_s", "last_s", "median_s", "max_s", "polls", "why")


def coverage(
    how: Annotated[
        str | None, typer.Option("--how", metavar="streamed|polled|not-covered", help="Only these symbols.")
    ] = None,
    state: Annotated[Path | None, typer.Option("--state", help="The collector's folder (HOSU_STATE).")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """What the collector of a lake covers how: streamed, polled (interval wanted and achieved), not covered and why.

    Intervals are in seconds, over the last 64 polls of a symbol. Streamed symbols are polled too, rarely, as witnesses.
    Of a collector that has ended it is what it covered, as it last reported.
    """
    from hosu.settings import CollectSettings, load

    if how not in (None, "streamed", "polled", "not-covered"):
        raise typer.BadParameter("--how is streamed, polled or not-covered")
    found = read_coverage(state_folder(lake_root(lake), load(CollectSettings, {"state": state})))
    rows = [row for row in found["symbols"] if how is None or row["how"] == how.replace("-", " ")]
    if format_ is Format.json:
        emit_json({**found, "symbols": rows})
        return
    emit_rows(({**row, "feeds": ", ".join(row["feeds"])} for row in rows), format_, columns=_SHOWN)
    for key in found["keys"]:
        note(_told(key))


def emit_plan(plan: Plan, poll_every_s: float, format_: Format) -> None:
    """A plan that nobody has carried out yet."""
    keys = [
        {
            "key": share.key.name,
            "slots": share.key.slots,
            "registrations": len(share.registrations),
            "streamed": len(share.streamed),
            "polled": len(share.polled),
            "calls_per_s": round(share.key.calls_per_s, 3),
            "expected_s": round(_expected_s(len(share.polled), share.key.calls_per_s, poll_every_s), 3),
        }
        for share in plan.shares
    ]
    rows: list[dict[str, Any]] = [
        {"symbol": each.symbol, "how": each.how, "key": each.key, "feeds": list(each.tr_ids), "why": each.why}
        for each in plan.symbols
    ]
    if format_ is Format.json:
        emit_json({"keys": keys, "symbols": rows})
        return
    emit_rows(({**row, "feeds": ", ".join(row["feeds"])} for row in rows), format_, columns=tuple(rows[0]))
    for key in keys:
        note(
            f"key {key['key']}: {key['streamed']} streamed with {key['registrations']} of {key['slots']} slots, "
            f"{key['polled']} polled every {key['expected_s']} s at {key['calls_per_s']} calls/s"
        )


def read_coverage(state: Path) -> dict[str, Any]:
    """The reports of all keys of a state folder as one: ``keys`` has each key's facts, ``symbols`` every symbol with
    its ``key``; ``streamed``, ``polled``, ``not_covered`` count them.

    A key's ``report_age_s`` is how old its report is; ``ended`` says how its collector did, and is None while it runs:
    a report of one that ended says what was, but that nothing is connected any more.

    Raises:
        InputError: nothing was collected from this folder.
    """
    from hosu.cli.collecting import PLAN, read_plan

    plan = read_plan(state / PLAN)
    reports = {key: _read(state / folder / "coverage.json") for key, folder in plan["folders"].items()}
    rows = [{**row, "key": key} for key, report in reports.items() for row in report.get("symbols", [])]
    known = {row["symbol"] for row in rows}
    rows += [
        _row(symbol, key, "not covered", "its key has not reported yet")
        for symbol, key in plan.get("keys", {}).items()
        if symbol not in known
    ]
    rows += [_row(symbol, None, "not covered", why) for symbol, why in plan.get("not_covered", {}).items()]
    hows = [row["how"] for row in rows]
    return {
        "scope": plan.get("scope"),
        "feeds": plan.get("feeds"),
        "poll_every_s": plan.get("poll_every_s"),
        "streamed": hows.count("streamed"),
        "polled": hows.count("polled"),
        "not_covered": hows.count("not covered"),
        "keys": [
            {
                "key": key,
                **{name: value for name, value in report.items() if name not in ("symbols", "key")},
                **(_standing(state / plan["folders"][key], report) if report else {}),
            }
            for key, report in reports.items()
        ],
        "symbols": rows,
    }


def _standing(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """What has become of a key's collector since it reported."""
    from hosu.cli import checking
    from hosu.collect.status import StatusFile
    from hosu.errors import InputError

    try:
        status = checking.checked(StatusFile(folder / "status.json").read())
    except InputError:
        status = {}  # it has not said anything of itself yet
    state, at_us = status.get("state", checking.AT_WORK[0]), report.get("at_us")
    ended = None if state in checking.AT_WORK else ": ".join(filter(None, (state, status.get("reason"))))
    return {
        "connected": ended is None and bool(report.get("connected")),
        "ended": ended,
        "report_age_s": round(max(0.0, time.time() - at_us / 1e6), 1) if isinstance(at_us, int) else None,
    }


def _expected_s(symbols: int, calls_per_s: float, wanted_s: float) -> float:
    from hosu.collect.polling import SYMBOLS_A_CALL

    return max(wanted_s, symbols / (calls_per_s * SYMBOLS_A_CALL)) if symbols and calls_per_s else wanted_s


def _read(path: Path) -> dict[str, Any]:
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it has not reported yet
    return report if isinstance(report, dict) else {}


def _row(symbol: str, key: str | None, how: str, why: str) -> dict[str, Any]:
    unknown: Sequence[str] = ("wanted_s", "last_s", "median_s", "max_s", "age_s", "polls", "missed")
    return {"symbol": symbol, "how": how, "feeds": [], "why": why, **dict.fromkeys(unknown), "key": key}


def _told(key: Mapping[str, Any]) -> str:
    """One key's facts as a sentence."""
    from hosu.cli import checking

    if "registered" not in key:
        return f"key {key['key']}: has not reported yet"
    polled = (key.get("polls") or {}).get("polled") or {}
    age, ended = key.get("report_age_s"), key.get("ended")
    were = "" if ended is None else "were "
    said = f"key {key['key']}: {key['registered']} of {key['limit']} slots {were}in use, {key['calls_per_s']} calls/s"
    if polled.get("symbols"):
        said += f", {polled['symbols']} polled: median {polled['median_s']} s, longest {polled['max_s']} s"
    if (key.get("expected_times") or 1) > 1:
        said += f"; its calls allow{'' if ended is None else 'ed'} {key['expected_times']} times the interval wanted"
    said = f"{said}; {key['trouble']}" if key.get("trouble") else said
    reported = "" if age is None else f"reported {_ago(age)} ago"
    if ended is not None:
        return f"{said}; its collector has ended ({ended}), and {reported or 'reported before'}"
    return f"{said}; {reported}" if age is not None and age > checking.OLD_S else said


def _ago(seconds: float) -> str:
    for unit, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:,.0f} {name}"
    return f"{seconds:,.0f} s"
