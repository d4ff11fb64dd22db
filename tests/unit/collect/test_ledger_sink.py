"""The ledger as a sink: what it tells the tables, when, why, and after which crash."""

from contextlib import suppress

import pytest
from ledger_parts import DAY, OPEN_US, MemoryLedgerStore, at, book, events, poll, trade

from hosu.clock import SimulatedClock
from hosu.collect.ledger import LedgerConfig, LedgerSink
from hosu.errors import InputError, LogCorruptError, LogGapError
from hosu.market.ledger import Cause

REGISTERED = ("session", {"event": "registered", "tr_id": "H0STCNT0", "key": "005930"})
CONNECTED = ("session", {"event": "connected", "address": "ws://there"})


def session(name: str, **facts: object) -> tuple[str, dict[str, object]]:
    return "session", {"event": name, **facts}


def sink_on(store: MemoryLedgerStore) -> LedgerSink:
    return LedgerSink(store, LedgerConfig(), SimulatedClock(OPEN_US))


@pytest.fixture
def store() -> MemoryLedgerStore:
    return MemoryLedgerStore()


# --- what it tells --------------------------------------------------------------------------------------------------


def test_a_day_without_a_hole_is_certified_once_a_book_after_the_end_agrees(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), ("trades", trade(15, 5)), ("quotes", book(15, "18:00:01"))))
    sink.flush()
    row = store.day()
    assert (row["state"], row["shares"], row["trades"], row["value"]) == ("certified", 15, 2, 1_500)
    assert (row["witness"], row["witness_volume"]) == ("book after the end of the day", 15)
    assert (row["assumptions"], row["missing_shares"], row["gaps"]) == ([], 0, 0)
    assert store.gap_rows == []


def test_a_hole_is_told_with_what_is_missing_and_closed_when_it_is_filled(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10, "09:00:01")), ("trades", trade(30, 5, "09:00:09"))))
    sink.flush()
    (gap,) = store.open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.shares, gap.value) == (10, 25, 15, 1_500)
    assert (gap.before_ts, gap.after_ts) == (at("09:00:01"), at("09:00:09"))
    assert (gap.cause, gap.revision, gap.lsn) == (Cause.UNKNOWN, 1, 1)
    assert sink.facts == {"open_gaps": 1, "missing_shares": 15}

    sink.write(events(("trades", trade(15, 5, "09:00:05", source="rest", cum_value=None)), first=2))
    sink.flush()
    assert store.holes() == [(15, 25)]
    sink.write(events(("trades", trade(25, 10, "09:00:05", source="rest", cum_value=None)), first=3))
    sink.flush()
    assert store.holes() == []
    assert store.told() == [
        ("opened", 10, 25, 15),
        ("partly_repaired", 10, 25, 5),
        ("repaired", 15, 25, 10),
    ]
    assert [row["by"] for row in store.event_rows] == ["stream", "rest", "rest"]


def test_a_hole_that_is_filled_before_it_is_told_is_never_told(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), ("trades", trade(20, 5)), ("trades", trade(15, 5))))
    sink.flush()
    assert store.gap_rows == []


def test_a_book_ahead_of_the_trades_is_a_hole_only_once_it_has_had_time(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    late = OPEN_US + 20_000_000
    sink.write(events(("trades", trade(10, 10)), ("quotes", book(17, "09:00:01"))))
    sink.flush()
    assert store.holes() == []

    sink.write(events(("quotes", book(17, "09:00:20", ts_recv=late)), first=2))
    sink.flush()
    assert store.holes() == [(10, 17)]

    sink.write(events(("trades", trade(17, 7, "09:00:20", ts_recv=late + 1)), first=3))
    sink.flush()
    assert store.holes() == []
    assert store.told() == [("opened", 10, 17, 7), ("repaired", 10, 17, 7)]


def test_at_the_end_a_poll_tells_what_is_missing_there(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(REGISTERED, ("trades", trade(10, 10)), ("snapshots", poll(25, ts_recv=at("18:01:00")))))
    sink.close()
    (gap,) = store.open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.value, gap.after_ts) == (10, 25, 1_500, None)
    assert gap.detail.startswith("a poll says 25 shares, the trades end at 10")
    assert store.day()["reason"] == "15 shares are missing in 1 gap"


