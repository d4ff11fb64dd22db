"""A date's quotes and trades of continuous trading, in the order of the log, as the order book's kernel takes them.

What was received live alone: a trade that was asked for later has no place among the books, nor a side.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date  # noqa: N812 - `date` is the partition's name everywhere here
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.errors import MarketError
from hosu.features import book_kernel as kernel
from hosu.features.facts_sql import BESIDE_THE_MARKET
from hosu.lake.sql import SqlConfig, combined_batches
from hosu.lake.tables import TABLES
from hosu.market.bars import MOST_PRICE
from hosu.market.calendar import instant_us, sessions_on
from hosu.market.day_plan import Phase, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake

    Ints = npt.NDArray[np.int64]

SOURCES: Final = ("quotes", "trades")
"""The tables that ``book_v1`` is made of."""

LEVELS: Final = 5
"""Levels a side of which ``book_v1`` knows the shares."""
_HOURS: Final = pa.schema([("scope", pa.string()), ("open_s", pa.int64()), ("close_s", pa.int64())])
_COLUMNS: Final = ("second", "kind", "mode", "a", "b", "c", "d", "e", "f")


def _hundredths(price: str) -> str:
    # What is no number, or too large a one, is no price. Not TRY_CAST: where a file says that a column has no null,
    # what the cast cannot take comes out as one all the same, and no coalesce is left to catch it.
    good = f"isfinite({price}) AND {price} BETWEEN 0 AND {MOST_PRICE}"
    return f"CASE WHEN {good} THEN round({price} * 100)::BIGINT ELSE 0 END"


def _shares(size: str) -> str:
    return f"greatest(coalesce({size}, 0), 0)"


def _levels(side: str) -> str:
    return " + ".join(_level(f"{side}_prices[{n}]", f"{side}_sizes[{n}]") for n in range(1, LEVELS + 1))


def _level(price: str, size: str) -> str:
    return f"CASE WHEN isfinite({price}) AND {price} > 0 THEN {_shares(size)} ELSE 0 END"


_EVENTS: Final = f"""
-- Quotes and trades of continuous trading. Grain: a record of a log. Order: symbol, scope, then the log's.
-- Where a symbol came through several logs they are merged by time of receipt, taken so that no log's order breaks.
WITH events AS (
  SELECT symbol, scope, wal_id, lsn, record_no, ts_recv, epoch_us(ts_event) // 1000000 AS second,
         {kernel.QUOTE} AS kind,
         CASE WHEN coalesce(hour_code, '0') IN ('0', '') THEN {kernel.CONTINUOUS} ELSE {kernel.AUCTION} END AS mode,
         {_hundredths("bid_prices[1]")} AS a, {_hundredths("ask_prices[1]")} AS b,
         {_shares("bid_sizes[1]")} AS c, {_shares("ask_sizes[1]")} AS d,
         {_levels("bid")} AS e, {_levels("ask")} AS f
  FROM quotes
  UNION ALL
  SELECT symbol, scope, wal_id, lsn, record_no, ts_recv, epoch_us(ts_event) // 1000000, {kernel.TRADE},
         CASE WHEN {BESIDE_THE_MARKET} THEN {kernel.BESIDE}
              WHEN side = 'pre_open' OR coalesce(hour_code, '0') NOT IN ('0', '') THEN {kernel.AUCTION}
              ELSE {kernel.CONTINUOUS} END,
         {_hundredths("price")}, size, CASE side WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 ELSE 0 END,
         {_shares("cum_volume")}, 0, 0
  FROM trades WHERE source IS DISTINCT FROM 'rest' AND {_hundredths("price")} > 0 AND size > 0
),
continuous AS (
  SELECT events.*,
         max(ts_recv) OVER (PARTITION BY symbol, events.scope, wal_id ORDER BY lsn, record_no
                            ROWS UNBOUNDED PRECEDING) AS received
  FROM events JOIN hours ON hours.scope = events.scope AND second >= open_s AND second < close_s
)
SELECT symbol, scope, {", ".join(f"{name}::BIGINT AS {name}" for name in _COLUMNS)}
FROM continuous WHERE symbol IS NOT NULL AND scope IS NOT NULL AND {{wanted}}
ORDER BY symbol, scope, received, wal_id, lsn, record_no
"""  # noqa: S608 - our own words


@dataclass(frozen=True, slots=True)
class LogPart:
    """The records ``after < lsn <= until`` of one log."""

    wal_id: str
    after: int
    until: int


class Series:
    """Numbers for (symbol, scope), given in the order in which they come."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str], int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def names(self) -> list[tuple[str, str]]:
        """(symbol, scope) of each number."""
        return list(self._numbers)

    def of(self, rows: pa.RecordBatch) -> Ints:
        """(n,) the number of each row's series."""
        symbols, scopes = (rows.column(name).dictionary_encode() for name in ("symbol", "scope"))
        first, second = (np.asarray(each.indices.to_numpy(), np.int64) for each in (symbols, scopes))
        pair = first * len(scopes.dictionary) + second
        table = np.full(len(symbols.dictionary) * len(scopes.dictionary), -1, np.int64)
        for code in dict.fromkeys(pair[np.flatnonzero(np.diff(pair, prepend=-1))].tolist()):
            symbol, scope = divmod(code, len(scopes.dictionary))
            name = (symbols.dictionary[symbol].as_py(), scopes.dictionary[scope].as_py())
            table[code] = self._numbers.setdefault(name, len(self._numbers))
        numbers: Ints = table[pair]
        return numbers


