"""A table of the ledger that cannot be read: it is said once, nobody is held up, and what had waited is told later."""

from typing import Any

import pytest
from ledger_parts import DAY, OPEN_US, MemoryLedgerStore, at, book, events, trade
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect.ledger import LedgerConfig, LedgerSink
from hosu.collect.ledger_rows import Additions
from hosu.errors import TableCorruptError

NEXT = "2025-09-16"
HOLED = (("trades", trade(10, 10, "09:00:01")), ("trades", trade(30, 5, "09:00:09")), ("quotes", book(30, "18:00:01")))


class Torn(MemoryLedgerStore):
    """A store of which a whole table cannot be opened while ``torn`` is on."""

    torn = True

    def covered(self, wal_id: str) -> int:
        self._open()
        return super().covered(wal_id)

    def add(self, added: Additions, wal_id: str | None, lsn: int | None) -> None:
        self._open()
        super().add(added, wal_id, lsn)

    def sync(self) -> None:
        self._open()
        super().sync()

    def _open(self) -> None:
        if self.torn:
            raise TableCorruptError("gaps", "raw/ledger/gaps/_delta_log", "is not JSON")


def sink_on(store: MemoryLedgerStore) -> LedgerSink:
    return LedgerSink(store, LedgerConfig(), SimulatedClock(OPEN_US))


def next_day(end: int, size: int, clock: str) -> dict[str, Any]:
    return trade(end, size, date=NEXT, ts_event=at(clock, NEXT))


def warned(logs: list[Any]) -> list[str]:
    return [entry["error"] for entry in logs if entry["log_level"] == "warning"]


@pytest.mark.parametrize("table", ["gaps", "coverage_days", "gap_events"])
def test_what_cannot_be_told_is_said_once_and_waits(table: str) -> None:
    store = MemoryLedgerStore()
    store.damaged = {table: {DAY}}
    sink = sink_on(store)
    with capture_logs() as logs:
        sink.write(events(*HOLED))
        for _ in range(3):
            sink.flush()
        sink.sync()
    fault = f"table {table} is damaged at {table}/date={DAY}/x.parquet (is missing); run: hosu lake verify --repair"
    assert warned(logs) == [fault]
    assert sink.trouble == fault
    assert (store.gap_rows, store.coverage_rows) == ([], [])
    assert sink_on(store).resume_after("w1") == 2  # the log is not held up either

    store.damaged = {}
    with capture_logs() as logs:
        sink.close()
    assert [entry["event"] for entry in logs] == [
        "the ledger's tables can be read again, and were told what had waited"
    ]
    assert (store.holes(), store.day()["state"], sink.trouble) == ([(10, 25)], "open", None)
    assert sink.facts == {"open_gaps": 1, "missing_shares": 15}


def test_a_restart_after_the_repair_tells_what_had_waited() -> None:
    store = MemoryLedgerStore()
    store.damaged = {"gaps": {DAY}}
    first = sink_on(store)
    first.write(events(*HOLED))
    first.close()
    assert store.coverage_rows == []
    store.damaged = {}
    second = sink_on(store)
    assert second.resume_after("w1") == 2
    second.close()
    assert (store.holes(), store.day()["missing_shares"]) == ([(10, 25)], 15)


def test_a_date_that_cannot_be_read_keeps_no_other_from_being_told() -> None:
    store = MemoryLedgerStore()
    store.damaged = {"gaps": {DAY}}
    sink = sink_on(store)
    sink.write(events(*HOLED, ("trades", next_day(10, 10, "09:00:01")), ("trades", next_day(30, 5, "09:00:09"))))
    sink.close()
    assert {row["date"] for row in store.coverage_rows} == {NEXT}
    assert [(gap.date, gap.from_volume) for gap in store.gap_rows] == [(NEXT, 10)]
    assert sink.open_gaps == 1
    store.damaged = {}
    sink.close()
    assert [(gap.date, gap.from_volume) for gap in store.open_gaps()] == [(DAY, 10), (NEXT, 10)]
    assert len(store.gap_rows) == len(store.event_rows) == 2


