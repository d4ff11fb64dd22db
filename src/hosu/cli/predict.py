"""``hosu predict``: what the models say of the next session, behind the closing auction."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any

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


_TOP = 20


def surest(rows: list[dict[str, Any]], most: int) -> list[dict[str, Any]]:
    """Of each model's version so many rows at most, those of the greatest score either way first; 0: all, as they come.

    Who abstained comes last.
    """
    if not most:
        return rows
    of_seat: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for row in rows:
        of_seat.setdefault((row["model"], row["model_version"]), []).append(row)
    return [
        row
        for mine in of_seat.values()
        for row in sorted(mine, key=lambda each: -abs(each["score"]) if each["score"] is not None else 1.0)[:most]
    ]


def reasons(rows: list[dict[str, Any]]) -> list[tuple[str, int]]:
    """Why nothing was said, without what tells one symbol's from another's, and how often; the most frequent first."""
    told = Counter(row["abstained"].partition(":")[0] for row in rows if row["abstained"] is not None)
    return told.most_common()


def predict(
    date: Annotated[
        str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="Of the bars. Default: the newest.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="day-1 or day-5; may be repeated.")] = None,
    top: Annotated[
        int | None,
        typer.Option("--top", min=0, help="Print so many a model, the surest first; 0: all. Default: 20 in a table."),
    ] = None,
    dry: Annotated[bool, typer.Option("--dry", help="Print only; write nothing to the journal.")] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Predicts what follows a day, with champion and challenger, and writes it to the journal before it happens."""
    from hosu.models.daily import predict_day

    chosen = None if date is None else day_of(date).isoformat()
    done = predict_day(open_lake(lake), chosen, models=model, journal=not dry, config=sql_config())
    rows = [{"date": done.date, **row} for row in done.rows.select(_SHOWN).to_pylist()]
    shown = surest(rows, (_TOP if format_ is Format.table else 0) if top is None else top)
    emit_rows(shown, format_)
    if len(shown) < len(rows):
        note(f"{len(rows) - len(shown):,} more are not printed; `--top 0` prints all")
    for sentence in done.counted:
        note(sentence)
    for sentence in done.notes:
        note(f"warning: {sentence}")
    answered = done.rows.column("abstained").null_count
    note(f"{done.date}: {done.rows.num_rows:,} predictions, {answered:,} with an answer, {done.added:,} journaled")
    for reason, count in reasons(rows):
        note(f"  without an answer: {count:,} {reason}")
    if done.too_late:
        note("the next session has opened already: nothing was journaled, since its outcome may be known")
