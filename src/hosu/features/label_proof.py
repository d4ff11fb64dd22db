"""Proof that labels, and what is known beside them, do not look further ahead than they say.

They are made again by the same code from what lies before a cut, and compared, bit for bit. What is known when it is
decided has to be there, and the same, for every row decided by then; a label has to be there, and the same, wherever
its interval had ended. Of the others none is asked for: where the trade that decides a row lies at the cut or behind
it, the row has not matured. But whatever a cut has decided, a label or the reason why there is none, stays so.

A cut within a minute finds what looks past the end of an interval by less than a minute. The bar being made then has
one trade only, so that a reason which rests on all of it is not asked for before it is over, but labels are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.features.label_parts import Reason
from hosu.features.proofs import Cut, Difference, Lookahead
from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt

    from hosu.features.panel import Flags, Ints, LabelledRows

    Load = Callable[["Cut | None"], Callable[[int], "LabelledRows | None"]]

_KNOWN: Final = ("price", "band", "half_spread", "value_20", "ret_last", "reason_at_t")
"""Known when the decision is made: equal in every row."""
_LABEL: Final = ("t0", "t1", "ret_px", "ret_ex", "label", "reason")
"""Known at t1: equal wherever it was decided without the future."""
_DECIDED: Final = (Reason.OUT_OF_SESSION, Reason.WARM_UP)
"""Reasons that are known when the decision is made, and stand before all others."""
_NAMED: Final = 5
_NEVER: Final = 1 << 62


def lookahead(
    load: Load, horizons: Iterable[int], *, within_days: bool = False, cuts: int = 10, seed: int = 1
) -> dict[int, Lookahead]:
    """Makes the labels again with the future cut off at random places; what is there then must be the same with it.

    Args:
        load: by horizon the labelled rows of what lies before a cut, None of too few bars; of the cut None, of all.
        horizons: sessions, or minutes.
        within_days: cuts at instants of dates, every other one within a minute, as labels of minutes want it: they end
            on their day, and a cut behind it tells nothing. False: behind dates.
        cuts: at how many places, behind the end of the first label of every horizon.
        seed: of the draw.

    Returns:
        By horizon what differs; without any cut where no label has ended before the last place for one.
    """
    made = load(None)
    whole = {horizon: rows for horizon in horizons if (rows := made(horizon)) is not None}
    results = {horizon: Lookahead() for horizon in horizons}
    provable, places = _places(whole, within_days=within_days, cuts=cuts, seed=seed)
    for cut in places:
        past = load(cut)
        for horizon in provable:
            results[horizon].cuts.append(cut.date if cut.ts_us is None else cut.ts_us)
            _compare(results[horizon], whole[horizon], past(horizon), cut)
    return results


# --- where to cut ----------------------------------------------------------------------------------------------------


def _places(
    whole: Mapping[int, LabelledRows], *, within_days: bool, cuts: int, seed: int
) -> tuple[list[int], list[Cut]]:
    """The horizons of which a label ends before the last place for a cut, and cuts behind the first end of each."""
    if not whole:
        return [], []
    dates, starts = _starts(next(iter(whole.values())), within_days=within_days)
    ends = {horizon: _first_end(rows, within_days=within_days) for horizon, rows in whole.items()}
    provable = [horizon for horizon, end in ends.items() if end is not None and len(starts) and end <= starts[-1]]
    chance = np.random.default_rng(seed)
    room = np.flatnonzero(starts >= max((ends[horizon] or 0 for horizon in provable), default=_NEVER))
    chosen = np.sort(chance.choice(room, min(cuts, len(room)), replace=False)) if len(room) else room
    if not within_days:
        return provable, [Cut(date) for date in dates[chosen].tolist()]
    seconds = chance.integers(1, 60, len(chosen)) * (np.arange(len(chosen)) % 2)
    instants = starts[chosen] + seconds * 1_000_000
    return provable, [Cut(*each) for each in zip(dates[chosen].tolist(), instants.tolist(), strict=True)]


def _starts(rows: LabelledRows, *, within_days: bool) -> tuple[Ints, Ints]:
    """Dates, and where one may cut, ascending: starts of bars, or the dates themselves but for the last."""
    if not within_days:
        dates = _dates(rows)[np.unique(rows.session)[:-1]]
        return dates, dates
    t, at = np.unique(rows.t, return_index=True)
    return _dates(rows)[rows.session[at]], t - MINUTE_US


def _first_end(rows: LabelledRows, *, within_days: bool) -> int | None:
    """The first place for a cut that has a label before it; None without a label."""
    mine = rows.labelled
    if not mine.any():
        return None
    if within_days:
        return (int(rows.t1[mine].min()) // MINUTE_US + 1) * MINUTE_US
    return int(_dates(rows)[rows.t1_session[mine].min()])


def _dates(rows: LabelledRows) -> Ints:
    """(sessions,) yyyymmdd."""
    return np.array([int(day.replace("-", "")) for day in rows.sessions], np.int64)


# --- what has to be the same -----------------------------------------------------------------------------------------


def _compare(result: Lookahead, whole: LabelledRows, past: LabelledRows | None, cut: Cut) -> None:
    """Adds to the result where the rows made of what lies before a cut differ from those made of all."""
    wanted = _decided_by(whole, cut)
    if past is None:
        _count(result, "rows", int(wanted.sum()))
        return
    at, found = _places_in(whole, past)
    there = found & _decided_by(past, cut)
    _count(
        result, "rows", int(_decided_by(past, cut).sum() - there.sum()) + int(wanted.sum() - wanted[at[there]].sum())
    )
    told = there & _told(whole, past, at, cut)
    for names, rows in ((_KNOWN, there), (_LABEL, told), (("weight",), told & _settled(past, cut))):
        for name in names:
            _compare_column(result, name, past, whole, rows=np.flatnonzero(rows), at=at)


def _decided_by(rows: LabelledRows, cut: Cut) -> Flags:
    """(n,) whether a row is decided before the cut, or at it."""
    by: Flags = _dates(rows)[rows.session] <= cut.date if cut.ts_us is None else rows.t <= cut.ts_us
    return by


def _told(whole: LabelledRows, past: LabelledRows, at: Ints, cut: Cut) -> Flags:
    """(n,) of which rows of ``past``, those ``at`` of ``whole``, it has to be known what became of them."""
    decided = past.reason != Reason.NOT_MATURED
    if cut.ts_us is None:
        ended = np.append(_dates(whole), _NEVER)[whole.t1_session[at]] <= cut.date
        return np.asarray(decided | (whole.labelled[at] & ended))
    ended = whole.labelled[at] & (whole.t1[at] < cut.ts_us)
    if _is_whole_minute(cut):
        return np.asarray(decided | ended)
    # A trade counts in a minute that has a bar. Without one the open of a bar that was not over was the exit.
    begun = np.bincount(past.symbol[past.t > cut.ts_us], minlength=len(past.symbols)) > 0
    return np.asarray(ended & (decided | begun[past.symbol] | (whole.t1[at] < cut.ts_us // MINUTE_US * MINUTE_US)))


def _settled(past: LabelledRows, cut: Cut) -> Flags:
    """(n,) which labels overlap none that has not matured: of these the weight is known too."""
    if cut.ts_us is not None and not _is_whole_minute(cut):
        return np.zeros(len(past), np.bool_)
    waiting = np.flatnonzero(past.reason == Reason.NOT_MATURED)
    first = np.full(len(past.symbols), _NEVER)
    np.minimum.at(first, past.symbol[waiting], past.t[waiting])
    return np.asarray(past.labelled & (past.t1 < first[past.symbol]))


def _is_whole_minute(cut: Cut) -> bool:
    return cut.ts_us is not None and cut.ts_us % MINUTE_US == 0


def _compare_column(
    result: Lookahead, name: str, past: LabelledRows, whole: LabelledRows, *, rows: Ints, at: Ints
) -> None:
    now, then = _column(past, name)[rows], _column(whole, name)[at[rows]]
    differs = np.flatnonzero(_differ(now, then))
    result.compared += len(rows)
    _count(result, name, len(differs))
    for place in differs[: max(0, _NAMED - len(result.examples))].tolist():
        row = int(rows[place])
        symbol, date = past.symbols[int(past.symbol[row])], int(_dates(past)[past.session[row]])
        values = float(then[place]), float(now[place])
        result.examples.append(Difference(name, symbol, date, int(past.t[row]), *values))


def _column(rows: LabelledRows, name: str) -> npt.NDArray[Any]:
    if name == "reason_at_t":
        return np.where(np.isin(rows.reason, _DECIDED), rows.reason, 0)
    column: npt.NDArray[Any] = getattr(rows, name)
    return column


def _differ(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> Flags:
    """(m,) where the bits differ; null is null, whatever its bits."""
    if one.dtype.kind != "f":
        return np.asarray(one != other)
    apart = one.view(np.int64) != other.view(np.int64)
    return np.asarray(apart & ~(np.isnan(one) & np.isnan(other)))


def _count(result: Lookahead, name: str, differing: int) -> None:
    if differing:
        result.differing[name] = result.differing.get(name, 0) + differing


def _places_in(whole: LabelledRows, past: LabelledRows) -> tuple[Ints, Flags]:
    """(n,) of each row of ``past`` the row of ``whole`` of the same symbol and time, and whether there is one."""
    width = len(whole.symbols) + 1
    known = {symbol: place for place, symbol in enumerate(whole.symbols)}
    symbol = np.array([known.get(symbol, width - 1) for symbol in past.symbols], np.int64)[past.symbol]
    ours, theirs = whole.t * width + whole.symbol, past.t * width + symbol
    at = np.minimum(np.searchsorted(ours, theirs), len(ours) - 1)
    return at, np.asarray(ours[at] == theirs)
