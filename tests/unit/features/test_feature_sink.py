"""The sink of served features: where it resumes, the state it lays down, and what it commits once."""

import errno
from pathlib import Path

import pytest
import structlog
from feature_parts import DAY, MemoryFeatureStore, at, events, short, trade

from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch
from hosu.errors import LakeFullError, LakeUnreachableError, LogGapError
from hosu.features.batch import States
from hosu.features.kept_sink import FeatureConfig
from hosu.features.sink import FeatureSink


def test_records_missing_before_a_batch_are_refused():
    sink = FeatureSink(MemoryFeatureStore())
    with pytest.raises(LogGapError):
        sink.write(events(trade("09:00:00", 1), first=5))


def test_a_sink_behind_whose_place_the_log_has_lost_records_begins_anew_there():
    store = MemoryFeatureStore()
    sink = FeatureSink(store, floors={"w1": 4})
    assert sink.resume_after("w1") == 4
    sink.write(events(trade("09:00:00", 1), at("09:01:00"), first=5))
    sink.sync()
    assert store.closed[0].began == "new@4"


def test_rows_in_the_table_are_not_added_again_after_a_restart(tmp_path: Path):
    store = MemoryFeatureStore()
    first = events(trade("09:00:01", 1), at("09:01:00"))
    sink = FeatureSink(store)  # its state is lost, its rows are not
    sink.write(first)
    sink.sync()
    again = FeatureSink(store, keep=tmp_path / "features.state")
    heard = []
    again.on_close.append(heard.append)
    again.write(first)
    again.write(events(trade("09:01:01", 2), at("09:02:00"), first=2))
    again.sync()
    assert [each.again for each in heard] == [True, False]
    assert short(store.closed) == [("A", "09:00", 100.0, 1), ("A", "09:01", 100.0, 1)]


def test_a_restart_goes_on_with_open_minutes_where_the_state_was_laid_down(tmp_path: Path):
    store = MemoryFeatureStore()
    sink = FeatureSink(store, keep=tmp_path / "features.state")
    sink.write(events(trade("09:00:01", 1, 100.0, 1), trade("09:02:00", 2, 102.0)))
    sink.sync()
    again = FeatureSink(store, keep=tmp_path / "features.state")
    assert again.resume_after("w1") == 1
    assert again.market_us == at("09:02:00")
    again.write(events(trade("09:00:02", 3, 101.0, 1), at("09:03:00"), first=2))
    again.sync()
    assert short(store.closed) == [("A", "09:00", 101.0, 2), ("A", "09:01", 101.0, 0), ("A", "09:02", 102.0, 1)]


@pytest.mark.parametrize("place", [3, 12, 16, 19, 40, -1])  # 16 to 19: how long the object is, which no checksum covers
def test_a_damaged_state_is_refused_and_built_anew(tmp_path: Path, place: int):
    path = tmp_path / "features.state"
    sink = FeatureSink(MemoryFeatureStore(), keep=path)
    sink.write(events(trade("09:00:01", 1)))
    sink.sync()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert FeatureSink(MemoryFeatureStore(), keep=path).resume_after("w1") == -1
    assert path.with_name("features.state.damaged").read_bytes() == content  # not overwritten by the next one
    assert not path.exists()


@pytest.mark.parametrize("what", ["folder", "loop"])
def test_what_cannot_be_read_as_a_file_is_set_aside_and_a_state_is_laid_down_in_its_place(tmp_path: Path, what: str):
    path = tmp_path / "features.state"
    if what == "folder":
        (path / "somebody's").mkdir(parents=True)
    else:
        path.symlink_to(path)
    with structlog.testing.capture_logs() as told:
        sink = FeatureSink(MemoryFeatureStore(), keep=path)
        assert sink.resume_after("w1") == -1
    assert [each["path"] for each in told] == [f"{path}.damaged"]
    sink.write(events(trade("09:00:01", 1)))
    sink.sync()
    assert FeatureSink(MemoryFeatureStore(), keep=path).resume_after("w1") == 0


def test_what_can_neither_be_read_nor_moved_ends_nothing_and_is_told(tmp_path: Path):
    path, aside = tmp_path / "features.state", tmp_path / "features.state.damaged"
    path.write_bytes(b"HOSUFEA")
    (aside / "somebody's").mkdir(parents=True)
    with structlog.testing.capture_logs() as told:
        assert FeatureSink(MemoryFeatureStore(), keep=path).resume_after("w1") == -1
    assert [each["path"] for each in told] == [str(path)]
    assert "will be replaced" in told[0]["event"]


def test_a_state_of_another_kernel_is_refused_and_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "features.state"
    sink = FeatureSink(MemoryFeatureStore(), keep=path)
    sink.write(events(trade("09:00:01", 1)))
    sink.sync()
    monkeypatch.setattr("hosu.features.kernel.VERSION", 99)
    assert FeatureSink(MemoryFeatureStore(), keep=path).resume_after("w1") == -1


