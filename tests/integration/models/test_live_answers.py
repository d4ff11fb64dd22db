"""Who answers beside the stream: every close, every seat, once; models are swapped without a missed bar."""

import asyncio
import threading

import pytest
from live_parts import LETTERS, MINUTE, MODELS, NINE, closed, rows, trained
from structlog.testing import capture_logs

from hosu.errors import LakeUnreachableError
from hosu.models.journal import LiveJournal
from hosu.models.live import Live
from hosu.models.registry import PRIOR
from hosu.models.seats import Seats
from hosu.models.served import DIRECTION

pytest.importorskip("onnxruntime")
pytest.importorskip("sklearn")

pytestmark = pytest.mark.usefixtures("letters")


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
