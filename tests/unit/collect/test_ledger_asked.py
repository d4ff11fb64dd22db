"""What was asked for and until when a stream stood: what of it a day's state may rest on, and what not."""

from typing import Any

import pytest
from ledger_parts import DAY, OPEN_US, MemoryLedgerStore, at, events, poll, trade

from hosu.clock import SimulatedClock
from hosu.collect import ledger_causes
from hosu.collect.ledger import LedgerConfig, LedgerSink

NEXT = "2025-09-16"
CONNECTED = ("session", {"event": "connected"})
BROKEN = ("session", {"event": "disconnected", "code": 1006})
ENDS = ("session", {"event": "end"})
BEGINS = ("session", {"event": "segment", "date": 0, "dates": {}, "pings": {}})
CLOCK = [("clock", {"us": at("18:00:00")}), ("clock", {"us": at("18:00:10")})]
Item = tuple[str, dict[str, Any]]


def trades_of(what: str, symbol: str = "005930") -> Item:
    return "session", {"event": what, "tr_id": "H0STCNT0", "key": symbol}


def unread(tr_id: str | None = "H0STCNT0", symbol: str | None = "005930") -> Item:
    return "quarantine", {"tr_id": tr_id, "symbol": symbol, "reason": "bad", "raw": b"x"}


def told_of(*items: Item, config: LedgerConfig | None = None) -> MemoryLedgerStore:
    """What the tables say after these records, when the log ends with them."""
    store = MemoryLedgerStore()
    sink = LedgerSink(store, config, SimulatedClock(OPEN_US))
    sink.write(events(*items))
    sink.close()
    return store


def polled_next_day(volume: int) -> Item:
    return "snapshots", poll(volume, date=NEXT, ts_recv=at("10:00:00", NEXT))


@pytest.mark.parametrize("ended", [[ENDS], [BROKEN, ENDS], []], ids=["in order", "after a break", "killed"])
@pytest.mark.parametrize("first", ["the poll", "the connection"])
def test_a_symbol_that_was_streamed_yesterday_and_is_polled_today_has_no_hole_today(
    ended: list[Item], first: str
) -> None:
    yesterday = [CONNECTED, trades_of("registered"), ("trades", trade(10, 10)), *ended]
    unreachable = ("session", {"event": "unreachable"})
    other = [unreachable, CONNECTED, trades_of("registered", "000660")]
    today = [polled_next_day(90), *other] if first == "the poll" else [*other, polled_next_day(90)]
    store = told_of(*yesterday, BEGINS, *today, polled_next_day(100))
    assert store.day(date=NEXT)["state"] == "polled"
    assert [gap for gap in store.gap_rows if gap.date == NEXT] == []


def test_a_symbol_that_was_polled_yesterday_and_is_streamed_today_had_no_hole_yesterday() -> None:
    yesterday = [("snapshots", poll(50)), ENDS]
    store = told_of(*yesterday, BEGINS, CONNECTED, trades_of("registered"), polled_next_day(70))
    assert store.day()["state"] == "polled"
    assert store.day(date=NEXT)["missing_shares"] == 70


def test_a_connection_that_stands_over_night_asks_on_both_days() -> None:
    store = told_of(CONNECTED, trades_of("registered"), ("snapshots", poll(50)), polled_next_day(70))
    assert (store.day()["missing_shares"], store.day(date=NEXT)["missing_shares"]) == (50, 70)


@pytest.mark.parametrize(
    "later",
    [[trades_of("released")], [BROKEN, CONNECTED, trades_of("refused")], [BEGINS, CONNECTED]],
    ids=["its slot was given away", "refused after a break", "killed and begun anew without it"],
)
def test_what_was_asked_for_and_did_not_come_stays_missing_when_it_is_asked_for_no_more(later: list[Item]) -> None:
    begin = [CONNECTED, trades_of("registered"), ("snapshots", poll(50)), ("session", {"event": "settled"})]
    store = told_of(*begin, ("snapshots", poll(51)), *later)
    assert store.holes() == [(0, 51)]
    assert store.day()["state"] == "open"


