"""Trades that were asked for over REST: from a logged reply to rows of ``trades`` with ``source`` rest."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from hosu.collect.batches import Quarantined
from hosu.collect.dates import number_of
from hosu.collect.trust import is_possible
from hosu.errors import FrameError
from hosu.kis.conclusions import CONCLUSIONS_TR, conclusion_rows
from hosu.market.events import TRADES, in_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.collect.block import Block

_SCHEMA: Final = in_memory(TRADES)
_OK: Final = 200


def read_prints(reply: dict[str, Any], place: int, payload: bytes) -> tuple[list[dict[str, Any]], list[Quarantined]]:
    """The trades of a reply, and what of it is none.

    A reply of which nobody has said the day has no trades: yesterday's may be given out for hours of a new day, and
    under a wrong date they could never be told from that day's own.
    """
    text = reply.get("day", "")
    if not text or reply["status"] != _OK:
        return [], []
    try:
        day = _day(text)
        found = conclusion_rows(reply["params"], reply["body"], day)
    except FrameError as error:
        return [], [Quarantined(place, None, CONCLUSIONS_TR, None, str(error), "", payload)]
    rows = [{**row, "date": day.isoformat(), "source": "rest"} for row in found.rows]
    broken = [
        Quarantined(place, each.record_no, CONCLUSIONS_TR, found.symbol, each.reason, "", each.raw)
        for each in found.broken
    ]
    return rows, broken


def _day(text: str) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise FrameError(f"trades of a day that is none ({text[:20]!r})", tr_id=CONCLUSIONS_TR) from None
    if not is_possible(number_of(day)):
        raise FrameError(f"trades of {day}, which this market cannot have", tr_id=CONCLUSIONS_TR)
    return day


def trade_batch(block: Block, prints: Sequence[tuple[int, list[dict[str, Any]]]]) -> pa.RecordBatch:
    """Rows of the table ``trades``; ``record_no`` is the place in the reply. What a reply does not tell is null."""
    rows = [
        {
            **row,
            "wal_id": block.wal_id,
            "lsn": int(block.lsn[place]),
            "ts_recv": int(block.ts_recv_us[place]),
        }
        for place, replied in prints
        for row in replied
    ]
    arrays = [pa.array([row.get(column.name) for row in rows], column.type) for column in _SCHEMA]
    return pa.RecordBatch.from_arrays(arrays, schema=_SCHEMA)
