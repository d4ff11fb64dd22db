"""The views beside the tables, as SQL over them."""

from __future__ import annotations

from typing import Final

TRADES_UNIQUE: Final = """
-- One row an execution: trades without what was received twice (a reconnect, two connections, a repair over REST).
-- Grain: (date, scope, symbol, cum_volume), the identity of a trade; the row received first stays, but a streamed one
-- before one over REST, which tells less (neither side nor counts nor best prices).
-- Rows without a cumulative volume have no identity and all stay.
SELECT * FROM trades
QUALIFY cum_volume IS NULL
     OR row_number() OVER (PARTITION BY date, scope, symbol, cum_volume
                           ORDER BY source IS NOT DISTINCT FROM 'rest', ts_recv, wal_id, lsn, record_no) = 1
"""

_BARS_LATEST: Final = """
-- One row a bar that somebody else made: the broker's before a file's, of these the one fetched last.
-- Grain: (date, scope, symbol, ts, adjusted).
SELECT * FROM {table}
QUALIFY row_number() OVER (PARTITION BY date, scope, symbol, ts, adjusted
                           ORDER BY source LIKE 'kis:%' DESC, revision DESC, lsn DESC, record_no DESC) = 1
"""

RAW_STOCK_DATA: Final = """
-- Trades, quotes and snapshots in the one raw schema that came before this lake. Grain: a row of each of them.
-- timestamp: when it happened at the exchange; of a snapshot, when we received it.
-- current_price: of a trade its price, of a snapshot the current price; a quote has none.
-- ohlcv: of a snapshot open, high, low, close, volume, value of the day so far; of a trade close (its price),
--   volume (its size), cumulative_volume, cumulative_value; of a quote cumulative_volume.
-- orderbook: ask_price_1, ask_size_1, bid_price_1, bid_size_1, of a quote up to 10; what the broker left out is absent.
-- category: the scope (KRX, NXT, UN). data_type: trade, quote, snapshot.
-- collection_id: log, number and record it came from, joined by colons.
SELECT symbol, ts_event AS timestamp, price AS current_price,
       map_from_entries(list_filter([
         {'k': 'close', 'v': price}, {'k': 'volume', 'v': size::DOUBLE},
         {'k': 'cumulative_volume', 'v': cum_volume::DOUBLE}, {'k': 'cumulative_value', 'v': cum_value::DOUBLE}
       ], lambda e: e.v IS NOT NULL)) AS ohlcv,
       map_from_entries(list_filter([
         {'k': 'ask_price_1', 'v': ask1}, {'k': 'ask_size_1', 'v': ask1_size::DOUBLE},
         {'k': 'bid_price_1', 'v': bid1}, {'k': 'bid_size_1', 'v': bid1_size::DOUBLE}
       ], lambda e: e.v IS NOT NULL)) AS orderbook,
       scope AS category, 'trade' AS data_type, concat_ws(':', wal_id, lsn, record_no) AS collection_id, date
FROM trades
UNION ALL
SELECT symbol, ts_event, NULL,
       map_from_entries(list_filter([{'k': 'cumulative_volume', 'v': cum_volume::DOUBLE}], lambda e: e.v IS NOT NULL)),
       map_from_entries(list_filter(flatten(list_transform(range(1, 11), lambda i: [
         {'k': 'ask_price_' || i, 'v': ask_prices[i]}, {'k': 'ask_size_' || i, 'v': ask_sizes[i]::DOUBLE},
         {'k': 'bid_price_' || i, 'v': bid_prices[i]}, {'k': 'bid_size_' || i, 'v': bid_sizes[i]::DOUBLE}
       ])), lambda e: e.v IS NOT NULL)),
       scope, 'quote', concat_ws(':', wal_id, lsn, record_no), date
FROM quotes
UNION ALL
SELECT symbol, ts_recv, price,
       map_from_entries(list_filter([
         {'k': 'open', 'v': open}, {'k': 'high', 'v': high}, {'k': 'low', 'v': low}, {'k': 'close', 'v': price},
         {'k': 'volume', 'v': cum_volume::DOUBLE}, {'k': 'value', 'v': cum_value::DOUBLE}
       ], lambda e: e.v IS NOT NULL)),
       map_from_entries(list_filter([
         {'k': 'ask_price_1', 'v': ask1}, {'k': 'ask_size_1', 'v': ask1_size::DOUBLE},
         {'k': 'bid_price_1', 'v': bid1}, {'k': 'bid_size_1', 'v': bid1_size::DOUBLE}
       ], lambda e: e.v IS NOT NULL)),
       scope, 'snapshot', concat_ws(':', wal_id, lsn, record_no), date
FROM snapshots
"""

