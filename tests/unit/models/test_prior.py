"""The base rates of version 0: counted by session, on as many as anything learns from."""

import numpy as np
import pytest

from hosu.models.history import Event, rates_in
from hosu.models.prior import counted


def test_each_session_weighs_the_same_however_many_symbols_it_has(make_rows):
    rows = make_rows(symbols=20, sessions=141)
    kept = rows.where((rows.session % 2 == 0) | (rows.symbol < 5))
    found = counted(kept)
    shares = [
        [(kept.label[kept.session == each] == k).mean() for k in (-1, 0, 1)]
        for each in range(140)  # of the last one nothing has come yet
    ]
    assert found.rates == pytest.approx(np.mean(shares, axis=0))
    assert (found.sessions, found.first, found.last) == (140, rows.sessions[0], rows.sessions[139])


def test_fewer_sessions_than_anything_learns_from_give_none(make_rows):
    assert counted(make_rows(symbols=5, sessions=120)) is None
    assert counted(make_rows(symbols=5, sessions=121)).sessions == 120


def test_the_sentence_has_the_rates_and_what_they_rest_on(make_rows):
    found = counted(make_rows(symbols=5, sessions=121))
    down, small, up = found.rates
    assert found.sentence == (
        f"base rates of 120 sessions, 2024-01-02 to 2024-06-17: down {down:.3f}, small {small:.3f}, up {up:.3f}"
    )


def history(*cards):
    return [Event("day-1", at, "x", at, 0, None, None, "", False, card, 0) for at, card in enumerate(cards, 1)]


@pytest.mark.parametrize(
    ("cards", "rates"),
    [
        ([], None),
        ([None, {"dataset": "a"}], None),
        ([None, {"prior": [0.2, 0.3, 0.5]}, {"prior": [0.5, 0.3, 0.2]}], (0.2, 0.3, 0.5)),
        ([{"prior": [0.5, 0.5]}, {"prior": ["a", 0.5, 0.5]}, {"prior": 7}], None),
        ([{"prior": [float("nan"), 0.5, 0.5]}, {"prior": [1, 0, 0]}], (1.0, 0.0, 0.0)),
    ],
)
def test_the_oldest_card_that_tells_rates_tells_them_for_good(cards, rates):
    assert rates_in(history(*cards)) == rates
