"""The collector with feeds that play a script: how it starts, stops, fails and goes on."""

import asyncio
import itertools
import os
import signal
import threading
from pathlib import Path

import pytest
from collect_lives import ScriptedFeed, Setting, trade, volumes
from collect_parts import MemorySink

from hosu.collect.collector import CollectorConfig, Outside
from hosu.collect.replay import replay
from hosu.collect.status import StatusFile
from hosu.collect.wal import LogConfig
from hosu.errors import InputError, LakeFullError, LogCorruptError, LogWriteError, TableCorruptError


def test_everything_received_is_filed_archived_and_leaves_the_log(setting: Setting):
    status, sink, _ = setting.collect(lambda recorder: ScriptedFeed(recorder, 0, 500))
    assert volumes(sink) == list(range(500))
    assert (status["state"], status["records"], status["filed"], status["quarantined"]) == ("stopped", 500, 500, 0)
    assert status["reason"] == "no market data for 0 s"
    assert status["success_rate"] == 1.0
    assert status["business_date"] == 20250314
    assert status["buffers"]["lag_records"] == {"memory": 0}
    assert status["buffers"]["uncommitted_records"] == {"memory": 0}
    assert status["latency_us"]["p50"] > 0
    assert status["sink_latency_us"]["max"] > status["latency_us"]["p50"]  # nothing is taken before it is durable
    assert sink.closed == 1
    ((name, (date, _)),) = setting.archive.copies.items()
    assert date == "2025-03-14"
    assert name == f"{status['wal_id']}-{0:020d}-{status['durable_lsn']:020d}.log.zst"
    assert sorted(path.name for path in (setting.folder / "log").iterdir()) == ["lock", "log.json"]


def test_the_status_file_says_at_the_end_what_run_returned(setting: Setting):
    status, _, _ = setting.collect(lambda recorder: ScriptedFeed(recorder, 0, 5))
    written = StatusFile(setting.folder / "status.json").read()
    assert {key: written[key] for key in ("state", "records", "durable_lsn", "pid")} == {
        "state": "stopped",
        "records": 5,
        "durable_lsn": status["durable_lsn"],
        "pid": os.getpid(),
    }


def test_a_status_that_is_missing_or_foreign_is_named(tmp_path: Path):
    with pytest.raises(InputError, match="start `hosu collect` first"):
        StatusFile(tmp_path / "status.json").read()
    (tmp_path / "status.json").write_text("[]")
    with pytest.raises(InputError, match="no status of hosu"):
        StatusFile(tmp_path / "status.json").read()


def test_a_stop_commits_what_was_received_and_seals_the_log(setting: Setting):
    async def drive(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()

    config = CollectorConfig()
    status, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 200), drive=drive, config=config)
    assert volumes(sink) == list(range(200))
    assert (status["state"], status["reason"]) == ("stopped", "stopped")


def test_a_signal_is_a_stop(setting: Setting):
    async def drive(collector, feed, sink):
        await feed.sent.wait()
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    config = CollectorConfig(handle_signals=True)
    status, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 20), drive=drive, config=config)
    assert status["reason"] == "SIGTERM"
    assert volumes(sink) == list(range(20))
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_stop_leaves_a_sink_that_hangs_and_the_next_start_feeds_it_again(setting: Setting):
    async def drive(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()

    slow = MemorySink(setting.stored)
    slow.gate.clear()
    config = CollectorConfig(stop_s=30.2, log_close_s=30)
    setting.collect(lambda r: ScriptedFeed(r, 0, 100), drive=drive, config=config, sink=slow)
    assert volumes(slow) == []
    slow.broken = RuntimeError("too late")
    slow.gate.set()
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 100, 50))
    assert volumes(sink) == list(range(150))


def test_a_second_stop_leaves_at_once(setting: Setting):
    slow = MemorySink(setting.stored)
    slow.gate.clear()

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()
        collector.stop()

    setting.collect(
        lambda r: ScriptedFeed(r, 0, 10), drive=drive, config=CollectorConfig(stop_s=600, log_close_s=30), sink=slow
    )
    slow.broken = RuntimeError("too late")
    slow.gate.set()
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 10, 1))
    assert volumes(sink) == list(range(11))


def test_a_restart_goes_on_from_the_sinks_own_number_in_the_middle_of_a_segment(setting: Setting):
    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while sum(batch.records for batch in setting.stored["batches"]) < 1:
            await asyncio.sleep(0.001)
        collector.stop()
        collector.stop()

    total = 0
    for life in range(3):
        first = total
        setting.collect(lambda r, first=first: ScriptedFeed(r, first, 100), drive=drive, config=CollectorConfig())
        total += 100
        # As after a crash: the last batches were never committed.
        if life < 2 and setting.stored["batches"]:
            lost = setting.stored["batches"].pop()
            setting.stored["covered"][lost.wal_id] = lost.first_lsn - 1
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, total, 1))
    assert volumes(sink) == list(range(total + 1))


