"""Decoding: the same rows however the log is cut, dates by the broker's word, nothing dropped."""

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from hosu.collect.block import Block, RecordKind
from hosu.collect.decode import Decoder
from hosu.collect.runs import pack_records, read_run, slice_block
from hosu.collect.sinks import EventBatch
from hosu.market.events import EVENT_SCHEMAS, in_memory

T0 = 1_742_000_400_000_000  # 2025-03-15 10:00 KST, a Saturday: no date of the broker's is this one
S = 1_000_000

# 46 fields, as the KIS portal's example of 실시간체결가 with symbol, date and cumulative volume filled in.
TRADE = (
    "{symbol}^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^{cum}^219853241700^5105^6937^1832"
    "^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^{date}^20^N^65945^216924^1118750"
    "^2199206^0.05^2424142^125.92^0^^72100"
)
# 59 fields, numbers made up.
QUOTE = (
    "005930^093355^0^"
    + "^".join(map(str, [*range(101, 121), *range(201, 221)]))
    + "^9^8^0^0^0^0^6^-5^5^-1.00^77^0^1^0^0^0"
)
UNFILED = "0|H0STMBC0|002|" + "^".join(["005930", *["1"] * 155])


def trade(date: int | str = 20250314, cum: int = 100, symbol: str = "005930", copies: int = 1) -> bytes:
    records = [TRADE.format(symbol=symbol, date=date, cum=cum + i) for i in range(copies)]
    return f"0|H0STCNT0|{copies:03d}|{'^'.join(records)}".encode()


def quote() -> bytes:
    return f"0|H0STASP0|001|{QUOTE}".encode()


def pingpong(date: int) -> bytes:
    return json.dumps({"header": {"tr_id": "PINGPONG", "datetime": f"{date}101010"}}).encode()


def begins(latest: int = 0, dates: dict[int, int] | None = None, pings: dict[int, int] | None = None) -> bytes:
    return json.dumps({"event": "segment", "date": latest, "dates": dates or {}, "pings": pings or {}}).encode()


FRAME, REST, SESSION, CLOCK = RecordKind.FRAME, RecordKind.REST, RecordKind.SESSION, RecordKind.CLOCK


