"""``hosu models``: train, judge, keep and choose models. Nothing is promoted past the gate without saying so."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hosu.cli.mirroring import mirror_if_set, mirrored, say
from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, emit_json, emit_rows, note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.lake.lake import Lake
    from hosu.models.keeping import Kept
    from hosu.models.registry import Registry
    from hosu.models.training import Evaluated, Request

app = typer.Typer(help="Models: trained, judged, kept, chosen.", no_args_is_help=True, rich_markup_mode=None)

ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="day-1, day-5, minute-10 or minute-30.")]
KindOption = Annotated[str, typer.Option("--kind", metavar="gbdt|rf|forest|linear", help="What is learned.")]
ParamOption = Annotated[list[str] | None, typer.Option("--param", metavar="NAME=NUMBER", help="May be repeated.")]
SeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Of what is drawn while learning; another is a new trial.")
]
SetOption = Annotated[str, typer.Option("--set", help="The feature set.")]
FromOption = Annotated[str | None, typer.Option("--from", metavar="YYYY-MM-DD", help="The first day of rows.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="YYYY-MM-DD", help="The last day.")]
DaysOption = Annotated[
    str, typer.Option("--days", metavar="certified|assumed|all", help="Which days may be learned from.")
]
ViewOption = Annotated[
    str, typer.Option("--view", metavar="repaired|as_served", help="Bars as they are now, or days as they were served.")
]
SymbolsOption = Annotated[str | None, typer.Option("--symbols", metavar="A,B", help="Default: the day's universe.")]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Of the libraries.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; kept in the history.")]


@app.command()
def train(
    model: ModelArgument,
    kind: KindOption = "gbdt",
    set_: SetOption = "scale_free_v1",
    param: ParamOption = None,
    seed: SeedOption = 0,
    from_: FromOption = None,
    to: ToOption = None,
    days: DaysOption = "certified",
    view: ViewOption = "repaired",
    symbols: SymbolsOption = None,
    threads: ThreadsOption = 2,
    auto: Annotated[
        bool, typer.Option("--auto", help="For a schedule: it challenges whoever serves, and the journal decides.")
    ] = False,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Walks the model through history, judges it, and keeps it as a version.

    One whose verdict is `edge` serves where the prior did; where a champion serves, it runs beside that one.
    """
    from hosu.clock import SystemClock
    from hosu.models.keeping import keep
    from hosu.models.registry import Registry

    opened = open_lake(lake)
    request = _request(model, kind, set_, param, seed, from_=from_, to=to, days=days, view=view, symbols=symbols)
    evaluated = _evaluated(opened, request, threads)
    registry = Registry(opened, SystemClock())
    with _telling() as tell:
        kept = keep(opened, registry, evaluated, threads=threads, auto=auto, progress=tell)
    _say(evaluated, format_, kept)
    mirror_if_set(opened, registry)


