"""The history of a model: what an event says, who serves after it, and its row in ``model_events``."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import ModelDamagedError, ModelNotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    Rates = tuple[float, float, float]

PRIOR: Final = 0
"""The version that has no files and serves from the beginning."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of ``model_events``; ``at_us`` is UTC microseconds."""

    model: str
    revision: int
    event: str
    version: int
    champion: int
    challenger: int | None
    verdict: str | None
    reason: str
    override: bool
    card: dict[str, Any] | None
    at_us: int


@dataclass(frozen=True, slots=True)
class Version:
    """A registered version: its card, and who it is. ``serves`` says whether it is the champion now."""

    model: str
    version: int
    verdict: str
    card: dict[str, Any]
    registered_us: int
    serves: bool


def wanted(
    model: str,
    history: Sequence[Event],
    event: str,
    version: int,
    reason: str,
    *,
    override: bool = False,
    verdict: str | None = None,
    card: dict[str, Any] | None = None,
) -> Event:
    """What shall happen next after this history: who serves then follows from both. It has no time yet.

    ``verdict`` None: that of the version's registration.
    """
    known = next((each for each in history if each.version == version), None)
    said = verdict if verdict is not None or known is None else known.verdict
    champion, challenger = champion_of(history), challenger_of(history)
    if event in {"promoted", "rolled_back"}:
        champion = version
    if event == "challenger":
        challenger = version
    elif event in {"dropped", "kept"} or challenger == champion:
        challenger = None
    revision = revision_of(history) + 1
    return Event(model, revision, event, version, champion, challenger, said, reason, override, card, 0)


def revision_of(history: Sequence[Event]) -> int:
    """How many events there are; 0 for none."""
    return history[-1].revision if history else 0


def champion_of(history: Sequence[Event]) -> int:
    """Who serves after this history."""
    return history[-1].champion if history else PRIOR


def challenger_of(history: Sequence[Event]) -> int | None:
    """Who runs beside it; None for nobody."""
    return history[-1].challenger if history else None


def challenged(history: Sequence[Event]) -> Event | None:
    """The event with which the running challenge began; None where none runs."""
    if challenger_of(history) is None:
        return None
    return next(event for event in reversed(history) if event.event == "challenger")


def served_before(history: Sequence[Event]) -> list[int]:
    """Who served before the present champion was promoted, as far as it was not rolled back itself: the one before
    first, in the end the prior. A rollback that passed over some of them has taken these away with it."""
    stack = [PRIOR]
    for event in history:
        if event.event == "promoted" and event.version != stack[-1]:
            stack.append(event.version)
        elif event.event == "rolled_back" and len(stack) > 1:
            stack.pop()
            while stack[-1] not in (event.version, PRIOR):
                stack.pop()
    return stack[-2::-1] or [PRIOR]


def rates_in(history: Sequence[Event]) -> Rates | None:
    """The base rates that version 0 answers with: those of the oldest card that tells any, so that they stay; None
    where none does."""
    for event in history:
        told = None if event.card is None else event.card.get("prior")
        if isinstance(told, list) and len(told) == 3 and all(map(_is_share, told)):
            return float(told[0]), float(told[1]), float(told[2])
    return None


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1


def versions_in(history: Sequence[Event]) -> list[Version]:
    """The versions that a history registers, oldest first."""
    champion = champion_of(history)
    return [
        Version(each.model, each.version, each.verdict or "", each.card or {}, each.at_us, each.version == champion)
        for each in history
        if each.event == "registered"
    ]


def version_in(history: Sequence[Event], model: str, version: int) -> Version:
    """One version.

    Raises:
        ModelNotFoundError: there is none of that number.
    """
    found = versions_in(history)
    for each in found:
        if each.version == version:
            return each
    raise ModelNotFoundError(model, version, [each.version for each in found])


def files_of(version: Version, folder: str) -> list[tuple[str, str, str]]:
    """Name, path in the lake and SHA-256 of each file of a version, as its card has them.

    Raises:
        ModelDamagedError: the card does not name them, or names some that do not lie in ``folder``.
    """
    held, named = version.card.get("folder"), version.card.get("files")
    what = f"version {version.version} of {version.model}"
    if not isinstance(held, str) or not isinstance(named, dict):
        raise ModelDamagedError(what, version.card.get("damaged") or "its card names no files")
    found = [(name, f"{held}/{name}", digest) for name, digest in named.items()]
    for _, path, _ in found:
        if not path.startswith(f"{folder}/") or {"", ".", ".."} & set(path.split("/")):
            raise ModelDamagedError(what, f"its card names {path}, which is no file in {folder}")
    return found


def events_of(rows: pa.Table) -> list[Event]:
    """Events from rows of ``model_events`` without ``date``, in their order; one whose card is no JSON object has one
    that says so, and names no files."""
    at = rows.schema.get_field_index("at")
    whole = pc.cast(rows.column("at"), pa.timestamp("us", "UTC")).cast(pa.int64())
    return [_event(row) for row in rows.set_column(at, "at", whole).to_pylist()]


def _event(row: dict[str, Any]) -> Event:
    card = None if row["card"] is None else _card(row)
    kept = {name: value for name, value in row.items() if name not in {"card", "at"}}
    return Event(**kept, card=card, at_us=row["at"])


def _card(row: dict[str, Any]) -> dict[str, Any]:
    """A card that is none is damaged alone: the history stands, and whoever wants this version's files is refused."""
    try:
        card = json.loads(row["card"])
    except (ValueError, RecursionError):
        card = None
    return card if isinstance(card, dict) else {"damaged": "the card is no JSON object"}


def row_of(event: Event, at_us: int, schema: pa.Schema) -> tuple[str, pa.Table]:
    """Date and row of an event that happens at ``at_us``."""
    dated = replace(event, at_us=at_us)
    at = pa.array([dated.at_us]).cast(pa.timestamp("us", "UTC"))
    card = None if dated.card is None else json.dumps(dated.card, ensure_ascii=False, sort_keys=True)
    columns = []
    for field in schema:
        value = card if field.name == "card" else None if field.name == "at" else getattr(dated, field.name)
        columns.append(at if field.name == "at" else pa.array([value], field.type))
    return pc.strftime(at, "%Y-%m-%d")[0].as_py(), pa.table(columns, schema=schema)
