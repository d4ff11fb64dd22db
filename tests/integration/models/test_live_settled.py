"""Live predictions that the lake does not take at once: kept, lost and told, or settled before a state is laid down."""

import threading

import pyarrow as pa
import pytest
from live_parts import LETTERS, MINUTE, MODELS, TEN, closed, rows
from structlog.testing import capture_logs

from hosu.collect.sinks import EventBatch
from hosu.errors import LakeFullError, LakeRefusedError, LakeUnreachableError, TableCorruptError
from hosu.features.definitions import FeatureSet
from hosu.features.sink import FeatureSink
from hosu.features.store import LakeFeatureStore
from hosu.market.events import EVENT_SCHEMAS, in_memory
from model_cases import NAMES

pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

pytestmark = pytest.mark.usefixtures("letters")


def test_what_the_lake_does_not_take_is_kept_for_the_next_close(live, lake, monkeypatch):
    whole = live._journal.add

    def full(*_):
        raise LakeUnreachableError("disk", "gone for now")

    monkeypatch.setattr(live._journal, "add", full)
    live.take(closed(0))
    assert (live.rows, live.failed) == (0, 1)
    monkeypatch.setattr(live._journal, "add", whole)
    live.take(closed(1))
    assert rows(lake, "lsn, count(*)") == [(100, 4), (101, 4)]


def test_settled_is_what_was_handed_over_before_and_only_once_the_lake_has_it(live, lake, monkeypatch):
    whole, synced, refused = live._journal.add, [], []

    def full(*_):
        refused.append(1)
        raise LakeUnreachableError("disk", "gone for now")

    monkeypatch.setattr(live._journal, "sync", lambda: synced.append(1))
    live.start()
    try:
        live.settle()  # nothing was handed over
        monkeypatch.setattr(live._journal, "add", full)
        live.on_close(closed(0))
        with pytest.raises(LakeUnreachableError):
            live.settle()
        assert refused
        assert not synced
        monkeypatch.setattr(live._journal, "add", whole)
        live.settle()
        assert synced == [1]
        assert rows(lake, "lsn, count(*)") == [(100, 4)]
    finally:
        live.stop()


def test_what_is_committed_and_not_synced_is_synced_before_it_counts_as_settled(live, lake, monkeypatch):
    synced = []

    def sync():
        raise LakeUnreachableError("disk", "gone for now")

    monkeypatch.setattr(live._journal, "sync", sync)
    live.start()
    try:
        live.on_close(closed(0))
        with pytest.raises(LakeUnreachableError):
            live.settle()
        monkeypatch.setattr(live._journal, "sync", lambda: synced.append(1))
        live.settle()
        live.settle()
        assert synced == [1]
        assert rows(lake, "lsn, count(*)") == [(100, 4)]
    finally:
        live.stop()


def test_where_nobody_predicts_nothing_is_called_settled(live):
    with pytest.raises(LakeUnreachableError, match="nobody predicts"):
        live.settle()
    live.start()
    live.stop()
    with pytest.raises(LakeUnreachableError, match="nobody predicts"):
        live.settle()


def test_no_state_is_laid_down_ahead_of_the_predictions_of_what_it_has_closed(live, lake, tmp_path):
    """Predictions begin only while the state is about to be laid down; killed right behind it, none may be missing."""
    keep, may_begin = tmp_path / "features.state", threading.Event()
    sink = FeatureSink(LakeFeatureStore(lake), keep=keep)

    def held_up(*given):
        may_begin.wait()
        return LETTERS.make(*given)

    live._features = FeatureSet("letters_v1", NAMES, 1, "none", "tests", held_up)
    sink.on_close.append(live.on_close)
    sink.before_keep += [may_begin.set, live.settle]
    live.start()
    try:
        sink.write(traded_and_closed("log", minutes=3))
        sink.sync()
        as_killed = keep.read_bytes(), rows(lake, "lsn, count(*)")
    finally:
        live.stop()
    keep.write_bytes(as_killed[0])
    assert FeatureSink(LakeFeatureStore(lake), keep=keep).resume_after("log") == 5
    assert as_killed[1] == [(1, 2), (3, 2), (5, 2)]


