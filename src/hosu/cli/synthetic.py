"""``hosu synthetic``: a made-up history whose truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hosu.cli.options import day_of
from hosu.cli.output import note


def synthetic(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
    sessions: Annotated[int, typer.Option("--sessions", min=2, help="How many trading days.")] = 400,
    symbols: Annotated[int, typer.Option("--symbols", min=1, help="How many made-up symbols.")] = 120,
    to: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")] = "2026-09-11",
    signal: Annotated[
        float, typer.Option("--signal", help="What of the next day can be predicted, in deviations; 0: nothing.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same history.")] = 1,
) -> None:
    """Daily bars of random walks as a file for `hosu backfill daily --file`: what a model finds in them is known."""
    import pyarrow.parquet as pq

    from hosu.errors import InputError
    from hosu.models.synthetic import as_table, history, sessions_up_to

    made = as_table(history(sessions_up_to(day_of(to), sessions), symbols, seed=seed, signal=signal))
    try:
        pq.write_table(made, file)
    except OSError as error:
        raise InputError(str(file), f"cannot be written ({error})", "choose another file") from error
    note(f"{file}: {made.num_rows:,} bars of {symbols} made-up symbols; signal {signal:g}")
