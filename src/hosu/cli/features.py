"""``hosu features``: indicators and features from the lake's bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, counting, emit_rows

if TYPE_CHECKING:
    from hosu.features.definitions import FeatureSet

app = typer.Typer(help="Indicators and features.", no_args_is_help=True, rich_markup_mode=None)

IntervalOption = Annotated[str, typer.Option("--interval", metavar="day|minute", help="Which bars.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A feature set; may be repeated. Default: every one.")
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
    """Brings technical_indicators and ml_features up to date with the bars: what changed, and all behind it."""
    from dataclasses import asdict

    from hosu.features.build import build as build_features

    opened, sets = open_lake(lake), chosen_sets(set_)
    with counting("features") as tell:
        done = build_features(opened, interval, sets, everything=everything, config=sql_config(), progress=tell)
    emit_rows([asdict(done)], format_)


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
                "window": each.window,
                "source": each.source,
                "owner": each.owner,
            }
            for each in FEATURE_SETS.values()
        ],
        format_,
    )


def chosen_sets(names: list[str] | None) -> list[FeatureSet]:
    """The sets of these names, all without any."""
    from hosu.features.definitions import FEATURE_SETS, feature_set

    return list(FEATURE_SETS.values()) if names is None else [feature_set(name) for name in names]
