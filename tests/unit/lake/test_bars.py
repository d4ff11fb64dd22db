"""Bars from a few trades, every number written out."""

from typing import Any

import pyarrow as pa
import pytest

from hosu.lake.ohlcv import SECOND_US, Bars
from hosu.market.events import TIMESTAMP

DATE = "2025-09-15"
NINE = 1_757_894_400_000_000  # 09:00 in Seoul
SECOND = 1_000_000
CLOSE = NINE + (6 * 3600 + 30 * 60) * SECOND  # 15:30


def trades(*rows: tuple[Any, ...], symbol: str = "005930", scope: str = "KRX") -> pa.RecordBatch:
    """Rows of (microseconds since 09:00, cum_volume, price, size)."""
    return pa.RecordBatch.from_pydict(
        {
            "symbol": pa.array([symbol] * len(rows)),
            "scope": pa.array([scope] * len(rows)),
            "cum_volume": pa.array([row[1] for row in rows], pa.int64()),
            "price": pa.array([row[2] for row in rows], pa.float64()),
            "size": pa.array([row[3] for row in rows], pa.int64()),
            "ts_event": pa.array([NINE + round(row[0] * SECOND) for row in rows], TIMESTAMP),
        }
    )


def built(*batches: pa.RecordBatch, date: str = DATE, **how: int) -> Bars:
    bars = Bars(date, **how)
    assert bars.add_all(batches)
    return bars


def minutes(bars: Bars, *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in columns) for row in bars.intervals(1).to_pylist()]


def test_a_minute_has_open_high_low_close_volume_value_vwap_and_count() -> None:
    bars = built(trades((0, 10, 70_000.0, 10), (5, 30, 70_200.0, 20), (59, 40, 69_900.0, 10), (60, 45, 70_000.5, 5)))

    assert minutes(bars, "open", "high", "low", "close", "volume", "value", "vwap", "data_points") == [
        (70_000.0, 70_200.0, 69_900.0, 69_900.0, 40, 2_803_000.0, 70_075.0, 3),
        (70_000.5, 70_000.5, 70_000.5, 70_000.5, 5, 350_002.5, 70_000.5, 1),
    ]
    day = bars.days(7).to_pylist()[0]
    assert (day["open"], day["high"], day["low"], day["close"]) == (70_000.0, 70_200.0, 69_900.0, 70_000.5)
    assert (day["volume"], day["value"], day["data_points"]) == (45, 3_153_002.5, 4)
    assert (day["symbol"], day["scope"], day["session_set"], day["source"]) == ("005930", "KRX", "regular", "trades")
    assert day["revision"] == 7
    assert day["ts"].isoformat() == "2025-09-14T15:00:00+00:00"  # midnight in Seoul


def test_a_trade_received_twice_counts_once() -> None:
    bars = built(trades((0, 10, 100.0, 10), (0, 10, 100.0, 10)), trades((0, 10, 100.0, 10), (1, 11, 100.0, 1)))

    assert minutes(bars, "volume", "data_points") == [(11, 2)]
    assert (bars.trades, bars.duplicates) == (2, 2)


def test_the_closing_auction_lies_in_the_minute_of_the_close_and_in_the_regular_session() -> None:
    late = 6 * 3600 + 30 * 60
    bars = built(trades((late - 601, 10, 100.0, 10), (late + 29, 30, 101.0, 20)))

    rows = bars.intervals(1).to_pylist()
    assert [row["ts"].timestamp() * SECOND for row in rows] == [CLOSE - 660 * SECOND, CLOSE]
    assert {row["session_set"] for row in rows} == {"regular"}
    assert bars.days(1).to_pylist()[0]["close"] == 101.0


def test_a_day_says_whether_its_last_trade_lies_in_the_closing_auction_of_krx() -> None:
    late = 6 * 3600 + 30 * 60
    bars = built(
        trades((0, 10, 100.0, 10), (late + 5, 20, 101.0, 10), (late + 700, 30, 101.0, 10), symbol="A"),
        trades((0, 10, 100.0, 10), (late + 5, 20, 101.0, 10), symbol="A", scope="UN"),
        trades((0, 10, 100.0, 10), (late - 601, 20, 101.0, 10), symbol="B"),
    )

    days = [(row["symbol"], row["scope"], row["session_set"], row["source"]) for row in bars.days(1).to_pylist()]
    assert days == [
        ("A", "KRX", "regular", "trades:closed"),
        ("A", "KRX", "after_close", "trades"),
        ("A", "UN", "regular", "trades"),
        ("B", "KRX", "regular", "trades"),
    ]
    assert {row["source"] for row in bars.intervals(1).to_pylist()} == {"trades"}


