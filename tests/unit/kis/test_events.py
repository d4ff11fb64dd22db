"""Records as rows of the market's tables. All frames here are made by hand."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from hosu.errors import FrameError
from hosu.kis.codec import Envelope, Records, join, parse, to_events
from hosu.kis.layouts import LAYOUTS
from hosu.market.events import EVENT_SCHEMAS, in_memory

TRADE = (
    "005930^093354^71900.5^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700^5105^6937^1832^84.90"
    "^1366314^1159996^{side}^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20230612^20^{halted}^65945^216924^1118750"
    "^2199206^0.05^2424142^125.92^0^^72100"
)
BOOK = "^".join(
    [
        "005930", "093730", "0",
        *(str(71900 + 100 * i) for i in range(10)), *(str(71800 - 100 * i) for i in range(9)), "",
        *(str(10 + i) for i in range(10)), *(str(20 + i) for i in range(10)),
        "145", "245", "1", "2", "0", "0", "525579", "-72000", "5", "-100.00", "3159115", "0", "8", "0", "0", "0",
    ]
)  # fmt: skip


def rows(*frames, dates=20230612):
    parsed = parse(*join([frame.encode() for frame in frames]))
    assert parsed.rejects == []
    (records,) = parsed.records
    n = len(frames)
    days = np.broadcast_to(np.int32(dates), len(records)).copy()
    envelope = Envelope("shard-1", np.arange(100, 100 + n), np.arange(n) * 1_000_000, days)
    event, batch = to_events(records, envelope)
    batch.validate(full=True)
    assert batch.schema == in_memory(EVENT_SCHEMAS[event])
    return event, batch.to_pylist()


def test_a_trade_fills_every_column_of_its_row():
    event, (row,) = rows("0|H0STCNT0|001|" + TRADE.format(side=1, halted="N") + "^2^new")
    assert event == "trades"
    assert row == {
        "date": "2023-06-12",
        "wal_id": "shard-1",
        "lsn": 100,
        "record_no": 0,
        "ts_event": datetime(2023, 6, 12, 0, 33, 54, tzinfo=UTC),
        "ts_recv": datetime(1970, 1, 1, tzinfo=UTC),
        "scope": "KRX",
        "symbol": "005930",
        "price": 71900.5,
        "size": 1,
        "side": "buy",
        "cum_volume": 3052507,
        "cum_value": 219853241700,
        "buy_count": 6937,
        "sell_count": 5105,
        "ask1": 71900.0,
        "bid1": 71800.0,
        "ask1_size": 65945,
        "bid1_size": 216924,
        "mkop_code": "20",
        "hour_code": "0",
        "end_code": None,
        "market_code": "2",
        "halted": False,
        "vi_price": 72100.0,
        "tail": "new",
        "source": "ws",
    }


def test_codes_become_words_where_the_market_has_them():
    sides = ["1", "3", "5", "7", ""]
    halted = ["N", "Y", "", "?", "N"]
    frames = ["0|H0UNCNT0|001|" + TRADE.format(side=s, halted=h) for s, h in zip(sides, halted, strict=True)]
    _, found = rows(*frames)
    assert [row["side"] for row in found] == ["buy", "pre_open", "sell", "7", None]
    assert [row["halted"] for row in found] == [False, True, None, None, False]
    assert {row["scope"] for row in found} == {"UN"}


def test_rows_keep_the_order_of_frames_and_say_where_they_came_from():
    record = TRADE.format(side=1, halted="N")
    _, found = rows(f"0|H0STCNT0|002|{record}^{record}", f"0|H0STCNT0|001|{record}")
    assert [(row["lsn"], row["record_no"], row["ts_recv"].second) for row in found] == [
        (100, 0, 0),
        (100, 1, 0),
        (101, 0, 1),
    ]


def test_a_book_has_ten_levels_a_side_best_first_and_empty_ones_are_null():
    event, (row, _) = rows(f"0|H0STASP0|001|{BOOK}", f"0|H0STASP0|001|{BOOK}")
    assert event == "quotes"
    assert row["ask_prices"] == [71900.0 + 100 * i for i in range(10)]
    assert row["bid_prices"] == [71800.0 - 100 * i for i in range(9)] + [None]
    assert row["ask_sizes"] == list(range(10, 20))
    assert row["bid_sizes"] == list(range(20, 30))
    assert (row["ask_total"], row["bid_total"]) == (145, 245)
    assert (row["after_hours_ask_total"], row["after_hours_bid_total"]) == (1, 2)
    assert (row["expected_price"], row["expected_volume"], row["cum_volume"]) == (0.0, 525579, 3159115)
    assert (row["mid_price"], row["mid_size"], row["mid_side"], row["market_code"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("tr_id", "more", "mid"),
    [
        ("H0STASP0", "71850^7^1^2", (71850.0, 7, "1", "2")),
        ("H0NXASP0", "71850.5^7^2", (71850.5, 7, "2", None)),
        ("H0UNASP0", "71850^7^1^71860^8^2^1", (71850.0, 7, "1", None)),
    ],
)
def test_the_mid_price_of_a_book_is_found_in_every_scope(tr_id, more, mid):
    """Widths 63, 62 and 66; the first was never recorded."""
    _, (row,) = rows(f"0|{tr_id}|001|{BOOK}^{more}")
    assert (row["mid_price"], row["mid_size"], row["mid_side"], row["market_code"]) == mid
    assert row["tail"] is None


def test_an_unknown_date_leaves_date_and_time_null_and_the_rest_as_it_is():
    _, (row,) = rows(f"0|H0STASP0|001|{BOOK}", dates=-1)
    assert (row["date"], row["ts_event"], row["symbol"]) == (None, None, "005930")


def test_records_of_two_days_get_their_own_dates():
    _, found = rows(*[f"0|H0STASP0|001|{BOOK}"] * 3, dates=[20240229, -1, 20240301])
    assert [row["date"] for row in found] == ["2024-02-29", None, "2024-03-01"]
    assert [row["ts_event"] and row["ts_event"].day for row in found] == [29, None, 1]


def test_an_expected_match_has_its_reference_price():
    trade = TRADE.format(side=1, halted="N")
    event, (row,) = rows(f"0|H0STANC0|001|{trade}")
    assert event == "expected"
    assert (row["price"], row["cum_volume"], row["reference_price"]) == (71900.5, 3052507, 72100.0)
    _, (short,) = rows(f"0|H0STANC0|001|{trade.rsplit('^', 1)[0]}")
    assert short["reference_price"] is None


def test_market_operation_keeps_its_reason_and_has_no_time_of_its_own():
    event, found = rows(
        "0|H0STMKO0|001|396300^Y^주요내용 공시^174^112^1^11^55^Y^N^1", "0|H0STMKO0|001|005930^N^(null)^^^^^^^^"
    )
    assert event == "market_events"
    assert [row["halt_reason"] for row in found] == ["주요내용 공시", None]
    assert [row["halted"] for row in found] == [True, False]
    assert (found[0]["mkop_code"], found[0]["vi_code"], found[0]["exchange_code"]) == ("174", "Y", "1")
    assert "ts_event" not in found[0]


def test_many_symbols_are_told_apart():
    symbols = [f"{i:06d}" for i in range(300)]
    frames = ["0|H0STCNT0|001|" + TRADE.format(side=1, halted="N").replace("005930", s) for s in symbols]
    _, found = rows(*frames)
    assert [row["symbol"] for row in found] == symbols


def test_a_tr_without_a_table_is_refused():
    none = np.empty(0, np.int64)
    records = Records(LAYOUTS["H0STNAV0"][0], 8, none, none.astype(np.int32), {}, None, {})
    with pytest.raises(FrameError, match="no table takes H0STNAV0@2022-01-01"):
        to_events(records, Envelope("w", none, none, none.astype(np.int32)))


def test_strings_travel_dictionary_encoded():
    parsed = parse(*join([("0|H0STCNT0|001|" + TRADE.format(side=1, halted="N")).encode()]))
    _, batch = to_events(
        parsed.records[0], Envelope("w", np.zeros(1, np.int64), np.zeros(1, np.int64), np.array([-1], np.int32))
    )
    assert batch.schema.field("symbol").type == pa.dictionary(pa.int32(), pa.string())
