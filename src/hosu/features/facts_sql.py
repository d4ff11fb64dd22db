"""The queries that read a date's trades, books and messages for labels: see ``facts_of_lake``.

Each reads one date and sorts by what no two rows share, so that the same rows give the same result whatever their order
in files. Trades and books are bounded by ``[begin, until)``, the continuous trading of the date as far as it is to be
known; messages only by ``before``, since one that came before the begin may tell of a halt that lasts.
"""

from __future__ import annotations

from typing import Final

BESIDE_THE_MARKET: Final = "coalesce(substr(mkop_code, 2, 1), '0') IN ('2', '3')"
"""Of a trade: whether it was agreed beside the market, a block or basket trade, whatever the session (first digit)."""

FIRST_TRADES: Final = """
-- Of each minute the first trade, and the first that is at least {offset} us into it: the only ones that can be the
-- first from a minute and {offset} us on. Order is that of the cumulative volume; of a trade that came twice the
-- streamed row counts. What is agreed beside the market is no price that an order could have had: where nothing else
-- traded in a minute, its begin comes with the price 0.
-- Grain: symbol, minute.
WITH told AS (
  SELECT symbol, epoch_us(ts_event) // 60000000 AS minute, epoch_us(ts_event) % 60000000 AS within, {beside} AS aside,
         struct_pack(cum := cum_volume, rest := source IS NOT DISTINCT FROM 'rest', us := epoch_us(ts_event),
                     price := round(price * 100)::BIGINT) AS trade
  FROM trades {wanted}
  WHERE scope = '{scope}' AND cum_volume IS NOT NULL
    AND isfinite(price) AND price BETWEEN 0.01 AND 1e12
    AND epoch_us(ts_event) >= {begin} AND epoch_us(ts_event) < {until}
),
firsts AS (
  SELECT symbol, minute, min(trade) FILTER (NOT aside) AS one,
         min(trade) FILTER (NOT aside AND within >= {offset}) AS other
  FROM told GROUP BY symbol, minute
)
SELECT symbol, coalesce(one.us, minute * 60000000) AS us, coalesce(one.price, 0) AS price FROM firsts
UNION
SELECT symbol, other.us, other.price FROM firsts WHERE other IS NOT NULL
ORDER BY symbol, us
"""

LAST_BOOKS: Final = """
-- Of each minute the last book, streamed or polled, and from when to when streamed ones say that the symbol is matched
-- by auction (hour code C: a volatility interruption). A poll has no time but that of its receipt; on a day that was
-- simulated or replayed it lies elsewhere and does not count. Grain: symbol, minute.
WITH heard AS (
  SELECT symbol, epoch_us(ts_event) AS us, ts_recv, wal_id, lsn, record_no, ask_prices[1] AS ask,
         bid_prices[1] AS bid, coalesce(hour_code, '0') AS code
  FROM quotes {wanted} WHERE scope = '{scope}'
  UNION ALL
  SELECT symbol, epoch_us(ts_recv), ts_recv, wal_id, lsn, record_no, ask1, bid1, '0'
  FROM snapshots {wanted} WHERE scope = '{scope}' AND ask1 IS NOT NULL AND bid1 IS NOT NULL
),
told AS (
  SELECT symbol, us, code = 'C' AS auction,
         struct_pack(us := us, heard := ts_recv, log := wal_id, lsn := lsn, place := record_no, ask := ask, bid := bid,
                     code := code) AS book
  FROM heard WHERE us >= {begin} AND us < {until}
)
SELECT symbol, max(book).us AS us, max(book).ask AS ask, max(book).bid AS bid, max(book).code = '0' AS continuous,
       min(us) FILTER (auction) AS stopped_us, max(us) FILTER (auction) AS auction_us
FROM told GROUP BY symbol, us // 60000000 ORDER BY symbol, us
"""

AUCTIONS: Final = """
-- From when to when, within a minute, matches are expected: only an auction has them. Grain: symbol, minute.
SELECT symbol, min(epoch_us(ts_event)) AS stopped_us, max(epoch_us(ts_event)) AS auction_us
FROM expected {wanted}
WHERE scope = '{scope}' AND epoch_us(ts_event) >= {begin} AND epoch_us(ts_event) < {until}
GROUP BY symbol, epoch_us(ts_event) // 60000000 ORDER BY symbol, stopped_us
"""

ELSEWHEN: Final = """
-- How many messages were received on another day than their own: of a day that was simulated or replayed.
SELECT count(*) AS n FROM messages
WHERE scope = '{scope}' AND NOT (epoch_us(ts_recv) >= {midnight} AND epoch_us(ts_recv) < {midnight} + 86400000000)
"""

RECEIVED: Final = "SELECT *, epoch_us(ts_recv) AS us FROM messages"
"""When messages came: the only time that they have."""

BESIDE_TRADES: Final = """
  SELECT m.*, coalesce(epoch_us(t.ts_event), {begin}) AS us
  FROM messages m ASOF LEFT JOIN (
    SELECT wal_id, lsn, max(ts_event) AS ts_event FROM (
      SELECT wal_id, lsn, ts_event FROM trades WHERE ts_event IS NOT NULL
      UNION ALL SELECT wal_id, lsn, ts_event FROM quotes WHERE ts_event IS NOT NULL
    ) GROUP BY wal_id, lsn
  ) t ON m.wal_id = t.wal_id AND m.lsn >= t.lsn
"""
"""When messages came by the exchange's clock: the time of the last trade or book before them in their log."""

MESSAGES: Final = """
-- Spans in which a symbol is halted or in a volatility interruption, by what the last message said, and in which its
-- market is: from a breaker's begin to its end. Without an end, until continuous trading ends.
-- Grain: whole (is it the market), symbol, start_us.
WITH timed AS ({clock}),
told AS (
  SELECT symbol, us, halted, vi_code, mkop_code, row_number() OVER (
    PARTITION BY symbol ORDER BY us, ts_recv, wal_id, lsn, record_no) AS place
  FROM timed WHERE scope = '{scope}' AND us < {before}
),
states AS (
  SELECT false AS whole, symbol, us, place,
         coalesce(last_value(halted IGNORE NULLS) OVER since, false)
         OR coalesce(last_value(vi_code IGNORE NULLS) OVER since, 'N') NOT IN ('N', '0') AS stopped
  FROM told WINDOW since AS (PARTITION BY symbol ORDER BY place ROWS UNBOUNDED PRECEDING)
  UNION ALL
  SELECT true, symbol, us, place, mkop_code IN ({begins}) FROM told WHERE mkop_code IN ({begins}, {ends})
),
changes AS (
  SELECT * FROM states
  QUALIFY stopped IS DISTINCT FROM lag(stopped) OVER (PARTITION BY whole, symbol ORDER BY place)
),
spans AS (
  SELECT whole, symbol, us AS start_us, stopped,
         coalesce(lead(us) OVER (PARTITION BY whole, symbol ORDER BY place), {end}) AS end_us
  FROM changes
)
SELECT whole, symbol, start_us, end_us FROM spans WHERE stopped AND end_us > start_us ORDER BY ALL
"""

BREAKER_BEGINS: Final = ("164", "174", "184")
"""The market stops for a while; a circuit breaker is triggered, or begins."""
BREAKER_ENDS: Final = ("175", "185")
