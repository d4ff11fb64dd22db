"""Predictions beside the stream: every close, every seat, once; models are swapped without a missed bar."""

import asyncio
import threading

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from hosu.clock import SimulatedClock
from hosu.collect.sinks import EventBatch
from hosu.errors import LakeFullError, LakeRefusedError, LakeUnreachableError, TableCorruptError
from hosu.features.definitions import FeatureSet
from hosu.features.served import Closed
from hosu.features.sink import FeatureSink
from hosu.features.store import LakeFeatureStore
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.market.events import EVENT_SCHEMAS, in_memory
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.registry import PRIOR, Registry
from hosu.models.seats import Seats
from hosu.models.served import DIRECTION
from model_cases import NAMES, SET, packed

pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

MINUTE = 60_000_000
NINE = 1_767_312_000_000_000  # 2026-01-02 09:00 in Seoul
TEN = NINE + 60 * MINUTE  # the year's first session begins an hour late
LETTERS = FeatureSet("letters_v1", NAMES, 1, "none", "tests", lambda outputs, close: outputs[:, :3].copy())
MODELS = ("minute-10", "minute-30")


def closed(minute, lsn=None, count=2, wal_id="log"):
    chance = np.random.default_rng(minute)
    return Closed(
        wal_id=wal_id,
        lsn=100 + minute if lsn is None else lsn,
        date="2026-01-02",
        began="new",
        again=False,
        names=("005930", "000660"),
        code=np.arange(count),
        ts=np.full(count, NINE + minute * MINUTE),
        close=np.full(count, 100_000),
        volume=np.ones(count, np.int64),
        traded=np.ones(count, bool),
        polled=np.arange(count) == 1,
        outputs=chance.normal(0, 0.5, (count, 13)),
    )


@pytest.fixture(autouse=True)
def letters(monkeypatch):
    monkeypatch.setattr("hosu.features.definitions.kernel.VERSION", 1)
    assert LETTERS.version == SET


@pytest.fixture
def lake(tmp_path) -> Lake:
    return Lake.open(str(tmp_path / "lake"))


@pytest.fixture
def clock():
    return SimulatedClock(start_us=NINE + MINUTE)


@pytest.fixture
def registry(lake, clock) -> Registry:
    return Registry(lake, clock)


@pytest.fixture
def live(lake, registry, clock) -> Live:
    return Live(Seats(lake, registry, MODELS, LETTERS), LiveJournal(lake), LETTERS, clock=clock)


def rows(lake, what="model, model_version, role, count(*) AS n", by="GROUP BY ALL ORDER BY ALL"):
    with Session(lake) as session:
        return [tuple(row.values()) for row in session.query(f"SELECT {what} FROM predictions {by}").to_pylist()]


def trained(registry, model="minute-10", horizon=10, verdict="edge", **changes):
    files = packed(model=model, horizon=horizon, verdict=verdict, **changes)
    return registry.register(model, files, {}, verdict)


def test_from_the_beginning_the_prior_answers_for_every_model(live, lake):
    live.take(closed(0))
    assert rows(lake) == [("minute-10", PRIOR, "champion", 2), ("minute-30", PRIOR, "champion", 2)]
    told = rows(lake, "symbol, price, predicted_price, source, wal_id, lsn, epoch_us(decided_at)", "ORDER BY ALL")
    assert told[0] == ("000660", 1000.0, 1000.0, "poll", "log", 100, NINE + MINUTE)
    assert told[2][3] == "trades"


