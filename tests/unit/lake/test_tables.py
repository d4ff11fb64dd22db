"""The list of tables agrees with itself."""

import pytest

from hosu.lake.tables import EVENT_TABLES, TABLES, TableSpec
from hosu.market.events import EVENT_SCHEMAS


@pytest.mark.parametrize("spec", TABLES.values(), ids=lambda spec: spec.name)
def test_order_plain_columns_and_partition_are_columns_of_the_table(spec: TableSpec) -> None:
    names = set(spec.schema.names)

    assert "date" in names
    assert set(spec.order) <= names - {"date"}
    assert spec.plain <= {"size", "ask1_size", "bid1_size", "ask_sizes", "bid_sizes"}
    assert len(names) == len(spec.schema.names)
    assert "date" not in spec.file_schema.names


def test_no_two_tables_share_a_location() -> None:
    assert len({spec.location for spec in TABLES.values()}) == len(TABLES)


def test_every_table_the_decoder_fills_is_an_event_table() -> None:
    assert set(EVENT_TABLES) == set(EVENT_SCHEMAS)


def test_raw_tables_are_kept_three_years_and_instruments_for_good() -> None:
    assert TABLES["trades"].retention_days == 1095
    assert TABLES["processed_ohlcv_1m"].retention_days == 730
    assert TABLES["processed_ohlcv_1s"].retention_days == 365  # many rows, and made again from trades at will
    assert TABLES["instruments"].retention_days is None