def block_of(records: list[tuple[int, int, int, bytes]], first_lsn: int = 0) -> Block:
    buffer, _ = pack_records(records, first_lsn)
    return read_run("w", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block


def rows_of(batches: list[EventBatch]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for batch in batches:
        for name, rows in batch.tables.items():
            assert rows.schema == in_memory(EVENT_SCHEMAS[name])
            rows.validate(full=True)
            found.setdefault(name, []).extend(rows.to_pylist())
    return found


def decode(records: list[tuple[int, int, int, bytes]], cuts: list[int] | None = None) -> list[EventBatch]:
    """The batches of a log cut before the given places, its end included."""
    block = block_of(records)
    decoder, batches = Decoder("w"), []
    for begin, end in zip([0, *(cuts or [])], [*(cuts or []), len(block)], strict=True):
        if begin < end and (batch := decoder.decode(slice_block(block, begin, end))) is not None:
            batches.append(batch)
    last = decoder.finish()
    return batches if last is None else [*batches, last]


def dates_of(records: list[tuple[int, int, int, bytes]], table: str) -> list[str]:
    return [row["date"] for row in rows_of(decode(records)).get(table, [])]


def test_a_trade_is_filed_under_its_own_date_with_its_origin():
    (batch,) = decode([(FRAME, 1, T0, trade(20250314, copies=2))])
    rows = batch.tables["trades"].to_pylist()
    assert [(r["date"], r["wal_id"], r["lsn"], r["record_no"], r["cum_volume"]) for r in rows] == [
        ("2025-03-14", "w", 0, 0, 100),
        ("2025-03-14", "w", 0, 1, 101),
    ]
    assert (batch.first_lsn, batch.last_lsn, batch.records, batch.unfiled) == (0, 0, 2, 0)


def test_a_quote_takes_the_last_date_told_to_its_connection():
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (FRAME, 2, T0, pingpong(20250310)),
        (FRAME, 1, T0, quote()),
        (FRAME, 2, T0, quote()),
        (FRAME, 2, T0, trade(20250311)),
        (FRAME, 2, T0, quote()),
        (FRAME, 1, T0, quote()),
    ]
    assert dates_of(records, "quotes") == ["2025-03-14", "2025-03-10", "2025-03-11", "2025-03-14"]


def test_a_new_connection_takes_what_another_was_told_within_a_minute():
    told = (FRAME, 1, T0, pingpong(20250314))
    assert dates_of([told, (FRAME, 2, T0 + 60 * S, quote())], "quotes") == ["2025-03-14"]
    late = [told, (FRAME, 2, T0 + 61 * S, quote()), (FRAME, 2, T0 + 62 * S, pingpong(20250313))]
    assert dates_of(late, "quotes") == ["2025-03-13"]


def test_a_quote_before_any_date_waits_for_the_next_one():
    decoder = Decoder("w")
    block = block_of([(CLOCK, 0, T0, b"{}"), (FRAME, 1, T0, quote()), (FRAME, 1, T0 + 30 * S, trade(20250314))])
    before = decoder.decode(slice_block(block, 0, 2))
    assert before is not None
    assert (before.first_lsn, before.last_lsn, before.tables) == (0, 0, {})
    assert decoder.held_records == 1
    after = decoder.decode(slice_block(block, 2))
    assert after is not None
    assert (after.first_lsn, after.last_lsn, after.records) == (1, 2, 2)
    assert after.tables["quotes"].to_pylist()[0]["date"] == "2025-03-14"
    assert decoder.held_records == 0


@pytest.mark.parametrize(
    "ending",
    [
        (FRAME, 1, T0 + 30 * S + 1, pingpong(20250314)),
        (CLOCK, 0, T0 + 30 * S + 1, b"{}"),
        (SESSION, 0, T0 + 1, b'{"event":"end"}'),
        (SESSION, 0, T0 + 1, begins()),
    ],
)
def test_a_wait_that_ends_without_a_date_takes_the_calendar_of_seoul(ending: tuple[int, int, int, bytes]):
    decoder = Decoder("w")
    block = block_of([(FRAME, 1, T0, quote()), ending])
    assert decoder.decode(slice_block(block, 0, 1)) is None
    batch = decoder.decode(slice_block(block, 1))
    assert batch is not None
    assert batch.tables["quotes"].to_pylist()[0]["date"] == "2025-03-15"


def test_after_a_wait_in_vain_the_connection_does_not_wait_again():
    records = [(FRAME, 1, T0, quote()), (CLOCK, 0, T0 + 31 * S, b"{}"), (FRAME, 1, T0 + 32 * S, quote())]
    decoder = Decoder("w")
    block = block_of(records)
    assert decoder.decode(slice_block(block, 0, 2)) is not None
    assert decoder.decode(slice_block(block, 2)) is not None


def test_the_calendar_is_that_of_seoul_and_not_of_greenwich():
    midnight = 1_741_964_400_000_000  # 2025-03-15 00:00 KST
    records = [(FRAME, 1, midnight - 1, quote()), (FRAME, 1, midnight, quote())]
    assert dates_of(records, "quotes") == ["2025-03-14", "2025-03-15"]


def test_the_begin_of_a_segment_replaces_what_was_known():
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (SESSION, 0, T0, begins(20250312, {1: 20250312})),
        (FRAME, 1, T0, quote()),
        (SESSION, 0, T0, begins()),
        (FRAME, 1, T0, quote()),
        (FRAME, 2, T0, pingpong(20250310)),
    ]
    assert dates_of(records, "quotes") == ["2025-03-12", "2025-03-10"]


