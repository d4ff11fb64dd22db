"""What labels take from trades, books and messages of a lake, on cases of which every number is known by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lake_parts import (
    DAYS,
    bars,
    books,
    clock,
    instruments,
    matches,
    messages,
    minute_bars,
    polled_books,
    polls,
    trades,
)
from panel_parts import row_of

from hosu.errors import InputError
from hosu.features.dataset import build
from hosu.features.dataset_definition import Definition
from hosu.features.dataset_files import encode, reproduce, save
from hosu.features.labels import Reason
from hosu.features.labels_of_lake import LabelsOfLake
from hosu.features.panel import BarPanel, LabelledRows
from hosu.lake.compact import compact
from hosu.lake.lake import Lake

DAY, NEXT = DAYS[0], DAYS[1]
MINUTES = 60


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with a bar of 10,000 in each of the first sixty minutes of A's and B's day."""
    lake = Lake.open(str(tmp_path / "lake"))
    calm = dict.fromkeys(range(MINUTES), 10_000.0)
    minute_bars(lake, DAY, {"A": calm, "B": calm})
    return lake


def labelled(lake: Lake, interval: str = "minute", horizon: int = 10, **span: str) -> LabelledRows:
    found = LabelsOfLake(lake, interval).rows(horizon, **span)
    assert found is not None
    return found


def at(rows: LabelledRows, when: str, symbol: str = "A", day: str = DAY) -> dict[str, Any]:
    """The row that is decided at that time."""
    return row_of(rows, symbol, clock(day, when))


# --- trades ----------------------------------------------------------------------------------------------------------


def test_a_minute_is_entered_and_left_at_the_first_trades_two_seconds_after_the_decision(lake: Lake) -> None:
    trades(lake, DAY, ("09:30:01", 10_010.0, 1), ("09:30:02", 10_020.0, 2), ("09:30:02", 10_030.0, 3),
           ("09:40:01", 10_040.0, 4), ("09:40:07", 10_050.0, 5), ("09:40:08", 10_060.0, 6))  # fmt: skip

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["t1"]) == (clock(DAY, "09:30:02"), clock(DAY, "09:40:07"))
    assert row["ret_ex"] == 10_050 / 10_020 - 1


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, 1e15, 1e-9, 0.0, -5.0])
def test_what_is_no_price_is_no_trade_and_blocks_no_other(lake: Lake, odd: float) -> None:
    trades(lake, DAY, ("09:30:02", odd, 1), ("09:30:03", 10_020.0, 2), ("09:40:02", odd, 3), ("09:40:07", 10_050.0, 4))

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["t1"]) == (clock(DAY, "09:30:03"), clock(DAY, "09:40:07"))
    assert row["ret_ex"] == 10_050 / 10_020 - 1


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300])
def test_a_bar_or_a_base_that_is_no_price_blocks_no_label_of_others(lake: Lake, odd: float) -> None:
    instruments(lake, DAYS[1], ("A", odd), ("B", 10_000.0))
    minute_bars(lake, DAYS[1], {"A": {0: odd, 1: 10_000.0}, "B": dict.fromkeys(range(MINUTES), 10_000.0)})

    rows = labelled(lake)

    assert at(rows, "09:30:00", "B", DAYS[1])["ret_ex"] == 0.0
    assert not np.isinf(rows.ret_ex).any()


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e308])
def test_a_book_that_is_no_price_has_no_spread(lake: Lake, odd: float) -> None:
    books(lake, DAY, ("09:29:00", odd, 10_000.0), ("09:39:00", odd, odd))

    with np.errstate(all="raise"):
        found = labelled(lake)

    assert at(found, "09:30:00")["half_spread"] == at(found, "09:50:00")["half_spread"]  # both from a tick


def test_a_minute_whose_only_trade_came_before_the_latency_is_not_entered(lake: Lake) -> None:
    trades(lake, DAY, ("09:30:01", 10_010.0, 1), ("09:31:00", 10_020.0, 2), ("09:40:30", 10_040.0, 3))

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["ret_ex"]) == (clock(DAY, "09:31:00"), 10_040 / 10_020 - 1)


