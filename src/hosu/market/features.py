"""Schemas of indicators, features and what the kernel remembers. Nothing here is computed."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from hosu.market.events import TIMESTAMP

INDICATORS: Final = (
    "ma_20",
    "ma_50",
    "rsi",
    "macd",
    "macd_signal",
    "bollinger_upper",
    "bollinger_lower",
    "bollinger_position",
    "volume_ma",
    "volume_ma_ratio",
    "price_change",
    "price_change_pct",
    "volatility",
)
"""The indicators, in the kernel's order; defined in docs/reference/indicators.md. Null while warming up."""

BOOK_FEATURES: Final = (
    "spread_bp",
    "imbalance_1",
    "imbalance_5",
    "microprice_bp",
    "flow_10",
    "flow_60",
    "ofi_10",
    "ofi_60",
)
"""The features of the order book, in the order of its kernel; defined in docs/reference/indicators.md."""

_KEY: Final = (
    pa.field("date", pa.string()),
    pa.field("symbol", pa.string()),
    pa.field("scope", pa.string()),  # KRX, NXT, UN
    pa.field("session_set", pa.string()),  # regular, with both auctions
    pa.field("ts", TIMESTAMP),  # start of the bar; of a day, midnight in Seoul
)
_VALUES: Final = (
    pa.field("close", pa.float64()),  # won, as traded
    pa.field("volume", pa.int64()),  # shares; 0 in an interval without a trade
    *(pa.field(name, pa.float64()) for name in INDICATORS),
    pa.field("source", pa.string()),  # of the bar: market.bars.BarSource; null in an interval without a trade
    pa.field("kernel", pa.int32()),  # version of the formulas
)
_INDICATOR_ROWS: Final = pa.schema([*_KEY, *_VALUES, pa.field("revision", pa.int64())])
_FEATURE_ROWS: Final = pa.schema(
    [
        *_KEY,
        pa.field("feature_set", pa.string()),  # name/kernel version
        pa.field("features", pa.list_(pa.float64())),  # in the set's order; null while one of them is warming up
        pa.field("scaled_features", pa.list_(pa.float64())),  # by the scaler named beside; null without one
        pa.field("scaler", pa.string()),
        pa.field("price_change", pa.float64()),
        pa.field("price_change_pct", pa.float64()),
        pa.field("volume_ma_ratio", pa.float64()),
        pa.field("volatility", pa.float64()),
        pa.field("source", pa.string()),
        pa.field("revision", pa.int64()),
    ]
)
_BOOK_ROWS: Final = pa.schema(
    [
        *_KEY,  # ts: start of the second; its values are known at its end
        pa.field("feature_set", pa.string()),  # name/kernel version
        pa.field("features", pa.list_(pa.float64())),  # in the set's order; null while one of them is
        pa.field("mid", pa.float64()),  # won, half of best bid + best ask; null unless the book has two sides
        pa.field("quotes", pa.int64()),  # events of this second
        pa.field("trades", pa.int64()),
        pa.field("revision", pa.int64()),
    ]
)
_SERVED: Final = pa.schema(
    [
        *_KEY,
        pa.field("wal_id", pa.string()),
        pa.field("lsn", pa.int64()),  # of the log record that closed the bar
        *_VALUES,
        pa.field(
            "began", pa.string()
        ),  # what the day began with: new, new@LSN, or date/revision; then perhaps +date, *table@version
        pa.field("served_at", TIMESTAMP),  # when the bar was closed here
    ]
)
_SERVED_SECONDS: Final = pa.schema(
    [
        *_KEY,  # ts: start of the second; its values are known at its end
        pa.field("wal_id", pa.string()),
        pa.field("lsn", pa.int64()),  # of the log record that closed the second
        pa.field("open", pa.float64()),  # won; null in a second without a trade
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.int64()),  # shares
        pa.field("mid", pa.float64()),  # won, half of best bid + best ask; null unless the book has two sides
        pa.field("quotes", pa.int64()),  # events of this second
        pa.field("trades", pa.int64()),
        *(pa.field(name, pa.float64()) for name in BOOK_FEATURES),
        pa.field("kernel", pa.int32()),  # version of the formulas
        pa.field("began", pa.string()),  # what the day began with: new, new@LSN
        pa.field("served_at", TIMESTAMP),  # when the second was closed here
    ]
)
_STATES: Final = pa.schema(
    [
        pa.field("date", pa.string()),  # after the close of which
        pa.field("symbol", pa.string()),
        pa.field("scope", pa.string()),
        pa.field("interval", pa.string()),  # day, minute
        pa.field("kernel", pa.int32()),
        pa.field("ints", pa.list_(pa.int64())),  # as features.kernel lays them out, then the last bar's date
        pa.field("floats", pa.list_(pa.float64())),
        pa.field("bars", pa.int64()),  # checksum of the bars it was made of: it holds as long as they do
        pa.field("revision", pa.int64()),  # the highest counts
    ]
)
_SCALERS: Final = pa.schema(
    [
        pa.field("date", pa.string()),  # the last one it was fitted on
        pa.field("scaler", pa.string()),  # feature_set/interval/version
        pa.field("feature_set", pa.string()),  # name/kernel version
        pa.field("interval", pa.string()),  # day, minute
        pa.field("version", pa.int64()),  # 1, 2, … of the set and interval
        pa.field("first_date", pa.string()),
        pa.field("rows", pa.int64()),
        pa.field("means", pa.list_(pa.float64())),  # in the set's order
        pa.field("deviations", pa.list_(pa.float64())),
        pa.field("at", TIMESTAMP),
    ]
)

FEATURE_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "technical_indicators": _INDICATOR_ROWS,
    "technical_indicators_1m": _INDICATOR_ROWS,
    "ml_features": _FEATURE_ROWS,
    "ml_features_1m": _FEATURE_ROWS,
    "ml_features_1s": _BOOK_ROWS,
    "features_served_1m": _SERVED,
    "features_served_1s": _SERVED_SECONDS,
    "feature_state": _STATES,
    "scalers": _SCALERS,
}
"""By the names of the tables."""
