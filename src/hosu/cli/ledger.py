"""``hosu ledger``: is a symbol's day whole, and if not, what is missing?"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli import ledger_repair
from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, counted, emit_rows, note, progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.lake.lake import Lake
    from hosu.lake.sql import Session

app = typer.Typer(help="Is a symbol's day whole?", no_args_is_help=True, rich_markup_mode=None)

DateOption = Annotated[
    str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The business date; default: the latest known.")
]
SymbolOption = Annotated[str | None, typer.Option("--symbol", help="Only this symbol.")]
ScopeOption = Annotated[str | None, typer.Option("--scope", metavar="KRX|NXT|UN", help="Only this scope.")]

app.command()(ledger_repair.repair)

_SHOWN = ("symbol", "scope", "state", "missing_shares", "gaps", "shares", "last_volume", "witness", "why")
_GAPS_SHOWN = (
    "symbol", "scope", "from_volume", "to_volume", "shares", "value", "trades", "before", "after", "cause", "detail",
)  # fmt: skip
_WORST_FIRST = "list_position(['unprovable', 'open', 'polled', 'assumed', 'certified'], state)"


@app.command()
def show(
    date: DateOption = None,
    symbol: SymbolOption = None,
    scope: ScopeOption = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """The state of each symbol's day, the worst first: certified, assumed (and what), open, unprovable (why), polled.

    A line on stderr says how much of the day's turnover was seen.
    """
    from hosu.lake.sql import Session

    opened = open_lake(lake)
    with Session(opened, sql_config()) as session:
        day = _known_day(session, opened, date)
        where = _where(session, day, symbol, scope)
        rows = session.query(f"FROM coverage WHERE {where} ORDER BY {_WORST_FIRST}, symbol, scope").to_pylist()
        absent = _absent(session, day, scope)
        shares = session.query(f"FROM coverage_share WHERE date = '{day}' ORDER BY scope").to_pylist()
    if format_ is Format.table:
        rows = [{**row, "why": row["reason"] or ", ".join(row["assumptions"])} for row in rows]
    emit_rows(rows, format_, columns=_SHOWN if format_ is Format.table else None)
    for each in shares:
        if scope in (None, each["scope"]):
            note(_summary(day, each))
    if absent is not None:
        note(absent)


def _summary(day: str, share: dict[str, Any]) -> str:
    states = ", ".join(
        f"{share[name]:,} {name}" for name in ("certified", "assumed", "open", "unprovable", "polled") if share[name]
    )
    seen = "nothing was traded" if share["share_seen"] is None else f"{share['share_seen']:.4%} of the shares seen"
    turnover = "" if share["turnover_seen"] is None else f", about {share['turnover_seen']:.4%} of the turnover"
    return f"{day} {share['scope']}: {counted(share['symbols'], 'symbol')} ({states}); {seen}{turnover}"


def _standing(gaps: int) -> str:
    return "1 gap stands" if gaps == 1 else f"{gaps:,} gaps stand"


@app.command()
def gaps(
    date: DateOption = None,
    symbol: SymbolOption = None,
    scope: ScopeOption = None,
    every: Annotated[bool, typer.Option("--all", help="Filled ones too.")] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """What is missing: from which share to which, since when, why, and what it was worth."""
    from hosu.lake.sql import Session

    opened = open_lake(lake)
    with Session(opened, sql_config()) as session:
        day = _known_day(session, opened, date)
        where = _where(session, day, symbol, scope)
        absent = _absent(session, day, scope)
        if not every:
            where += " AND open"
        kst = "strftime({0} AT TIME ZONE 'Asia/Seoul', '%H:%M:%S') AS {1}"
        times = f"{kst.format('before_ts', 'before')}, {kst.format('after_ts', 'after')}"
        rows = session.query(
            f"SELECT *, {times} FROM gaps_latest WHERE {where} ORDER BY symbol, scope, from_volume"  # noqa: S608
        ).to_pylist()
    if format_ is Format.json:
        rows = [{name: value for name, value in row.items() if name not in ("before", "after")} for row in rows]
    shown = (*_GAPS_SHOWN, "open") if every else _GAPS_SHOWN
    emit_rows(rows, format_, columns=shown if format_ is Format.table else None)
    still = [row for row in rows if row["open"]]
    note(absent or f"{day}: {_standing(len(still))} open, {counted(sum(row['shares'] for row in still), 'share')}")


@app.command()
def certify(
    date: Annotated[
        list[str] | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="The business date; may be repeated; default: the latest."),
    ] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Judges a date anew from all that the lake holds of it, whichever log or repair it came from."""
    from hosu.lake.certify import certify as judge

    opened = open_lake(lake)
    days = [_lake_day(opened, text) for text in date] if date else [_latest_lake_day(opened)]
    rows = []
    with progress() as shown:
        task = shown.add_task("judging", total=None)
        for day in days:
            found = judge(
                opened, day, sort=sql_config(), progress=lambda text: shown.update(task, description=f"judging {text}")
            )
            states = {str(state): count for state, count in found.states.items()}
            facts = {"missing_shares": found.missing_shares, "gaps": found.gaps, "repaired": found.repaired}
            rows.append({"date": day, "symbols": found.symbols, **states, **facts})
    emit_rows(rows, format_)