def test_a_bar_whose_trades_the_lake_does_not_have_is_entered_at_its_open(lake: Lake) -> None:
    trades(lake, DAY, ("09:29:50", 9_990.0, 1), ("09:45:30", 10_040.0, 2))

    rows = labelled(lake)

    assert at(rows, "09:30:00")["t0"] == clock(DAY, "09:30:02")  # of the bar of 09:30, by whoever made it
    assert at(rows, "09:35:00")["t1"] == clock(DAY, "09:45:30")
    assert at(rows, "09:35:00")["ret_ex"] == 10_040 / 10_000 - 1
    assert at(rows, "09:30:00", "B")["ret_ex"] == 0.0


def test_a_trade_that_no_bar_holds_does_not_count(lake: Lake) -> None:
    # Bars end at 09:59; that trades go on says nothing of what lies between.
    trades(lake, DAY, ("09:50:01", 10_010.0, 1), ("10:00:05", 10_500.0, 2), ("10:01:05", 10_500.0, 3))

    rows = labelled(lake)

    assert at(rows, "09:50:00")["reason"] == Reason.NOT_MATURED
    assert at(rows, "09:49:00")["reason"] == Reason.LABELLED


def test_in_the_last_bar_a_trade_before_the_latency_does_not_end_a_label(lake: Lake) -> None:
    trades(lake, DAY, ("09:49:02", 10_010.0, 1), ("09:59:01", 10_020.0, 2))

    assert at(labelled(lake), "09:49:00")["reason"] == Reason.NOT_MATURED


def test_a_trade_that_came_twice_is_one_and_a_repaired_one_counts_like_any_other(lake: Lake) -> None:
    rest = {"source": "rest", "mkop_code": None}
    trades(lake, DAY, ("09:30:02", 10_020.0, 2), ("09:30:02", 10_020.0, 2, rest), ("09:40:02", 10_080.0, 4, rest))

    row = at(labelled(lake), "09:30:00")

    assert row["ret_ex"] == 10_080 / 10_020 - 1


@pytest.mark.parametrize(
    "other",
    [{"mkop_code": "22"}, {"mkop_code": "23"}, {"scope": "UN"}, {"price": 0.0}, {"price": None}, {"cum_volume": None}],
    ids=str,
)
def test_what_an_order_could_not_have_had_is_no_entry(lake: Lake, other: dict[str, object]) -> None:
    trades(lake, DAY, ("09:30:02", 9_000.0, 1, other), ("09:30:03", 10_020.0, 2), ("09:40:02", 10_020.0, 3))

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["ret_ex"]) == (clock(DAY, "09:30:03"), 0.0)


@pytest.mark.parametrize("code", ["22", "23", "12"])
def test_a_minute_of_nothing_but_a_block_is_entered_and_left_at_the_next_trade(lake: Lake, code: str) -> None:
    block = {"mkop_code": code}
    trades(lake, DAY, ("09:30:10", 11_000.0, 1, block), ("09:31:05", 10_020.0, 2), ("09:40:30", 9_000.0, 3, block),
           ("09:41:02", 10_080.0, 4))  # fmt: skip

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["t1"]) == (clock(DAY, "09:31:05"), clock(DAY, "09:41:02"))
    assert row["ret_ex"] == 10_080 / 10_020 - 1


def test_where_all_trades_are_blocks_the_bars_of_other_minutes_stand_for_theirs(lake: Lake) -> None:
    trades(lake, DAY, ("09:30:10", 11_000.0, 1, {"mkop_code": "22"}))

    row = at(labelled(lake), "09:30:00")

    assert (row["t0"], row["t1"], row["ret_ex"]) == (clock(DAY, "09:31:00"), clock(DAY, "09:40:02"), 0.0)


