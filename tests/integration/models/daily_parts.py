"""Bars of three symbols on seventy sessions, of which a test takes as many as it needs."""

import datetime as dt

import numpy as np
import pyarrow as pa

from feature_cases import random_closes
from hosu.clock import SimulatedClock
from hosu.features.dated_rules import hours
from hosu.lake.derived import replace_dates
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us, sessions_between

DAYS = [day.isoformat() for day in sessions_between(dt.date(2025, 9, 1), dt.date(2026, 1, 10))][:70]
SYMBOLS = ("000660", "005930", "035720")
CLOSES = {symbol: random_closes(at, len(DAYS), start=50_000) for at, symbol in enumerate(SYMBOLS)}
DAY, NEXT = DAYS[60], DAYS[61]
LATER = SimulatedClock(start_us=instant_us(dt.date.fromisoformat(DAYS[-1]), 20 * 3600))


def put(lake, days, missing=()):
    """Bars whose open is 100 won above the close of the day before."""
    schema = TABLES["processed_ohlcv"].file_schema
    by_day = {}
    for day in days:
        at, ts = DAYS.index(day), instant_us(dt.date.fromisoformat(day), 0)
        mine = [symbol for symbol in SYMBOLS if (symbol, day) not in missing]
        close = [CLOSES[symbol][at] for symbol in mine]
        opened = [CLOSES[symbol][max(at - 1, 0)] + 100 for symbol in mine]
        columns = {
            "symbol": mine,
            "scope": ["KRX"] * len(mine),
            "session_set": ["regular"] * len(mine),
            "ts": pa.array([ts] * len(mine), pa.timestamp("us", "UTC")),
            "close": close,
            "open": opened,
            "low": np.minimum(close, opened),
            "high": np.maximum(close, opened),
            "vwap": close,
            "volume": [100 + at] * len(mine),
            "value": [1e10] * len(mine),
            "data_points": [3] * len(mine),
            "source": ["trades"] * len(mine),
            "revision": [1] * len(mine),
        }
        rows = pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
        by_day[day] = rows
    replace_dates(lake, "processed_ohlcv", by_day.items())


def evening_of(day):
    """UTC microseconds an hour after the close of that day."""
    return int(hours([int(day.replace("-", ""))]).close[0]) + 3_600_000_000
