"""Frames that were really sent, kept beside the checkout: their arithmetic must come out."""

import json

import numpy as np
import pytest

from hosu.kis.codec import NULL, Envelope, encode, join, parse, parse_plain, to_events

pytestmark = pytest.mark.shared


@pytest.fixture(scope="module")
def lines(shared):
    text = (shared / "kis_ws_frames" / "kis_ws_frames_real.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def parsed(lines):
    return parse(*join([line["raw"].encode() for line in lines]))


def test_seven_of_the_eight_frames_are_records_in_four_widths(parsed):
    assert {(r.layout.tr_id, r.width): len(r) for r in parsed.records} == {
        ("H0STCNT0", 46): 1,
        ("H0STCNT0", 47): 1,
        ("H0STASP0", 59): 3,
        ("H0STASP0", 62): 2,
    }


def test_the_truncated_frame_is_rejected_with_what_it_says_and_holds(parsed):
    (reject,) = parsed.rejects
    assert (reject.frame, reject.record_no, reject.symbol) == (1, None, "005930")
    assert reject.reason == "says 4 records, holds 46 fields"


def test_levels_of_every_book_add_up_to_its_totals(parsed):
    books = [records for records in parsed.records if records.layout.event == "quotes"]
    for records in books:
        for side in ("ASKP", "BIDP"):
            levels = sum(records.columns[f"{side}_RSQN{i}"] for i in range(1, 11))
            assert levels.tolist() == records.columns[f"TOTAL_{side}_RSQN"].tolist()


def test_average_price_times_volume_is_the_value_of_every_trade(parsed):
    for records in parsed.records:
        if records.layout.event == "trades":
            value = records.columns["WGHN_AVRG_STCK_PRC"] / 100 * records.columns["ACML_VOL"]
            np.testing.assert_allclose(value, records.columns["ACML_TR_PBMN"], rtol=1e-4)


def test_both_parsers_read_the_same_and_the_bytes_come_back(lines, parsed):
    raw = [line["raw"].encode() for line in lines]
    for fast, plain in zip(parsed.records, parse_plain(raw).records, strict=True):
        assert {k: v.tolist() for k, v in fast.columns.items()} == {k: v.tolist() for k, v in plain.columns.items()}
        assert encode(fast.layout, fast.columns).frames() == [raw[i] for i in fast.frame.tolist()]


def test_dates_named_by_the_frames_are_those_of_their_finders(lines, parsed):
    for records in parsed.records:
        if records.layout.event == "trades":
            dates = records.columns["BSOP_DATE"]
            assert dates.tolist() == [int(lines[i]["date"].replace("-", "")) for i in records.frame.tolist()]
            assert NULL not in dates.tolist()
            envelope = Envelope("w", np.arange(len(lines)), np.zeros(len(lines), np.int64), dates.astype(np.int32))
            _, batch = to_events(records, envelope)
            assert batch.column("date").to_pylist() == [lines[i]["date"] for i in records.frame.tolist()]