def test_trades_of_an_auction_are_no_exit(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    minute_bars(lake, DAY, {"A": dict.fromkeys([*range(340, 380), 390], 10_000.0)})
    trades(lake, DAY, ("15:09:01", 10_010.0, 1), ("15:30:00", 11_000.0, 2))

    assert at(labelled(lake), "15:08:00")["t1"] == clock(DAY, "15:18:02")  # the open of the bar, whose trade is unknown
    assert at(labelled(lake), "15:10:00")["reason"] == Reason.OUT_OF_SESSION


# --- interruptions ---------------------------------------------------------------------------------------------------


def halted(rows: LabelledRows, symbol: str = "A") -> list[int]:
    """The minutes after nine at whose end a label is refused for an interruption."""
    mine = (rows.symbol == rows.symbols.index(symbol)) & (rows.reason == Reason.HALTED)
    return ((rows.t[mine] - clock(DAY, "09:00:00")) // 60_000_000).tolist()


VI = {"vi_code": "Y"}
HALT = {"halted": True}


@pytest.mark.parametrize("how", [VI, HALT], ids=str)
def test_no_label_spans_a_halt_or_a_volatility_interruption(lake: Lake, how: dict[str, object]) -> None:
    messages(lake, DAY, ("09:40:30", how), ("09:40:50", how), ("09:42:40", {}))

    rows = labelled(lake)

    # Exits from 09:40:31 on (decided at 09:31), decisions before 09:42:40.
    assert halted(rows) == list(range(31, 43))
    assert halted(rows, "B") == []


def test_a_volatility_interruption_within_a_halt_ends_with_the_halt(lake: Lake) -> None:
    messages(lake, DAY, ("09:40:30", HALT), ("09:41:00", HALT | VI), ("09:42:00", HALT), ("09:45:00", {}))

    assert halted(labelled(lake)) == list(range(31, 45))


def test_what_a_message_does_not_say_stays_as_it_was(lake: Lake) -> None:
    messages(lake, DAY, ("09:40:30", HALT), ("09:41:00", {"halted": None, "vi_code": None}), ("09:45:00", {}))

    assert halted(labelled(lake)) == list(range(31, 45))


def test_an_interruption_whose_end_was_not_received_lasts_to_the_close(lake: Lake) -> None:
    messages(lake, DAY, ("09:40:30", VI))

    assert halted(labelled(lake)) == list(range(31, 50))  # those behind have not matured


BREAKER = [("09:40:30", {"mkop_code": "174"}), ("09:41:00", {"mkop_code": "397"}), ("09:44:00", {"mkop_code": "175"})]


def test_a_circuit_breaker_stops_every_symbol_whose_market_is_not_another(lake: Lake) -> None:
    messages(lake, DAY, *BREAKER)
    everybody = labelled(lake)
    instruments(lake, DAY, ("A", 10_000.0), ("B", 10_000.0, {"market": "KOSDAQ"}))

    others = labelled(lake)

    assert halted(everybody) == halted(everybody, "B") == halted(others) == list(range(31, 44))
    assert halted(others, "B") == []


def test_a_sidecar_stops_nobody(lake: Lake) -> None:
    messages(lake, DAY, ("09:40:30", {"mkop_code": "397"}), ("09:45:00", {"mkop_code": "398"}))

    assert halted(labelled(lake)) == []


def test_books_of_an_auction_tell_of_an_interruption_without_any_message(lake: Lake) -> None:
    auction = {"hour_code": "C"}
    books(lake, DAY, ("09:40:30", 10_010.0, 10_000.0, auction), ("09:42:29", 10_010.0, 10_000.0, auction),
          ("09:42:40", 10_010.0, 10_000.0))  # fmt: skip

    assert halted(labelled(lake)) == list(range(31, 43))


def test_expected_matches_in_continuous_trading_do_too(lake: Lake) -> None:
    matches(lake, DAY, ("08:50:00", "A"), ("09:40:30", "A"), ("09:40:40", "A"))

    assert halted(labelled(lake)) == list(range(31, 41))


def test_messages_of_a_day_that_was_replayed_later_are_timed_by_their_log(lake: Lake) -> None:
    # Received a year later, in three seconds; behind what was traded at 09:40:30, and before what was at 09:42:40.
    trades(lake, DAY, *[(when, 10_000.0, lsn + 1, {"lsn": lsn, "symbol": "B"}) for lsn, when in
                        ((0, "09:39:00"), (10, "09:40:30"), (20, "09:42:40"))])  # fmt: skip
    later = clock("2026-09-15", "03:00:00")
    messages(lake, DAY, ("09:00:00", {**VI, "lsn": 11, "ts_recv": later}), ("09:00:00", {"lsn": 20, "ts_recv": later}))

    assert halted(labelled(lake)) == list(range(31, 43))


# --- spreads ---------------------------------------------------------------------------------------------------------

HALF_TICK = 5 / 10_000
"""Half a tick of 10 won at 10,000."""


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ([("09:29:58", 10_020.0, 9_980.0), ("09:29:59", 10_030.0, 9_990.0)], 40 / 20_020),
        ([("09:29:59", 10_030.0, 9_990.0), ("09:30:00", 10_010.0, 10_000.0)], 40 / 20_020),  # at t is not before t
        ([("09:25:00", 10_030.0, 9_990.0)], 40 / 20_020),
        ([("09:24:59", 10_030.0, 9_990.0)], HALF_TICK),  # older than five minutes
        ([("09:29:00", 10_030.0, 9_990.0), ("09:29:30", 0.0, 10_000.0)], HALF_TICK),  # nobody sells
        ([("09:29:00", 10_030.0, 9_990.0), ("09:29:30", 10_000.0, 10_020.0)], HALF_TICK),  # crossed
        ([("09:29:30", 10_030.0, 9_990.0, {"hour_code": "C"})], HALF_TICK),  # an auction's
        ([("09:29:30", 10_030.0, 9_990.0, {"scope": "UN"})], HALF_TICK),
        ([("09:29:30", 10_030.0, 9_990.0, {"symbol": "B"})], HALF_TICK),
        ([("08:59:59", 10_030.0, 9_990.0)], HALF_TICK),
    ],
)
def test_half_the_spread_of_a_minute_is_that_of_the_last_book_before_it_is_decided(
    lake: Lake, told: list[tuple[Any, ...]], expected: float
) -> None:
    books(lake, DAY, *told)

    assert at(labelled(lake), "09:30:00")["half_spread"] == expected