def events_of(
    lake: Lake,
    date: str,
    series: Series,
    *,
    until_us: int | None = None,
    log: LogPart | None = None,
    config: SqlConfig | None = None,
) -> Iterator[Ints]:
    """(n, kernel.EVENT) events of a date, part after part; those of one series lie together, in order.

    Memory: a part; the sort goes on on disk beyond what ``config`` allows.

    Args:
        lake: whose quotes and trades.
        date: the business date.
        series: gets a number for each series that comes.
        until_us: only what was received before; None: all.
        log: only what came in these records; None: all.
        config: what DuckDB may take.

    Raises:
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    files: dict[str, tuple[Table, list[DataFile]]] = {}
    beside: dict[str, pa.Table] = {"hours": _hours(date)}
    for name in SOURCES:
        table = lake.find(name)
        if table is None:
            beside[name] = TABLES[name].schema.empty_table()
        else:
            files[name] = (table, table.files(date))
    wanted = "true" if until_us is None else f"epoch_us(received) < {until_us}"
    if log is not None:
        beside["part"] = pa.table({"log": [log.wal_id], "after": [log.after], "until": [log.until]})
        wanted += " AND EXISTS (FROM part WHERE part.log = wal_id AND lsn > part.after AND lsn <= part.until)"
    sql = _EVENTS.format(wanted=wanted)
    for batch in combined_batches(lake.storage, sql, files=files, beside=beside, config=config or SqlConfig()):
        columns = [series.of(batch), *(np.asarray(batch.column(name).to_numpy()) for name in _COLUMNS)]
        yield np.ascontiguousarray(np.stack(columns, axis=1))


def hours_of(date: str, scope: Scope) -> tuple[int, int] | None:
    """When a scope trades continuously in its regular session, seconds since 1970, half-open; None where it does not,
    or the calendar does not know the day."""
    day = Date.fromisoformat(date)
    try:
        span = sessions_on(day, scope).span(Phase.REGULAR)
    except MarketError:
        return None
    assert span is not None, "every plan has a regular phase"
    open_s, close_s = (instant_us(day, second) // 1_000_000 for second in (span.start_s, span.end_s))
    return open_s, close_s


def _hours(date: str) -> pa.Table:
    hours = [(scope, hours_of(date, scope)) for scope in Scope]
    told = [{"scope": str(scope), "open_s": each[0], "close_s": each[1]} for scope, each in hours if each is not None]
    return pa.Table.from_pylist(told, schema=_HOURS)
