"""The proofs pass on the kernel, and each fails when a fault of its kind is planted."""

from dataclasses import replace

import numpy as np
import pytest

from feature_cases import panel, random_closes
from hosu.errors import InputError
from hosu.features.batch import indicators
from hosu.features.definitions import SCALE_FREE_V1, SPEC_V1, sets_of
from hosu.features.panel import select
from hosu.features.proofs import lookahead, recursive
from hosu.market.features import INDICATORS

BARS = 420
ALL = sets_of("day")


@pytest.fixture(scope="module")
def history():
    days = np.arange(BARS) + 20240101
    return panel({"A": random_closes(1, BARS), "B": random_closes(2, BARS)}, dates={"A": days, "B": days})


def until(bars):
    return lambda cut: bars if cut is None else select(bars, bars.date <= cut.date)


def test_no_feature_looks_ahead(history):
    found = lookahead(until(history), ALL, cuts=7)
    assert found.passes
    assert len(found.cuts) == 7
    assert found.compared == sum(2 * (cut - 20240101 + 1) for cut in found.cuts) * 16


def centred(bars):
    """A mean over the ten bars before and behind, as `rolling(center=True)` gives it."""
    outputs = indicators(bars)
    outputs[:-10, INDICATORS.index("ma_20")] = outputs[10:, INDICATORS.index("ma_20")]
    return outputs


def filled_backwards(bars):
    """Warm-up filled with what comes later."""
    outputs = indicators(bars)
    outputs[:19, INDICATORS.index("volatility")] = outputs[20:40, INDICATORS.index("volatility")].sum()
    return outputs


def scaled_by_the_whole(bars):
    outputs = indicators(bars)
    at = INDICATORS.index("rsi")
    outputs[:, at] /= max(outputs[~np.isnan(outputs[:, at]), at], default=1.0)
    return outputs


@pytest.mark.parametrize(
    ("fault", "feature"), [(centred, "ma_20"), (filled_backwards, "volatility"), (scaled_by_the_whole, "rsi")]
)
def test_a_feature_that_looks_ahead_is_named(history, fault, feature):
    found = lookahead(until(history), [SPEC_V1], cuts=40, outputs=fault)
    assert not found.passes
    assert set(found.differing) == {f"spec_v1.{feature}"}
    assert found.examples[0].feature == f"spec_v1.{feature}"


def test_reading_bars_that_were_adjusted_with_what_came_later_is_found(history):
    def load(cut):
        bars = until(history)(cut)
        return replace(bars, close=bars.close * (2 if cut is None else 1))

    assert "spec_v1.ma_20" in lookahead(load, [SPEC_V1], cuts=3).differing


def test_bars_that_only_the_future_knows_are_found(history):
    whole = select(history, history.date != 20240105)
    found = lookahead(lambda cut: whole if cut is None else until(history)(cut), [SPEC_V1], cuts=400)
    assert found.differing["bars"] > 0


@pytest.fixture(scope="module")
def minutes():
    """Four days of sixty minutes."""
    made = panel({"A": random_closes(3, 240), "B": random_closes(4, 240)})
    day = np.tile(np.repeat(np.arange(4), 60), 2)
    ts = (day * 1_440 + np.tile(np.arange(60), 8)) * 60_000_000 + 1_700_000_000_000_000
    return replace(made, date=day + 20240101, ts=ts)


def each_days_last_close(bars):
    outputs = indicators(bars)
    for day in np.unique(bars.date):
        outputs[bars.date == day, INDICATORS.index("ma_20")] = bars.close[bars.date == day][-1]
    return outputs


def test_what_looks_ahead_within_a_day_is_found_at_instants_and_only_there(minutes):
    behind_dates = lookahead(until(minutes), [SPEC_V1], outputs=each_days_last_close)
    found = lookahead(until(minutes), [SPEC_V1], within_days=True, outputs=each_days_last_close)
    assert behind_dates.passes
    assert set(found.differing) == {"spec_v1.ma_20"}
    assert all(each.ts_us < max(found.cuts) for each in found.examples)


def test_of_minutes_all_before_the_instant_is_compared_and_nothing_looks_ahead(minutes):
    found = lookahead(until(minutes), ALL, cuts=7, within_days=True)
    assert found.passes
    assert found.cuts == sorted(set(found.cuts))
    assert found.compared == sum(int((minutes.ts < cut).sum()) for cut in found.cuts) * 16


def test_one_instant_is_too_few(minutes):
    alone = select(minutes, minutes.ts == minutes.ts.min())
    with pytest.raises(InputError, match="fewer than two instants"):
        lookahead(until(alone), [SPEC_V1], within_days=True)


def test_nothing_to_compare_is_no_pass():
    with pytest.raises(InputError, match="fewer than two dates"):
        lookahead(until(panel({"A": [5.0, 6.0]})), [SPEC_V1])


def test_the_declared_window_covers_what_each_feature_needs(history):
    found = {each.feature: each for each in recursive(history, ALL)}
    assert all(each.passes for each in found.values())
    exact = {"ma_20": 20, "ma_50": 50, "bollinger_position": 20, "volume_ma_ratio": 20, "price_change_pct": 2}
    assert {name: found[f"spec_v1.{name}"].needed for name in exact} == exact
    assert found["spec_v1.volatility"].needed == 21
    assert 100 < found["spec_v1.rsi"].needed <= 300
    assert 100 < found["scale_free_v1.macd_to_close"].needed <= 300


def test_a_window_that_is_declared_too_short_fails(history):
    short = replace(SCALE_FREE_V1, window=60)
    failed = {each.feature for each in recursive(history, [short]) if not each.passes}
    assert failed == {"scale_free_v1.rsi_share", "scale_free_v1.macd_to_close"}


def test_a_feature_that_never_forgets_where_it_began_fails(history):
    def counted(bars):
        outputs = indicators(bars)
        within = np.arange(len(bars)) - np.repeat(bars.starts[:-1], np.diff(bars.starts))
        outputs[:, INDICATORS.index("ma_20")] += within
        return outputs

    found = {each.feature: each for each in recursive(history, [SPEC_V1], outputs=counted)}
    assert found["spec_v1.ma_20"].needed is None
    assert not found["spec_v1.ma_20"].passes


def test_too_little_history_is_refused():
    with pytest.raises(InputError, match="fewer than 360 of every symbol"):
        recursive(panel({"A": random_closes(1, 300)}), ALL)
