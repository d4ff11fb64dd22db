"""Columns that a table of an earlier version lacks: it still opens, is read with nulls, and takes rows."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hosu.errors import CommitConflictError, TableCorruptError
from hosu.lake.compact import compact
from hosu.lake.delta import Table
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode
from hosu.lake.sql import Session, SqlConfig, combine
from hosu.lake.tables import TABLES
from hosu.market.bars import BARS_EXTERNAL, DAILY

NEW = TABLES[DAILY]
OLD = replace(NEW, schema=BARS_EXTERNAL, added=frozenset())
DAY = "2025-09-15"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """With a table as an earlier version made it, of one row."""
    made = Lake.open(str(tmp_path / "lake"))
    add(Table.create(made.storage, OLD), "old.parquet", symbol="A")
    return made


def add(table: Table, name: str, **values: Any) -> None:
    schema = table.spec.file_schema
    rows = pa.Table.from_pylist([{each: values.get(each) for each in schema.names}], schema=schema)
    table.append([table.store(DAY, name, encode(table.spec, rows))], {f"writer {name}": 1})


def asked(lake: Lake) -> list[tuple[Any, ...]]:
    """What a session reads, and a query over the same files, which must not differ."""
    sql = "SELECT symbol, ex_code, split_ratio FROM {} ORDER BY symbol"
    with Session(lake) as session:
        found = [tuple(row.values()) for row in session.query(sql.format(DAILY)).to_pylist()]
    table = lake.find(DAILY)
    assert table is not None
    files = {"told": (table, table.files())}
    rows = combine(lake.storage, sql.format("told"), files=files, beside={}, config=SqlConfig()).to_pylist()
    assert [tuple(row.values()) for row in rows] == found
    return found


def test_it_is_read_with_nulls_and_not_written_to(lake: Lake) -> None:
    before = Table.open(lake.storage, OLD)
    assert asked(lake) == [("A", None, None)]
    assert before is not None
    assert lake.table(DAILY).version == before.version


def test_it_takes_rows_and_keeps_the_old_ones(lake: Lake) -> None:
    add(lake.table(DAILY), "new.parquet", symbol="B", ex_code="01", split_ratio=0.2)
    assert asked(lake) == [("A", None, None), ("B", "01", 0.2)]
    again = lake.table(DAILY)
    assert (again.covered("writer old.parquet"), again.covered("writer new.parquet")) == (1, 1)
    version = again.version
    add(again, "newer.parquet", symbol="C", ex_code="00")
    assert again.version == version + 1  # the columns are there by now


def test_who_opened_it_before_another_gave_it_the_columns_is_refused_once_and_asks_again(lake: Lake) -> None:
    first, second = lake.table(DAILY), lake.table(DAILY)
    add(first, "first.parquet", symbol="B", ex_code="01")
    with pytest.raises(CommitConflictError):
        add(second, "second.parquet", symbol="C", ex_code="02")
    assert second.covered("writer first.parquet") == 1
    add(second, "second.parquet", symbol="C", ex_code="02")
    assert asked(lake) == [("A", None, None), ("B", "01", None), ("C", "02", None)]


def test_compacted_the_old_rows_have_the_columns(lake: Lake) -> None:
    add(lake.table(DAILY), "new.parquet", symbol="B", ex_code="01", split_ratio=0.2)
    compact(lake, [DAILY])
    table = lake.find(DAILY)
    assert table is not None
    assert len(table.files()) == 1
    assert asked(lake) == [("A", None, None), ("B", "01", 0.2)]


def test_any_other_lacking_column_is_damage(tmp_path: Path) -> None:
    made = Lake.open(str(tmp_path / "other"))
    less = replace(OLD, schema=BARS_EXTERNAL.remove(BARS_EXTERNAL.get_field_index("value")))
    Table.create(made.storage, less)
    with pytest.raises(TableCorruptError, match="its columns are not those of this hosu: value"):
        made.find(DAILY)
