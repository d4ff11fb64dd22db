"""Frames, taken apart and put together: every rule by an example. ``TRADE`` is the example of the broker's portal;
all other frames here are made by hand."""

import json

import numpy as np
import pytest

from hosu.errors import InputError
from hosu.kis.codec import NULL, describe, encode, join, pack, parse, parse_plain, unpack
from hosu.kis.decode_kernel import BLOCK, MAX_GROUPS
from hosu.kis.layouts import LAYOUTS, layout_for

# The portal's example of 2023-06-12, 46 fields.
TRADE = (
    "005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700^5105^6937^1832^84.90"
    "^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20230612^20^N^65945^216924^1118750^2199206"
    "^0.05^2424142^125.92^0^^72100"
)
FIELDS = TRADE.split("^")
PROGRAM = "005930^092237^1413444^109159646900^1189408^91931710200^-224036^-17227936700^65033^15475^-49558"
BOOK = [
    "005930", "093730", "0",
    *(str(71900 + 100 * i) for i in range(10)), *(str(71800 - 100 * i) for i in range(10)),
    *(str(10 + i) for i in range(10)), *(str(20 + i) for i in range(10)),
    "145", "245", "0", "0", "0", "0", "525579", "-72000", "5", "-100.00", "3159115", "0", "8", "0", "0", "0",
]  # fmt: skip


def frame(*records, tr_id="H0STCNT0", said=None, flag="0"):
    payload = "^".join("^".join(record) for record in records)
    return f"{flag}|{tr_id}|{said or f'{len(records):03d}'}|{payload}".encode()


def changed(place, text):
    return [*FIELDS[:place], text, *FIELDS[place + 1 :]]


def both(*frames):
    """What the fast parser makes of the frames, after the plain one has agreed on rejects and counts."""
    fast, plain = parse(*join(frames)), parse_plain(frames)
    assert fast.rejects == plain.rejects
    assert [len(records) for records in fast.records] == [len(records) for records in plain.records]
    return fast


def columns(parsed, *names):
    (records,) = parsed.records
    return [records.columns[name].tolist() for name in names]


def test_a_trade_becomes_numbers():
    parsed = both(frame(FIELDS))
    assert parsed.rejects == []
    assert columns(parsed, "STCK_PRPR", "PRDY_VRSS", "PRDY_CTRT", "WGHN_AVRG_STCK_PRC") == [
        [7_190_000], [-10_000], [-14], [7_202_383],
    ]  # fmt: skip
    assert columns(parsed, "CNTG_VOL", "ACML_VOL", "ACML_TR_PBMN") == [[1], [3_052_507], [219_853_241_700]]
    assert columns(parsed, "STCK_CNTG_HOUR", "BSOP_DATE") == [[9 * 3600 + 33 * 60 + 54], [20230612]]
    symbol, side, end_code = columns(parsed, "MKSC_SHRN_ISCD", "CCLD_DVSN", "MRKT_TRTM_CLS_CODE")
    assert [unpack(symbol[0]), unpack(side[0]), unpack(end_code[0])] == ["005930", "1", None]


def test_all_records_of_a_frame_are_read_with_their_numbers():
    """A true multi-record frame, made by hand: eleven records, as many as were seen on the wire."""
    parsed = both(frame(*(changed(13, str(100 + i)) for i in range(11))), frame(FIELDS))
    (records,) = parsed.records
    assert records.record_no.tolist() == [*range(11), 0]
    assert records.frame.tolist() == [0] * 11 + [1]
    assert records.columns["ACML_VOL"].tolist() == [*range(100, 111), 3_052_507]


def test_more_records_than_a_block_keep_their_order():
    n = 3 * BLOCK + 1
    parsed = both(*(frame(changed(13, str(i)), changed(13, str(i + n))) for i in range(n)))
    (records,) = parsed.records
    assert records.columns["ACML_VOL"].tolist() == [number for i in range(n) for number in (i, i + n)]


@pytest.mark.parametrize(
    ("tr_id", "width", "label"),
    [("H0STASP0", 59, "2022-01-01"), ("H0STASP0", 62, "2025-01-01"), ("H0STASP0", 63, "2026-09-14")],
)
def test_a_book_is_split_by_the_width_it_has(tr_id, width, label):
    """Width 63 was never recorded: this frame is made by hand, as the portal describes it."""
    record = [*BOOK, "71850", "7", "1", "2"][:width]
    parsed = both(frame(record, record, tr_id=tr_id))
    (records,) = parsed.records
    assert records.layout.label == f"{tr_id}@{label}"
    assert records.width == width
    assert records.tails is None
    assert records.columns["ASKP10"].tolist() == [7_280_000] * 2
    if width == 63:
        assert records.columns["MID_PRC"].tolist() == [7_185_000] * 2
        assert [unpack(value) for value in records.columns["MARKET_CLS_CODE"].tolist()] == ["2", "2"]


