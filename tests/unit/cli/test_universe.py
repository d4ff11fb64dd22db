from pathlib import Path

import pyarrow as pa
import pytest

from hosu.cli.universe import by_turnover, symbols_of
from hosu.errors import InputError
from hosu.lake.derived import replace_date
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.lake.turnover import latest_turnover

LISTED = [
    ("000010", "KOSPI", 100.0, 50),
    ("000020", "KOSDAQ", 1000.0, 50),
    ("000030", "KOSPI", 10.0, 50),
    ("000040", "KOSDAQ", 10.0, 50),
]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = Lake.open(str(tmp_path / "lake"))
    columns = zip(*LISTED, strict=True)
    names = ("symbol", "market", "base_price", "previous_volume")
    write_universe(lake, "2026-09-15", pa.table(dict(zip(names, map(list, columns), strict=True))))
    return lake


def bars(lake: Lake, date: str, values: dict[str, float]) -> None:
    schema = lake.spec("processed_ohlcv").file_schema
    given = {"symbol": list(values), "value": list(values.values())}
    columns = [pa.array(given[f.name], f.type) if f.name in given else pa.nulls(len(values), f.type) for f in schema]
    replace_date(lake, "processed_ohlcv", date, pa.table(columns, schema=schema))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("all", ["000020", "000010", "000030", "000040"]),
        ("top:2", ["000020", "000010"]),
        ("top:9", ["000020", "000010", "000030", "000040"]),
        ("market:KOSPI", ["000010", "000030"]),
        ("market:kosdaq", ["000020", "000040"]),
        ("000040,top:2", ["000040", "000020", "000010"]),
        ("000040, 000010 ,000040", ["000040", "000010"]),
        ("market:KOSDAQ,market:KOSPI", ["000020", "000040", "000010", "000030"]),
        ("Q530036", ["Q530036"]),
    ],
)
def test_symbols_are_listed_ones_in_their_order_and_others_by_turnover(lake: Lake, text: str, expected: list) -> None:
    assert symbols_of(text, lambda: lake, None) == expected


def test_a_file_names_symbols_line_by_line_with_remarks_and_markets_too(lake: Lake, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_text("000030  # first\n\n# nothing\ntop:1\n")
    assert symbols_of("mine", lambda: lake, None) == ["000030", "000020"]


def test_turnover_that_was_measured_goes_before_what_is_estimated(lake: Lake) -> None:
    bars(lake, "2026-09-11", {"000010": 1.0})
    bars(lake, "2026-09-14", {"000040": 99_999.0, "000020": 7.0})
    assert latest_turnover(lake) == {"000040": 99_999.0, "000020": 7.0}
    assert symbols_of("all", lambda: lake, None) == ["000040", "000010", "000030", "000020"]


def test_equal_turnovers_go_by_symbol() -> None:
    found = by_turnover([("B", "KOSPI", 1.0), ("A", "KOSPI", 1.0)], {"B": 1.0})
    assert [symbol for symbol, _, _ in found] == ["A", "B"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("market:NYSE", "market:NYSE: is a market without instruments here; choose from KOSDAQ, KOSPI"),
        ("top:0", "top:0: is no number of symbols; write it like top:300"),
        ("top:many", "top:many: is no number of symbols"),
        ("best:3", "best:3: is no way to name symbols"),
        (",", "--symbols ,: names none"),
    ],
)
def test_what_names_no_symbols_is_refused(lake: Lake, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        symbols_of(text, lambda: lake, None)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize("text", ["all", "top:3", "market:KOSPI"])
def test_a_lake_without_instruments_says_where_they_come_from(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="the lake knows no instruments; run: hosu instruments sync"):
        symbols_of(text, lambda: Lake.open(str(tmp_path / "lake")), None)
