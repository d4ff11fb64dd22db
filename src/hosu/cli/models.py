"""``hosu models``: train, judge, keep and choose models. Nothing is promoted past the gate without saying so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.mirroring import mirror_if_set, mirrored, say
from hosu.cli.models_train import ModelArgument, evaluate, train
from hosu.cli.options import FormatOption, LakeOption, open_lake, sql_config
from hosu.cli.output import Format, emit_json, emit_rows, note

if TYPE_CHECKING:
    from hosu.lake.lake import Lake
    from hosu.models.registry import Registry

app = typer.Typer(help="Models: trained, judged, kept, chosen.", no_args_is_help=True, rich_markup_mode=None)
app.command()(train)
app.command()(evaluate)

ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]


@app.command("list")
def list_(lake: LakeOption = None, format_: FormatOption = Format.table) -> None:
    """Every version of every model, and who serves."""
    from hosu.models.registry import MODELS

    _, registry = _registry(lake)
    rows: list[dict[str, Any]] = []
    for model in MODELS:
        champion = registry.champion(model)
        rows.append({"model": model, "version": 0, "verdict": "prior", "kind": "prior", "serves": champion == 0})
        rows += [
            {
                "model": model,
                "version": each.version,
                "verdict": each.verdict,
                "kind": each.card.get("kind"),
                "serves": each.serves,
            }
            for each in registry.versions(model)
        ]
    emit_rows(rows, format_)


@app.command()
def show(
    model: ModelArgument,
    version: Annotated[int | None, typer.Option("--version", help="Default: the newest.")] = None,
    report: Annotated[str | None, typer.Option("--report", metavar="FILE", help="Write its HTML report here.")] = None,
    lake: LakeOption = None,
) -> None:
    """A version's card as JSON: dataset, features, parameters, checks, history; `--report` writes the pictures."""
    from dataclasses import asdict
    from pathlib import Path

    from hosu.errors import InputError, ModelDamagedError
    from hosu.models.run_facts import checks_of

    _, registry = _registry(lake)
    versions = registry.versions(model)
    if version is None and not versions:
        raise InputError(f"model {model}", "has no version but the prior", "train one with `hosu models train`")
    chosen = registry.version(model, versions[-1].version if version is None else version)
    if report is not None:
        Path(report).write_bytes(registry.load(model, chosen.version)["report.html"])
        note(f"written: {report}")
    try:
        checks = checks_of(registry.load(model, chosen.version))
    except ModelDamagedError as error:  # its card and history are there all the same
        note(f"warning: no checks are shown: {error}")
        checks = None
    history = [{**asdict(each), "card": None} for each in registry.history(model)]
    emit_json({**asdict(chosen), "checks": checks, "history": history})


@app.command()
def promote(
    model: ModelArgument,
    version: Annotated[int, typer.Argument(help="Which.")],
    override: Annotated[
        str | None, typer.Option("--override", metavar="REASON", help="Promote past the gate; recorded.")
    ] = None,
    reason: ReasonOption = "by hand",
    lake: LakeOption = None,
) -> None:
    """Makes a version the champion; only one whose verdict is `edge`."""
    opened, registry = _registry(lake)
    registry.promote(model, version, reason if override is None else override, override=override is not None)
    note(f"{model}: version {version} serves")
    if override is not None:
        _warn_if_silent(registry, model, version)
    mirror_if_set(opened, registry)


def _warn_if_silent(registry: Registry, model: str, version: int) -> None:
    from contextlib import suppress

    from hosu.errors import ModelDamagedError
    from hosu.models.serve_facts import SERVE, read_facts
    from hosu.models.served import is_calibrated

    with suppress(ModelDamagedError):  # whoever seats it tells
        files = registry.load(model, version)
        if not is_calibrated(read_facts(files.get(SERVE, b"")), files):
            note("warning: it failed G3 (calibration), and so abstains from every answer while it serves")


@app.command()
def rollback(model: ModelArgument, reason: ReasonOption = "by hand", lake: LakeOption = None) -> None:
    """Puts the champion before this one back; in the end the prior."""
    opened, registry = _registry(lake)
    now = registry.rollback(model, reason)
    note(f"{model}: {'the prior' if now == 0 else f'version {now}'} serves")
    mirror_if_set(opened, registry)


@app.command()
def drop(model: ModelArgument, reason: ReasonOption = "by hand", lake: LakeOption = None) -> None:
    """Ends the challenge that runs, so that the next version may begin one; who serves goes on."""
    from hosu.errors import InputError
    from hosu.models.history import challenger_of, revision_of

    opened, registry = _registry(lake)
    history = registry.history(model)
    version = challenger_of(history)
    if version is None:
        raise InputError(f"model {model}", "has no challenger", "there is nothing to drop")
    registry.end_challenge(model, "dropped", reason, seen=revision_of(history))
    note(f"{model}: version {version} does not challenge any more")
    mirror_if_set(opened, registry)


@app.command()
def drift(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: every model.")] = None,
    sessions: Annotated[int, typer.Option("--sessions", min=5, help="So many of the newest for inputs.")] = 20,
    report: Annotated[
        str | None, typer.Option("--report", metavar="FILE", help="Write a page with plots here.")
    ] = None,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Which features, and whether the errors, of champion and challenger have moved away from training, since when."""
    from pathlib import Path

    from hosu.models.drift_page import as_html
    from hosu.models.live_drift import as_rows, drift_of
    from hosu.models.registry import MODELS

    opened, registry = _registry(lake)
    found = drift_of(opened, registry, MODELS if model is None else [model], sessions=sessions, config=sql_config())
    emit_rows(as_rows(found), format_)
    if report is not None:
        Path(report).write_text(as_html(found), encoding="utf-8")
        note(f"written: {report}")


@app.command()
def mirror(lake: LakeOption = None, format_: FormatOption = Format.table) -> None:
    """Brings the MLflow server of HOSU_MLFLOW_URI up to date with the registry; again adds nothing.

    Train, promote, rollback, drop and score --update do so by themselves where the setting is there.
    """
    from dataclasses import asdict

    from hosu.errors import MirrorNamesError

    try:
        done, fault = mirrored(*_registry(lake)), None
    except MirrorNamesError as error:
        done, fault = error.done, error
    say(done)
    names = ("model", "versions", "added", "moved", "left_out")
    emit_rows([asdict(each) for each in done], format_, columns=names)
    if fault is not None:
        raise fault


def _registry(lake: str | None) -> tuple[Lake, Registry]:
    from hosu.clock import SystemClock
    from hosu.models.registry import Registry

    opened = open_lake(lake)
    return opened, Registry(opened, SystemClock())
