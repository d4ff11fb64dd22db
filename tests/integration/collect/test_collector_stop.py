"""Leaving: one bound for all that comes between the first stop and the end, whatever hangs."""

import asyncio
import threading
import time
from pathlib import Path

import pytest
from collect_lives import ScriptedFeed, Setting, volumes
from collect_parts import MemorySink
from structlog.testing import capture_logs

from hosu.clock import SystemClock
from hosu.collect.collector import CollectorConfig, Outside
from hosu.collect.files import SystemFiles
from hosu.collect.leaving import close_within
from hosu.collect.wal import Log
from hosu.errors import LockedError, LogWriteError

NEVER_S = 600
"""Longer than any test may take: who waits for it fails."""


class HangingDisk(SystemFiles):
    """A disk whose syncs wait for ``gate``."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()

    def fdatasync(self, descriptor: int) -> None:
        self.gate.wait()
        super().fdatasync(descriptor)


class LingeringFeed(ScriptedFeed):
    """One that does not get its goodbye said."""

    async def run(self, desired) -> None:
        try:
            await super().run(desired)
        finally:
            await asyncio.Event().wait()


def reopened(folder: Path) -> Log:
    """The log, once whoever was left with it has let go of it."""
    deadline_s = time.monotonic() + 30
    while True:
        try:
            return Log.open(folder / "log", SystemClock())
        except LockedError:
            assert time.monotonic() < deadline_s


def test_a_disk_that_hangs_is_left_behind_and_what_was_durable_is_there(setting: Setting):
    disk = HangingDisk()

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while sink.records < 50:
            await asyncio.sleep(0.01)
        disk.gate.clear()
        feed._recorder.clock_offset(0)
        collector.stop()

    config = CollectorConfig(stop_s=0.3, log_close_s=0.1)
    with capture_logs() as logs:
        status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 50), drive=drive, config=config, files=disk)
    assert status["state"] == "stopped"
    assert status["buffers"]["log_queue_bytes"] > 0
    assert [entry["event"] for entry in logs if entry["log_level"] == "warning"] == [
        "left before all was committed; the next start goes on from the log",
        "left before all was written",
    ]
    disk.gate.set()
    log = reopened(setting.folder)
    assert log.durable_lsn > status["durable_lsn"]
    log.close()
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 50, 1))
    assert volumes(sink) == list(range(51))


def test_a_stop_while_the_last_segment_is_sealed_does_not_wait_for_it(setting: Setting):
    disk = HangingDisk()

    async def drive(collector, feed, sink):
        await feed.sent.wait()
        while sink.records < 50:
            await asyncio.sleep(0.01)
        disk.gate.clear()
        while collector.state != "draining":
            await asyncio.sleep(0.01)
        collector.stop()
        collector.stop()

    config = CollectorConfig(until_idle_s=0.3, stop_s=NEVER_S, log_close_s=0.1)
    status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 50), drive=drive, config=config, files=disk)
    assert status["state"] == "stopped"
    disk.gate.set()
    reopened(setting.folder).close()


def test_the_last_poll_is_given_up_when_a_stop_comes(setting: Setting):
    polls = []

    async def poll() -> None:
        polls.append(len(polls))
        if len(polls) > 1:
            await asyncio.Event().wait()

    async def drive(collector, feed, sink):
        while len(polls) < 2:
            await asyncio.sleep(0.01)
        collector.stop()

    config = CollectorConfig(until_idle_s=0.3, stop_s=NEVER_S, log_close_s=NEVER_S - 30)
    status, sink, _ = setting.collect(
        lambda r: ScriptedFeed(r, 0, 5), drive=drive, config=config, outside=Outside(poll=poll)
    )
    assert status["reason"].startswith("no market data")
    assert volumes(sink) == list(range(5))


@pytest.mark.parametrize("stops", [1, 2])
def test_a_feed_that_does_not_say_goodbye_is_not_waited_for(setting: Setting, stops: int):
    async def drive(collector, feed, sink):
        await feed.sent.wait()
        collector.stop()
        while collector.state != "draining":
            await asyncio.sleep(0.01)
        if stops == 2:
            collector.stop()

    left_s = 0.3 if stops == 1 else NEVER_S
    config = CollectorConfig(feed_stop_s=left_s / 3, stop_s=30 + left_s, log_close_s=30)
    setting.collect(lambda r: LingeringFeed(r, 0, 5), drive=drive, config=config)
    _, sink, _ = setting.collect(lambda r: ScriptedFeed(r, 5, 1))
    assert volumes(sink) == list(range(6))


def test_after_a_failure_the_sinks_have_the_same_time_and_no_more(setting: Setting):
    sink = MemorySink(setting.stored)
    sink.gate.clear()
    config = CollectorConfig(stop_s=30.2, log_close_s=30)
    outside = Outside(free_bytes=lambda: 5 << 20)
    with pytest.raises(LogWriteError, match="only 5 MiB are free"):
        setting.collect(lambda r: ScriptedFeed(r, 0, 5), config=config, sink=sink, outside=outside)
    sink.broken = RuntimeError("too late")
    sink.gate.set()


def test_a_log_is_closed_within_a_time_and_twice_is_harmless(tmp_path: Path):
    disk = HangingDisk()
    log = Log.open(tmp_path, SystemClock(), files=disk)
    disk.gate.clear()
    log.append(1, 1, 0, b"x")
    assert not close_within(log, 0.01)
    disk.gate.set()
    assert close_within(log, 30)
    assert close_within(log, 30)


def test_the_status_says_what_a_sink_that_counts_has_committed(setting: Setting):
    class CountingSink(MemorySink):
        name = "lake"
        commits = bytes_written = 0
        rows = 0

        def flush(self) -> int:
            self.rows += sum(batch.records for batch in self._held)
            self.commits += bool(self._held)
            self.bytes_written += 10 * len(self._held)
            return super().flush()

    sink = CountingSink(setting.stored)
    status, _, _ = setting.collect(lambda r: ScriptedFeed(r, 0, 20), sink=sink)
    assert status["sinks"] == {"lake": {"commits": sink.commits, "rows": 20, "bytes": sink.bytes_written}}
    assert sink.commits > 0
    assert setting.collect(lambda r: ScriptedFeed(r, 20, 1))[0]["sinks"] == {}
