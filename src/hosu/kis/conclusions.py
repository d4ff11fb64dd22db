"""Rows of the ``trades`` table from logged replies of inquire-time-itemconclusion; pure.

Each row of such a reply has a trade's size and the cumulative volume behind it, and with them the identity it has in
the stream. A reply names no date: the caller says of which day it is, having asked the broker. The rows' best ask and
bid are left out, for no source says whether they are those of the trade's time or of the call's.

inquire-ccnl (FHKST01010300) lists trades too, and repairs nothing: its rows have no cumulative volume, so that none
can be told from another of the same second, price and size, and it has no paging behind the last thirty.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hosu.errors import FrameError
from hosu.kis.replies import Conclusion, read_body
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

CONCLUSIONS_TR: Final = "FHPST01060000"

_SCOPES: Final = {"J": "KRX", "NX": "NXT", "UN": "UN"}
_SYMBOL: Final = re.compile(r"[0-9A-Za-z]{1,12}")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9])([0-5][0-9])")
_MOST_WON: Final = 1e12


@dataclass(frozen=True, slots=True)
class Broken:
    """A row that is no trade: its place in the reply, why, and as it came."""

    record_no: int
    reason: str
    raw: bytes


@dataclass(slots=True)
class Prints:
    """What a reply holds. ``rows`` have ``record_no``, their place in the reply, and of the columns of ``trades`` those
    that a reply tells: ts_event (UTC microseconds), scope, symbol, price, size, cum_volume."""

    symbol: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)


def second_of(text: str | None) -> int | None:
    """The second of the day that ``HHMMSS`` says; None if it is no time."""
    found = _TIME.fullmatch(text or "")
    return None if found is None else int(found[1]) * 3600 + int(found[2]) * 60 + int(found[3])


def conclusion_rows(params: Mapping[str, str], body: str, day: date) -> Prints:
    """The trades of one reply of ``day``, newest first as they came; none of a refusal.

    Args:
        params: what was asked, names in any case: the reply itself names neither scope nor symbol.

    Raises:
        FrameError: the body is no JSON object or has no list of trades, or nobody can tell what they are of.
    """
    asked = {name.upper(): value.strip() for name, value in params.items()}
    scope, symbol = _SCOPES.get(asked.get("FID_COND_MRKT_DIV_CODE", "")), asked.get("FID_INPUT_ISCD", "")
    found = Prints(symbol)
    message = read_body(body)
    if str(message.get("rt_cd", "0")).strip() != "0":
        return found
    if scope is None or _SYMBOL.fullmatch(symbol) is None:
        raise FrameError("trades of which the request names no scope or no symbol", tr_id=CONCLUSIONS_TR)
    listed = message.get("output2")
    if isinstance(listed, dict):  # an object may come for a list of one
        listed = [listed] if listed else []
    if not isinstance(listed, list):
        raise FrameError("a reply without a list of trades (output2)", tr_id=CONCLUSIONS_TR)
    for record_no, row in enumerate(listed):
        trade = Conclusion.read(row) if isinstance(row, dict) else None
        fault = "is no object" if trade is None else fault_of(trade)
        if trade is None or fault is not None:
            raw = json.dumps(row, ensure_ascii=True).encode()
            found.broken.append(Broken(record_no, f"a trade over REST: {fault}", raw))
            continue
        second = second_of(trade.time)
        assert second is not None, "no fault was found"
        named = {"record_no": record_no, "scope": scope, "symbol": symbol, "ts_event": instant_us(day, second)}
        found.rows.append({**named, "price": trade.price, "size": trade.size, "cum_volume": trade.cum_volume})
    return found


def fault_of(trade: Conclusion) -> str | None:
    """Why this cannot be a trade; None if it can."""
    if second_of(trade.time) is None:
        return "has no time"
    if trade.price is None or not 0 < trade.price < _MOST_WON:
        return "has no price"
    if trade.size is None or trade.size <= 0:
        return "has no size"
    if trade.cum_volume is None or trade.cum_volume < trade.size:
        return "has a cumulative volume that is none, or less than its size"
    return None
