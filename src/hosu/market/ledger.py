"""The ledger of completeness as Arrow schemas: holes, what became of them, and what is known of each symbol-day.

A hole is named by (date, scope, symbol, from_volume, to_volume): the shares ``from_volume <= n < to_volume`` of that
day's cumulative volume, none of which a trade in the log accounts for. Rows are never changed: what changes is a new
row with a higher ``revision``, and the views ``gaps_latest`` and ``coverage`` show the latest.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import pyarrow as pa

from hosu.market.events import TIMESTAMP


class State(StrEnum):
    """What is known of a symbol-day."""

    CERTIFIED = "certified"  # the trades are exactly [0, last), and a witness saw the end of the day
    ASSUMED = "assumed"  # the same, resting on the rules named in ``assumptions``
    OPEN = "open"  # shares are missing, or the end of the day was not seen
    UNPROVABLE = "unprovable"  # what came contradicts itself, or cannot be counted; ``reason`` says why
    POLLED = "polled"  # no trade was received, only polls or books


class Cause(StrEnum):
    """Why shares are missing, as far as the log tells."""

    RECONNECT = "reconnect"  # the connection broke and was made again
    OUTAGE = "outage"  # for some time there was no connection, or no collector
    SILENCE = "silence"  # the connection went dead without a word
    BACKPRESSURE = "backpressure"  # reading was paused because the disk could not follow
    DISK = "disk"  # a disk lost records, the log's or the lake's
    QUARANTINE = "quarantine"  # a record came, and could not be read
    RELEASED = "released"  # its slot had been given to another symbol
    LATE_START = "late start"  # nothing was registered yet
    UNKNOWN = "unknown"  # nothing in the log explains it


class GapEvent(StrEnum):
    """What becomes of a hole."""

    OPENED = "opened"
    ATTEMPTED = "attempted"
    REPAIRED = "repaired"
    PARTLY_REPAIRED = "partly_repaired"
    UNREPAIRABLE = "unrepairable"
    FORGOTTEN = "forgotten"  # the broker does not give it any more


_SERIES: Final = [pa.field("date", pa.string()), pa.field("scope", pa.string()), pa.field("symbol", pa.string())]
_HOLE: Final = [*_SERIES, pa.field("from_volume", pa.int64()), pa.field("to_volume", pa.int64())]

GAPS: Final = pa.schema(
    [
        *_HOLE,
        pa.field("shares", pa.int64()),  # to_volume - from_volume
        pa.field("value", pa.int64()),  # won, by the cumulative value at both sides; null unknown
        pa.field("trades", pa.int64()),  # at least so many, by the counts of buys and sells; null unknown
        pa.field("before_ts", TIMESTAMP),  # ts_event of the trade before it; null at the day's begin
        pa.field("after_ts", TIMESTAMP),  # ts_event of the trade after it; null at the day's end
        pa.field("before_recv", TIMESTAMP),
        pa.field("after_recv", TIMESTAMP),  # of a hole at the end, when its witness was received
        pa.field("cause", pa.string()),  # Cause
        pa.field("detail", pa.string()),
        pa.field("revision", pa.int64()),
        pa.field("open", pa.bool_()),  # false once it is filled, or other holes stand in its place
        pa.field("wal_id", pa.string()),
        pa.field("lsn", pa.int64()),  # of that log, where this row was found out
    ]
)

GAP_EVENTS: Final = pa.schema(
    [
        *_HOLE,
        pa.field("at", TIMESTAMP),
        pa.field("event", pa.string()),  # GapEvent
        pa.field("shares", pa.int64()),
        pa.field("by", pa.string()),  # stream, rest, certify, or who else did it
        pa.field("detail", pa.string()),
        pa.field("wal_id", pa.string()),
        pa.field("lsn", pa.int64()),
    ]
)

COVERAGE_DAYS: Final = pa.schema(
    [
        *_SERIES,
        pa.field("revision", pa.int64()),
        pa.field("state", pa.string()),  # State
        pa.field("assumptions", pa.list_(pa.string())),  # names of market.volume_rules.RULES
        pa.field("reason", pa.string()),  # of what is neither certified nor assumed; null otherwise
        pa.field("first_volume", pa.int64()),  # where the first trade begins; null without trades
        pa.field("last_volume", pa.int64()),  # the highest that any trade or witness says
        pa.field("witness_volume", pa.int64()),  # the latest that a book or a poll says; null without one
        pa.field("witness", pa.string()),  # who says so, and when in the day; null without one
        pa.field("shares", pa.int64()),  # accounted for by trades, each share once
        pa.field("missing_shares", pa.int64()),
        pa.field("trades", pa.int64()),  # each execution once
        pa.field("value", pa.int64()),  # won, of the trades
        pa.field("duplicates", pa.int64()),  # trades received again
        pa.field("corrections", pa.int64()),  # trades that contradict others: volume that went back, overlaps
        pa.field("gaps", pa.int64()),
        pa.field("built_at", TIMESTAMP),
    ]
)

LEDGER_SCHEMAS: Final[dict[str, pa.Schema]] = {
    "gaps": GAPS,
    "gap_events": GAP_EVENTS,
    "coverage_days": COVERAGE_DAYS,
}
"""The tables of the ledger by name."""
