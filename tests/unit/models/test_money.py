"""Holdings and their costs, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hosu.models import money as m


def test_the_best_tenth_is_held_in_equal_parts():
    weights = m.top_weights(np.arange(20.0))
    assert weights[18:].tolist() == [0.5, 0.5]
    assert weights[:18].sum() == 0


def test_names_equal_at_the_border_share_what_is_left_of_it():
    # Two of twenty are held: one is best, four share the second place.
    score = np.array([9.0, *[5.0] * 4, *[1.0] * 15])
    np.testing.assert_allclose(m.top_weights(score), [0.5, *[0.125] * 4, *[0.0] * 15])


def test_a_score_that_is_the_same_for_all_holds_all_alike_and_missing_ones_not():
    np.testing.assert_allclose(m.top_weights(np.array([1.0, 1.0, np.nan, 1.0, 1.0])), [0.25, 0.25, 0, 0.25, 0.25])
    assert m.top_weights(np.full(3, np.nan)).tolist() == [0, 0, 0]


def test_gross_is_beside_the_universe_and_cost_is_tax_fee_and_spread_of_both_sides(make_rows):
    rows = make_rows(symbols=20, sessions=3)
    rows = rows.where(rows.session == 0)
    ret = np.full(20, 0.01)
    ret[[7, 9]] = 0.05, 0.03
    value = np.full(20, 2e9)
    value[0] = np.nan  # cannot be held, and is in no mean
    rows = replace(rows, ret_ex=ret, value_20=value)
    score = np.zeros(20)
    score[7] = 1.0  # the better half of the tenth of 19; nine tenths of one are shared by the other 18
    found = m.money(rows, score, 1, min_symbols=10)
    top = (0.05 + 0.9 * (0.03 + 17 * 0.01) / 18) / 1.9
    universe = (0.05 + 0.03 + 17 * 0.01) / 19
    cost = 2 * (0.0005 + 0.00015) + 0.0018  # sold in January 2024
    np.testing.assert_allclose(found.top, [top, np.nan, np.nan])
    np.testing.assert_allclose(found.gross[0], top - universe)
    np.testing.assert_allclose(found.excess[0], top - universe - cost)
    np.testing.assert_allclose(found.absolute[0], top - cost)


def test_the_tax_is_that_of_the_date_of_sale(make_rows):
    rows = make_rows(symbols=10, sessions=300)
    found = m.money(rows.where(rows.labelled), np.zeros(len(rows))[rows.labelled], 1, min_symbols=10)
    by_date = dict(zip(rows.sessions, found.cost, strict=True))
    assert by_date["2024-12-24"] == pytest.approx(0.0013 + 0.0018)
    assert by_date["2024-12-26"] == pytest.approx(0.0013 + 0.0015)  # sold on the 27th, settled in 2025


def test_too_few_names_to_hold_leave_the_session_out(make_rows):
    rows = make_rows(symbols=20, sessions=3)
    found = m.money(replace(rows, value_20=np.full(60, 9e8)), np.zeros(60), 1, min_symbols=1)
    assert np.isnan(found.top).all()


def test_overlapping_holdings_earn_in_equal_parts_and_are_averaged():
    # Holdings of two sessions earn half each session; from the second session on two of them run.
    holding = m.Money(np.array([0.02, 0.04, 0.06]), np.zeros(3), np.zeros(3), 2)
    np.testing.assert_allclose(holding.a_session(holding.gross), [0.01, 0.015, 0.025])


def test_a_session_without_a_holding_is_left_out_of_the_mean():
    np.testing.assert_allclose(
        m.running_mean(np.array([np.nan, 1.0, np.nan, np.nan, 3.0]), 2), [np.nan, 1, 1, np.nan, 3]
    )
