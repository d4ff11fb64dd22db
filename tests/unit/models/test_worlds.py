"""Worlds rebuilt from bars: what is turned, what stays, and what was planted."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hosu.market.rules import round_to_tick
from hosu.models import worlds
from hosu.models.scores import rank_ic


def inside(panel):
    return panel.close / panel.open - 1


def gap(panel):
    return panel.open[1:] / panel.close[:-1] - 1


WORLDS = {
    "flip": lambda panel: worlds.flip(panel, 1),
    "walk": lambda panel: worlds.walk(panel, 1),
    "shuffle": lambda panel: worlds.shuffle(panel, 1),
    "plant": lambda panel: worlds.plant(panel, 0.5),
}


@pytest.mark.parametrize("world", WORLDS)
def test_bars_stay_bars_and_volumes_stay(make_panel, world):
    before = make_panel()
    after = WORLDS[world](before)
    assert after.open.dtype == after.close.dtype == after.high.dtype == after.low.dtype == np.int64
    assert (after.low >= 1).all()
    assert (after.low <= np.minimum(after.open, after.close)).all()
    assert (after.high >= np.maximum(after.open, after.close)).all()
    assert after.volume is before.volume
    assert after.close[25] == after.open[25] == after.high[25] == after.low[25] == after.close[24]


@pytest.mark.parametrize("world", ["flip", "walk", "shuffle"])
def test_the_same_seed_makes_the_same_world_and_another_one_another(make_panel, world):
    make = getattr(worlds, world)
    panel = make_panel()
    assert make(panel, 3).close.tolist() == make(panel, 3).close.tolist()
    assert make(panel, 3).close.tolist() != make(panel, 4).close.tolist()


def test_a_flip_turns_gap_and_move_of_every_symbol_by_one_sign_a_session(make_panel):
    before = make_panel()
    after = worlds.flip(before, 2)
    ratio = (inside(after) / np.where(before.volume == 0, np.nan, inside(before))).reshape(6, 40)
    signs = np.sign(ratio)
    assert (np.nanmax(signs, axis=0) == np.nanmin(signs, axis=0)).all()
    assert {-1.0, 1.0} == set(signs[5])
    np.testing.assert_allclose(inside(after), inside(before) * np.tile(signs[5], 6), atol=2e-5)
    inner = np.ones(239, bool)
    inner[39::40] = False  # from one symbol to the next
    np.testing.assert_allclose(gap(after)[inner], (gap(before) * np.tile(signs[5], 6)[1:])[inner], atol=2e-5)


def test_high_and_low_change_places_in_a_turned_bar(make_panel):
    before = make_panel()
    after = worlds.flip(before, 2)
    turned = inside(after) * inside(before) < 0
    high = after.high / after.open - 1
    np.testing.assert_allclose(high[turned], (1 - before.low / before.open)[turned], atol=2e-5)
    np.testing.assert_allclose(high[~turned], (before.high / before.open - 1)[~turned], atol=2e-5)


def test_without_a_turn_a_rebuilt_panel_is_the_old_one(make_panel):
    panel = make_panel()
    same = worlds._rebuilt(panel, worlds._moves(panel))
    assert (same.open.tolist(), same.high.tolist()) == (panel.open.tolist(), panel.high.tolist())
    assert (same.low.tolist(), same.close.tolist()) == (panel.low.tolist(), panel.close.tolist())


def test_a_split_stays_a_split(make_panel):
    panel = make_panel()
    factor = np.ones(len(panel))
    factor[10] = 0.2
    fifth = np.where((np.arange(len(panel)) >= 10) & (np.arange(len(panel)) < 40), 0.2, 1.0)
    split = replace(
        panel,
        factor=factor,
        **{n: np.rint(getattr(panel, n) * fifth).astype(np.int64) for n in ("open", "high", "low", "close")},
    )
    whole, parted = worlds.flip(panel, 5), worlds.flip(split, 5)
    np.testing.assert_allclose(parted.close, whole.close * fifth, rtol=1e-4)


def test_a_masked_move_stays_and_a_steep_gain_becomes_its_reciprocal():
    turn = np.ones(3, bool)
    np.testing.assert_allclose(worlds._turned(np.array([3.0, 0.5, -0.5]), turn), [-0.75, -0.5, 0.5])


def test_shuffling_deals_the_days_moves_anew(make_panel):
    before = make_panel()
    after = worlds.shuffle(before, 1)
    for day in (0, 7, 30):
        np.testing.assert_allclose(
            np.sort(inside(after).reshape(6, 40)[:, day]), np.sort(inside(before).reshape(6, 40)[:, day]), atol=3e-5
        )
    assert not np.allclose(inside(after), inside(before), atol=1e-3)


def test_a_walk_is_on_the_grid_and_as_volatile_as_the_symbol_was(make_panel):
    before = make_panel(symbols=40, bars=300)
    after = worlds.walk(before, 1)
    for at in (5, 4_000, 9_000):
        day = worlds._day(int(after.date[at]))
        assert after.close[at] == 100 * round_to_tick(after.close[at] / 100, day)
        assert after.high[at] == 100 * round_to_tick(after.high[at] / 100, day)
    ratio = inside(after).reshape(40, 300).std(axis=1) / inside(before).reshape(40, 300).std(axis=1)
    assert np.median(ratio) == pytest.approx(1.0, abs=0.05)


def test_a_walk_keeps_how_much_the_symbols_move_together(make_panel):
    before = make_panel(symbols=40, bars=300)
    market = np.tile(np.random.default_rng(9).normal(0, 0.02, 300), 40)
    close = np.rint(before.open * (1 + inside(before) * 0.5 + market)).astype(np.int64)
    high, low = np.maximum(before.high, close), np.minimum(before.low, close)
    # Each bar's open follows the close before at random here; only moves within bars are looked at.
    tied = replace(before, close=np.where(before.volume > 0, close, before.close), high=high, low=low)
    moves = inside(worlds.walk(tied, 1)).reshape(40, 300)
    together = np.corrcoef(moves)[np.triu_indices(40, 1)].mean()
    wanted = np.corrcoef(inside(tied).reshape(40, 300))[np.triu_indices(40, 1)].mean()
    assert together == pytest.approx(wanted, abs=0.08)


@pytest.mark.parametrize("strength", [0.0, 0.15, 0.5])
def test_what_is_planted_is_seen_in_the_volume_ratio_at_the_bar_before(make_panel, strength):
    panel = worlds.plant(make_panel(symbols=150, bars=120), strength)
    volume = panel.volume.reshape(150, 120).astype(float)
    ratio = np.array([[v[t] / v[t - 19 : t + 1].mean() for t in range(19, 119)] for v in volume])
    following = inside(panel).reshape(150, 120)[:, 20:]
    t = np.repeat(np.arange(100), 150)
    found = rank_ic(ratio.T.ravel(), following.T.ravel(), t=t, session=t, count=100)
    # Of normal returns: correlation strength / sqrt(1 + strength²), a little less by ranks.
    assert found.mean() == pytest.approx(strength / np.sqrt(1 + strength**2), abs=0.03)


@given(st.integers(0, 2**31))
def test_turning_labels_keeps_their_size_and_features(make_rows, seed):
    rows = make_rows(symbols=3, sessions=30)
    after = worlds.flip_labels(rows, seed)
    np.testing.assert_array_equal(np.abs(after.ret_ex), np.abs(rows.ret_ex))
    np.testing.assert_array_equal(after.label * np.sign(after.ret_ex), rows.label * np.sign(rows.ret_ex))
    assert after.features is rows.features
    signs = np.sign(after.ret_ex * rows.ret_ex).reshape(30, 3)[:29]
    assert (signs == signs[:, :1]).all()
