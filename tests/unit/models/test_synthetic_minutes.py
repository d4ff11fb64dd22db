"""Made-up minutes: what is planted is there, what is not is not, and a session goes on where the last one ended."""

from datetime import date

import numpy as np
import pytest

from hosu.errors import InputError, NoSessionError
from hosu.models.scores import ranks
from hosu.models.synthetic_minutes import MinuteMarket, minute_history

DAYS = (date(2026, 9, 10), date(2026, 9, 11))


def of(table, name):
    return np.asarray(table.column(name).to_numpy())


def grid(table, name, symbols):
    return of(table, name).reshape(-1, symbols)


def skill(table, symbols):
    """Mean rank correlation of the close over the mean of the last 20 with the move of the next ten minutes."""
    close, found = grid(table, "close", symbols), []
    for at in range(20, len(close) - 10, 10):
        told, moved = close[at] / close[at - 19 : at + 1].mean(axis=0), close[at + 10] / close[at]
        same = np.zeros(symbols, np.int64)
        found.append(np.corrcoef(ranks(told, same), ranks(moved, same))[0, 1])
    return np.mean(found)


def test_a_planted_signal_is_seen_turned_when_turned_and_absent_when_absent():
    told = [skill(MinuteMarket(150, 3).session(DAYS[0], signal), 150) for signal in (0.2, 0.0, -0.2)]
    assert told[0] > 0.3
    assert abs(told[1]) < 0.05
    assert told[2] < -0.3


def test_bars_are_possible_ones_and_their_amounts_those_of_trades_at_their_prices():
    made = minute_history(DAYS, 30, seed=1)
    opened, high, low, close = (of(made, name) for name in ("open", "high", "low", "close"))
    assert (high == np.maximum(opened, close)).all()
    assert (low == np.minimum(opened, close)).all()
    volume, amount = of(made, "volume"), of(made, "amount")
    assert (volume > 0).all()
    assert ((amount >= volume * low) & (amount <= volume * high)).all()
    assert (opened % 10 == 0).all()  # the tick from 5,000 to 20,000 won


def test_a_session_goes_on_where_the_last_one_ended_and_has_the_minutes_asked_for():
    made = minute_history(DAYS, 30, seed=1, minutes=45)
    assert len(made) == 2 * 45 * 30
    close, opened = grid(made, "close", 30), grid(made, "open", 30)
    assert (close[44] == opened[45]).all()
    assert of(made, "time")[0] == 90_000
    assert of(made, "time")[44 * 30] == 94_400


def test_the_whole_session_ends_with_the_closing_auction():
    assert of(MinuteMarket(2, 1).session(DAYS[0]), "time")[-1] == 153_000


def test_the_same_seed_gives_the_same_bars():
    assert minute_history(DAYS, 5, seed=7).equals(minute_history(DAYS, 5, seed=7))
    assert not minute_history(DAYS, 5, seed=7).equals(minute_history(DAYS, 5, seed=8))


@pytest.mark.parametrize(
    ("symbols", "signal", "minutes"), [(0, 0.0, None), (9_001, 0.0, None), (5, 1.5, None), (5, 0.1, 0)]
)
def test_what_cannot_be_made_is_refused(symbols, signal, minutes):
    with pytest.raises(InputError):
        minute_history(DAYS, symbols, seed=1, signal=signal, minutes=minutes)


def test_a_day_without_a_session_is_refused():
    with pytest.raises(NoSessionError):
        MinuteMarket(3, 1).session(date(2026, 9, 12))