def test_whoever_was_killed_had_asked_up_to_the_last_record_it_wrote() -> None:
    """The first that is known of a day may come behind the last that is known of the connection."""
    store = told_of(CONNECTED, trades_of("registered"), ("snapshots", poll(51)), BEGINS, CONNECTED)
    assert store.holes() == [(0, 51)]
    assert store.day()["state"] == "open"


STOOD = {
    "nothing happened": ([], "assumed"),
    "another symbol's slot was given away": ([trades_of("released", "000660")], "assumed"),
    "another symbol could not be read": ([unread(symbol="000660")], "assumed"),
    "a book could not be read": ([unread("H0STASP0")], "assumed"),
    "its slot was given away": ([trades_of("released")], "open"),
    "it was refused": ([trades_of("refused")], "open"),
    "one of its trades could not be read": ([unread()], "open"),
    "a frame of trades could not be read": ([unread(symbol=None)], "open"),
    "a frame of nobody knows what could not be read": ([unread(None, None)], "open"),
    "the connection broke": ([BROKEN, CONNECTED, trades_of("registered")], "open"),
}


@pytest.mark.parametrize("case", STOOD.values(), ids=STOOD)
def test_a_stream_stood_to_the_end_only_if_nothing_of_the_symbol_may_be_missing(case: tuple[list[Item], str]) -> None:
    between, state = case
    store = told_of(CONNECTED, trades_of("registered"), ("trades", trade(10, 10)), *between, *CLOCK)
    assert store.day()["state"] == state


def test_a_break_that_was_let_go_of_is_still_a_break(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_causes, "_KEPT", 3)
    paused = [("session", {"event": "paused"}), ("session", {"event": "resumed"})] * 3
    begin = [CONNECTED, trades_of("registered"), ("trades", trade(10, 10))]
    assert told_of(*begin, BROKEN, *paused, *CLOCK).day()["state"] == "open"


def test_a_stream_without_a_trade_does_not_tell_what_was_before_it() -> None:
    begin = [CONNECTED, trades_of("registered"), ("snapshots", poll(0, ts_recv=at("08:00:00")))]
    day = told_of(*begin, *CLOCK).day()
    assert (day["state"], day["reason"]) == ("open", "the end of the day was not seen")


def test_an_unreadable_frame_of_nobody_knows_what_may_be_the_cause() -> None:
    store = told_of(CONNECTED, ("trades", trade(10, 10)), unread(None, None), ("trades", trade(20, 5)))
    (gap,) = store.open_gaps()
    assert (gap.cause, gap.detail) == (
        "quarantine",
        "1 frames that may have held trades came and could not be read (table quarantine)",
    )


NOTHING_YET = ("snapshots", poll(0, ts_recv=at("08:00:00")))


@pytest.mark.parametrize(
    ("begin", "cause"),
    [
        ([CONNECTED, trades_of("registered"), NOTHING_YET], "unknown"),
        ([NOTHING_YET, CONNECTED, trades_of("registered")], "late start"),
        ([CONNECTED, trades_of("registered"), trades_of("released"), NOTHING_YET], "late start"),
        ([CONNECTED, trades_of("registered"), NOTHING_YET, BROKEN, CONNECTED, trades_of("registered")], "reconnect"),
    ],
    ids=["it stood when nothing was traded yet", "it began later", "it was given up before", "it broke after that"],
)
def test_who_stood_before_the_first_trade_was_not_late(begin: list[Item], cause: str) -> None:
    (gap,) = told_of(*begin, ("trades", trade(20, 5))).open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.cause) == (0, 15, cause)


def test_the_state_that_is_laid_down_remembers_what_was_asked_for() -> None:
    store = MemoryLedgerStore()
    sink = LedgerSink(store, None, SimulatedClock(OPEN_US))
    sink.write(events(CONNECTED, trades_of("registered"), ("snapshots", poll(50)), trades_of("released")))
    sink.sync()
    again = LedgerSink(store, None, SimulatedClock(OPEN_US))
    assert again.resume_after("w1") == 3
    again.write(events(("snapshots", poll(60)), first=4))
    again.close()
    assert store.holes() == [(0, 60)]
    assert store.day(date=DAY)["state"] == "open"
