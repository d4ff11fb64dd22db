"""``hosu predict``: what the models say of the next session, behind the closing auction."""

from __future__ import annotations

from typing import Annotated

import typer

from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, emit_rows, note

_SHOWN = (
    "symbol",
    "model",
    "model_version",
    "role",
    "verdict",
    "price",
    "predicted_price",
    "persistence",
    "predicted_direction",
    "confidence",
    "score",
    "abstained",
)


def predict(
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Of the bars. Default: the newest.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="day-1 or day-5; may be repeated.")] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Print only; write nothing to the journal.")] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Predicts what follows a day, with champion and challenger, and writes it to the journal before it happens."""
    from hosu.models.daily import predict_day

    chosen = None if date is None else day_of(date).isoformat()
    done = predict_day(open_lake(lake), chosen, models=model, journal=not dry, config=sql_config())
    emit_rows([{"date": done.date, **row} for row in done.rows.select(_SHOWN).to_pylist()], format_)
    for sentence in done.notes:
        note(f"warning: {sentence}")
    answered = done.rows.column("abstained").null_count
    note(f"{done.date}: {done.rows.num_rows:,} predictions, {answered:,} with an answer, {done.added:,} journaled")
    if done.too_late:
        note("the next session has opened already: nothing was journaled, since its outcome may be known")
