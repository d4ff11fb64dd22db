"""The kernel against numbers worked out by hand, and against itself from other starts."""

import math

import numpy as np
import pytest

from feature_cases import bits, panel, random_closes
from hosu.errors import InputError
from hosu.features import kernel
from hosu.features.batch import States, indicators
from hosu.market.features import INDICATORS


def column(outputs, name):
    return outputs[:, INDICATORS.index(name)]


def test_the_outputs_have_the_names_of_the_table():
    places = [getattr(kernel, name.upper()) for name in INDICATORS]
    assert places == list(range(kernel.OUTPUTS))


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("ma_20", 20),
        ("ma_50", 50),
        ("rsi", 15),
        ("macd", 26),
        ("macd_signal", 34),
        ("bollinger_upper", 20),
        ("bollinger_lower", 20),
        ("bollinger_position", 20),
        ("volume_ma", 20),
        ("volume_ma_ratio", 20),
        ("price_change", 2),
        ("price_change_pct", 2),
        ("volatility", 21),
    ],
)
def test_while_it_warms_up_an_indicator_is_null_and_then_never_again(name, first):
    values = column(indicators(panel({"A": random_closes(1, 120)})), name)
    assert np.isnan(values[: first - 1]).all()
    assert not np.isnan(values[first - 1 :]).any()


def test_of_prices_that_rise_by_100_won_everything_can_be_worked_out():
    closes = 10_000.0 + 100.0 * np.arange(60)
    outputs = indicators(panel({"A": closes}, volumes={"A": [*range(1, 61)]}))
    last = dict(zip(INDICATORS, outputs[-1].tolist(), strict=True))
    assert last["ma_20"] == 15_900 - 950
    assert last["ma_50"] == 15_900 - 2_450
    assert last["rsi"] == 100.0
    assert last["macd"] == pytest.approx(700.0)  # a mean of k lags a straight line by (k - 1) / 2 steps
    assert last["macd_signal"] == pytest.approx(700.0)
    deviation = 100 * math.sqrt((20**2 - 1) / 12)
    assert last["bollinger_upper"] == pytest.approx(14_950 + 2 * deviation)
    assert last["bollinger_lower"] == pytest.approx(14_950 - 2 * deviation)
    assert last["bollinger_position"] == pytest.approx(0.5 + 950 / (4 * deviation))
    assert last["volume_ma"] == 50.5
    assert last["volume_ma_ratio"] == 60 / 50.5
    assert last["price_change"] == 100.0
    assert last["price_change_pct"] == 15_900 / 15_800 - 1


def test_volatility_is_the_sample_deviation_of_twenty_returns():
    closes = random_closes(3, 40)
    values = column(indicators(panel({"A": closes})), "volatility")
    returns = closes[1:] / closes[:-1] - 1
    assert values[30] == pytest.approx(returns[10:30].std(ddof=1), rel=1e-12)


def test_where_nothing_moves_and_nothing_trades_the_values_are_defined():
    last = dict(
        zip(INDICATORS, indicators(panel({"A": [700.0] * 60}, volumes={"A": [0] * 60}))[-1].tolist(), strict=True)
    )
    assert (last["rsi"], last["bollinger_position"], last["volatility"], last["macd"]) == (50.0, 0.5, 0.0, 0.0)
    assert (last["volume_ma"], last["price_change_pct"]) == (0.0, 0.0)
    assert math.isnan(last["volume_ma_ratio"])


def test_a_split_changes_no_indicator_but_by_its_factor():
    """The same company, once split fifty to one at bar 100, once always so: ratios are equal, prices and volumes too
    from the split on."""
    after = np.rint(random_closes(5, 200, start=50_000) / 50) * 50 / 50
    volumes = np.random.default_rng(5).integers(1, 1_000, 200) * 50
    split = after.copy()
    split[:100] *= 50
    raw = volumes.copy()
    raw[:100] //= 50
    factors = np.ones(200)
    factors[100] = 1 / 50
    plain = indicators(panel({"A": after}, volumes={"A": volumes}))
    across = indicators(panel({"A": split}, volumes={"A": raw}, factors={"A": factors}))
    np.testing.assert_allclose(across[100:], plain[100:], rtol=1e-9, atol=1e-9)
    ratios = [INDICATORS.index(name) for name in ("rsi", "bollinger_position", "price_change_pct", "volatility")]
    np.testing.assert_allclose(across[:100][:, ratios], plain[:100][:, ratios], rtol=1e-9, atol=1e-9)


