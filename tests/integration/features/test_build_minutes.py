"""Building features of minutes: which symbols' days have bars, and what is read for it."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "features"))

from lake_parts import DAYS, clock, coverage, external, instruments, minute_bars

from hosu.features.bars_of_lake import panel
from hosu.features.bars_sql import LISTINGS
from hosu.features.build import build
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.lake_versions import Pinned
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


@pytest.mark.slow
def test_a_ledger_that_comes_after_the_build_has_the_date_built_again(lake: Lake) -> None:
    build(lake, "minute", [SCALE_FREE_V1])
    coverage(lake, DAYS[1], ("A", "open", 1))
    assert build(lake, "minute", [SCALE_FREE_V1]).first == DAYS[1]
    coverage(lake, DAYS[1], ("A", "certified", 2))
    assert build(lake, "minute", [SCALE_FREE_V1]).first is None
    assert bars_of_a(lake)[DAYS[1]] == 381


@pytest.mark.slow
def test_adjusted_minutes_stand_in_before_a_symbols_first_own_bar_however_long_ago_that_was(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    for place, day in enumerate(DAYS[:7]):
        prices = {"B": dict.fromkeys(range(5), 1_000.0)}
        minute_bars(lake, day, prices | ({"A": dict.fromkeys(range(5), 50_000.0)} if place == 0 else {}))
    at = {"ts": clock(DAYS[6], "09:00:00")}
    external(lake, DAYS[6], ("A", 5_000.0, 10, at), ("C", 700.0, 10, at), table="bars_1m_external")
    loaded = panel(lake, "minute", start=DAYS[4]).bars
    build(lake, "minute", [SCALE_FREE_V1])
    with Session(lake) as session:
        sql = f"SELECT DISTINCT symbol FROM technical_indicators_1m WHERE date = '{DAYS[6]}' ORDER BY ALL"
        assert session.query(sql).column(0).to_pylist() == ["B", "C"]
    assert [symbol for symbol, count in zip(loaded.symbols, np.diff(loaded.starts), strict=True) if count] == ["B", "C"]


def test_each_list_of_instruments_is_read_once_for_what_it_lists(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in DAYS[:4]:
        instruments(lake, day, ("A", 50_000.0), ("B", 1_000.0))
    read: list[str] = []
    query = Pinned.query

    def watched(self: Pinned, sql: str, *args: Any, **more: Any) -> Any:
        if sql == LISTINGS:
            read.extend(date for date in DAYS[:4] if (more.get("start") or "") <= date <= (more.get("end") or "9999"))
        return query(self, sql, *args, **more)

    monkeypatch.setattr(Pinned, "query", watched)
    build(lake, "minute", [SCALE_FREE_V1])
    assert read == DAYS[:4]
