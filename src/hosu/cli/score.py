"""``hosu score``: what became of the predictions that have matured, and how the models have done."""

from __future__ import annotations

from contextlib import contextmanager
from math import isnan
from typing import TYPE_CHECKING, Annotated

import typer

from hosu.cli.mirroring import mirror_if_set
from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, emit_rows, note
from hosu.errors import HosuError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.models.live_record import Record


def score(
    interval: Annotated[
        list[str] | None,
        typer.Option("--interval", metavar="day|minute", help="Which; may be repeated. Default: both."),
    ] = None,
    daily: Annotated[bool, typer.Option("--by-day", help="A row a session, not a row a version.")] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Then promote, drop or roll back by the journal's bets.")
    ] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Adds the outcomes of predictions that have matured, and prints each version's live figures with intervals.

    What fails of one interval or model is told, and the others go on; the exit code is then 1.
    """
    from hosu.clock import SystemClock
    from hosu.models.live_record import as_rows, records
    from hosu.models.registry import MODELS, Registry
    from hosu.models.scoring import score as score_lake
    from hosu.models.update import update as update_model

    opened, settings = open_lake(lake), sql_config()
    registry = Registry(opened, SystemClock())
    found: list[Record] = []
    failed: list[str] = []
    for each in interval or ("day", "minute"):
        with _going_on(f"{each} is not scored", failed):
            done = score_lake(opened, each, config=settings)
            note(f"{each}: {done.scored:,} outcomes added, {done.labelled:,} with a label, {done.waiting:,} wait")
            for session in done.half_told:
                note(f"warning: bars of {session} were built before its close, and some wait for it: `hosu lake bars`")
    for model in MODELS if update else ():
        with _going_on(f"{model} is not updated", failed):
            for step in update_model(opened, registry, model, config=settings):
                note(f"{model}: {step.event} {step.version}: {step.reason}")
    if update:
        mirror_if_set(opened, registry)
    for model in MODELS:
        with _going_on(f"{model} has no figures", failed):
            found += records(opened, registry, [model], config=settings)
    emit_rows(_by_day(found) if daily else as_rows(found), format_)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _going_on(what: str, failed: list[str]) -> Iterator[None]:
    """Tells an error as ``what`` and its sentence, so that what comes next is not kept back by it."""
    try:
        yield
    except HosuError as error:
        failed.append(what)
        note(f"hosu: {what}: {error}")


def _by_day(found: list[Record]) -> list[dict[str, object]]:
    return [
        {
            "model": each.model,
            "version": each.version,
            "date": day.date,
            "predictions": day.rows,
            "answered": day.answered,
            **{name: None if isnan(value) else round(value, 5) for name, value in day.figures.items()},
        }
        for each in found
        for day in each.days
    ]
