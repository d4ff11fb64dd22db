"""The universe as of a day."""

import pyarrow as pa
import pytest

from hosu.errors import InputError
from hosu.lake.instruments import universe, universe_dates, write_universe
from hosu.lake.lake import Lake


def rows(*symbols: str) -> pa.Table:
    return pa.table({"symbol": list(symbols), "name": [f"이름 {symbol}" for symbol in symbols]})


def test_the_universe_of_a_day_is_the_latest_one_not_after_it(lake: Lake) -> None:
    write_universe(lake, "2025-09-12", rows("005930"))
    write_universe(lake, "2025-09-15", rows("005930", "000660"))

    friday = universe(lake, "2025-09-14").to_pylist()
    assert [(row["date"], row["symbol"], row["name"]) for row in friday] == [("2025-09-12", "005930", "이름 005930")]
    assert universe(lake, "2025-12-31").column("symbol").to_pylist() == ["000660", "005930"]
    assert universe(lake, "2025-09-11").num_rows == 0
    assert universe_dates(lake) == ["2025-09-12", "2025-09-15"]


def test_writing_a_day_again_replaces_it_and_only_it(lake: Lake) -> None:
    write_universe(lake, "2025-09-12", rows("005930"))
    write_universe(lake, "2025-09-15", rows("005930", "000660"))
    assert write_universe(lake, "2025-09-15", rows("035720")) == 1

    assert universe(lake, "2025-09-15").column("symbol").to_pylist() == ["035720"]
    assert universe(lake, "2025-09-12").column("symbol").to_pylist() == ["005930"]


def test_an_empty_lake_has_an_empty_universe_with_its_columns(lake: Lake) -> None:
    assert universe(lake, "2025-09-15").schema.names == lake.spec("instruments").schema.names


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (rows(), "is empty"),
        (rows("005930", "005930"), "a symbol twice"),
        (pa.table({"symbol": ["005930"], "colour": ["red"]}), "unknown columns colour"),
    ],
)
def test_a_broken_universe_is_refused(lake: Lake, table: pa.Table, says: str) -> None:
    with pytest.raises(InputError, match=says):
        write_universe(lake, "2025-09-15", table)
    assert universe_dates(lake) == []
