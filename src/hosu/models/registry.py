"""Models in the lake: versions that never change, and a history that says which one serves.

A version's files lie in a folder below ``ml/models/<model>`` that is named after what they hold, so that nobody can
write over them; their checksums stand in its card, and the card in the row of ``model_events`` that registers it. Who
serves (the champion) is what the model's last row says: a row is one commit, so that readers see the old one or the
new one. Version 0 is the prior: it has no files, and serves from the beginning.

Several may act at once. Each act is decided on one history and committed as what follows that very history; where
somebody was quicker, nothing is written and the act is decided again on what stands then.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import (
    ChallengerRunsError,
    CommitConflictError,
    HistoryMovedError,
    InputError,
    ModelDamagedError,
    NotServableError,
    PromotionRefusedError,
)
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine
from hosu.models.history import (
    PRIOR,
    challenger_of,
    champion_of,
    events_of,
    files_of,
    rates_in,
    revision_of,
    row_of,
    served_before,
    version_in,
    versions_in,
    wanted,
)
from hosu.models.learned_from import keep_dataset
from hosu.models.servable import unservable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hosu.clock import Clock
    from hosu.lake.lake import Lake
    from hosu.models.history import Event, Version

__all__ = ["EDGE", "FOLDER", "HORIZONS", "MODELS", "PRIOR", "TABLE", "Registry"]

TABLE: Final = "model_events"
FOLDER: Final = "ml/models"
HORIZONS: Final = {"day-1": ("day", 1), "day-5": ("day", 5), "minute-10": ("minute", 10), "minute-30": ("minute", 30)}
"""Interval and horizon of each model, in sessions or minutes."""
MODELS: Final = tuple(HORIZONS)
EDGE: Final = "edge"
"""The one verdict with which a version may become champion."""
_TRIES: Final = 20
_NEWEST: Final = "SELECT * EXCLUDE (date) FROM events WHERE model = '{model}' ORDER BY revision"


class Registry:
    """The registry of one lake; every call reads what is there now.

    Args:
        lake: where it lies.
        clock: dates the events.
    """

    def __init__(self, lake: Lake, clock: Clock) -> None:
        self._lake, self._clock = lake, clock

    def now_us(self) -> int:
        """By the clock that dates the events, UTC microseconds."""
        return self._clock.now_us()

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
        return events_of(rows)

    def versions(self, model: str) -> list[Version]:
        """The registered versions, oldest first; the prior, which has no card, is not among them."""
        return versions_in(self.history(model))

    def champion(self, model: str) -> int:
        """The version that serves; ``PRIOR`` as long as none was promoted."""
        return champion_of(self.history(model))

    def challenger(self, model: str) -> int | None:
        """The version that runs beside the champion; None for nobody."""
        return challenger_of(self.history(model))

    def version(self, model: str, version: int) -> Version:
        """One version.

        Raises:
            ModelNotFoundError: there is none of that number.
        """
        return version_in(self.history(model), model, version)

    def load(self, model: str, version: int) -> dict[str, bytes]:
        """The files of a version by name, checked against its card.

        Raises:
            ModelNotFoundError: there is none of that number.
            ModelDamagedError: a file is missing or another one than was registered, or the card does not name files
                of this model.
        """
        files = {}
        for name, path, digest in files_of(self.version(model, version), f"{FOLDER}/{model}"):
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

        def decide(history: Sequence[Event]) -> Event:
            version = 1 + max((each.version for each in history), default=PRIOR)
            return wanted(model, history, "registered", version, "trained", verdict=verdict, card=whole)

        return self._act(model, decide, None)[-1].version

    def count(self, model: str, card: Mapping[str, Any], counted: str) -> bool:
        """Keeps the base rates of version 0, the card's ``prior``, for good; ``counted`` says in words what they are.

        Returns whether they are these: False where the history tells some already, and nothing was done.
        """
        done = False

        def decide(history: Sequence[Event]) -> Event | None:
            nonlocal done
            done = rates_in(history) is None
            return wanted(model, history, "counted", PRIOR, counted, card=dict(card)) if done else None

        self._act(model, decide, None)
        return done

    def promote(
        self, model: str, version: int, reason: str, *, override: bool = False, seen: int | None = None
    ) -> None:
        """Makes a version the champion; one that is champion stays so. The dataset it learned from is kept then.

        Args:
            model: as ``day-1``.
            version: which.
            reason: why, for the history.
            override: whatever its verdict.
            seen: the revision of the history on which this was decided; None: whatever stands now.

        Raises:
            PromotionRefusedError: its verdict is not ``edge``, and ``override`` was not asked for.
            NotServableError: it learned from another feature set than is served; no override helps.
            InputError: no reason is given, or it is the prior.
            ModelNotFoundError, ModelDamagedError: it cannot be loaded.
            DatasetLostError: its dataset is not kept, and cannot be made again.
            HistoryMovedError: the history is not at ``seen`` any more; nothing was done.
        """

        if not reason.strip():
            raise InputError(f"the reason to promote version {version} of {model}", "is empty", "say why; it is kept")
        if version == PRIOR:
            raise InputError(
                f"version {PRIOR} of {model}", "is the prior, which is not promoted", "use `hosu models rollback`"
            )

        def decide(history: Sequence[Event]) -> Event | None:
            found = version_in(history, model, version)
            _refuse(found, unservable(found))
            if found.verdict != EDGE and not override:
                raise PromotionRefusedError(model, version, found.verdict)
            past_gate = override and found.verdict != EDGE
            return None if found.serves else wanted(model, history, "promoted", version, reason, override=past_gate)

        history = self.history(model)
        decide(history)
        self.load(model, version)
        keep_dataset(self._lake, version_in(history, model, version))
        self._act(model, decide, seen)

    def rollback(self, model: str, reason: str, *, seen: int | None = None) -> int:
        """Puts the champion before the present one back, in the end the prior; returns who serves now.

        Whom no seat would take, since its files are damaged or it learned from another feature set than is served, is
        passed over: the registry would name it, and the one rolled back would serve on. The history says why.

        Raises:
            InputError: the prior serves.
            HistoryMovedError: the history is not at ``seen`` any more, or somebody else has changed who serves
                meanwhile: then another one than was meant would go. Nothing was done.
        """
        meant = champion_of(self.history(model))

        def decide(history: Sequence[Event]) -> Event:
            champion = champion_of(history)
            if champion != meant:
                raise HistoryMovedError(model, f"version {meant} was to go, and version {champion} serves now")
            if champion == PRIOR:
                raise InputError(f"model {model}", "is served by the prior", "there is nothing to roll back")
            version, passed_over = self._usable(model, history)
            return wanted(model, history, "rolled_back", version, "; ".join([reason, *passed_over]))

        return champion_of(self._act(model, decide, seen))

    def _usable(self, model: str, history: Sequence[Event]) -> tuple[int, list[str]]:
        """The last one before the champion that can be loaded, and in words why the later ones cannot."""
        passed_over: list[str] = []
        for version in served_before(history):
            if version == PRIOR:
                break
            if version == champion_of(history):  # promoted twice, and whoever came between cannot be loaded
                continue
            why = self._unusable(model, version)
            if why is None:
                return version, passed_over
            passed_over.append(f"version {version} was passed over: {why}")
        return PRIOR, passed_over

    def _unusable(self, model: str, version: int) -> str | None:
        try:
            self.load(model, version)
        except ModelDamagedError as error:
            return str(error)
        return unservable(self.version(model, version))

    def challenge(self, model: str, version: int, reason: str, *, seen: int | None = None) -> None:
        """Lets a version run beside the champion.

        Raises:
            ChallengerRunsError: another one does already.
            NotServableError: it would never answer: it learned from another feature set than is served.
            InputError: it is the champion.
            ModelNotFoundError: there is none of that number.
            HistoryMovedError: the history is not at ``seen`` any more; nothing was done.
        """

        def decide(history: Sequence[Event]) -> Event:
            running = challenger_of(history)
            if running is not None:
                raise ChallengerRunsError(model, running)
            found = version_in(history, model, version)
            _refuse(found, unservable(found))
            if found.serves:
                raise InputError(f"version {version} of {model}", "serves already", "let another one challenge it")
            return wanted(model, history, "challenger", version, reason)

        self._act(model, decide, seen)

    def end_challenge(self, model: str, event: str, reason: str, *, seen: int | None = None) -> None:
        """Ends the running challenge without a promotion; nothing where none runs.

        Args:
            model: as ``day-1``.
            event: ``dropped`` (it lost) or ``kept`` (nobody won).
            reason: why, for the history.
            seen: the revision of the history on which this was decided; None: whatever stands now.

        Raises:
            HistoryMovedError: the history is not at ``seen`` any more, or another challenger runs than did when this
                was called; nothing was done.
        """
        meant = challenger_of(self.history(model))

        def decide(history: Sequence[Event]) -> Event | None:
            running = challenger_of(history)
            if running is None:
                return None
            if running != meant:
                raise HistoryMovedError(model, f"the challenge of {meant} was to end, and {running} runs now")
            return wanted(model, history, event, running, reason)

        self._act(model, decide, seen)

    def _act(self, model: str, decide: Callable[[Sequence[Event]], Event | None], seen: int | None) -> Sequence[Event]:
        """Commits what is decided on the history that stands; returns the history behind it.

        Where somebody else commits first, it is decided again on theirs: a decision that was right on the history
        before may be wrong, or made already, on this one.
        """
        for _ in range(_TRIES):
            history = self.history(model)
            if seen is not None and revision_of(history) != seen:
                raise HistoryMovedError(model, f"it was decided on revision {seen}, and {revision_of(history)} stands")
            event = decide(history)
            if event is None:
                return history
            if self._commit(event):
                return [*history, event]
        raise CommitConflictError(TABLE, f"others change model {model} all the time")

    def _commit(self, event: Event) -> bool:
        """Adds the event as the next of the history it was decided on; False if somebody else did so first."""
        table, app_id = self._lake.table(TABLE), f"hosu:model:{event.model}"
        table.refresh()
        if table.covered(app_id) >= event.revision:
            return False
        date, row = row_of(event, max(self._clock.now_us(), 0), table.spec.file_schema)
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


def _refuse(version: Version, why: str | None) -> None:
    if why is not None:
        raise NotServableError(version.model, version.version, why)
