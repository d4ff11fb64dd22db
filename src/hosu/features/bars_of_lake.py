"""The lake's bars as a ``BarPanel``: the regular session, one scope, adjusted by date.

Raw bars come from ``processed_ohlcv`` (or ``_1m``). Before a symbol's first raw bar, for all time if it has none,
bars of ``bars_daily_external`` (``bars_1m_external``) that somebody else adjusted stand in, marked as such;
``processed_ohlcv`` leaves those out. Of each row it is told where it comes from and what the ledger knows of its day.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import InputError
from hosu.features.adjust import Known, Traded, adjustment, previous_trade
from hosu.features.bars_sql import BEGINS, EVENTS, LISTINGS, MENDED, NEVER, PRICES, ROWS, TOLD_BEGINS
from hosu.features.dated_rules import DatedRules, Listing, day_of, previous_sessions, told_listings
from hosu.features.lake_versions import Pinned
from hosu.features.official_closes import closing_hours, official
from hosu.features.openings import LONG_AGO
from hosu.features.panel import BarPanel, select
from hosu.lake.bar_sources import COVERAGE, DAY_BARS, MINUTE_BARS
from hosu.market.bars import DAILY, MINUTES
from hosu.market.calendar import session_windows
from hosu.market.day_plan import Scope, Session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from hosu.features.adjust import LastTrade
    from hosu.features.as_of import AsOf
    from hosu.features.panel import Flags, Ints
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Codes = npt.NDArray[np.uint8]


class Origin(IntEnum):
    """Where a bar comes from: ``market.bars.BarSource``, and files with adjusted prices."""

    CERTIFIED = 0
    TRADES = 1
    REST = 2
    IMPORT = 3
    POLL = 4
    ADJUSTED = 5


class DayState(IntEnum):
    """What the ledger's latest revision says of a bar's day: ``market.ledger.State``."""

    NO_LEDGER = 0
    CERTIFIED = 1
    ASSUMED = 2
    OPEN = 3
    UNPROVABLE = 4
    POLLED = 5


_REMEMBERED: Final = 0
"""The time of a bar that is only remembered: before all others."""
_BESIDE: Final = ("origin", "state", "base", "explained", "official", "doubtful", "repaired")
_NO_END: Final = "9999"
_UNKNOWN: Final[dict[str, Any]] = {"market": None, "type": None}
_TABLES: Final = {"day": (DAY_BARS, DAILY), "minute": (MINUTE_BARS, MINUTES)}


@dataclass(frozen=True, slots=True)
class LakePanel:
    """Bars, and what is known of each beside its numbers; ``n`` rows.

    Attributes:
        bars: the panel.
        origin: (n,) ``Origin``.
        state: (n,) ``DayState``.
        base: (n,) the day's base in hundredths of a won: dated, else what the last close is worth; 0 unknown.
        explained: (n,) ``adjust.Explained``.
        official: (n,) the official close of the bar's own day, hundredths of a won; 0 unknown.
        doubtful: (n,) whether the move to the bar is one of which nobody knows if it is an event; for labels a mask.
        repaired: (n,) whether trades of the symbol's day came later over REST; False if that was not asked.
        listings: market and type of the symbols of which a master file tells.
        pinned: the tables it was read from.
    """

    bars: BarPanel
    origin: Codes
    state: Codes
    base: Ints
    explained: Codes
    official: Ints
    doubtful: Flags
    repaired: Flags
    listings: dict[str, Listing]
    pinned: Pinned

    @property
    def adjusted(self) -> Flags:
        """(n,) whether a bar's prices were adjusted by whoever made the file."""
        found: Flags = self.origin == Origin.ADJUSTED
        return found

    @property
    def without_ledger(self) -> Flags:
        """(n,) whether no ledger tells of the bar's day."""
        found: Flags = self.state == DayState.NO_LEDGER
        return found


def tables_of(interval: str, *, repaired: bool = False) -> tuple[str, ...]:
    """The tables a panel is read from; ``repaired``: those that tell of repairs too.

    Raises:
        InputError: an unknown interval.
    """
    if interval not in _TABLES:
        raise InputError(f"interval {interval!r}", "is unknown", f"choose {' or '.join(_TABLES)}")
    more = ("trades",) if repaired else ()
    return (*dict.fromkeys((*_TABLES[interval], COVERAGE, "instruments", "snapshots", DAILY)), *more)


