"""Bars that somebody else made, and where a bar may come from, best first.

A bar covers ``ts <= t < ts + interval``; ``ts`` is its start, of a day midnight in Seoul. Rows are never changed: a
bar that was fetched or imported again is a new row, and the one with the highest ``revision`` counts.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa

from hosu.market.events import ORIGIN, TIMESTAMP

MINUTE_US: Final = 60_000_000
"""A minute in the unit of all times."""


LEAST_PRICE: Final = 0.01
MOST_PRICE: Final = 1e12
"""Won; what is less or more, infinite or no number is no price of a share. In whole hundredths all of it fits."""


class BarSource(StrEnum):
    """Where a bar of ``processed_ohlcv`` comes from, the best first. The part of ``source`` before a colon."""

    CERTIFIED = "certified"  # the trades of a symbol-day that the ledger has certified
    TRADES = "trades"
    REST = "rest"  # the broker's own bars
    IMPORT = "import"  # a file
    POLL = "poll"  # differences between snapshots; prices are samples


TRADES_CLOSED: Final = "trades:closed"
"""A day whose last trade lies in the closing auction of KRX, whatever is missing before it."""
POLL: Final = "poll"
POLL_SINCE_OPEN: Final = "poll:since_open"
"""A minute that holds all that was traded before the first snapshot of the day."""
POLL_LATE: Final = "poll:late"
"""A minute that also holds what was traded in the minutes before, of which there is no snapshot."""
POLL_PARTIAL: Final = "poll:partial"
"""A day whose last snapshot came before its close."""

DAILY: Final = "bars_daily_external"
MINUTES: Final = "bars_1m_external"

BARS_EXTERNAL: Final = pa.schema(
    [
        *ORIGIN,  # of a file's bar only the date
        pa.field("fetched_at", TIMESTAMP),
        pa.field("scope", pa.string()),
        pa.field("symbol", pa.string()),
        pa.field("ts", TIMESTAMP),
        pa.field("open", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("close", pa.float64()),
        pa.field("volume", pa.int64()),  # shares
        pa.field("value", pa.float64()),  # won; null unknown
        pa.field("adjusted", pa.bool_()),  # for splits and the like, as of fetched_at
        pa.field("source", pa.string()),  # kis:<TR id>, import:<name>
        pa.field("revision", pa.int64()),  # fetched_at in microseconds: the higher, the later
    ]
)

_EVENTS: Final = (
    pa.field("ex_code", pa.string()),  # the broker's: 00 none, 01 ex-rights, 02 ex-dividend, …; null not told
    pa.field("split_ratio", pa.float64()),  # the broker's: base over previous close, cut to hundredths; 0 none
)
DAILY_EXTERNAL: Final = pa.schema([*BARS_EXTERNAL, *_EVENTS])

BAR_SCHEMAS: Final[dict[str, pa.Schema]] = {DAILY: DAILY_EXTERNAL, MINUTES: BARS_EXTERNAL}
"""The tables of bars from outside, by name."""
