"""Minutes of several days with their empty ones: the bars that the build and the stream step."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from feature_cases import bits, panel
from hosu.features.batch import States, indicators
from hosu.features.build import merged
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.grid import fill, filled, known_of, minutes_of
from hosu.features.panel import select
from hosu.features.source import KernelSource
from hosu.market.calendar import sessions_between

FOLLOWED = {20250902: frozenset({"000660", "005930"})}  # the second of the days
DAYS = [day.isoformat() for day in sessions_between(dt.date(2025, 9, 1), dt.date(2025, 9, 6))][:3]


def sparse():
    """Two symbols over three days, each with two minutes of three, one of them absent on the second day."""
    chance, rows = np.random.default_rng(4), {"000660": [], "005930": []}
    for day in DAYS:
        for symbol, listed in rows.items():
            if (symbol, day) != ("000660", DAYS[1]):
                listed += [(day, ts) for ts in minutes_of(day).tolist() if chance.random() < 0.67]
    closes = {s: 50_000 + 50 * np.cumsum(chance.integers(-3, 4, len(listed))) for s, listed in rows.items()}
    dates = {s: [int(day.replace("-", "")) for day, _ in listed] for s, listed in rows.items()}
    made = panel({s: each.astype(float) for s, each in closes.items()}, dates=dates)
    return replace(made, ts=np.array([ts for s in sorted(rows) for _, ts in rows[s]], np.int64))


def test_every_bar_is_found_again_and_between_them_nothing_moves():
    bars = sparse()
    whole, places = filled(bars)
    assert (whole.close[places] == bars.close).all()
    assert (whole.ts[places] == bars.ts).all()
    empty = np.ones(len(whole), bool)
    empty[places] = False
    assert (whole.volume[empty] == 0).all()
    assert len(whole) == of_whole_days(bars) - len(minutes_of(DAYS[1]))  # of 000660 nothing is known that day


def of_whole_days(bars) -> int:
    """The minutes of three days of both symbols, each from its first bar on."""
    begun = [int(bars.ts[first] - minutes_of(DAYS[0])[0]) // 60_000_000 for first in bars.starts[:-1]]
    return 2 * 3 * len(minutes_of(DAYS[0])) - sum(begun)


def test_a_symbol_that_was_followed_and_did_not_trade_has_a_day_of_empty_minutes():
    bars = sparse()
    whole, places = filled(bars, FOLLOWED)
    assert len(whole) == of_whole_days(bars)
    assert (whole.close[places] == bars.close).all()
    mine = (whole.symbol == 0) & (whole.date == int(DAYS[1].replace("-", "")))
    assert (mine.sum(), whole.volume[mine].sum()) == (len(minutes_of(DAYS[1])), 0)
    alone = select(bars, bars.symbol == 0)
    assert (filled(alone, FOLLOWED)[0].symbol == 0).sum() == (whole.symbol == 0).sum()  # also where no other traded


@pytest.mark.parametrize("followed", [{}, FOLLOWED])
def test_a_days_features_are_those_of_stepping_day_by_day_from_the_states_of_the_day_before(followed):
    bars = sparse()
    trained = KernelSource(SCALE_FREE_V1, "minute").compute(bars, followed)
    states, carried, served = States.new(()), {}, {}
    for day in DAYS:
        mine = select(bars, bars.date == int(day.replace("-", "")))
        filled_day = fill(mine, known_of(mine, carried, followed.get(int(day.replace("-", "")), ())), day)
        mine_only = states.of(filled_day.symbols)
        outputs = SCALE_FREE_V1.make(indicators(filled_day, mine_only), filled_day.close / 100.0)
        for row in range(len(filled_day)):
            symbol = filled_day.symbols[int(filled_day.symbol[row])]
            served[symbol, int(filled_day.ts[row])] = outputs[row]
            carried[symbol] = int(filled_day.close[row])
        states = merged(states, mine_only)
    for row in range(len(bars)):
        symbol = bars.symbols[int(bars.symbol[row])]
        assert (bits(trained[row]) == bits(served[symbol, int(bars.ts[row])])).all()


def test_nothing_stays_nothing():
    bars = sparse()
    whole, places = filled(select(bars, np.zeros(len(bars), bool)))
    assert (len(whole), len(places)) == (0, 0)
