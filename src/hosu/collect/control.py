"""What the log's records other than market data say: control messages, session events, REST replies."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import structlog

from hosu.collect.dates import UNKNOWN, Told
from hosu.collect.trust import is_possible, possible
from hosu.kis.layouts import LAYOUTS
from hosu.kis.messages import PingPong, read_control
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from hosu.collect.block import Block

_log = structlog.get_logger(__name__)

SEGMENT_BEGINS: Final = "segment"
COLLECTION_ENDS: Final = "end"
MINUTE: Final = "1m"
"""The interval of bars that a BAR_CLOSE record closes."""
_LAST_US: Final = 253_402_300_800_000_000  # the end of the year 9999
_DATE: Final = "BSOP_DATE"
_DATED: Final = {
    tr_id.encode(): layouts[-1].index(_DATE) for tr_id, layouts in LAYOUTS.items() if layouts[-1].has(_DATE)
}


def is_json(payload: bytes) -> bool:
    """Whether a message is JSON at all."""
    try:
        json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return True


def pingpong_date(payload: bytes) -> int:
    """The date of the broker's clock in a PINGPONG, yyyymmdd; 0 for any other message, or when this market cannot
    have it. It still wants to be believed (``trust.BrokerClock``)."""
    if b"PINGPONG" not in payload:
        return UNKNOWN
    try:
        message, _ = read_control(payload)
    except RecursionError:
        return UNKNOWN
    return possible(message.datetime[:8]) if isinstance(message, PingPong) else UNKNOWN


def pingpong_us(payload: bytes) -> int | None:
    """What the broker's clock says in a PINGPONG, UTC microseconds; None where it is no time."""
    message, _ = read_control(payload)
    text = message.datetime if isinstance(message, PingPong) else ""
    if len(text) != 14 or not text.isascii() or not text.isdigit():
        return None
    try:
        day = date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
    hours, minutes, seconds = int(text[8:10]), int(text[10:12]), int(text[12:14])
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return instant_us(day, hours * 3600 + minutes * 60 + seconds)


def trade_date(payload: bytes) -> int:
    """The business date of the first record of a frame, yyyymmdd; 0 where it has none."""
    head, _, rest = payload[2:].partition(b"|")
    place = _DATED.get(head)
    if place is None:
        return UNKNOWN
    fields = rest.split(b"^", place + 1)
    return possible(fields[place].decode("ascii", "replace")) if len(fields) > place + 1 else UNKNOWN


def session_event(payload: bytes) -> dict[str, Any]:
    """A SESSION record's content; empty if it is none."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def told_by(event: dict[str, Any], key: str) -> Told:
    """What the record that begins a segment says of dates; ``key`` is ``dates`` or ``pings``."""
    by_connection = event.get(key)
    dates = by_connection if isinstance(by_connection, dict) else {}
    known = {int(name): _number(value) for name, value in dates.items() if name.isascii() and name.isdigit()}
    return Told(_number(event.get("date")), {name: value for name, value in known.items() if value})


def preamble(latest: int, dates: dict[int, int], pings: dict[int, int]) -> bytes:
    """The payload of the SESSION record that begins a segment: all dates told so far, by connection."""
    content = {"event": SEGMENT_BEGINS, "date": latest, "dates": dates, "pings": pings}
    return json.dumps(content).encode()


def _number(value: object) -> int:
    return value if isinstance(value, int) and is_possible(value) else UNKNOWN


def bar_close(until_us: int) -> bytes:
    """The payload of a BAR_CLOSE record: every minute that ends at or before ``until_us`` is closed."""
    return json.dumps({"interval": MINUTE, "until_us": until_us}).encode()


def closed_until(payload: bytes) -> int | None:
    """Up to when a BAR_CLOSE record closes minutes, UTC microseconds; None where it is of another interval or cannot
    be read, which is said."""
    content = session_event(payload)
    until_us = content.get("until_us")
    if isinstance(content.get("interval"), str) and content["interval"] != MINUTE:
        return None
    if content.get("interval") != MINUTE or type(until_us) is not int or not 0 < until_us < _LAST_US:
        _log.warning("a bar's close that cannot be read is passed over", payload=payload[:200])
        return None
    return until_us


def rest_reply(payload: bytes) -> dict[str, Any] | None:
    """A REST record's content (tr_id, path, params, status, body, and the ``day`` that whoever asked knows it to be of,
    where it says none); None if it is none."""
    content = session_event(payload)
    params = content.get("params")
    well_formed = (
        isinstance(content.get("tr_id"), str)
        and isinstance(params, dict)
        and all(isinstance(value, str) for value in params.values())
        and isinstance(content.get("status"), int)
        and isinstance(content.get("body"), str)
        and isinstance(content.get("day", ""), str)
    )
    return content if well_formed else None


def places_of(block: Block, kind: int) -> list[int]:
    """Which records of a block are of a kind."""
    places: list[int] = (block.kind == kind).nonzero()[0].tolist()
    return places
