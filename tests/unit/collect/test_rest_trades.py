"""Trades over REST, from the log to rows."""

import json
from datetime import date

import numpy as np
import pytest

from hosu.collect.block import Block, RecordKind
from hosu.collect.decode import Decoder
from hosu.collect.runs import pack_records, read_run, slice_block
from hosu.market.calendar import instant_us
from hosu.market.events import TRADES, in_memory

T0 = 1_789_430_400_000_000
ASKED = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930", "FID_INPUT_HOUR_1": "090005"}
FRAME = (
    "0|H0STCNT0|001|005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^100^219853241700^5105"
    "^6937^1832^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20260915^20^N^65945^216924"
    "^1118750^2199206^0.05^2424142^125.92^0^^72100"
)


def row(cum: int, size: int = 1, second: str = "090003") -> dict[str, str]:
    return {"stck_cntg_hour": second, "stck_prpr": "71900", "acml_vol": str(cum), "cnqn": str(size)}


def reply(rows: object, *, status: int = 200, **more: object) -> bytes:
    body = json.dumps({"rt_cd": "0", "output1": {}, "output2": rows})
    facts = {
        "tr_id": "FHPST01060000",
        "path": "/x",
        "params": ASKED,
        "status": status,
        "body": body,
        "day": "2026-09-15",
    }
    return json.dumps({**facts, **more}).encode()


def block_of(*payloads: bytes) -> Block:
    records = [
        (RecordKind.REST if payload[:1] == b"{" else RecordKind.FRAME, 1, T0 + i, payload)
        for i, payload in enumerate(payloads)
    ]
    buffer, _ = pack_records(records, 0)
    return read_run("w", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block


def decoded(*payloads: bytes, cut: int | None = None) -> dict[str, list[dict]]:
    block, decoder, found = block_of(*payloads), Decoder("w"), {}
    parts = [block] if cut is None else [slice_block(block, 0, cut), slice_block(block, cut)]
    for batch in [*(decoder.decode(part) for part in parts if len(part)), decoder.finish()]:
        for name, rows in (batch.tables if batch is not None else {}).items():
            rows.validate(full=True)
            found.setdefault(name, []).extend(rows.to_pylist())
    return found


def test_a_page_becomes_trades_of_the_day_it_was_asked_of():
    rows = decoded(reply([row(12, 2), row(10, 3)]))["trades"]
    assert [(each["lsn"], each["record_no"], each["cum_volume"], each["size"]) for each in rows] == [
        (0, 0, 12, 2),
        (0, 1, 10, 3),
    ]
    first = rows[0]
    assert (first["date"], first["scope"], first["symbol"], first["price"]) == ("2026-09-15", "KRX", "005930", 71900.0)
    assert first["ts_event"].timestamp() * 1e6 == instant_us(date(2026, 9, 15), 9 * 3600 + 3)
    assert first["source"] == "rest"
    told = {"date", "wal_id", "lsn", "record_no", "ts_event", "ts_recv", "scope", "symbol", "price", "size",
            "cum_volume", "source"}  # fmt: skip
    assert {name for name, value in first.items() if value is None} == {*TRADES.names} - told


def test_pages_lie_among_the_stream_s_trades_in_the_order_of_the_log():
    block = block_of(FRAME.encode(), reply([row(99)]), FRAME.encode())
    batch = Decoder("w").decode(block)
    trades = batch.tables["trades"]
    assert trades.schema == in_memory(TRADES)
    assert trades.column("lsn").to_pylist() == [0, 1, 2]
    assert trades.column("source").to_pylist() == ["ws", "rest", "ws"]
    assert batch.records == 2  # what the broker streamed


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_the_rows_are_the_same_however_the_log_is_cut(cut):
    log = (reply([row(50)]), FRAME.encode(), reply([row(51), {}]), FRAME.encode())
    assert decoded(*log, cut=cut) == decoded(*log)


def test_a_page_waits_for_no_date_of_a_connection():
    assert len(Decoder("w").decode(block_of(reply([row(10)]))).tables["trades"]) == 1


def test_a_page_of_which_nobody_knows_the_day_has_no_trades():
    undated = json.loads(reply([row(10)]))
    del undated["day"]
    assert decoded(json.dumps(undated).encode()) == {}
    assert decoded(reply([row(10)], status=500)) == {}


@pytest.mark.parametrize(
    ("payload", "reason", "record_no"),
    [
        (reply([row(10)], day="2026-13-01"), "a day that is none", None),
        (reply([row(10)], day="1971-01-04"), "cannot have", None),
        (reply([row(10)], body="<html>"), "not JSON", None),
        (reply("70000"), "without a list of trades", None),
        (reply([row(10)], params={}), "no scope or no symbol", None),
        (reply([row(10), row(9, 0)]), "has no size", 1),
        (reply([row(10)], day=7), "a REST record without", None),
    ],
)
def test_what_is_half_broken_goes_to_quarantine_with_its_reason(payload, reason, record_no):
    found = decoded(payload)
    (told,) = found["quarantine"]
    assert reason in told["reason"]
    assert told["record_no"] == record_no
    assert len(found.get("trades", [])) == (1 if record_no is not None else 0)