@pytest.mark.parametrize(
    ("date", "reason"),
    [
        (20250317, None),  # Monday, after the weekend
        (20250313, None),
        (20250318, "BSOP_DATE 20250318 is not within 20250313 to 20250317, the broker's date 20250314 and "),
        (20250312, "BSOP_DATE 20250312 is not within 20250313 to 20250317, the broker's date 20250314 and "),
        (20240314, "BSOP_DATE 20240314 is not within 20250313 to 20250317, the broker's date 20250314 and "),
    ],
)
def test_a_trade_beyond_the_sessions_beside_the_brokers_date_is_quarantined(date: int, reason: str | None):
    rows = rows_of(decode([(FRAME, 1, T0, pingpong(20250314)), (FRAME, 1, T0, trade(date))]))
    if reason is None:
        assert [row["date"] for row in rows["trades"]] == [f"{date // 10000}-{date // 100 % 100:02}-{date % 100:02}"]
        assert "quarantine" not in rows
    else:
        assert [row["reason"] for row in rows["quarantine"]] == [reason + "its two neighbours"]
        assert "trades" not in rows


@pytest.mark.parametrize(
    ("date", "reason"),
    [
        (20200101, None),
        (20280104, None),
        (20091231, "BSOP_DATE 20091231 is not within 20100101 to 20371231, what this market can have"),
        (20990101, "BSOP_DATE 20990101 is not within 20100101 to 20371231, what this market can have"),
        ("", "BSOP_DATE is empty"),
    ],
)
def test_before_the_brokers_clock_is_known_a_trade_may_have_any_date_of_this_market(date: int, reason: str | None):
    rows = rows_of(decode([(FRAME, 1, T0, trade(date))]))
    assert [row["reason"] for row in rows.get("quarantine", [])] == ([] if reason is None else [reason])


@pytest.mark.parametrize("garbled", [20990101, 10101, 20091231, 20260101, 20250327, 20250302])
def test_one_garbled_pingpong_neither_misfiles_nor_quarantines_anything(garbled: int):
    ping = pingpong(garbled) if garbled > 9_999_999 else pingpong(20250314).replace(b"20250314", b"%08d" % garbled)
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (FRAME, 1, T0, ping),
        (FRAME, 1, T0, trade(20250314)),
        (FRAME, 1, T0, quote()),
        (FRAME, 2, T0, ping),
        (FRAME, 2, T0, quote()),
        (FRAME, 1, T0, pingpong(20250314)),
        (FRAME, 1, T0, ping),
        (FRAME, 1, T0, quote()),
    ]
    rows = rows_of(decode(records))
    assert sorted(rows) == ["quotes", "trades"]
    assert {row["date"] for row in [*rows["quotes"], *rows["trades"]]} == {"2025-03-14"}


def test_a_leap_of_the_brokers_clock_counts_when_it_is_said_twice():
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (FRAME, 1, T0, pingpong(20250414)),
        (FRAME, 1, T0, quote()),
        (FRAME, 1, T0, pingpong(20250414)),
        (FRAME, 1, T0, quote()),
        (FRAME, 1, T0, trade(20250414)),
    ]
    rows = rows_of(decode(records))
    assert [row["date"] for row in rows["quotes"]] == ["2025-03-14", "2025-04-14"]
    assert [row["date"] for row in rows["trades"]] == ["2025-04-14"]


def test_when_the_calendar_has_ended_pings_are_believed_when_said_twice():
    records = [(FRAME, 1, T0, pingpong(20280104)), (FRAME, 1, T0, pingpong(20280104)), (FRAME, 1, T0, quote())]
    assert dates_of(records, "quotes") == ["2028-01-04"]


def test_a_misdated_record_is_quarantined_alone_and_tells_no_date():
    good, bad = trade(20250314, cum=1).decode(), TRADE.format(symbol="000660", date="20200101", cum=2)
    frame = good.replace("|001|", "|002|") + "^" + bad
    records = [(FRAME, 1, T0, pingpong(20250314)), (FRAME, 1, T0, frame.encode()), (FRAME, 1, T0, quote())]
    batches = decode(records)
    rows = rows_of(batches)
    assert [row["cum_volume"] for row in rows["trades"]] == [1]
    (row,) = rows["quarantine"]
    assert (row["lsn"], row["record_no"], row["tr_id"], row["symbol"]) == (1, 1, "H0STCNT0", "000660")
    assert row["raw"] == bad.encode()
    assert row["date"] == "2025-03-14"
    assert rows["quotes"][0]["date"] == "2025-03-14"
    assert sum(batch.records for batch in batches) == 3


