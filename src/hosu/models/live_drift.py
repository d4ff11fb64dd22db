"""Whether what a served model is asked about has moved away from what it learned from, and whether its errors have.

Inputs: of each of the newest sessions on which a version predicted, the features it was asked about (``asked_about``)
against the tenths of its training (``drift.input_drift``). A feature *drifts* when it has lain outside of the ordinary
(a stability index of ``MOVED`` and more) on each of the last ``LASTING`` sessions: in a market that moves together, a
day alone does so often. It drifts since the first session of that unbroken run. Errors: ``drift.error_drift`` over all
sessions whose outcomes are known. Both are told from the journal and the rows of features alone, so that the same lake
tells the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError, ModelError
from hosu.lake.sql import SqlConfig, combine
from hosu.models.asked_about import AskedAbout
from hosu.models.drift import MOVED, RECENT, SCALED_BY, error_drift, input_drift, session_errors
from hosu.models.history import PRIOR, challenger_of, champion_of
from hosu.models.journal import TABLE
from hosu.models.matured import matured
from hosu.models.registry import MODELS
from hosu.models.serve_facts import SERVE, read_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.lake.lake import Lake
    from hosu.models.drift import ErrorDrift, FeatureDrift
    from hosu.models.registry import Registry

LASTING: Final = 5
"""Sessions in a row."""
_DATES: Final = """
SELECT DISTINCT date FROM predictions WHERE model = '{model}' AND model_version = {version} ORDER BY date
"""


@dataclass(frozen=True, slots=True)
class FeatureHistory:
    """One feature over the newest sessions.

    Attributes:
        feature: its name.
        days: dates and what was found, oldest first.
        since: the first session of the run in which it drifts; None where it does not.
    """

    feature: str
    days: tuple[tuple[str, FeatureDrift], ...]
    since: str | None

    @property
    def word(self) -> str:
        """``drifts``, or of the newest session ``stable``, ``moving``, ``moved`` or ``unknown``."""
        return "drifts" if self.since is not None else self.days[-1][1].word


@dataclass(frozen=True, slots=True)
class VersionDrift:
    """What is found of one version.

    Attributes:
        model, version, role: which, and as what it serves now.
        features: its inputs; empty where nothing can be said of them.
        errors: in which sessions its mean error has changed, each change once, oldest first.
        error_days: dates and mean errors of the sessions of which one is known, in order of time.
        unsaid: what cannot be said, and why.
    """

    model: str
    version: int
    role: str
    features: tuple[FeatureHistory, ...]
    errors: tuple[ErrorDrift, ...]
    error_days: tuple[tuple[str, float], ...]
    unsaid: tuple[str, ...]


def drift_of(
    lake: Lake,
    registry: Registry,
    models: Sequence[str] = MODELS,
    *,
    sessions: int = RECENT,
    config: SqlConfig | None = None,
) -> list[VersionDrift]:
    """What is found of the champion, and of the challenger if there is one, of each model.

    Args:
        lake: whose journal and features.
        registry: of the same lake.
        models: which.
        sessions: so many of the newest ones are looked at for inputs.
        config: what DuckDB may take.

    Raises:
        InputError: an unknown model, or fewer sessions than a drift lasts.
        TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
        NotInstalledError: river is missing.
    """
    if sessions < LASTING:
        raise InputError(f"{sessions} sessions", f"are fewer than the {LASTING} a drift lasts", "look at more")
    settings, found = config or SqlConfig(), []
    for model in models:
        history = registry.history(model)
        roles = {champion_of(history): "champion", challenger_of(history): "challenger"}
        for version, role in roles.items():
            if version is not None:
                found.append(_Look(lake, registry, model, version, settings).drift(role, sessions))
    return found


@dataclass(frozen=True, slots=True)
class _Look:
    """At one version of a model."""

    lake: Lake
    registry: Registry
    model: str
    version: int
    config: SqlConfig

    def drift(self, role: str, sessions: int) -> VersionDrift:
        features, silent = self._inputs(sessions)
        changes, known, quiet = self._errors()
        unsaid = tuple(each for each in (silent, quiet) if each is not None)
        return VersionDrift(self.model, self.version, role, features, changes, known, unsaid)

    def _inputs(self, sessions: int) -> tuple[tuple[FeatureHistory, ...], str | None]:
        """The features, and why nothing, or not all, can be said of them."""
        if self.version == PRIOR:
            return (), "inputs: the prior looks at no feature"
        try:
            facts = read_facts(self.registry.load(self.model, self.version).get(SERVE, b""))
        except ModelError as error:
            return (), f"inputs: {error}"
        asked = AskedAbout(self.lake, self.model, self.version, facts, self.config)
        days = [(date, input_drift(facts, rows)) for date in self._dates()[-sessions:] if len(rows := asked.of(date))]
        if not days:
            return (), "inputs: it has not predicted yet, or the features of what it predicted are not built"
        histories = tuple(
            _history(name, [(date, found[at]) for date, found in days]) for at, name in enumerate(facts.names)
        )
        few = f"inputs: {len(days)} of the {LASTING} sessions that a drift lasts" if len(days) < LASTING else None
        return histories, few

    def _dates(self) -> list[str]:
        table = self.lake.find(TABLE)
        if table is None:
            return []
        sql = _DATES.format(model=self.model, version=self.version)
        rows = combine(self.lake.storage, sql, files={TABLE: (table, table.files())}, beside={}, config=self.config)
        return [str(date) for date in rows.column("date").to_pylist()]

    def _errors(self) -> tuple[tuple[ErrorDrift, ...], tuple[tuple[str, float], ...], str | None]:
        parts = matured(self.lake, self.model, self.config)
        told = [session_errors(each) for versions in parts for each in versions if each.version == self.version]
        if not told:
            return (), (), "errors: no outcome is known; `hosu score` adds those that have matured"
        dates = [date for names, _ in told for date in names]
        errors = np.concatenate([part for _, part in told])
        known = tuple((dates[at], float(errors[at])) for at in np.flatnonzero(np.isfinite(errors)).tolist())
        enough = len(known) > SCALED_BY
        few = None if enough else f"errors: {len(known)} of the {SCALED_BY + 1} sessions that a change needs"
        return tuple(_apart(dates, error_drift(dates, errors))), known, few


def _history(name: str, days: list[tuple[str, FeatureDrift]]) -> FeatureHistory:
    run = 0
    while run < len(days) and days[-1 - run][1].psi >= MOVED:
        run += 1
    return FeatureHistory(name, tuple(days), days[-run][0] if run >= LASTING else None)


def _apart(dates: Sequence[str], found: Sequence[ErrorDrift]) -> list[ErrorDrift]:
    """The first of the detections that follow one another within ``RECENT`` sessions: they tell of one change."""
    kept, last = [], None
    for each in found:
        at = dates.index(each.date)
        if last is None or at - last > RECENT:
            kept.append(each)
        last = at
    return kept


def as_rows(found: Sequence[VersionDrift]) -> list[dict[str, object]]:
    """For printing: a row a feature and version, a row for its errors, and a row for what cannot be said."""
    out: list[dict[str, object]] = []
    for each in found:
        who: dict[str, object] = {"model": each.model, "version": each.version, "role": each.role}
        for feature in each.features:
            date, newest = feature.days[-1]
            figures = {"psi": _short(newest.psi), "outside": _short(newest.outside), "null": _short(newest.null)}
            row = {"what": feature.feature, "says": feature.word, "since": feature.since, "newest": date}
            out.append({**who, **row, "sessions": len(feature.days), **figures})
        if len(each.error_days) > SCALED_BY:
            out.append({**who, **_of_errors(each)})
        out += [{**who, "what": what, "says": said} for what, _, said in (text.partition(": ") for text in each.unsaid)]
    names = (
        "model",
        "version",
        "role",
        "what",
        "says",
        "since",
        "newest",
        "sessions",
        "psi",
        "outside",
        "null",
        "before",
        "after",
    )
    return [{name: row.get(name) for name in names} for row in out]


def _of_errors(each: VersionDrift) -> dict[str, object]:
    if not each.errors:
        return {"what": "errors", "says": "stable", "sessions": len(each.error_days)}
    last = each.errors[-1]
    word = "risen" if last.after > last.before else "fallen"
    figures = {"before": _short(last.before), "after": _short(last.after)}
    return {"what": "errors", "says": word, "since": last.date, "sessions": len(each.error_days), **figures}


def _short(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None
