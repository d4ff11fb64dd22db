"""A registered version as a run of an experiment tracker: parameters, metrics, tags and files, by plain names.

Everything is read from the version's card, its report and its model's history; nothing is reckoned anew.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from hosu.models.registry import HORIZONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hosu.models.history import Event, Version

_LONGEST: Final = 4_000
"""Characters of a text at most; trackers cut or refuse longer ones."""
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_\-. /]")
_REPORT: Final = "report.json"
_CARD: Final = ("kind", "seed", "feature_set", "from", "to", "rows", "labelled", "folds")
_TOLD: Final = {"dataset": "dataset", "feature_set": "feature_set", "code": "code", "configuration": "configuration"}


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What is said of one version.

    Attributes:
        params: what it was trained with.
        metrics: the gate's figures; a step counts the folds of a series, and is 0 of all else.
        tags: what it is: dataset, feature set, verdict, version of the code.
        files: by path; the model's own below ``model/``.
        at_ms: when it was registered, UTC milliseconds.
    """

    params: dict[str, str]
    metrics: list[tuple[str, float, int]]
    tags: dict[str, str]
    files: dict[str, bytes]
    at_ms: int


def run_of(version: Version, files: Mapping[str, bytes]) -> RunFacts:
    """What is said of a version.

    Args:
        version: with its card.
        files: of the version, by name.
    """
    report = _parsed(files.get(_REPORT, b""))
    card = json.dumps(version.card, indent=1, sort_keys=True, ensure_ascii=False).encode()
    placed = {name if name.startswith("report.") else f"model/{name}": data for name, data in files.items()}
    return RunFacts(
        params=_params(version),
        metrics=list(_metrics(report)),
        tags=_tags(version),
        files={"card.json": card, **placed},
        at_ms=version.registered_us // 1_000,
    )


def checks_of(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Name, ``passed`` and sentence of each of the gate's checks, from a version's files; empty where no report is."""
    told = _each(_parsed(files.get(_REPORT, b"")).get("checks"))
    return [{name: check.get(name) for name in ("name", "passed", "sentence")} for check in told]


def _params(version: Version) -> dict[str, str]:
    interval, horizon = HORIZONS[version.model]
    told: dict[str, Any] = {name: version.card[name] for name in _CARD if name in version.card}
    told |= {"interval": interval, "horizon": horizon}
    given = version.card.get("params")
    told |= {f"param.{name}": value for name, value in given.items()} if isinstance(given, dict) else {}
    return {_named(name): _short(value) for name, value in sorted(told.items())}


def _tags(version: Version) -> dict[str, str]:
    told = {tag: version.card[name] for name, tag in _TOLD.items() if name in version.card}
    told |= {"model": version.model, "version": version.version, "verdict": version.verdict}
    named = {f"hosu.{name}": _short(value) for name, value in told.items()}
    return {**named, "mlflow.note.content": _short(version.card.get("sentence", version.verdict))}


def _metrics(report: Mapping[str, Any]) -> Iterator[tuple[str, float, int]]:
    for check in _each(report.get("checks")):
        name = _named(str(check.get("name", "check")))
        yield f"{name}/passed", float(bool(check.get("passed"))), 0
        yield from _numbers(name, check.get("figures"))
    for group in ("price", "reported", "sessions"):
        yield from _numbers(group, report.get(group))
    for step, fold in enumerate(_each(report.get("folds"))):
        if _is_number(fold.get("ic")):
            yield "folds/ic", float(fold["ic"]), step


def _numbers(group: str, told: object) -> Iterator[tuple[str, float, int]]:
    for name, value in told.items() if isinstance(told, dict) else ():
        if _is_number(value):
            yield f"{group}/{_named(str(name))}", float(value), 0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _each(told: object) -> list[dict[str, Any]]:
    return [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []


def _parsed(data: bytes) -> dict[str, Any]:
    """The report; empty where there is none, or none that can be read."""
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return told if isinstance(told, dict) else {}


def _named(text: str) -> str:
    return _UNUSUAL.sub("_", text)


def _short(value: object) -> str:
    return str(value)[:_LONGEST]


def story_of(history: Sequence[Event]) -> str:
    """The history in lines, the newest first, as many as a description holds."""
    lines: list[str] = []
    for event in reversed(history):
        at = dt.datetime.fromtimestamp(event.at_us / 1e6, dt.UTC).strftime("%Y-%m-%d %H:%M")
        serves = "the prior" if event.champion == 0 else f"version {event.champion}"
        past = " (past the gate)" if event.override else ""
        lines.append(f"{at} {event.event} {event.version}{past}: {event.reason}; {serves} serves")
        if sum(map(len, lines)) + len(lines) > _LONGEST:
            return "\n".join(lines[:-1])
    return "\n".join(lines)