def test_sessions_are_bars_of_their_own() -> None:
    bars = built(trades((-3600, 10, 99.0, 10), (30, 20, 100.0, 10), (7 * 3600, 30, 102.0, 10), scope="NXT", symbol="A"))
    days = [(row["session_set"], row["close"], row["volume"]) for row in bars.days(1).to_pylist()]
    assert days == [("pre_market", 99.0, 10), ("regular", 100.0, 10), ("after_market", 102.0, 10)]


def test_a_minute_in_which_one_session_ends_and_another_begins_has_two_bars() -> None:
    # NXT opens at 09:00:30.
    bars = built(trades((29, 10, 99.0, 10), (30, 20, 100.0, 10), (45, 25, 101.0, 5), scope="NXT"))
    assert minutes(bars, "session_set", "volume") == [("pre_market", 10), ("regular", 15)]


def test_series_of_different_scopes_are_never_mixed() -> None:
    bars = built(
        trades((0, 10, 100.0, 10), symbol="A"),
        trades((0, 10, 100.0, 10), (0, 15, 101.0, 5), symbol="A", scope="UN"),
        trades((0, 7, 50.0, 7), symbol="B"),
    )
    assert minutes(bars, "symbol", "scope", "volume") == [("A", "KRX", 10), ("A", "UN", 15), ("B", "KRX", 7)]


def test_a_time_that_steps_back_goes_to_the_minute_it_names() -> None:
    bars = built(trades((125, 1, 100.0, 1), (130, 2, 110.0, 1), (65, 3, 90.0, 1), (131, 4, 120.0, 1), (5, 5, 80.0, 1)))

    assert minutes(bars, "open", "close", "volume") == [(80.0, 80.0, 1), (90.0, 90.0, 1), (100.0, 120.0, 3)]
    assert bars.days(1).to_pylist()[0]["close"] == 80.0  # the last by cumulative volume


def test_a_day_without_a_session_is_not_classified() -> None:
    sunday = built(trades((0, 1, 100.0, 1)), date="2025-09-14")
    assert sunday.days(1).column("session_set").to_pylist() == ["unclassified"]


def test_trades_without_price_size_or_cumulative_volume_are_counted_and_left_out() -> None:
    bars = built(trades((0, 1, 100.0, 1), (0, None, 100.0, 1), (0, 2, None, 1), (0, 3, 100.0, None)))
    assert (bars.trades, bars.incomplete) == (1, 3)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 1e300, 1e15, 1e-9, 0.0, -5.0])
def test_a_trade_whose_price_is_none_is_incomplete_and_leaves_its_bar_alone(odd: float) -> None:
    bars = built(trades((0, 1, 100.0, 1), (1, 2, odd, 1), (2, 3, 101.0, 1)))
    assert (bars.trades, bars.incomplete) == (2, 1)
    assert minutes(bars, "open", "high", "low", "close", "volume") == [(100.0, 101.0, 100.0, 101.0, 2)]


def test_trades_out_of_order_are_noticed() -> None:
    bars = Bars(DATE)
    assert not bars.add_all([trades((0, 5, 100.0, 1), (0, 4, 100.0, 1))])
    again = Bars(DATE)
    parts = [trades((0, 1, 1.0, 1), symbol="A"), trades((0, 1, 1.0, 1), symbol="B"), trades((0, 2, 1.0, 1), symbol="A")]
    assert not again.add_all(parts)


def test_a_second_with_trades_has_a_bar_and_one_without_has_none() -> None:
    rows = ((0, 10, 100.0, 10), (0, 15, 102.0, 5), (0.999999, 16, 101.0, 1), (1, 18, 99.0, 2), (61, 20, 98.0, 2))
    bars = built(trades(*rows), interval_us=SECOND_US)

    made = bars.intervals(1).to_pylist()
    assert [round(row["ts"].timestamp()) - NINE // SECOND for row in made] == [0, 1, 61]
    assert minutes(bars, "open", "high", "low", "close", "volume", "value", "data_points") == [
        (100.0, 102.0, 100.0, 101.0, 16, 1_611.0, 3),
        (99.0, 99.0, 99.0, 99.0, 2, 198.0, 1),
        (98.0, 98.0, 98.0, 98.0, 2, 196.0, 1),
    ]
    assert bars.days(1).to_pylist() == built(trades(*rows)).days(1).to_pylist()


def test_a_second_in_which_one_session_ends_has_its_trades_in_that_session() -> None:
    bars = built(trades((29, 10, 99.0, 10), (30, 20, 100.0, 10), scope="NXT"), interval_us=SECOND_US)
    assert minutes(bars, "session_set", "volume") == [("pre_market", 10), ("regular", 10)]


def test_no_trades_make_no_bars() -> None:
    bars = built()
    assert bars.intervals(1).num_rows == 0
    assert bars.days(1).num_rows == 0


@pytest.mark.parametrize("price", [0.01, 70_000.5, 1_234_567.89])
def test_prices_survive_the_way_through_hundredths(price: float) -> None:
    assert minutes(built(trades((0, 1, price, 1))), "open", "value") == [(price, price)]
