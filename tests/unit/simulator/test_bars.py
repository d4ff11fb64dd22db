"""Minute bars become trades that add up to them."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hosu.errors import InputError
from hosu.kis.codec import parse
from hosu.kis.simulator.bars import Bars, BarsConfig

DAY = date(2025, 9, 15)
NAMES = ("code", "time", "open", "high", "low", "close", "volume", "amount")


def write(folder: Path, rows: list[tuple], day: date = DAY, **replaced: pa.Array) -> Path:
    columns = dict(zip(NAMES, map(list, zip(*rows, strict=True)), strict=True))
    table = pa.table({"date": pa.array([day] * len(rows), pa.date32()), **columns, **replaced})
    path = folder / "bars.parquet"
    pq.write_table(table, path)
    return path


def play(config: BarsConfig) -> tuple[dict[str, list[int]], list[dict[str, object]]]:
    bars = Bars(config)
    found: dict[str, list[int]] = {}
    for burst in bars:
        parsed = parse(burst.frames.data, burst.frames.start, burst.frames.end)
        assert not parsed.rejects
        for records in parsed.records:
            if records.layout.event == "trades":
                for name, values in records.columns.items():
                    found.setdefault(name, []).extend(values.tolist())
    return found, bars.impossible_bars()


# code, time, open, high, low, close, volume, amount
POSSIBLE = [
    ("000010", 90000, 100, 100, 100, 100, 1, 100),
    ("000010", 90100, 100, 103, 99, 101, 4, 403),
    ("000010", 90200, 101, 103, 99, 101, 500, 50777),
    ("000010", 90300, 72000, 72500, 71900, 72400, 2027, 146_543_250),
    ("000010", 90400, 5010, 5020, 5000, 5000, 12345, 61_800_005),
    ("000010", 90500, 10, 10, 10, 10, 999_999, 9_999_990),
    ("000010", 90600, 100, 101, 100, 101, 2, 201),
    ("000010", 153000, 101, 101, 101, 101, 77, 7777),
]


@pytest.mark.parametrize("bar", POSSIBLE, ids=[str(bar[1]) for bar in POSSIBLE])
@pytest.mark.parametrize("prints", [1, 8, 40])
def test_open_high_low_close_volume_and_value_are_the_bars(tmp_path: Path, bar: tuple, prints: int) -> None:
    trades, impossible = play(BarsConfig(write(tmp_path, [bar]), DAY, prints=prints))
    price, size = np.array(trades["STCK_PRPR"]), np.array(trades["CNTG_VOL"])
    assert (price[0], price.max(), price.min(), price[-1]) == tuple(100 * each for each in bar[2:6])
    assert (int(size.sum()), int((price * size).sum()) // 100) == bar[6:]
    assert size.min() >= 1
    assert impossible == []
    assert (trades["ACML_VOL"][-1], trades["ACML_TR_PBMN"][-1]) == bar[6:]


def test_trades_stay_in_their_minute_and_the_closing_auction_at_its_second(tmp_path: Path) -> None:
    trades, _ = play(BarsConfig(write(tmp_path, POSSIBLE), DAY))
    times = np.array(trades["STCK_CNTG_HOUR"])
    assert (np.diff(times) >= 0).all()
    minutes = {time // 60 for time in times.tolist()}
    assert minutes == {540, 541, 542, 543, 544, 545, 546, 930}
    assert set(times[times >= 930 * 60]) == {930 * 60}


def test_auctions_have_no_side(tmp_path: Path) -> None:
    trades, _ = play(BarsConfig(write(tmp_path, POSSIBLE), DAY))
    sides = np.array(trades["CCLD_DVSN"])
    assert (sides[0], set(sides[np.array(trades["STCK_CNTG_HOUR"]) == 55800])) == (ord("3"), {ord("3")})
    assert set(sides[1:5]) <= {ord("1"), ord("5")}


@pytest.mark.parametrize(
    ("bar", "reason"),
    [
        (("000010", 90100, 100, 103, 99, 101, 10, 989), "value below low x volume"),
        (("000010", 90100, 100, 103, 99, 101, 10, 1031), "value above high x volume"),
        (("000010", 90100, 100, 100, 100, 100, 10, 1001), "value above high x volume"),
        (("000010", 90100, 100, 103, 99, 101, 3, 300), "fewer shares than open, high, low and close need"),
        (("000010", 90100, 100, 103, 99, 101, 1, 100), "fewer shares than open, high, low and close need"),
        (
            ("000010", 90100, 100, 103, 99, 101, 5, 507),
            "the shares left beside open, high, low and close cannot make the value",
        ),
        (
            ("000010", 90100, 100, 103, 99, 101, 4, 404),
            "the shares left beside open, high, low and close cannot make the value",
        ),
        (("000010", 90100, 100, 100, 100, 100, 0, 500), "value without volume"),
    ],
)
def test_a_bar_that_no_trades_can_make_is_listed(tmp_path: Path, bar: tuple, reason: str) -> None:
    trades, impossible = play(BarsConfig(write(tmp_path, [bar]), DAY))
    assert impossible == [{"date": "2025-09-15", "symbol": "000010", "minute": "09:01", "reason": reason}]
    assert sum(trades.get("CNTG_VOL", [])) == bar[6]
    assert all(bar[4] * 100 <= price <= bar[3] * 100 for price in trades.get("STCK_PRPR", []))


def test_only_the_symbols_asked_for_are_played(tmp_path: Path) -> None:
    rows = [(code, 90000, 100, 100, 100, 100, 1, 100) for code in ("000010", "000020", "000030")]
    bars = Bars(BarsConfig(write(tmp_path, rows), DAY, symbols=("000030", "000010")))
    assert list(bars.instruments) == ["000010", "000030"]


def test_the_base_price_is_the_last_close_that_the_file_has_of_days_before(tmp_path: Path) -> None:
    rows = [
        ("000010", 90000, 100, 100, 100, 100, 1, 100),
        ("000010", 153000, 110, 110, 110, 110, 1, 110),
        ("000010", 90000, 120, 120, 120, 120, 1, 120),  # today's, and the first of the other
        ("000020", 90000, 200, 200, 200, 200, 1, 200),
        ("000010", 90000, 900, 900, 900, 900, 1, 900),  # tomorrow's
    ]
    days = [date(2025, 9, 12), date(2025, 9, 12), DAY, DAY, date(2025, 9, 16)]
    bars = Bars(BarsConfig(write(tmp_path, rows, date=pa.array(days, pa.date32())), DAY))
    assert {code: each.base_price for code, each in bars.instruments.items()} == {"000010": 110, "000020": 200}


def test_books_are_played_around_the_trades_where_asked_for(tmp_path: Path) -> None:
    bars = Bars(BarsConfig(write(tmp_path, POSSIBLE[1:3]), DAY, books=True))
    records = {"trades": 0, "quotes": 0}
    for burst in bars:
        for batch in burst.batches:
            records[batch.layout.event] += len(batch.key)
            if batch.layout.event == "quotes":
                assert (batch.columns["ASKP1"] > batch.columns["BIDP1"]).all()
    assert records["trades"] == records["quotes"] > 0


def test_the_same_seed_gives_the_same_trades(tmp_path: Path) -> None:
    path = write(tmp_path, POSSIBLE)
    assert play(BarsConfig(path, DAY, seed=3)) == play(BarsConfig(path, DAY, seed=3))
    assert play(BarsConfig(path, DAY, seed=3)) != play(BarsConfig(path, DAY, seed=4))


GOOD = ("000010", 90000, 100, 110, 90, 105, 10, 1000)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("000010", 90000, 100, 110, 101, 105, 10, 1000)], "not in order"),
        ([("000010", 90000, 100, 99, 90, 95, 10, 1000)], "not in order"),
        ([("000010", 90000, 0, 0, 0, 0, 10, 0)], "not positive"),
        ([("000010", 90000, 100, 110, 90, 105, -1, 1000)], "negative"),
        ([("000010", 90030, 100, 110, 90, 105, 1, 100)], "HHMM00"),
        ([("000010", 96000, 100, 110, 90, 105, 1, 100)], "HHMM00"),
        ([GOOD, GOOD], "comes twice"),
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(tmp_path: Path, rows: list[tuple], said: str) -> None:
    with pytest.raises(InputError, match=said):
        Bars(BarsConfig(write(tmp_path, rows), DAY))


def test_a_file_without_the_columns_the_day_or_the_symbol_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD])
    with pytest.raises(InputError, match="no bars of 2025-09-16"):
        Bars(BarsConfig(path, date(2025, 9, 16)))
    with pytest.raises(InputError, match="no bars of 000020"):
        Bars(BarsConfig(path, DAY, symbols=("000010", "000020")))
    pq.write_table(pq.read_table(path).drop_columns(["amount", "high"]), path)
    with pytest.raises(InputError, match="has no column high, amount"):
        Bars(BarsConfig(path, DAY))


def test_a_file_that_is_missing_or_no_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        Bars(BarsConfig(tmp_path / "none.parquet", DAY))
    (tmp_path / "text.parquet").write_text("date,code")
    with pytest.raises(InputError, match="cannot be read"):
        Bars(BarsConfig(tmp_path / "text.parquet", DAY))


def test_numbers_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [GOOD], open=pa.array([100.5]))
    with pytest.raises(InputError, match="column open is double"):
        Bars(BarsConfig(path, DAY))
