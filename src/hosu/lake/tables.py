"""The tables of the lake: where each lies, its columns, its order in files, how long it is kept.

Every table is partitioned by ``date`` (business date, KST, ``YYYY-MM-DD``), which therefore is a folder and not a
column of the data files. Locations are relative to the lake's root.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import pyarrow as pa

from hosu.market.bars import BAR_SCHEMAS
from hosu.market.events import EVENT_SCHEMAS, TIMESTAMP
from hosu.market.features import FEATURE_SCHEMAS
from hosu.market.instruments import INSTRUMENTS
from hosu.market.ledger import LEDGER_SCHEMAS
from hosu.market.predictions import PREDICTION_SCHEMAS

_BARS: Final = pa.schema(
    [
        pa.field("date", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("scope", pa.string()),  # KRX, NXT, UN
        pa.field("session_set", pa.string()),  # market.day_plan.Session: regular (with both auctions), pre_market, …
        pa.field("ts", TIMESTAMP),  # start of the interval; of a day, midnight in Seoul
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("open", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.int64()),  # shares
        pa.field("value", pa.float64()),  # won, the sum of price x size
        pa.field("vwap", pa.float64()),  # value / volume
        pa.field("data_points", pa.int64()),  # trades, or snapshots of polled symbols; else null
        pa.field("source", pa.string()),  # market.bars.BarSource, of polls with a flag behind a colon
        pa.field("revision", pa.int64()),  # 1, and one more with each rebuild of the date
    ]
)


@dataclass(frozen=True, slots=True)
class TableSpec:
    """What is fixed about one table.

    ``order`` is the order of rows in compacted files. ``plain`` names integer columns whose values come back
    unchanged or jump about, instead of counting up; all other integers and times are delta-encoded.
    ``statistics`` are the columns whose least and greatest value go into the Delta log. ``retention_days`` None
    keeps for good. ``log_hours`` is how long old versions can be travelled to: short where 20,000 commits a day come
    in, since rows there are only ever added and a past state is those up to a log number. ``added`` are nullable
    columns that tables of earlier versions lack: they are read as null, and the table gets them with its next commit.
    """

    name: str
    location: str
    schema: pa.Schema
    order: tuple[str, ...]
    retention_days: int | None
    plain: frozenset[str] = field(default_factory=frozenset)
    statistics: tuple[str, ...] = ("symbol", "ts_event", "ts_recv", "wal_id", "lsn", "cum_volume")
    row_group_rows: int = 262_144
    log_hours: int = 2
    added: frozenset[str] = field(default_factory=frozenset)

    @property
    def file_schema(self) -> pa.Schema:
        """The columns of the data files: all but the partition."""
        return self.schema.remove(self.schema.get_field_index("date"))

    @property
    def is_event_table(self) -> bool:
        """Whether the collector fills it, so that its commits carry the log number they cover."""
        return self.name in EVENT_SCHEMAS


_SIZES: Final = frozenset({"size", "ask1_size", "bid1_size", "ask_sizes", "bid_sizes"})
_BY_LOG: Final = ("symbol", "scope", "wal_id", "lsn", "record_no")


def _event(name: str, order: tuple[str, ...] = _BY_LOG, *, rows: int = 262_144) -> TableSpec:
    return TableSpec(
        name=name,
        location=f"raw/{name}",
        schema=EVENT_SCHEMAS[name],
        order=order,
        retention_days=1095,
        plain=_SIZES,
        row_group_rows=rows,
    )


def _ledger(name: str, order: tuple[str, ...]) -> TableSpec:
    return TableSpec(
        name=name,
        location=f"raw/ledger/{name}",
        schema=LEDGER_SCHEMAS[name],
        order=("symbol", "scope", *order),
        retention_days=1095,
        statistics=("symbol", "revision", "lsn", "built_at"),
        log_hours=30 * 24,
    )


def _external(name: str, added: frozenset[str] = frozenset()) -> TableSpec:
    return TableSpec(
        name=name,
        location=f"raw/{name}",
        schema=BAR_SCHEMAS[name],
        order=("symbol", "scope", "ts", "revision"),
        retention_days=1095,
        statistics=("symbol", "ts", "fetched_at", "wal_id", "lsn"),
        log_hours=30 * 24,
        added=added,
    )


def _features(
    name: str, location: str, days: int | None, order: tuple[str, ...] = ("symbol", "scope", "ts")
) -> TableSpec:
    return TableSpec(
        name=name,
        location=location,
        schema=FEATURE_SCHEMAS[name],
        order=order,
        retention_days=days,
        statistics=("symbol", "ts", "revision", "wal_id", "lsn"),
        log_hours=30 * 24,
    )


def _journal(name: str, days: int | None, order: tuple[str, ...]) -> TableSpec:
    return TableSpec(
        name=name,
        location=f"ml/{name}",
        schema=PREDICTION_SCHEMAS[name],
        order=order,
        retention_days=days,
        statistics=("symbol", "ts", "lsn", "revision", "model"),
        log_hours=30 * 24,
    )


_SPECS: Final = (
    # Scope before cum_volume: a unified series counts its own volume, so only (scope, symbol) is monotonic.
    _event("trades", ("symbol", "scope", "cum_volume", "wal_id", "lsn", "record_no")),
    # Forty list values a row: 64 Ki rows are already 2.6 million values a column group.
    _event("quotes", rows=65_536),
    _event("expected"),
    _event("market_events"),
    _event("snapshots", ("symbol", "scope", "ts_recv", "wal_id", "lsn", "record_no")),
    _event("quarantine", ("wal_id", "lsn", "record_no")),
    TableSpec(
        name="instruments",
        location="raw/instruments",
        schema=INSTRUMENTS,
        order=("symbol",),
        retention_days=None,
        statistics=("symbol",),
        log_hours=30 * 24,
    ),
    _ledger("gaps", ("from_volume", "to_volume", "revision")),
    _ledger("gap_events", ("from_volume", "to_volume", "at")),
    _ledger("coverage_days", ("revision", "built_at")),
    _external("bars_daily_external", frozenset({"ex_code", "split_ratio"})),
    _external("bars_1m_external"),
    TableSpec(
        name="processed_ohlcv",
        location="processed/ohlcv",
        schema=_BARS,
        order=("symbol", "scope", "ts"),
        retention_days=730,
        statistics=("symbol", "ts", "revision"),
        log_hours=30 * 24,
    ),
    TableSpec(
        name="processed_ohlcv_1m",
        location="processed/ohlcv_1m",
        schema=_BARS,
        order=("symbol", "scope", "ts"),
        retention_days=730,
        statistics=("symbol", "ts", "revision"),
        log_hours=30 * 24,
    ),
    TableSpec(
        name="processed_ohlcv_1s",
        location="processed/ohlcv_1s",
        schema=_BARS,
        order=("symbol", "scope", "ts"),
        retention_days=365,
        statistics=("symbol", "ts", "revision"),
        log_hours=30 * 24,
    ),
    _features("technical_indicators", "processed/technical_indicators", 730),
    _features("technical_indicators_1m", "processed/technical_indicators_1m", 730),
    _features("feature_state", "processed/feature_state", 90, ("symbol", "scope", "revision")),
    _features("ml_features", "ml/features", 1825, ("symbol", "scope", "ts", "feature_set")),
    _features("ml_features_1m", "ml/features_1m", 1825, ("symbol", "scope", "ts", "feature_set")),
    _features("ml_features_1s", "ml/features_1s", 365, ("symbol", "scope", "ts", "feature_set")),
    _features(
        "features_served_1m",
        "ml/features_served_1m",
        1825,
        ("symbol", "scope", "ts", "lsn"),
    ),
    _features("features_served_1s", "ml/features_served_1s", 365, ("symbol", "scope", "ts", "lsn")),
    _features("scalers", "ml/scalers", None, ("feature_set", "interval", "version")),
    _journal("predictions", 1825, ("symbol", "scope", "ts", "model", "model_version")),
    _journal("outcomes", 1825, ("symbol", "scope", "ts", "model", "model_version")),
    _journal("model_events", None, ("model", "revision")),
    _journal("model_trials", None, ("market", "horizon", "number")),
)

TABLES: Final[dict[str, TableSpec]] = {spec.name: spec for spec in _SPECS}
"""Every table by name."""

BAR_TABLES: Final[tuple[str, ...]] = tuple(BAR_SCHEMAS)
"""The tables of bars from outside: filled from chart replies in the log, and from files."""

EVENT_TABLES: Final[tuple[str, ...]] = tuple(name for name, spec in TABLES.items() if spec.is_event_table)
"""The tables the collector fills."""