def test_a_hole_at_the_end_that_was_told_stands_until_trades_fill_it(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    clock = [("clock", {"us": at("18:00:00")}), ("clock", {"us": at("18:00:10")})]
    sink.write(events(REGISTERED, ("trades", trade(10, 10)), ("quotes", book(17, "17:59:59"))))
    sink.flush()
    assert store.holes() == []  # the trades may still come
    sink.write(events(*clock, first=3))
    sink.flush()
    assert store.holes() == [(10, 17)]  # the day is over
    sink.flush()
    assert store.holes() == [(10, 17)]
    sink.sync()

    again = sink_on(store)
    again.write(events(("quotes", book(17, "18:00:20")), first=5))
    again.flush()
    assert [(gap.revision, gap.open) for gap in store.gap_rows] == [(1, True)]
    assert store.told() == [("opened", 10, 17, 7)]


def test_a_symbol_that_is_only_polled_is_no_hole(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("snapshots", poll(25, symbol="000660", ts_recv=at("18:01:00")))))
    sink.close()
    assert store.day("000660")["state"] == "polled"
    assert store.gap_rows == []


def test_the_day_is_told_in_full_when_the_brokers_clock_says_it_is_over(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(REGISTERED, ("trades", trade(10, 10)), ("clock", {"us": at("18:00:00")})))
    sink.flush()
    assert store.coverage_rows == []  # one word of the clock may be garbled
    sink.write(events(("clock", {"us": at("18:00:10")}), first=3))
    sink.flush()
    assert (store.day()["state"], store.day()["assumptions"]) == ("assumed", ["stream_stood_to_the_end"])


@pytest.mark.parametrize("cut", [2, 3, 4])
def test_a_day_that_begins_behind_the_clocks_word_knows_of_its_end_once_it_is_said_again(
    store: MemoryLedgerStore, cut: int
) -> None:
    word = ("clock", {"us": at("18:00:10")})
    items = [word, word, ("quotes", book(0, "10:00:00")), word]
    sink = sink_on(store)
    sink.write(events(*items[:cut]))
    if items[cut:]:
        sink.write(events(*items[cut:], first=cut))
    assert sink._state.marks == {(DAY, "KRX"): [3, 3]}


def test_a_poll_before_the_brokers_clock_says_the_end_does_not_witness_it_wherever_the_log_is_cut(
    store: MemoryLedgerStore,
) -> None:
    early = at("10:00:00", "2026-11-25")  # our clock is of another day
    sink = sink_on(store)
    clock = [("clock", {"us": at("18:00:00")}), ("clock", {"us": at("18:00:10")})]
    sink.write(events(("trades", trade(10, 10)), ("snapshots", poll(10, ts_recv=early)), *clock))
    sink.close()
    assert store.day()["witness"] == "poll before the close"
    sink.write(events(("snapshots", poll(10, ts_recv=early)), first=4))
    sink.close()
    assert (store.day()["witness"], store.day()["state"]) == ("poll after the end of the day", "certified")


# --- why ------------------------------------------------------------------------------------------------------------