def panel(
    lake: Lake,
    interval: str = "day",
    symbols: Sequence[str] | None = None,
    *,
    start: str | None = None,
    end: str | None = None,
    last: Mapping[str, LastTrade] | None = None,
    begun: pa.Table | None = None,
    listings: dict[str, Listing] | None = None,
    scope: str = "KRX",
    pinned: Pinned | None = None,
    repaired: bool = False,
    as_of: AsOf | None = None,
    config: SqlConfig | None = None,
) -> LakePanel:
    """The bars of these symbols between two dates, both included; empty where the lake has none.

    Args:
        lake: where they are.
        interval: ``day`` or ``minute``.
        symbols: which; None: all.
        start: first date, ``YYYY-MM-DD``; None: from the oldest.
        end: last date; None: to the newest.
        last: what is remembered of bars before ``start``, by symbol: what a price is worth after a corporate action is
            told beside the last one. None: the bars read are all there are.
        begun: ``begins`` of the same lake, for many calls with a ``start``; None: read here.
        listings: market and type of each symbol as of ``end``, for many calls (``Listings``); None: read here.
        scope: KRX, NXT or UN.
        pinned: tables at versions; None: as they are now.
        repaired: whether to ask which days were repaired (reads ``trades``).
        as_of: minutes as they were at an instant of ``end``; None: as they are.
        config: what DuckDB may take.

    Raises:
        InputError: an unknown interval or scope.
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
        CalendarRangeError: a bar before 2010.
    """
    names = tables_of(interval, repaired=repaired)
    if scope not in {each.value for each in Scope}:
        raise InputError(f"scope {scope!r}", "is unknown", "choose KRX, NXT or UN")
    held = pinned or Pinned.now(lake, names)
    roles = {"bars": names[0], "external": names[1], "coverage": COVERAGE, "instruments": names[3]}
    roles |= {"snapshots": names[4], "daily": DAILY} | ({"trades": "trades"} if repaired else {})
    mended = (MENDED if repaired else NEVER).format(scope=scope)
    wanted = "" if symbols is None else "SEMI JOIN wanted USING (symbol)"
    beside = {} if symbols is None else {"wanted": pa.table({"symbol": pa.array(sorted(set(symbols)), pa.string())})}
    parts = {"events": EVENTS.format(scope=scope), "official": official(interval, wanted), **PRICES}
    parts["begun"] = BEGINS.format(scope=scope, wanted=wanted)
    if start is not None:
        parts["begun"] = TOLD_BEGINS
        beside["begins"] = begins(held, interval, scope, config=config) if begun is None else begun
    sql = ROWS.format(scope=scope, wanted=wanted, mended=mended, **parts)
    dates = sorted({date for name in names[:2] for date in held.dates(name)})
    beside |= {"sessions": _sessions(dates), "hours": closing_hours(dates)}
    rows = held.query(sql, roles, start=start, end=end, beside=beside, config=config)
    if as_of is not None:
        rows = as_of.known(rows)
    if interval == "minute":
        rows = _regular(rows, Scope(scope))
    listed = Listings(held).at(end) if listings is None else listings
    if not last:
        return _built(rows, listed, held, is_krx=scope == Scope.KRX)
    loaded = _built(_behind(rows, last), listed, held, is_krx=scope == Scope.KRX)
    return _only(loaded, loaded.bars.ts != _REMEMBERED)


def begins(held: Pinned, interval: str, scope: str = "KRX", *, config: SqlConfig | None = None) -> pa.Table:
    """When each symbol's own bars begin; empty where nobody else's bars could stand in before.

    Raises:
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    own, external = _TABLES[interval]
    if not held.dates(external):
        return pa.table({"symbol": pa.array([], pa.string()), "since": pa.array([], pa.timestamp("us", "UTC"))})
    return held.query(BEGINS.format(scope=scope, wanted=""), {"bars": own}, config=config)


class Listings:
    """Market and type of each symbol by the latest day that says so, as of one date after another.

    Args:
        held: holds ``instruments``, whose lists are read once each as long as dates ascend.
    """

    def __init__(self, held: Pinned) -> None:
        self._held, self._read = held, ""
        self._told: dict[str, dict[str, Any]] = {}

    def at(self, end: str | None) -> dict[str, Listing]:
        """Those of the symbols of which a list up to ``end`` (``YYYY-MM-DD``; None: the newest) tells.

        Raises:
            TableCorruptError, QueryError, LakeFullError: as ``panel``.
        """
        last = end or _NO_END
        if last < self._read:
            self._read, self._told = "", {}
        fresh = [date for date in self._held.dates("instruments") if self._read < date <= last]
        if fresh:
            rows = self._held.query(LISTINGS, {"instruments": "instruments"}, start=fresh[0], end=fresh[-1])
            for row in rows.to_pylist():
                known = {name: value for name, value in row.items() if value is not None}
                self._told[row["symbol"]] = {**self._told.get(row["symbol"], _UNKNOWN), **known}
        self._read = last
        return told_listings(self._told.values())


def _behind(rows: pa.Table, last: Mapping[str, LastTrade]) -> pa.Table:
    """The rows, and before each symbol's first one what is remembered of an earlier bar; in order."""
    firsts = rows.group_by("symbol").aggregate([("date", "min")])
    begins = dict(zip(firsts.column("symbol").to_pylist(), firsts.column("date_min").to_pylist(), strict=True))
    added = [
        {**dict.fromkeys(("open", "high", "low", "close"), last[symbol].close), "symbol": symbol, "volume": 1}
        | {"date": last[symbol].date or LONG_AGO, "ts": _REMEMBERED, "origin": "trades", "state": "no_ledger"}
        | {"base": 0, "repaired": False, "halted": False, "official": last[symbol].official}
        for symbol, date in begins.items()
        if symbol in last and last[symbol].date < date
    ]
    whole = [{name: row.get(name) for name in rows.column_names} for row in added]
    joined = pa.concat_tables([rows, pa.Table.from_pylist(whole, schema=rows.schema)])
    return joined.sort_by([("symbol", "ascending"), ("ts", "ascending")])


