"""A made-up history: repeatable, on the grid, within the limits, and with the signal that was asked for."""

import datetime as dt

import numpy as np
import pytest

from hosu.errors import InputError
from hosu.market.calendar import is_session
from hosu.models.synthetic import as_table, history, sessions_up_to

DAYS = sessions_up_to(dt.date(2026, 9, 11), 60)


def test_the_sessions_are_the_last_ones_up_to_the_day():
    assert len(DAYS) == 60
    assert DAYS[-1] == dt.date(2026, 9, 11)
    assert all(is_session(day) for day in DAYS)
    assert sessions_up_to(dt.date(2026, 9, 13), 1) == [dt.date(2026, 9, 11)]  # a Sunday


def test_the_same_seed_gives_the_same_history_and_another_one_another():
    one, same, other = (history(DAYS, 5, seed=seed) for seed in (1, 1, 2))
    assert (one.close == same.close).all()
    assert (one.close != other.close).any()


def test_bars_are_possible_and_on_the_grid_of_ticks():
    made = history(DAYS, 20, seed=3)
    assert (made.low <= np.minimum(made.open, made.close)).all()
    assert (made.high >= np.maximum(made.open, made.close)).all()
    assert (made.volume > 0).all()
    assert (made.close % 100 == 0).all()
    dear = made.close >= 50_000_00
    assert (made.close[dear] % 100_00 == 0).all()


def test_a_planted_signal_is_there_and_none_where_none_was_asked_for():
    def correlation(signal):
        made = history(sessions_up_to(dt.date(2026, 9, 11), 120), 60, seed=1, signal=signal)
        move = (made.close / made.open - 1).reshape(60, 120)
        volume = made.volume.reshape(60, 120).astype(float)
        mean = np.lib.stride_tricks.sliding_window_view(volume, 20, axis=1).mean(axis=2)
        ratio = volume[:, 19:] / mean
        return np.mean([np.corrcoef(ratio[:, at], move[:, 20 + at])[0, 1] for at in range(100 - 1)])

    assert abs(correlation(0.0)) < 0.04
    assert correlation(0.3) > 0.15


def test_as_a_table_it_has_won_and_one_row_a_bar():
    made = history(DAYS[:2], 3, seed=1)
    table = as_table(made)
    assert table.column_names == ["date", "symbol", "open", "high", "low", "close", "volume", "value"]
    assert table.column("symbol").to_pylist() == ["100000", "100000", "100010", "100010", "100020", "100020"]
    assert table.column("close").to_pylist() == (made.close / 100).tolist()


@pytest.mark.parametrize(("symbols", "signal"), [(0, 0.0), (9_001, 0.0), (5, -0.1), (5, 1.1)])
def test_what_cannot_be_made_is_refused(symbols, signal):
    with pytest.raises(InputError, match="cannot be"):
        history(DAYS, symbols, seed=1, signal=signal)