BROKEN = session("disconnected", code=1006, cause="broke")
STORIES: dict[str, tuple[list[tuple[str, dict[str, object]]], Cause, str]] = {
    "the connection broke": ([BROKEN, session("reconnecting"), CONNECTED], Cause.RECONNECT, "disconnected (broke)"),
    "nobody was there": (
        [BROKEN, session("unreachable", cause="refused"), CONNECTED],
        Cause.OUTAGE,
        "unreachable (refused)",
    ),
    "the collector was killed": ([CONNECTED], Cause.OUTAGE, "without a word"),
    "it was stopped for a while": ([BROKEN, session("end"), CONNECTED], Cause.OUTAGE, "no connection"),
    "it fell silent": ([session("silence", seconds=31), BROKEN, CONNECTED], Cause.SILENCE, "fell silent"),
    "reading was paused": ([session("paused"), session("resumed")], Cause.BACKPRESSURE, "paused 1 times"),
    "its slot was given away": (
        [session("released", tr_id="H0STCNT0", key="005930"), session("registered", tr_id="H0STCNT0", key="005930")],
        Cause.RELEASED,
        "given to another symbol",
    ),
    "another symbol's was": ([session("released", tr_id="H0STCNT0", key="000660")], Cause.UNKNOWN, "nothing was"),
    "the disk lost records": ([session("numbers_skipped", after=3)], Cause.DISK, "its disk lost"),
    "a record could not be read": (
        [("quarantine", {"tr_id": "H0STCNT0", "reason": "bad", "raw": b"x"})],
        Cause.QUARANTINE,
        "1 records of it",
    ),
    "a frame could not be read": (
        [("quarantine", {"tr_id": "H0STCNT0", "symbol": None, "reason": "bad", "raw": b"x"})],
        Cause.QUARANTINE,
        "1 frames of trades",
    ),
    "another symbol's could not": (
        [("quarantine", {"tr_id": "H0STCNT0", "symbol": "000660", "reason": "bad", "raw": b"x"})],
        Cause.UNKNOWN,
        "stood",
    ),
    "nothing happened": ([], Cause.UNKNOWN, "the connection stood"),
}


@pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)
def test_what_lies_between_the_trades_is_the_cause(
    store: MemoryLedgerStore, story: tuple[list[tuple[str, dict[str, object]]], Cause, str]
) -> None:
    between, cause, words = story
    sink = sink_on(store)
    sink.write(events(CONNECTED, REGISTERED, ("trades", trade(10, 10)), *between, ("trades", trade(20, 5))))
    sink.flush()
    (gap,) = store.open_gaps()
    assert gap.cause == cause
    assert words in gap.detail


def test_what_was_traded_before_the_first_registration_is_a_late_start(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(CONNECTED, REGISTERED, ("trades", trade(20, 5))))
    sink.flush()
    (gap,) = store.open_gaps()
    assert (gap.from_volume, gap.to_volume, gap.cause, gap.before_ts) == (0, 15, Cause.LATE_START, None)


def test_polls_before_the_first_connection_do_not_make_it_a_break(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(("snapshots", poll(12)), CONNECTED, REGISTERED, ("trades", trade(20, 5))))
    sink.flush()
    assert store.open_gaps()[0].cause == Cause.LATE_START


def test_a_connection_that_breaks_before_the_first_trade_is_the_cause_of_what_is_missing(
    store: MemoryLedgerStore,
) -> None:
    sink = sink_on(store)
    sink.write(events(("snapshots", poll(0)), CONNECTED, REGISTERED, BROKEN, CONNECTED, ("trades", trade(20, 5))))
    sink.flush()
    assert store.open_gaps()[0].cause == Cause.RECONNECT


