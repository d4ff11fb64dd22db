"""Labels of days: decided after the closing auction, entered at the next opening auction, left at a closing auction.

Sessions are the market's, not those of which a symbol has bars: who has none on the session of entry or exit has no
label. Times: the decision and the exit are when the closing auction has ended at the latest, the entry is when the
opening auction ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.features.dated_rules import hours
from hosu.features.label_parts import Outcome, Reason, any_between, factor_between, first_reason, locked

if TYPE_CHECKING:
    from hosu.features.label_parts import Decisions
    from hosu.features.panel import BarPanel, Ints


def outcomes(made: Decisions, sessions: Ints) -> Outcome:
    """What became of each day's row.

    Args:
        made: (n,) decisions behind day bars; the horizon counts sessions.
        sessions: (s,) every session, yyyymmdd.
    """
    panel, beside, rules, known, horizon, scope = made
    n = len(panel)
    place = np.searchsorted(sessions, panel.date)
    entry, leave = (_rows_at(panel, place, steps, len(sessions)) for steps in (1, horizon))
    there = np.flatnonzero((entry >= 0) & (leave >= 0))
    e, x = entry[there], leave[there]
    ret_px, ret_ex = np.full((2, n), np.nan)
    masked, up = np.zeros((2, n), np.bool_)
    ret_px[there] = panel.close[x] / (panel.close[there] * factor_between(panel, there, x)) - 1.0
    ret_ex[there] = panel.close[x] / (panel.open[e] * factor_between(panel, e, x)) - 1.0
    masked[there] = any_between(panel.masked, there, x)
    up[there] = locked(panel, beside, rules, e, panel.open[e])
    idle = panel.volume <= 0
    certified = beside.certified if beside.certified is not None else np.ones(n, np.bool_)
    reason = first_reason(
        {
            Reason.WARM_UP: np.isnan(known.volatility),
            Reason.NOT_MATURED: place + horizon >= len(sessions),
            Reason.NO_ENTRY_BAR: entry < 0,
            Reason.NO_EXIT_BAR: leave < 0,
            Reason.HALTED: idle | idle[entry] | idle[leave],
            Reason.BEYOND_LIMIT: masked,
            Reason.LOCKED: up,
            Reason.UNCERTIFIED: ~(certified & certified[entry] & certified[leave]),
        },
        n,
    )
    at = hours(sessions.tolist(), scope)
    opens, closes = np.append(at.open, 0), np.append(at.close, 0)
    after = np.minimum(place + 1, len(sessions)), np.minimum(place + horizon, len(sessions))
    exit_date = np.append(sessions, 0)[after[1]]
    return Outcome(closes[place], opens[after[0]], closes[after[1]], entry, leave, leave, exit_date, ret_px, ret_ex,
                   reason)  # fmt: skip


def _rows_at(panel: BarPanel, place: Ints, steps: int, sessions: int) -> Ints:
    """(n,) the row of the same symbol so many sessions later; -1 where it has none."""
    if not len(panel):
        return np.empty(0, np.int64)
    width = sessions + steps + 1
    keys = panel.symbol * width + place
    wanted = keys + steps
    found = np.minimum(np.arange(len(keys)) + steps, len(keys) - 1)
    gapped = keys[found] != wanted  # nearly no row: most symbols have a bar on every session
    found[gapped] = np.minimum(np.searchsorted(keys, wanted[gapped]), len(keys) - 1)
    return np.where(keys[found] == wanted, found, -1)
