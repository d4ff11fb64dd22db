"""What labels are told beside the bars of a lake: first trades, interruptions, spreads; one way for all who make them.

*Trades* stand for the bars that were made of them; where a bar has none in the lake (the broker's, a file's, polls),
its open does. A bar of nothing but trades agreed beside the market has no price to enter or leave at. A trade without a
bar does not count: bars say how far the history goes.

*Half the spread* of a minute is that of the last book before the decision, if it is at most ``BOOK_AGE_US`` old; of a
day the median of what stood at the end of each minute of continuous trading, of at least ``LEAST_BOOKS``. Else it is
half a tick. *Breakers* stop every symbol of the market whose message tells of them; where one of the two markets is
unknown, that too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.features.label_parts import Beside, Interruption, Trades
from hosu.features.panel import rows_at
from hosu.market.bars import MINUTE_US

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hosu.features.bars_of_lake import LakePanel
    from hosu.features.facts_of_lake import DayFacts, FactsOfLake, Spans
    from hosu.features.panel import BarPanel, Flags, Floats, Ints
    from hosu.market.instruments import Market

BOOK_AGE_US: Final = 5 * MINUTE_US
"""A book that has not changed for longer may be one that was not received."""
LEAST_BOOKS: Final = 30
"""The fewest minutes of which a day's median spread is taken."""

_DAY_US: Final = 1440 * MINUTE_US


def beside(
    loaded: LakePanel, facts: FactsOfLake, *, since: str | None = None, certified: Flags | None = None
) -> Beside:
    """All that the lake knows beside these bars.

    Args:
        loaded: (n,) bars.
        facts: of the same lake, interval and scope.
        since: the first date (``YYYY-MM-DD``) whose events are read, where earlier rows are not asked for; None: all.
        certified: (n,) whether the bar's day may be learned from; None: every day.

    Raises:
        NoSessionError, CalendarRangeError: a bar lies on a day that the calendar does not know.
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    bars = loaded.bars
    half_spread, symbol = np.full(len(bars), np.nan), bars.symbol
    told: list[_Told] = []
    stops: list[Interruption] = []
    for date, rows in _days(bars, since):
        if facts.knows(date):
            day = facts.day(date)
            place = _places(bars, day)
            if facts.interval == "day":
                half_spread[rows] = _medians(day, place, len(bars.symbols))[symbol[rows]]
            else:
                half_spread[rows] = _standing(day, place, symbol[rows], bars.ts[rows] + MINUTE_US)
                told.append(_Told.of(day, place))
                stops += _interruptions(loaded, day, place)
    trades, traded = _trades(bars, told)
    return Beside(
        listings=loaded.listings,
        base=loaded.base,
        adjusted=loaded.adjusted,
        doubtful=loaded.doubtful,
        certified=certified,
        half_spread=half_spread,
        trades=trades,
        traded=traded,
        interruptions=stops,
    )


def digest(known: Beside) -> bytes:
    """A hash of what was taken from tables of events: equal ones give equal labels from equal bars."""
    found = hashlib.sha256()
    stops = np.array(known.interruptions, np.int64).reshape(-1, 3)
    columns = (known.half_spread, known.traded, stops, *(known.trades or ()))
    for column in columns:
        data = b"" if column is None else np.ascontiguousarray(column).tobytes()
        found.update(len(data).to_bytes(8, "little") + data)
    return found.digest()


def _days(bars: BarPanel, since: str | None) -> Iterator[tuple[int, Ints]]:
    """Each date from ``since`` on with its rows, oldest first."""
    order = np.argsort(bars.date, kind="stable")
    ordered = bars.date[order]
    least = 0 if since is None else int(since.replace("-", ""))
    for date in np.unique(ordered[ordered >= least]).tolist():
        begin, end = np.searchsorted(ordered, (date, date + 1))
        yield date, order[begin:end]


def _places(bars: BarPanel, day: DayFacts) -> Ints:
    """The panel's place of each of the day's symbols; -1 of those that it does not have."""
    known = {symbol: at for at, symbol in enumerate(bars.symbols)}
    return np.array([known.get(name, -1) for name in day.names], np.int64)


# --- trades ----------------------------------------------------------------------------------------------------------


class _Told(NamedTuple):
    """A day's first trades by place in the panel; (m,) each."""

    symbol: Ints
    ts: Ints
    price: Ints

    @classmethod
    def of(cls, day: DayFacts, place: Ints) -> _Told:
        symbol = place[day.trades.symbol]
        mine = symbol >= 0
        return cls(symbol[mine], day.trades.ts[mine], day.trades.value[mine])