def test_fields_beyond_the_known_layout_are_kept_as_they_came():
    wide = [*FIELDS, "2", "new", ""]
    parsed = both(frame(wide, wide), frame([*FIELDS, "2", "한글", "x"]))
    (records,) = parsed.records
    assert records.layout.label == "H0STCNT0@2026-09-14"
    assert records.width == 49
    assert records.tails == ["new^", "new^", "한글^x"]
    assert records.columns["VI_STND_PRC"].tolist() == [7_210_000] * 3


@pytest.mark.parametrize(
    ("raw", "tr_id", "reason"),
    [
        (b"", "", "empty frame"),
        (b"0|H0STCNT0", "H0STCNT0", "has 2 of the four parts flag|TR id|count|records"),
        (b"0|H0XXXXX0|001|a", "H0XXXXX0", "unknown TR id"),
        (b"5|H0STCNT0|001|a", "H0STCNT0", "begins with '5', neither 0 nor 1 nor a JSON message"),
        (frame(FIELDS, said="abc"), "H0STCNT0", "its count is 'abc', not a number of up to six digits"),
        (frame(FIELDS, said="004"), "H0STCNT0", "says 4 records, holds 46 fields"),
        (frame(FIELDS, said="000"), "H0STCNT0", "says 0 records, holds 46 fields"),
        (b"0|H0STCNT0|001|", "H0STCNT0", "says 1 record, holds 0 fields"),
        (frame(FIELDS[:45]), "H0STCNT0", "record of 45 fields; the narrowest known layout of H0STCNT0 has 46"),
        (b"0|H0STCNT0|001|\xff" + b"^" * 45, "H0STCNT0", "not UTF-8 text: byte 0xff at 15"),
    ],
)
def test_a_broken_frame_is_rejected_whole_with_its_reason(raw, tr_id, reason):
    parsed = both(raw, frame(FIELDS))
    (reject,) = parsed.rejects
    assert (reject.frame, reject.record_no, reject.tr_id, reject.reason, reject.raw) == (0, None, tr_id, reason, raw)
    assert [records.frame.tolist() for records in parsed.records] == [[1]]


def test_a_rejected_frame_still_names_its_symbol():
    assert both(frame(FIELDS, said="004")).rejects[0].symbol == "005930"


@pytest.mark.parametrize(
    ("place", "text", "reason"),
    [
        (0, "", "MKSC_SHRN_ISCD (field 0) is '': not a symbol of one to eight ASCII characters"),
        (0, "123456789", "MKSC_SHRN_ISCD (field 0) is '123456789': not a symbol of one to eight ASCII characters"),
        (1, "235960", "STCK_CNTG_HOUR (field 1) is '235960': not a possible time of day"),
        (1, "240000", "STCK_CNTG_HOUR (field 1) is '240000': not a possible time of day"),
        (1, "93354", "STCK_CNTG_HOUR (field 1) is '93354': not a time HHMMSS"),
        (2, "12a", "STCK_PRPR (field 2) is '12a': not a number"),
        (2, "-", "STCK_PRPR (field 2) is '-': not a number"),
        (2, "1.505", "STCK_PRPR (field 2) is '1.505': more than two decimals"),
        (2, "99999999999999999", "STCK_PRPR (field 2) is '99999999999999999': too large"),
        (2, "한" * 40, "STCK_PRPR (field 2) is '" + "\\ud55c" * 24 + "...': not a number"),
        (12, "1.5", "CNTG_VOL (field 12) is '1.5': not a whole number"),
        (13, "9223372036854775808", "ACML_VOL (field 13) is '9223372036854775808': too large"),
        (33, "20230229", "BSOP_DATE (field 33) is '20230229': not a possible date"),
        (34, "toolong99", "NEW_MKOP_CLS_CODE (field 34) is 'toolong99': not a code of one to eight ASCII characters"),
    ],
)
def test_a_broken_field_rejects_its_record_only_and_is_named(place, text, reason):
    parsed = both(frame(FIELDS, changed(place, text), FIELDS))
    (reject,) = parsed.rejects
    assert (reject.frame, reject.record_no, reject.layout) == (0, 1, "H0STCNT0@2022-01-01")
    assert reject.reason == reason
    assert reject.raw == "^".join(changed(place, text)).encode()
    assert reject.symbol == ("005930" if place else None)
    assert [records.record_no.tolist() for records in parsed.records] == [[0, 2]]


