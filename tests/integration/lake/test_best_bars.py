"""Which source a bar of ``processed_ohlcv`` comes from, and that a worse one never takes the place of a better."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch
from hosu.lake import tables
from hosu.lake.bars_import import ImportConfig, import_bars
from hosu.lake.derived import replace_date
from hosu.lake.import_file import read_source
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink
from hosu.market.bars import BAR_SCHEMAS

Batch = Callable[..., EventBatch]
NINE = 1_757_894_400_000_000  # 2025-09-15 09:00 in Seoul
MIDNIGHT = NINE - 9 * 3600 * 1_000_000
MINUTE = 60_000_000
DAY = "2025-09-15"
MINUTES, DAYS = "processed_ohlcv_1m", "processed_ohlcv"


class Feeder:
    """Puts rows into the lake as the collector does, each call a record of its own log further on."""

    def __init__(self, lake: Lake, batch: Batch) -> None:
        self._sink, self._batch, self._lsn = LakeSink(lake), batch, 0

    def trades(self, *trades: tuple[str, int, float, int]) -> None:
        """(symbol, minute, price, size)"""
        rows: list[dict[str, Any]] = []
        for symbol, minute, price, size in trades:
            stamp = {"ts_event": NINE + minute * MINUTE, "price": price, "size": size}
            rows.append({"lsn": self._lsn, "symbol": symbol, "cum_volume": 10_000 * self._lsn + size, **stamp})
            self._lsn += 1
        self._write(self._batch(*rows))

    def polls(self, *polls: dict[str, Any]) -> None:
        rows = [{"lsn": self._lsn + n, "tr_id": "FHKST11300006", **poll} for n, poll in enumerate(polls)]
        self._lsn += len(rows)
        self._write(self._batch(*rows, table="snapshots"))

    def bars(self, table: str, *bars: dict[str, Any]) -> None:
        source = {"scope": "KRX", "symbol": "005930", "adjusted": False, "source": "kis:FHKST03010230"}
        origin = {"date": DAY, "wal_id": "w1", "lsn": self._lsn, "revision": self._lsn, "fetched_at": self._lsn}
        rows = [{**source, **origin, "record_no": n, **bar} for n, bar in enumerate(bars)]
        schema = BAR_SCHEMAS[table]
        events = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
        self._write(EventBatch("w1", self._lsn, self._lsn, {table: events}))
        self._lsn += 1

    def _write(self, batch: EventBatch) -> None:
        self._sink.write(batch)
        self._sink.flush()


@pytest.fixture
def feed(lake: Lake, batch: Batch) -> Feeder:
    return Feeder(lake, batch)


def bar(minute: int, price: float, volume: int, **more: Any) -> dict[str, Any]:
    prices = dict.fromkeys(("open", "high", "low", "close"), price)
    return {"ts": NINE + minute * MINUTE, **prices, "volume": volume, "value": price * volume, **more}


def poll(second: float, price: float, shares: int, **more: Any) -> dict[str, Any]:
    """A snapshot so many seconds after nine."""
    day = {"open": 100.0, "high": max(100.0, price), "low": min(100.0, price), "cum_value": shares * 100}
    return {"ts_recv": NINE + round(second * 1e6), "price": price, "cum_volume": shares, **day, **more}


def rows(lake: Lake, table: str = MINUTES) -> list[tuple[Any, ...]]:
    """(symbol, minute, close, volume, value, source)"""
    sql = f"""
        SELECT symbol, (epoch_us(ts) - {NINE}) // {MINUTE} AS minute, close, volume, value, source
        FROM {table} WHERE session_set = 'regular' ORDER BY ALL
    """
    with Session(lake) as session:
        return [tuple(row.values()) for row in session.query(sql).to_pylist()]


def certify(monkeypatch: pytest.MonkeyPatch, lake: Lake, *states: tuple[str, str]) -> None:
    """Makes the lake's table of coverage say so."""
    schema = pa.schema(
        [pa.field(name, pa.string()) for name in ("date", "scope", "symbol", "state")]
        + [pa.field("revision", pa.int64())]
    )
    if "coverage_days" not in tables.TABLES:
        spec = tables.TableSpec("coverage_days", "raw/ledger/coverage_days", schema, ("symbol",), None, statistics=())
        monkeypatch.setitem(tables.TABLES, "coverage_days", spec)
    columns = tables.TABLES["coverage_days"].file_schema
    found = [
        {"scope": "KRX", "symbol": symbol, "state": state, "revision": n} for n, (symbol, state) in enumerate(states)
    ]
    whole = [{**dict.fromkeys(columns.names), **row} for row in found]
    replace_date(lake, "coverage_days", DAY, pa.Table.from_pylist(whole, schema=columns))


