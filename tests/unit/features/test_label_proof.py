"""Labels do not look further ahead than they say; where they do, it is found."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from feature_cases import panel, random_closes
from hosu.features.label_proof import lookahead
from hosu.features.labels import labelled_rows
from hosu.features.panel import select
from hosu.market.calendar import instant_us, sessions_between

DAYS = sessions_between(dt.date(2025, 3, 4), dt.date(2025, 9, 1))[:90]
NUMBERS = np.array([day.year * 10_000 + day.month * 100 + day.day for day in DAYS])


@pytest.fixture(scope="module")
def bars():
    count = len(DAYS)
    made = panel(
        {"000660": random_closes(1, count), "005930": random_closes(2, count)},
        dates={"000660": NUMBERS, "005930": NUMBERS},
    )
    return replace(made, ts=np.array([instant_us(day, 0) for day in DAYS] * 2, np.int64))


def rows_of(bars, horizon=1):
    return labelled_rows(bars, np.zeros((len(bars), 0)), (), horizon)


def until(bars, end):
    return bars if end is None else select(bars, bars.date <= end)


@pytest.mark.parametrize("horizon", [1, 5])
def test_no_label_changes_when_what_comes_after_it_is_cut_off(bars, horizon):
    found = lookahead(lambda end: rows_of(until(bars, end), horizon), behind=5, cuts=12)
    assert found.passes
    assert found.compared > 1_000


def test_a_return_that_reaches_a_session_too_far_is_found(bars):
    def load(end):
        rows, whole = rows_of(until(bars, end), 1), rows_of(until(bars, end), 5)
        return replace(rows, ret_ex=np.where(np.isnan(whole.ret_ex), rows.ret_ex, whole.ret_ex))

    found = lookahead(load, behind=5, cuts=12)
    assert set(found.differing) == {"ret_ex"}


def test_a_volatility_of_the_whole_history_is_found(bars):
    def load(end):
        rows = rows_of(until(bars, end))
        return replace(rows, band=np.full(len(rows), np.nanstd(rows.ret_last)))

    found = lookahead(load, behind=5, cuts=12)
    assert set(found.differing) == {"band"}
    assert found.examples[0].feature == "band"
