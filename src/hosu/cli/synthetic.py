"""``hosu synthetic``: a made-up history whose truth is known."""

from __future__ import annotations

from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hosu.cli.options import day_of
from hosu.cli.output import counted, note

if TYPE_CHECKING:
    import pyarrow as pa


_MADE_UP: Final = b"hosu.made_up"
"""In the metadata of every file that is written here: only such a one is written over."""


def synthetic(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The Parquet file to write.")],
    interval: Annotated[
        str, typer.Option("--interval", metavar="day|minute", help="Bars of days, or minutes.")
    ] = "day",
    sessions: Annotated[int, typer.Option("--sessions", min=2, help="How many trading days.")] = 400,
    symbols: Annotated[int, typer.Option("--symbols", min=1, help="How many made-up symbols.")] = 120,
    minutes: Annotated[
        int | None, typer.Option("--minutes", min=1, help="Minutes: so many a day, from the open on. Default: all.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")] = "2026-09-11",
    signal: Annotated[
        float, typer.Option("--signal", help="What of the next bar can be predicted, in deviations; 0: nothing.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same history.")] = 1,
) -> None:
    """Bars of random walks as a file for `hosu backfill --file`: what a model finds in them is known.

    Of minutes it is also a file for `hosu simulator --bars`.
    """
    from hosu.errors import InputError

    if interval not in {"day", "minute"}:
        raise InputError(f"--interval {interval}", "is unknown", "choose day or minute")
    if not isfinite(signal):
        raise InputError(f"--signal {signal}", "is no number of deviations", "choose 0 for none, at most 1")
    if minutes is not None and interval == "day":
        raise InputError(f"--minutes {minutes}", "says nothing of bars of days", "add --interval minute")
    if file.exists() and not _is_ours(file):
        raise InputError(str(file), "is there already, and is no made-up history", "choose another file")
    size = (to, sessions, symbols, signal, seed)
    made = _days(*size) if interval == "day" else _minutes(*size, minutes)
    try:
        _write(made, file)
    except OSError as error:
        raise InputError(str(file), f"cannot be written ({error})", "choose another file") from error
    note(f"{file}: {made.num_rows:,} bars of {counted(symbols, 'made-up symbol')}; signal {signal:g}")


def _is_ours(file: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _MADE_UP in (pq.read_schema(file).metadata or {})
    except (OSError, pa.ArrowException):
        return False


def _write(made: pa.Table, file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hosu.replacing import replace_file

    sink = pa.BufferOutputStream()
    pq.write_table(made.replace_schema_metadata({**(made.schema.metadata or {}), _MADE_UP: b"1"}), sink)
    replace_file(file, sink.getvalue().to_pybytes())


def _days(to: str, sessions: int, symbols: int, signal: float, seed: int) -> pa.Table:
    from hosu.models.synthetic import as_table, history, sessions_up_to

    return as_table(history(sessions_up_to(day_of(to), sessions), symbols, seed=seed, signal=signal))


def _minutes(to: str, sessions: int, symbols: int, signal: float, seed: int, minutes: int | None) -> pa.Table:
    from hosu.models.synthetic import sessions_up_to
    from hosu.models.synthetic_minutes import minute_history

    days = sessions_up_to(day_of(to), sessions)
    return minute_history(days, symbols, seed=seed, signal=signal, minutes=minutes)