def _trades(bars: BarPanel, told: Sequence[_Told]) -> tuple[Trades | None, Flags | None]:
    """The trades that lie in a bar, and (n,) which bars have one, be it one that was agreed beside the market; None
    where the lake has none."""
    if not any(len(each.symbol) for each in told):
        return None, None
    symbol, ts, price = (np.concatenate(columns) for columns in zip(*told, strict=True))
    order = np.lexsort((ts, symbol))
    symbol, ts, price = symbol[order], ts[order], price[order]
    row = rows_at(bars, symbol, ts // MINUTE_US * MINUTE_US)
    held = row >= 0
    traded = np.zeros(len(bars), np.bool_)
    traded[row[held]] = True
    held &= price > 0
    symbol = symbol[held]
    starts = np.searchsorted(symbol, np.arange(len(bars.symbols) + 1)).astype(np.int64)
    return Trades(starts, ts[held], price[held]), traded


# --- spreads ---------------------------------------------------------------------------------------------------------


def _medians(day: DayFacts, place: Ints, symbols: int) -> Floats:
    """(symbols,) the median of what stood at the end of each minute; NaN of fewer than ``LEAST_BOOKS``."""
    found = np.full(symbols, np.nan)
    quoted = np.unique(place[day.books.symbol])
    quoted = quoted[quoted >= 0]
    ends = np.arange(day.begin_us, day.end_us, MINUTE_US) + MINUTE_US
    standing = _standing(day, place, np.repeat(quoted, len(ends)), np.tile(ends, len(quoted)))
    standing = standing.reshape(len(quoted), len(ends))
    enough = np.isfinite(standing).sum(axis=1) >= LEAST_BOOKS
    found[quoted[enough]] = np.nanmedian(standing[enough], axis=1)
    return found


def _standing(day: DayFacts, place: Ints, symbol: Ints, t: Ints) -> Floats:
    """(m,) half the spread of each symbol's last book before ``t``."""
    known = place[day.books.symbol]
    mine = known >= 0
    known, ts, half = known[mine], day.books.ts[mine], day.books.value[mine]
    if not len(known):
        return np.full(len(t), np.nan)
    # Before t and not at it: the second that begins at t is not over when it is decided.
    at = np.searchsorted(known * _DAY_US + ts - day.begin_us, symbol * _DAY_US + t - day.begin_us) - 1
    fresh = (at >= 0) & (known[at] == symbol) & (t - ts[at] <= BOOK_AGE_US)
    return np.where(fresh, half[at], np.nan)


# --- interruptions ---------------------------------------------------------------------------------------------------


def _interruptions(loaded: LakePanel, day: DayFacts, place: Ints) -> list[Interruption]:
    stops = zip(place[day.stops.symbol].tolist(), day.stops.start_us.tolist(), day.stops.end_us.tolist(), strict=True)
    found = [Interruption(*each) for each in stops if each[0] >= 0]
    return sorted({*found, *_of_the_market(loaded, day)})


def _of_the_market(loaded: LakePanel, day: DayFacts) -> Iterator[Interruption]:
    """The breakers of each symbol's market, each stretch once, however many messages tell of it."""
    told = [_market(loaded, day.names[one]) for one in day.breaks.symbol.tolist()]
    merged: dict[Market | None, list[tuple[int, int]]] = {}
    for at, name in enumerate(loaded.bars.symbols):
        mine = _market(loaded, name)
        if mine not in merged:
            same = [mine is None or each is None or each is mine for each in told]
            merged[mine] = _merged(day.breaks, np.array(same, np.bool_))
        yield from (Interruption(at, start, end) for start, end in merged[mine])


def _market(loaded: LakePanel, symbol: str) -> Market | None:
    listing = loaded.listings.get(symbol)
    return None if listing is None else listing.market


def _merged(spans: Spans, mine: Flags) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(zip(spans.start_us[mine].tolist(), spans.end_us[mine].tolist(), strict=True)):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
