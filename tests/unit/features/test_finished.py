"""Sessions that are over, with all of their bars, are told from those of which more may come."""

from pathlib import Path

import pytest
from lake_parts import DAYS, clock, trades

from hosu.clock import SimulatedClock
from hosu.errors import InputError
from hosu.features.finished import last_whole, unfinished
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build

DAY = DAYS[0]
NUMBER = int(DAY.replace("-", ""))
NOON, EVENING = clock(DAY, "12:00:00"), clock(DAY, "18:00:00")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake whose bars were built at noon."""
    made = Lake.open(str(tmp_path / "lake"))
    trades(made, DAY, ("09:30:00", 10_000.0, 1))
    build(made, clock=SimulatedClock(start_us=NOON))
    return made


def test_a_session_is_not_over_before_its_close(lake: Lake) -> None:
    assert unfinished(lake, [NUMBER], NOON) == {NUMBER}
    with pytest.raises(InputError, match=f"the day bars of {DAY}: do not reach its end, and none lie before"):
        last_whole(lake, NOON)


def test_bars_that_were_built_before_the_close_are_not_all_once_more_has_come(lake: Lake) -> None:
    trades(lake, DAY, ("15:30:00", 10_300.0, 2))
    assert unfinished(lake, [NUMBER], EVENING) == {NUMBER}

    build(lake, clock=SimulatedClock(start_us=EVENING))

    assert unfinished(lake, [NUMBER], EVENING) == set()


def test_bars_that_were_built_before_the_close_are_all_where_nothing_more_came(lake: Lake) -> None:
    assert unfinished(lake, [NUMBER], EVENING) == set()
    assert last_whole(lake, EVENING) is None  # as far as there is
    assert last_whole(lake, EVENING, DAY) == DAY


def test_trades_that_come_after_bars_of_the_whole_day_leave_it_over(lake: Lake) -> None:
    build(lake, [DAY], clock=SimulatedClock(start_us=EVENING))
    trades(lake, DAY, ("16:10:00", 10_300.0, 2))

    assert unfinished(lake, [NUMBER], EVENING + 1) == set()


def test_one_learns_up_to_the_last_session_that_is_over(lake: Lake) -> None:
    trades(lake, DAYS[1], ("09:30:00", 10_000.0, 1))
    build(lake, clock=SimulatedClock(start_us=EVENING))

    assert last_whole(lake, clock(DAYS[1], "12:00:00")) == DAY
    assert last_whole(lake, clock(DAYS[1], "12:00:00"), DAYS[1]) == DAY
    assert last_whole(lake, clock(DAYS[1], "18:00:00")) is None


def test_one_learns_nothing_behind_a_session_that_was_built_before_its_close(lake: Lake) -> None:
    trades(lake, DAY, ("15:30:00", 10_300.0, 2))
    trades(lake, DAYS[1], ("15:30:00", 10_400.0, 3))
    build(lake, [DAYS[1]], clock=SimulatedClock(start_us=clock(DAYS[1], "18:00:00")))

    assert unfinished(lake, [NUMBER, int(DAYS[1].replace("-", ""))], clock(DAYS[1], "18:00:00")) == {NUMBER}
    with pytest.raises(InputError, match=f"the day bars of {DAY}: do not reach its end"):
        last_whole(lake, clock(DAYS[1], "18:00:00"), DAYS[1])
