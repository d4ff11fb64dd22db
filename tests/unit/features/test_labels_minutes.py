"""Labels of minutes on bars of which every number is known by hand."""

import numpy as np
import pytest
from panel_parts import Row, flat, midnight, no_features, panel_of, row_of

from hosu.features.label_parts import LATENCY_US
from hosu.features.labels import Beside, Interruption, Reason, Trades, labelled_rows
from hosu.features.panel import BarPanel, LabelledRows

DAY = 20_250_915
NINE = midnight(DAY, 9 * 3600)
MINUTE = 60_000_000
SECOND = 1_000_000


def minutes(rows: dict[int, Row], day: int = DAY) -> list[tuple[int, int, Row]]:
    return [(day, midnight(day, 9 * 3600) + minute * MINUTE, row) for minute, row in sorted(rows.items())]


def calm(first: int = 0, count: int = 60) -> dict[int, Row]:
    """A bar of 10,000 in each minute: the band is one tick of 10, so 0.001, after twenty returns."""
    return {minute: flat(10_000) for minute in range(first, first + count)}


def labelled(panel: BarPanel, horizon: int = 10, beside: Beside | None = None) -> LabelledRows:
    return labelled_rows(panel, no_features(panel), (), horizon, interval="minute", beside=beside)


def why(rows: LabelledRows, minute: int, day: int = DAY) -> Reason:
    """The reason of the row whose bar starts so many minutes after nine."""
    return Reason(row_of(rows, "A", midnight(day, 9 * 3600) + (minute + 1) * MINUTE)["reason"])


def test_a_minute_is_entered_at_the_next_bars_open_and_left_at_the_open_n_minutes_later() -> None:
    bars = calm() | {21: (10_020, 10_050, 10_000, 10_040, 1), 30: (10_090, 10_200, 10_000, 10_100, 1),
                     31: (10_120, 10_120, 10_120, 10_120, 1)}  # fmt: skip

    row = row_of(labelled(panel_of({"A": minutes(bars)})), "A", NINE + 21 * MINUTE)

    assert (row["t0"], row["t1"]) == (NINE + 21 * MINUTE + LATENCY_US, NINE + 31 * MINUTE + LATENCY_US)
    assert row["ret_ex"] == 10_120 / 10_020 - 1
    assert row["ret_px"] == 10_100 / 10_000 - 1  # the close of the last bar that has ended by then
    assert (row["label"], row["reason"]) == (1, 0)
    assert row["band"] == pytest.approx(0.001, rel=2e-9)


def test_after_an_empty_minute_the_next_trade_counts() -> None:
    bars = calm() | {22: (10_030, 10_030, 10_030, 10_030, 1)}
    del bars[21]

    row = row_of(labelled(panel_of({"A": minutes(bars)})), "A", NINE + 21 * MINUTE)

    assert row["t0"] == NINE + 22 * MINUTE
    assert row["ret_ex"] == 10_000 / 10_030 - 1


def test_trades_say_to_the_microsecond_what_the_first_after_the_latency_was() -> None:
    panel = panel_of({"A": minutes(calm())})
    entry = NINE + 21 * MINUTE + LATENCY_US
    at = [entry - 1, entry, NINE + 31 * MINUTE + 5 * SECOND]
    trades = Trades(np.array([0, 3]), np.array(at), np.array([999_900, 1_000_500, 1_010_505]))

    row = row_of(labelled(panel, beside=Beside(trades=trades)), "A", NINE + 21 * MINUTE)

    assert (row["t0"], row["t1"]) == (at[1], at[2])
    assert row["ret_ex"] == 1_010_505 / 1_000_500 - 1


def test_nothing_crosses_the_end_of_continuous_trading() -> None:
    # Continuous trading ends at 15:20, 380 minutes after nine; from 369 on the exit would lie in the auction.
    rows = labelled(panel_of({"A": minutes(calm(300, 91))}))

    assert [why(rows, minute) for minute in (368, 369, 379, 390)] == [
        Reason.LABELLED,
        Reason.OUT_OF_SESSION,
        Reason.OUT_OF_SESSION,
        Reason.OUT_OF_SESSION,
    ]


def test_nothing_crosses_the_night() -> None:
    bars = [*minutes(calm(300, 60)), *minutes(calm(0, 60), 20_250_916)]

    assert why(labelled(panel_of({"A": bars})), 355) == Reason.NO_EXIT_BAR


