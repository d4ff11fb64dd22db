"""What the market says, as Arrow schemas: the columns of the raw tables, written down once.

Prices are won as DOUBLE (half won and hundredths are exact in it); sizes are shares; times are UTC microseconds;
``date`` is the business date in KST, ``YYYY-MM-DD``, and the partition of every table. ``(wal_id, lsn, record_no)``
names the record of the log a row came from; ``record_no`` counts from 0 within its frame.

``ts_event`` is when it happened at the exchange (the broker gives whole seconds), ``ts_recv`` when we received it.
Null means that the broker's layout of that day had no such field, or left it empty.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")
_LEVELS_PRICE: Final = pa.list_(pa.float64())
_LEVELS_SIZE: Final = pa.list_(pa.int64())

ORIGIN: Final[list[pa.Field]] = [
    pa.field("date", pa.string()),
    pa.field("wal_id", pa.string()),
    pa.field("lsn", pa.int64()),
    pa.field("record_no", pa.int32()),
]
"""The columns every event table begins with."""

TRADES: Final = pa.schema(
    [
        *ORIGIN,
        pa.field("ts_event", TIMESTAMP),
        pa.field("ts_recv", TIMESTAMP),
        pa.field("scope", pa.string()),  # KRX, NXT, UN
        pa.field("symbol", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("size", pa.int64()),
        pa.field("side", pa.string()),  # buy, sell, pre_open; else the broker's code as it came
        pa.field("cum_volume", pa.int64()),
        pa.field("cum_value", pa.int64()),  # won
        pa.field("buy_count", pa.int64()),
        pa.field("sell_count", pa.int64()),
        pa.field("ask1", pa.float64()),
        pa.field("bid1", pa.float64()),
        pa.field("ask1_size", pa.int64()),
        pa.field("bid1_size", pa.int64()),
        pa.field("mkop_code", pa.string()),  # NEW_MKOP_CLS_CODE
        pa.field("hour_code", pa.string()),  # HOUR_CLS_CODE
        pa.field("end_code", pa.string()),  # MRKT_TRTM_CLS_CODE
        pa.field("market_code", pa.string()),  # MARKET_CLS_CODE, from 2026-09-14
        pa.field("halted", pa.bool_()),
        pa.field("vi_price", pa.float64()),
        pa.field("tail", pa.string()),  # fields wider than the known layout, as they came, joined by ^
        pa.field("source", pa.string()),  # ws, rest
    ]
)

QUOTES: Final = pa.schema(
    [
        *ORIGIN,
        pa.field("ts_event", TIMESTAMP),
        pa.field("ts_recv", TIMESTAMP),
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("ask_prices", _LEVELS_PRICE),  # ten, level 1 (best) first
        pa.field("bid_prices", _LEVELS_PRICE),
        pa.field("ask_sizes", _LEVELS_SIZE),
        pa.field("bid_sizes", _LEVELS_SIZE),
        pa.field("ask_total", pa.int64()),
        pa.field("bid_total", pa.int64()),
        pa.field("after_hours_ask_total", pa.int64()),
        pa.field("after_hours_bid_total", pa.int64()),
        pa.field("expected_price", pa.float64()),
        pa.field("expected_size", pa.int64()),
        pa.field("expected_volume", pa.int64()),
        pa.field("mid_price", pa.float64()),
        pa.field("mid_size", pa.int64()),
        pa.field("mid_side", pa.string()),
        pa.field("cum_volume", pa.int64()),
        pa.field("hour_code", pa.string()),
        pa.field("market_code", pa.string()),
        pa.field("tail", pa.string()),
    ]
)

EXPECTED: Final = pa.schema(
    [
        *ORIGIN,
        pa.field("ts_event", TIMESTAMP),
        pa.field("ts_recv", TIMESTAMP),
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("price", pa.float64()),  # expected match price
        pa.field("size", pa.int64()),  # change of the expected volume
        pa.field("cum_volume", pa.int64()),  # expected volume
        pa.field("cum_value", pa.int64()),
        pa.field("ask1", pa.float64()),
        pa.field("bid1", pa.float64()),
        pa.field("ask1_size", pa.int64()),
        pa.field("bid1_size", pa.int64()),
        pa.field("ask_total", pa.int64()),
        pa.field("bid_total", pa.int64()),
        pa.field("mkop_code", pa.string()),
        pa.field("hour_code", pa.string()),
        pa.field("end_code", pa.string()),
        pa.field("halted", pa.bool_()),
        pa.field("reference_price", pa.float64()),  # index 45: previous close before the open, or VI reference
        pa.field("tail", pa.string()),
    ]
)

MARKET_EVENTS: Final = pa.schema(
    [
        *ORIGIN,
        pa.field("ts_recv", TIMESTAMP),  # the broker sends no time in these
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("halted", pa.bool_()),
        pa.field("halt_reason", pa.string()),
        pa.field("mkop_code", pa.string()),  # MKOP_CLS_CODE
        pa.field("expected_mkop_code", pa.string()),
        pa.field("end_code", pa.string()),
        pa.field("dividend_code", pa.string()),
        pa.field("status_code", pa.string()),  # ISCD_STAT_CLS_CODE
        pa.field("vi_code", pa.string()),
        pa.field("after_hours_vi_code", pa.string()),
        pa.field("exchange_code", pa.string()),
        pa.field("tail", pa.string()),
    ]
)

SNAPSHOTS: Final = pa.schema(
    [
        *ORIGIN,
        pa.field("ts_recv", TIMESTAMP),
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("price", pa.float64()),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("cum_volume", pa.int64()),
        pa.field("cum_value", pa.int64()),
        pa.field("ask1", pa.float64()),
        pa.field("bid1", pa.float64()),
        pa.field("ask1_size", pa.int64()),
        pa.field("bid1_size", pa.int64()),
        pa.field("ask_total", pa.int64()),
        pa.field("bid_total", pa.int64()),
        pa.field("base_price", pa.float64()),
        pa.field("upper_limit", pa.float64()),
        pa.field("lower_limit", pa.float64()),
        pa.field("tr_id", pa.string()),  # which call it came from
    ]
)

QUARANTINE: Final = pa.schema(
    [
        *ORIGIN,  # record_no is null where the whole frame is at fault
        pa.field("ts_recv", TIMESTAMP),
        pa.field("tr_id", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("layout", pa.string()),  # the layout tried, by TR id and date
        pa.field("raw", pa.binary()),
    ]
)

EVENT_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "trades": TRADES,
    "quotes": QUOTES,
    "expected": EXPECTED,
    "market_events": MARKET_EVENTS,
    "snapshots": SNAPSHOTS,
    "quarantine": QUARANTINE,
}
"""Every table the decoder fills, by name."""


def in_memory(schema: pa.Schema) -> pa.Schema:
    """The same schema with strings as ``dictionary<int32, string>``: how batches travel before they are written."""
    encoded = pa.dictionary(pa.int32(), pa.string())
    return pa.schema([field.with_type(encoded) if field.type == pa.string() else field for field in schema])