def test_the_brokers_bars_fill_what_trades_leave(lake: Lake, feed: Feeder) -> None:
    feed.trades(("005930", 1, 200.0, 7))
    feed.bars("bars_1m_external", bar(0, 100.0, 5), bar(1, 101.0, 6), bar(2, 102.0, 0), bar(3, 103.0, 8))
    (report,) = build(lake)
    assert rows(lake) == [
        ("005930", 0, 100.0, 5, 500.0, "rest"),
        ("005930", 1, 200.0, 7, 1400.0, "trades"),
        ("005930", 3, 103.0, 8, 824.0, "rest"),
    ]
    assert report.sources == {"rest": 2, "trades": 2}
    assert build(lake) == []


def test_a_certified_day_takes_nothing_from_elsewhere(
    lake: Lake, feed: Feeder, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed.trades(("005930", 1, 200.0, 7), ("000660", 1, 300.0, 9))
    feed.bars("bars_1m_external", bar(0, 100.0, 5), bar(0, 90.0, 4, symbol="000660"))
    certify(monkeypatch, lake, ("005930", "open"), ("000660", "assumed"), ("005930", "certified"))
    build(lake)
    assert rows(lake) == [
        ("000660", 0, 90.0, 4, 360.0, "rest"),
        ("000660", 1, 300.0, 9, 2700.0, "trades"),
        ("005930", 1, 200.0, 7, 1400.0, "certified"),
    ]
    certify(monkeypatch, lake, ("005930", "open"))
    build(lake, [DAY])
    assert rows(lake)[-1] == ("005930", 1, 200.0, 7, 1400.0, "trades")


def test_adjusted_bars_are_kept_and_not_used(lake: Lake, feed: Feeder) -> None:
    feed.bars("bars_daily_external", bar(-540, 50.0, 9, adjusted=True), bar(-540, 100.0, 9))
    build(lake)
    assert rows(lake, DAYS) == [("005930", -540, 100.0, 9, 900.0, "rest")]


def test_a_later_revision_counts_and_the_brokers_before_a_files(lake: Lake, feed: Feeder, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text(
        "code,date,time,open,high,low,close,volume\n005930,20250915,0900,1,1,1,1,3\n005930,20250915,0901,2,2,2,2,4\n"
    )
    config = ImportConfig("minutes", "mine", "KRX", adjusted=False)
    import_bars(lake, read_source(file, "minutes"), config, SimulatedClock(NINE + 86_400_000_000))
    build(lake)
    assert rows(lake) == [("005930", 0, 1.0, 3, None, "import"), ("005930", 1, 2.0, 4, None, "import")]
    feed.bars("bars_1m_external", bar(0, 100.0, 5))
    feed.bars("bars_1m_external", bar(0, 110.0, 5))
    build(lake)
    assert rows(lake) == [("005930", 0, 110.0, 5, 550.0, "rest"), ("005930", 1, 2.0, 4, None, "import")]
    with Session(lake) as session:
        latest = session.query("SELECT close, source FROM bars_1m_latest ORDER BY ts")
    assert latest.to_pylist() == [
        {"close": 110.0, "source": "kis:FHKST03010230"},
        {"close": 2.0, "source": "import:mine"},
    ]


def test_a_corrected_file_replaces_its_bars_even_if_the_clock_was_set_back(lake: Lake, tmp_path: Path) -> None:
    config = ImportConfig("daily", "mine", "KRX", adjusted=False)

    def imported(close: int, at_us: int) -> int:
        file = tmp_path / "bars.csv"
        file.write_text(f"code,date,open,high,low,close,volume\n005930,2025-09-15,5,9,1,{close},3\n")
        return import_bars(lake, read_source(file, "daily"), config, SimulatedClock(at_us)).written

    later, earlier = NINE + 2 * 86_400_000_000, NINE + 86_400_000_000
    assert [imported(6, later), imported(6, earlier), imported(7, earlier), imported(7, earlier)] == [1, 0, 1, 0]
    with Session(lake) as session:
        latest = session.query("SELECT close, revision FROM bars_daily_latest").to_pylist()
    assert latest == [{"close": 7.0, "revision": later + 1}]


def test_polls_give_exact_volume_and_say_what_a_bar_holds(lake: Lake, feed: Feeder) -> None:
    feed.polls(
        poll(-300, 99.0, 777_777),  # before the open: yesterday's, maybe
        poll(150, 110.0, 1000),  # the first, in minute 2
        poll(170, 120.0, 1500),
        poll(190, 118.0, 1600),  # minute 3
        poll(200, 119.0, 1400),  # an old answer
        poll(230, 117.0, 1700),
        poll(590, 130.0, 2000),  # minute 9, after a pause
        poll(601, 131.0, 2000),  # nothing traded
    )
    build(lake)
    assert rows(lake) == [
        ("005930", 2, 120.0, 1500, 150_000.0, "poll:since_open"),
        ("005930", 3, 117.0, 200, 20_000.0, "poll"),
        ("005930", 9, 130.0, 300, 30_000.0, "poll:late"),
    ]
    assert rows(lake, DAYS) == [("005930", -540, 131.0, 2000, 200_000.0, "poll:partial")]
    with Session(lake) as session:
        first = session.query(f"SELECT open, high, low, data_points FROM {MINUTES} ORDER BY ts LIMIT 1").to_pylist()
    assert first == [{"open": 100.0, "high": 120.0, "low": 100.0, "data_points": 2}]


def test_a_new_high_between_two_polls_is_in_the_bar(lake: Lake, feed: Feeder) -> None:
    feed.polls(
        poll(10, 100.0, 10), poll(70, 101.0, 20), poll(80, 101.0, 30, high=140.0), poll(130, 101.0, 40, high=140.0)
    )
    build(lake)
    with Session(lake) as session:
        highs = session.query(f"SELECT high, low, source FROM {MINUTES} ORDER BY ts").to_pylist()
    assert [(row["high"], row["source"]) for row in highs] == [(100.0, "poll"), (140.0, "poll"), (101.0, "poll")]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, -5.0])
