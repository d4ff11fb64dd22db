"""Which minutes have a bar."""

import numpy as np
from feature_parts import DAY, at, panel_of, trade

from hosu.features.grid import fill, minutes_of, window_of


def clocks(date: str) -> tuple[str, str, int, int]:
    """First and last minute but one, the last one, in Seoul, and how many there are."""
    minutes = (minutes_of(date) - at("00:00:00", date)) // 60_000_000
    return *(f"{m // 60:02}:{m % 60:02}" for m in (minutes[0], minutes[-2])), int(minutes[-1]), len(minutes)


def test_a_day_has_the_minutes_of_continuous_trading_and_the_one_of_the_closing_auction():
    assert clocks(DAY) == ("09:00", "15:19", 15 * 60 + 30, 381)


def test_on_the_day_of_the_university_entrance_exam_all_is_an_hour_later():
    assert clocks("2025-11-13") == ("10:00", "16:19", 16 * 60 + 30, 381)


def test_the_first_trading_day_of_a_year_begins_an_hour_later_and_ends_as_always():
    assert clocks("2025-01-02") == ("10:00", "15:19", 15 * 60 + 30, 321)


def test_the_window_of_the_regular_session_reaches_to_what_follows_the_closing_auction():
    assert window_of(DAY) == (at("09:00:00"), at("15:40:00"))


def test_empty_minutes_are_bars_at_the_last_close_from_the_first_bar_on():
    panel = fill(panel_of([trade("15:17:05", 1, 100.0, 3), trade("15:30:02", 2, 101.0, 5)]), {}, DAY)
    assert ((panel.ts - at("15:00:00")) // 60_000_000).tolist() == [17, 18, 19, 30]
    assert panel.close.tolist() == [10_000, 10_000, 10_000, 10_100]
    assert panel.volume.tolist() == [3, 0, 0, 5]


def test_a_symbol_whose_close_is_known_has_the_whole_day():
    panel = fill(panel_of([trade("15:19:05", 1, 100.0)]), {"A": 9_900, "B": 5_000}, DAY)
    assert panel.symbols == ("A", "B")
    assert panel.starts.tolist() == [0, 381, 762]
    assert panel.close[:380].tolist() == [9_900] * 379 + [10_000]
    assert set(panel.close[381:].tolist()) == {5_000}
    assert panel.volume.sum() == 1


def test_a_minute_outside_the_grid_with_a_trade_is_a_bar_all_the_same():
    panel = fill(panel_of([trade("15:20:00", 1), trade("15:31:00", 2)]), {}, DAY)
    assert ((panel.ts - at("15:00:00")) // 60_000_000).tolist() == [20, 30, 31]


def test_a_factor_takes_effect_on_the_first_trade_of_the_day_for_before_it_nobody_knows_of_one():
    made = panel_of([trade("09:02:00", 1, 20.0)])
    made.factor[0] = 0.2
    panel = fill(made, {"A": 10_001}, DAY)
    assert panel.factor[:4].tolist() == [1.0, 1.0, 0.2, 1.0]
    assert panel.close[:4].tolist() == [10_001, 10_001, 2_000, 2_000]


def test_a_day_without_bars_and_closes_stays_empty():
    panel = fill(panel_of([]), {}, DAY)
    assert len(panel) == 0
    assert panel.starts.tolist() == [0]
    assert panel.ts.dtype == np.int64
