"""``hosu features``: indicators and features from the lake's bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, counting, emit_rows, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.build import FeaturesBuilt
    from hosu.features.definitions import FeatureSet
    from hosu.lake.lake import Lake

app = typer.Typer(help="Indicators and features.", no_args_is_help=True, rich_markup_mode=None)

BarsOption = Annotated[str, typer.Option("--interval", metavar="day|minute", help="Which bars.")]
IntervalOption = Annotated[
    str,
    typer.Option("--interval", metavar="day|minute|second", help="Which bars; of seconds, quotes and trades."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A feature set; may be repeated. Default: every one of the interval.")
]


@app.command()
def build(
    interval: IntervalOption = "day",
    set_: SetOption = None,
    everything: Annotated[
        bool, typer.Option("--all", help="From the first bar on, whether it changed or not.")
    ] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Brings technical_indicators and ml_features up to date with the bars: what changed, and all behind it.

    Of seconds: ml_features_1s with quotes and trades, each date that changed.
    """
    from dataclasses import asdict

    opened, sets = open_lake(lake), chosen_sets(set_, interval)
    with counting("features") as tell:
        done = _built(opened, interval, sets, everything=everything, tell=tell)
    emit_rows([asdict(done)], format_)


def _built(
    lake: Lake, interval: str, sets: list[FeatureSet], *, everything: bool, tell: Callable[[str], None]
) -> FeaturesBuilt:
    from hosu.features import book_build
    from hosu.features import build as bar_build
    from hosu.features.definitions import SECOND

    if interval == SECOND:
        return book_build.build(lake, sets, everything=everything, config=sql_config(), progress=tell)
    return bar_build.build(lake, interval, sets, everything=everything, config=sql_config(), progress=tell)


@app.command()
def scale(
    until: Annotated[str, typer.Option("--until", metavar="YYYY-MM-DD", help="The last date it may look at.")],
    interval: BarsOption = "day",
    set_: Annotated[str, typer.Option("--set", help="The feature set.")] = "scale_free_v1",
    from_: Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first date.")] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Fits a scaler on the features up to a date and keeps it; `features build` then scales the dates behind it."""
    from hosu.features.definitions import feature_set
    from hosu.features.scalers import fit_scaler

    last, first = day_of(until).isoformat(), None if from_ is None else day_of(from_).isoformat()
    opened, chosen = open_lake(lake), feature_set(set_, interval)
    with counting("features") as tell:
        made = fit_scaler(opened, interval, chosen, last, first, progress=tell)
    rows = [
        {"feature": name, "mean": mean, "deviation": deviation}
        for name, mean, deviation in zip(chosen.features, made.means, made.deviations, strict=True)
    ]
    note(f"{made.name}: {made.rows:,} rows from {made.first} to {made.last}")
    emit_rows(rows, format_)


@app.command()
def sets(format_: FormatOption = Format.table) -> None:
    """The feature sets: what is in them, in which order."""
    from hosu.features.definitions import FEATURE_SETS

    emit_rows(
        [
            {
                "set": each.name,
                "version": each.version,
                "features": ", ".join(each.features),
                "intervals": ", ".join(each.intervals),
                "window": each.window,
                "minute_window": each.minute_window,
                "source": each.source,
                "owner": each.owner,
            }
            for each in FEATURE_SETS.values()
        ],
        format_,
    )


def chosen_sets(names: list[str] | None, interval: str) -> list[FeatureSet]:
    """The sets of these names, without any all that can be made of the interval, each once.

    Raises:
        InputError: an unknown interval, or a set that is unknown or not made of it.
    """
    from hosu.errors import InputError
    from hosu.features.definitions import INTERVALS, feature_set, sets_of

    if interval not in INTERVALS:
        raise InputError(
            f"interval {interval!r}", "is unknown", f"choose {', '.join(INTERVALS[:-1])} or {INTERVALS[-1]}"
        )

    return sets_of(interval) if names is None else [feature_set(name, interval) for name in dict.fromkeys(names)]