def test_a_move_that_nothing_explains_begins_the_state_anew():
    closes = random_closes(7, 160)
    masked = np.zeros(160, bool)
    masked[80] = True
    whole = indicators(panel({"A": closes}, masked={"A": masked}))
    alone = indicators(panel({"A": closes[80:]}))
    assert (bits(whole[80:]) == bits(alone)).all()


def test_symbols_do_not_touch_each_other_and_threads_change_nothing():
    closes = {f"S{at:03}": random_closes(at, 80 + at) for at in range(40)}
    together = indicators(panel(closes), threads=4)
    alone = np.concatenate([indicators(panel({symbol: closes[symbol]}), threads=1) for symbol in sorted(closes)])
    assert (bits(together) == bits(alone)).all()


def test_bar_by_bar_over_all_symbols_is_bit_for_bit_what_the_panel_gives():
    closes = {f"S{at}": random_closes(at, 150) for at in range(7)}
    history = panel(closes)
    states = States.new(history.symbols)
    stepped = np.empty((150, 7, kernel.OUTPUTS))
    by_bar = history.close.reshape(7, 150).T.copy()
    everybody, ones = np.arange(7), np.ones(7, np.int64)
    for bar in range(150):
        kernel.step_symbols(
            states.ints, states.floats, everybody, by_bar[bar], ones, np.ones(7), np.zeros(7, bool), stepped[bar]
        )
    assert (bits(stepped.transpose(1, 0, 2).reshape(-1, kernel.OUTPUTS)) == bits(indicators(history))).all()


@pytest.mark.parametrize("cut", [1, 14, 19, 26, 33, 50, 77, 149])
def test_stopped_after_any_bar_and_gone_on_the_numbers_are_the_same_bits(cut):
    closes = {"A": random_closes(1, 150), "B": random_closes(2, 150)}
    first, rest = panel({s: c[:cut] for s, c in closes.items()}), panel({s: c[cut:] for s, c in closes.items()})
    states = States.new(first.symbols)
    indicators(first, states)
    kept = states.of(states.symbols).of(("A", "B"))
    resumed = indicators(rest, kept).reshape(2, 150 - cut, -1)
    whole = indicators(panel(closes)).reshape(2, 150, -1)
    assert (bits(resumed) == bits(whole[:, cut:])).all()


def test_values_over_a_finite_window_have_the_same_bits_from_any_start():
    closes = random_closes(11, 400)
    whole = indicators(panel({"A": closes}))
    later = indicators(panel({"A": closes[137:]}))
    unbounded = {"rsi", "macd", "macd_signal"}
    finite = [at for at, name in enumerate(INDICATORS) if name not in unbounded]
    assert (bits(whole[137 + 60 :, finite]) == bits(later[60:, finite])).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"closes": {"A": [5.0, 0.0]}}, "close 0 of A on 20260102"),
        ({"closes": {"A": [5.0, 5.0]}, "volumes": {"A": [1, -1]}}, "volume -1 of A"),
        ({"closes": {"A": [5.0, 5.0]}, "factors": {"A": [1.0, 0.0]}}, "factor 0.0 of A"),
        ({"closes": {"A": [5.0, 5.0]}, "factors": {"A": [1.0, math.nan]}}, "factor nan of A"),
    ],
)
def test_a_bar_that_cannot_be_is_refused_by_name(change, named):
    with pytest.raises(InputError, match=named):
        indicators(panel(**change))


def test_states_of_other_symbols_are_refused():
    with pytest.raises(InputError, match="other symbols"):
        indicators(panel({"A": [5.0]}), States.new(("B",)))