@pytest.mark.parametrize(
    ("place", "text", "value"),
    [
        (2, "71900.5", 7_190_050),
        (2, "71900.50", 7_190_050),
        (2, ".5", 50),
        (2, "-.38", -38),
        (2, "1.500", 150),
        (2, "", NULL),
        (2, "(null)", NULL),
        (2, "0000000000000000071900", 7_190_000),
        (6, "128500000.23", 12_850_000_023),
        (12, "-0", 0),
        (12, "5.00", 5),
        (13, "9223372036854775807", 9_223_372_036_854_775_807),
        (13, "1234567890123456", 1_234_567_890_123_456),
        (1, "000000", 0),
        (24, "", NULL),
        (33, "00000000", NULL),
        (33, "20240229", 20240229),
        (44, "(null)", NULL),
        (44, "A b", pack("A b")),
    ],
)
def test_an_odd_but_clear_field_is_taken(place, text, value):
    parsed = both(frame(FIELDS, changed(place, text)))
    assert parsed.rejects == []
    assert columns(parsed, LAYOUTS["H0STCNT0"][0].fields[place].name)[0][1] == value


def test_a_batch_is_told_apart_into_records_control_messages_and_what_no_table_takes():
    parsed = both(
        b'{"header":{"tr_id":"PINGPONG","datetime":"20241011121818"}}',
        frame(PROGRAM.split("^"), PROGRAM.split("^"), tr_id="H0STPGM0"),
        b"1|H0STCNI0|001|bm90aGluZw==",
        b"0|H0UNCNT0|000|",
        frame(BOOK, tr_id="H0STASP0"),
        frame(FIELDS),
    )
    assert parsed.control.tolist() == [0]
    assert parsed.unfiled.tolist() == [1, 2]
    assert parsed.unfiled_records == 3
    assert parsed.rejects == []
    assert [(r.layout.tr_id, r.frame.tolist()) for r in parsed.records] == [("H0STCNT0", [5]), ("H0STASP0", [4])]


def test_market_operation_keeps_its_free_text_and_knows_both_forms_of_the_unified_one():
    parsed = both(
        b"0|H0STMKO0|001|396300^N^(null)^^311^^^55^N^N",
        "0|H0STMKO0|001|396300^Y^주요내용 공시^174^^^^55^Y^N^1".encode(),
        b"0|H0UNMKO0|001|100840^N^(null)^AB1^112^^^55^N^",
        b"0|H0UNMKO0|001|Y^reason^AB1^112^^^55^N^^2",
    )
    assert [(r.layout.label, r.texts["TR_SUSP_REAS_CNTT"]) for r in parsed.records] == [
        ("H0STMKO0@2022-01-01", [None]),
        ("H0STMKO0@2025-03-04", ["주요내용 공시"]),
        ("H0UNMKO0@2025-03-04", ["reason"]),
        ("H0UNMKO0@2026-09-21", [None]),
    ]


def test_frames_may_lie_anywhere_in_the_buffer():
    one, two = frame(FIELDS), frame(changed(13, "77"))
    data = np.frombuffer(b"junk" + one + b"^|0|999" + two + b"12345", np.uint8)
    start = np.array([4 + len(one) + 7, 4])
    parsed = parse(data, start, start + np.array([len(two), len(one)]))
    assert columns(parsed, "ACML_VOL") == [[77, 3_052_507]]


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (0, 99), (5, 4)])
def test_a_frame_outside_the_buffer_is_refused(start, end):
    with pytest.raises(ValueError, match="outside the buffer of 10 bytes"):
        parse(np.zeros(10, np.uint8), np.array([start]), np.array([end]))


def test_more_widths_than_the_fast_way_counts_are_parsed_all_the_same():
    frames = [frame([*FIELDS, *("x" * (i + 1))]) for i in range(MAX_GROUPS + 5)]
    parsed = both(*frames)
    assert sorted(records.width for records in parsed.records) == [47 + i for i in range(MAX_GROUPS + 5)]


def test_no_frames_give_nothing():
    parsed = parse(*join([]))
    assert (parsed.records, parsed.rejects, parsed.unfiled_records) == ([], [], 0)


# --- encode -----------------------------------------------------------------------------------------------------


def test_a_parsed_trade_encodes_to_the_bytes_it_came_from():
    raw = [frame(FIELDS), frame(changed(13, "3052508"))]
    (records,) = parse(*join(raw)).records
    assert encode(records.layout, records.columns).frames() == raw


