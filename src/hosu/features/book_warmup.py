"""How many seconds each feature of the order book needs until it no longer depends on where its day was begun.

The kernel is begun again, empty, at random seconds of a series, and its rows are compared with those of the whole day,
bit for bit. It is counted from the first second that ends with a full book, itself included: what stands, a book, is
told by the next quote, however long that takes, and no window makes up for it.

The side of a trade of which it is not told is that of the last change of the price, where the book does not say, and
that may be older than any window. Of series with such trades, signed flow is counted from the first second in which the
price changes too; ``waited_s`` says how much later that was. No start is drawn where the next trade does not follow
the one before it, by the volume it tells: what is missing there, or came twice, only the whole day knows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.errors import InputError
from hosu.features import book_kernel as kernel
from hosu.features.book_build import Seconds, fingerprints
from hosu.features.book_events import Series, events_of
from hosu.features.proofs import WarmUp
from hosu.market.features import BOOK_FEATURES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy.typing as npt

    from hosu.features.definitions import FeatureSet
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Made = tuple[Ints, Floats]

_DATES: Final = 3
_STARTS: Final = 4
_ROOM: Final = 3
"""So many windows have to follow a start."""
_SIGNED: Final = frozenset({BOOK_FEATURES[kernel.FLOW_10], BOOK_FEATURES[kernel.FLOW_60]})
"""Features in which sides count."""


@dataclass(slots=True)
class BookWarmUp:
    """What was measured: each feature's seconds, at how many starts of how many series, and by how many seconds at the
    most a side that is not told had to wait for the price to change."""

    features: list[WarmUp] = field(default_factory=list)
    series: int = 0
    starts: int = 0
    waited_s: int = 0


def made_of(events: Ints) -> Made:
    """``(rows, outputs)`` of one series' events, as ``Seconds.done`` has them."""
    seconds = Seconds()
    seconds.add(np.ascontiguousarray(events), 1)
    return seconds.done()


def recursive(
    lake: Lake,
    sets: Sequence[FeatureSet],
    *,
    seed: int = 1,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
    made: Callable[[Ints], Made] = made_of,
) -> BookWarmUp:
    """Measures it over every series of a few random dates.

    Memory: the events of one series; the sort of a date's goes on on disk beyond what ``config`` allows.

    Args:
        lake: whose quotes and trades.
        sets: whose features are measured.
        seed: of the draw.
        config: what DuckDB may take.
        progress: told each date.
        made: the kernel over one series' events.

    Raises:
        InputError: the lake has no quotes, or no series is long enough for another start.
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    dates = list(fingerprints(lake, sets))
    if not dates:
        raise InputError("order books", "are not in this lake", "collect a day with `hosu collect`")
    chosen = sorted(np.random.default_rng(seed).choice(dates, min(_DATES, len(dates)), replace=False).tolist())

    def series() -> Iterator[Ints]:
        for date in chosen:
            if progress is not None:
                progress(date)
            yield from _each_series(lake, date, config)

    return measured(series(), sets, seed=seed, made=made)


def measured(
    series: Iterable[Ints], sets: Sequence[FeatureSet], *, seed: int = 1, made: Callable[[Ints], Made] = made_of
) -> BookWarmUp:
    """The same of series' events, all numbered 0, each of one day."""
    chance, found = np.random.default_rng(seed), BookWarmUp()
    room = _ROOM * max(each.window for each in sets)
    needed: dict[str, int | None] = {}
    for events in series:
        _measure(events, sets, room=room, chance=chance, made=made, needed=needed, found=found)
    windows = {f"{each.name}.{name}": each.window for each in sets for name in each.features}
    if windows.keys() - needed.keys():
        fault = f"last nowhere {room} seconds behind a full book and a change of the price"
        raise InputError("order books", fault, "collect more of a day with `hosu collect`")
    found.features = [WarmUp(name, needed[name], declared) for name, declared in windows.items()]
    return found


def _each_series(lake: Lake, date: str, config: SqlConfig | None) -> Iterator[Ints]:
    """The events of one series after another, all numbered 0."""
    held: list[Ints] = []
    number = -1
    for part in events_of(lake, date, Series(), config=config):
        for piece in np.split(part, np.flatnonzero(np.diff(part[:, kernel.SERIES])) + 1):
            if held and piece[0, kernel.SERIES] != number:
                yield np.concatenate(held)
                held = []
            number = int(piece[0, kernel.SERIES])
            piece[:, kernel.SERIES] = 0
            held.append(piece)
    if held:
        yield np.concatenate(held)


