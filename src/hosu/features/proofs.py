"""Proofs about features: none looks ahead, and none remembers further back than its set declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.errors import InputError
from hosu.features.batch import indicators
from hosu.features.panel import keys, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import BarPanel, Floats, Ints

    Outputs = Callable[[BarPanel], Floats]
    Load = Callable[["Cut | None"], BarPanel]

TOLERANCE: Final = 1e-6
_NAMED: Final = 5
_STARTS: Final = 4
_ROOM: Final = 60
"""How many bars a symbol needs beyond the longest window, for other starts."""


class Cut(NamedTuple):
    """Where the future begins: behind a date (yyyymmdd), or at an instant of it (UTC microseconds), from which on no
    bar is known that starts then."""

    date: int
    ts_us: int | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs where it must not."""

    feature: str
    symbol: str
    date: int
    ts_us: int
    whole: float
    cut: float


@dataclass(slots=True)
class Lookahead:
    """What cutting off the future changed: of every set and feature, how many values of the past.

    ``cuts`` are dates (yyyymmdd) or instants (UTC microseconds); ``compared`` counts values; ``examples`` are the
    first few that differ. It passes where nothing differs and something was compared.
    """

    cuts: list[int] = field(default_factory=list)
    compared: int = 0
    differing: dict[str, int] = field(default_factory=dict)
    examples: list[Difference] = field(default_factory=list)

    @property
    def passes(self) -> bool:
        return self.compared > 0 and not self.differing


def lookahead(
    load: Load,
    sets: Sequence[FeatureSet],
    *,
    cuts: int = 10,
    seed: int = 1,
    within_days: bool = False,
    outputs: Outputs = indicators,
) -> Lookahead:
    """Computes everything again with the future cut off at random places, and compares all before, bit for bit.

    Args:
        load: the panel of what is known before a cut; None: all. Whatever looks ahead in reading or adjusting bars is
            found too. Bars that start at the cut's instant or later are left out here.
        sets: whose features are compared.
        cuts: at how many places, drawn without repetition.
        seed: of the draw.
        within_days: cuts at instants, as bars of minutes want it: a cut behind a date tells nothing of what looks ahead
            within one. False: behind dates.
        outputs: the kernel over a panel.

    Raises:
        InputError: fewer than two dates, or within days instants.
    """
    whole = load(None)
    made = _features(whole, outputs(whole), sets)
    places = _instants(whole, cuts, seed) if within_days else [Cut(date) for date in drawn(whole.date, cuts, seed)]
    result = Lookahead([cut.date if cut.ts_us is None else cut.ts_us for cut in places])
    for cut in places:
        past = load(cut)
        if cut.ts_us is not None:
            past = select(past, past.ts < cut.ts_us)
        _compare(result, whole, made, past, _features(past, outputs(past), sets))
    return result


def _instants(whole: BarPanel, cuts: int, seed: int) -> list[Cut]:
    """Starts of bars at which to cut, ascending; never the first."""
    instants, at = np.unique(whole.ts, return_index=True)
    if len(instants) < 2:
        raise InputError("the bars", "are of fewer than two instants", "collect or import more")
    chosen = np.random.default_rng(seed).choice(len(instants) - 1, min(cuts, len(instants) - 1), replace=False) + 1
    return [Cut(int(whole.date[at[place]]), int(instants[place])) for place in sorted(chosen.tolist())]


def drawn(date: Ints, cuts: int, seed: int) -> list[int]:
    """Dates at which to cut, ascending; never the last.

    Raises:
        InputError: fewer than two dates.
    """
    dates = np.unique(date).tolist()[:-1]
    if not dates:
        raise InputError("the bars", "are of fewer than two dates", "collect or import more days")
    chosen = np.random.default_rng(seed).choice(dates, min(cuts, len(dates)), replace=False)
    return sorted(chosen.tolist())


def _features(panel: BarPanel, outputs: Floats, sets: Sequence[FeatureSet]) -> dict[str, Floats]:
    """By `set.feature`, the column."""
    close = panel.close / 100.0
    return {
        f"{each.name}.{name}": column
        for each in sets
        for name, column in zip(each.features, each.make(outputs, close).T, strict=True)
    }


