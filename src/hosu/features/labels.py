"""Labels: what a model shall learn of each bar, and when it could have been had.

A row has a decision time t, an interval [t0, t1], and two simple returns: ``ret_px`` = P(t1) / P(t) - 1 by closes, and
``ret_ex``, from the entry to the exit that could be traded. Both are net of the adjustment factor between. The class
is +1 if ``ret_ex`` > b, -1 if < -b, else 0, a small move; b is the larger of one tick over P and a quarter of the
20-bar volatility known at t times the root of the horizon in bars. A row without a label says why (``Reason``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from hosu.errors import InputError
from hosu.features import label_days, label_minutes
from hosu.features.dated_rules import DatedRules
from hosu.features.label_parts import (
    LATENCY_US,
    Beside,
    Decisions,
    Interruption,
    Outcome,
    Reason,
    Trades,
    facts,
    sessions_of,
)
from hosu.features.panel import LabelledRows
from hosu.features.uniqueness import uniqueness
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.panel import BarPanel, Floats, Ints

__all__ = ["REVISION", "Beside", "Interruption", "Reason", "Trades", "labelled_rows"]

REVISION = 3
"""Of factors, masks and labels; part of every dataset's definition. One more with each change that moves a number: a
test holds the numbers of a fixed panel against it."""


def labelled_rows(
    panel: BarPanel,
    features: Floats,
    names: Sequence[str],
    horizon: int,
    *,
    interval: str = "day",
    scope: str = "KRX",
    beside: Beside | None = None,
    sessions: Ints | None = None,
    latency_us: int = LATENCY_US,
) -> LabelledRows:
    """Every bar as a row, with its features, and its label or the reason why it has none.

    Args:
        panel: (n,) bars.
        features: (n, k) of the same rows; NaN is null.
        names: k of them.
        horizon: sessions, or minutes.
        interval: ``day`` or ``minute``.
        scope: whose hours; KRX, NXT or UN.
        beside: what else is known of the bars.
        sessions: (s,) every session of the span, yyyymmdd; None: those of the calendar.
        latency_us: of minutes, from a decision to the earliest trade, microseconds.

    Raises:
        InputError: an unknown interval, a horizon that is not positive or longer than the data, features of other
            rows, or a bar on a day without trading.
        CalendarRangeError: a bar outside of the known calendar.
    """
    _check(panel, features, names, horizon, interval)
    told = beside or Beside()
    if told.doubtful is not None:
        panel = replace(panel, masked=panel.masked | told.doubtful)
    known_sessions = sessions_of(panel, Scope(scope)) if sessions is None else sessions
    minutes = interval == "minute"
    if len(panel) and not minutes and horizon >= len(known_sessions):
        fault = f"is longer than the data ({len(known_sessions)} sessions)"
        raise InputError(f"horizon of {horizon} sessions", fault, "load more days, or choose a shorter one")
    rules = DatedRules.of(panel.date, panel.symbol, panel.symbols, told.listings)
    known = facts(panel, told, rules, horizon, minutes=minutes)
    made = Decisions(panel, told, rules, known, horizon, Scope(scope))
    found = label_minutes.outcomes(made, latency_us) if minutes else label_days.outcomes(made, known_sessions)
    return _rows(made, found, features, tuple(names), known_sessions)


def _check(panel: BarPanel, features: Floats, names: Sequence[str], horizon: int, interval: str) -> None:
    if interval not in {"day", "minute"}:
        raise InputError(f"interval {interval!r}", "is unknown", "choose day or minute")
    if horizon < 1:
        raise InputError(f"horizon {horizon}", "is not positive", "give sessions (1, 5) or minutes (10, 30)")
    if features.shape != (len(panel), len(names)):
        fault = f"are {features.shape}, the panel and the names ask for {(len(panel), len(names))}"
        raise InputError("features", fault, "compute them from the same panel")


def _rows(made: Decisions, found: Outcome, features: Floats, names: tuple[str, ...], sessions: Ints) -> LabelledRows:
    panel, known = made.panel, made.known
    labelled = found.reason == 0
    ret_ex = np.where(labelled, found.ret_ex, np.nan)
    label = (ret_ex > known.band).astype(np.int8) - (ret_ex < -known.band).astype(np.int8)
    first, last = (np.where(labelled, rows, -1) for rows in (found.entry, found.covered_to))
    place = np.searchsorted(sessions, panel.date).astype(np.int32)
    left = np.where(labelled, np.searchsorted(sessions, found.t1_date), -1).astype(np.int32)
    symbol = panel.symbol.astype(np.int32)
    order = np.lexsort((symbol, found.t))
    return LabelledRows(
        symbols=panel.symbols,
        sessions=tuple(f"{day // 10_000:04d}-{day // 100 % 100:02d}-{day % 100:02d}" for day in sessions.tolist()),
        names=names,
        symbol=symbol[order],
        session=place[order],
        t=found.t[order],
        t0=np.where(labelled, found.t0, 0)[order],
        t1=np.where(labelled, found.t1, 0)[order],
        t1_session=left[order],
        features=features[order],
        price=known.price[order],
        ret_px=np.where(labelled, found.ret_px, np.nan)[order],
        ret_ex=ret_ex[order],
        band=known.band[order],
        label=label[order],
        reason=found.reason[order],
        weight=uniqueness(first, last, len(panel))[order],
        half_spread=known.half_spread[order],
        value_20=known.value_20[order],
        ret_last=known.ret_last[order],
    )
