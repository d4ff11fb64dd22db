"""One frame explained, for people: what the broker sent, field by field, and what we make of it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.errors import FrameError
from hosu.kis.events import to_events
from hosu.kis.plain import (
    FILED,
    Frame,
    frame_reject,
    layout_of,
    parse_record,
    parse_some,
    record_reject,
    split_frame,
)
from hosu.kis.records import NULL, Envelope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.kis.layouts import Layout
    from hosu.kis.records import Records, Reject

_NOT_IN_A_FRAME: Final = frozenset({"wal_id", "lsn", "record_no", "ts_recv"})


def describe(frame: bytes) -> list[dict[str, Any]]:
    """One dict a record, ready for JSON.

    A record has ``tr_id``, ``symbol``, ``width``, ``layout``, ``fields`` (the broker's names and texts as sent),
    ``event`` (our columns; null where no table takes the TR; times in ISO 8601, null where the frame does not name
    its date) and ``tail`` (what no layout names, as sent; else null). What cannot be parsed has ``error`` and what
    is known of it; a control message has ``control``, an encrypted one ``encrypted``.
    """
    if frame[:1] == b"{":
        return [_control(frame)]
    try:
        parts = split_frame(frame)
    except FrameError as fault:
        return [_error(frame_reject(0, frame, fault))]
    if parts.encrypted:
        return [{"tr_id": parts.tr_id, "encrypted": True, "records": parts.count}]
    return [_record(parts, i) for i in range(parts.count)]


def _control(frame: bytes) -> dict[str, Any]:
    try:
        return {"control": json.loads(frame)}
    except (ValueError, RecursionError):
        return {"error": "begins like a JSON message, but is none", "raw": frame.decode("utf-8", "replace")}


def _error(reject: Reject) -> dict[str, Any]:
    return {
        "error": reject.reason,
        "tr_id": reject.tr_id or None,
        "symbol": reject.symbol,
        "layout": reject.layout or None,
        "raw": reject.raw.decode("utf-8", "replace"),
    }


def _record(frame: Frame, record_no: int) -> dict[str, Any]:
    texts = frame.fields[record_no * frame.width : (record_no + 1) * frame.width]
    layout = layout_of(frame.tr_id, frame.width, texts[0])
    described = {
        "tr_id": frame.tr_id,
        "symbol": None,
        "width": frame.width,
        "layout": layout.label,
        "fields": {spec.name: text for spec, text in zip(layout.fields, texts, strict=False)},
        "event": None,
        "tail": "^".join(texts[layout.width :]) if frame.width > layout.width else None,
    }
    symbol = next((text for spec, text in zip(layout.fields, texts, strict=False) if spec.name in _SYMBOLS), None)
    described["symbol"] = symbol or None
    if layout.event not in FILED:
        return described
    try:
        parse_record(layout, texts)
    except FrameError as fault:
        reject = record_reject(0, record_no, layout, texts, fault)
        return {**described, "symbol": reject.symbol, "error": reject.reason}
    described["event"] = _event(layout, texts)
    return described


_SYMBOLS: Final = frozenset({"MKSC_SHRN_ISCD", "STCK_SHRN_ISCD", "BSTP_CLS_CODE"})


def _event(layout: Layout, texts: Sequence[str]) -> dict[str, Any]:
    records = parse_some([(0, f"0|{layout.tr_id}|001|{'^'.join(texts)}".encode())]).records[0]
    none = np.zeros(1, np.int64)
    _, batch = to_events(records, Envelope("", none, none, _dates(records)))
    return {name: _plain(batch.column(name)[0]) for name in batch.schema.names if name not in _NOT_IN_A_FRAME}


def _dates(records: Records) -> Any:
    dates = records.columns.get("BSOP_DATE")
    if dates is None:
        return np.full(len(records), -1, np.int32)
    return np.where(dates == NULL, -1, dates).astype(np.int32)


def _plain(scalar: Any) -> Any:
    try:
        value = scalar.as_py()
    except OverflowError:  # 00010101 before nine in Korea is a time of UTC's year 0, which has no name
        return None
    return value.isoformat() if isinstance(value, datetime) else value
