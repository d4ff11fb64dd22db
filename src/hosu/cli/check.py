"""``hosu check``: proofs about features. Exits 1 where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hosu.cli.features import IntervalOption, SetOption, chosen_sets
from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, counting, emit_rows, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.definitions import FeatureSet
    from hosu.features.late_actions import LateAction
    from hosu.features.panel import BarPanel
    from hosu.features.parity import ParityReport
    from hosu.features.proofs import Cut, Lookahead, WarmUp
    from hosu.lake.lake import Lake

_NEVER_SERVED: Final = "no features were served of it"

ServedOption = Annotated[str, typer.Option("--interval", metavar="minute|second", help="Which features were served.")]

app = typer.Typer(help="Proofs about features.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def lookahead(
    interval: IntervalOption = "day",
    set_: SetOption = None,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="At how many random places the future is cut off.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw.")] = 1,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Computes everything again with the future cut off; nothing before may change by a bit.

    The future of days, of features and of labels, begins behind random dates, that of minutes at random instants; of
    seconds it is what was received after a random instant of a random date.
    """
    from hosu.features.definitions import SECOND

    if interval == SECOND:
        parts = {"features": _of_seconds(lake, interval, set_, cuts=cuts, seed=seed)}
    else:
        parts = {"features": _of_bars(lake, interval, set_, cuts=cuts, seed=seed)}
        parts |= _of_labels(lake, interval, cuts=cuts, seed=seed)
    emit_rows(
        [
            {
                "what": what,
                "cuts": len(found.cuts),
                "compared": found.compared,
                "differing": sum(found.differing.values()),
                "passes": found.passes,
            }
            for what, found in parts.items()
        ],
        format_,
    )
    for what, found in parts.items():
        if not found.cuts:
            note(f"{what}: nothing to compare, none has ended before the last place to cut at; collect or import more")
        for each in found.examples:
            note(f"{each.feature} of {each.symbol} on {each.date}: {each.whole} with the future, {each.cut} without it")
    _leave(passes=all(found.passes for found in parts.values()))