def test_what_cannot_be_parsed_is_quarantined_whole():
    broken = b"0|H0STCNT0|004|" + TRADE.format(symbol="005930", date="20250314", cum=1).encode()
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (FRAME, 1, T0, broken),
        (FRAME, 1, T0, b'{"header":'),
        (FRAME, 1, T0, b"\xff"),
    ]
    batches = decode(records)
    rows = rows_of(batches)["quarantine"]
    assert [(row["lsn"], row["record_no"], row["raw"]) for row in rows] == [
        (1, None, broken),
        (2, None, b'{"header":'),
        (3, None, b"\xff"),
    ]
    assert rows[1]["reason"] == "a control message that is no JSON"
    assert sum(batch.records for batch in batches) == 3


def test_records_that_no_table_takes_are_counted():
    (batch,) = decode([(FRAME, 1, T0, UNFILED.encode())])
    assert (batch.records, batch.unfiled, batch.tables) == (2, 2, {})


def test_deeply_nested_json_is_no_way_to_stop_the_decoder():
    rows = rows_of(decode([(FRAME, 1, T0, b'{"PINGPONG":' + b"[" * 100_000)]))
    assert rows["quarantine"][0]["reason"] == "a control message that is no JSON"


def price_reply(symbol: str = "005930", status: int = 200, body: str | None = None) -> bytes:
    row = {"inter_shrn_iscd": symbol, "inter2_prpr": "71900", "acml_vol": "42"}
    return json.dumps(
        {
            "tr_id": "FHKST11300006",
            "path": "/uapi/domestic-stock/v1/quotations/intstock-multprice",
            "params": {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": symbol},
            "status": status,
            "body": json.dumps({"rt_cd": "0", "output": [row]}) if body is None else body,
        }
    ).encode()


def test_a_price_reply_becomes_a_snapshot_with_the_date_told_last_to_anybody():
    records = [(FRAME, 1, T0, pingpong(20250314)), (REST, 0, T0 + 3600 * S, price_reply())]
    (row,) = rows_of(decode(records))["snapshots"]
    assert (row["date"], row["lsn"], row["record_no"], row["scope"], row["symbol"]) == (
        "2025-03-14",
        1,
        0,
        "KRX",
        "005930",
    )
    assert (row["price"], row["cum_volume"], row["tr_id"]) == (71900.0, 42, "FHKST11300006")


def test_a_price_reply_before_any_date_waits_for_one():
    records = [(REST, 0, T0, price_reply()), (FRAME, 7, T0 + 5 * S, trade(20250314))]
    assert dates_of(records, "snapshots") == ["2025-03-14"]


def test_refusals_and_other_calls_give_no_snapshot_and_garbage_is_quarantined():
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (REST, 0, T0, price_reply(status=500)),
        (REST, 0, T0, price_reply(body="<html>")),
        (REST, 0, T0, b"[]"),
    ]
    batches = decode(records)
    rows = rows_of(batches)
    assert list(rows) == ["quarantine"]
    assert [row["lsn"] for row in rows["quarantine"]] == [2, 3]
    assert sum(batch.records for batch in batches) == 2


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("acml_vol", "-99999999999999999999", ["snapshots"]),  # wider than 64 bits: as if it were not there
        ("inter_shrn_iscd", "\ud800", ["quarantine"]),  # JSON allows half a letter, our tables do not
    ],
)
def test_no_price_reply_stops_the_decoder_whatever_it_holds(field: str, value: str, kept: list[str]):
    body = json.dumps({"rt_cd": "0", "output": [{"inter_shrn_iscd": "005930", "inter2_prpr": "71900", field: value}]})
    records = [
        (FRAME, 1, T0, pingpong(20250314)),
        (REST, 0, T0, price_reply(body=body)),
        (FRAME, 1, T0, trade(20250314)),
    ]
    rows = rows_of(decode(records))
    assert sorted(rows) == sorted([*kept, "trades"])
    assert rows[kept[0]][0]["lsn"] == 1


def test_a_wider_record_keeps_its_tail_and_is_warned_of_once():
    wide = trade(20250314) + b"^1^2^new"
    with capture_logs() as logs:
        rows = rows_of(decode([(FRAME, 1, T0, wide), (FRAME, 1, T0, wide)], cuts=[1]))
    assert [row["tail"] for row in rows["trades"]] == ["2^new", "2^new"]
    assert [(entry["tr_id"], entry["width"]) for entry in logs if entry["log_level"] == "warning"] == [("H0STCNT0", 49)]