def test_records_are_grouped_into_frames_as_asked():
    raw = [frame(FIELDS), frame(FIELDS, FIELDS, FIELDS, FIELDS), frame(FIELDS)]
    (records,) = parse(*join(raw)).records
    frames = encode(records.layout, records.columns, group=np.array([1, 4, 1]))
    assert frames.frames() == raw
    assert frames.records.tolist() == [1, 4, 1]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("STCK_PRPR", 7_190_000, "71900"),
        ("STCK_PRPR", 7_190_050, "71900.5"),
        ("STCK_PRPR", 7_190_005, "71900.05"),
        ("STCK_PRPR", -50, "-0.5"),
        ("PRDY_CTRT", -14, "-0.14"),
        ("PRDY_CTRT", 0, "0.00"),
        ("CTTR", 8_490, "84.90"),
        ("CNTG_VOL", NULL, ""),
        ("ACML_VOL", 9_223_372_036_854_775_807, "9223372036854775807"),
        ("STCK_CNTG_HOUR", 32_400, "090000"),
        ("BSOP_DATE", 20230612, "20230612"),
    ],
)
def test_a_number_is_printed_as_the_broker_prints_it(name, value, text):
    layout = LAYOUTS["H0STCNT0"][0]
    frames = encode(layout, {"MKSC_SHRN_ISCD": np.array([pack("005930")]), name: np.array([value])})
    fields = frames.frame(0).decode().split("|")[3].split("^")
    assert fields[layout.index(name)] == text
    assert len(fields) == 46


def test_free_texts_are_sent_too():
    layout = layout_for("H0STMKO0", 11)
    columns = {"MKSC_SHRN_ISCD": np.array([pack("005930")] * 2), "TRHT_YN": np.array([pack("Y"), pack("N")])}
    frames = encode(layout, columns, texts={"TR_SUSP_REAS_CNTT": ["공시", None]})
    assert [raw.decode() for raw in frames.frames()] == [
        "0|H0STMKO0|001|005930^Y^공시^^^^^^^^",
        "0|H0STMKO0|001|005930^N^^^^^^^^^",
    ]


@pytest.mark.parametrize(
    ("columns", "group", "fault"),
    [
        ({"NO_SUCH": [1]}, None, "column NO_SUCH: is no field of H0STCNT0@2022-01-01"),
        ({}, None, "columns: have lengths"),
        ({"CNTG_VOL": [1, 2], "ACML_VOL": [1]}, None, r"columns: have lengths \[1, 2\]"),
        ({"CNTG_VOL": [1, 2]}, [3], "group: 1 frames hold 3 records, the columns 2"),
        ({"CNTG_VOL": [1]}, None, "MKSC_SHRN_ISCD of record 0: -9223372036854775808 is no SYMBOL"),
        ({"MKSC_SHRN_ISCD": [48], "STCK_CNTG_HOUR": [86400]}, None, "STCK_CNTG_HOUR of record 0: 86400 is no TIME"),
        ({"MKSC_SHRN_ISCD": [48], "BSOP_DATE": [-5]}, None, "BSOP_DATE of record 0: -5 is no DATE"),
        ({"MKSC_SHRN_ISCD": [ord("^")]}, None, "MKSC_SHRN_ISCD of record 0: 94 is no SYMBOL"),
    ],
)
def test_columns_that_make_no_frame_are_refused(columns, group, fault):
    arrays = {name: np.array(values, np.int64) for name, values in columns.items()}
    with pytest.raises(InputError, match=fault):
        encode(LAYOUTS["H0STCNT0"][0], arrays, group=None if group is None else np.array(group))


# --- describe ---------------------------------------------------------------------------------------------------


def test_a_described_trade_shows_what_was_sent_and_what_we_make_of_it():
    (one,) = describe(frame([*FIELDS, "2", "new"]))
    assert (one["tr_id"], one["symbol"], one["width"], one["tail"]) == ("H0STCNT0", "005930", 48, "new")
    assert one["layout"] == "H0STCNT0@2026-09-14"
    assert (one["fields"]["PRDY_CTRT"], one["fields"]["MRKT_TRTM_CLS_CODE"]) == ("-0.14", "")
    event = one["event"]
    assert (event["date"], event["ts_event"]) == ("2023-06-12", "2023-06-12T00:33:54+00:00")
    assert (event["price"], event["size"], event["side"], event["market_code"]) == (71900.0, 1, "buy", "2")
    json.dumps(one)


def test_what_cannot_be_described_says_why():
    good, bad = describe(frame(FIELDS, changed(2, "x")))
    assert "error" not in good
    assert (bad["error"], bad["event"]) == ("STCK_PRPR (field 2) is 'x': not a number", None)
    assert describe(b"nonsense")[0]["error"] == "has 1 of the four parts flag|TR id|count|records"
    assert describe(b"{nonsense")[0]["error"] == "begins like a JSON message, but is none"


def test_control_messages_and_encrypted_frames_are_described_as_such():
    assert describe(b'{"header":{"tr_id":"PINGPONG"}}') == [{"control": {"header": {"tr_id": "PINGPONG"}}}]
    assert describe(b"1|H0STCNI0|001|abc") == [{"tr_id": "H0STCNI0", "encrypted": True, "records": 1}]
    assert describe(b"0|H0STCNT0|000|") == []
