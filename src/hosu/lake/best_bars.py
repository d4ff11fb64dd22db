"""The best bar there is for each (symbol, scope, session set, bar): certified trades, trades, the broker's, a file's,
snapshots', in this order. What is there already stays unless something as good takes its place.

The parts: our own bars of trades; bars from outside at original prices, in the session that the calendar says; what
differences between snapshots give for symbols of which no trade was received. A minute of which the broker or a file
says that nothing was traded is no bar, and no bar of snapshots either.
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - `date` is the partition's name everywhere here
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from hosu.errors import MarketError
from hosu.lake.bar_sources import COVERAGE, DAY_BARS, SOURCES
from hosu.lake.poll_bars import POLL_DAYS, POLL_MINUTES
from hosu.lake.sql import combine
from hosu.lake.tables import TABLES
from hosu.market.bars import DAILY, MINUTES, BarSource
from hosu.market.calendar import instant_us, session_windows, sessions_on
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from hosu.lake.bar_sources import BarSources
    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

_RANK: Final = "CASE split_part(source, ':', 1) " + "".join(
    [*(f"WHEN '{source.value}' THEN {rank} " for rank, source in enumerate(BarSource)), "END"]
)
_COLUMNS: Final = "symbol, scope, session_set, ts, low, high, open, close, volume, value, vwap, data_points, source"

_BEST: Final = """
-- The best bar of each key, and what the table has of better ones. Grain: symbol, scope, session_set, ts.
WITH certified AS (
  SELECT scope, symbol FROM (
    SELECT * FROM coverage QUALIFY row_number() OVER (PARTITION BY scope, symbol ORDER BY revision DESC) = 1
  ) WHERE state = 'certified'
),
traded AS (SELECT DISTINCT scope, symbol FROM ours),
named AS (
  SELECT *, CASE WHEN source LIKE 'kis:%' THEN 'rest' ELSE 'import' END AS kind FROM external WHERE NOT adjusted
),
outside AS (
  SELECT * FROM named QUALIFY row_number()
    OVER (PARTITION BY scope, symbol, ts, kind ORDER BY revision DESC, lsn DESC, record_no DESC) = 1
),
{polls},
candidates AS (
  SELECT ours.* EXCLUDE (source, revision),
         CASE WHEN certified.symbol IS NULL THEN ours.source ELSE 'certified' END AS source
  FROM ours LEFT JOIN certified USING (scope, symbol)
  UNION ALL BY NAME
  SELECT symbol, outside.scope, {session} AS session_set, ts, low, high, open, close, volume, value,
         value / nullif(volume, 0) AS vwap, NULL AS data_points, kind AS source
  FROM outside {windows} ANTI JOIN certified ON certified.scope = outside.scope AND certified.symbol = outside.symbol
  UNION ALL BY NAME
  SELECT * FROM polled ANTI JOIN certified USING (scope, symbol)
),
chosen AS (
  SELECT *, {rank} AS rank FROM candidates
  QUALIFY row_number() OVER (PARTITION BY symbol, scope, session_set, ts ORDER BY rank) = 1
),
present AS (
  SELECT scope, symbol, 'trades' AS kind FROM traded
  UNION ALL SELECT scope, symbol, 'certified' FROM traded
  UNION ALL SELECT DISTINCT scope, symbol, kind FROM outside
  UNION ALL SELECT DISTINCT scope, symbol, 'poll' FROM snapshots
  UNION ALL SELECT scope, symbol, 'poll' FROM traded
),
carried AS (
  SELECT before.*, {rank} AS rank FROM before
  ANTI JOIN present ON before.scope = present.scope AND before.symbol = present.symbol
            AND split_part(before.source, ':', 1) = present.kind
),
kept AS (
  SELECT carried.* FROM carried LEFT JOIN chosen USING (symbol, scope, session_set, ts)
  WHERE chosen.rank IS NULL OR carried.rank < chosen.rank
)
SELECT {columns} FROM kept
UNION ALL
SELECT {columns} FROM chosen ANTI JOIN kept USING (symbol, scope, session_set, ts)
WHERE rank <= 1 OR volume > 0
ORDER BY symbol, scope, ts, session_set
"""
_WINDOWS: Final = """
  LEFT JOIN windows ON windows.scope = outside.scope AND epoch_us(ts) >= windows.start_us
                   AND epoch_us(ts) < windows.end_us
