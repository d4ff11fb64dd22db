import json

import pytest

from hosu.errors import FrameError
from hosu.kis.snapshots import COLUMNS, snapshot_rows
from hosu.market.events import ORIGIN, SNAPSHOTS

PRICE = {
    "stck_shrn_iscd": "000660",
    "stck_prpr": "128500",
    "stck_oprc": "128500",
    "stck_hgpr": "130000",
    "stck_lwpr": "128500",
    "stck_mxpr": "167000",
    "stck_llam": "90000",
    "stck_sdpr": "128500",
    "acml_vol": "2669075",
    "acml_tr_pbmn": "344570137500",
}


def reply(output, rt_cd="0"):
    return json.dumps({"rt_cd": rt_cd, "msg_cd": "MCA00000", "msg1": "정상처리 되었습니다.   ", "output": output})


def test_a_row_has_every_column_but_those_the_log_tells():
    row = snapshot_rows("FHKST01010100", {}, reply(PRICE))[0]
    assert tuple(row) == COLUMNS
    assert {*row} | {field.name for field in ORIGIN} | {"ts_recv"} == {*SNAPSHOTS.names}


@pytest.mark.parametrize("output", [PRICE, [PRICE]], ids=["object", "list"])
def test_a_price_becomes_a_row(output):
    params = {"fid_cond_mrkt_div_code": "NX", "fid_input_iscd": "000660"}
    row = snapshot_rows("FHKST01010100", params, reply(output))[0]
    assert {name: value for name, value in row.items() if value is not None} == {
        "scope": "NXT",
        "symbol": "000660",
        "price": 128500.0,
        "open": 128500.0,
        "high": 130000.0,
        "low": 128500.0,
        "cum_volume": 2669075,
        "cum_value": 344570137500,
        "base_price": 128500.0,
        "upper_limit": 167000.0,
        "lower_limit": 90000.0,
        "tr_id": "FHKST01010100",
    }


def test_a_symbol_that_the_reply_leaves_out_comes_from_the_request():
    row = snapshot_rows("FHKST01010100", {"FID_INPUT_ISCD": "005930"}, reply({"stck_prpr": "70000"}))[0]
    assert (row["symbol"], row["scope"], row["price"]) == ("005930", None, 70000.0)


def test_many_prices_are_joined_by_the_symbol_in_them():
    params = {
        "FID_COND_MRKT_DIV_CODE_1": "J",
        "FID_INPUT_ISCD_1": "005930",
        "FID_COND_MRKT_DIV_CODE_2": "NX",
        "FID_INPUT_ISCD_2": "000660",
        "FID_COND_MRKT_DIV_CODE_3": "J",
        "FID_INPUT_ISCD_3": "035720",
    }
    output = [
        {"inter_shrn_iscd": "000660", "inter2_prpr": "300000", "seln_rsqn": "7", "inter2_askp": "300500"},
        {"inter_shrn_iscd": "005930", "inter2_prpr": "70000", "acml_vol": "5", "acml_tr_pbmn": "350000"},
        {"inter2_prpr": "1"},
    ]
    rows = snapshot_rows("FHKST11300006", params, reply(output))
    assert [(row["symbol"], row["scope"], row["price"]) for row in rows] == [
        ("000660", "NXT", 300000.0),
        ("005930", "KRX", 70000.0),
    ]
    assert (rows[0]["ask1"], rows[0]["ask1_size"], rows[1]["cum_value"]) == (300500.0, 7, 350000)


@pytest.mark.parametrize(
    ("tr_id", "body"),
    [
        ("FHKST01010200", reply(PRICE)),
        ("FHKST01010100", reply(PRICE, rt_cd="1")),
        ("FHKST01010100", reply({})),
        ("FHKST11300006", reply([])),
        ("FHKST11300006", '{"error_code":"EGW00133"}'),
    ],
)
def test_other_calls_errors_and_empty_replies_give_no_row(tr_id, body):
    assert snapshot_rows(tr_id, {}, body) == []


def test_a_body_that_is_no_json_is_an_error():
    with pytest.raises(FrameError):
        snapshot_rows("FHKST01010100", {}, "<html>")
