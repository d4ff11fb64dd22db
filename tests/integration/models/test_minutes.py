"""Minutes from the close to the outcome: predicted live, scored by the bars that were built afterwards."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from hosu.clock import SimulatedClock
from hosu.features.definitions import FeatureSet
from hosu.features.label_parts import LATENCY_US
from hosu.features.served import Closed
from hosu.lake.derived import replace_dates
from hosu.lake.parquet import encode, sorted_name
from hosu.lake.sql import Session
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.matured import matured, settled_blocks
from hosu.models.registry import Registry
from hosu.models.scoring import score
from hosu.models.seats import Seats
from model_cases import NAMES

MINUTE = 60_000_000
DAY = "2025-12-01"
NINE = instant_us(dt.date(2025, 12, 1), 9 * 3_600)
LETTERS = FeatureSet("letters_v1", NAMES, 1, "none", "tests", lambda outputs, close: outputs[:, :3].copy())
SYMBOLS = ("000660", "005930")
BARS = 90


def price(symbol, minute):
    """Won: a zigzag with a drift, another one for each symbol; on the grid of 100 won."""
    return 50_000.0 + 100 * (minute % 5) + 100 * (minute // 7) * (1 if symbol == "005930" else -1)


def put(lake, bars=BARS, alone=()):
    """Bars of both symbols for so many minutes, and of the first one also of the minutes ``alone``."""
    schema = TABLES["processed_ohlcv_1m"].file_schema
    keys = [(symbol, minute) for symbol in SYMBOLS for minute in [*range(bars), *(alone if symbol == "000660" else ())]]
    close = [price(*key) for key in keys]
    opened = [price(*key) + 100 for key in keys]
    columns = {
        "symbol": [symbol for symbol, _ in keys],
        "scope": ["KRX"] * len(keys),
        "session_set": ["regular"] * len(keys),
        "ts": pa.array([NINE + minute * MINUTE for _, minute in keys], pa.timestamp("us", "UTC")),
        "close": close,
        "vwap": close,
        "low": close,
        "open": opened,
        "high": opened,
        "volume": [10] * len(keys),
        "value": [5e5] * len(keys),
        "data_points": [3] * len(keys),
        "source": ["trades"] * len(keys),
        "revision": [1] * len(keys),
    }
    rows = pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)
    replace_dates(lake, "processed_ohlcv_1m", {DAY: rows}.items())


def close_of(minute, wal_id="log", symbols=SYMBOLS):
    return Closed(
        wal_id=wal_id,
        lsn=minute,
        date=DAY,
        began="new",
        again=False,
        names=symbols,
        code=np.arange(2),
        ts=np.full(2, NINE + minute * MINUTE),
        close=np.array([int(price(symbol, minute) * 100) for symbol in symbols]),
        volume=np.ones(2, np.int64),
        traded=np.ones(2, bool),
        polled=np.zeros(2, bool),
        outputs=np.zeros((2, 13)),
    )


def predicted(lake, minute, wal_id="log", symbols=SYMBOLS, late=0):
    """What ``minute-10`` says at the close of a minute, or so many minutes later."""
    clock = SimulatedClock(start_us=NINE + (minute + 1 + late) * MINUTE)
    seats = Seats(lake, Registry(lake, clock), ("minute-10",), LETTERS)
    Live(seats, LiveJournal(lake), LETTERS, clock=clock).take(close_of(minute, wal_id, symbols))


def asked(lake, sql):
    with Session(lake) as session:
        return [tuple(row.values()) for row in session.query(sql).to_pylist()]


def test_ten_minutes_later_the_outcome_is_what_the_next_trades_were_worth(lake):
    for minute in (40, 45, 50, 85):
        predicted(lake, minute)
    put(lake)
    done = score(lake, "minute")
    assert (done.scored, done.labelled, done.waiting) == (6, 6, 2)
    with Session(lake) as session:
        told = session.query("SELECT symbol, ret_px, ret_ex, epoch_us(ts) AS ts FROM outcomes ORDER BY ALL").to_pylist()
    for row in told:
        minute = (row["ts"] - NINE) // MINUTE
        now, later, symbol = minute, minute + 10, row["symbol"]
        # Known at the close of this bar; entered at the open of the next, left at the open behind the tenth.
        assert row["ret_px"] == pytest.approx(price(symbol, later) / price(symbol, now) - 1)
        assert row["ret_ex"] == pytest.approx((price(symbol, later + 1) + 100) / (price(symbol, now + 1) + 100) - 1)
    # 09:41 leaves at 09:51 and a second; what was decided at 09:46 and 09:51 overlaps with it.
    settled = settled_blocks(lake, "minute-10", min_symbols=2)
    assert settled.t.tolist() == [NINE + 41 * MINUTE]


def test_a_minute_without_a_bar_waits_while_the_day_is_being_built_and_then_ends_with_the_reason(lake):
    predicted(lake, 40, symbols=("035720", "005930"))
    put(lake, 50)  # to 09:50, and the horizon ends at 09:51
    assert (score(lake, "minute").scored, score(lake, "minute").waiting) == (0, 2)
    put(lake, 53)  # beyond the horizon, yet less than a silence: only what has a bar
    assert (score(lake, "minute").scored, score(lake, "minute").waiting) == (1, 1)
    put(lake, 54)
    done = score(lake, "minute")
    assert (done.scored, done.labelled, done.waiting) == (1, 0, 0)
    told = asked(lake, "SELECT symbol, reason, direction, ret_ex, brier FROM outcomes WHERE reason IS NOT NULL")
    assert told == [("035720", "no_bar", None, None, None)]
    put(lake)
    assert (score(lake, "minute").scored, score(lake, "minute").waiting) == (0, 0)


def test_a_minute_without_a_bar_at_the_end_of_the_day_ends_when_the_day_has_its_last_bar(lake):
    predicted(lake, 385, symbols=("035720", "068270"))  # 15:25, less than ten minutes before the close
    put(lake, alone=[389])  # 15:29
    assert score(lake, "minute").waiting == 2
    put(lake, alone=[389, 390])  # the closing auction
    assert score(lake, "minute").scored == 2
    assert asked(lake, "SELECT reason FROM outcomes") == [("no_bar",)] * 2


def test_what_two_logs_predicted_of_the_same_bar_counts_once_as_it_was_said_first(lake):
    predicted(lake, 40, "b: live")
    predicted(lake, 40, "a: collected again", late=60)
    predicted(lake, 45, "a: collected again", late=60)
    assert asked(lake, "SELECT count(*), count(abstained) FROM predictions") == [(6, 4)]
    put(lake)
    done = score(lake, "minute")
    assert (done.scored, done.labelled, done.waiting) == (4, 4, 0)
    assert score(lake, "minute").scored == 0
    told = asked(lake, "SELECT epoch_us(ts), count(*), count(brier) FROM outcomes GROUP BY ALL ORDER BY ALL")
    assert told == [(NINE + 40 * MINUTE, 2, 2), (NINE + 45 * MINUTE, 2, 0)]
    ((found,),) = matured(lake, "minute-10")
    assert found.rows.t.tolist() == [NINE + 41 * MINUTE] * 2 + [NINE + 46 * MINUTE] * 2
    assert found.answered.tolist() == [True, True, False, False]


def add(lake, name, *rows):
    """Adds rows of one symbol to a table of events."""
    table = lake.table(name)
    schema = table.spec.file_schema
    fixed = {"wal_id": "log", "record_no": 0, "scope": "KRX", "symbol": "005930", "source": "ws"}
    whole = [{**fixed, "lsn": lsn, **row} for lsn, row in enumerate(rows)]
    made = pa.Table.from_pylist([{each: row.get(each) for each in schema.names} for row in whole], schema=schema)
    table.append([table.store(DAY, sorted_name("added", 0), encode(table.spec, made))], {})


def test_the_outcome_has_the_prices_that_were_paid_and_the_spread_that_was_quoted(lake):
    clock = SimulatedClock(start_us=NINE + 41 * MINUTE)
    seats = Seats(lake, Registry(lake, clock), ("minute-10",), LETTERS)
    Live(seats, LiveJournal(lake), LETTERS, clock=clock).take(close_of(40))
    put(lake)
    entered, left = NINE + 41 * MINUTE + 3_000_000, NINE + 51 * MINUTE + 2_000_000
    add(
        lake,
        "trades",
        {"ts_event": entered, "price": 50_700.0, "cum_volume": 1},
        {"ts_event": left, "price": 51_200.0, "cum_volume": 2},
    )
    book = {"ask_prices": [50_800.0] * 10, "bid_prices": [50_400.0] * 10, "hour_code": "0"}
    add(lake, "quotes", {"ts_event": NINE + 41 * MINUTE - 1_000_000, **book})

    assert score(lake, "minute", clock=clock).labelled == 2

    ((found,),) = matured(lake, "minute-10")
    theirs, ours = (found.rows.symbol == found.rows.symbols.index(symbol) for symbol in SYMBOLS)
    assert (found.rows.t0[ours], found.rows.t1[ours]) == ([entered], [left])
    assert found.rows.ret_ex[ours] == [51_200 / 50_700 - 1]
    assert found.rows.half_spread[ours] == [400 / 101_200]
    # Of the other symbol neither is known: the bar's open, and half a tick.
    assert found.rows.t0[theirs] == [NINE + 41 * MINUTE + LATENCY_US]
    assert found.rows.half_spread[theirs] == [pytest.approx(25 / price("000660", 40))]


def test_what_an_interruption_ends_is_scored_as_halted(lake):
    clock = SimulatedClock(start_us=NINE + 41 * MINUTE)
    seats = Seats(lake, Registry(lake, clock), ("minute-10",), LETTERS)
    Live(seats, LiveJournal(lake), LETTERS, clock=clock).take(close_of(40))
    put(lake)
    add(lake, "market_events", {"ts_recv": NINE + 45 * MINUTE, "vi_code": "Y"})

    done = score(lake, "minute", clock=clock)

    assert (done.scored, done.labelled) == (2, 1)
    with Session(lake) as session:
        told = session.query("SELECT symbol, reason FROM outcomes ORDER BY symbol").to_pylist()
    assert told == [{"symbol": "000660", "reason": None}, {"symbol": "005930", "reason": "halted"}]