def test_a_date_is_not_let_go_before_it_was_told() -> None:
    store = MemoryLedgerStore()
    days = [f"2025-09-{day}" for day in (15, 16, 17, 18, 19)]
    store.damaged = {"gaps": set(days)}
    sink = sink_on(store)
    for number, day in enumerate(days[:-1]):
        sink.write(events(("trades", trade(20, 10, date=day, ts_event=at("10:00:00", day))), first=number))
    store.damaged = {}
    sink.write(events(("trades", trade(20, 10, date=days[-1], ts_event=at("10:00:00", days[-1]))), first=4))
    assert {day: store.day(date=day)["missing_shares"] for day in days[:2]} == dict.fromkeys(days[:2], 10)
    late = [trade(10, 10, date=day, ts_event=at("09:30:00", day), source="rest") for day in days[:3]]
    sink.write(events(*(("trades", row) for row in late), first=5))
    sink.close()
    # Told, they were let go; the third is still judged.
    assert [store.day(date=day)["missing_shares"] for day in days[:3]] == [10, 10, 0]
    assert {row["date"] for row in store.coverage_rows} == set(days)
    assert {gap.date for gap in store.gap_rows} == set(days)


def test_a_table_that_cannot_be_opened_holds_up_nobody() -> None:
    store = Torn()
    sink = sink_on(store)
    with capture_logs() as logs:
        sink.write(events(*HOLED))
        sink.flush()
        sink.close()
    assert [error.partition(" (")[0] for error in warned(logs)] == [
        "table gaps is damaged at raw/ledger/gaps/_delta_log"
    ]
    assert sink_on(store).resume_after("w1") == 2
    store.torn = False
    sink.close()
    assert (store.holes(), store.day()["state"], store.told()) == ([(10, 25)], "open", [("opened", 10, 25, 15)])


def test_the_end_of_a_day_that_could_not_be_told_is_told_later() -> None:
    store = MemoryLedgerStore()
    store.damaged = {"coverage_days": {DAY}}
    sink = sink_on(store)
    sink.write(events(("trades", trade(10, 10)), ("quotes", book(10, "18:00:01"))))
    sink.flush()
    store.damaged = {}
    sink.flush()
    assert store.day()["state"] == "certified"


def test_a_hole_told_before_a_kill_is_not_told_again_once_its_table_can_be_read() -> None:
    store = MemoryLedgerStore()
    killed = sink_on(store)
    killed.write(events(*HOLED))
    store.fail_after = 1  # the event is there, the hole is not
    with pytest.raises(RuntimeError, match="killed"):
        killed.close()
    assert store.told() == [("opened", 10, 25, 15)]

    store.damaged = {"gaps": {DAY}}
    sink = sink_on(store)
    sink.resume_after("w1")
    sink.write(events(*HOLED, ("trades", next_day(10, 10, "09:00:01")), ("trades", next_day(30, 5, "09:00:09"))))
    sink.close()
    assert {row["date"] for row in store.coverage_rows} == {NEXT}
    store.damaged = {}
    sink.close()
    assert store.holes() == [(10, 25), (10, 25)]
    assert [(row["date"], row["event"]) for row in store.event_rows] == [(DAY, "opened"), (NEXT, "opened")]


def test_a_day_that_was_judged_is_left_alone_once_it_can_be_read_that_it_was() -> None:
    store = MemoryLedgerStore()
    whole = sink_on(store)
    whole.write(events(("trades", trade(10, 10)), ("trades", trade(15, 5)), ("quotes", book(15, "18:00:01"))))
    whole.close()
    assert store.day()["state"] == "certified"
    store.states.clear()  # judged, and no state left that another log's could be united with

    store.damaged = {"coverage_days": {DAY}}
    sink = sink_on(store)
    sink.write(events(("trades", trade(15, 5)), wal="w2"))
    sink.close()
    store.damaged = {}
    with capture_logs() as logs:
        sink.close()
    assert any("left to: hosu ledger certify" in entry["event"] for entry in logs)
    assert (store.day()["state"], store.holes()) == ("certified", [])
