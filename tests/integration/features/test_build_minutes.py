"""Building features of minutes: which symbols' days have bars."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from lake_parts import DAYS, coverage, minute_bars

from hosu.features.build import build
from hosu.features.definitions import SCALE_FREE_V1
from hosu.lake.lake import Lake
from hosu.lake.sql import Session


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Four days of B; A trades on the first and the last alone."""
    made = Lake.open(str(tmp_path / "lake"))
    for place, day in enumerate(DAYS[:4]):
        prices = {"B": dict.fromkeys(range(60), 1_000.0)}
        if place in {0, 3}:
            prices["A"] = {minute: 50_000.0 + 100 * (minute % 5) for minute in range(60)}
        minute_bars(made, day, prices)
    return made


def bars_of_a(lake: Lake) -> dict[str, int]:
    with Session(lake) as session:
        sql = "SELECT date, count(*) AS n FROM technical_indicators_1m WHERE symbol = 'A' GROUP BY ALL"
        return {row["date"]: row["n"] for row in session.query(sql).to_pylist()}


def state_of_a(lake: Lake, day: str) -> dict[str, list[float]]:
    with Session(lake) as session:
        sql = f"SELECT ints, floats FROM feature_state WHERE symbol = 'A' AND date = '{day}'"
        (row,) = session.query(sql).to_pylist()
    return dict(row)


def test_a_day_on_which_a_symbol_was_not_followed_gets_no_bars_and_leaves_its_state_alone(lake: Lake) -> None:
    build(lake, "minute", [SCALE_FREE_V1])
    assert bars_of_a(lake) == {DAYS[0]: 381, DAYS[3]: 381}
    assert state_of_a(lake, DAYS[0]) == state_of_a(lake, DAYS[2]) != state_of_a(lake, DAYS[3])


def test_one_that_was_followed_and_did_not_trade_has_empty_minutes(lake: Lake) -> None:
    coverage(lake, DAYS[1], ("A", "certified", 1))
    build(lake, "minute", [SCALE_FREE_V1])
    assert bars_of_a(lake) == {DAYS[0]: 381, DAYS[1]: 381, DAYS[3]: 381}


def test_a_ledger_that_comes_after_the_build_has_the_date_built_again(lake: Lake) -> None:
    build(lake, "minute", [SCALE_FREE_V1])
    coverage(lake, DAYS[1], ("A", "open", 1))
    assert build(lake, "minute", [SCALE_FREE_V1]).first == DAYS[1]
    coverage(lake, DAYS[1], ("A", "certified", 2))
    assert build(lake, "minute", [SCALE_FREE_V1]).first is None
    assert bars_of_a(lake)[DAYS[1]] == 381
