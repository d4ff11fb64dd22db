"""Minutes as they come in: what is taken, what is late, what is empty, and what polls make of one."""

from pathlib import Path

import numpy as np
import pytest
from feature_parts import DAY, MemoryFeatureStore, at, events, poll, rows_of, short, trade

from hosu.clock import SimulatedClock
from hosu.features import bar_kernel
from hosu.features.batch import States
from hosu.features.served import rows_of as table_of
from hosu.features.sink import FeatureSink
from hosu.features.store import Begin


def served(*items, **options) -> list[tuple[str, str, float, int]]:
    """What a new sink serves of trades and closes."""
    store = MemoryFeatureStore()
    sink = FeatureSink(store, **options)
    sink.write(events(*items))
    sink.sync()
    return short(store.closed)


def test_a_minute_has_the_last_price_and_all_shares_of_its_trades():
    items = [trade("09:00:00", 2, 100.5, 2), trade("09:00:59", 5, 101.0, 3), at("09:01:00")]
    assert served(*items) == [("A", "09:00", 101.0, 5)]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, 1e-9, 0.0, -5.0])
def test_a_trade_or_a_poll_whose_price_is_none_is_left_out_as_batch_leaves_it(odd: float):
    items = [trade("09:00:00", 2, 100.5, 2), trade("09:00:01", 5, odd, 3), poll("09:00:02", 7, odd)]
    assert served(*items, at("09:01:00"), polled_of=lambda _: {"P"}) == [("A", "09:00", 100.5, 2)]


def test_nothing_is_served_before_the_log_closes_it():
    assert served(trade("09:00:00", 1), trade("09:05:00", 2)) == []


def test_a_trade_received_twice_counts_once():
    twice = trade("09:00:01", 3, 100.0, 3)
    assert served(twice, twice, trade("09:00:02", 4, 99.0), at("09:01:00")) == [("A", "09:00", 99.0, 4)]


def test_a_trade_that_runs_ahead_of_the_close_goes_to_its_own_minute():
    items = [
        trade("09:00:01", 1, 100.0),
        trade("09:01:00", 2, 105.0),
        trade("09:03:00", 3, 107.0),
        at("09:01:00"),
        trade("09:01:30", 4, 106.0),
        at("09:04:00"),
    ]
    assert served(*items) == [
        ("A", "09:00", 100.0, 1),
        ("A", "09:01", 106.0, 2),
        ("A", "09:02", 106.0, 0),
        ("A", "09:03", 107.0, 1),
    ]


def test_a_late_trade_is_counted_and_left_out():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("09:00:01", 1), at("09:01:00"), trade("09:00:59", 2, 200.0), at("09:02:00")))
    sink.sync()
    assert short(store.closed) == [("A", "09:00", 100.0, 1), ("A", "09:01", 100.0, 0)]
    assert sink.facts == {"late_trades": 1}
    sink.tells["predictions_lost"] = lambda: 7
    assert sink.facts == {"late_trades": 1, "predictions_lost": 7}


def test_of_another_scope_or_without_a_price_nothing_is_taken():
    items = [
        trade("09:00:01", 1, 300.0, scope="UN"),
        trade("09:00:01", 1, 300.0, scope="NXT"),
        trade("09:00:02", 1, 100.0) | {"price": None},
        trade("09:00:03", 2, 100.0),
        at("09:01:00"),
    ]
    assert served(*items) == [("A", "09:00", 100.0, 1)]


def test_trades_before_the_open_and_after_the_close_are_of_no_minute():
    items = [trade("08:35:00", 5, 90.0), trade("09:00:00", 6, 100.0), trade("15:45:00", 7, 95.0), at("15:40:00")]
    rows = served(*items)
    assert {close for _, _, close, _ in rows} == {100.0}
    assert (rows[0][1], rows[-1][1], len(rows)) == ("09:00", "15:30", 381)


def test_the_closing_auction_trades_in_its_minute_and_its_call_has_no_bars():
    items = [trade("15:19:59", 1, 100.0), trade("15:30:07", 9, 103.0, 8), at("15:31:00")]
    assert served(*items) == [("A", "15:19", 100.0, 1), ("A", "15:30", 103.0, 8)]


def test_a_symbol_begins_with_its_first_trade_and_is_then_never_silent():
    items = [trade("09:01:10", 1), at("09:02:00"), trade("09:03:00", 1, 7.0, symbol="B"), at("09:05:00")]
    assert served(*items) == [
        ("A", "09:01", 100.0, 1),
        ("A", "09:02", 100.0, 0),
        ("A", "09:03", 100.0, 0),
        ("A", "09:04", 100.0, 0),
        ("B", "09:03", 7.0, 1),
        ("B", "09:04", 7.0, 0),
    ]


