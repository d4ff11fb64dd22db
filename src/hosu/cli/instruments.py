"""``hosu instruments``: what is traded, by date."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake
from hosu.cli.output import Format, counted, emit_rows, note

if TYPE_CHECKING:
    from hosu.kis.http import Http
    from hosu.market.instruments import Instrument, Market

app = typer.Typer(help="What is traded, by date.", no_args_is_help=True, rich_markup_mode=None)

_SHOWN = ("symbol", "name", "market", "type", "base_price", "halted", "listed")


@app.command()
def sync(
    files: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Master files already here, instead of the broker's site."),
    ] = None,
    rest: Annotated[str | None, typer.Option("--rest", metavar="URL", help="A simulator's REST address.")] = None,
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="As of this day; default: today.")
    ] = None,
    lake: LakeOption = None,
) -> None:
    """The broker's master files (KOSPI, KOSDAQ, KONEX) into the lake, as the universe of a day. Needs no key."""
    from hosu.clock import SystemClock
    from hosu.lake.instruments import write_universe
    from hosu.market.calendar import business_day
    from hosu.market.instruments import to_arrow

    as_of = day_of(day) if day is not None else business_day(SystemClock().now_us())[0]
    listed = read_folder(files) if files is not None else fetch(rest)
    count = write_universe(open_lake(lake, create=True), as_of.isoformat(), to_arrow(as_of, listed))
    note(f"{counted(count, 'instrument')} as of {as_of}")


@app.command("list")
def list_(
    day: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="As of this day; default: the latest.")
    ] = None,
    market: Annotated[str | None, typer.Option("--market", help="KOSPI, KOSDAQ or KONEX.")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """The universe as of a day: that of the latest synced day at or before it."""
    from hosu.lake.instruments import universe
    from hosu.market.instruments import Market

    as_of = dt.date.max if day is None else day_of(day)
    if market is not None and market.upper() not in list(Market):
        raise typer.BadParameter(f"--market is {', '.join(Market)}")
    rows = universe(open_lake(lake), as_of.isoformat()).to_pylist()
    if not rows:
        when = "" if day is None else f" as of {day} or before"
        note(f"hosu: the lake knows no instruments{when}; fetch them: hosu instruments sync")
    if market is not None:
        rows = [row for row in rows if row["market"] == market.upper()]
    emit_rows(rows, format_, columns=_SHOWN if format_ is Format.table else None)


def fetch(rest: str | None = None) -> list[Instrument]:
    """Every instrument of the broker's master files, or of the simulator at ``rest``.

    Raises:
        BrokerUnreachableError: a file cannot be had.
        InputError: a file is not what it should be.
    """
    import asyncio

    return asyncio.run(_fetch(rest))


async def _fetch(rest: str | None) -> list[Instrument]:
    from hosu.kis.hosts import Host
    from hosu.kis.http import Http
    from hosu.kis.masters import MASTER_FILES
    from hosu.kis.rest import MASTERS

    # Of a simulator only REST is asked here.
    base = f"{Host('simulator', rest, 'ws://127.0.0.1:9').rest}/common/master" if rest is not None else MASTERS
    async with Http() as http:
        listed = [await _fetch_market(http, market, base, simulated=rest is not None) for market in MASTER_FILES]
    return [instrument for market in listed for instrument in market]


async def _fetch_market(http: Http, market: Market, base: str, *, simulated: bool) -> list[Instrument]:
    from hosu.errors import BrokerUnreachableError
    from hosu.kis.masters import parse_master
    from hosu.kis.rest import download_master

    try:
        return parse_master(await download_master(http, market, base), market)
    except BrokerUnreachableError as error:
        if simulated and error.cause == "HTTP 404":  # a simulated market may have no symbol there
            return []
        raise


def read_folder(folder: Path) -> list[Instrument]:
    """Every instrument of the master files in a folder, ``kospi_code.mst.zip`` and so on; one of them is enough.

    Raises:
        InputError: there is none, or one is not what it should be.
    """
    from hosu.errors import InputError
    from hosu.kis.masters import MASTER_FILES, parse_master

    found = [
        (market, path)
        for market in MASTER_FILES
        for path in (folder / f"{market.lower()}_code.mst.zip", folder / f"{market.lower()}_code.mst")
        if path.is_file()
    ]
    if not found:
        raise InputError(str(folder), "holds no master file", "put kospi_code.mst.zip or its like there")
    return [row for market, path in found for row in parse_master(path.read_bytes(), market, str(path))]
