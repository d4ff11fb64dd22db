"""Labels of days on bars of which every number is known by hand."""

import hashlib
import random
from datetime import date
from itertools import pairwise
from statistics import stdev

import numpy as np
import pytest
from panel_parts import Row, days_of, flat, midnight, no_features, row_of, sessions

from hosu.errors import InputError
from hosu.features.labels import REVISION, Beside, Reason, labelled_rows
from hosu.features.panel import BarPanel, LabelledRows

DAYS = sessions(32)
CALM: list[Row | None] = [flat(10_000)] * 21
"""Twenty returns of 0, so that the band is one tick of 10 over 10,000: 0.001."""
CLOSE_S = 15 * 3600 + 30 * 60 + 30


def labelled(panel: BarPanel, horizon: int = 1, beside: Beside | None = None) -> LabelledRows:
    return labelled_rows(panel, no_features(panel), (), horizon, beside=beside)


def reason(rows: LabelledRows, place: int) -> Reason:
    """Why the only symbol's row of the session at this place has no label."""
    found = np.flatnonzero(rows.session == place)
    assert len(found) == 1
    return Reason(rows.reason[found[0]])


def test_a_day_is_entered_at_the_next_open_and_left_at_that_days_close() -> None:
    panel = days_of({"A": [*CALM, (10_100, 10_300, 10_100, 10_201, 100)]}, DAYS)

    row = row_of(labelled(panel), "A", midnight(DAYS[20], CLOSE_S))

    assert row["t0"] == midnight(DAYS[21], 9 * 3600)
    assert row["t1"] == midnight(DAYS[21], CLOSE_S)
    assert row["t1_session"] == 21
    assert row["ret_px"] == 10_201 / 10_000 - 1
    assert row["ret_ex"] == 10_201 / 10_100 - 1
    assert (row["price"], row["half_spread"], row["ret_last"]) == (10_000.0, 0.0005, 0.0)
    assert row["band"] == pytest.approx(0.001, rel=2e-9)
    assert (row["label"], row["reason"], row["weight"]) == (1, 0, 1.0)
    assert row["value_20"] == 1_000_000.0  # 100 shares at 10,000


@pytest.mark.parametrize(("close", "label"), [(10_010, 0), (10_011, 1), (9_990, 0), (9_989, -1)])
def test_a_move_of_one_tick_is_small(close: int, label: int) -> None:
    panel = days_of({"A": [*CALM, (10_000, 10_500, 9_500, close, 100)]}, DAYS)

    assert row_of(labelled(panel), "A", midnight(DAYS[20], CLOSE_S))["label"] == label


def test_the_band_is_a_quarter_of_the_volatility_over_the_horizon() -> None:
    closes = [10_000 + 300 * (place % 3) for place in range(21)]
    panel = days_of({"A": [flat(close) for close in [*closes, *[10_000] * 5]]}, DAYS)
    deviation = stdev(after / before - 1 for before, after in pairwise(closes))

    one, five = (row_of(labelled(panel, h), "A", midnight(DAYS[20], CLOSE_S))["band"] for h in (1, 5))

    assert one == pytest.approx(0.25 * deviation, rel=2e-9)
    assert five == pytest.approx(0.25 * deviation * 5**0.5, rel=2e-9)


def test_five_sessions_overlap_and_share_their_weight() -> None:
    panel = days_of({"A": [flat(10_000)] * 32}, DAYS)

    rows = labelled(panel, 5)

    # Labels of the sessions 20 to 26 cover 21 to 31; that of 20: 21 with one, 22 with two, ... 25 with five.
    assert rows.labelled.sum() == 7
    first = row_of(rows, "A", midnight(DAYS[20], CLOSE_S))
    assert first["t1"] == midnight(DAYS[25], CLOSE_S)
    assert first["weight"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4 + 1 / 5) / 5, abs=1e-15)


def test_a_split_between_the_closes_is_no_loss() -> None:
    panel = days_of({"A": [*CALM, flat(204)]}, DAYS, factor={("A", 21): 0.02})

    row = row_of(labelled(panel), "A", midnight(DAYS[20], CLOSE_S))

    assert row["ret_px"] == pytest.approx(0.02, abs=1e-12)  # from 200 to 204
    assert row["ret_ex"] == 0.0  # opened and closed at 204