def test_within_a_second_the_book_that_was_logged_last_counts(lake: Lake) -> None:
    books(lake, DAY, ("09:29:59", 10_030.0, 9_990.0, {"lsn": 7}), ("09:29:59", 10_050.0, 9_990.0, {"lsn": 6}))

    assert at(labelled(lake), "09:30:00")["half_spread"] == 40 / 20_020


@pytest.mark.parametrize(
    ("polled", "expected"),
    [
        ((("09:29:00", 10_030.0, 9_990.0),), 40 / 20_020),
        ((("09:29:00", 10_050.0, 9_990.0), ("09:29:30", 10_030.0, 9_990.0)), 40 / 20_020),
        ((("09:30:00", 10_030.0, 9_990.0),), HALF_TICK),
        ((("09:29:00", 0.0, 0.0),), HALF_TICK),
        ((("09:29:00", None, None),), HALF_TICK),
        ((("09:29:00", 10_030.0, 9_990.0, {"scope": "UN"}),), HALF_TICK),
        ((("09:29:00", 10_030.0, 9_990.0, {"ts_recv": clock(NEXT, "09:29:00")}),), HALF_TICK),  # replayed later
    ],
)
def test_of_a_symbol_that_is_only_polled_the_book_of_the_last_poll_counts(
    lake: Lake, polled: tuple[tuple[Any, ...], ...], expected: float
) -> None:
    polled_books(lake, DAY, *polled)

    assert at(labelled(lake), "09:30:00")["half_spread"] == expected


def test_of_a_poll_and_a_streamed_book_the_later_counts(lake: Lake) -> None:
    books(lake, DAY, ("09:29:20", 10_050.0, 9_990.0), ("09:39:40", 10_030.0, 9_990.0))
    polled_books(lake, DAY, ("09:29:30", 10_030.0, 9_990.0), ("09:39:30", 10_050.0, 9_990.0))

    rows = labelled(lake)

    assert at(rows, "09:30:00")["half_spread"] == at(rows, "09:40:00")["half_spread"] == 40 / 20_020


def days(lake: Lake) -> None:
    for day in DAYS[:24]:
        bars(lake, day, ("A", 10_000.0, 10), ("B", 10_000.0, 10))


def minute_of(number: int) -> str:
    return f"09:{number:02d}:30"


def test_half_the_spread_of_a_day_is_the_median_of_its_minutes(lake: Lake) -> None:
    days(lake)
    # 15 minutes of 20 won, then 16 of 40 and at last, until five minutes later, 60.
    wide = [*([20.0] * 15), *([40.0] * 16), 60.0]
    books(lake, DAYS[21], *[(minute_of(place), 10_000 + width, 10_000.0) for place, width in enumerate(wide)])

    rows = labelled(lake, "day", 1)

    found = rows.half_spread[rows.session == 21].tolist()
    assert found == [40 / 20_040, HALF_TICK]
    assert set(rows.half_spread[rows.session != 21].tolist()) == {HALF_TICK}


def test_polls_tell_of_a_day_too(lake: Lake) -> None:
    days(lake)
    polled_books(lake, DAYS[21], *[(minute_of(place), 10_020.0, 10_000.0) for place in range(30)])

    assert labelled(lake, "day", 1).half_spread[-6] == 20 / 20_020


