"""The queries that read a panel of bars: see ``bars_of_lake``."""

from __future__ import annotations

from typing import Final

EVENTS: Final = """
  -- What the broker's daily bars say of corporate actions; it is the same whether they are adjusted or not.
  SELECT date, symbol, try_cast(ex_code AS BIGINT) AS ex_code, split_ratio
  FROM daily WHERE scope = '{scope}' AND (ex_code IS NOT NULL OR split_ratio IS NOT NULL)
  QUALIFY row_number() OVER (PARTITION BY date, symbol ORDER BY revision DESC, lsn DESC, record_no DESC) = 1
"""
"""Of each symbol and date the last row that says something of them; part of other queries. Grain: date, symbol."""

PRICES: Final = {
    name: f"CASE WHEN isfinite({name}) AND abs({name}) <= 1e12 THEN round({name} * 100)::BIGINT ELSE 0 END"
    for name in ("open", "high", "low", "close")
}
"""Of a bar's prices in hundredths; what is no number, or too large a one, is no price: 0. Parts of ``ROWS``."""

BEGINS: Final = """
  -- When each symbol's own bars begin. Grain: symbol.
  SELECT symbol, min(ts) AS since FROM bars {wanted} WHERE scope = '{scope}' AND session_set = 'regular' GROUP BY symbol
"""
"""Over bars of all dates."""
TOLD_BEGINS: Final = "SELECT symbol, since FROM begins"
"""The same where ``ROWS`` reads a part of the dates."""

ROWS: Final = """
-- Bars of the regular session with what else is known of their day. Grain: symbol, ts.
WITH raw AS (
  SELECT symbol, date, ts, open, high, low, close, volume, value, split_part(source, ':', 1) AS origin
  FROM bars {wanted} WHERE scope = '{scope}' AND session_set = 'regular'
),
begun AS ({begun}),
outside AS (
  SELECT symbol, date, ts, open, high, low, close, volume, value, 'adjusted' AS origin
  FROM external {wanted} WHERE scope = '{scope}' AND adjusted
  QUALIFY row_number() OVER (PARTITION BY symbol, ts
                             ORDER BY source LIKE 'kis:%' DESC, revision DESC, lsn DESC, record_no DESC) = 1
),
chosen AS (
  SELECT * FROM raw
  UNION ALL BY NAME
  SELECT outside.* FROM outside LEFT JOIN begun USING (symbol) WHERE begun.since IS NULL OR outside.ts < begun.since
),
ledger AS (
  SELECT date, symbol, state FROM coverage WHERE scope = '{scope}'
  QUALIFY row_number() OVER (PARTITION BY date, symbol ORDER BY revision DESC, built_at DESC) = 1
),
listed AS (
  SELECT date, symbol, base_price AS base FROM instruments
  WHERE isfinite(base_price) AND base_price BETWEEN 0.01 AND 1e12
),
polled AS (
  -- Before the open a poll may still tell of the day before: the last one counts.
  SELECT date, symbol, arg_max(base_price, ts_recv) AS base
  FROM snapshots WHERE scope = '{scope}' AND isfinite(base_price) AND base_price BETWEEN 0.01 AND 1e12
  GROUP BY ALL
),
events AS ({events}),
{official},
halts AS (SELECT date, symbol FROM instruments WHERE halted),
mended AS (SELECT DISTINCT date, symbol FROM {mended})
SELECT chosen.symbol, replace(chosen.date, '-', '')::BIGINT AS date, epoch_us(ts) AS ts,
       {open} AS open, {high} AS high, {low} AS low, {close} AS close, volume,
       value, origin, coalesce(state, 'no_ledger') AS state,
       round(coalesce(listed.base, polled.base, 0) * 100)::BIGINT AS base, mended.symbol IS NOT NULL AS repaired,
       halts.symbol IS NOT NULL AS halted, coalesce(events.ex_code, 0) AS ex_code, events.split_ratio,
       -- Who adjusted closes made them of whole days, and a raw base goes on from them all the same.
       CASE WHEN origin = 'adjusted' THEN {close} ELSE coalesce(round(official.price * 100)::BIGINT, 0) END AS official
FROM chosen LEFT JOIN ledger ON ledger.date = chosen.date AND ledger.symbol = chosen.symbol
     LEFT JOIN listed ON listed.date = chosen.date AND listed.symbol = chosen.symbol
     LEFT JOIN polled ON polled.date = chosen.date AND polled.symbol = chosen.symbol
     LEFT JOIN events ON events.date = chosen.date AND events.symbol = chosen.symbol
     LEFT JOIN official ON official.date = chosen.date AND official.symbol = chosen.symbol
     LEFT JOIN sessions ON sessions.date = chosen.date
     LEFT JOIN halts ON halts.date = sessions.before AND halts.symbol = chosen.symbol
     LEFT JOIN mended ON mended.date = chosen.date AND mended.symbol = chosen.symbol
ORDER BY chosen.symbol, ts
"""
MENDED: Final = "trades WHERE scope = '{scope}' AND source = 'rest'"
NEVER: Final = "coverage WHERE false"

LISTINGS: Final = """
-- Market and type of each symbol, by the latest day that says so. Grain: symbol.
SELECT symbol, arg_max(market, date) AS market, arg_max(type, date) AS type FROM instruments GROUP BY symbol
"""