@app.command()
def recursive(
    interval: IntervalOption = "day",
    set_: SetOption = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Measures how many bars each feature needs until it no longer depends on where the history began.

    Of seconds: how many, from the first with a full book, until it no longer depends on where its day was begun.
    """
    from hosu.features.definitions import SECOND

    sets = chosen_sets(set_, interval)
    found = _warm_up_of_seconds(lake, sets) if interval == SECOND else _warm_up_of_bars(lake, interval, sets)
    emit_rows(
        [
            {"feature": each.feature, "needed": each.needed, "declared": each.declared, "passes": each.passes}
            for each in found
        ],
        format_,
    )
    _leave(passes=all(each.passes for each in found))


def _warm_up_of_bars(lake: str | None, interval: str, sets: list[FeatureSet]) -> list[WarmUp]:
    from dataclasses import replace

    from hosu.features.proofs import recursive as run

    return run(_loader(lake, interval)(None), [replace(each, window=each.window_of(interval)) for each in sets])


def _warm_up_of_seconds(lake: str | None, sets: list[FeatureSet]) -> list[WarmUp]:
    from hosu.features.book_warmup import recursive as run

    with counting("measuring") as tell:
        found = run(open_lake(lake), sets, config=sql_config(), progress=tell)
    note(f"{found.starts:,} starts in {found.series:,} series; seconds are counted from the first with a full book")
    if found.waited_s:
        waited = f"up to {found.waited_s:,} s later, when the price had changed"
        note(f"the side of a trade was not always told: flow is counted from {waited}")
    return found.features


@app.command()
def parity(
    date: Annotated[
        list[str] | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Only this date; may be repeated.")
    ] = None,
    interval: ServedOption = "minute",
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Compares features as served with their replay from the log and with batch over the lake's bars, bit for bit.

    Those of seconds (`hosu collect --seconds`) with batch over its quotes and trades.

    A date of which what it began with, or a part of its log, is gone or damaged does not pass, and its row says why;
    nor does one of which nothing was served.
    """
    from hosu.errors import InputError

    served, compare = _served(interval)
    opened = open_lake(lake)
    table = opened.find(served)
    dates = [day_of(text).isoformat() for text in date] if date else [] if table is None else table.dates()
    if not dates:
        how = "hosu collect --seconds" if interval == "second" else "hosu collect"
        raise InputError(f"features of a {interval}", "were never served in this lake", f"collect a day with `{how}`")
    with counting("parity") as tell:
        found = []
        for day in dates:
            tell(day)
            found.append(_compared(opened, day, compare))
    rows = [_told(report) for report in found]
    emit_rows(rows, format_, columns=[name for name in rows[0] if name != "why" or any(row["why"] for row in rows)])
    for report in found:
        if report.fault is None and not report.logs:
            note(f"{report.date}: {_NEVER_SERVED}; collect such a day with `hosu collect`, or name one that was served")
        for each in report.mismatches:
            note(
                f"{report.date}: {each.feature} of {each.symbol} at {each.ts}: {each.served} served, {each.other} "
                f"in {each.against}"
            )
        for action in report.actions:
            note(f"{report.date}: {_late(action)}")
    _leave(passes=all(_passes(report) for report in found))


def _served(interval: str) -> tuple[str, Callable[[Lake, str], ParityReport]]:
    """The table of what was served, and what compares a date of it."""
    from hosu.features import book_parity, served_seconds
    from hosu.features import parity as minute_parity
    from hosu.features import served as served_minutes

    if interval == "second":
        return served_seconds.TABLE, lambda lake, day: book_parity.parity(lake, day, config=sql_config())
    if interval != "minute":
        raise typer.BadParameter(f"--interval {interval}: features are served of a minute and of a second; choose one")
    return served_minutes.TABLE, minute_parity.parity


def _compared(lake: Lake, day: str, compare: Callable[[Lake, str], ParityReport]) -> ParityReport:
    """What a comparison of a day found; without rows and with the reason where it cannot be made, so that other days
    are told all the same."""
    from hosu.errors import InputError, LakeError, LogError, MarketError
    from hosu.features.parity import ParityReport

    try:
        return compare(lake, day)
    except (InputError, LogError, LakeError, MarketError) as error:
        return ParityReport(day, fault=str(error))


def _passes(report: ParityReport) -> bool:
    return report.passed and report.rows > 0


def _told(report: ParityReport) -> dict[str, Any]:
    return {
        "date": report.date,
        "logs": len(report.logs),
        "rows": report.rows,
        "symbols": report.symbols,
        "values": report.rows * len(report.features),
        "replay_differs": report.mismatched["replay"],
        "batch_differs": report.mismatched["batch"],
        "repaired": report.repaired,
        "passes": _passes(report),
        "why": _why(report),
    }


def _why(report: ParityReport) -> str | None:
    """Why a day could not be compared; None where it was."""
    if report.fault is not None:
        return f"cannot be compared: {report.fault}"
    return None if report.logs else _NEVER_SERVED


def _of_bars(lake: str | None, interval: str, names: list[str] | None, *, cuts: int, seed: int) -> Lookahead:
    from hosu.features.proofs import lookahead as run

    within_days = interval == "minute"
    return run(_loader(lake, interval), chosen_sets(names, interval), cuts=cuts, seed=seed, within_days=within_days)


def _of_seconds(lake: str | None, interval: str, names: list[str] | None, *, cuts: int, seed: int) -> Lookahead:
    from hosu.features.book_proof import lookahead as run

    with counting("cutting") as tell:
        sets = chosen_sets(names, interval)
        return run(open_lake(lake), sets, cuts=cuts, seed=seed, config=sql_config(), progress=tell)


def _of_labels(lake: str | None, interval: str, *, cuts: int, seed: int) -> dict[str, Lookahead]:
    from hosu.features.label_proof import lookahead as run
    from hosu.features.labels_of_lake import LabelsOfLake
    from hosu.models.registry import HORIZONS

    labels = LabelsOfLake(open_lake(lake), interval, remember=True, config=sql_config())
    horizons = [each for of, each in HORIZONS.values() if of == interval]
    found = run(labels.before, horizons, within_days=interval == "minute", cuts=cuts, seed=seed)
    return {f"labels {horizon}": each for horizon, each in found.items()}


def _late(action: LateAction) -> str:
    """A corporate action that was not known when the day began, as a sentence."""
    from math import isnan

    served, batch = ("a begin anew" if isnan(each) else f"factor {each:g}" for each in (action.served, action.batch))
    return (
        f"a corporate action of {action.symbol} became known after the day had begun, or otherwise than it was known "
        f"then: at {action.ts} served with {served}, in batch with {batch}; what follows counts as repaired"
    )


def _loader(lake: str | None, interval: str) -> Callable[[Cut | None], BarPanel]:
    from hosu.features.bars_of_lake import panel
    from hosu.features.followed import followed
    from hosu.features.grid import filled
    from hosu.features.panel import select

    opened, config = open_lake(lake), sql_config()

    def load(cut: Cut | None) -> BarPanel:
        end = _text(None if cut is None else cut.date)
        loaded = panel(opened, interval, end=end, config=config)
        bars = loaded.bars
        if cut is not None and cut.ts_us is not None:
            bars = select(bars, bars.ts < cut.ts_us)  # before empty minutes are filled
        return bars if interval == "day" else filled(bars, followed(loaded.pinned, end=end, config=config))[0]

    return load


def _text(date: int | None) -> str | None:
    return None if date is None else f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}"


def _leave(*, passes: bool) -> None:
    if not passes:
        raise typer.Exit(1)
