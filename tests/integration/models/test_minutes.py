"""Minutes from the close to the outcome: predicted live, scored by the bars that were built afterwards."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from hosu.clock import SimulatedClock
from hosu.features.definitions import FeatureSet
from hosu.features.served import Closed
from hosu.lake.derived import replace_dates
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.tables import TABLES
from hosu.market.calendar import instant_us
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.matured import blocks, matured
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


def put(lake):
    schema = TABLES["processed_ohlcv_1m"].file_schema
    keys = [(symbol, minute) for symbol in SYMBOLS for minute in range(BARS)]
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


def close_of(minute):
    return Closed(
        wal_id="log",
        lsn=minute,
        date=DAY,
        began="new",
        again=False,
        names=SYMBOLS,
        code=np.arange(2),
        ts=np.full(2, NINE + minute * MINUTE),
        close=np.array([int(price(symbol, minute) * 100) for symbol in SYMBOLS]),
        volume=np.ones(2, np.int64),
        traded=np.ones(2, bool),
        polled=np.zeros(2, bool),
        outputs=np.zeros((2, 13)),
    )


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


def test_ten_minutes_later_the_outcome_is_what_the_next_trades_were_worth(lake):
    for minute in (40, 45, 50, 85):
        clock = SimulatedClock(start_us=NINE + (minute + 1) * MINUTE)
        seats = Seats(lake, Registry(lake, clock), ("minute-10",), LETTERS)
        Live(seats, LiveJournal(lake), LETTERS, clock=clock).take(close_of(minute))
    put(lake)
    done = score(lake, "minute", clock=clock)
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
    settled = blocks(matured(lake, "minute-10"), min_symbols=2)
    assert settled.t.tolist() == [NINE + 41 * MINUTE]
