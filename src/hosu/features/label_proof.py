"""Proof that labels, and what is known beside them, do not look further ahead than they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.features.proofs import Difference, Lookahead, drawn

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from hosu.features.panel import LabelledRows

    Load = Callable[[int | None], LabelledRows]

_KNOWN: Final = ("price", "band", "half_spread", "value_20", "ret_last")
"""Known when the decision is made: equal in every row."""
_LABEL: Final = ("t0", "t1", "ret_px", "ret_ex", "label")
"""Known at t1: equal wherever a row has a label without the future."""
_NAMED: Final = 5


def lookahead(load: Load, *, behind: int = 0, cuts: int = 10, seed: int = 1) -> Lookahead:
    """Makes the labels again with the future cut off at random dates; one that is there then must be the same with it.

    Args:
        load: the labelled rows of bars up to a date (yyyymmdd, included); None: of all.
        behind: no cut leaves as few sessions as this: a horizon of days needs more than it spans.
        cuts: at how many dates.
        seed: of the draw.

    Raises:
        InputError: fewer than two dates to choose from.
    """
    whole = load(None)
    dates = np.array([int(day.replace("-", "")) for day in whole.sessions], np.int64)
    result = Lookahead(drawn(dates[behind:], cuts, seed))
    ours = _keys(whole)
    order = np.argsort(ours)
    for cut in result.cuts:
        past = load(cut)
        at = np.searchsorted(ours[order], _keys(past))
        there = order[np.minimum(at, len(order) - 1)]
        lost = int((ours[there] != _keys(past)).sum())
        if lost:
            result.differing["rows"] = result.differing.get("rows", 0) + lost
        for name in (*_KNOWN, *_LABEL):
            rows = np.arange(len(past)) if name in _KNOWN else np.flatnonzero(past.labelled)
            _compare(result, name, past, whole, rows=rows, there=there[rows])
    return result


def _compare(
    result: Lookahead,
    name: str,
    past: LabelledRows,
    whole: LabelledRows,
    *,
    rows: npt.NDArray[np.int64],
    there: npt.NDArray[np.int64],
) -> None:
    now, then = getattr(past, name)[rows], getattr(whole, name)[there]
    differs = np.flatnonzero(~((now == then) | (np.isnan(now) & np.isnan(then))))
    result.compared += len(rows)
    if not differs.size:
        return
    result.differing[name] = result.differing.get(name, 0) + len(differs)
    for place in differs[: max(0, _NAMED - len(result.examples))].tolist():
        row = int(rows[place])
        symbol, date = past.symbols[int(past.symbol[row])], past.sessions[int(past.session[row])]
        number, when = int(date.replace("-", "")), int(past.t[row])
        result.examples.append(Difference(name, symbol, number, when, float(then[place]), float(now[place])))


def _keys(rows: LabelledRows) -> npt.NDArray[np.void]:
    """One comparable key a row: time and symbol, in the order of rows."""
    keys = np.empty(len(rows), np.dtype([("t", np.int64), ("symbol", "U12")]))
    keys["t"], keys["symbol"] = rows.t, np.array(rows.symbols, "U12")[rows.symbol]
    return keys