"""


def best_bars(
    lake: Lake,
    name: str,
    date: str,
    ours: pa.Table,
    *,
    sources: BarSources,
    revision: int,
    config: SqlConfig,
) -> pa.Table:
    """The rows of the table ``name`` for ``date``.

    Args:
        lake: whose bars they are.
        name: ``processed_ohlcv``, ``processed_ohlcv_1m`` or ``processed_ohlcv_1s``.
        date: the business date.
        ours: the bars of the date's trades, in the columns of the table without ``date``.
        sources: the rest.
        revision: of the rows returned.
        config: what DuckDB may take.
    """
    files, beside = _parts(sources, name, date)
    if not any(listed for _, listed in files.values()):
        return ours
    days = name == DAY_BARS
    sql = _BEST.format(
        polls=POLL_DAYS if days else POLL_MINUTES,
        session="'regular'" if days else "coalesce(windows.session, 'unclassified')",
        windows="" if days else _WINDOWS,
        rank=_RANK,
        columns=_COLUMNS,
    )
    windows, hours = _calendar(date)
    beside |= {"ours": ours, "windows": windows, "hours": hours}
    rows = combine(lake.storage, sql, files=files, beside=beside, config=config)
    schema = TABLES[name].file_schema
    rows = rows.append_column("revision", pa.array([revision] * rows.num_rows, pa.int64()))
    return rows.select(schema.names).cast(schema)


def _parts(
    sources: BarSources, name: str, date: str
) -> tuple[dict[str, tuple[Table, list[DataFile]]], dict[str, pa.Table]]:
    """What the query calls ``external``, ``snapshots``, ``coverage`` and ``before`` (what the table has now): files of
    the lake, and an empty table for what it does not have."""
    external = DAILY if name == DAY_BARS else MINUTES
    places = {"external": external, "snapshots": "snapshots", "coverage": COVERAGE, "before": name}
    files: dict[str, tuple[Table, list[DataFile]]] = {}
    absent: dict[str, pa.Table] = {}
    for role, place in places.items():
        table = sources.table(place) if place in {*SOURCES[name], name} else None
        if table is not None:
            files[role] = (table, sources.files(place, date))
        else:
            absent[role] = (TABLES[place].schema if place in TABLES else _COVERAGE).empty_table()
    return files, absent


_COVERAGE: Final = pa.schema(
    [
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("revision", pa.int64()),
        pa.field("state", pa.string()),
    ]
)
_WINDOW: Final = pa.schema(
    [("scope", pa.string()), ("session", pa.string()), ("start_us", pa.int64()), ("end_us", pa.int64())]
)
_HOURS: Final = pa.schema(
    [
        ("scope", pa.string()),
        ("midnight_us", pa.int64()),
        ("open_us", pa.int64()),
        ("close_us", pa.int64()),
        ("end_us", pa.int64()),
    ]
)


def _calendar(date: str) -> tuple[pa.Table, pa.Table]:
    """The date's sessions by scope, and when each scope opens, closes and ends; nothing where it does not trade."""
    day = Date.fromisoformat(date)
    windows, hours = [], []
    for scope in Scope:
        try:
            spans, plan = session_windows(day, scope), sessions_on(day, scope)
        except MarketError:
            continue
        windows += [
            {"scope": scope.value, "session": str(span.session), "start_us": span.start_us, "end_us": span.end_us}
            for span in spans
        ]
        at = {"midnight_us": 0.0, "open_us": plan.open_s, "close_us": plan.close_s}
        moments = {name: instant_us(day, second) for name, second in at.items()}
        hours.append({"scope": scope.value, **moments, "end_us": spans[-1].end_us})
    return pa.Table.from_pylist(windows, schema=_WINDOW), pa.Table.from_pylist(hours, schema=_HOURS)
