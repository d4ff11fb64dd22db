"""Models in the lake: versions that never change, and a history that says which one serves.

A version's files lie in a folder below ``ml/models/<model>`` that is named after what they hold, so that nobody can
write over them; their checksums stand in its card, and the card in the row of ``model_events`` that registers it. Who
serves (the champion) is what the model's last row says: a row is one commit, so that readers see the old one or the
new one. Version 0 is the prior: it has no files, and serves from the beginning.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import CommitConflictError, InputError, ModelDamagedError, ModelNotFoundError, PromotionRefusedError
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.clock import Clock
    from hosu.lake.lake import Lake

TABLE: Final = "model_events"
FOLDER: Final = "ml/models"
HORIZONS: Final = {"day-1": ("day", 1), "day-5": ("day", 5), "minute-10": ("minute", 10), "minute-30": ("minute", 30)}
"""Interval and horizon of each model, in sessions or minutes."""
MODELS: Final = tuple(HORIZONS)
PRIOR: Final = 0
EDGE: Final = "edge"
"""The one verdict with which a version may become champion."""
_TRIES: Final = 20
_NEWEST: Final = "SELECT * EXCLUDE (date) FROM events WHERE model = '{model}' ORDER BY revision"


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


class Registry:
    """The registry of one lake; every call reads what is there now.

    Args:
        lake: where it lies.
        clock: dates the events.
    """

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock

    # --- what is there --------------------------------------------------------------------------------------------

    def history(self, model: str) -> list[Event]:
        """Everything that happened to a model, oldest first.

        Raises:
            InputError: an unknown model.
        """
        if model not in MODELS:
            raise InputError(f"model {model!r}", "does not exist", f"choose one of {', '.join(MODELS)}")
        table = self._lake.find(TABLE)
        if table is None:
            return []
        sql = _NEWEST.format(model=model)
        rows = combine(self._lake.storage, sql, files={"events": (table, table.files())}, beside={}, config=SqlConfig())
        return [_event(row) for row in _in_microseconds(rows).to_pylist()]

    def versions(self, model: str) -> list[Version]:
        """The registered versions, oldest first; the prior, which has no card, is not among them."""
        history = self.history(model)
        champion = history[-1].champion if history else PRIOR
        return [
            Version(model, each.version, each.verdict or "", each.card or {}, each.at_us, each.version == champion)
            for each in history
            if each.event == "registered"
        ]

    def champion(self, model: str) -> int:
        """The version that serves; ``PRIOR`` as long as none was promoted."""
        history = self.history(model)
        return history[-1].champion if history else PRIOR

    def challenger(self, model: str) -> int | None:
        """The version that runs beside the champion; None for nobody."""
        history = self.history(model)
        return history[-1].challenger if history else None

    def version(self, model: str, version: int) -> Version:
        """One version.

        Raises:
            ModelNotFoundError: there is none of that number.
        """
        found = self.versions(model)
        for each in found:
            if each.version == version:
                return each
        raise ModelNotFoundError(model, version, [each.version for each in found])

    def load(self, model: str, version: int) -> dict[str, bytes]:
        """The files of a version by name, checked against its card.

        Raises:
            ModelNotFoundError: there is none of that number.
            ModelDamagedError: a file is missing or another one than was registered.
        """
        card = self.version(model, version).card
        files = {}
        for name, digest in card["files"].items():
            path = f"{card['folder']}/{name}"
            try:
                data = self._lake.storage.get(path)
            except FileNotFoundError:
                raise ModelDamagedError(self._lake.storage.address(path), "is missing") from None
            if hashlib.sha256(data).hexdigest() != digest:
                raise ModelDamagedError(self._lake.storage.address(path), "is not what was registered")
            files[name] = data
        return files

    # --- what happens ---------------------------------------------------------------------------------------------

    def register(self, model: str, files: Mapping[str, bytes], card: Mapping[str, Any], verdict: str) -> int:
        """Keeps a version for good; returns its number. It serves nobody yet."""
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
        folder = f"{FOLDER}/{model}/{hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:16]}"
        self._store(folder, files)
        whole = {**card, "folder": folder, "files": digests}
        for _ in range(_TRIES):
            history = self.history(model)
            version = 1 + max((each.version for each in history), default=PRIOR)
            wanted = Event(model, 0, "registered", version, PRIOR, None, verdict, "trained", False, whole, 0)
            if self._append(history, wanted):
                return version
        raise CommitConflictError(TABLE, f"model {model} is being registered by others all the time")

    def promote(self, model: str, version: int, reason: str, *, override: bool = False) -> None:
        """Makes a version the champion.

        Raises:
            PromotionRefusedError: its verdict is not ``edge``, and ``override`` was not asked for.
            ModelNotFoundError, ModelDamagedError: it cannot be loaded.
        """
        found = self.version(model, version)
        if found.verdict != EDGE and not override:
            raise PromotionRefusedError(model, version, found.verdict)
        self.load(model, version)
        self._happened(model, "promoted", version, reason, override=override and found.verdict != EDGE)

    def rollback(self, model: str, reason: str) -> int:
        """Puts the champion before the present one back, else the prior; returns who serves now."""
        history = self.history(model)
        champion = history[-1].champion if history else PRIOR
        if champion == PRIOR:
            raise InputError(f"model {model}", "is served by the prior", "there is nothing to roll back")
        before = _served_before(history)
        self._happened(model, "rolled_back", before, reason)
        return before

    def challenge(self, model: str, version: int, reason: str) -> None:
        """Lets a version run beside the champion.

        Raises:
            InputError: another one does already.
            ModelNotFoundError: there is none of that number.
        """
        running = self.challenger(model)
        if running is not None:
            raise InputError(f"model {model}", f"has version {running} as its challenger", "let that one end first")
        self.version(model, version)
        self._happened(model, "challenger", version, reason)

    def end_challenge(self, model: str, event: str, reason: str) -> None:
        """Ends the challenge without a promotion; ``event`` is ``dropped`` (it lost) or ``kept`` (nobody won)."""
        running = self.challenger(model)
        if running is not None:
            self._happened(model, event, running, reason)

    def _happened(self, model: str, event: str, version: int, reason: str, *, override: bool = False) -> None:
        for _ in range(_TRIES):
            history = self.history(model)
            verdict = next((each.verdict for each in history if each.version == version), None)
            if self._append(history, Event(model, 0, event, version, PRIOR, None, verdict, reason, override, None, 0)):
                return
        raise CommitConflictError(TABLE, f"others change model {model} all the time")

    def _append(self, history: list[Event], event: Event) -> bool:
        """Adds an event behind this history; False if somebody else did so first."""
        last = history[-1] if history else None
        champion, challenger = (last.champion, last.challenger) if last is not None else (PRIOR, None)
        if event.event in {"promoted", "rolled_back"}:
            champion = event.version
        if event.event == "challenger":
            challenger = event.version
        elif event.event in {"dropped", "kept"} or challenger == champion:
            challenger = None
        revision = 1 + (last.revision if last is not None else 0)
        row = replace(
            event, revision=revision, champion=champion, challenger=challenger, at_us=max(self._clock.now_us(), 0)
        )
        return self._commit(row)

    def _commit(self, event: Event) -> bool:
        table, app_id = self._lake.table(TABLE), f"hosu:model:{event.model}"
        table.refresh()
        if table.covered(app_id) >= event.revision:
            return False
        date, row = _row(event, table.spec.file_schema)
        file = table.store(date, live_name(), encode(table.spec, row))
        try:
            table.append([file], {app_id: event.revision})
        except CommitConflictError:
            return False
        table.sync()
        return True

    def _store(self, folder: str, files: Mapping[str, bytes]) -> None:
        paths = {f"{folder}/{name}": data for name, data in files.items()}
        for path, data in paths.items():
            self._lake.storage.put(path, data)
        self._lake.storage.sync(paths)


def _served_before(history: list[Event]) -> int:
    """Who served before the present champion was promoted, as far as it was not rolled back itself."""
    stack = [PRIOR]
    for event in history:
        if event.event == "promoted" and event.version != stack[-1]:
            stack.append(event.version)
        elif event.event == "rolled_back" and len(stack) > 1:
            stack.pop()
    return stack[-2] if len(stack) > 1 else PRIOR


def _in_microseconds(rows: pa.Table) -> pa.Table:
    at = rows.schema.get_field_index("at")
    return rows.set_column(at, "at", pc.cast(rows.column("at"), pa.timestamp("us", "UTC")).cast(pa.int64()))


def _event(row: dict[str, Any]) -> Event:
    card = None if row["card"] is None else json.loads(row["card"])
    kept = {name: value for name, value in row.items() if name not in {"card", "at"}}
    return Event(**kept, card=card, at_us=row["at"])


def _row(event: Event, schema: pa.Schema) -> tuple[str, pa.Table]:
    at = pa.array([event.at_us]).cast(pa.timestamp("us", "UTC"))
    values = {
        "model": event.model,
        "revision": event.revision,
        "event": event.event,
        "version": event.version,
        "champion": event.champion,
        "challenger": event.challenger,
        "verdict": event.verdict,
        "reason": event.reason,
        "override": event.override,
        "card": None if event.card is None else json.dumps(event.card, ensure_ascii=False, sort_keys=True),
    }
    columns = [at if each.name == "at" else pa.array([values[each.name]], each.type) for each in schema]
    return pc.strftime(at, "%Y-%m-%d")[0].as_py(), pa.table(columns, schema=schema)