def test_a_close_that_is_said_again_closes_nothing_again():
    assert served(trade("09:00:01", 1), at("09:01:00"), at("09:01:00"), at("09:00:30")) == [("A", "09:00", 100.0, 1)]


def test_only_the_symbols_that_are_followed_have_bars():
    items = [trade("09:00:01", 1), trade("09:00:02", 1, symbol="B"), at("09:01:00")]
    assert served(*items, symbols_of=lambda _: {"B"}) == [("B", "09:00", 100.0, 1)]


def test_what_stands_open_at_a_days_end_is_closed_by_the_first_record_of_the_next():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(
        events(trade("15:29:00", 1), trade("09:00:00", 1, 101.0, date="2025-09-16"), at("09:01:00", "2025-09-16"))
    )
    sink.sync()
    assert [(each.date, each.lsn, each.began) for each in store.closed] == [
        (DAY, 1, "new"),
        ("2025-09-16", 2, f"new+{DAY}"),
    ]
    assert short(store.closed[:1]) == [("A", "15:29", 100.0, 1), ("A", "15:30", 100.0, 0)]
    assert short(store.closed[1:], "2025-09-16") == [("A", "09:00", 101.0, 1)]


def test_a_close_of_a_later_day_begins_it_with_empty_minutes_of_what_is_remembered():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("15:30:00", 1), at("15:40:00"), at("09:02:00", "2025-09-16")))
    sink.sync()
    assert short(store.closed[1:], "2025-09-16") == [("A", "09:00", 100.0, 0), ("A", "09:01", 100.0, 0)]


def state_of(*closes: float, symbol: str = "A") -> States:
    """What the kernel remembers after these closes, volume 1 each."""
    from hosu.features import kernel

    states = States.new((symbol,))
    count = len(closes)
    kernel.step_symbols(
        states.ints,
        states.floats,
        np.zeros(count, np.int64),
        np.array([round(close * 100) for close in closes], np.int64),
        np.ones(count, np.int64),
        np.ones(count),
        np.zeros(count, np.bool_),
        np.empty((count, kernel.OUTPUTS)),
    )
    return states


def test_a_day_begins_with_the_newest_state_before_it():
    store = MemoryFeatureStore(
        Begin("2025-09-11/1", state_of(50.0)), Begin("2025-09-12/3", state_of(98.0)), Begin(f"{DAY}/1", state_of(1.0))
    )
    sink = FeatureSink(store)
    sink.write(events(trade("09:01:00", 1, 100.0), at("09:02:00")))
    sink.sync()
    assert short(store.closed) == [("A", "09:00", 98.0, 0), ("A", "09:01", 100.0, 1)]
    assert store.closed[0].began == "2025-09-12/3"
    assert store.closed[0].outputs[0, 10] == 0.0  # price_change of the empty minute
    assert store.closed[0].outputs[1, 10] == 2.0


def test_a_state_made_meanwhile_of_the_day_before_takes_the_place_of_ones_own():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("09:00:00", 1, 100.0), at("15:40:00")))
    store.begins = {f"{DAY}/2": Begin(f"{DAY}/2", state_of(90.0))}
    sink.write(events(at("09:01:00", "2025-09-16"), first=2))
    sink.sync()
    assert short(store.closed[1:], "2025-09-16") == [("A", "09:00", 90.0, 0)]
    assert store.closed[1].began == f"{DAY}/2"


def test_on_a_day_without_a_session_nothing_is_built():
    assert served(trade("10:00:00", 1, date="2025-09-14"), at("10:05:00", "2025-09-14")) == []


def test_many_symbols_keep_what_they_had_when_room_is_made_for_more():
    items = [trade("09:00:01", 1, 100.0 + i, symbol=f"S{i:03}") for i in range(200)]
    rows = served(*items, at("09:01:00"))
    assert rows == [(f"S{i:03}", "09:00", 100.0 + i, 1) for i in range(200)]


def test_every_trade_is_accounted_for():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(
        events(
            trade("08:59:59", 1),
            trade("09:00:01", 2),
            trade("09:00:01", 2),
            at("09:01:00"),
            trade("09:00:02", 3),
            trade("09:01:02", 4),
        )
    )
    counts = sink._kept.bars.counts
    named = (bar_kernel.TAKEN, bar_kernel.DUPLICATE, bar_kernel.LATE, bar_kernel.OUTSIDE)
    assert [int(counts[at]) for at in named] == [2, 1, 1, 1]
    assert len(rows_of(store.closed)) == 0


