"""Labels do not look further ahead than they say; where they do, it is found."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from feature_cases import panel, random_closes
from hosu.features.label_proof import lookahead
from hosu.features.labels import Reason, labelled_rows
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


def before(rows):
    """Labels of what lies before a cut, made by ``rows(bars, horizon)``."""

    def load(bars):
        def of(cut):
            mine = bars if cut is None else select(bars, bars.date <= cut.date)
            return lambda horizon: rows(mine, horizon) if horizon < len(np.unique(mine.date)) else None

        return of

    return load


def test_no_label_changes_when_what_comes_after_it_is_cut_off(bars):
    found = lookahead(before(rows_of)(bars), [1, 5], cuts=12)
    assert [each.passes for each in found.values()] == [True, True]
    assert found[1].cuts == found[5].cuts
    assert all(each.compared > 1_000 for each in found.values())


def planted(bars, change, horizon=1):
    """What is found of labels that ``change(rows, bars)`` has made otherwise."""

    def rows(mine, horizon):
        return replace(made := rows_of(mine, horizon), **change(made, mine))

    return lookahead(before(rows)(bars), [horizon], cuts=12)[horizon]


def test_a_return_that_reaches_a_session_too_far_is_found(bars):
    def later(rows, mine):
        whole = rows_of(mine, 5)
        return {"ret_ex": np.where(np.isnan(whole.ret_ex), rows.ret_ex, whole.ret_ex)}

    assert set(planted(bars, later).differing) == {"ret_ex"}


def test_a_volatility_of_the_whole_history_is_found(bars):
    found = planted(bars, lambda rows, _: {"band": np.full(len(rows), np.nanstd(rows.ret_last))})
    assert set(found.differing) == {"band"}
    assert found.examples[0].feature == "band"


def test_a_label_that_is_not_there_yet_when_its_interval_has_ended_is_found(bars):
    def waiting(rows, mine):
        last = rows.session >= rows.session.max() - 3
        return {"reason": np.where(last, Reason.NOT_MATURED, rows.reason).astype(np.uint8)}

    assert "reason" in planted(bars, waiting).differing


def test_a_reason_that_comes_of_what_happens_later_is_found(bars):
    def halted_tomorrow(rows, mine):
        falls = {int(day) for day in mine.date[1:][np.diff(mine.close) < 0]}
        number = np.array([int(day.replace("-", "")) for day in rows.sessions])
        after = np.array([any(day in falls for day in number[at + 2 : at + 3]) for at in rows.session])
        return {"reason": np.where(after & rows.labelled, Reason.HALTED, rows.reason).astype(np.uint8)}

    assert "reason" in planted(bars, halted_tomorrow).differing


def test_a_weight_that_knows_of_later_labels_is_found(bars):
    found = planted(bars, lambda rows, _: {"weight": rows.weight / len(rows)}, horizon=5)
    assert set(found.differing) == {"weight"}


def test_a_row_that_the_past_does_not_have_is_found(bars):
    def rows(mine, horizon):
        made = rows_of(mine, horizon)
        return made if len(mine) == len(bars) else made.where(made.session > 0)

    assert set(lookahead(before(rows)(bars), [1], cuts=4)[1].differing) == {"rows"}


@pytest.mark.parametrize(("days", "horizons"), [(20, []), (23, [1]), (28, [1, 5])])
def test_of_too_few_days_only_the_horizons_of_which_a_label_has_ended_are_proven(bars, days, horizons):
    few = select(bars, bars.date <= NUMBERS[days - 1])
    found = lookahead(before(rows_of)(few), [1, 5], cuts=12)
    assert [horizon for horizon, each in found.items() if each.passes] == horizons
    assert [horizon for horizon, each in found.items() if each.cuts] == horizons