def test_of_too_few_minutes_no_median_is_taken(lake: Lake) -> None:
    days(lake)
    books(lake, DAYS[21], *[(minute_of(place), 10_020.0, 10_000.0) for place in range(25)])  # and four after them

    assert set(labelled(lake, "day", 1).half_spread.tolist()) == {HALF_TICK}


# --- one way for all -------------------------------------------------------------------------------------------------


class Closes:
    name, version, names, revision = "closes", 1, ("close",), "r1"

    def compute(self, panel: BarPanel, followed: Any = None) -> Any:
        return panel.close[:, None] / 100.0


ALL = Definition(horizon=10, interval="minute", days="all")


def full(lake: Lake) -> None:
    trades(lake, DAY, ("09:30:02", 10_020.0, 1), ("09:40:02", 10_080.0, 2))
    books(lake, DAY, ("09:29:59", 10_030.0, 9_990.0), ("09:50:30", 10_030.0, 9_990.0, {"symbol": "B"}))
    messages(lake, DAY, ("09:45:00", VI), ("09:47:00", {}))


def test_a_dataset_has_the_labels_that_predictions_are_scored_by(lake: Lake) -> None:
    full(lake)

    learned, scored = build(lake, Closes(), ALL).rows, labelled(lake)

    for name in ("t", "symbol", "t0", "t1", "ret_px", "ret_ex", "label", "reason", "half_spread", "band"):
        np.testing.assert_array_equal(getattr(learned, name), getattr(scored, name), err_msg=name)
    assert at(learned, "09:30:00")["ret_ex"] == 10_080 / 10_020 - 1
    assert at(learned, "09:30:00")["half_spread"] == 40 / 20_020
    assert at(learned, "09:40:00")["reason"] == Reason.HALTED


@pytest.mark.parametrize(
    "more",
    [
        lambda lake: trades(lake, DAY, ("09:32:02", 10_090.0, 3)),
        lambda lake: books(lake, DAY, ("09:32:02", 10_050.0, 9_990.0)),
        lambda lake: messages(lake, DAY, ("09:25:00", VI), ("09:27:00", {})),
        lambda lake: matches(lake, DAY, ("09:25:00", "A")),
    ],
    ids=["trades", "books", "messages", "expected matches"],
)
def test_whatever_moves_a_label_makes_another_dataset_and_the_old_one_is_not_made_again(lake: Lake, more: Any) -> None:
    full(lake)
    old = build(lake, Closes(), ALL)
    save(lake, old)
    more(lake)

    new = build(lake, Closes(), ALL)

    assert new.id != old.id
    assert encode(new) != encode(old)
    with pytest.raises(InputError, match="comes out as another one"):
        reproduce(lake, old.facts, Closes())


def test_what_moves_none_leaves_the_dataset_what_it_was(lake: Lake) -> None:
    full(lake)
    old = build(lake, Closes(), ALL)
    trades(lake, DAY, ("09:30:02", 10_020.0, 1), ("09:30:30", 10_021.0, 2))  # twice, and one that is no first
    books(lake, DAY, ("09:29:20", 10_060.0, 9_990.0))
    compact(lake)

    new = reproduce(lake, old.facts, Closes())

    assert (new.id, encode(new)) == (old.id, encode(old))


def test_of_dates_before_the_first_row_no_events_are_read(lake: Lake) -> None:
    minute_bars(lake, NEXT, {"A": dict.fromkeys(range(MINUTES), 10_000.0)})
    full(lake)
    trades(lake, NEXT, ("09:30:02", 10_020.0, 1), ("09:40:02", 10_080.0, 2))

    rows = labelled(lake, since=NEXT)

    assert at(rows, "09:30:00")["ret_ex"] == 0.0
    assert at(rows, "09:30:00", day=NEXT)["ret_ex"] == 10_080 / 10_020 - 1


def test_too_few_bars_have_no_labels(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    assert LabelsOfLake(lake, "minute").rows(10) is None
    polls(lake, DAY, ("A", 10_000.0))
    bars(lake, DAY, ("A", 10_000.0, 1))
    assert LabelsOfLake(lake, "day").rows(1) is None
    with pytest.raises(InputError, match="interval 'hour': is unknown"):
        LabelsOfLake(lake, "hour")
