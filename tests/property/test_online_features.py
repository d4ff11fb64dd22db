"""However the log is cut into batches and wherever the sink is killed, it serves the bits that batch makes."""

import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "features"))

from feature_parts import MemoryFeatureStore, at, events, in_batch, poll, rows_of, trade

from hosu.features import online_bars
from hosu.features.batch import States
from hosu.features.sink import FeatureSink
from hosu.features.store import Begin

OPEN_S = 9 * 3600
SYMBOLS = "ABCD"


def POLLED(_: str) -> set[str]:  # noqa: N802 - a constant for all dates
    return {"P"}


def clock(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"


@dataclass(frozen=True)
class Day:
    """The items of a log, where it is cut into batches, and before which batches the sink is killed."""

    items: list[dict[str, Any] | int]
    cuts: list[int]
    kills: set[int]
    lays_down: set[int]

    @property
    def trades(self) -> list[dict[str, Any]]:
        """Of polls the trades that would count the same."""
        found, known = [], 0
        for item in self.items:
            if isinstance(item, dict) and item.get("table") == "snapshots":
                cum = item["cum_volume"]
                found.append({**item, "size": cum - known, "ts_event": item["ts_recv"]})
                known = cum
            elif isinstance(item, dict):
                found.append(item)
        return found

    @property
    def batches(self) -> list[Any]:
        edges = sorted({0, *self.cuts, len(self.items)})
        return [events(*self.items[first:end], first=first) for first, end in pairwise(edges)]


@st.composite
def days(draw: st.DrawFn) -> Day:
    """Trades, some twice, and polls of P, in order of time; closes somewhere behind minutes that have ended."""
    count = draw(st.integers(1, 120))
    seconds, second = [], OPEN_S
    for step in draw(st.lists(st.integers(0, 400), min_size=count, max_size=count)):
        second += step
        if second < OPEN_S + 380 * 60:
            seconds.append(second)
    items: list[dict[str, Any] | int] = []
    cum = dict.fromkeys(SYMBOLS + "P", 0)
    closed_s = OPEN_S
    for each in seconds:
        symbol = draw(st.sampled_from(SYMBOLS + "P"))
        size = draw(st.integers(1, 50))
        cum[symbol] += size
        minute = each // 60 * 60
        if minute > closed_s and draw(st.booleans()):
            closed_s = draw(st.integers(closed_s // 60 + 1, minute // 60)) * 60
            items.append(at(clock(closed_s)))
        price = draw(st.integers(1, 4000)) * 0.5
        if symbol == "P":
            items.append(poll(clock(each), cum[symbol], price))
            continue
        items.append(trade(clock(each), cum[symbol], price, size, symbol))
        if draw(st.integers(0, 9)) == 0:
            items.append(items[-1])
    items.append(at("15:40:00"))
    places = st.integers(0, len(items))
    cuts = draw(st.lists(places, max_size=12))
    return Day(items, cuts, draw(st.sets(st.integers(0, 13), max_size=4)), draw(st.sets(st.integers(0, 13))))


def served(day: Day, store: MemoryFeatureStore) -> list[tuple[Any, ...]]:
    """What is in the table after the whole log: killed, the sink is made anew and reads from where it stands."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "features.state"
        sink, number, killed = FeatureSink(store, keep=path, polled_of=POLLED), 0, set(day.kills)
        batches = day.batches
        while number < len(batches):
            if number in killed:
                killed.discard(number)
                sink = FeatureSink(store, keep=path, polled_of=POLLED)
                resumed = sink.resume_after("w1")
                number = next(i for i, batch in enumerate(batches) if batch.last_lsn > resumed)
            sink.write(batches[number])
            if number in day.lays_down:
                sink.sync()
            number += 1
        sink.close()
    return [(symbol, ts, close, volume, bits) for symbol, ts, close, volume, _, bits in rows_of(store.closed)]


@given(days())
def test_a_day_is_served_as_batch_makes_it(day: Day):
    assert served(day, MemoryFeatureStore()) == in_batch(day.trades)


@pytest.mark.slow
@given(days(), days())
def test_a_day_that_goes_on_from_a_state_is_served_as_batch_makes_it(before: Day, day: Day):
    sink = FeatureSink(MemoryFeatureStore(), polled_of=POLLED)
    for batch in before.batches:
        sink.write(batch)
    states = sink._kept.bars.states
    store = MemoryFeatureStore(Begin("2025-09-12/1", states))
    assert served(day, store) == in_batch(day.trades, states)


@pytest.mark.slow
@given(days())
def test_rows_that_were_committed_before_the_state_was_lost_are_not_added_twice(day: Day):
    store = MemoryFeatureStore()
    first = FeatureSink(store, polled_of=POLLED)
    for batch in day.batches:
        first.write(batch)
    first.close()
    assert served(day, store) == in_batch(day.trades)


LONG = Day(
    [
        item
        for minute in range(60)
        for item in (
            trade(clock(OPEN_S + 60 * minute + 5), 2 * minute + 1, 100.0 + minute % 7),
            at(clock(OPEN_S + 60 * minute)),
            trade(clock(OPEN_S + 60 * minute + 50), 2 * minute + 2, 101.0 + minute % 5),
        )
    ]
    + [at("15:40:00")],
    cuts=[40, 80, 120],
    kills={2},
    lays_down={0, 1},
)


def test_the_long_day_is_served_as_batch_makes_it_over_a_restart():
    assert served(LONG, MemoryFeatureStore()) == in_batch(LONG.trades)


def test_a_trade_counted_twice_does_not_pass(monkeypatch: pytest.MonkeyPatch):
    take = online_bars.OnlineBars.take

    def twice(self: Any, code: Any, cum: Any, price: Any, size: Any, ts_us: Any) -> int:
        size = size.copy()
        size[:1] *= 2
        return take(self, code, cum, price, size, ts_us)

    monkeypatch.setattr(online_bars.OnlineBars, "take", twice)
    assert served(LONG, MemoryFeatureStore()) != in_batch(LONG.trades)


@pytest.mark.parametrize("name", ["ints", "floats", "last_cum", "open", "closed"])
def test_a_part_of_the_state_that_is_not_restored_does_not_pass(monkeypatch: pytest.MonkeyPatch, name: str):
    arrays = online_bars.OnlineBars.arrays

    def without(self: Any) -> dict[str, Any]:
        told = arrays(self)
        return {**told, name: told[name][:0] if name == "open" else 0 * told[name]}

    monkeypatch.setattr(online_bars.OnlineBars, "arrays", without)
    day = LONG
    if name == "last_cum":  # it matters where a trade from before the restart comes again behind it
        again = next(i for i, item in enumerate(day.items) if i >= 80 and isinstance(item, dict))
        items = [
            *day.items[:80],
            day.items[again - 2] if isinstance(day.items[again - 2], dict) else day.items[again - 3],
        ]
        day = Day([*items, *day.items[80:]], day.cuts, day.kills, day.lays_down)
    assert served(day, MemoryFeatureStore()) != in_batch(day.trades)


def test_states_are_of_the_symbols_that_a_day_follows_only():
    states = online_bars.chosen_states(States.new(("B", "A", "C")), {"A", "C", "D"})
    assert states.symbols == ("A", "C")