def _compare(
    result: Lookahead, whole: BarPanel, made: dict[str, Floats], past: BarPanel, again: dict[str, Floats]
) -> None:
    ours, theirs = keys(whole), keys(past)
    at = np.searchsorted(ours, theirs)
    found = (at < len(ours)) & (ours[np.minimum(at, len(ours) - 1)] == theirs)
    lost = int((~found).sum())
    if lost:
        result.differing["bars"] = result.differing.get("bars", 0) + lost
    rows = np.flatnonzero(found)
    for name, column in again.items():
        now, before = column[rows], made[name][at[rows]]
        differs = np.flatnonzero(now.view(np.int64) != before.view(np.int64))
        differs = differs[~(np.isnan(now[differs]) & np.isnan(before[differs]))]
        result.compared += len(rows)
        if differs.size:
            result.differing[name] = result.differing.get(name, 0) + len(differs)
            for place in differs[: _NAMED - len(result.examples)].tolist():
                row = int(rows[place])
                symbol = past.symbols[int(past.symbol[row])]
                result.examples.append(
                    Difference(
                        name, symbol, int(past.date[row]), int(past.ts[row]), float(before[place]), float(now[place])
                    )
                )


@dataclass(frozen=True, slots=True)
class WarmUp:
    """How many bars a feature needs until it no longer depends on where the history began.

    ``needed`` is the most that any symbol and start needed, the bar itself included; None: longer than the bars that
    were there. ``declared`` is the set's window.
    """

    feature: str
    needed: int | None
    declared: int

    @property
    def passes(self) -> bool:
        return self.needed is not None and self.needed <= self.declared


def recursive(
    panel: BarPanel, sets: Sequence[FeatureSet], *, outputs: Outputs = indicators, tolerance: float = TOLERANCE
) -> list[WarmUp]:
    """Computes every symbol's features from later and later bars on, and looks when they meet those of the whole.

    A value has met where it differs by no more than ``tolerance`` times the feature's median size for that symbol, and
    so do all behind it.

    Raises:
        InputError: no symbol has some bars more than the longest window.
    """
    longest = max(each.window for each in sets)
    lengths = np.diff(panel.starts)
    long = lengths >= longest + _ROOM
    if not long.any():
        raise InputError("the bars", f"are fewer than {longest + _ROOM} of every symbol", "collect or import more")
    panel, room = select(panel, np.repeat(long, lengths)), int(lengths[long].min()) - longest
    whole = _features(panel, outputs(panel), sets)
    needed: dict[str, int | None] = dict.fromkeys(whole, 1)
    for part in range(1, _STARTS + 1):
        skipped = _skipped(panel, part * room // _STARTS)
        later = select(panel, ~skipped)
        again = _features(later, outputs(later), sets)
        for name, column in again.items():
            needed[name] = _most(needed[name], _met_after(later.starts, whole[name][~skipped], column, tolerance))
    windows = {f"{each.name}.{name}": each.window for each in sets for name in each.features}
    return [WarmUp(name, needed[name], windows[name]) for name in whole]


def _skipped(panel: BarPanel, bars: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """The first ``bars`` bars of every symbol that has any."""
    within = np.arange(len(panel)) - np.repeat(panel.starts[:-1], np.diff(panel.starts))
    return np.asarray(within < bars)


def _met_after(starts: Ints, whole: Floats, later: Floats, tolerance: float) -> int | None:
    """The bars after which all symbols' values have met; None where some never do."""
    most = 1
    for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        if first == end:
            continue
        ours, theirs = whole[first:end], later[first:end]
        size = np.nanmedian(np.abs(ours)) if not np.isnan(ours).all() else 0.0
        apart = ~((np.abs(ours - theirs) <= tolerance * size) | (np.isnan(ours) & np.isnan(theirs)))
        if apart[-1]:
            return None
        if apart.any():
            most = max(most, int(np.flatnonzero(apart)[-1]) + 2)
    return most


def _most(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