def test_bars_that_come_again_add_nothing_also_after_a_restart(live, lake, registry, clock):
    live.take(closed(0))
    live.take(closed(1))
    live.take(closed(0))
    again = Live(Seats(lake, registry, MODELS, LETTERS), LiveJournal(lake), LETTERS, clock=clock)
    for minute in range(3):
        again.take(closed(minute))
    again.take(closed(0, lsn=5, wal_id="another log"))
    assert rows(lake, "wal_id, lsn, count(*)") == [
        ("another log", 5, 4), ("log", 100, 4), ("log", 101, 4), ("log", 102, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("change", ["promoted", "rolled back"])
def test_who_becomes_champion_between_a_kill_and_the_restart_does_not_answer_again(lake, registry, clock, change):
    first = trained(registry)
    if change == "rolled back":
        registry.promote("minute-10", first, "gate")
    before = Live(Seats(lake, registry, ("minute-10",), LETTERS), LiveJournal(lake), LETTERS, clock=clock)
    before._seats.refresh()
    before.take(closed(0))
    before.take(closed(1))
    if change == "promoted":
        registry.promote("minute-10", first, "gate")
    else:
        registry.rollback("minute-10", "turned")
    again = Live(Seats(lake, registry, ("minute-10",), LETTERS), LiveJournal(lake), LETTERS, clock=clock)
    again._seats.refresh()
    for minute in range(3):  # the sink's state was not laid down: it closes the first two once more
        again.take(closed(minute))
    was, now = (PRIOR, first) if change == "promoted" else (first, PRIOR)
    assert rows(lake, "lsn, model_version, role", "GROUP BY ALL ORDER BY ALL") == [
        (100, was, "champion"), (101, was, "champion"), (102, now, "champion"),
    ]  # fmt: skip


def test_champion_and_challenger_answer_side_by_side_and_change_places(live, lake, registry, clock):
    seats = live._seats
    first, second = trained(registry), trained(registry, certified_only=True)
    registry.promote("minute-10", first, "gate")
    registry.challenge("minute-10", second, "trained")
    assert seats.refresh()
    live.take(closed(0))
    registry.promote("minute-10", second, "bets")
    live.take(closed(1))  # nobody has looked yet
    assert seats.refresh()
    assert not seats.refresh()
    live.take(closed(2))
    registry.rollback("minute-10", "turned")
    seats.refresh()
    live.take(closed(3))
    told = rows(lake, "lsn, model_version, role", "WHERE model = 'minute-10' GROUP BY ALL ORDER BY ALL")
    assert told == [
        (100, 1, "champion"), (100, 2, "challenger"), (101, 1, "champion"), (101, 2, "challenger"),
        (102, 2, "champion"), (103, 1, "champion"),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", ["damaged", "missing", "other set", "other model"])
def test_a_version_that_cannot_be_loaded_leaves_the_old_one_serving(live, lake, registry, tmp_path, fault):
    good = trained(registry)
    registry.promote("minute-10", good, "gate")
    live._seats.refresh()
    changes = {"other set": {"feature_set_version": "letters_v1/9"}, "other model": {"interval": "day"}}.get(fault, {})
    bad = trained(registry, certified_only=True, **changes)
    registry.promote("minute-10", bad, "gate")
    path = tmp_path / "lake" / registry.version("minute-10", bad).card["folder"] / DIRECTION
    if fault == "damaged":
        path.write_bytes(path.read_bytes()[:100])
    elif fault == "missing":
        path.unlink()
    assert not live._seats.refresh()
    live.take(closed(0))
    assert rows(lake)[0] == ("minute-10", good, "champion", 2)
    assert live.failed == 0


def damage(registry, tmp_path, version, model="minute-10"):
    path = tmp_path / "lake" / registry.version(model, version).card["folder"] / DIRECTION
    path.write_bytes(path.read_bytes()[:100])


def test_after_a_restart_the_last_champion_that_can_be_loaded_stands_in_for_a_damaged_one(lake, registry, tmp_path):
    for certified_only, persistence in ((False, False), (True, False), (False, True)):
        version = trained(registry, certified_only=certified_only, persistence=persistence)
        registry.promote("minute-10", version, "gate")
    registry.challenge("minute-10", 1, "again")
    told: list[str] = []

    def seated():
        seats = Seats(lake, registry, ("minute-10",), LETTERS, tell=told.append)
        seats.refresh()
        assert not seats.refresh()
        return [(seat.version, str(seat.role)) for seat in seats.now]

    assert seated() == [(3, "champion"), (1, "challenger")]
    assert told == []
    damage(registry, tmp_path, 3)
    assert seated() == [(2, "champion"), (1, "challenger")]
    assert told.pop().startswith("minute-10: version 2 answers in place of version 3: ")
    damage(registry, tmp_path, 2)
    assert seated() == [(1, "champion")]  # once, although it is the challenger too
    assert [each.partition(str(tmp_path))[0] for each in told] == [
        "minute-10: version 2 cannot stand in either: ",
        "minute-10: version 1 answers in place of version 3: ",
    ]
    told.clear()
    damage(registry, tmp_path, 1)
    assert seated() == [(PRIOR, "champion")]
    assert told[-2].startswith("minute-10: the prior answers in place of version 3: ")
    assert told[-1].startswith("minute-10: version 1, the challenger, does not answer: ")


def test_a_stand_in_gives_way_once_the_champion_can_be_reached(lake, registry, monkeypatch):
    for certified_only in (False, True):
        registry.promote("minute-10", trained(registry, certified_only=certified_only), "gate")
    whole = registry.load

    def out_of_reach(model, version):
        if version == 2:
            raise LakeUnreachableError("s3://lake", "no route")
        return whole(model, version)

    seats = Seats(lake, registry, ("minute-10",), LETTERS)
    monkeypatch.setattr(registry, "load", out_of_reach)
    seats.refresh()
    assert [seat.version for seat in seats.now] == [1]
    monkeypatch.setattr(registry, "load", whole)
    assert seats.refresh()
    assert [seat.version for seat in seats.now] == [2]


def test_a_registry_that_cannot_be_read_changes_nobody(live, registry, lake, monkeypatch):
    registry.promote("minute-10", trained(registry), "gate")
    live._seats.refresh()

    def unreachable(*_):
        raise LakeUnreachableError("s3://lake", "no route")

    monkeypatch.setattr(live._seats, "_version", unreachable)
    assert not live._seats.refresh()
    live.take(closed(0))
    assert rows(lake)[0] == ("minute-10", 1, "champion", 2)


def test_an_error_of_any_kind_does_not_end_the_thread_that_looks_after_the_registry(live, lake, registry, monkeypatch):
    """Whatever goes wrong in one look, the next one still seats who is new."""
    good, failed, looked, plain = trained(registry), threading.Event(), threading.Event(), live._seats.refresh

    def fails():
        failed.set()
        raise ZeroDivisionError

    def again():
        plain()
        looked.set()

    live.start()
    monkeypatch.setattr(live._seats, "refresh", fails)
    live.on_close(closed(0))
    assert failed.wait(30)

    registry.promote("minute-10", good, "gate")
    monkeypatch.setattr(live._seats, "refresh", again)
    live.on_close(closed(1))
    assert looked.wait(30), "the thread is dead"
    live.on_close(closed(2))
    live.stop()
    assert rows(lake, "model_version", "WHERE lsn = 102 AND model = 'minute-10'") == [(good,), (good,)]


def test_a_registry_that_faults_at_the_start_lets_the_prior_serve(live, lake, registry, monkeypatch):
    trained(registry)
    monkeypatch.setattr(registry, "history", lambda _: 1 / 0)
    with capture_logs() as told:
        live.start()
        live.on_close(closed(0))
        live.stop()
    assert [each["event"] for each in told][:1] == ["the registry could not be looked at; whoever serves goes on"]
    assert {version for _, version, *_ in rows(lake)} == {PRIOR}


def test_late_bars_and_minutes_without_a_trade_are_stale(live, lake, clock):
    asyncio.run(clock.advance(40))
    still = closed(1)
    still.traded[1] = False
    live.take(closed(0))
    live.take(still)
    told = rows(lake, "lsn, symbol, abstained", "WHERE model = 'minute-10' ORDER BY ALL")
    assert told == [
        (100, "000660", "stale: the minute ended more than 2 s ago"),
        (100, "005930", "stale: the minute ended more than 2 s ago"),
        (101, "000660", "stale: no trade in this minute"),
        (101, "005930", None),
    ]


def test_a_simulated_market_has_a_time_of_its_own(lake, registry, clock):
    asyncio.run(clock.advance(86_400))
    seats = Seats(lake, registry, MODELS, LETTERS)
    Live(seats, LiveJournal(lake), LETTERS, clock=clock, market_us=lambda: 0).take(closed(0))
    assert rows(lake, "DISTINCT abstained", "") == [(None,)]


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


def test_its_own_threads_predict_all_that_was_handed_over_and_none_is_missed_while_models_change(live, lake, registry):
    versions = [trained(registry), trained(registry, certified_only=True)]
    live.start()
    for minute in range(12):
        if minute in (4, 8):
            registry.promote("minute-10", versions[minute // 4 - 1], "gate")
        live.on_close(closed(minute))
    live.stop()
    assert rows(lake, "lsn, count(*)", "WHERE model = 'minute-10' GROUP BY ALL ORDER BY ALL") == [
        (100 + minute, 2) for minute in range(12)
    ]
    assert live.latency.count == 12
    assert live.rows == 48


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