def test_a_polled_symbol_has_what_its_polls_count_further_in_the_minute_in_which_they_came():
    items = [
        poll("08:59:00", 900, 90.0),  # may still show the day before
        poll("09:00:10", 5, 100.0),
        poll("09:00:50", 7, 101.0),
        at("09:01:00"),
        poll("09:01:10", 7, 101.0),
        at("09:02:00"),
        poll("09:02:10", 9, 102.0),
        poll("09:02:40", 8, 101.5),  # an old answer of another server
        poll("09:02:50", 9, 102.5),
        at("09:03:00"),
    ]
    assert served(*items, polled_of=lambda _: {"P"}) == [
        ("P", "09:00", 101.0, 7),
        ("P", "09:01", 101.0, 0),
        ("P", "09:02", 102.5, 2),
    ]


def test_what_a_late_poll_counts_is_in_the_next_ones_minute():
    items = [poll("09:00:10", 5), at("09:01:00"), poll("09:00:59", 8), poll("09:01:30", 9, 99.0), at("09:02:00")]
    assert served(*items, polled_of=lambda _: {"P"}) == [("P", "09:00", 100.0, 5), ("P", "09:01", 99.0, 4)]


def test_polls_of_a_symbol_that_streams_are_no_bars():
    assert served(poll("09:00:10", 5, symbol="A"), at("09:01:00"), polled_of=lambda _: {"P"}) == []
    assert served(poll("09:00:10", 5), at("09:01:00")) == []


def test_the_close_of_a_day_is_known_of_who_traded_in_the_closing_auction_and_was_not_polled(tmp_path: Path):
    items = [trade("09:00:10", 1, symbol="A"), trade("09:00:10", 1, 50.0, symbol="B"), poll("15:30:10", 5)]
    items += [trade("15:30:05", 2, 101.0, symbol="A"), trade("15:19:50", 2, 51.0, symbol="B")]
    begun: list[States] = []
    for part in (items, [at("15:40:00"), at("09:01:00", "2025-09-16")]):
        sink = FeatureSink(MemoryFeatureStore(), keep=tmp_path / "features.state", polled_of=lambda _: {"P"})
        sink.on_day.append(lambda _date, _began, states: begun.append(states))
        sink.write(events(*part, first=0 if part is items else len(items)))
        sink.close()
    assert dict(zip(begun[-1].symbols, begun[-1].official.tolist(), strict=True)) == {"A": 10_100, "B": 0, "P": 0}


@pytest.mark.parametrize("cut", range(1, 6))
def test_a_polled_symbol_that_trades_has_trades_from_then_on_however_the_log_is_cut(tmp_path: Path, cut: int):
    items = [
        poll("09:00:10", 5, 100.0),
        trade("09:00:20", 8, 101.0, 3, symbol="P"),
        poll("09:00:30", 10, 105.0),
        trade("09:00:40", 9, 102.0, 1, symbol="P"),
        at("09:01:00"),
        poll("09:01:10", 20, 106.0),
        at("09:02:00"),
    ]
    store = MemoryFeatureStore()
    for first, part in ((0, items[:cut]), (cut, items[cut:])):
        sink = FeatureSink(store, keep=tmp_path / "features.state", polled_of=lambda _: {"P"})
        sink.write(events(*part, first=first))
        sink.close()
    assert short(store.closed) == [("P", "09:00", 102.0, 9), ("P", "09:01", 102.0, 0)]


def test_a_bar_of_polls_says_so():
    from hosu.features import served as rows

    store = MemoryFeatureStore()
    sink = FeatureSink(store, polled_of=lambda _: {"P"})
    sink.write(events(poll("09:00:10", 5), trade("09:00:10", 5), at("09:01:00"), at("09:02:00")))
    sink.close()
    table = rows.rows_of(store.closed)
    found = zip(table.column("symbol").to_pylist(), table.column("source").to_pylist(), strict=True)
    assert sorted(found, key=str) == [("A", "trades"), ("A", None), ("P", "poll"), ("P", None)]


def test_a_row_says_when_it_was_closed_here():
    store, clock = MemoryFeatureStore(), SimulatedClock(start_us=at("09:01:02"))
    sink = FeatureSink(store, clock=clock)
    sink.write(events(trade("09:00:00", 1), at("09:01:00")))
    sink.sync()
    told = table_of(store.closed).column("served_at").cast("int64")
    assert told.to_pylist() == [at("09:01:02")]
