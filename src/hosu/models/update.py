"""The automatic update: a challenger beside the champion, promoted, dropped or left by bets on the journal's blocks.

All it knows is the registry's history and the journal: run again on the same it does nothing, and whoever reads both
can check each step. A block counts for whatever began before its predictions were made, both told by the same clock: a
market that is played has a time of its own. The prior orders nothing: its IC is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hosu.errors import ModelDamagedError
from hosu.models.betting import ALARM, Outcome, alarm, challenge
from hosu.models.matured import blocks, matured
from hosu.models.registry import EDGE, PRIOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import Floats
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.models.betting import Standing
    from hosu.models.matured import Blocks
    from hosu.models.registry import Event, Registry


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done.

    Attributes:
        event: ``promoted``, ``rolled_back``, ``dropped`` or ``kept``, as in the registry's history.
        version: whom it concerns: of a rollback who serves now.
        reason: in words, with the figures.
    """

    event: str
    version: int
    reason: str


def enter(registry: Registry, model: str, version: int, reason: str) -> bool:
    """Lets a version challenge the champion, if nobody does already; returns whether it does now.

    One at a time: who comes while another runs is registered and waits for nobody, the next one is trained anew.

    Raises:
        InputError: an unknown model.
        ModelNotFoundError: there is no such version.
    """
    if registry.challenger(model) is not None:
        return False
    registry.challenge(model, version, reason)
    return True


def update(lake: Lake, registry: Registry, model: str, *, config: SqlConfig | None = None) -> list[Step]:
    """Brings a model's champion and challenger up to date with the journal; returns what was done, oldest first.

    Args:
        lake: whose journal.
        registry: of the same lake.
        model: as ``day-1``.
        config: what DuckDB may take.

    Raises:
        InputError: an unknown model.
        CommitConflictError: others change the model all the time.
        TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
    """
    if not registry.history(model):
        return []
    return advance(registry, model, blocks(matured(lake, model, config)))


def advance(registry: Registry, model: str, settled: Blocks) -> list[Step]:
    """As ``update``, on blocks that are known already. The champion is judged first."""
    return [*_judge_champion(registry, model, settled), *_judge_challenger(registry, model, settled)]


def _judge_champion(registry: Registry, model: str, settled: Blocks) -> list[Step]:
    history = registry.history(model)
    after = alarm(champion_ics(history, settled))
    if after is None:
        return []
    left = history[-1].champion
    reason = f"version {left} has lost its signal: the detector reached {ALARM:,.0f} after {after} blocks of service"
    return [Step("rolled_back", registry.rollback(model, reason), reason)]


def _judge_challenger(registry: Registry, model: str, settled: Blocks) -> list[Step]:
    history = registry.history(model)
    version = history[-1].challenger if history else None
    if version is None:
        return []
    standing = standing_of(history, settled)
    reason = _words(standing)
    if standing.outcome is Outcome.PROMOTE:
        return [_promote(registry, model, version, reason)]
    event = {Outcome.DROP: "dropped", Outcome.KEEP: "kept"}.get(standing.outcome)
    if event is None:
        return []
    registry.end_challenge(model, event, reason)
    return [Step(event, version, reason)]


def _promote(registry: Registry, model: str, version: int, reason: str) -> Step:
    verdict = registry.version(model, version).verdict
    if verdict != EDGE:
        refused = f"{reason}; not promoted, since its gate said {verdict!r}"
        registry.end_challenge(model, "kept", refused)
        return Step("kept", version, refused)
    try:
        registry.promote(model, version, reason)
    except ModelDamagedError as error:
        refused = f"{reason}; not promoted: {error}"
        registry.end_challenge(model, "dropped", refused)
        return Step("dropped", version, refused)
    return Step("promoted", version, reason)


def _words(standing: Standing) -> str:
    figures = f"E = {standing.capital:.3g} of {standing.needed:.0f} after {standing.blocks} blocks"
    return {
        Outcome.OPEN: figures,
        Outcome.PROMOTE: f"it ranks better than who served: {figures}",
        Outcome.DROP: f"it ranks worse than who served: the reverse bet reached {standing.reverse:.3g}; {figures}",
        Outcome.KEEP: f"it has not shown to rank better: {figures}",
    }[standing.outcome]


# --- what counts -----------------------------------------------------------------------------------------------------


def standing_of(history: Sequence[Event], settled: Blocks) -> Standing:
    """How the running challenge stands: on the blocks predicted after it began, against who served at each.

    The last event of ``history`` names a challenger.
    """
    began = [event for event in history if event.event == "challenger"]
    version = history[-1].challenger
    assert version is not None, "a challenge is running"
    kept = settled.made > began[-1].at_us
    served = np.array([_served_at(history, made) for made in settled.made.tolist()], np.int64)
    champion = np.full(len(settled.t), np.nan)
    for each in np.unique(served).tolist():
        champion = np.where(served == each, _ic(settled, each), champion)
    return challenge((_ic(settled, version) - champion)[kept], len(began))


def champion_ics(history: Sequence[Event], settled: Blocks) -> Floats:
    """The champion's ICs on the blocks predicted since it took its place; none of the prior, which has no signal."""
    champion = history[-1].champion if history else PRIOR
    if champion == PRIOR:
        return np.empty(0)
    since = 0
    for before, event in zip([None, *history[:-1]], history, strict=True):
        changed = event.event in {"promoted", "rolled_back"} or before is None or before.champion != event.champion
        since = event.at_us if changed else since
    return _ic(settled, champion)[settled.made > since]


def _served_at(history: Sequence[Event], made: int) -> int:
    return next((event.champion for event in reversed(history) if event.at_us < made), PRIOR)


def _ic(settled: Blocks, version: int) -> Floats:
    if version == PRIOR:
        return np.zeros(len(settled.t))
    return settled.ic.get(version, np.full(len(settled.t), np.nan))
