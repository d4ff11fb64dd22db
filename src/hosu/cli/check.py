"""``hosu check``: proofs about features. Exits 1 where one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.features import IntervalOption, SetOption, chosen_sets
from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, emit_rows, note

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.panel import BarPanel

app = typer.Typer(help="Proofs about features.", no_args_is_help=True, rich_markup_mode=None)


@app.command()
def lookahead(
    interval: IntervalOption = "day",
    set_: SetOption = None,
    cuts: Annotated[int, typer.Option("--cuts", min=1, help="At how many random dates the future is cut off.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw.")] = 1,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Computes everything again with the future cut off; nothing before may change by a bit."""
    from hosu.features.proofs import lookahead as run

    found = run(_loader(lake, interval), chosen_sets(set_), cuts=cuts, seed=seed)
    rows: list[dict[str, Any]] = [
        {
            "check": "lookahead",
            "cuts": len(found.cuts),
            "compared": found.compared,
            "differing": sum(found.differing.values()),
            "passes": found.passes,
        }
    ]
    emit_rows(rows, format_)
    for each in found.examples:
        note(f"{each.feature} of {each.symbol} on {each.date}: {each.whole} with the future, {each.cut} without it")
    _leave(passes=found.passes)


@app.command()
def recursive(
    interval: IntervalOption = "day",
    set_: SetOption = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Measures how many bars each feature needs until it no longer depends on where the history began."""
    from hosu.features.proofs import recursive as run

    found = run(_loader(lake, interval)(None), chosen_sets(set_))
    emit_rows(
        [
            {"feature": each.feature, "needed": each.needed, "declared": each.declared, "passes": each.passes}
            for each in found
        ],
        format_,
    )
    _leave(passes=all(each.passes for each in found))


def _loader(lake: str | None, interval: str) -> Callable[[int | None], BarPanel]:
    from hosu.features.bars_of_lake import panel

    opened, config = open_lake(lake), sql_config()

    def load(end: int | None) -> BarPanel:
        text = None if end is None else f"{end // 10_000:04}-{end // 100 % 100:02}-{end % 100:02}"
        return panel(opened, interval, end=text, config=config).bars

    return load


def _leave(*, passes: bool) -> None:
    if not passes:
        raise typer.Exit(1)
