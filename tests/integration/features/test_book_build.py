"""Features of the order book in a lake: which events they are made of, in which order, and when they are made again."""

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from book_cases import NINE, quote, run, trade
from hosu.collect.sinks import EventBatch
from hosu.errors import InputError, QueryError, TableCorruptError
from hosu.features import book_kernel as kernel
from hosu.features.book_build import build, seconds_of
from hosu.features.book_events import Series, events_of
from hosu.features.book_proof import lookahead
from hosu.features.definitions import BOOK_V1
from hosu.lake.compact import compact
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink
from hosu.market.events import EVENT_SCHEMAS

DAY, NEXT = "2025-09-15", "2025-09-16"
CLOSING = (6 * 60 + 20) * 60  # 15:20, in seconds since nine


class Feeder:
    """Puts events into the lake as the collector does, each a record of its log further on."""

    def __init__(self, lake: Lake) -> None:
        self._sink = LakeSink(lake)
        self._lsn: dict[str, int] = {}

    def quote(self, second: int, bid: float, ask: float, sizes: tuple[int, ...] = (10, 10), **more: Any) -> None:
        """Best prices and sizes; nothing beyond, but for ``more``."""
        zeros, none = [0.0] * 9, [0] * 9
        book = {"bid_prices": [bid, *zeros], "ask_prices": [ask, *zeros], "hour_code": "0"}
        self._put("quotes", second, {**book, "bid_sizes": [sizes[0], *none], "ask_sizes": [sizes[1], *none], **more})

    def trade(self, second: int, price: float, size: int, side: str | None = None, **more: Any) -> None:
        codes = {"mkop_code": "20", "hour_code": "0", "source": "ws"}
        self._put("trades", second, {"price": price, "size": size, "side": side, **codes, **more})

    def _put(self, table: str, second: int, row: dict[str, Any]) -> None:
        wal = row.get("wal_id", "w1")
        lsn = self._lsn[wal] = self._lsn.get(wal, -1) + 1
        at = (NINE + second) * 1_000_000
        known = {"date": DAY, "wal_id": wal, "lsn": lsn, "record_no": 0, "scope": "KRX", "symbol": "005930"}
        whole = {**known, "ts_event": at, "ts_recv": at + 200_000, **row}
        schema = EVENT_SCHEMAS[table]
        rows = pa.RecordBatch.from_pylist([{name: whole.get(name) for name in schema.names}], schema)
        self._sink.write(EventBatch(wal, lsn, lsn, {table: rows}, 1))

    def flush(self) -> None:
        self._sink.flush()


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def feed(lake) -> Feeder:
    return Feeder(lake)


def minute(feed: Feeder, **more: Any) -> list[list[int]]:
    """Seventy seconds of a symbol, put into the lake; as the kernel takes them."""
    chance, made = np.random.default_rng(7), []
    for second in range(0, 140, 2):
        sizes = tuple(chance.integers(1, 50, 2).tolist())
        bid, ask = 70_000 - 100 * int(chance.integers(0, 3)), 70_100.5
        feed.quote(second, bid, ask, sizes, **more)
        feed.trade(second, ask, 5, "buy" if second % 4 else "sell", **more)
        made += [quote(second, bid, ask, sizes), trade(second, ask, 5, 1 if second % 4 else -1)]
    return made


def stored(lake: Lake, columns: str = "*") -> list[dict[str, Any]]:
    with Session(lake) as session:
        return session.query(f"SELECT {columns} FROM ml_features_1s ORDER BY date, symbol, scope, ts").to_pylist()


def made_of(lake: Lake) -> list[list[float]]:
    return [[row["n"], *(row["features"] or [])] for row in stored(lake, "quotes + trades AS n, features")]


def test_the_table_has_what_the_kernel_makes_of_the_log_bit_for_bit(lake, feed):
    events = minute(feed)
    feed.flush()
    done = build(lake, [BOOK_V1])
    rows, out = run(events)

    found = stored(lake)
    assert [row["features"] for row in found] == [
        None if np.isnan(values).any() else values for values in map(np.ndarray.tolist, out)
    ]
    assert [row["ts"].timestamp() - NINE for row in found] == [*range(0, 140, 2)]
    assert [row["mid"] for row in found] == ((rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK]) / 200).tolist()
    assert {(row["quotes"], row["trades"]) for row in found} == {(1, 1)}
    fixed = {(row["symbol"], row["scope"], row["session_set"], row["feature_set"]) for row in found}
    assert fixed == {("005930", "KRX", "regular", "book_v1/2")}
    assert (done.dates, done.symbols, done.rows, done.first, done.last) == (1, 1, 70, DAY, DAY)
    assert sum(row["features"] is not None for row in found) == 40


