"""Minutes of several days with their empty ones: the bars that the build and the stream step."""

import datetime as dt
from dataclasses import replace

import numpy as np

from feature_cases import bits, panel
from hosu.features.batch import States, indicators
from hosu.features.definitions import SCALE_FREE_V1
from hosu.features.grid import fill, filled, minutes_of
from hosu.features.panel import select
from hosu.features.source import KernelSource
from hosu.market.calendar import sessions_between

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
    begun = bars.ts[bars.starts[0]] - minutes_of(DAYS[0])[0]
    assert (
        len(whole)
        == 2 * 3 * len(minutes_of(DAYS[0]))
        - begun // 60_000_000
        - (bars.ts[bars.starts[1]] - minutes_of(DAYS[0])[0]) // 60_000_000
    )


def test_a_days_features_are_those_of_stepping_day_by_day_from_the_states_of_the_day_before():
    bars = sparse()
    trained = KernelSource(SCALE_FREE_V1, "minute").compute(bars)
    states, carried, served = States.new(()), {}, {}
    for day in DAYS:
        mine = select(bars, bars.date == int(day.replace("-", "")))
        filled_day = fill(mine, carried, day)
        states = states.of(filled_day.symbols)
        outputs = SCALE_FREE_V1.make(indicators(filled_day, states), filled_day.close / 100.0)
        for row in range(len(filled_day)):
            symbol = filled_day.symbols[int(filled_day.symbol[row])]
            served[symbol, int(filled_day.ts[row])] = outputs[row]
            carried[symbol] = int(filled_day.close[row])
    for row in range(len(bars)):
        symbol = bars.symbols[int(bars.symbol[row])]
        assert (bits(trained[row]) == bits(served[symbol, int(bars.ts[row])])).all()


def test_nothing_stays_nothing():
    bars = sparse()
    whole, places = filled(select(bars, np.zeros(len(bars), bool)))
    assert (len(whole), len(places)) == (0, 0)
