"""SQL over the lake: tables, views, refusals, bounded memory."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hosu.collect.sinks import EventBatch
from hosu.errors import QueryError, TableCorruptError
from hosu.lake.delta import DataFile, Table
from hosu.lake.lake import Lake
from hosu.lake.sql import Session, SqlConfig, combine
from hosu.lake.tables import TABLES
from hosu.lake.writer import LakeSink
from hosu.market.events import TIMESTAMP

Batch = Callable[..., EventBatch]
T = 1_757_894_400_000_000  # 2025-09-15 09:00 in Seoul


@pytest.fixture
def session(lake: Lake, batch: Batch) -> Iterator[Session]:
    sink = LakeSink(lake)
    sink.write(
        batch(
            {"lsn": 0, "ts_event": T, "ts_recv": T, "cum_volume": 10, "size": 10, "ask1": 70_100.0, "ask1_size": 3},
            {"lsn": 1, "ts_event": T, "ts_recv": T + 5, "cum_volume": 10, "size": 10, "source": "rest"},
            {"lsn": 2, "ts_event": T, "ts_recv": T + 6, "cum_volume": None},
            {"lsn": 3, "ts_event": T, "ts_recv": T + 6, "cum_volume": None},
        )
    )
    quote = {"lsn": 4, "ts_event": T, "ask_prices": [70_100.0, 70_200.0], "ask_sizes": [5, 0], "bid_prices": [70_000.0]}
    sink.write(batch(quote, table="quotes"))
    sink.write(batch({"lsn": 5, "ts_recv": T, "open": 69_000.0, "bid1": 69_900.0}, table="snapshots"))
    sink.close()
    with Session(lake) as opened:
        yield opened


def test_every_table_and_view_can_be_asked_even_an_empty_one(session: Session) -> None:
    for name in session.names:
        session.query(f"SELECT * FROM {name}")
    assert session.query("SELECT * FROM expected").schema.names == TABLES["expected"].schema.names
    assert session.query("SELECT count(*) FROM instruments").column(0).to_pylist() == [0]


def test_columns_and_types_are_those_of_the_list(session: Session) -> None:
    for name in ("trades", "quotes", "snapshots", "expected", "instruments"):
        found = session.query(f"SELECT * FROM {name}")
        assert found.schema.names == TABLES[name].schema.names
        assert [str(kind) for kind in found.cast(TABLES[name].schema).schema.types] == [
            str(kind) for kind in TABLES[name].schema.types
        ]
        times = [field.type for field in found.schema if field.name.startswith("ts_")]
        assert all(kind == TIMESTAMP for kind in times)


def test_the_view_of_unique_trades_takes_a_streamed_row_before_one_over_rest(lake: Lake, batch: Batch) -> None:
    sink = LakeSink(lake)
    repaired = {"lsn": 0, "ts_event": T, "ts_recv": T, "cum_volume": 10, "size": 10, "source": "rest"}
    sink.write(batch(repaired, {**repaired, "lsn": 1, "ts_recv": T + 5, "source": "ws"}))
    sink.close()
    with Session(lake) as session:
        assert session.query("SELECT lsn, source FROM trades_unique").to_pylist() == [{"lsn": 1, "source": "ws"}]


def test_the_view_of_unique_trades_keeps_the_first_received_and_all_without_identity(session: Session) -> None:
    rows = session.query("SELECT lsn, source FROM trades_unique ORDER BY lsn").to_pylist()
    assert rows == [{"lsn": 0, "source": "ws"}, {"lsn": 2, "source": "ws"}, {"lsn": 3, "source": "ws"}]


def test_raw_stock_data_is_filled_by_trades_quotes_and_snapshots(session: Session) -> None:
    rows = session.query(
        "SELECT data_type, current_price, ohlcv, orderbook, category, collection_id, date, epoch_us(timestamp) AS t "
        "FROM raw_stock_data WHERE collection_id IN ('w1:0:0', 'w1:4:0', 'w1:5:0') ORDER BY collection_id"
    ).to_pylist()

    trade, quote, snapshot = rows
    assert (trade["data_type"], trade["current_price"], trade["t"]) == ("trade", 70_000.0, T)
    assert dict(trade["ohlcv"]) == {"close": 70_000.0, "volume": 10.0, "cumulative_volume": 10.0}
    assert dict(trade["orderbook"]) == {"ask_price_1": 70_100.0, "ask_size_1": 3.0}
    assert (quote["data_type"], quote["current_price"]) == ("quote", None)
    assert dict(quote["orderbook"]) == {
        "ask_price_1": 70_100.0,
        "ask_size_1": 5.0,
        "bid_price_1": 70_000.0,
        "ask_price_2": 70_200.0,
        "ask_size_2": 0.0,
    }
    assert (snapshot["data_type"], snapshot["category"], snapshot["date"]) == ("snapshot", "KRX", "2025-09-15")
    assert dict(snapshot["ohlcv"]) == {"open": 69_000.0, "close": 70_000.0, "volume": 6.0}
    assert dict(snapshot["orderbook"]) == {"bid_price_1": 69_900.0}


@pytest.mark.parametrize(
    ("sql", "says"),
    [
        ("SELEC 1", "syntax error"),
        ("SELECT nothing FROM trades", "nothing"),
        ("SELECT * FROM no_such_table", "no_such_table"),
        ("", "no statements; one query"),
        ("SELECT 1; SELECT 2", "2 statements; one query"),
        ("SELECT 1; COPY (SELECT 1) TO 'x'", "2 statements; one query"),
        ("DELETE FROM trades", "SQL changes nothing"),
        ("DROP VIEW trades", "SQL changes nothing"),
        ("EXPLAIN ANALYZE COPY (SELECT 1) TO 'x'", "SQL changes nothing"),
        ("ATTACH 'x.db'", "SQL changes nothing"),
        ("INSTALL httpfs", "SQL changes nothing"),
        ("SET threads = 1", "SQL changes nothing"),
        ("SELECT * FROM read_text('/etc/hostname')", "Permission Error"),
        ("SELECT * FROM '/etc/hostname.parquet'", "Permission Error|does not exist"),
    ],
)
def test_what_is_not_one_good_query_is_refused_in_duckdbs_words(session: Session, sql: str, says: str) -> None:
    with pytest.raises(QueryError, match=says):
        session.query(sql)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("CASE WHEN range = 150000 THEN error('boom') ELSE '1' END", "boom"),
        ("CAST(CASE WHEN range = 150000 THEN 'x' ELSE '1' END AS INT)", "Could not convert string 'x' to INT32"),
    ],
)
def test_what_goes_wrong_behind_the_first_batch_is_told_in_duckdbs_words_too(
    session: Session, value: str, says: str
) -> None:
    reader = session.reader(f"SELECT {value} AS x FROM range(200000)")
    with pytest.raises(QueryError, match=says):
        list(reader)


def test_nothing_can_be_written_into_the_lake(session: Session, lake: Lake) -> None:
    with pytest.raises(QueryError):
        session.query(f"COPY (SELECT 1) TO '{lake.root}/x.csv'")
    assert not (Path(lake.root) / "x.csv").exists()


def test_explain_describe_and_with_are_queries(session: Session) -> None:
    assert session.query("EXPLAIN SELECT 1").num_rows > 0
    assert session.query("explain analyze SELECT count(*) FROM trades").num_rows > 0
    assert session.query("DESCRIBE trades").num_rows == len(TABLES["trades"].schema)
    assert session.query("WITH a AS (SELECT 1 AS x) SELECT x FROM a").to_pylist() == [{"x": 1}]


def test_a_sort_larger_than_its_memory_goes_on_in_files(lake: Lake) -> None:
    with Session(lake, SqlConfig(memory_mib=64, threads=1)) as session:
        reader = session.reader("SELECT hash(i) AS h, i::VARCHAR AS t FROM range(3000000) r(i) ORDER BY h")
        assert sum(len(batch) for batch in reader) == 3_000_000


def test_a_lake_is_read_through_a_quote_in_its_name(tmp_path: Path, batch: Batch) -> None:
    lake = Lake.open(str(tmp_path / "it's mine"))
    sink = LakeSink(lake)
    sink.write(batch({"lsn": 0}))
    sink.close()
    with Session(lake) as session:
        assert session.query("SELECT count(*) AS n FROM trades").to_pylist() == [{"n": 1}]


def two_files(lake: Lake, batch: Batch) -> tuple[Table, list[DataFile]]:
    """Trades in two files; the columns are told by the first."""
    sink = LakeSink(lake)
    for lsn in (0, 1):
        sink.write(batch({"lsn": lsn}))
        sink.flush()
    sink.close()
    table = lake.find("trades")
    assert table is not None
    files = table.files()
    assert len(files) == 2
    return table, files


@pytest.mark.parametrize("where", ["cut off", "garbled"])
def test_a_damaged_file_behind_the_first_is_told_by_its_table_and_what_to_do(
    lake: Lake, batch: Batch, where: str
) -> None:
    table, files = two_files(lake, batch)
    path = Path(lake.storage.address(table.path(files[-1])))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if where == "cut off" else content[:-40] + b"x" * 32 + content[-8:])
    parts = {"messages": (table, []), "told": (table, files)}
    with pytest.raises(TableCorruptError, match="hosu lake verify --repair") as caught:
        combine(lake.storage, "SELECT sum(price) FROM told", files=parts, beside={}, config=SqlConfig())
    assert (caught.value.table, path.name in caught.value.fault) == ("trades", True)


def test_a_query_that_meets_no_file_names_no_table_and_a_next_step(lake: Lake, batch: Batch) -> None:
    table, files = two_files(lake, batch)
    with pytest.raises(QueryError, match=r"Conversion Error.*\n.*hosu lake verify"):
        combine(
            lake.storage, "SELECT symbol::DATE FROM told", files={"told": (table, files)}, beside={}, config=SqlConfig()
        )
