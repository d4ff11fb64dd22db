"""What the begin of a day makes of what is remembered: the judgement of batch, before the day's first trade."""

import numpy as np
import pytest

from hosu.features import kernel
from hosu.features.adjust import LastTrade
from hosu.features.batch import States
from hosu.features.openings import Morning, last_trades, opening

DAY, BEFORE, LONG_BEFORE = "2025-09-16", 20250915, 20250908


def remembered(date=BEFORE, official=None, **closes):
    """States of symbols whose last close was that many won, on that date, and the official one if not told."""
    states = States.new(tuple(closes))
    everybody = np.arange(len(closes))
    price = np.array([close * 100 for close in closes.values()], np.int64)
    ones, clear = np.ones(len(closes)), np.zeros(len(closes), np.bool_)
    out = np.empty((len(closes), kernel.OUTPUTS))
    kernel.step_symbols(states.ints, states.floats, everybody, price, price, ones, clear, out)
    states.dates[:], states.official[:] = date, price if official is None else official * 100
    return states


def facts(*halted, **base):
    return Morning("instruments@1", {symbol: won * 100 for symbol, won in base.items()}, frozenset(halted), {})


def judged(states, known, date=DAY):
    found = opening(states, date, known)
    return list(zip(found.factor.tolist(), found.masked.tolist(), strict=True))


@pytest.mark.parametrize(
    ("close", "base", "factor"),
    [
        (50_000, 10_000, 0.2),  # a split of one into five
        (50_000, 50_050, 1.0),  # less than a tick apart
        (50_000, 48_500, 0.97),  # a dividend in shares
        (1_000, 5_000, 5.0),  # five into one
    ],
)
def test_a_base_that_differs_from_the_last_close_rescales_what_is_remembered(close, base, factor):
    assert judged(remembered(A=close), facts(A=base)) == [(factor, False)]


@pytest.mark.parametrize(
    ("official", "base", "factor"),
    [
        (0, 51_500, 1.0),  # where it closed is not known: the base may be that
        (0, 10_300, 0.206),  # no session leads there
        (51_500, 51_500, 1.0),
        (51_500, 10_300, 0.2),
    ],
)
def test_a_base_is_read_beside_the_official_close_and_what_is_in_doubt_goes_on(official, base, factor):
    assert judged(remembered(official=official, A=50_000), facts(A=base)) == [(factor, False)]


def test_each_symbol_has_its_own_and_what_is_not_known_stays():
    states = remembered(A=50_000, B=70_000, C=900)
    assert judged(states, facts(A=10_000, C=900)) == [(0.2, False), (1.0, False), (1.0, False)]
    assert judged(states, None) == [(1.0, False)] * 3


def test_a_symbol_that_never_traded_has_nothing_to_rescale():
    assert judged(States.new(("A",)), facts(A=10_000)) == [(1.0, False)]


@pytest.mark.parametrize("date", [LONG_BEFORE, 0])
def test_beside_a_close_of_an_older_day_the_base_tells_of_no_event_but_of_a_move_that_nobody_saw(date):
    assert judged(remembered(date, A=50_000), facts(A=10_000)) == [(1.0, True)]
    assert judged(remembered(date, A=50_000), facts(A=45_000)) == [(1.0, False)]


def test_after_a_halt_an_older_close_was_carried_and_the_base_counts():
    assert judged(remembered(LONG_BEFORE, A=50_000, B=50_000), facts("A", A=10_000, B=10_000)) == [
        (0.2, False),
        (1.0, True),
    ]


def test_the_last_trades_are_those_of_symbols_that_had_one():
    states = remembered(A=500).of(("A", "B"))
    assert last_trades(states) == {"A": LastTrade(50_000, BEFORE, 50_000)}