@app.command()
def evaluate(
    model: ModelArgument,
    kind: KindOption = "gbdt",
    set_: SetOption = "scale_free_v1",
    param: ParamOption = None,
    seed: SeedOption = 0,
    from_: FromOption = None,
    to: ToOption = None,
    days: DaysOption = "certified",
    view: ViewOption = "repaired",
    symbols: SymbolsOption = None,
    threads: ThreadsOption = 2,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Walks and judges like `train`, and keeps nothing but the trial."""
    request = _request(model, kind, set_, param, seed, from_=from_, to=to, days=days, view=view, symbols=symbols)
    _say(_evaluated(open_lake(lake), request, threads), format_)


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
    """A version's card as JSON: dataset, features, parameters, gate; its history; `--report` writes the pictures."""
    from dataclasses import asdict
    from pathlib import Path

    from hosu.errors import InputError

    _, registry = _registry(lake)
    versions = registry.versions(model)
    if version is None and not versions:
        raise InputError(f"model {model}", "has no version but the prior", "train one with `hosu models train`")
    chosen = registry.version(model, versions[-1].version if version is None else version)
    if report is not None:
        Path(report).write_bytes(registry.load(model, chosen.version)["report.html"])
        note(f"written: {report}")
    history = [{**asdict(each), "card": None} for each in registry.history(model)]
    emit_json({**asdict(chosen), "history": history})


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
    registry.promote(model, version, override or reason, override=override is not None)
    note(f"{model}: version {version} serves")
    mirror_if_set(opened, registry)


@app.command()
def rollback(model: ModelArgument, reason: ReasonOption = "by hand", lake: LakeOption = None) -> None:
    """Puts the champion before this one back; in the end the prior."""
    opened, registry = _registry(lake)
    now = registry.rollback(model, reason)
    note(f"{model}: {'the prior' if now == 0 else f'version {now}'} serves")
    mirror_if_set(opened, registry)


@app.command()
def drift(
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Default: every model.")] = None,
    sessions: Annotated[int, typer.Option("--sessions", min=5, help="So many of the newest for inputs.")] = 20,
    lake: LakeOption = None,
    format_: FormatOption = Format.table,
) -> None:
    """Which features, and whether the errors, of champion and challenger have moved away from training, since when."""
    from hosu.models.live_drift import as_rows, drift_of
    from hosu.models.registry import MODELS

    opened, registry = _registry(lake)
    found = drift_of(opened, registry, MODELS if model is None else [model], sessions=sessions, config=sql_config())
    emit_rows(as_rows(found), format_)


@app.command()
def mirror(lake: LakeOption = None, format_: FormatOption = Format.table) -> None:
    """Brings the MLflow server of HOSU_MLFLOW_URI up to date with the registry; again adds nothing.

    Train, promote, rollback and score --update do so by themselves where the setting is there.
    """
    from dataclasses import asdict

    done = mirrored(*_registry(lake))
    say(done)
    names = ("model", "versions", "added", "moved", "left_out")
    emit_rows([asdict(each) for each in done], format_, columns=names)


def _registry(lake: str | None) -> tuple[Lake, Registry]:
    from hosu.clock import SystemClock
    from hosu.models.registry import Registry

    opened = open_lake(lake)
    return opened, Registry(opened, SystemClock())


def _request(
    model: str, kind: str, set_: str, param: list[str] | None, seed: int, *, symbols: str | None, **span: Any
) -> Request:
    from hosu.features.definitions import feature_set
    from hosu.models.estimators import Configuration
    from hosu.models.registry import HORIZONS
    from hosu.models.training import Request

    features = feature_set(set_, HORIZONS[model][0] if model in HORIZONS else None)
    configuration = Configuration(_kind(kind), _params(param), seed, features.version)
    chosen = None if symbols is None else tuple(sorted({each.strip() for each in symbols.split(",") if each.strip()}))
    return Request(
        model,
        configuration,
        features,
        start=None if span["from_"] is None else day_of(span["from_"]).isoformat(),
        end=None if span["to"] is None else day_of(span["to"]).isoformat(),
        days=span["days"],
        view=span["view"],
        symbols=chosen,
    )


def _kind(text: str) -> Any:
    from hosu.errors import InputError
    from hosu.models.estimators import Kind

    if text not in {each.value for each in Kind}:
        raise InputError(f"--kind {text}", "is unknown", f"choose one of {', '.join(each.value for each in Kind)}")
    return Kind(text)


def _params(texts: list[str] | None) -> dict[str, float]:
    from math import inf, nan

    from hosu.errors import InputError

    found = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = nan
        if not 0 < number < inf:
            raise InputError(f"--param {text}", "is not NAME=NUMBER above 0", "write it as rounds=50")
        found[name] = int(number) if number.is_integer() else number
    return found


def _evaluated(lake: Any, request: Request, threads: int) -> Evaluated:
    from hosu.clock import SystemClock
    from hosu.models.lake_trials import LakeTrials
    from hosu.models.training import evaluate as run

    with _telling() as tell:
        return run(lake, request, LakeTrials(lake, SystemClock()), threads=threads, config=sql_config(), progress=tell)


@contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    with progress() as shown:
        task = shown.add_task("dataset", total=None)
        yield lambda what, number, count: shown.update(task, description=what, completed=number, total=count)


def _say(evaluated: Evaluated, format_: Format, kept: Kept | None = None) -> None:
    from dataclasses import asdict

    from hosu.models.keeping import about_of
    from hosu.models.report import figures

    judgement = evaluated.judgement
    note(judgement.sentence)
    if kept is not None:
        seat = "serves now" if kept.promoted else "runs beside the champion" if kept.challenges else "does not serve"
        note(f"{evaluated.request.model}: kept as version {kept.version}, {seat}")
    if format_ is Format.json:
        told = {"version": None, "promoted": False, "challenges": False} if kept is None else asdict(kept)
        emit_json({**figures(judgement, evaluated.walked, about_of(evaluated)), **told})
        return
    emit_rows(
        [{"check": each.name, "passed": each.passed, "says": each.sentence} for each in judgement.checks], format_
    )
