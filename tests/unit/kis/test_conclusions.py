import json
from datetime import date

import pytest

from hosu.errors import FrameError
from hosu.kis.conclusions import conclusion_rows, second_of
from hosu.market.calendar import instant_us

DAY = date(2026, 9, 15)
ASKED = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930", "FID_INPUT_HOUR_1": "090005"}
# A row as the portal names its fields; the numbers are made up.
ROW = {
    "stck_cntg_hour": "090003",
    "stck_prpr": "71900",
    "prdy_vrss": "-100",
    "prdy_vrss_sign": "5",
    "prdy_ctrt": "-0.14",
    "askp": "72000",
    "bidp": "71900",
    "tday_rltv": "84.90",
    "acml_vol": "3052507",
    "cnqn": "7",
}


def reply(output2: object, **more: object) -> str:
    return json.dumps({"output1": {"stck_prpr": "71900"}, "output2": output2, "rt_cd": "0"} | more)


def test_a_row_has_the_identity_of_a_trade_and_no_more_than_is_known():
    (row,) = conclusion_rows(ASKED, reply([ROW]), DAY).rows
    assert row == {
        "record_no": 0,
        "scope": "KRX",
        "symbol": "005930",
        "ts_event": instant_us(DAY, 9 * 3600 + 3),
        "price": 71900.0,
        "size": 7,
        "cum_volume": 3_052_507,
    }


@pytest.mark.parametrize(("code", "scope"), [("J", "KRX"), ("NX", "NXT"), ("UN", "UN")])
def test_the_scope_is_what_was_asked_for(code, scope):
    asked = {"fid_cond_mrkt_div_code": f" {code} ", "fid_input_iscd": "Q500001"}
    (row,) = conclusion_rows(asked, reply([ROW]), DAY).rows
    assert (row["scope"], row["symbol"]) == (scope, "Q500001")


def test_the_portal_s_other_name_of_the_price_is_read_too():
    row = {("stck_pbpr" if name == "stck_prpr" else name): value for name, value in ROW.items()}
    assert conclusion_rows(ASKED, reply(row), DAY).rows[0]["price"] == 71900.0


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"stck_cntg_hour": "240000"}, "no time"),
        ({"stck_cntg_hour": "9000３"}, "no time"),
        ({"stck_cntg_hour": ""}, "no time"),
        ({"stck_prpr": "0"}, "no price"),
        ({"stck_prpr": "-71900"}, "no price"),
        ({"stck_prpr": "1" * 38}, "no price"),
        ({"cnqn": "0"}, "no size"),
        ({"cnqn": "7.5"}, "no size"),
        ({"cnqn": None}, "no size"),
        ({"acml_vol": "6"}, "less than its size"),
        ({"acml_vol": "99999999999999999999"}, "is none"),
        ({"acml_vol": ""}, "is none"),
    ],
)
def test_a_row_that_is_no_trade_is_set_aside_with_its_reason_and_the_others_stay(changed, reason):
    found = conclusion_rows(ASKED, reply([ROW, ROW | changed, ROW | {"acml_vol": "3052500"}]), DAY)
    assert [row["record_no"] for row in found.rows] == [0, 2]
    (broken,) = found.broken
    assert broken.record_no == 1
    assert reason in broken.reason
    assert json.loads(broken.raw) == ROW | changed


def test_an_element_that_is_no_object_is_set_aside():
    found = conclusion_rows(ASKED, reply(["\ud800", ROW]), DAY)
    assert [row["record_no"] for row in found.rows] == [1]
    assert found.broken[0].raw == b'"\\ud800"'


@pytest.mark.parametrize("body", ["[]", "null", "<html>", "", '{"rt_cd":"0"}', reply("70000"), reply(None)])
def test_a_body_without_a_list_of_trades_is_refused_as_a_whole(body):
    with pytest.raises(FrameError):
        conclusion_rows(ASKED, body, DAY)


@pytest.mark.parametrize("asked", [{}, ASKED | {"FID_COND_MRKT_DIV_CODE": "W"}, ASKED | {"FID_INPUT_ISCD": "\ud800"}])
def test_trades_of_nobody_knows_what_are_refused(asked):
    with pytest.raises(FrameError, match="no scope or no symbol"):
        conclusion_rows(asked, reply([ROW]), DAY)


def test_a_refusal_and_an_empty_list_have_no_trades():
    assert conclusion_rows(ASKED, reply([ROW], rt_cd="1"), DAY).rows == []
    assert conclusion_rows(ASKED, reply([]), DAY).rows == []
    assert conclusion_rows(ASKED, reply({}), DAY).rows == []


@pytest.mark.parametrize(("text", "second"), [("000000", 0), ("235959", 86_399), ("090003", 32_403), ("9:00", None)])
def test_times_are_seconds_of_the_day(text, second):
    assert second_of(text) == second