def test_auctions_and_what_lies_beside_the_session_are_left_out(lake, feed):
    feed.quote(-1, 99, 101, hour_code="B")
    feed.quote(0, 99, 101)
    feed.quote(CLOSING - 1, 99, 101)
    feed.quote(CLOSING, 99, 101, hour_code="A")
    feed.quote(8 * 3600, 99, 101, scope="NXT")  # its after-market
    feed.quote(29, 99, 101, scope="NXT")  # it opens at 09:00:30
    feed.quote(30, 99, 101, scope="NXT")
    feed.quote(0, 99, 101, hour_code="C", symbol="000660")  # a volatility interruption
    feed.flush()
    build(lake, [BOOK_V1])
    found = [(row["symbol"], row["scope"], row["ts"].timestamp() - NINE, row["mid"]) for row in stored(lake)]
    assert found == [
        ("000660", "KRX", 0, None),
        ("005930", "KRX", 0, 100.0),
        ("005930", "KRX", CLOSING - 1, 100.0),
        ("005930", "NXT", 30, 100.0),
    ]


def test_on_a_day_that_opens_late_the_hour_before_is_left_out(lake, feed):
    exam = "2025-11-13"
    days = (date.fromisoformat(exam) - date.fromisoformat(DAY)).days * 86_400
    feed.quote(days + 3_599, 99, 101, date=exam)
    feed.quote(days + 3_600, 99, 101, date=exam)
    feed.flush()
    build(lake, [BOOK_V1])
    assert [row["ts"].timestamp() - NINE - days for row in stored(lake)] == [3_600]


def test_a_trade_that_was_asked_for_later_or_was_a_block_has_no_part_in_it(lake, feed):
    minute(feed)
    feed.flush()
    build(lake, [BOOK_V1])
    before = made_of(lake)
    feed.trade(50, 60_000, 1_000, source="rest")
    feed.trade(50, 0.0, 1_000, "sell")
    feed.flush()
    assert build(lake, [BOOK_V1]).dates == 1
    assert made_of(lake) == before

    feed.trade(140, 60_000, 1_000, "sell", mkop_code="22")
    feed.trade(140, 60_000, 1_000, "sell", mkop_code="33")  # whatever session the first digit names
    feed.flush()
    build(lake, [BOOK_V1])
    flow = BOOK_V1.features.index("flow_60")
    assert len(stored(lake)) == len(before) + 1
    assert stored(lake)[-1]["features"][flow] == 1 / 29  # of seconds 81 to 140: 15 buys and 14 sells of 5, no block


def test_five_levels_count_each_with_a_price_and_ten_do_not(lake, feed):
    prices = [100.0, 99.0, 0.0, 97.0, 96.0, 95.0, 0.0, 0.0, 0.0, 0.0]
    asks = [101.0, None, 103.0, 104.0, 105.0, 106.0, 0.0, 0.0, 0.0, 0.0]
    sizes = [1, 2, 4, 8, 16, 32, 64, 0, 0, 0]
    feed.quote(0, 0, 0, bid_prices=prices, ask_prices=asks, bid_sizes=sizes, ask_sizes=[1] * 10)
    feed.flush()
    _, rows, outputs = seconds_of(lake, DAY)
    assert outputs[0, kernel.IMBALANCE_5] == (27 - 4) / (27 + 4)
    assert outputs[0, kernel.IMBALANCE_1] == 0.0
    assert rows[0, [kernel.ROW_BID, kernel.ROW_ASK]].tolist() == [10_000, 10_100]


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e300, -5.0])
def test_a_price_that_is_none_makes_a_book_without_two_sides(lake, feed, price):
    feed.quote(0, price, 101)
    feed.trade(1, price, 5)
    feed.flush()
    build(lake, [BOOK_V1])
    assert [(row["mid"], row["features"], row["trades"]) for row in stored(lake)] == [(None, None, 0)]


def test_two_logs_are_merged_by_receipt_and_no_logs_own_order_breaks(lake, feed):
    at = (NINE + 5) * 1_000_000
    feed.quote(5, 99, 101, wal_id="a", ts_recv=at + 10)
    feed.quote(5, 98, 101, wal_id="a", ts_recv=at + 3)  # the machine's clock was set back
    feed.quote(5, 97, 101, wal_id="b", ts_recv=at + 7)
    feed.quote(5, 96, 101, wal_id="b", ts_recv=at + 20)
    feed.quote(5, 95, 101, wal_id="a", ts_recv=at + 30)
    feed.flush()
    _, rows, _ = seconds_of(lake, DAY)
    assert rows[:, kernel.ROW_BID].tolist() == [9_500]
    for until, bid in ((8, 9_700), (11, 9_800), (21, 9_600)):  # b's first, then both of a, then b's second
        _, rows, _ = seconds_of(lake, DAY, until_us=at + until)
        assert rows[:, kernel.ROW_BID].tolist() == [bid]