def test_what_is_left_of_a_hole_keeps_its_cause(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(events(CONNECTED, ("trades", trade(10, 10)), BROKEN, CONNECTED, ("trades", trade(40, 5))))
    sink.flush()
    sink.write(events(("trades", trade(20, 5, source="rest")), first=5))
    sink.flush()
    assert [(gap.from_volume, gap.to_volume, gap.cause) for gap in store.open_gaps()] == [
        (10, 15, Cause.RECONNECT),
        (20, 35, Cause.RECONNECT),
    ]


# --- crashes and restarts -------------------------------------------------------------------------------------------

PARTS = [
    events(CONNECTED, REGISTERED, ("trades", trade(10, 10)), ("trades", trade(30, 5))),
    events(("trades", trade(15, 5)), ("trades", trade(50, 5)), first=4),
    events(("trades", trade(25, 10)), ("quotes", book(50, "18:00:01")), first=6),
]


def told_by(store: MemoryLedgerStore) -> list[tuple[object, ...]]:
    latest = sorted(store.gaps([DAY]).get((DAY, "KRX", "005930"), []), key=lambda gap: gap.key)
    gaps = [(gap.from_volume, gap.to_volume, gap.open, gap.cause, gap.value) for gap in latest]
    return [*gaps, *sorted(store.told()), *((store.day()[n]) for n in ("state", "missing_shares", "trades"))]


@pytest.fixture
def undisturbed() -> list[tuple[object, ...]]:
    store = MemoryLedgerStore()
    sink = sink_on(store)
    for part in PARTS:
        sink.write(part)
        sink.flush()
    sink.close()
    return told_by(store)


@pytest.mark.parametrize("saved", [True, False], ids=["state laid down", "no state"])
@pytest.mark.parametrize("table", [0, 1, 2], ids=["before the events", "before the gaps", "before the coverage"])
@pytest.mark.parametrize("killed_at", [0, 1, 2])
def test_killed_between_the_commits_it_tells_nothing_twice_and_leaves_nothing_out(
    store: MemoryLedgerStore, undisturbed: list[tuple[object, ...]], killed_at: int, table: int, saved: bool
) -> None:
    sink = sink_on(store)
    for number, part in enumerate(PARTS):
        sink.write(part)
        if number == killed_at:
            store.fail_after = table
            with suppress(RuntimeError):  # not every part has rows for every table
                sink.flush()
            store.fail_after = None
            sink = sink_on(store)
            after = sink.resume_after("w1")
            for again in PARTS[: number + 1]:
                if again.last_lsn > after:
                    sink.write(again)
        sink.flush()
        if saved:
            sink.sync()
    sink.close()
    assert told_by(store) == undisturbed


def test_a_commit_that_failed_for_now_is_made_again_and_told_once(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(PARTS[0])
    store.fail_after = 1
    with pytest.raises(RuntimeError, match="killed"):
        sink.flush()
    sink.flush()
    assert store.told() == [("opened", 10, 25, 15)]
    assert store.holes() == [(10, 25)]


def test_a_sink_that_is_behind_its_tables_waits_until_it_has_caught_up(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    for part in PARTS[:2]:
        sink.write(part)
        sink.flush()
    assert store.holes() == [(15, 25), (30, 45)]

    again = sink_on(store)
    again.write(PARTS[0])
    again.flush()  # it knows of (10, 25) only, which the tables know to be filled in part
    assert store.holes() == [(15, 25), (30, 45)]
    again.write(PARTS[1])
    again.flush()
    assert store.holes() == [(15, 25), (30, 45)]
    assert store.told().count(("opened", 10, 25, 15)) == 1


def test_it_goes_on_from_the_state_it_laid_down(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    sink.write(PARTS[0])
    sink.sync()
    assert store.synced == 1
    again = sink_on(store)
    assert again.resume_after("w1") == 3
    with pytest.raises(LogGapError, match="records 4 to 5"):
        again.write(PARTS[2])
    again.write(PARTS[0])  # what it has it does not take again
    again.write(PARTS[1])
    again.write(PARTS[2])
    again.close()
    row = store.day()
    assert (row["trades"], row["duplicates"], row["missing_shares"]) == (5, 0, 15)


def test_of_a_batch_that_it_has_in_part_it_takes_the_rest(store: MemoryLedgerStore) -> None:
    whole = [("trades", trade(n, 1)) for n in range(1, 7)]
    sink = sink_on(store)
    sink.write(events(*whole[:4]))
    sink.write(events(*whole))
    sink.close()
    assert (store.day()["trades"], store.day()["duplicates"], store.day()["shares"]) == (6, 0, 6)


@pytest.mark.parametrize(
    ("damage", "error", "words"),
    [
        (lambda state: b"garbage", LogCorruptError, "does not begin"),
        (lambda state: state[:-3], LogCorruptError, "checksum"),
        (lambda state: state[:20] + bytes([state[20] ^ 1]) + state[21:], LogCorruptError, "checksum"),
        (lambda state: state[:7] + b"\x09" + state[8:], InputError, "format 9"),
    ],
)
def test_a_state_that_is_damaged_or_newer_is_refused(store, damage, error, words) -> None:
    sink = sink_on(store)
    sink.write(PARTS[0])
    sink.sync()
    store.states["w1"] = damage(store.states["w1"])
    with pytest.raises(error, match=words):
        sink_on(store).resume_after("w1")


# --- several logs and days ------------------------------------------------------------------------------------------


def test_what_another_log_has_is_no_hole(store: MemoryLedgerStore) -> None:
    first = sink_on(store)
    first.write(events(("trades", trade(10, 10)), ("trades", trade(15, 5)), wal="w1"))
    first.close()
    second = sink_on(store)
    second.write(events(CONNECTED, ("trades", trade(20, 5)), ("quotes", book(20, "18:00:01")), wal="w2"))
    second.close()
    assert store.holes() == []
    row = store.day()
    assert (row["state"], row["shares"], row["trades"]) == ("certified", 20, None)


def test_a_hole_that_another_log_fills_is_closed_at_the_next_look(store: MemoryLedgerStore) -> None:
    first = sink_on(store)
    first.write(events(("trades", trade(10, 10)), ("trades", trade(30, 5)), wal="w1"))
    first.close()
    assert store.holes() == [(10, 25)]
    repair = sink_on(store)
    repair.write(events(("trades", trade(25, 15, source="rest")), wal="w2"))
    repair.close()
    assert store.holes() == []
    first.write(events(("quotes", book(30, "18:00:01")), first=2, wal="w1"))
    first.close()
    assert (store.holes(), store.day()["state"]) == ([], "certified")


def test_one_sink_takes_one_log_after_the_other(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    assert sink.resume_after("w1") == -1
    sink.write(events(("trades", trade(10, 10)), wal="w1"))
    assert sink.resume_after("w2") == -1
    sink.write(events(("trades", trade(15, 5)), ("quotes", book(15, "18:00:01")), wal="w2"))
    sink.close()
    assert sink_on(store).resume_after("w1") == 0
    assert (store.day()["state"], store.holes()) == ("certified", [])


def test_a_state_holds_three_dates_and_what_is_older_is_left_to_the_judge(store: MemoryLedgerStore) -> None:
    sink = sink_on(store)
    days = ["2025-09-15", "2025-09-16", "2025-09-17", "2025-09-18"]
    for number, day in enumerate(days):
        sink.write(events(("trades", trade(20, 10, date=day, ts_event=at("10:00:00", day))), first=number))
    sink.flush()
    assert store.day(date=days[0])["missing_shares"] == 10  # told in full when it was let go
    late = trade(10, 10, date=days[0], ts_event=at("09:30:00", days[0]), source="rest")
    sink.write(events(("trades", late), first=4))
    sink.close()
    assert store.day(date=days[0])["missing_shares"] == 10
    assert store.day(date=days[3])["missing_shares"] == 10
    assert sink_on(store).resume_after("w1") == 4


@pytest.mark.parametrize("table", [0, 1, 2])
def test_killed_while_it_told_a_day_that_it_lets_go_it_tells_it_though_the_log_is_cut_elsewhere(
    store: MemoryLedgerStore, table: int
) -> None:
    days = ["2025-09-15", "2025-09-16", "2025-09-17", "2025-09-18"]
    items = [("trades", trade(20, 10, date=day, ts_event=at("10:00:00", day))) for day in (*days[:3], *days[2:])]
    sink = sink_on(store)
    sink.write(events(*items[:3]))
    sink.sync()  # the state, and no row yet
    sink.write(events(items[3], first=3))
    store.fail_after = table
    with suppress(RuntimeError):
        sink.write(events(items[4], first=4))

    again = sink_on(store)
    again.write(events(*items[3:], first=again.resume_after("w1") + 1))
    again.close()
    assert store.day(date=days[0])["missing_shares"] == 10
    assert [(gap.date, gap.revision) for gap in store.gap_rows] == [(day, 1) for day in days]


def test_a_day_that_others_have_judged_and_let_go_is_not_judged_from_a_part_of_it(store: MemoryLedgerStore) -> None:
    first = sink_on(store)
    first.write(events(("trades", trade(20, 20)), ("quotes", book(20, "18:00:01"))))
    first.close()
    del store.states["w1"]
    repair = sink_on(store)
    repair.write(events(("trades", trade(20, 5, source="rest")), wal="w2"))
    repair.close()
    assert (store.day()["state"], store.holes()) == ("certified", [])