def _only(loaded: LakePanel, mask: Flags) -> LakePanel:
    """Those rows of it."""
    told = {name: getattr(loaded, name)[mask] for name in _BESIDE}
    return replace(loaded, bars=select(loaded.bars, mask), **told)


def _sessions(dates: list[str]) -> pa.Table:
    """These dates, and of each the session before it, as text."""
    before = previous_sessions(np.array([int(date.replace("-", "")) for date in dates], np.int64))
    texts = [f"{number // 10_000:04d}-{number // 100 % 100:02d}-{number % 100:02d}" for number in before.tolist()]
    return pa.table({"date": pa.array(dates, pa.string()), "before": pa.array(texts, pa.string())})


def _regular(rows: pa.Table, scope: Scope) -> pa.Table:
    """Without what of adjusted minutes lies outside the regular session; the others were told apart before."""
    outside = pc.equal(rows.column("origin"), "adjusted")
    if not pc.any(outside).as_py():
        return rows
    date, ts = _ints(rows, "date"), _ints(rows, "ts")
    within = np.ones(len(date), np.bool_)
    for number in np.unique(date).tolist():
        mine = date == number
        window = next(each for each in session_windows(day_of(number), scope) if each.session is Session.REGULAR)
        within[mine] = (ts[mine] >= window.start_us) & (ts[mine] < window.end_us)
    return rows.filter(pa.array(within | ~np.asarray(outside.to_numpy())))


def _built(rows: pa.Table, listings: dict[str, Listing], held: Pinned, *, is_krx: bool) -> LakePanel:
    symbol, symbols = _codes(rows.column("symbol"))
    starts = np.searchsorted(symbol, np.arange(len(symbols) + 1)).astype(np.int64)
    prices = {name: _ints(rows, name) for name in ("open", "high", "low", "close")}
    volume = _ints(rows, "volume")
    _carry(prices, starts, volume)
    date, base = _ints(rows, "date"), _ints(rows, "base")
    origin = _named(rows.column("origin"), Origin)
    traded = Traded(starts, date, prices["high"], prices["low"], prices["close"], volume)
    rules = DatedRules.of(date, symbol, symbols, listings)
    known = Known(
        base=base,
        ratio=np.array(rows.column("split_ratio").fill_null(np.nan).to_numpy(), np.float64),
        ex_code=_ints(rows, "ex_code"),
        adjusted=origin == Origin.ADJUSTED,
        halted=_flags(rows, "halted"),
        official=_ints(rows, "official"),
        is_krx=is_krx,
    )
    made = adjustment(traded, known, rules)
    value = np.asarray(rows.column("value").cast(pa.float64()).fill_null(np.nan).to_numpy(), np.float64)
    bars = BarPanel(
        symbols=tuple(symbols),
        starts=starts,
        date=date,
        ts=_ints(rows, "ts"),
        **prices,
        volume=volume,
        value=value,
        factor=made.factor,
        masked=made.masked,
    )
    return LakePanel(
        bars=bars,
        origin=origin,
        state=_named(rows.column("state"), DayState),
        base=made.base,
        explained=made.explained,
        official=_ints(rows, "official"),
        doubtful=made.doubtful,
        repaired=_flags(rows, "repaired"),
        listings=listings,
        pinned=held,
    )


def _carry(prices: dict[str, Ints], starts: Ints, volume: Ints) -> None:
    """Gives a bar without a trade the last close, its own where there is no trade before it."""
    idle = np.flatnonzero((volume <= 0) | (prices["open"] <= 0))
    volume[idle] = 0
    before = previous_trade(starts, volume)[idle]
    close = np.where(before >= 0, prices["close"][before], prices["close"][idle])
    for column in prices.values():
        column[idle] = close


def _flags(rows: pa.Table, name: str) -> Flags:
    return np.array(rows.column(name).to_numpy(), np.bool_)


def _ints(rows: pa.Table, name: str) -> Ints:
    return np.array(rows.column(name).fill_null(0).to_numpy(), np.int64)


def _codes(column: pa.ChunkedArray) -> tuple[Ints, list[str]]:
    coded: Any = column.combine_chunks().dictionary_encode()
    coded = coded.combine_chunks() if isinstance(coded, pa.ChunkedArray) else coded
    return np.asarray(coded.indices.to_numpy(), np.int64), coded.dictionary.to_pylist()


def _named(column: pa.ChunkedArray, names: type[Origin | DayState]) -> Codes:
    codes, texts = _codes(column)
    table = np.array([names[text.upper()] for text in texts], np.uint8)
    found: Codes = table[codes]
    return found