def test_what_is_no_price_is_in_no_bar_of_polls(lake: Lake, feed: Feeder, odd: float) -> None:
    feed.polls(poll(10, 100.0, 10), poll(20, odd, 15), poll(70, 101.0, 20, high=odd, low=odd), poll(130, 101.0, 40))
    build(lake)
    for name in (MINUTES, DAYS):
        with Session(lake) as session:
            found = session.query(f"SELECT open, high, low, close FROM {name}").to_pylist()
        assert found
        assert {value for row in found for value in row.values()} <= {100.0, 101.0}


def test_polls_make_way_for_the_brokers_minutes_and_for_trades(lake: Lake, feed: Feeder) -> None:
    feed.polls(poll(10, 100.0, 10), poll(70, 101.0, 25), poll(130, 102.0, 45))
    build(lake)
    assert [row[3] for row in rows(lake)] == [10, 15, 20]
    feed.bars("bars_1m_external", bar(0, 100.0, 12), bar(1, 101.0, 0))
    build(lake)
    assert rows(lake) == [
        ("005930", 0, 100.0, 12, 1200.0, "rest"),  # and minute 1 is none, since the broker says so
        ("005930", 2, 102.0, 20, 2000.0, "poll"),
    ]
    feed.trades(("005930", 0, 100.0, 3))
    build(lake)
    assert rows(lake) == [("005930", 0, 100.0, 3, 300.0, "trades")]


def test_what_a_lost_source_gave_stays(lake: Lake, feed: Feeder) -> None:
    feed.trades(("005930", 0, 200.0, 7))
    feed.bars("bars_1m_external", bar(1, 101.0, 6))
    build(lake)
    before = rows(lake)
    trades = lake.find("trades")
    assert trades is not None
    trades.rewrite(trades.files(DAY), [], data_change=True)
    feed.bars("bars_1m_external", bar(0, 1.0, 1), bar(2, 103.0, 8))
    build(lake)
    assert rows(lake) == [*before, ("005930", 2, 103.0, 8, 824.0, "rest")]
    with Session(lake) as session:
        assert session.query(f"SELECT DISTINCT revision FROM {MINUTES}").column(0).to_pylist() == [2]


def test_bars_of_a_second_are_made_of_trades_alone_and_stay_when_these_are_gone(lake: Lake, feed: Feeder) -> None:
    feed.trades(("005930", 0, 70_000.0, 3))
    feed.bars("bars_1m_external", bar(0, 100.0, 5, symbol="000660"))
    feed.polls(poll(30, 100.0, 7, symbol="035720"))
    build(lake, seconds=True)

    assert {row[0] for row in rows(lake)} == {"000660", "005930", "035720"}
    kept = rows(lake, "processed_ohlcv_1s")
    assert [row[0] for row in kept] == ["005930"]
    trades = lake.table("trades")
    trades.rewrite(trades.files(), [], data_change=True)
    build(lake, [DAY], seconds=True)
    assert rows(lake, "processed_ohlcv_1s") == kept
