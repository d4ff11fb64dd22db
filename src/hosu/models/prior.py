"""The base rates that version 0 answers with: counted once from a lake's labels, and kept in the model's history.

They are kept so that they do not change unsaid: two days apart, and with other bars, the same count gives other rates.
Of days the first ``hosu predict`` counts them, and of days and minutes the first ``hosu models train``, whatever
becomes of it. A lake with fewer sessions than anything learns from has none, and version 0 says thirds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hosu.errors import HosuError
from hosu.features.bars_of_lake import panel
from hosu.features.finished import last_whole
from hosu.features.label_parts import Beside
from hosu.features.labels import labelled_rows
from hosu.lake.bar_sources import DAY_BARS
from hosu.market.bars import DAILY
from hosu.models.baselines import base_rates
from hosu.models.calibration import by_session
from hosu.models.history import rates_in
from hosu.models.registry import HORIZONS
from hosu.models.splits import MIN_TRAIN_SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.features.panel import LabelledRows
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig
    from hosu.models.history import Rates
    from hosu.models.registry import Registry


@dataclass(frozen=True, slots=True)
class Counted:
    """Base rates, of -1, 0 and 1, and the sessions with labels that they were counted on."""

    rates: Rates
    sessions: int
    first: str
    last: str

    @property
    def sentence(self) -> str:
        """In words."""
        down, small, up = self.rates
        span = f"{self.sessions} sessions, {self.first} to {self.last}"
        return f"base rates of {span}: down {down:.3f}, small {small:.3f}, up {up:.3f}"


def counted(rows: LabelledRows) -> Counted | None:
    """The shares of the classes, each session weighing the same; None where too few sessions have a label."""
    labelled = rows.labelled
    session = rows.session[labelled]
    found = np.unique(session)
    if len(found) < MIN_TRAIN_SESSIONS:
        return None
    down, small, up = base_rates(rows.label[labelled], by_session(session)).tolist()
    return Counted((down, small, up), len(found), rows.sessions[found[0]], rows.sessions[found[-1]])


def keep_rates(registry: Registry, model: str, found: Counted | None) -> bool:
    """Keeps them for good; returns whether they are these: False where there are none, or the history has others."""
    if found is None:
        return False
    card = {"prior": list(found.rates), "sessions": found.sessions, "from": found.first, "to": found.last}
    return registry.count(model, card, found.sentence)


def rates_of_days(
    lake: Lake,
    registry: Registry,
    models: Sequence[str],
    date: str,
    *,
    keep: bool,
    config: SqlConfig,
    tell: Callable[[str], object],
    warn: Callable[[str], object],
) -> dict[str, Rates]:
    """Base rates of those models of days whose history tells none, by what was known on a date.

    Args:
        lake: whose bars; those of too few sessions are not read.
        registry: of that lake.
        models: which.
        date: ``YYYY-MM-DD``; later bars do not count.
        keep: whether they are kept for good.
        config: what DuckDB may take.
        tell: told in a sentence of each that is kept.
        warn: told in a sentence of what cannot be counted or kept; whoever has no rates says thirds.
    """
    found: dict[str, Rates] = {}
    for model in models:
        try:
            each = _of_days(lake, registry, model, date, config)
            if each is not None and (not keep or keep_rates(registry, model, each)):
                found[model] = each.rates
                if keep:
                    tell(f"{model}: version 0 answers from now on with {each.sentence}")
        except HosuError as error:
            warn(f"{model}: the base rates of version 0 cannot be counted: {error}")
    return found


def _of_days(lake: Lake, registry: Registry, model: str, date: str, config: SqlConfig) -> Counted | None:
    _, horizon = HORIZONS[model]
    tables = [table for table in (lake.find(DAY_BARS), lake.find(DAILY)) if table is not None]
    sessions = {each for table in tables for each in table.dates() if each <= date}
    if len(sessions) < MIN_TRAIN_SESSIONS + horizon or rates_in(registry.history(model)) is not None:
        return None
    loaded = panel(lake, "day", end=last_whole(lake, registry.now_us(), date), config=config)
    # Half the spread, which events would have to be read for, changes no class.
    known = Beside(listings=loaded.listings, base=loaded.base, adjusted=loaded.adjusted, doubtful=loaded.doubtful)
    return counted(labelled_rows(loaded.bars, np.empty((len(loaded.bars), 0)), (), horizon, beside=known))
