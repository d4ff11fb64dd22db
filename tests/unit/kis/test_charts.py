"""Chart replies as rows of external bars: which rows, and the value of a minute."""

import json
from datetime import date
from typing import Any

import pytest

from hosu.kis.charts import MINUTE_ROWS, chart_bars
from hosu.market.calendar import instant_us

DAILY, TODAY, DATED = "FHKST03010100", "FHKST03010200", "FHKST03010230"


def minute(time: str, volume: int, day_value: int, price: int = 100, day: str = "20220902") -> dict[str, str]:
    return {
        "stck_bsop_date": day,
        "stck_cntg_hour": time,
        "stck_prpr": str(price),
        "stck_oprc": str(price),
        "stck_hgpr": str(price),
        "stck_lwpr": str(price),
        "cntg_vol": str(volume),
        "acml_tr_pbmn": str(day_value),
    }


def body(*rows: dict[str, str], rt_cd: str = "0") -> str:
    return json.dumps({"rt_cd": rt_cd, "msg_cd": "MCA00000", "output1": {}, "output2": list(rows)})


def asked(**more: str) -> dict[str, str]:
    return {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "000660", **more}


def minutes(*rows: dict[str, str], tr_id: str = DATED) -> list[tuple[str, int, float | None]]:
    """(HHMM in Seoul, volume, value) of each bar."""
    found = chart_bars(tr_id, asked(FID_INPUT_DATE_1="20220902") if tr_id == DATED else asked(), body(*rows))
    assert found is not None
    assert found.table == "bars_1m_external"
    return [(_clock(row["ts"]), row["volume"], row["value"]) for row in found.rows]


def _clock(ts_us: int) -> str:
    second = ts_us // 1_000_000 + 9 * 3600
    return f"{second // 3600 % 24:02}{second // 60 % 60:02}"


def test_a_days_row_is_the_portals_sample() -> None:
    row = {
        "stck_bsop_date": "20220509",
        "stck_clpr": "107500",
        "stck_oprc": "107000",
        "stck_hgpr": "109000",
        "stck_lwpr": "106500",
        "acml_vol": "2203472",
        "acml_tr_pbmn": "237914727500",
    }
    span = {"FID_INPUT_DATE_1": "20220501", "FID_INPUT_DATE_2": "20220509", "FID_PERIOD_DIV_CODE": "D"}
    found = chart_bars(DAILY, asked(**span, FID_ORG_ADJ_PRC="1"), body(row))
    assert found is not None
    assert (found.table, found.unreadable) == ("bars_daily_external", 0)
    (bar,) = found.rows
    assert bar == {
        "symbol": "000660",
        "scope": "KRX",
        "adjusted": False,
        "source": "kis:FHKST03010100",
        "date": "2022-05-09",
        "ts": instant_us(date(2022, 5, 9), 0),
        "open": 107000.0,
        "high": 109000.0,
        "low": 106500.0,
        "close": 107500.0,
        "volume": 2203472,
        "value": 237914727500.0,
        "ex_code": None,
        "split_ratio": None,
    }
    adjusted = chart_bars(DAILY, asked(**span, FID_ORG_ADJ_PRC="0"), body(row))
    assert adjusted is not None
    assert adjusted.rows[0]["adjusted"] is True


@pytest.mark.parametrize(
    ("code", "rate", "told"),
    [
        ("00", "0.00", ("00", 0.0)),
        ("01", "0.20", ("01", 0.2)),
        ("", "", (None, None)),
        ("1", "-0.5", (None, None)),
        ("\u0660\u0661", "1e999", (None, None)),  # digits of another script; beyond every number
        ("001", "nan", (None, None)),
    ],
)
def test_a_day_says_what_the_broker_knows_of_corporate_actions(code: str, rate: str, told: tuple[object, ...]) -> None:
    row = dict.fromkeys(("stck_clpr", "stck_oprc", "stck_hgpr", "stck_lwpr", "acml_vol"), "1")
    events = {"stck_bsop_date": "20220509", "flng_cls_code": code, "prtt_rate": rate}
    span = {"FID_INPUT_DATE_1": "20220501", "FID_INPUT_DATE_2": "20220509"}
    found = chart_bars(DAILY, asked(**span), body(row | events))
    assert found is not None
    assert [(bar["ex_code"], bar["split_ratio"]) for bar in found.rows] == [told]


@pytest.mark.parametrize("day", ["20220430", "20220510"])
def test_days_that_were_not_asked_for_are_left_out(day: str) -> None:
    row = dict.fromkeys(("stck_clpr", "stck_oprc", "stck_hgpr", "stck_lwpr", "acml_vol"), "1")
    span = {"FID_INPUT_DATE_1": "20220501", "FID_INPUT_DATE_2": "20220509"}
    found = chart_bars(DAILY, asked(**span), body(row | {"stck_bsop_date": day}))
    assert found is not None
    assert found.rows == []


def test_a_minutes_value_is_the_difference_of_the_days() -> None:
    # Newest first, as the broker sends them; the figures of the portal's sample and one minute more.
    assert minutes(
        minute("100000", 1383, 55_858_827_400),
        minute("095900", 900, 55_731_000_300),
        minute("090000", 5, 1_000),
    ) == [("0900", 5, 1_000.0), ("0959", 900, 55_730_999_300.0), ("1000", 1383, 127_827_100.0)]


@pytest.mark.parametrize("tr_id", [TODAY, DATED])
def test_the_oldest_row_of_a_full_page_waits_for_the_next(tr_id: str) -> None:
    full = [minute(f"{10 + n // 60:02}{n % 60:02}00", 1, 100 * (n + 1)) for n in range(MINUTE_ROWS[tr_id])]
    assert minutes(*reversed(full), tr_id=tr_id)[0] == ("1001", 1, 100.0)
    assert len(minutes(*reversed(full), tr_id=tr_id)) == len(full) - 1
    assert minutes(*reversed(full[:-1]), tr_id=tr_id)[0] == ("1000", 1, 100.0)


def test_the_newest_row_does_not_keep_the_volume_of_the_minute_before() -> None:
    assert minutes(minute("1001" + "00", 7, 500), minute("100000", 7, 500)) == [
        ("1000", 7, 500.0),
        ("1001", 0, 0.0),
    ]
    # It may have traded just as much.
    assert minutes(minute("100100", 7, 1_200), minute("100000", 7, 500))[-1] == ("1001", 7, 700.0)


def test_rows_of_the_day_before_end_the_page() -> None:
    found = minutes(minute("090100", 2, 300), minute("090000", 1, 100), minute("153000", 9, 9_000, day="20220901"))
    assert found == [("0900", 1, 100.0), ("0901", 2, 200.0)]


def test_what_cannot_be_read_is_counted() -> None:
    rows = [minute("100100", 7, 500), minute("100000", 7, 500) | {"stck_oprc": "x"}, minute("09590x", 1, 400)]
    found = chart_bars(DATED, asked(FID_INPUT_DATE_1="20220902"), body(*rows))
    assert found is not None
    assert (len(found.rows), found.unreadable) == (1, 2)


@pytest.mark.parametrize(
    ("tr_id", "params", "reply"),
    [
        ("FHKST01010100", {}, body()),
        (DAILY, {"FID_PERIOD_DIV_CODE": "W"}, body()),
        (DATED, {}, body(rt_cd="1")),
    ],
)
def test_other_calls_weeks_and_errors_hold_no_bars(tr_id: str, params: dict[str, Any], reply: str) -> None:
    assert chart_bars(tr_id, asked(**params), reply) is None