def test_only_a_date_that_changed_is_made_again_and_replaced_as_a_whole(lake, feed):
    minute(feed)
    minute(feed, date=NEXT)  # events of a day before its date: no session of it, so no row
    feed.flush()
    assert build(lake, [BOOK_V1]).dates == 2
    assert build(lake, [BOOK_V1]).dates == 0
    compact(lake, ["trades", "quotes"])
    version = lake.table("ml_features_1s").version
    assert build(lake, [BOOK_V1]).dates == 0
    assert lake.table("ml_features_1s").version == version

    feed.quote(200, 99, 101)
    feed.flush()
    done = build(lake, [BOOK_V1])
    assert (done.first, done.last, done.rows) == (DAY, DAY, 71)
    assert {(row["date"], row["revision"]) for row in stored(lake)} == {(DAY, 2)}
    assert build(lake, [BOOK_V1], everything=True).dates == 2


def test_formulas_of_another_version_make_every_date_anew(lake, feed, monkeypatch):
    minute(feed)
    feed.flush()
    build(lake, [BOOK_V1])
    monkeypatch.setattr(kernel, "VERSION", 9)
    assert build(lake, [BOOK_V1]).dates == 1
    assert {row["feature_set"] for row in stored(lake)} == {"book_v1/9"}


def test_a_damaged_file_is_named_and_the_features_stay_as_they_were(lake, feed):
    minute(feed)
    feed.flush()
    build(lake, [BOOK_V1])
    before = made_of(lake)
    table = lake.table("quotes")
    victim = Path(lake.root) / table.path(table.files()[0])
    whole = victim.read_bytes()
    victim.write_bytes(whole[:4] + b"\0" * (len(whole) - 8) + whole[-4:])
    feed.quote(200, 99, 101)
    feed.flush()

    with pytest.raises((QueryError, TableCorruptError), match=victim.name):
        build(lake, [BOOK_V1])
    victim.write_bytes(whole)
    assert made_of(lake) == before
    assert build(lake, [BOOK_V1]).rows == 71


def test_without_quotes_there_is_nothing_to_build_and_it_says_so(lake, feed):
    feed.trade(0, 100, 1)
    feed.flush()
    for run_ in (build, lookahead):
        with pytest.raises(InputError, match="order books: are not in this lake; collect a day"):
            run_(lake, [BOOK_V1])


@pytest.mark.slow
def test_nothing_looks_ahead_and_what_would_is_found(lake, feed):
    minute(feed)
    minute(feed, symbol="000660")
    feed.flush()
    honest = lookahead(lake, [BOOK_V1], cuts=6)
    assert honest.passes
    assert len(honest.cuts) == 6
    assert honest.compared > 6 * 8 * 10

    def peeking(*words: Any, **how: Any) -> Any:
        names, rows, outputs = seconds_of(*words, **how)
        outputs[:-2, kernel.IMBALANCE_1] = outputs[2:, kernel.IMBALANCE_1].copy()
        return names, rows, outputs

    found = lookahead(lake, [BOOK_V1], cuts=6, seconds=peeking)
    assert not found.passes
    assert set(found.differing) == {"book_v1.imbalance_1"}
    assert {each.symbol for each in found.examples} <= {"000660", "005930"}


def test_a_second_that_the_past_did_not_have_is_found(lake, feed):
    minute(feed)
    feed.flush()

    def thinned(*words: Any, until_us: int | None = None, **how: Any) -> Any:
        names, rows, outputs = seconds_of(*words, until_us=until_us, **how)
        return (names, rows, outputs) if until_us is not None else (names, rows[1:], outputs[1:])

    assert set(lookahead(lake, [BOOK_V1], cuts=3, seconds=thinned).differing) == {"seconds"}


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), float("-inf"), 1e300, -5.0])
def test_what_is_no_price_is_no_side_of_a_book_and_no_trade(lake: Lake, feed: Feeder, odd: float) -> None:
    feed.quote(0, 70_000.0, 70_100.0)
    feed.trade(1, odd, 5, "buy")
    feed.quote(2, odd, 70_100.0)
    feed.trade(3, 70_100.0, 5, "buy", cum_volume=5)
    feed.flush()
    (found,) = events_of(lake, DAY, Series())
    assert found[:, 4:6].tolist() == [[7_000_000, 7_010_000], [0, 7_010_000], [7_010_000, 5]]


def test_what_names_no_symbol_is_left_out(lake: Lake, feed: Feeder) -> None:
    feed.quote(0, 70_000.0, 70_100.0, symbol=None)
    feed.quote(0, 70_000.0, 70_100.0, scope=None)
    feed.quote(1, 70_000.0, 70_100.0)
    feed.trade(1, 70_100.0, 5, symbol=None)
    feed.flush()
    assert [len(part) for part in events_of(lake, DAY, Series())] == [1]