COVERAGE: Final = """
-- What is known of each symbol's day: the latest revision. Grain: (date, scope, symbol).
SELECT * FROM coverage_days
QUALIFY row_number() OVER (PARTITION BY date, scope, symbol ORDER BY revision DESC, built_at DESC) = 1
"""

GAPS_LATEST: Final = """
-- Every hole that was ever found, open or filled: the latest revision. Grain: (date, scope, symbol, from_volume,
-- to_volume).
SELECT * FROM gaps
QUALIFY row_number() OVER (
  PARTITION BY date, scope, symbol, from_volume, to_volume ORDER BY revision DESC, open, lsn DESC) = 1
"""

COVERAGE_SHARE: Final = """
-- How much of a day's turnover was seen, by scope. Grain: (date, scope).
-- symbols: of which anything is known; certified, assumed, open, unprovable, polled: of these, by state.
-- shares, shares_seen, share_seen: traded as far as any trade, book or poll says; those that trades account for; and
--   their ratio, null where nothing was traded.
-- value, value_seen, turnover_seen: the same in won; value adds to what trades are worth what polls say of symbols
--   without trades, and what open holes are worth where that is known (else their shares at the mean price seen).
WITH polled AS (
  -- Before the open a poll may still tell of the day before, so that the largest value need not be this day's.
  SELECT date, scope, symbol, arg_max(s.cum_value, s.cum_volume) AS cum_value
  FROM snapshots s JOIN coverage c USING (date, scope, symbol)
  WHERE c.state = 'polled' AND s.cum_volume <= c.last_volume GROUP BY ALL
), holes AS (
  SELECT date, scope, symbol, sum(value)::BIGINT AS value, sum(shares) FILTER (WHERE value IS NULL)::BIGINT AS unvalued
  FROM gaps_latest WHERE open GROUP BY ALL
), days AS (
  SELECT c.*, coalesce(c.value, 0) AS seen,
         CASE WHEN c.state = 'polled' THEN coalesce(p.cum_value, 0)
              ELSE coalesce(c.value, 0) + coalesce(h.value, 0)
                   + coalesce(h.unvalued * (c.value / nullif(c.shares, 0)), 0) END AS worth
  FROM coverage c LEFT JOIN polled p USING (date, scope, symbol) LEFT JOIN holes h USING (date, scope, symbol)
)
SELECT date, scope, count(*) AS symbols,
       count(*) FILTER (WHERE state = 'certified') AS certified, count(*) FILTER (WHERE state = 'assumed') AS assumed,
       count(*) FILTER (WHERE state = 'open') AS open, count(*) FILTER (WHERE state = 'unprovable') AS unprovable,
       count(*) FILTER (WHERE state = 'polled') AS polled,
       sum(last_volume)::BIGINT AS shares, sum(shares)::BIGINT AS shares_seen,
       sum(shares) / nullif(sum(last_volume), 0) AS share_seen,
       round(sum(worth))::BIGINT AS value, sum(seen)::BIGINT AS value_seen,
       sum(seen) / nullif(sum(worth), 0) AS turnover_seen
FROM days GROUP BY ALL
"""

VIEWS: Final[dict[str, str]] = {
    "trades_unique": TRADES_UNIQUE,
    "raw_stock_data": RAW_STOCK_DATA,
    "coverage": COVERAGE,
    "gaps_latest": GAPS_LATEST,
    "coverage_share": COVERAGE_SHARE,
    "bars_daily_latest": _BARS_LATEST.format(table="bars_daily_external"),
    "bars_1m_latest": _BARS_LATEST.format(table="bars_1m_external"),
}
"""The SQL of each view by name."""
