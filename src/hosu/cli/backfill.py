"""``hosu backfill``: bars of the past, over REST or from a file."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of
from hosu.cli.output import Format

if TYPE_CHECKING:
    from hosu.kis.rest import Scope


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
    from hosu.cli.backfill_ask import AskOptions, ask

    last = None if to is None else day_of(to)
    whom = (kis, rest)
    ask(
        AskOptions(
            kind.value, symbols, day_of(from_), last, cast("Scope", scope), bool(adjusted), whom, report, plan, bars
        ),
        lake,
        state,
        format_,
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