def test_rows_of_several_trs_are_in_log_order():
    nxt = trade(20250314, cum=5).replace(b"H0STCNT0", b"H0NXCNT0")
    records = [(FRAME, 1, T0, frame) for frame in (trade(cum=1), nxt, trade(cum=2), nxt, trade(cum=3))]
    rows = rows_of(decode(records))["trades"]
    assert [(row["lsn"], row["scope"]) for row in rows] == [(0, "KRX"), (1, "NXT"), (2, "KRX"), (3, "NXT"), (4, "KRX")]


def random_log(seed: int) -> list[tuple[int, int, int, bytes]]:
    """A log in which all that matters for dates happens, often and in any order."""
    chance = random.Random(seed)
    records, now = [], T0
    for _ in range(chance.randrange(1, 40)):
        now += chance.choice([0, 1, S, 8 * S, 31 * S, 61 * S])
        connection = chance.randrange(1, 4)
        date = chance.choice([20250312, 20250313, 20250314])
        frame = chance.choice(
            [
                quote(),
                quote(),
                quote(),
                trade(date, copies=chance.randrange(1, 4)),
                trade(chance.choice([20200101, 99999999, "", 20250399]), copies=2),
                pingpong(date),
                pingpong(chance.choice([20250414, 20990101, 20250415])),
                UNFILED.encode(),
                b"0|H0STASP0|001|5",
            ]
        )
        kind, payload = chance.choice(
            [
                *[(FRAME, frame)] * 12,
                (REST, price_reply()),
                (CLOCK, b"{}"),
                (SESSION, b'{"event":"connected"}'),
                (
                    SESSION,
                    begins(chance.choice([0, date]), chance.choice([{}, {1: date}]), chance.choice([{}, {2: date}])),
                ),
                (SESSION, b'{"event":"end"}'),
            ]
        )
        records.append((kind, connection, now, payload))
    return records


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 10**9), st.data())
def test_rows_do_not_depend_on_how_the_log_is_cut(seed: int, data: st.DataObject):
    records = random_log(seed)
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(records) - 1)), max_size=len(records))))
    whole, pieces = decode(records), decode(records, [cut for cut in cuts if cut < len(records)])
    assert rows_of(pieces) == rows_of(whole)
    assert sum(batch.records for batch in pieces) == sum(batch.records for batch in whole)
    assert sum(batch.unfiled for batch in pieces) == sum(batch.unfiled for batch in whole)
    spans = [lsn for batch in pieces for lsn in (batch.first_lsn, batch.last_lsn)]
    assert spans == sorted(spans)
    assert (spans[0], spans[-1]) == (0, len(records) - 1)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_counts_are_the_sum_of_rows_and_unfiled(seed: int):
    batches = decode(random_log(seed))
    rows = sum(len(table) for batch in batches for name, table in batch.tables.items() if name != "snapshots")
    assert sum(batch.records for batch in batches) == rows + sum(batch.unfiled for batch in batches)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**9))
def test_a_log_read_from_the_begin_of_a_segment_gives_the_rows_it_gives_when_read_whole(seed: int):
    records = [
        *random_log(seed),
        (SESSION, 0, T0, begins(20250313, {1: 20250312}, {2: 20250314})),
        *random_log(seed + 1),
    ]
    begin = max(i for i, record in enumerate(records) if record[0] == SESSION and b'"segment"' in record[3])
    whole = rows_of(decode(records))
    tail = rows_of(decode(records[begin:]))
    for name, rows in tail.items():
        expected = [row for row in whole[name] if row["lsn"] >= begin]
        assert [{**row, "lsn": row["lsn"] + begin} for row in rows] == expected


def test_an_empty_column_of_texts_is_a_dictionary_too():
    (batch,) = decode([(FRAME, 1, T0, trade())])
    assert batch.tables["trades"].schema.field("tail").type == pa.dictionary(pa.int32(), pa.string())
