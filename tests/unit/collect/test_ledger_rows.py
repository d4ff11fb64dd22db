"""How much is told of a hole at the end: when it grows, when it is taken back, and before it has had its time."""

from typing import Any

import pytest
from ledger_parts import OPEN_US, MemoryLedgerStore, at, book, events, poll, trade

from hosu.clock import SimulatedClock
from hosu.collect import ledger_others
from hosu.collect.ledger import LedgerConfig, LedgerSink

LATE_US = OPEN_US + 60_000_000


@pytest.fixture
def store() -> MemoryLedgerStore:
    return MemoryLedgerStore()


def sink_on(store: MemoryLedgerStore, **config: float) -> LedgerSink:
    return LedgerSink(store, LedgerConfig(**config), SimulatedClock(OPEN_US))


def poll_s(volume: int, second: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return "snapshots", poll(volume, ts_recv=LATE_US + second * 1_000_000, **more)


def test_a_hole_that_grows_with_every_poll_is_told_as_soon_as_any_and_not_with_every_poll(
    store: MemoryLedgerStore,
) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10))))
    for second in range(60):
        sink.write(events(poll_s(20 + second, second), first=1 + second))
        sink.flush()
        assert store.holes() == ([] if second < 5 else [(10, 25)])
    assert len(store.gap_rows) == 1
    assert len(store.event_rows) == 1
    sink.close()
    assert store.holes() == [(10, 79)]


def test_what_a_witness_takes_back_was_not_repaired(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), poll_s(1_000_000, 0), poll_s(1_000_000, 10)))
    sink.flush()
    assert store.holes() == [(10, 1_000_000)]
    sink.write(events(poll_s(10, 20), first=3))
    sink.flush()
    assert store.holes() == []
    assert [row["event"] for row in store.event_rows] == ["opened"]
    assert store.gap_rows[-1].detail.startswith("nobody says any more that there was so much; was: a poll says 1,000,")


def test_of_a_hole_that_is_partly_filled_and_partly_taken_back_only_what_came_was_repaired(
    store: MemoryLedgerStore,
) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), poll_s(50, 0), poll_s(50, 10)))
    sink.flush()
    sink.write(events(("trades", trade(25, 15, ts_recv=LATE_US + 20_000_000)), poll_s(25, 21), first=3))
    sink.flush()
    assert store.told() == [("opened", 10, 50, 40), ("repaired", 10, 50, 15)]


def test_no_day_is_certified_while_a_witness_that_says_more_has_not_had_its_time(store: MemoryLedgerStore) -> None:
    sink = sink_on(store, coverage_every_s=0.0)
    end = at("18:00:01")
    whole = [("quotes", book(10, "18:00:01", ts_recv=end)), ("snapshots", poll(10, ts_recv=end))]
    sink.write(events(("trades", trade(10, 10)), *whole))
    sink.flush()
    assert store.day()["state"] == "certified"
    sink.write(events(("quotes", book(12, "18:00:02", ts_recv=end + 1_000_000)), first=3))
    sink.flush()
    assert (store.day()["state"], store.day()["reason"]) == ("open", "the end of the day was not seen")
    sink.write(events(("trades", trade(12, 2, "18:00:00", ts_recv=end + 2_000_000)), first=4))
    sink.flush()
    assert store.day()["state"] == "certified"


def test_symbols_that_are_only_polled_are_not_looked_at_all_the_time(
    store: MemoryLedgerStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    judge = ledger_others.judge
    monkeypatch.setattr(ledger_others, "judge", lambda seen: looked.append(seen.series[2]) or judge(seen))
    sink = sink_on(store)
    polls = [poll_s(100 + n, n, symbol=f"{n:06}") for n in range(50)]
    sink.write(events(("trades", trade(10, 10)), ("trades", trade(30, 10)), *polls))
    sink.flush()
    assert looked == ["005930"]
    sink.close()
    assert len(looked) == 52
    assert store.day("000007")["state"] == "polled"


def test_who_filled_a_hole_is_who_sent_the_trades_that_did(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    asked = ("session", {"event": "registered", "tr_id": "H0STCNT0", "key": "005930"})
    sink.write(events(asked, ("trades", trade(10, 10)), ("trades", trade(30, 10)), poll_s(50, 0), poll_s(50, 10)))
    sink.flush()
    sink.write(events(("trades", trade(50, 20, source="rest")), first=5))
    sink.flush()
    sink.write(events(("trades", trade(20, 10)), first=6))
    sink.flush()
    filled = [(row["from_volume"], row["by"]) for row in store.event_rows if row["event"] == "repaired"]
    assert filled == [(30, "rest"), (10, "stream")]


def test_what_a_log_of_repair_filled_came_over_rest(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), ("trades", trade(30, 10))))
    sink.close()
    repair = sink_on(store)
    repair.write(events(("trades", trade(20, 10, source="rest")), wal="w2"))
    repair.close()
    assert [(row["event"], row["by"]) for row in store.event_rows] == [("opened", "stream"), ("repaired", "rest")]