def traded_and_closed(wal_id, minutes):
    """A trade and a close of each minute, a record each."""
    schema = EVENT_SCHEMAS["trades"]
    told = [
        {
            "wal_id": wal_id, "lsn": 2 * minute, "record_no": 0, "date": "2026-01-02", "scope": "KRX", "source": "ws",
            "symbol": "005930", "cum_volume": minute + 1, "size": 1, "price": 100.0, "ts_recv": 0,
            "ts_event": TEN + minute * MINUTE,
        }
        for minute in range(minutes)
    ]  # fmt: skip
    whole = [{name: row.get(name) for name in schema.names} for row in told]
    trades = pa.RecordBatch.from_pylist(whole, schema=schema).cast(in_memory(schema))
    closes = tuple((2 * minute + 1, TEN + (minute + 1) * MINUTE) for minute in range(minutes))
    return EventBatch(wal_id, 0, 2 * minutes - 1, {"trades": trades}, minutes, bar_closes=closes)


def test_a_journal_that_cannot_say_what_it_has_loses_no_close(live, lake, monkeypatch):
    """Whether a close is journaled already is asked before it is answered; without an answer it is predicted and held,
    and the journal leaves out itself what it has."""
    whole = live._journal.covers

    def gone(*_, **__):
        raise LakeUnreachableError("s3://lake", "no route")

    live.take(closed(0))
    monkeypatch.setattr(live._journal, "covers", gone)
    live.take(closed(0))
    live.take(closed(1))
    assert rows(lake, "lsn, count(*)") == [(100, 4)]
    monkeypatch.setattr(live._journal, "covers", whole)
    live.take(closed(2))
    assert rows(lake, "lsn, count(*)") == [(100, 4), (101, 4), (102, 4)]


@pytest.mark.parametrize(
    "error",
    [TableCorruptError("predictions", "_delta_log", "cut off"), KeyError("version"), LakeRefusedError("s3", "403")],
)
@pytest.mark.parametrize("where", ["add", "covers"])
def test_what_will_not_pass_by_itself_does_not_end_the_collecting_but_loses_the_predictions_and_says_so(
    live, lake, tmp_path, monkeypatch, error, where
):
    keep, whole = tmp_path / "features.state", getattr(live._journal, where)
    sink = FeatureSink(LakeFeatureStore(lake), keep=keep)
    sink.on_close.append(live.on_close)
    sink.before_keep.append(live.settle)

    def refuses(*_):
        raise error

    monkeypatch.setattr(live._journal, where, refuses)
    live.start()
    try:
        sink.write(traded_and_closed("log", minutes=3))
        with capture_logs() as logs:
            sink.sync()
        assert keep.exists()
        assert live.lost == 3 * len(MODELS)
        assert live.failed >= 1
        assert [each["rows"] for each in logs if each["event"].startswith("predictions are lost")] == [live.lost]
        monkeypatch.setattr(live._journal, where, whole)
        live.on_close(closed(7))
        live.settle()
        assert rows(lake, "lsn, count(*)") == [(107, 4)]
    finally:
        live.stop()


def test_the_same_refusal_is_told_once(live, monkeypatch):
    def refuses(*_):
        raise TableCorruptError("predictions", "_delta_log", "cut off")

    monkeypatch.setattr(live._journal, "add", refuses)
    live.start()
    try:
        with capture_logs() as logs:
            for minute in range(3):
                live.on_close(closed(minute))
                live.settle()
    finally:
        live.stop()
    assert live.lost == 12
    assert len([each for each in logs if each["event"].startswith("predictions are lost")]) == 1


def test_a_lake_without_room_is_waited_for(live, lake, monkeypatch):
    """It is not called retryable, since somebody must make room; the collecting waits for that, and so does this."""
    whole = live._journal.add

    def full(*_):
        raise LakeFullError("the disk")

    monkeypatch.setattr(live._journal, "add", full)
    live.start()
    try:
        live.on_close(closed(0))
        with pytest.raises(LakeFullError):
            live.settle()
        monkeypatch.setattr(live._journal, "add", whole)
        live.settle()
        assert rows(lake, "lsn, count(*)") == [(100, 4)]
        assert live.lost == 0
    finally:
        live.stop()
