"""What the lake knows of a date beside its bars: first trades, books, interruptions; each date read by itself.

Of a date's events only what labels can need is kept, two trades and a book a minute, so that memory does not grow
with what was traded. ``ts_event`` has whole seconds.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.features import facts_sql
from hosu.features.dated_rules import day_of, hours
from hosu.features.label_parts import LATENCY_US
from hosu.market.bars import MINUTE_US, MOST_PRICE
from hosu.market.calendar import instant_us
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.features.lake_versions import Pinned
    from hosu.features.panel import Floats, Ints
    from hosu.lake.sql import SqlConfig

_BOOKS: Final = ("quotes", "snapshots")
TABLES_OF: Final = {"day": _BOOKS, "minute": ("trades", *_BOOKS, "expected", "market_events")}
"""The tables of events that facts are read from, by interval of the bars."""

_SECOND_US: Final = 1_000_000
_NEVER_US: Final = 1 << 62


class Series(NamedTuple):
    """Values by symbol and then time; (m,) each: place in ``DayFacts.names``, UTC microseconds, value."""

    symbol: Ints
    ts: Ints
    value: Any


class Spans(NamedTuple):
    """Interruptions; (m,) each: place in ``DayFacts.names``, ``start_us <= t < end_us``, UTC microseconds."""

    symbol: Ints
    start_us: Ints
    end_us: Ints


class DayFacts(NamedTuple):
    """What is known of one date.

    Attributes:
        names: symbols, ascending.
        begin_us, end_us: continuous trading, UTC microseconds, half-open.
        trades: of each minute the first, and the first that is the latency into it; hundredths of a won. Of one in
            which all was agreed beside the market its begin, with the price 0.
        books: the last of each minute: half the spread as a share of the mid price, NaN where a side is empty or the
            book is an auction's.
        stops: a symbol's halts and volatility interruptions.
        breaks: interruptions of the market that a symbol is of.
    """

    names: tuple[str, ...]
    begin_us: int
    end_us: int
    trades: Series
    books: Series
    stops: Spans
    breaks: Spans


class FactsOfLake:
    """Reads a date's facts from that date's files alone.

    Args:
        pinned: holds the tables ``TABLES_OF`` names.
        interval: of the bars, ``day`` or ``minute``.
        scope: KRX, NXT or UN.
        symbols: whose; None: all.
        latency_us: from a decision to the earliest trade.
        remember: whether a date that was read is kept in memory, to be asked for again.
        config: what DuckDB may take.
    """

    def __init__(
        self,
        pinned: Pinned,
        interval: str,
        scope: str = "KRX",
        *,
        symbols: Sequence[str] | None = None,
        latency_us: int = LATENCY_US,
        remember: bool = False,
        config: SqlConfig | None = None,
    ) -> None:
        self.interval, self.scope = interval, scope
        self._pinned, self._config = pinned, config
        self._offset_us = latency_us % MINUTE_US
        self._wanted = None if symbols is None else pa.table({"symbol": pa.array(sorted(set(symbols)), pa.string())})
        self._dates = _dates(pinned, interval)
        self._kept: dict[int, DayFacts] | None = {} if remember else None
        self._before: tuple[int, int] | None = None

    def until(self, date: int, before_us: int | None = None) -> FactsOfLake:
        """The same as if nothing had come behind a date, nor of it at an instant or later.

        Args:
            date: yyyymmdd. What is remembered of earlier ones still is: each is read from its own files alone.
            before_us: UTC microseconds; None: all of the date.
        """
        past: FactsOfLake = copy(self)
        past._pinned = self._pinned.until(day_of(date).isoformat())
        past._dates = _dates(past._pinned, self.interval)
        past._kept = None if self._kept is None else {day: facts for day, facts in self._kept.items() if day < date}
        past._before = None if before_us is None else (date, before_us)
        return past

    def knows(self, date: int) -> bool:
        """Whether the lake has any event of a date (yyyymmdd)."""
        return any(day_of(date).isoformat() in dates for dates in self._dates.values())

    def day(self, date: int) -> DayFacts:
        """The facts of a date, yyyymmdd.

        Raises:
            NoSessionError, CalendarRangeError: as ``market.calendar.sessions_on``.
            TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
        """
        if self._kept is None:
            return self._read(date)
        if date not in self._kept:
            self._kept[date] = self._read(date)
        return self._kept[date]

    def _read(self, date: int) -> DayFacts:
        at = hours([date], Scope(self.scope))
        begin, end = int(at.open[0]), int(at.end[0])
        before = self._before[1] if self._before is not None and self._before[0] == date else _NEVER_US
        facts = {"scope": self.scope, "begin": begin, "end": end, "until": min(end, before), "before": before}
        facts["offset"] = self._offset_us
        facts["beside"] = facts_sql.BESIDE_THE_MARKET
        facts["wanted"] = "" if self._wanted is None else "SEMI JOIN wanted USING (symbol)"
        trades = self._rows(facts_sql.FIRST_TRADES, date, facts, "trades")
        books = self._rows(facts_sql.LAST_BOOKS, date, facts, *_BOOKS)
        auctions = self._rows(facts_sql.AUCTIONS, date, facts, "expected")
        messages = self._messages(date, facts)
        names = _names(trades, books, auctions, messages)
        whole = messages.column("whole")
        auction = [_within_auctions(names, each) for each in (books, auctions)]
        stops = _joined([*auction, _spans(names, messages.filter(pc.invert(whole)))])
        breaks = _spans(names, messages.filter(whole))
        paid, spreads = _series(names, trades, _ints(trades, "price")), _series(names, books, _half_spreads(books))
        return DayFacts(tuple(names.to_pylist()), begin, end, paid, spreads, stops, breaks)

    def _rows(self, sql: str, date: int, facts: dict[str, Any], *names: str) -> pa.Table:
        if not any(self._has(name, date) for name in names):
            return _NOTHING
        return self._ask(sql.format(**facts), {name: name for name in names}, date)

    def _messages(self, date: int, facts: dict[str, Any]) -> pa.Table:
        """Spans that messages tell of. They have no time but that of their receipt, so a day that was received on
        another (simulated, or replayed) is timed by what stands before them in the log."""
        name = "market_events"
        if not self._has(name, date):
            return _NOTHING
        elsewhen = facts_sql.ELSEWHEN.format(midnight=instant_us(day_of(date), 0), **facts)
        foreign = self._ask(elsewhen, {"messages": name}, date).column("n")[0].as_py()
        clock = facts_sql.BESIDE_TRADES if foreign else facts_sql.RECEIVED
        roles = {"messages": name} | ({"trades": "trades", "quotes": "quotes"} if foreign else {})
        codes = {"begins": facts_sql.BREAKER_BEGINS, "ends": facts_sql.BREAKER_ENDS}
        listed = {which: ", ".join(f"'{code}'" for code in each) for which, each in codes.items()}
        return self._ask(facts_sql.MESSAGES.format(clock=clock.format(**facts), **listed, **facts), roles, date)

    def _has(self, name: str, date: int) -> bool:
        return day_of(date).isoformat() in self._dates.get(name, ())

    def _ask(self, sql: str, roles: dict[str, str], date: int) -> pa.Table:
        beside = {} if self._wanted is None else {"wanted": self._wanted}
        text = day_of(date).isoformat()
        return self._pinned.query(sql, roles, start=text, end=text, beside=beside, config=self._config)


def _dates(pinned: Pinned, interval: str) -> dict[str, frozenset[str]]:
    return {name: frozenset(pinned.dates(name)) for name in TABLES_OF[interval]}


_INTS: Final = ("us", "price", "ask", "bid", "stopped_us", "auction_us", "start_us", "end_us")
_FLAGS: Final = ("continuous", "whole")
_NOTHING: Final = pa.table(
    {"symbol": pa.array([], pa.string())}
    | {name: pa.array([], pa.int64()) for name in _INTS}
    | {name: pa.array([], pa.bool_()) for name in _FLAGS}
)
"""What any of the queries finds where there is nothing."""


def _names(*found: pa.Table) -> pa.Array:
    """The symbols of all these rows, ascending."""
    return pc.unique(pa.concat_tables([each.select(["symbol"]) for each in found]).column("symbol")).sort()


def _places(names: pa.Array, rows: pa.Table) -> Ints:
    return np.asarray(pc.index_in(rows.column("symbol"), value_set=names).to_numpy(), np.int64)


def _ints(rows: pa.Table, name: str) -> Ints:
    return np.asarray(rows.column(name).to_numpy(), np.int64)


def _series(names: pa.Array, rows: pa.Table, value: Any) -> Series:
    return Series(_places(names, rows), _ints(rows, "us"), value)


def _half_spreads(books: pa.Table) -> Floats:
    """(m,) half the spread over the mid price; NaN where there is no market on both sides, or it is an auction's."""
    ask, bid = (np.asarray(books.column(name).fill_null(0).to_numpy(), np.float64) for name in ("ask", "bid"))
    sound = np.asarray(books.column("continuous").to_numpy(), np.bool_) & (bid > 0) & (ask > bid) & (ask <= MOST_PRICE)
    found: Floats = np.full(len(ask), np.nan)
    found[sound] = (ask[sound] - bid[sound]) / (ask[sound] + bid[sound])
    return found


def _spans(names: pa.Array, rows: pa.Table) -> Spans:
    return Spans(_places(names, rows), _ints(rows, "start_us"), _ints(rows, "end_us"))


def _within_auctions(names: pa.Array, rows: pa.Table) -> Spans:
    """From the first to the end of the last second of a minute that something says a symbol is matched by auction."""
    told = rows.filter(pc.is_valid(rows.column("stopped_us")))
    return Spans(_places(names, told), _ints(told, "stopped_us"), _ints(told, "auction_us") + _SECOND_US)


def _joined(parts: Sequence[Spans]) -> Spans:
    return Spans(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
