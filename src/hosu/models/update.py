"""The automatic update: a challenger beside the champion, promoted, dropped or left by bets on the journal's blocks.

All it knows is the registry's history and the journal: run again on the same it does nothing, and whoever reads both
can check each step. A step is decided on one revision of the history and taken on that one only: where somebody else,
an update or a hand, has acted meanwhile, it is decided again. A block counts for whatever began before its predictions
were made, both told by the same clock: a market that is played has a time of its own. The prior orders nothing: its IC
is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import (
    CalendarRangeError,
    ChallengerRunsError,
    CommitConflictError,
    DatasetLostError,
    HistoryMovedError,
    ModelDamagedError,
    NotServableError,
)
from hosu.market.calendar import business_day, sessions_between
from hosu.models.betting import ALARM, Outcome, alarm, challenge
from hosu.models.history import PRIOR, challenged, challenger_of, champion_of, revision_of, version_in
from hosu.models.matured import settled_blocks
from hosu.models.registry import EDGE, TABLE
from hosu.models.scores import MIN_SYMBOLS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.features.panel import Floats
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.models.betting import Standing
    from hosu.models.history import Event
    from hosu.models.matured import Blocks
    from hosu.models.registry import Registry

    Judge = Callable[[Registry, str, Sequence[Event], Blocks], Sequence["Step"]]

MAX_SESSIONS: Final = 250
"""Of the calendar, since it began, to the end of a challenge that nothing else has ended: without enough symbols there
is never a block, and it would keep all later ones out for ever."""
_TRIES: Final = 20


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

    One at a time: who comes while another runs is registered and waits for nobody, the next one is trained anew. One
    that could not answer is not let in, since it would keep the others out.

    Raises:
        InputError: an unknown model.
        ModelNotFoundError: there is no such version.
    """
    try:
        registry.challenge(model, version, reason)
    except (ChallengerRunsError, NotServableError):
        return False
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
    return advance(registry, model, settled_blocks(lake, model, config))


def advance(registry: Registry, model: str, settled: Blocks) -> list[Step]:
    """As ``update``, on blocks that are known already. The champion is judged first."""
    judges: tuple[Judge, ...] = (_judge_champion, _judge_challenger)
    return [step for judge in judges for step in _on_what_stands(judge, registry, model, settled)]


def _on_what_stands(judge: Judge, registry: Registry, model: str, settled: Blocks) -> Sequence[Step]:
    for _ in range(_TRIES):
        try:
            return judge(registry, model, registry.history(model), settled)
        except HistoryMovedError:
            continue
    raise CommitConflictError(TABLE, f"others change model {model} all the time")


def _judge_champion(registry: Registry, model: str, history: Sequence[Event], settled: Blocks) -> list[Step]:
    after = alarm(champion_ics(history, settled))
    if after is None:
        return []
    left = champion_of(history)
    reason = f"version {left} has lost its signal: the detector reached {ALARM:,.0f} after {after} blocks of service"
    return [Step("rolled_back", registry.rollback(model, reason, seen=revision_of(history)), reason)]


def _judge_challenger(registry: Registry, model: str, history: Sequence[Event], settled: Blocks) -> list[Step]:
    version = challenger_of(history)
    if version is None:
        return []
    standing = standing_of(history, settled)
    reason = _words(standing)
    if standing.outcome is Outcome.PROMOTE:
        return [_promote(registry, model, history, version, reason)]
    if standing.outcome is Outcome.OPEN and _sessions_since(challenged(history), registry.now_us()) >= MAX_SESSIONS:
        lasted = f"{MAX_SESSIONS} sessions have decided nothing (a block has {MIN_SYMBOLS} symbols or more)"
        return [_ended(registry, model, history, "dropped", f"{lasted}: {reason}")]
    event = {Outcome.DROP: "dropped", Outcome.KEEP: "kept"}.get(standing.outcome)
    return [] if event is None else [_ended(registry, model, history, event, reason)]


def _promote(registry: Registry, model: str, history: Sequence[Event], version: int, reason: str) -> Step:
    verdict = version_in(history, model, version).verdict
    if verdict != EDGE:
        return _ended(registry, model, history, "kept", f"{reason}; not promoted, since its gate said {verdict!r}")
    try:
        registry.promote(model, version, reason, seen=revision_of(history))
    except (ModelDamagedError, DatasetLostError, NotServableError) as error:
        return _ended(registry, model, history, "dropped", f"{reason}; not promoted: {error}")
    return Step("promoted", version, reason)


def _ended(registry: Registry, model: str, history: Sequence[Event], event: str, reason: str) -> Step:
    version = challenger_of(history)
    assert version is not None, "a challenge is running"
    registry.end_challenge(model, event, reason, seen=revision_of(history))
    return Step(event, version, reason)


def _words(standing: Standing) -> str:
    figures = f"E = {standing.capital:,.1f} of {standing.needed:,.0f} after {standing.blocks} blocks"
    if standing.silent:
        figures += f", and {standing.silent} without an answer"
    if standing.outcome is Outcome.KEEP and not standing.blocks:
        return f"it never answered: {figures}"
    return {
        Outcome.OPEN: figures,
        Outcome.PROMOTE: f"it ranks better than who served: {figures}",
        Outcome.DROP: f"it ranks worse than who served: the reverse bet reached {standing.reverse:,.1f}; {figures}",
        Outcome.KEEP: f"it has not shown to rank better: {figures}",
    }[standing.outcome]


def _sessions_since(event: Event | None, now_us: int) -> int:
    """Sessions on the days after an event, up to today; 0 where the calendar does not reach, as for a played market."""
    if event is None:
        return 0
    began, today = (business_day(us)[0] for us in (event.at_us, now_us))
    try:
        return len(sessions_between(began + timedelta(1), today + timedelta(1)))
    except CalendarRangeError:
        return 0


# --- what counts -----------------------------------------------------------------------------------------------------


def standing_of(history: Sequence[Event], settled: Blocks) -> Standing:
    """How the running challenge stands: on the blocks predicted after it began, against who served at each.

    The last event of ``history`` names a challenger.
    """
    began, version = challenged(history), challenger_of(history)
    assert began is not None and version is not None, "a challenge is running"  # noqa: PT018
    kept = settled.made > began.at_us
    served = np.array([_served_at(history, made) for made in settled.made.tolist()], np.int64)
    champion = np.full(len(settled.t), np.nan)
    for each in np.unique(served).tolist():
        champion = np.where(served == each, _ic(settled, each), champion)
    number = sum(event.event == "challenger" for event in history)
    return challenge((_ic(settled, version) - champion)[kept], number)


def champion_ics(history: Sequence[Event], settled: Blocks) -> Floats:
    """The champion's ICs on the blocks predicted since it took its place; none of the prior, which has no signal."""
    champion = champion_of(history)
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