@app.command()
def rules(
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Those in force then; default: all.")
    ] = None,
    scope: ScopeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """What the proof rests on: how the broker's cumulative volume behaves, each rule proved or assumed."""
    from hosu.market.volume_rules import RULES

    day = None if date is None else day_of(date)
    wanted = None if scope is None else _scope(scope)
    chosen = [
        rule
        for rule in RULES
        if (wanted is None or wanted in rule.scopes)
        and (day is None or any(rule.holds_on(day, each) for each in rule.scopes))
    ]
    emit_rows(
        [
            {
                "name": rule.name,
                "scopes": ",".join(rule.scopes),
                "from": rule.valid_from,
                "until": rule.valid_until,
                "evidence": str(rule.evidence),
                "statement": rule.statement,
                "by": rule.by,
            }
            for rule in chosen
        ],
        format_,
    )


# --- what is asked for ----------------------------------------------------------------------------------------------


def _scope(text: str) -> str:
    if text not in ("KRX", "NXT", "UN"):
        raise typer.BadParameter("--scope is KRX, NXT or UN")
    return text


def _known_day(session: Session, lake: Lake, text: str | None) -> str:
    """The date asked for, or the latest that the ledger knows.

    Raises:
        InputError: it knows nothing of that date, or of any.
    """
    from hosu.errors import InputError

    if text is not None:
        day = _past(text)
        if session.query(f"SELECT 1 FROM coverage_days WHERE date = '{day}' LIMIT 1").num_rows:  # noqa: S608  ISO
            return day
        raise _unknown(day, "ledger", [*_dates(session)], in_lake=day in _lake_days(lake))
    latest = _dates(session)
    if not latest:
        raise InputError(
            f"the lake {lake.root}", "its ledger is empty", "collect or replay a day, or run: hosu ledger certify"
        )
    return latest[-1]


def _dates(session: Session) -> list[str]:
    return [str(day) for day in session.query("SELECT DISTINCT date FROM coverage_days ORDER BY 1")["date"].to_pylist()]


def _lake_days(lake: Lake) -> list[str]:
    tables = [lake.find(name) for name in ("trades", "quotes", "snapshots")]
    return sorted({day for table in tables if table is not None for day in table.dates()})


def _lake_day(lake: Lake, text: str) -> str:
    day = _past(text)
    known = _lake_days(lake)
    if day not in known:
        raise _unknown(day, "lake", known, in_lake=False)
    return day


def _latest_lake_day(lake: Lake) -> str:
    from hosu.errors import InputError

    known = _lake_days(lake)
    if not known:
        raise InputError(f"the lake {lake.root}", "holds no trades, books or polls yet", "collect or replay a day")
    return known[-1]


def _past(text: str) -> str:
    """The date as it is written in the lake.

    Raises:
        InputError: it has not come yet.
    """
    from hosu.clock import SystemClock
    from hosu.errors import InputError
    from hosu.market.calendar import business_day

    day, (today, _) = day_of(text), business_day(SystemClock().now_us())
    if day > today:
        raise InputError(f"--date {day}", "lies in the future", f"choose a day up to today, {today}")
    return day.isoformat()


def _unknown(day: str, place: str, known: Sequence[str], *, in_lake: bool) -> Exception:
    from hosu.errors import CalendarRangeError, InputError
    from hosu.market.calendar import closed_because, is_session

    if in_lake:
        return InputError(f"--date {day}", "the ledger has not judged it", f"run: hosu ledger certify --date {day}")
    fault = f"the {place} knows nothing of it"
    try:
        when = dt.date.fromisoformat(day)
        if not is_session(when):
            fault = f"KRX did not trade ({closed_because(when)}), and {fault}"
    except CalendarRangeError:
        pass
    step = (
        f"it knows {known[0]} to {known[-1]} ({counted(len(known), 'day')})"
        if known
        else "collect or replay that day first"
    )
    return InputError(f"--date {day}", fault, step)


def _absent(session: Session, day: str, scope: str | None) -> str | None:
    """In words, that the ledger has nothing of a scope on a date; None where it has, or where all are asked for."""
    known = session.query(f"SELECT DISTINCT scope FROM coverage_days WHERE date = '{day}' ORDER BY 1")  # noqa: S608  ISO
    scopes = known["scope"].to_pylist()
    if scope in (None, *scopes):
        return None
    return f"{day}: the ledger knows nothing of {scope}, only of {' and '.join(map(str, scopes))}"


def _where(session: Session, day: str, symbol: str | None, scope: str | None) -> str:
    """The condition that chooses the rows asked for.

    Raises:
        InputError: it is no symbol, or the ledger knows nothing of it on that date.
    """
    from hosu.errors import InputError
    from hosu.market.instruments import validate_symbol

    parts = [f"date = '{day}'"]
    if scope is not None:
        parts.append(f"scope = '{_scope(scope)}'")
    if symbol is not None:
        parts.append(f"symbol = '{validate_symbol(symbol)}'")
        where = " AND ".join(parts)
        if not session.query(f"SELECT 1 FROM coverage_days WHERE {where} LIMIT 1").num_rows:  # noqa: S608  checked
            of = f" in {scope}" if scope is not None else ""
            raise InputError(
                f"--symbol {symbol}",
                f"the ledger knows nothing of it{of} on {day}",
                f"see: hosu ledger show --date {day}",
            )
    return " AND ".join(parts)
