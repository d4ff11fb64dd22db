"""Corporate actions on the stream: what was known of a day when it began takes effect at the first trade."""

from pathlib import Path

import numpy as np
import pytest
import structlog
from feature_parts import DAY, MemoryFeatureStore, at, events, in_batch, rows_of, short, trade

from hosu.errors import LakeUnreachableError, TableCorruptError
from hosu.features.openings import Morning
from hosu.features.sink import FeatureSink

NEXT = "2025-09-16"


def an_hour(day: str, price: int) -> list[dict[str, object] | int]:
    """A trade and a close each minute from 09:03 on, and the day's last close."""
    items: list[dict[str, object] | int] = [at("09:01:00", day)]
    for minute in range(3, 60):
        items.append(trade(f"09:{minute:02}:10", minute, price + price // 500 * (minute % 10), date=day))
        items.append(at(f"09:{minute:02}:00", day) + 60_000_000)
    return [*items, at("15:40:00", day)]


BEFORE_THE_SPLIT, AFTER_IT = an_hour(DAY, 50_000), an_hour(NEXT, 10_000)
SPLIT = Morning("instruments@7", {"A": 1_018_000}, frozenset(), {})  # a fifth of the last close, 50,900


def split_in_batch(store: MemoryFeatureStore, tmp_path: Path) -> list[tuple[object, ...]]:
    """What batch makes of the day of the split, with the state after the day before."""
    before = FeatureSink(store, keep=tmp_path / "before.state")
    before.write(events(*BEFORE_THE_SPLIT))
    before.sync()
    trades = [each for each in AFTER_IT if isinstance(each, dict)]
    return in_batch(trades, before._kept.bars.states, NEXT, factor=0.2)


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 40])
def test_a_split_known_at_the_begin_gives_the_bits_of_batch_also_over_a_restart(tmp_path: Path, cut: int):
    """The restart comes before the day, in it and before the first trade, or behind that."""
    store, items, behind = MemoryFeatureStore(), [*BEFORE_THE_SPLIT, *AFTER_IT], len(BEFORE_THE_SPLIT) + cut
    store.facts = {NEXT: [SPLIT]}
    for first, end in ((0, behind), (behind, len(items))):
        sink = FeatureSink(store, keep=tmp_path / "features.state")
        sink.write(events(*items[first:end], first=first))
        sink.sync()
    mine = [each for each in store.closed if each.date == NEXT]
    assert {each.began for each in mine} == {f"new+{DAY}*instruments@7"}
    served = [(symbol, ts, close, volume, bits) for symbol, ts, close, volume, _, bits in rows_of(mine)]
    assert served == split_in_batch(MemoryFeatureStore(), tmp_path)


def test_before_the_first_trade_of_a_split_day_the_old_price_is_carried():
    store = MemoryFeatureStore()
    store.facts = {NEXT: [SPLIT]}
    sink = FeatureSink(store)
    sink.write(events(*BEFORE_THE_SPLIT, *AFTER_IT[:3]))
    sink.sync()
    mine = [each for each in store.closed if each.date == NEXT]
    assert [close for _, _, close, _ in short(mine, NEXT)] == [50_900.0, 50_900.0, 50_900.0, 10_060.0]
    change = np.concatenate([each.outputs[:, 10] for each in mine]).tolist()
    assert change == [0.0, 0.0, 0.0, 10_060.0 - 10_180.0]  # won, net of the split


def test_a_day_that_is_read_again_begins_with_what_was_known_of_it_then(tmp_path: Path):
    store = MemoryFeatureStore()
    store.facts = {NEXT: [SPLIT]}
    once = FeatureSink(store)  # its state is lost, its rows are not
    once.write(events(*BEFORE_THE_SPLIT, *AFTER_IT))
    once.sync()
    store.facts[NEXT].append(Morning("instruments@8", {"A": 5_090_000}, frozenset(), {}))
    heard = []
    again = FeatureSink(store, keep=tmp_path / "features.state")
    again.on_close.append(heard.append)
    again.write(events(*BEFORE_THE_SPLIT, *AFTER_IT))
    assert rows_of(heard) == rows_of(store.closed)
    assert {each.began for each in heard} == {"new", f"new+{DAY}*instruments@7"}


def test_nothing_known_at_the_begin_changes_nothing():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(*BEFORE_THE_SPLIT, *AFTER_IT))
    sink.sync()
    mine = [each for each in store.closed if each.date == NEXT]
    assert {each.began for each in mine} == {f"new+{DAY}"}
    assert min(float(each.outputs[:, 10].min()) for each in mine) == 10_060.0 - 50_900.0


def test_a_damaged_list_keeps_no_day_from_being_served_and_is_told_once():
    store = MemoryFeatureStore()
    store.unknown = TableCorruptError("instruments", "x.parquet", "cut off")
    with structlog.testing.capture_logs() as told:
        sink = FeatureSink(store)
        sink.write(events(*BEFORE_THE_SPLIT, *AFTER_IT))
        sink.sync()
    assert {(each.date, each.began) for each in store.closed} == {(DAY, "new"), (NEXT, f"new+{DAY}")}
    assert [each["date"] for each in told if "instruments" in each.get("error", "")] == [DAY, NEXT]


def test_a_lake_that_does_not_answer_for_now_is_asked_again_before_a_day_begins():
    store = MemoryFeatureStore()
    store.facts, store.unknown = {DAY: [Morning("instruments@7", {}, frozenset(), {})]}, LakeUnreachableError("x", "y")
    sink, batch = FeatureSink(store), events(trade("09:00:01", 1), at("09:01:00"))
    with pytest.raises(LakeUnreachableError):
        sink.write(batch)
    store.unknown = None
    sink.write(batch)
    sink.sync()
    assert [each.began for each in store.closed] == ["new*instruments@7"]
