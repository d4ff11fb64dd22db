"""A whole day before the ledger as a sink, whatever is lost, late or repeated: what it says against what there was."""

import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "collect"))

from ledger_parts import OPEN_US, MemoryLedgerStore, at, book, events, poll, trade

from hosu.clock import SimulatedClock
from hosu.collect.ledger import LedgerSink

Item = tuple[str, dict[str, Any]]
CONNECTED = ("session", {"event": "connected"})
REGISTERED = ("session", {"event": "registered", "tr_id": "H0STCNT0", "key": "005930"})
BROKEN = ("session", {"event": "disconnected", "code": 1006})
FATES = st.sampled_from(["comes", "comes", "comes", "comes", "is lost", "comes twice", "comes late", "comes over REST"])
BETWEEN = st.sampled_from(["nothing", "nothing", "nothing", "a book", "a poll", "a break"])


@dataclass(frozen=True)
class Day:
    """``came`` are the shares of each trade that came, ``volume`` is how many were traded; ``witnessed`` says whether
    the last record is a poll after the end."""

    log: list[Item]
    came: list[tuple[int, int]]
    volume: int
    witnessed: bool


@st.composite
def days(draw: st.DrawFn) -> Day:
    """A day of an honest broker, of which not everything comes, and not in order."""
    log: list[Item] = [CONNECTED, REGISTERED]
    late: list[Item] = []
    came: list[tuple[int, int]] = []
    volume = 0
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 40), FATES, BETWEEN), min_size=1, max_size=30))
    second = 0
    for size, pause, fate, between in steps:
        second += pause
        volume += size
        clock = f"{9 + second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
        row = trade(volume, size, clock)
        match fate:
            case "comes" | "comes twice":
                log += [("trades", row)] * (2 if fate == "comes twice" else 1)
            case "comes late":
                late.append(("trades", row))
            case "comes over REST":
                late.append(("trades", row | {"source": "rest", "cum_value": None, "side": None}))
        if fate != "is lost":
            came.append((volume - size, volume))
        match between:
            case "a book":
                log.append(("quotes", book(volume, clock)))
            case "a poll":
                log.append(("snapshots", poll(volume)))
            case "a break":
                log += [BROKEN, CONNECTED, REGISTERED]
        if late and draw(st.booleans()):
            log.append(late.pop(draw(st.integers(0, len(late) - 1))))
    log += draw(st.permutations(late))
    witnessed = draw(st.booleans())
    if witnessed:
        log.append(("snapshots", poll(volume, ts_recv=at("18:01:00"))))
    return Day(log, came, volume, witnessed)


def missing(came: list[tuple[int, int]], volume: int) -> list[tuple[int, int]]:
    ends = [0, *(end for _, end in sorted(came))]
    begins = [*(begin for begin, _ in sorted(came)), volume]
    return [(low, high) for low, high in zip(ends, begins, strict=True) if low < high]


@settings(max_examples=150, deadline=None)
@given(days(), st.lists(st.tuples(st.integers(0, 120), st.booleans(), st.booleans()), max_size=5))
def test_what_is_certified_is_whole_and_what_is_listed_is_missing(day: Day, cuts: list[tuple[int, bool, bool]]) -> None:
    log, came = day.log, day.came
    store = MemoryLedgerStore()
    clock = SimulatedClock(OPEN_US)
    sink = LedgerSink(store, None, clock)
    marks = sorted((cut, told, killed) for cut, told, killed in cuts if 0 < cut < len(log))
    for (low, _, _), (high, told, killed) in pairwise([(0, False, False), *marks, (len(log), False, False)]):
        if low < high:
            sink.write(events(*log[low:high], first=low))
        if told:
            sink.flush()
        if killed:
            sink.sync()
            sink = LedgerSink(store, None, clock)
            assert sink.resume_after("w1") == high - 1
    sink.close()

    lost, row = missing(came, day.volume), store.day() if store.coverage_rows else None
    reached = max((end for _, end in came), default=0)
    if day.witnessed:
        assert store.holes() == lost
    else:
        assert [hole for hole in store.holes() if hole[1] <= reached] == [hole for hole in lost if hole[1] <= reached]
    if row is not None and row["state"] == "certified":
        assert day.witnessed
        assert lost == []
    if row is not None and came:
        assert row["state"] in {"certified", "assumed", "open"}
        assert row["shares"] == sum(end - begin for begin, end in came)
        assert row["missing_shares"] == sum(high - low for low, high in store.holes())
    opened = sum(event["shares"] for event in store.event_rows if event["event"] == "opened")
    repaired = sum(event["shares"] for event in store.event_rows if "repaired" in event["event"])
    assert opened - repaired >= sum(high - low for low, high in store.holes())
