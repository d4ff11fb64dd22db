"""Keeps a judged model: learned from all of its dataset, as files, with its card and report; promoted if it may."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hosu import __version__
from hosu.errors import HistoryMovedError
from hosu.features.dataset_files import save
from hosu.market.calendar import business_day
from hosu.models.bundle import pack
from hosu.models.gate import Verdict
from hosu.models.history import PRIOR, challenged, champion_of, revision_of
from hosu.models.registry import HORIZONS
from hosu.models.report import as_html, as_json
from hosu.models.servable import unservable
from hosu.models.training import learned
from hosu.models.update import enter

if TYPE_CHECKING:
    from hosu.lake.lake import Lake
    from hosu.models.registry import Registry
    from hosu.models.training import Evaluated, Progress

_SAMPLE: Final = 20_000


@dataclass(frozen=True, slots=True)
class Kept:
    """The number under which a model is kept, whether it serves, and whether it runs beside the champion.

    ``not_servable``: why it could do neither, in words; None where it could. ``not_entered``: why it could run beside
    the champion and does not, in words; None where it does, or could not.
    """

    version: int
    promoted: bool
    challenges: bool = False
    not_servable: str | None = None
    not_entered: str | None = None


def keep(
    lake: Lake,
    registry: Registry,
    evaluated: Evaluated,
    *,
    threads: int = 1,
    auto: bool = False,
    progress: Progress = lambda *_: None,
) -> Kept:
    """Registers the model. One with an edge becomes champion where the prior serves; where a champion does, it runs
    beside it, unless another challenger does, and the journal decides. Its dataset is kept with it then.
    One that could not answer takes no place.

    Args:
        lake: where everything is kept.
        registry: of that lake.
        evaluated: what is kept.
        threads: of the libraries.
        auto: it runs beside whoever serves whatever its verdict; promoted it is only with an edge, later.
        progress: told what is done.

    Raises:
        NotEnoughDataError, UnusableRowsError: it cannot learn from the whole.
        ModelDamagedError: its files do not answer as it does.
        LakeError: the lake takes nothing.
    """
    request, judgement = evaluated.request, evaluated.judgement
    progress("learning from the whole", 0, 1)
    final = learned(evaluated, threads=threads)
    interval, horizon = HORIZONS[request.model]
    features = evaluated.dataset.rows.features
    files = pack(
        final,
        request.configuration,
        model=request.model,
        horizon=horizon,
        interval=interval,
        feature_set_version=request.features.version,
        persistence=judgement.persistence,
        verdict=judgement.verdict.value,
        calibrated=judgement.calibrated,
        certified_only=request.days == "certified",
        sample=features[:: max(1, len(features) // _SAMPLE)],
    )
    progress("report", 0, 1)
    about = about_of(evaluated)
    files |= {
        "report.json": as_json(judgement, evaluated.walked, about).encode(),
        "report.html": as_html(judgement, evaluated.walked, about).encode(),
    }
    card = {**_card(evaluated), "prior": final.prior.tolist()}  # version 0's, where none were counted before
    version = registry.register(request.model, files, card, judgement.verdict.value)
    return _seated(lake, registry, evaluated, version, auto=auto)


def _seated(lake: Lake, registry: Registry, evaluated: Evaluated, version: int, *, auto: bool) -> Kept:
    model, edge = evaluated.request.model, evaluated.judgement.verdict is Verdict.EDGE
    why = unservable(registry.version(model, version))
    if why is not None or not (edge or auto):
        return Kept(version, promoted=False, not_servable=why)
    save(lake, evaluated.dataset)
    if edge and not auto and _first(registry, model, version):
        return Kept(version, promoted=True)
    if enter(registry, model, version, "newer"):
        return Kept(version, promoted=False, challenges=True)
    return Kept(version, promoted=False, not_entered=_taken(registry, model))


def _taken(registry: Registry, model: str) -> str:
    began = challenged(registry.history(model))
    if began is None:  # it has ended this very moment
        return "another version challenged; train again"
    since = business_day(began.at_us)[0]
    return f"version {began.version} challenges since {since}; end it with `hosu models drop {model}`"


def _first(registry: Registry, model: str, version: int) -> bool:
    """Promotes it where the prior serves; False where a champion does, also one that came a moment before."""
    while champion_of(history := registry.history(model)) == PRIOR:
        with suppress(HistoryMovedError):
            registry.promote(model, version, "passed the gate", seen=revision_of(history))
            return True
    return False


def _card(evaluated: Evaluated) -> dict[str, Any]:
    request, rows = evaluated.request, evaluated.dataset.rows
    configuration = request.configuration
    return {
        "kind": configuration.kind.value,
        "params": dict(configuration.params),
        "seed": configuration.seed,
        "configuration": configuration.key,
        "feature_set": request.features.version,
        "features": list(request.features.features),
        "dataset": evaluated.dataset.id,
        "dataset_facts": evaluated.dataset.facts,
        "from": rows.sessions[0],
        "to": rows.sessions[-1],
        "rows": len(rows),
        "labelled": int(rows.labelled.sum()),
        "folds": len(evaluated.walked.folds),
        "code": __version__,
        "sentence": evaluated.judgement.sentence,
    }


def about_of(evaluated: Evaluated) -> dict[str, str]:
    """What a report says of the run it is of."""
    request, rows = evaluated.request, evaluated.dataset.rows
    return {
        "model": request.model,
        "kind": request.configuration.kind.value,
        "parameters": ", ".join(f"{name} {value:g}" for name, value in request.configuration.params.items())
        or "default",
        "seed": str(request.configuration.seed),
        "feature set": request.features.version,
        "dataset": evaluated.dataset.id,
        "days": f"{request.days}, {rows.sessions[0]} to {rows.sessions[-1]}",
        "hosu": __version__,
    }