def test_a_sink_that_may_be_tried_again_is_and_nothing_is_lost(setting: Setting):
    sink = MemorySink(setting.stored)
    sink.conflicts = 2
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 30), sink=sink)
    assert volumes(sink) == list(range(30))


def test_a_sink_that_is_broken_stops_the_collector_with_its_error_and_the_log_keeps_all(setting: Setting):
    sink = MemorySink(setting.stored)
    sink.broken = TableCorruptError("trades", "_delta_log/0.json", "no JSON")
    with pytest.raises(TableCorruptError, match="hosu lake verify"):
        setting.collect(
            lambda r: ScriptedFeed(r, 0, 30), sink=sink, config=CollectorConfig(stop_s=30.2, log_close_s=30)
        )
    assert list((setting.folder / "log").glob("*.log")) != []
    _, again, _ = setting.collect(lambda r: ScriptedFeed(r, 30, 1))
    assert volumes(again) == list(range(31))


def test_a_feed_that_fails_for_good_ends_the_collector_after_committing(setting: Setting):
    error = InputError("symbols", "none", "name one")
    with pytest.raises(InputError, match="name one"):
        setting.collect(lambda r: ScriptedFeed(r, 0, 30, error=error), config=CollectorConfig())
    assert [row["cum_volume"] for b in setting.stored["batches"] for row in b.tables["trades"].to_pylist()] == list(
        range(30)
    )


def test_the_collector_ends_when_every_feed_has(setting: Setting):
    status, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 3, stays=False), config=CollectorConfig())
    assert status["reason"] == "every feed has ended"
    assert volumes(sink) == [0, 1, 2]


def test_the_collector_ends_with_the_markets_day(setting: Setting):
    over = itertools.chain([False] * 3, itertools.repeat(True))
    outside = Outside(session_over=lambda now_us: next(over))
    status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 3), config=CollectorConfig(), outside=outside)
    assert status["reason"] == "the market's day is over"


def test_prices_are_polled_at_the_start_and_at_the_end(setting: Setting):
    polls = []

    async def poll() -> None:
        polls.append(len(polls))

    status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 3), outside=Outside(poll=poll))
    assert status["reason"].startswith("no market data")
    assert polls == [0, 1]


def test_a_full_queue_stops_reading_and_loses_nothing(setting: Setting):
    _, sink, feed = setting.collect(
        lambda r: ScriptedFeed(r, 0, 3000), log_config=LogConfig(high_bytes=20_000, low_bytes=5_000)
    )
    assert feed.pauses > 0
    assert volumes(sink) == list(range(3000))


def test_segments_leave_the_disk_only_after_copy_and_sync(setting: Setting):
    _, sink, _ = setting.collect(
        lambda r: ScriptedFeed(r, 0, 2000), log_config=LogConfig(segment_bytes=50_000, commit_bytes=20_000)
    )
    assert len(setting.archive.copies) > 5
    assert sink.synced > 0
    assert list((setting.folder / "log").glob("*.log*")) == []
    copies = setting.folder / "copies"
    for name, (date, data) in setting.archive.copies.items():
        (copies / date).mkdir(parents=True, exist_ok=True)
        (copies / date / name).write_bytes(data)
    seen: list[tuple[int, int]] = []
    replayed = MemorySink()
    report = replay(copies, replayed, progress=lambda done, total: seen.append((done, total)))
    assert volumes(replayed) == list(range(2000))
    assert (report.records, report.segments) == (2000, len(setting.archive.copies))
    assert seen[-1][0] == seen[-1][1] == sum(len(data) for _, data in setting.archive.copies.values())
    again = replay(copies, replayed)
    assert again.records == 0
    assert volumes(replayed) == list(range(2000))


def test_a_segment_stays_while_a_sink_lags(setting: Setting):
    slow = MemorySink(setting.stored, flush_every=10**9)
    slow.gate.clear()

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while len(setting.archive.copies) < 2:
            await asyncio.sleep(0.01)
        assert len(list((setting.folder / "log").glob("*.log"))) >= 2
        slow.gate.set()

    config = CollectorConfig(until_idle_s=1.5, archive_every_s=0.02)
    setting.collect(
        lambda r: ScriptedFeed(r, 0, 300),
        drive=drive,
        config=config,
        sink=slow,
        log_config=LogConfig(segment_bytes=20_000, commit_bytes=9_000),
    )
    assert list((setting.folder / "log").glob("*.log")) == []