def test_a_split_behind_the_entry_is_taken_out_of_the_trade_too() -> None:
    after = [flat(10_000), flat(5_000), flat(5_000), flat(5_000), flat(5_250)]
    panel = days_of({"A": [*CALM, *after]}, DAYS, factor={("A", 22): 0.5})

    row = row_of(labelled(panel, 5), "A", midnight(DAYS[20], CLOSE_S))

    assert row["ret_ex"] == pytest.approx(0.05, abs=1e-12)
    assert row["ret_px"] == pytest.approx(0.05, abs=1e-12)


def test_sessions_are_the_markets_not_the_symbols() -> None:
    # A has no bar on session 21, so that its next one is not tomorrow's; B shows that the market traded.
    panel = days_of({"A": [*CALM, None, flat(10_500)], "B": [flat(10_000)] * 23}, DAYS)

    rows = labelled(panel)

    assert row_of(rows, "A", midnight(DAYS[20], CLOSE_S))["reason"] == Reason.NO_ENTRY_BAR
    assert row_of(rows, "B", midnight(DAYS[20], CLOSE_S))["reason"] == 0


def test_no_bar_on_the_day_of_the_exit_is_no_label() -> None:
    panel = days_of({"A": [*CALM, *[flat(10_000)] * 4, None, flat(10_000)], "B": [flat(10_000)] * 27}, DAYS)

    assert row_of(labelled(panel, 5), "A", midnight(DAYS[20], CLOSE_S))["reason"] == Reason.NO_EXIT_BAR
    assert row_of(labelled(panel, 5), "A", midnight(DAYS[19], CLOSE_S))["reason"] == Reason.WARM_UP


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (flat(10_000, 0), Reason.HALTED),
        ((13_000, 13_000, 12_900, 12_900, 100), Reason.LOCKED),
        ((12_990, 13_000, 12_900, 12_900, 100), Reason.LABELLED),
        ((7_000, 7_100, 7_000, 7_100, 100), Reason.LABELLED),
        (None, Reason.NOT_MATURED),
    ],
)
def test_what_cannot_be_bought_at_the_open_has_no_label(after: Row | None, why: Reason) -> None:
    # 30 % of 10,000: the limits are 7,000 and 13,000. At the lower one everybody sells, so it can be bought.
    panel = days_of({"A": [*CALM, after]}, DAYS)

    assert reason(labelled(panel), 20) == why


def test_an_adjusted_price_one_tick_from_the_limit_is_locked_too() -> None:
    panel = days_of({"A": [*CALM, (12_990, 13_000, 12_900, 12_900, 100)]}, DAYS)

    rows = labelled(panel, beside=Beside(adjusted=np.ones(len(panel), np.bool_)))

    assert reason(rows, 20) == Reason.LOCKED


def test_a_move_without_an_explanation_ends_the_labels_that_span_it() -> None:
    panel = days_of({"A": [*CALM, flat(10_000), *[flat(20_000)] * 2]}, DAYS, masked=[("A", 22)])

    rows = labelled(panel)

    assert [reason(rows, place) for place in (20, 21, 22)] == [0, Reason.BEYOND_LIMIT, 0]


def test_a_masked_move_is_no_return_and_counts_for_no_volatility() -> None:
    panel = days_of({"A": [*CALM, flat(20_000), flat(20_000), flat(20_000)]}, DAYS, masked=[("A", 21)])

    rows = labelled(panel)
    masked, after = (row_of(rows, "A", midnight(DAYS[place], CLOSE_S)) for place in (21, 22))

    assert np.isnan(masked["ret_last"])
    assert after["band"] == pytest.approx(50 / 20_000, rel=2e-9)  # one tick: the deviation is still 0


def test_without_twenty_returns_there_is_no_band() -> None:
    rows = labelled(days_of({"A": [flat(10_000)] * 22}, DAYS))

    assert [reason(rows, place) for place in (0, 19, 20, 21)] == [
        Reason.WARM_UP,
        Reason.WARM_UP,
        Reason.LABELLED,
        Reason.NOT_MATURED,
    ]