def test_the_first_minute_of_the_day_has_no_return_over_the_night() -> None:
    tomorrow = {minute: flat(11_000) for minute in range(60)}
    rows = labelled(panel_of({"A": [*minutes(calm(0, 60)), *minutes(tomorrow, 20_250_916)]}))

    row = row_of(rows, "A", midnight(20_250_916, 9 * 3600 + 60))

    assert np.isnan(row["ret_last"])
    assert row["band"] == pytest.approx(10 / 11_000, rel=2e-9)  # the deviation of returns within days is 0


def test_an_exam_day_begins_at_ten() -> None:
    rows = labelled(panel_of({"A": minutes(calm(30, 90), 20_251_113)}))

    assert why(rows, 59, 20_251_113) == Reason.OUT_OF_SESSION
    assert why(rows, 60, 20_251_113) == Reason.LABELLED


@pytest.mark.parametrize(("silent", "expected"), [((25,), Reason.LABELLED), ((25, 26), Reason.SILENT)])
def test_two_whole_minutes_without_a_trade_may_be_an_interruption(silent: tuple[int, ...], expected: Reason) -> None:
    bars = calm()
    for minute in silent:
        del bars[minute]

    assert why(labelled(panel_of({"A": minutes(bars)})), 20) == expected


def test_minutes_without_a_trade_are_silence_too() -> None:
    bars = calm() | {25: flat(10_000, 0), 26: flat(10_000, 0)}
    rows = labelled(panel_of({"A": minutes(bars)}))

    assert [why(rows, minute) for minute in (20, 25)] == [Reason.SILENT, Reason.HALTED]


@pytest.mark.parametrize(("start", "end", "expected"), [(25, 27, Reason.HALTED), (10, 15, 0), (40, 45, 0)])
def test_a_known_interruption_ends_the_labels_that_span_it(start: int, end: int, expected: int) -> None:
    known = Interruption(0, NINE + start * MINUTE, NINE + end * MINUTE)

    assert why(labelled(panel_of({"A": minutes(calm())}), beside=Beside(interruptions=(known,))), 20) == expected


def test_who_enters_at_the_upper_limit_gets_nothing() -> None:
    yesterday = minutes(calm(0, 60))
    today = minutes({minute: flat(13_000) for minute in range(60)}, 20_250_916)

    rows = labelled(panel_of({"A": [*yesterday, *today]}))

    assert why(rows, 30, 20_250_916) == Reason.LOCKED


def test_what_the_bars_do_not_reach_has_not_matured() -> None:
    assert why(labelled(panel_of({"A": minutes(calm())})), 55) == Reason.NOT_MATURED


@pytest.mark.parametrize(
    ("back", "expected"), [(42, Reason.LABELLED), (43, Reason.SILENT), (381, Reason.NO_EXIT_BAR)], ids=str
)
def test_who_has_not_traded_since_waits_though_others_went_on_and_gets_the_reason_of_the_days_end(
    back: int, expected: Reason
) -> None:
    # A trades to 09:40 and once more at a later minute, at 15:21 when continuous trading is over; B trades each minute,
    # and in the last one before A does.
    a, b = minutes(calm(0, 41) | {back: flat(10_000)}), minutes(calm(0, 391))
    told = {}
    for last in range(42, 391, 1 if back < 60 else 20):
        until = NINE + last * MINUTE
        rows = {"A": [row for row in a if row[1] < until], "B": [row for row in b if row[1] <= until]}
        told[last] = why(labelled(panel_of(rows)), 30)

    assert {each for last, each in told.items() if last <= min(back, 379)} <= {Reason.NOT_MATURED}
    assert {each for last, each in told.items() if last > min(back, 379)} == {expected}
    assert why(labelled(panel_of({"A": a, "B": b})), 30) == expected


def test_a_label_of_ten_minutes_begun_in_each_weighs_a_tenth_in_the_middle() -> None:
    rows = labelled(panel_of({"A": minutes(calm(0, 120))}))

    assert row_of(rows, "A", NINE + 61 * MINUTE)["weight"] == pytest.approx(0.1, abs=1e-15)


def test_the_value_of_minutes_is_that_of_the_days_before() -> None:
    days = [20_250_908, 20_250_909, 20_250_910, 20_250_911, 20_250_912, 20_250_915]
    bars = [row for place, day in enumerate(days) for row in minutes({0: flat(10_000, place + 1)}, day)]

    rows = labelled(panel_of({"A": bars}))

    assert np.isnan(rows.value_20[:5]).all()
    assert rows.value_20[5] == 30_000.0  # of 1 to 5 shares, today's 6 not among them
