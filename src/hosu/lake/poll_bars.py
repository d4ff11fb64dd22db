"""Bars of symbols that are only polled, as SQL. Volume and value are exact: the differences of what the broker counts
up through the day. Prices are samples, but for new highs and lows of the day, which the broker tells.

A difference belongs to the minute of the later snapshot. ``source`` says where that reaches further back than the
minute before: ``poll:since_open`` for the first snapshot, which brings all since the open, ``poll:late`` after a pause.
A snapshot that says less than one before it, as an old answer of another server does, changes nothing. Snapshots
taken before the open may still show the day before (assumed) and do not count.
"""

from __future__ import annotations

from typing import Final

from hosu.market.bars import LEAST_PRICE, MOST_PRICE, POLL_LATE, POLL_PARTIAL, POLL_SINCE_OPEN

_A_PRICE: Final = f"isfinite({{name}}) AND {{name}} BETWEEN {LEAST_PRICE} AND {MOST_PRICE:f}"
_EXTREMES: Final = ", ".join(
    f"CASE WHEN {name} = 0 OR ({_A_PRICE.format(name=name)}) THEN {name} ELSE price END AS {name}"
    for name in ("open", "high", "low")
)
"""What is no price is the last one; 0 says that there is none yet."""
_SERIES: Final = f"""
-- Snapshots since the open of symbols without a trade, and what had been counted by then. Grain: a snapshot.
snapped AS (
  SELECT snapshots.* REPLACE ({_EXTREMES}), hours.midnight_us, hours.open_us, hours.close_us, hours.end_us,
         epoch_us(ts_recv) AS at_us
  FROM snapshots JOIN hours USING (scope) ANTI JOIN traded USING (scope, symbol)
  WHERE {_A_PRICE.format(name="price")} AND cum_volume IS NOT NULL AND epoch_us(ts_recv) >= hours.open_us
),
counted AS (
  SELECT *, max(cum_volume) OVER reached AS shares, max(cum_value) OVER reached AS won
  FROM snapped
  WINDOW reached AS (PARTITION BY scope, symbol ORDER BY ts_recv, wal_id, lsn, record_no ROWS UNBOUNDED PRECEDING)
)"""  # noqa: S608 - our own names

POLL_MINUTES: Final = f"""{_SERIES},
moved AS (
  SELECT *, at_us // 60000000 AS minute, lag(at_us // 60000000) OVER before AS minute_before,
         shares - coalesce(lag(shares) OVER before, 0) AS volume,
         won - coalesce(lag(won) OVER before, 0) AS value,
         lag(high) OVER before AS high_before, lag(low) OVER before AS low_before
  FROM counted WHERE at_us < end_us
  WINDOW before AS (PARTITION BY scope, symbol ORDER BY ts_recv, wal_id, lsn, record_no)
),
told AS (
  SELECT *, volume > 0 AND minute_before IS NULL AND minute > open_us // 60000000 AS since_open,
         volume > 0 AND minute_before < minute - 1 AS late,
         CASE WHEN minute_before IS NULL THEN coalesce(nullif(open, 0), price) ELSE price END AS first_price,
         CASE WHEN minute_before IS NULL OR high > high_before THEN high END AS new_high,
         CASE WHEN minute_before IS NULL OR low < low_before THEN nullif(low, 0) END AS new_low
  FROM moved
),
minutes AS (
  SELECT symbol, scope, make_timestamptz(minute * 60000000) AS ts,
         min(least(price, new_low, first_price)) AS low, max(greatest(price, new_high, first_price)) AS high,
         first(first_price ORDER BY ts_recv, wal_id, lsn, record_no) AS open,
         last(price ORDER BY ts_recv, wal_id, lsn, record_no) AS close,
         sum(volume)::BIGINT AS volume, sum(value)::DOUBLE AS value, count(*) AS data_points,
         CASE WHEN bool_or(since_open) THEN '{POLL_SINCE_OPEN}' WHEN bool_or(late) THEN '{POLL_LATE}'
              ELSE 'poll' END AS source
  FROM told GROUP BY symbol, scope, minute
),
polled AS (
  SELECT symbol, minutes.scope, coalesce(windows.session, 'unclassified') AS session_set, ts, low, high, open, close,
         volume, value, value / nullif(volume, 0) AS vwap, data_points, source
  FROM minutes LEFT JOIN windows ON windows.scope = minutes.scope AND epoch_us(ts) >= windows.start_us
                                AND epoch_us(ts) < windows.end_us
)"""  # noqa: S608 - our own names
"""``polled``: a minute a symbol in which a snapshot was taken, those without volume included."""

POLL_DAYS: Final = f"""{_SERIES},
polled AS (
  SELECT symbol, scope, 'regular' AS session_set, make_timestamptz(any_value(midnight_us)) AS ts,
         last(low ORDER BY ts_recv, wal_id, lsn, record_no) AS low,
         last(high ORDER BY ts_recv, wal_id, lsn, record_no) AS high,
         last(open ORDER BY ts_recv, wal_id, lsn, record_no) AS open,
         last(price ORDER BY ts_recv, wal_id, lsn, record_no) AS close,
         max(shares)::BIGINT AS volume, max(won)::DOUBLE AS value, max(won) / nullif(max(shares), 0) AS vwap,
         count(*) AS data_points,
         CASE WHEN max(at_us) < any_value(close_us) THEN '{POLL_PARTIAL}' ELSE 'poll' END AS source
  FROM counted GROUP BY symbol, scope
)"""  # noqa: S608 - our own names
"""``polled``: the day so far of each symbol, as its last snapshot has it."""
