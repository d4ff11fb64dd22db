"""``hosu models train`` and ``evaluate``: what is trained is asked for by one list of options."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from hosu.cli.mirroring import mirror_if_set
from hosu.cli.options import FormatOption, LakeOption, day_of, open_lake, sql_config
from hosu.cli.output import Format, emit_json, emit_rows, note, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.features.dataset import Dataset
    from hosu.models.keeping import Kept
    from hosu.models.training import Evaluated, Request

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
WorldsOption = Annotated[
    int, typer.Option("--worlds", min=0, help="Learn anew in so many worlds of turned labels too; each takes a walk.")
]
ThreadsOption = Annotated[int, typer.Option("--threads", min=1, help="Of the libraries.")]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command that trains is asked for."""

    model: ModelArgument
    kind: KindOption = "gbdt"
    set_: SetOption = "scale_free_v1"
    param: ParamOption = None
    seed: SeedOption = 0
    from_: FromOption = None
    to: ToOption = None
    days: DaysOption = "certified"
    view: ViewOption = "repaired"
    symbols: SymbolsOption = None
    worlds: WorldsOption = 0
    threads: ThreadsOption = 2
    lake: LakeOption = None
    format_: FormatOption = Format.table


def _asking(command: Callable[..., None]) -> Callable[..., None]:
    """The command with the options of ``Asked`` before its own; it gets them as its first argument."""
    hints = get_type_hints(Asked, include_extras=True)
    shared = {
        name: each.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY)
        for name, each in inspect.signature(Asked).parameters.items()
    }
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    every = [*shared.values(), *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own)]

    def run(**given: Any) -> None:
        command(Asked(**{name: given.pop(name) for name in shared}), **given)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {each.name: each.annotation for each in every}
    run.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]  # typer reads it
    return run


@_asking
def train(
    asked: Asked,
    auto: Annotated[
        bool, typer.Option("--auto", help="For a schedule: it challenges whoever serves, and the journal decides.")
    ] = False,
) -> None:
    """Walks the model through history, judges it, and keeps it as a version.

    One whose verdict is `edge` serves where the prior did; where a champion serves, it runs beside that one.
    """
    from hosu.clock import SystemClock
    from hosu.models.keeping import keep
    from hosu.models.prior import counted, keep_rates
    from hosu.models.registry import Registry

    opened, request = open_lake(asked.lake), _request(asked)
    registry = Registry(opened, SystemClock())
    evaluated = _evaluated(opened, request, asked, lambda made: keep_rates(registry, request.model, counted(made.rows)))
    with _telling() as tell:
        kept = keep(opened, registry, evaluated, threads=asked.threads, auto=auto, progress=tell)
    _say(evaluated, asked.format_, kept)
    mirror_if_set(opened, registry)


@_asking
def evaluate(asked: Asked) -> None:
    """Walks and judges like `train`, and keeps nothing but the trial."""
    _say(_evaluated(open_lake(asked.lake), _request(asked), asked), asked.format_)


def _request(asked: Asked) -> Request:
    from hosu.features.definitions import feature_set
    from hosu.models.estimators import Configuration
    from hosu.models.registry import HORIZONS
    from hosu.models.training import Request

    features = feature_set(asked.set_, HORIZONS[asked.model][0] if asked.model in HORIZONS else None)
    symbols = asked.symbols
    configuration = Configuration(_kind(asked.kind), _params(asked.param), asked.seed, features.version)
    return Request(
        asked.model,
        configuration,
        features,
        start=None if asked.from_ is None else day_of(asked.from_).isoformat(),
        end=None if asked.to is None else day_of(asked.to).isoformat(),
        days=asked.days,
        view=asked.view,
        symbols=None
        if symbols is None
        else tuple(sorted({each.strip() for each in symbols.split(",") if each.strip()})),
    )


def _kind(text: str) -> Any:
    from hosu.errors import InputError
    from hosu.models.estimators import Kind

    choose = f"choose one of {', '.join(each.value for each in Kind if each is not Kind.PRIOR)}"
    if text == Kind.PRIOR:
        raise InputError(f"--kind {text}", "is version 0, which is there without training", choose)
    if text not in {each.value for each in Kind}:
        raise InputError(f"--kind {text}", "is unknown", choose)
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


def _evaluated(
    lake: Any, request: Request, asked: Asked, built: Callable[[Dataset], object] = lambda _: None
) -> Evaluated:
    from hosu.clock import SystemClock
    from hosu.models.lake_trials import LakeTrials
    from hosu.models.training import evaluate as run

    with _telling() as tell:
        return run(
            lake,
            request,
            LakeTrials(lake, SystemClock()),
            threads=asked.threads,
            worlds=asked.worlds,
            config=sql_config(),
            progress=tell,
            built=built,
        )


@contextmanager
def _telling() -> Iterator[Callable[[str, int, int], None]]:
    with progress() as shown:
        task = shown.add_task("dataset", total=None)
        yield lambda what, number, count: shown.update(task, description=what, completed=number, total=count)


def _seat(kept: Kept) -> str:
    if kept.not_servable is not None:
        return f"not servable: {kept.not_servable}"
    if kept.not_entered is not None:
        return f"not entered: {kept.not_entered}"
    return "serves now" if kept.promoted else "runs beside the champion" if kept.challenges else "does not serve"


def _say(evaluated: Evaluated, format_: Format, kept: Kept | None = None) -> None:
    from dataclasses import asdict, fields

    from hosu.models.keeping import Kept, about_of
    from hosu.models.report import figures

    judgement = evaluated.judgement
    note(judgement.sentence)
    if kept is not None:
        note(f"{evaluated.request.model}: kept as version {kept.version}, {_seat(kept)}")
    if format_ is Format.json:
        nowhere = dict.fromkeys(each.name for each in fields(Kept)) | {"promoted": False, "challenges": False}
        told = nowhere if kept is None else asdict(kept)
        emit_json({**figures(judgement, evaluated.walked, about_of(evaluated)), **told})
        return
    emit_rows(
        [{"check": each.name, "passed": each.passed, "says": each.sentence} for each in judgement.checks], format_
    )