def test_below_the_reserve_the_sinks_wait_and_the_log_goes_on(setting: Setting):
    free = [10**6]
    sink = MemorySink(setting.stored)
    config = CollectorConfig(sink_reserve_bytes=10**8, log_reserve_bytes=10**5)

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while "memory" not in collector.status()["trouble"]:
            await asyncio.sleep(0.01)
        assert collector.status()["disk_low"]
        before = sink.records
        for i in range(100, 200):
            feed._recorder.frames(1, 0, [trade(i)])
        while collector.status()["buffers"]["log_queue_bytes"]:
            await asyncio.sleep(0.01)
        assert sink.records == before
        free[0] = 10**9
        while sink.records < 200:
            await asyncio.sleep(0.01)
        collector.stop()

    setting.collect(
        lambda r: ScriptedFeed(r, 0, 100),
        drive=drive,
        config=config,
        sink=sink,
        outside=Outside(free_bytes=lambda: free[0]),
    )
    assert volumes(sink) == list(range(200))


def test_with_no_room_for_the_log_the_collector_stops_with_a_sentence(setting: Setting):
    outside = Outside(free_bytes=lambda: 5 << 20)
    with pytest.raises(LogWriteError, match=r"only 5 MiB are free.*HOSU_DISK_RESERVE_MB"):
        setting.collect(
            lambda r: ScriptedFeed(r, 0, 10), config=CollectorConfig(stop_s=30.2, log_close_s=30), outside=outside
        )
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 10, 1))
    assert volumes(sink) == list(range(11))


def test_a_log_behind_its_sink_goes_on_behind_what_the_sink_has(setting: Setting):
    setting.collect(lambda r: ScriptedFeed(r, 0, 50))
    wal_id, covered = next(iter(setting.stored["covered"].items()))
    (setting.folder / "log" / "log.json").write_text(f'{{"format":1,"wal_id":"{wal_id}","created_us":0,"next_lsn":3}}')
    status, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 50, 10))
    assert volumes(sink) == list(range(60))
    assert status["durable_lsn"] > covered + 10


def test_no_thread_is_left(setting: Setting):
    setting.collect(lambda r: ScriptedFeed(r, 0, 5))
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("hosu-")] == []


def test_a_segment_that_an_earlier_life_left_is_archived_and_deleted(setting: Setting):
    async def stop(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()

    setting.collect(lambda r: ScriptedFeed(r, 0, 10), drive=stop, config=CollectorConfig())
    (left,) = (setting.folder / "log").glob("*.log")

    async def wait(collector, feed, sink):
        while left.exists():
            await asyncio.sleep(0.01)
        collector.stop()

    setting.collect(lambda r: ScriptedFeed(r, 10, 0), drive=wait, config=CollectorConfig(archive_every_s=0.02))
    assert len(setting.archive.copies) == 1


def test_a_replay_of_a_damaged_copy_keeps_what_lies_before_it(setting: Setting):
    setting.collect(lambda r: ScriptedFeed(r, 0, 600), log_config=LogConfig(segment_bytes=50_000, commit_bytes=20_000))
    copies = sorted(setting.archive.copies.items())
    assert len(copies) > 2
    for name, (_, data) in copies:
        (setting.folder / name).write_bytes(data if name != copies[1][0] else data[:-9])
    sink = MemorySink()
    with pytest.raises(LogCorruptError, match=copies[1][0]):
        replay([setting.folder / name for name, _ in copies], sink)
    found = volumes(sink)
    assert found == list(range(len(found)))
    assert 0 < len(found) < 600


def test_a_full_lake_waits_while_the_log_goes_on(setting: Setting):
    sink = MemorySink(setting.stored)
    sink.broken = LakeFullError("lake")

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while "no space left" not in collector.status()["trouble"].get("memory", ""):
            await asyncio.sleep(0.01)
        sink.broken = None
        while sink.records < 50:
            await asyncio.sleep(0.01)
        collector.stop()

    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 50), drive=drive, config=CollectorConfig(), sink=sink)
    assert volumes(sink) == list(range(50))


def test_a_lake_that_is_full_at_the_end_is_an_error_and_the_log_keeps_all(setting: Setting):
    sink = MemorySink(setting.stored)
    sink.broken = LakeFullError("lake")
    with pytest.raises(LakeFullError, match="nothing stored is lost"):
        setting.collect(lambda r: ScriptedFeed(r, 0, 50), sink=sink)
    _, again, _ = setting.collect(lambda r: ScriptedFeed(r, 50, 1))
    assert volumes(again) == list(range(51))