def test_the_state_of_another_log_is_not_gone_on_with(tmp_path: Path):
    path = tmp_path / "features.state"
    sink = FeatureSink(MemoryFeatureStore(), keep=path)
    sink.write(events(trade("09:00:01", 1)))
    sink.sync()
    assert FeatureSink(MemoryFeatureStore(), keep=path).resume_after("w2") == -1


def test_what_could_not_be_committed_is_committed_later_and_once():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("09:00:01", 1), at("09:01:00")))
    store.broken = OSError("no room")
    with pytest.raises(OSError, match="no room"):
        sink.flush()
    sink.write(events(at("09:02:00"), first=2))
    sink.flush()
    assert short(store.closed) == [("A", "09:00", 100.0, 1), ("A", "09:01", 100.0, 0)]


def test_a_commit_that_landed_although_it_failed_is_not_made_again():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("09:00:01", 1), at("09:01:00")))
    store.broken = OSError("the answer was lost")
    with pytest.raises(OSError, match="lost"):
        sink.flush()
    store.numbers["w1"] = 1
    sink.flush()
    assert store.closed == []


def test_it_is_due_when_rows_are_old_or_many_enough_and_when_the_state_is():
    clock = SimulatedClock()
    sink = FeatureSink(MemoryFeatureStore(), config=FeatureConfig(2.0, 2, 30.0), clock=clock)
    sink.write(events(trade("09:00:01", 1), at("09:01:00")))
    assert not sink.due()
    clock._now_us += 2_000_000
    assert sink.due()
    sink.flush()
    assert not sink.due()
    sink.write(events(at("09:02:00"), at("09:03:00"), first=2))
    assert sink.due()
    sink.flush()
    sink.write(EventBatch("w1", 4, 4))
    clock._now_us += 30_000_000
    assert sink.due()
    assert sink.flush() == 4
    assert not sink.due()


def test_a_state_that_was_laid_down_without_official_closes_is_gone_on_with():
    bars = FeatureSink(MemoryFeatureStore())._kept.bars
    bars.begin(DAY, States.new(("A",)))
    told = {name: values for name, values in bars.arrays().items() if name != "official"}
    assert type(bars).restored(DAY, ("A",), told).states.official.tolist() == [0]


def test_a_state_that_the_disk_refuses_is_laid_down_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    sink = FeatureSink(MemoryFeatureStore(), keep=tmp_path / "features.state")
    sink.write(events(trade("09:00:01", 1)))

    def full(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("hosu.features.kept_sink.replace_file", full)
        with pytest.raises(LakeFullError):
            sink.sync()
    sink.sync()
    assert FeatureSink(MemoryFeatureStore(), keep=tmp_path / "features.state").resume_after("w1") == 0


def test_the_state_waits_for_whoever_was_told_of_the_bars_and_is_tried_again_at_the_next_flush(tmp_path: Path):
    """A bar that was handed over is closed again only by who resumes before it: no state may run ahead of it."""
    keep, store = tmp_path / "features.state", MemoryFeatureStore()
    sink, asked = FeatureSink(store, keep=keep, config=FeatureConfig(flush_after_s=0.0, keep_every_s=1e9)), []

    def not_yet() -> None:
        asked.append(len(store.closed))
        if len(asked) < 3:
            raise LakeUnreachableError("predictions", "gone for now")

    sink.before_keep.append(not_yet)
    sink.write(events(trade("09:00:01", 1), at("09:01:00")))
    for _ in range(2):
        with pytest.raises(LakeUnreachableError):
            sink.flush()
        assert not keep.exists()
        assert sink.due()
        assert sink.resume_after("w1") == -1
    assert sink.flush() == 1
    assert not sink.due()
    assert asked == [1, 1, 1]  # the rows were added once, before
    assert FeatureSink(store, keep=keep).resume_after("w1") == 1


def test_nobody_is_asked_where_there_is_no_state_to_lay_down():
    sink, asked = FeatureSink(MemoryFeatureStore()), []
    sink.before_keep.append(lambda: asked.append(1))
    sink.sync()
    sink.write(events(trade("09:00:01", 1)))
    sink.sync()
    sink.sync()
    assert asked == [1]


def test_who_begins_in_mid_log_does_not_say_that_it_began_with_the_day():
    store = MemoryFeatureStore()
    sink = FeatureSink(store)
    sink.write(events(trade("09:00:01", 1), at("09:01:00"), trade("09:01:01", 2), at("09:02:00")))
    sink.close()
    again = FeatureSink(store, floors={"w1": 1})  # the state is lost, and so is the begin of the log
    again.write(events(trade("09:01:01", 2), at("09:02:00"), at("09:03:00"), first=2))
    again.close()
    assert [(each.lsn, each.began) for each in store.closed] == [(1, "new"), (3, "new"), (4, "new@1")]