def _measure(
    events: Ints,
    sets: Sequence[FeatureSet],
    *,
    room: int,
    chance: np.random.Generator,
    made: Callable[[Ints], Made],
    needed: dict[str, int | None],
    found: BookWarmUp,
) -> None:
    """Begins one series at later seconds; adds to ``needed`` the most that each feature needed."""
    opened = np.maximum.accumulate(events[:, kernel.SECOND])
    firsts = np.flatnonzero(np.diff(opened, prepend=0))[1:]  # the event that opens each second, but for the first
    firsts = firsts[(opened[firsts] <= opened[-1] - room) & _follows(events)[firsts]]
    if not len(firsts):
        return
    whole, used = made(events), 0
    for first in chance.choice(firsts, min(_STARTS, len(firsts)), replace=False).tolist():
        later = made(events[first:])
        begins = _begins(events[first:], opened[first:], later[0])
        if begins is None or begins.book_s > opened[-1] - room:
            continue
        used += 1
        for name, seconds in _needed(whole, later, sets, begins, until_s=int(opened[-1]) - room).items():
            known = needed.get(name, 1)
            needed[name] = None if seconds is None or known is None else max(known, seconds)
        if begins.side_s is not None:
            found.waited_s = max(found.waited_s, begins.side_s - begins.book_s)
    found.series += used > 0
    found.starts += used


class _Begins(NamedTuple):
    """The second with which counting begins: of a full book, and of sides that are known; None: of these never."""

    book_s: int
    side_s: int | None


def _begins(events: Ints, opened: Ints, rows: Ints) -> _Begins | None:
    """None without a full book."""
    full = rows[rows[:, kernel.ROW_BID] > 0, kernel.ROW_SECOND]
    if not len(full):
        return None
    book_s = int(full[0])
    traded = (events[:, kernel.KIND] == kernel.TRADE) & (events[:, kernel.MODE] != kernel.BESIDE)
    if (events[traded, kernel.SIDE] != 0).all():
        return _Begins(book_s, book_s)
    moves = np.flatnonzero(np.diff(events[traded, kernel.PRICE]))
    return _Begins(book_s, max(book_s, int(opened[traded][moves[0] + 1])) if len(moves) else None)


def _needed(
    whole: Made, later: Made, sets: Sequence[FeatureSet], begins: _Begins, *, until_s: int
) -> dict[str, int | None]:
    """The seconds after which each feature is that of the whole day; None where it never is."""
    ours, theirs = whole[0][:, kernel.ROW_SECOND], later[0][:, kernel.ROW_SECOND]
    mine = np.minimum(np.searchsorted(ours, theirs), len(ours) - 1)
    same_rows = len(theirs) == int((ours >= theirs[0]).sum()) and bool((ours[mine] == theirs).all())
    before, after = _columns(whole, sets), _columns(later, sets)
    found: dict[str, int | None] = {}
    for name, column in after.items():
        begin_s = begins.side_s if name.split(".")[1] in _SIGNED else begins.book_s
        if begin_s is None or begin_s > until_s:
            continue
        there = theirs >= begin_s
        apart = _apart(before[name][mine][there], column[there])
        last = np.flatnonzero(apart)
        met = same_rows and not apart[-1]
        found[name] = (int(theirs[there][last[-1]]) - begin_s + 2 if len(last) else 1) if met else None
    return found


def _columns(made: Made, sets: Sequence[FeatureSet]) -> dict[str, Floats]:
    rows, outputs = made
    middle = (rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK]) / 200.0
    return {
        f"{each.name}.{name}": column
        for each in sets
        for name, column in zip(each.features, each.make(outputs, middle).T, strict=True)
    }


def _apart(one: Floats, other: Floats) -> npt.NDArray[np.bool_]:
    """Where the bits differ; null is null, whatever its bits."""
    ours, theirs = (np.ascontiguousarray(each).view(np.int64) for each in (one, other))
    return np.asarray((ours != theirs) & ~(np.isnan(one) & np.isnan(other)))


def _follows(events: Ints) -> npt.NDArray[np.bool_]:
    """(n,) whether the next trade from each event on follows the one before it: nothing is missing between, and it did
    not come before. Trades that do not tell the day's volume do not say."""
    cum = np.where(events[:, kernel.KIND] == kernel.TRADE, events[:, kernel.CUM_VOLUME], 0)
    told = np.flatnonzero(cum > 0)
    sound = np.ones(len(events) + 1, np.bool_)
    before = np.maximum.accumulate(cum[told])[:-1]
    sound[told[1:]] = (cum[told[1:]] - events[told[1:], kernel.SIZE] <= before) & (cum[told[1:]] > before)
    coming = np.append(told, len(events))[np.searchsorted(told, np.arange(len(events)))]
    return np.asarray(sound[coming])
