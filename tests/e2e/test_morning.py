"""The morning after: minutes that were only polled are asked of the broker, and take the place of the polls."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from program import Collector, Simulator, rows_of, simulator

from hosu.cli.morning import replace_polled_minutes
from hosu.cli.repair_station import Means
from hosu.collect.sinks import EventBatch
from hosu.errors import LockedError
from hosu.kis.hosts import Credentials, Host
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.writer import LakeSink
from hosu.locks import FileLock
from hosu.market.events import EVENT_SCHEMAS
from hosu.settings import CollectSettings, KisSettings

pytestmark = pytest.mark.slow

DAY, NEXT = "2026-09-15", dt.date(2026, 9, 16)
POLLED = ("000660", "035420")
SOURCES = "SELECT symbol, list(DISTINCT split_part(source, ':', 1)) AS sources FROM processed_ohlcv_1m GROUP BY ALL"


def polled_lake(home: Path) -> Path:
    """A lake with a minute of polls of each symbol, as if none had had a slot."""
    nine = int(dt.datetime.fromisoformat(f"{DAY}T09:00+09:00").timestamp() * 1e6)
    known = {"date": DAY, "wal_id": "w1", "record_no": 0, "scope": "KRX", "tr_id": "FHKST11300006"}
    prices = dict.fromkeys(("open", "high", "low", "price"), 100.0)
    rows = [
        {**known, **prices, "lsn": lsn, "symbol": symbol, "ts_recv": nine + 40_000_000 * lsn, "cum_volume": 10 * lsn}
        for lsn, symbol in enumerate(POLLED * 2, 1)
    ]
    schema = EVENT_SCHEMAS["snapshots"]
    batch = pa.RecordBatch.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema)
    lake = Lake.open(str(home / "lake"))
    sink = LakeSink(lake)
    sink.write(EventBatch("w1", 0, len(rows), {"snapshots": batch}))
    sink.close()
    list(build(lake))
    return home / "lake"


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lake after a day of polls, and a broker who knows that day's minutes."""
    home = tmp_path_factory.mktemp("morning")
    polled_lake(home)
    market = ("--synthetic", "--date", DAY, "--symbols", ",".join(POLLED), "--records", 6_000, "--speed", "max")
    manners = ("--expect", 2, "--linger", "forever", "--token-interval", 0)
    with simulator(home, *market, *manners) as broker:
        words = ("--symbols", ",".join(POLLED), "--feeds", "trades", "--lake", home / "other", "--no-bars")
        listener = Collector(home, "collector", broker, *words)  # a simulated day begins once somebody listens
        try:
            assert listener.finish().code == 0, listener.err
        finally:
            listener.kill()
        yield home, broker


def means_of(home: Path, broker: Simulator) -> Means:
    _, _, _, rest, _, ws = broker.addresses
    host = Host("simulator", rest, ws)
    state = home / "lake" / ".hosu"
    lake = Lake.open(str(home / "lake"), create=False)
    return Means(host, Credentials("key", "secret"), lake, state, CollectSettings(), KisSettings())


def test_polled_minutes_make_way_for_the_brokers_and_nothing_is_asked_twice(evening: Any) -> None:
    home, broker = evening
    means = means_of(home, broker)
    before = rows_of(home / "lake", SOURCES)
    assert {row["symbol"]: row["sources"] for row in before} == {symbol: ["poll"] for symbol in POLLED}

    assert replace_polled_minutes(means, NEXT, 60.0) is None  # the session begins
    paper = replace(means, host=replace(means.host, name="paper"))
    assert replace_polled_minutes(paper, NEXT, 1_800.0) is None  # has no minutes of past days
    assert rows_of(home / "lake", SOURCES) == before

    with FileLock(means.state / "backfill" / "wal" / "lock", "the log"), pytest.raises(LockedError):
        replace_polled_minutes(means, NEXT, 1_800.0)

    report = replace_polled_minutes(means, NEXT, 1_800.0)
    assert report is not None
    assert (report.tasks, report.missing, report.stopped) == (2, [], None)
    after = rows_of(home / "lake", SOURCES)
    assert {row["symbol"]: row["sources"] for row in after} == {symbol: ["rest"] for symbol in POLLED}
    assert replace_polled_minutes(means, NEXT, 1_800.0) is None


def test_a_morning_far_behind_looks_at_the_last_sessions_only(evening: Any) -> None:
    home, broker = evening
    assert replace_polled_minutes(means_of(home, broker), dt.date(2026, 10, 15), 1_800.0) is None
