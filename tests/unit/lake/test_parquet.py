"""Data files: what is written is read again, small, with the statistics Delta wants."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hosu.lake.parquet import check, encode, live_name, run_of, sorted_name
from hosu.lake.tables import TABLES
from hosu.market.events import TIMESTAMP, in_memory

ROWS = [
    {
        "wal_id": "w1",
        "lsn": 5,
        "record_no": 0,
        "ts_event": 1_757_894_400_000_001,
        "symbol": "005930",
        "price": 70_000.5,
    },
    {"wal_id": "w1", "lsn": 9, "record_no": 1, "ts_event": 1_757_894_401_000_000, "symbol": "000660", "price": 300.0},
]


def trades() -> pa.Table:
    schema = TABLES["trades"].file_schema
    rows = [{name: row.get(name) for name in schema.names} for row in ROWS]
    return pa.Table.from_pylist(rows, schema=schema)


def test_rows_come_back_equal_with_plain_strings() -> None:
    schema = TABLES["trades"].file_schema
    encoded = encode(TABLES["trades"], trades().cast(in_memory(schema)))

    table = pq.read_table(pa.BufferReader(encoded.data))

    assert table.schema.field("symbol").type == pa.string()
    assert table.cast(schema).equals(trades())
    assert encoded.rows == 2


def test_integers_are_delta_encoded_and_sizes_and_prices_plain() -> None:
    encoded = encode(TABLES["trades"], trades())
    group = pq.ParquetFile(pa.BufferReader(encoded.data)).metadata.row_group(0)
    encodings = {group.column(i).path_in_schema: set(group.column(i).encodings) for i in range(group.num_columns)}

    assert "DELTA_BINARY_PACKED" in encodings["lsn"]
    assert "DELTA_BINARY_PACKED" in encodings["ts_event"]
    assert encodings["size"] == {"PLAIN", "RLE"}
    assert encodings["price"] == {"PLAIN", "RLE"}
    assert "RLE_DICTIONARY" in encodings["symbol"]
    assert group.column(0).compression == "ZSTD"


def test_statistics_are_those_of_a_delta_add_action() -> None:
    found = json.loads(encode(TABLES["trades"], trades()).statistics)

    assert found["numRecords"] == 2
    assert found["minValues"] == {
        "symbol": "000660",
        "ts_event": "2025-09-15T00:00:00.000001Z",
        "wal_id": "w1",
        "lsn": 5,
    }
    assert found["maxValues"]["lsn"] == 9
    assert found["nullCount"]["cum_volume"] == 2
    assert found["nullCount"]["lsn"] == 0


def test_lists_of_a_book_survive() -> None:
    spec = TABLES["quotes"]
    row = dict.fromkeys(spec.file_schema.names)
    row |= {"lsn": 1, "ask_prices": [1.5, 2.0], "ask_sizes": [10, None], "bid_sizes": []}
    table = pa.Table.from_pylist([row], schema=spec.file_schema)

    back = pq.read_table(pa.BufferReader(encode(spec, table).data))

    assert back.column("ask_prices").to_pylist() == [[1.5, 2.0]]
    assert back.column("ask_sizes").to_pylist() == [[10, None]]
    assert back.column("bid_sizes").to_pylist() == [[]]
    assert back.schema.field("ts_recv").type == TIMESTAMP


def test_a_flipped_byte_in_a_page_is_found_only_by_the_deep_check() -> None:
    data = bytearray(encode(TABLES["trades"], trades()).data.to_pybytes())
    at = data.index(b"\x28\xb5\x2f\xfd") + 12  # inside the first zstd frame
    data[at] ^= 0x40

    assert check(pa.py_buffer(bytes(data)), deep=False) == 2
    with pytest.raises(OSError, match=r"(?i)crc|checksum"):
        check(pa.py_buffer(bytes(data)), deep=True)


def test_names_tell_runs_from_arrivals() -> None:
    assert run_of(f"date=2025-09-15/{live_name()}") is None
    assert run_of("date=2025-09-15/" + sorted_name("ab" * 16, 3)) == "ab" * 16
