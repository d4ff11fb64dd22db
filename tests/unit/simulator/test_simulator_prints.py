"""What the REST calls know of the day so far: every print by its page, minutes and totals to the share."""

from typing import Any

import numpy as np
from fault_stage import DAY, Stage

from hosu.kis.simulator.prints import Prints
from hosu.kis.simulator.rest_calls import CALLS, Market, answer
from hosu.market.calendar import instant_us

KRX = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}


def asked(stage: Stage, call: str, **query: str) -> dict[str, Any]:
    market = Market(stage.tape, stage.delivery.state, lambda: stage.delivery.position_us)
    return answer(CALLS[call], market, KRX | query)


def played(faults: str = "drop", records: int = 3000, stop_s: float = 86_400.0) -> tuple[Stage, list[tuple[int, ...]]]:
    """A day up to a second, and its trades of the symbol: (second, size, cumulative volume, cumulative value)."""
    stage = Stage(faults, records=records)
    stage.connect(1)
    trades: list[tuple[int, ...]] = []
    for burst in stage.tape:
        last = int(np.searchsorted(burst.at_us, instant_us(DAY, stop_s)))
        if last:
            stage.delivery.send(burst, 0, last)
        for batch in burst.batches:
            names = ("STCK_CNTG_HOUR", "CNTG_VOL", "ACML_VOL", "ACML_TR_PBMN")
            mine = [stage.tape.keys[key].key == "005930" for key in batch.key.tolist()] & (batch.frame < last)
            trades += zip(*(batch.columns[name][mine].tolist() for name in names), strict=True)
    return stage, trades


def second_of(row: dict[str, str]) -> int:
    text = row["stck_cntg_hour"]
    return int(text[:2]) * 3600 + int(text[2:4]) * 60 + int(text[4:])


def hhmmss(second: int) -> str:
    return f"{second // 3600:02}{second // 60 % 60:02}{second % 60:02}"


def test_a_client_can_page_back_through_the_day_by_moving_the_time() -> None:
    """Also what was withheld from the stream is there: everything is dropped."""
    stage, trades = played("drop")
    found: dict[int, tuple[int, int]] = {}
    cursor, pages = 20 * 3600, 0
    while cursor > 0:
        rows = asked(stage, "inquire-time-itemconclusion", FID_INPUT_HOUR_1=hhmmss(cursor))["output2"]
        if not rows:
            break
        assert len(rows) <= 30
        assert [second_of(row) for row in rows] == sorted((second_of(row) for row in rows), reverse=True)
        assert second_of(rows[0]) <= cursor
        found |= {int(row["acml_vol"]): (second_of(row), int(row["cnqn"])) for row in rows}
        cursor = second_of(rows[-1]) if second_of(rows[-1]) < second_of(rows[0]) else second_of(rows[0]) - 1
        pages += 1
    assert found == {volume: (second, size) for second, size, volume, _ in trades}
    assert pages > len(trades) / 30
    assert stage.delivery.tally.to_dict()["withheld"]["shares"] > max(found)


def test_of_a_second_with_more_prints_than_a_page_the_rest_cannot_be_had() -> None:
    prints = Prints()
    block = prints.room(100)
    block.rows[:100] = 0
    block.rows[:100, 1] = np.repeat([36_000, 36_001], [80, 20])
    block.volumes[:100], block.used = np.arange(100) + 1, 100
    page = prints.last(0, 36_001, 30)
    assert [each.volume for each in page] == list(range(100, 70, -1))
    before = prints.last(0, 36_000, 30)
    assert [each.volume for each in before] == list(range(80, 50, -1))
    assert prints.last(0, 35_999, 30) == prints.last(1, 36_001, 30) == []


def test_prints_are_found_across_blocks_and_only_the_newest_are_kept() -> None:
    prints = Prints()
    for number in range(130):
        block = prints.room(65_536)
        block.rows[:] = [7, 32_400 + number, 100, 1, 0, 0, 0]
        block.volumes[:], block.used = np.arange(65_536) + number * 65_536, 65_536
    across = [each.volume for each in prints.last(7, 32_400 + 129, 65_540)]
    assert across == list(range(130 * 65_536 - 1, 129 * 65_536 - 5, -1))
    assert prints.last(7, 32_400, 1) == []  # of the first block nothing is left


def test_trades_before_the_day_began_are_none() -> None:
    stage, _ = played()
    assert asked(stage, "inquire-time-itemconclusion", FID_INPUT_HOUR_1="070000")["output2"] == []


def test_minutes_and_totals_are_those_of_the_trades_so_far() -> None:
    stage, trades = played(stop_s=11 * 3600)
    rows = asked(stage, "inquire-time-itemchartprice", FID_INPUT_HOUR_1="103000", FID_PW_DATA_INCU_YN="Y")["output2"]
    assert (len(rows), rows[0]["stck_cntg_hour"], rows[-1]["stck_cntg_hour"]) == (30, "103000", "100100")
    for row in rows:
        minute = second_of(row)
        within = [size for second, size, _, _ in trades if minute <= second < minute + 60]
        so_far = [value for second, _, _, value in trades if second < minute + 60]
        assert (int(row["cntg_vol"]), int(row["acml_tr_pbmn"])) == (sum(within), so_far[-1]), row
    multi = asked(stage, "intstock-multprice", FID_COND_MRKT_DIV_CODE_1="J", FID_INPUT_ISCD_1="005930")["output"][0]
    price = asked(stage, "inquire-price")["output"]
    for reply in (multi, price):
        assert (int(reply["acml_vol"]), int(reply["acml_tr_pbmn"])) == trades[-1][2:]


def test_dated_minutes_of_today_page_by_120_and_are_the_same() -> None:
    stage, _ = played()
    dated = asked(stage, "inquire-time-dailychartprice", FID_INPUT_DATE_1=f"{DAY:%Y%m%d}", FID_INPUT_HOUR_1="140000")[
        "output2"
    ]
    now = asked(stage, "inquire-time-itemchartprice", FID_INPUT_HOUR_1="140000", FID_PW_DATA_INCU_YN="Y")["output2"]
    assert (len(dated), dated[0]["stck_cntg_hour"], dated[-1]["stck_cntg_hour"]) == (120, "140000", "120100")
    assert dated[1:30] == now[1:]
    other = {"FID_INPUT_DATE_1": "20260914", "FID_INPUT_HOUR_1": "140000"}
    assert asked(stage, "inquire-time-dailychartprice", **other)["output2"] == []
