"""Which closes are known to be the exchange's own: what a base price of the session after is read beside.

A base is KRX's close, or what an event made of it. Beside the last price that happens to be in the lake it tells of
nothing: a collector that stopped at two o'clock has a last price too. The close of a symbol's day is known where

1. its last bar is the whole day's: it is certified, it lies in the closing auction, or it is a day's bar of the broker
   or of a file. What the ledger has come to say since the bar was built says nothing of the bar;
2. a poll came after the closing auction had ended: its price;
3. the broker's daily bar at original prices says it, or a file's, made when the day was over.

It is the close on KRX whatever the scope of the bars: other venues end at other times, and their days are limited by
the same base.
"""

from __future__ import annotations

from datetime import date as Date  # noqa: N812 - `date` is a column's name everywhere here
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from hosu.errors import MarketError
from hosu.market.bars import LEAST_PRICE, MOST_PRICE, POLL, TRADES_CLOSED, BarSource
from hosu.market.calendar import RANDOM_END_S, closing_us, instant_us

if TYPE_CHECKING:
    from collections.abc import Iterable

TOLD: Final = """
  SELECT date, symbol, close FROM daily JOIN hours USING (date)
  WHERE scope = 'KRX' AND NOT adjusted AND coalesce(epoch_us(fetched_at) >= hours.ended_us, true)
  QUALIFY row_number() OVER (PARTITION BY date, symbol
                             ORDER BY source LIKE 'kis:%' DESC, revision DESC, lsn DESC, record_no DESC) = 1
"""
"""Closes that daily bars from outside tell; part of other queries. Grain: date, symbol."""

_WHOLE_DAYS: Final = ", ".join(f"'{each}'" for each in (TRADES_CLOSED, BarSource.REST, BarSource.IMPORT))
_WHOLE: Final = {
    "day": f"source IN ({_WHOLE_DAYS})",
    # A poll in the auction's minute may have come before the auction had traded.
    "minute": f"epoch_us(ts) >= hours.close_us AND NOT starts_with(source, '{POLL}')",
}
_CLOSES: Final = """
last_bar AS (
  SELECT date, symbol, max(ts) AS ts, arg_max(close, ts) AS close, arg_max(source, ts) AS source
  FROM bars {wanted} WHERE scope = 'KRX' AND session_set = 'regular' AND volume > 0 GROUP BY date, symbol
),
closes AS (
  SELECT 1 AS place, date, symbol, last_bar.close
  FROM last_bar JOIN hours USING (date) WHERE source = '{certified}' OR {whole}
  UNION ALL
  SELECT 2, date, symbol, arg_max(price, ts_recv) FROM snapshots JOIN hours USING (date)
  WHERE scope = 'KRX' AND price > 0 AND epoch_us(ts_recv) >= hours.ended_us AND epoch_us(ts_recv) < hours.midnight_us
  GROUP BY date, symbol
  UNION ALL
  SELECT 3, date, symbol, close FROM ({told})
),
official AS (
  SELECT date, symbol, arg_min(close, place) AS price FROM closes
  WHERE isfinite(close) AND close BETWEEN {least} AND {most} GROUP BY date, symbol
)"""


def official(interval: str, wanted: str) -> str:
    """The part of a query that gives ``official``: date, symbol, price.

    It reads ``bars`` of the interval, ``snapshots``, ``daily`` and ``hours``. ``wanted`` chooses bars.
    """
    return _CLOSES.format(
        wanted=wanted,
        certified=BarSource.CERTIFIED,
        whole=_WHOLE[interval],
        told=TOLD,
        least=LEAST_PRICE,
        most=f"{MOST_PRICE:f}",
    )


def closing_hours(dates: Iterable[str]) -> pa.Table:
    """Of each of these dates on which KRX trades: from when the closing auction trades, when it has ended at the
    latest, and when the day is over; UTC microseconds."""
    rows = []
    for date in sorted(set(dates)):
        day = Date.fromisoformat(date)
        try:
            close_us = closing_us(day)
        except MarketError:
            continue
        ended_us, midnight_us = close_us + RANDOM_END_S * 1_000_000, instant_us(day, 86_400)
        rows.append({"date": date, "close_us": close_us, "ended_us": ended_us, "midnight_us": midnight_us})
    return pa.Table.from_pylist(rows, schema=_HOURS)


_HOURS: Final = pa.schema(
    [("date", pa.string()), ("close_us", pa.int64()), ("ended_us", pa.int64()), ("midnight_us", pa.int64())]
)
