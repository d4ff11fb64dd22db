"""One symbol's day in several logs: shards, a repair, a day judged before; each knows only its own records."""

from dataclasses import replace
from typing import Any

import pytest
from ledger_parts import OPEN_US, MemoryLedgerStore, at, book, events, poll, trade
from test_ledger_judge import said, seen

from hosu.clock import SimulatedClock
from hosu.collect.ledger import LedgerSink
from hosu.collect.ledger_judge import judge, tail_of, united
from hosu.market.ledger import Cause

CONNECTED = ("session", {"event": "connected"})
REGISTERED = ("session", {"event": "registered", "tr_id": "H0STCNT0", "key": "005930"})
BROKEN = ("session", {"event": "disconnected", "code": 1006})
CLOCK = [("clock", {"us": at("18:00:00")}), ("clock", {"us": at("18:00:10")})]


@pytest.fixture
def store() -> MemoryLedgerStore:
    return MemoryLedgerStore()


def sink_on(store: MemoryLedgerStore) -> LedgerSink:
    return LedgerSink(store, None, SimulatedClock(OPEN_US))


@pytest.mark.parametrize(
    ("odd", "assumptions"),
    [
        ({"unchecked": 1}, ("old_repeats_are_repeats",)),
        ({"value_breaks": 1}, ("value_may_differ",)),
        ({"count_breaks": 1}, ("counts_may_differ",)),
    ],
)
def test_what_is_assumed_of_one_log_is_assumed_of_all(odd: dict[str, Any], assumptions: tuple[str, ...]) -> None:
    whole = united(seen(witnesses=(said(100),)), [seen(60, **odd)])
    assert judge(whole).assumptions == assumptions


def test_the_end_is_missing_behind_the_last_trade_of_the_log_that_has_it() -> None:
    whole = united(seen(60, last_ts=6, last_recv=7), [seen(100, last_ts=10, last_recv=11, witnesses=(said(120),))])
    tail = tail_of(whole)
    assert tail is not None
    assert (tail.from_volume, tail.before_ts, tail.before_recv) == (100, 10, 11)


def test_a_stream_that_stood_counts_whichever_log_it_came_by(store: MemoryLedgerStore) -> None:
    first = sink_on(store)
    begin = [CONNECTED, REGISTERED, ("trades", trade(10, 10)), ("trades", trade(30, 5))]
    first.write(events(*begin, *CLOCK))
    first.close()
    assert store.day()["missing_shares"] == 15
    repair = sink_on(store)
    repair.write(events(("trades", trade(25, 15, source="rest")), wal="w2"))
    repair.close()
    assert (store.day()["state"], store.day()["assumptions"]) == ("assumed", ["stream_stood_to_the_end"])
    assert judge(replace(united(seen(60, stood=2), [seen(100)]), gaps=())).state == "open"


def test_the_cause_is_sought_between_this_logs_records_not_at_another_logs_numbers(store: MemoryLedgerStore) -> None:
    polls = sink_on(store)
    polls.write(events(("snapshots", poll(50, ts_recv=at("09:00:09"))), wal="w2"))
    polls.sync()
    sink = sink_on(store)
    sink.write(events(CONNECTED, REGISTERED, ("trades", trade(10, 10)), BROKEN, CONNECTED))
    sink.close()
    (gap,) = store.open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.cause) == (10, 50, Cause.RECONNECT)


def test_what_this_log_missed_before_its_first_trade_is_a_late_start_though_another_had_the_day_s_begin(
    store: MemoryLedgerStore,
) -> None:
    first = sink_on(store)
    first.write(events(("trades", trade(10, 10)), wal="w2"))
    first.sync()
    sink = sink_on(store)
    sink.write(events(CONNECTED, REGISTERED, ("trades", trade(30, 5))))
    sink.close()
    (gap,) = store.open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.cause) == (10, 25, Cause.LATE_START)


def test_a_log_that_begins_a_day_while_another_tells_of_it_for_the_first_time_judges_it_too(
    store: MemoryLedgerStore,
) -> None:
    first = sink_on(store)
    first.write(events(("trades", trade(10, 10)), ("quotes", book(10, "18:00:01")), wal="w1"))
    first.flush()  # the state's own turn has not come
    assert store.day()["state"] == "certified"
    second = sink_on(store)
    second.write(events(("trades", trade(15, 5, symbol="000660")), wal="w2"))
    second.close()
    assert store.day("000660")["missing_shares"] == 10