def test_days_that_are_not_certified_are_neither_learned_from_nor_traded_on() -> None:
    certified = np.ones(24, np.bool_)
    certified[22] = False
    panel = days_of({"A": [*CALM, *[flat(10_000)] * 3]}, DAYS)

    rows = labelled(panel, beside=Beside(certified=certified))

    assert [reason(rows, place) for place in (20, 21, 22)] == [
        Reason.LABELLED,
        Reason.UNCERTIFIED,
        Reason.UNCERTIFIED,
    ]


def test_the_value_is_the_median_of_twenty_days_and_unknown_before_five() -> None:
    panel = days_of({"A": [flat(10_000, shares) for shares in range(1, 24)]}, DAYS)

    rows = labelled(panel)
    values = [row_of(rows, "A", midnight(day, CLOSE_S))["value_20"] for day in DAYS[:23]]

    assert np.isnan(values[:4]).all()
    assert values[4] == 30_000.0  # of 1, 2, 3, 4, 5 shares
    assert values[22] == 135_000.0  # of 4 to 23 shares


def test_a_measured_spread_counts_before_half_a_tick() -> None:
    panel = days_of({"A": [*CALM, flat(10_000)]}, DAYS)
    measured = np.full(22, np.nan)
    measured[20] = 0.002

    rows = labelled(panel, beside=Beside(half_spread=measured))

    assert [row_of(rows, "A", midnight(DAYS[at], CLOSE_S))["half_spread"] for at in (19, 20)] == [0.0005, 0.002]


def test_rows_are_in_order_of_time_and_symbol_with_their_features() -> None:
    panel = days_of({"A": [flat(100), flat(101), flat(102)], "B": [flat(200), None, flat(202)]}, DAYS)

    rows = labelled_rows(panel, panel.close[:, None] / 100.0, ("close",), 1)

    assert rows.features[:, 0].tolist() == [100.0, 200.0, 101.0, 102.0, 202.0]
    assert rows.symbol.tolist() == [0, 1, 0, 0, 1]
    assert rows.session.tolist() == [0, 0, 1, 2, 2]
    assert rows.sessions == ("2025-01-02", "2025-01-03", "2025-01-06")


def test_an_exam_day_ends_an_hour_later() -> None:
    days = sessions(40, start=date(2025, 10, 15))
    exam = days.index(20_251_113)

    rows = labelled(days_of({"A": [flat(10_000)] * 40}, days))

    assert rows.t[rows.session == exam].tolist() == [midnight(20_251_113, CLOSE_S + 3600)]


@pytest.mark.parametrize(
    ("horizon", "fault"), [(0, "is not positive"), (22, r"is longer than the data \(22 sessions\)")]
)
def test_a_horizon_that_cannot_be_is_refused(horizon: int, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        labelled(days_of({"A": [*CALM, flat(10_000)]}, DAYS), horizon)


def test_a_change_that_moves_a_number_has_another_revision() -> None:
    # If this fails and the change is meant, raise REVISION and put the new digest here.
    chance = random.Random(5)
    days, price, rows = sessions(60), 10_000, []
    for _ in days:
        price = max(1_000, price + 10 * chance.randrange(-40, 41))
        rows.append(
            (price - 20, price + 50, price - 50, price, 0 if chance.random() < 0.05 else chance.randrange(1, 99))
        )
    panel = days_of({"A": rows, "B": rows[::-1]}, days, factor={("B", 30): 0.5}, masked=[("A", 40)])

    found = labelled(panel, 5)

    columns = (found.t, found.t0, found.t1, found.ret_px, found.ret_ex, found.band, found.label, found.reason)
    digest = hashlib.sha256(b"".join(column.tobytes() for column in (*columns, found.weight, found.value_20)))
    assert (REVISION, digest.hexdigest()[:16]) == (3, "915c93ecabf0f4ce")


def test_features_of_other_rows_are_refused() -> None:
    with pytest.raises(InputError, match="compute them from the same panel"):
        labelled_rows(days_of({"A": CALM}, DAYS), np.zeros((20, 1)), ("one",), 1)


def test_a_bar_on_a_day_without_trading_is_refused() -> None:
    with pytest.raises(InputError, match="bars of 20250104: lie on a day without trading"):
        labelled(days_of({"A": [flat(100)] * 3}, [20_250_103, 20_250_104, 20_250_106]))
