"""The collector: one process that receives the market, keeps it in the log, and feeds whoever stands behind it.

Stopping has two stages. The first stops receiving, lets the sinks commit what the log holds, and leaves within one
bound for all of it, counted from the first request on; what a sink has not committed by then it is fed again at the
next start. The second leaves at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import structlog

from hosu.collect.archivist import Archivist
from hosu.collect.collector_config import CollectorConfig, FeedPart, Outside, Source
from hosu.collect.collector_status import StatusReport
from hosu.collect.fanout import singles
from hosu.collect.leaving import aside, finished, until
from hosu.collect.pump import Pump
from hosu.collect.status import StatusFile
from hosu.errors import LogError, LogWriteError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.clock import Clock
    from hosu.collect.recorder import Recorder
    from hosu.collect.sinks import Archive, Sink
    from hosu.collect.wal import Log

__all__ = ["Collector", "CollectorConfig", "FeedPart", "Outside", "Source"]

_log = structlog.get_logger(__name__)

_WATCH_S: Final = 0.1
_SWITCH_S: Final = 0.0005
"""How long a thread may hold the interpreter while others wait. At Python's 5 ms, a commit whose sync has returned
waits behind a busy decoder, and the latency's 99th percentile rises with it."""


class Collector:
    """Owns feeds, log, sinks and archive while it runs; ``run`` once, ``stop`` from the same thread."""

    def __init__(
        self,
        config: CollectorConfig,
        log: Log,
        recorder: Recorder,
        sources: Sequence[Source],
        *,
        sinks: Sequence[Sink],
        archive: Archive | None,
        clock: Clock,
        outside: Outside | None = None,
    ) -> None:
        self._config, self._wal, self._recorder, self._sources = config, log, recorder, sources
        self._clock, self._outside = clock, outside or Outside()
        self._sinks = sinks
        self._pumps = [Pump(log, sink, clock, config.pump, on_failure=self._fail) for sink in sinks]
        self._archivist = (
            Archivist(log, archive, self._pumps, every_s=config.archive_every_s, on_failure=self._fail)
            if archive is not None
            else None
        )
        self._file = StatusFile(config.status_path) if config.status_path is not None else None
        self._report_now = StatusReport(log, recorder, self._pumps, self._archivist, clock, sinks=sinks)
        self._stopping, self._leaving = asyncio.Event(), asyncio.Event()
        self._failed: asyncio.Future[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.state = "starting"
        self.reason: str | None = None
        self._bounded = False
        self._leave_at_s: float | None = None  # by the loop's clock: real time, whatever time the market has
        self._disk_low = False
        self._last_error: str | None = None

    def stop(self, reason: str = "stopped") -> None:
        """First call: stop receiving, commit what is received, leave within ``stop_s``. Second: leave at once."""
        if self._stopping.is_set() and self._bounded:
            self._leaving.set()
        self._bounded = True
        self._bound()
        self._end(reason)

    def _bound(self) -> None:
        """From now on there is a time at which to leave."""
        if self._loop is not None and self._leave_at_s is None:
            self._leave_at_s = self._loop.time() + self._config.stop_s

    def _time_is_up(self, but_s: float = 0.0) -> bool:
        """Whether to leave now, or in ``but_s`` seconds."""
        if self._leaving.is_set():
            return True
        return self._leave_at_s is not None and self._now_s() >= self._leave_at_s - but_s

    def _now_s(self) -> float:
        assert self._loop is not None
        return self._loop.time()

    def _end(self, reason: str) -> None:
        if not self._stopping.is_set():
            self.reason = reason
            _log.info("collector stops", reason=reason)
        self._stopping.set()

    async def run(self) -> dict[str, Any]:
        """Collects until the market's day is over, nothing comes any more, every feed has ended, or ``stop``.

        Returns the last status. Log and sinks are closed, unless they were left behind: a sink that hangs, a log whose
        disk does. What is left behind ends with the process.

        Raises:
            LogWriteError: the disk refuses, or is nearly full.
            HosuError: what ended a feed, a sink or the archive for good. The log keeps what was not committed.
        """
        self._loop = asyncio.get_running_loop()
        if self._bounded:
            self._bound()
        self._failed = self._loop.create_future()
        switch_s = sys.getswitchinterval()
        sys.setswitchinterval(_SWITCH_S)
        self._handle_signals(on=True)
        try:
            await self._run()
        except BaseExceptionGroup as group:
            error = _first(group)
            self._last_error = str(error)
            raise error from None
        finally:
            try:
                await self._let_go()
            finally:
                self._handle_signals(on=False)
                sys.setswitchinterval(switch_s)
        return self.status()

    async def _run(self) -> None:
        self._start_threads()
        self.state = "running"
        try:
            async with asyncio.TaskGroup() as group:
                await self._collect(group)
        except BaseException:
            # What is durable is still worth committing: only one part has failed.
            self._bound()
            await self._drain()
            raise

    def _start_threads(self) -> None:
        self._wal.on_failure(self._fail)
        for source in self._sources:
            self._wal.on_drained(source.feed.resume)
        reached = max((sink.resume_after(self._wal.wal_id) for sink in singles(self._sinks)), default=-1)
        if reached >= self._wal.next_lsn:
            _log.warning("the log has lost records that a sink has; it goes on behind them", lsn=reached)
            self._wal.advance_to(reached + 1)
        for pump in self._pumps:
            pump.start()
        if self._archivist is not None:
            self._archivist.start()

    async def _collect(self, group: asyncio.TaskGroup) -> None:
        feeds = [
            group.create_task(source.feed.run(source.desired), name=f"feed-{number}")
            for number, source in enumerate(self._sources, 1)
        ]
        others = [
            group.create_task(job, name=name)
            for name, job in (
                ("feeds-ended", self._await_feeds(feeds)),
                ("failure", self._await_failure()),
                ("watch", self._watch()),
                ("status", self._report()),
                ("clock", self._log_clock()),
                ("poll", self._poll()),
                ("repair", self._repair()),
                ("bars", self._close_bars()),
            )
        ]
        await self._stopping.wait()
        self.state = "draining"
        await self._stop_feeds(feeds)
        await self._drain()
        if feeds:  # most have gone long ago; who still says goodbye is told again to go
            await finished(asyncio.wait(feeds), lambda: self._time_is_up(self._config.log_close_s))
        for task in [*others, *feeds]:
            task.cancel()

    # --- tasks --------------------------------------------------------------------------------------------------

    async def _await_feeds(self, feeds: list[asyncio.Task[None]]) -> None:
        if feeds:
            await asyncio.wait(feeds)
            self._end("every feed has ended")

    async def _await_failure(self) -> None:
        assert self._failed is not None
        await self._failed

    def _fail(self, error: BaseException) -> None:
        """From any thread: ends the collector with an error."""
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is gone, and the collector with it
                loop.call_soon_threadsafe(self._set_failed, error)

    def _set_failed(self, error: BaseException) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _watch(self) -> None:
        frames, since_s = 0, self._clock.monotonic()
        while not self._stopping.is_set():
            await self._clock.sleep(_WATCH_S)
            if self._outside.session_over is not None and self._outside.session_over(self._clock.now_us()):
                self._end("the market's day is over")
            if self._recorder.data_frames != frames:
                frames, since_s = self._recorder.data_frames, self._clock.monotonic()
            self._end_if_idle(frames, self._clock.monotonic() - since_s)
            self._watch_disk()

    def _end_if_idle(self, frames: int, idle_s: float) -> None:
        limit_s = self._config.until_idle_s
        if limit_s is None:
            return
        if idle_s >= (limit_s if frames else max(limit_s, self._config.first_frame_s)):
            self._end(f"no market data for {idle_s:.0f} s")

    def _watch_disk(self) -> None:
        if self._outside.free_bytes is None:
            return
        free = self._outside.free_bytes()
        if free < self._config.log_reserve_bytes:
            kept = f"{self._config.log_reserve_bytes >> 20:,} MiB are kept, a quarter of HOSU_DISK_RESERVE_MB"
            raise LogWriteError(self._wal.directory, f"only {free >> 20} MiB are free, {kept}", self._wal.durable_lsn)
        low = free < self._config.sink_reserve_bytes
        if low != self._disk_low:
            self._disk_low = low
            _log.warning("disk low: sinks held back" if low else "disk: sinks go on", free_mib=free >> 20)
            for pump in self._pumps:
                pump.hold_back(low)

    async def _report(self) -> None:
        while True:
            self._write_status()
            await self._clock.sleep(self._config.status_every_s)

    async def _log_clock(self) -> None:
        while self._outside.clock_offset_us is not None:
            self._recorder.clock_offset(self._outside.clock_offset_us())
            await self._clock.sleep(self._config.clock_every_s)

    async def _poll(self) -> None:
        if self._outside.polling is not None:
            await finished(self._outside.polling(), self._stopping.is_set)
            return
        while self._outside.poll is not None and not self._stopping.is_set():
            await self._outside.poll()
            await self._clock.sleep(self._config.poll_s)

    async def _repair(self) -> None:
        if self._outside.repair is not None:
            await finished(self._outside.repair(), self._stopping.is_set)

    async def _close_bars(self) -> None:
        if self._outside.bar_clock is not None:
            await finished(self._outside.bar_clock.run(), self._stopping.is_set)

    # --- the end ------------------------------------------------------------------------------------------------

    async def _stop_feeds(self, feeds: list[asyncio.Task[None]]) -> None:
        for task in feeds:
            task.cancel()
        if feeds:
            goodbye_s = self._now_s() + self._config.feed_stop_s
            await finished(asyncio.wait(feeds), lambda: self._time_is_up() or self._now_s() >= goodbye_s)
        if self._outside.poll is not None and not self._bounded:
            enough_s = self._now_s() + self._config.last_poll_s
            await finished(self._last_poll(), lambda: self._bounded or self._now_s() >= enough_s)
        if self._outside.bar_clock is not None and not self._bounded:
            self._outside.bar_clock.end_day()
        self._recorder.ended()

    async def _last_poll(self) -> None:
        if self._outside.poll is not None:
            await self._outside.poll()

    async def _drain(self) -> None:
        """Commits what was received: all of it after an orderly end, what there is time for after a stop."""
        if not await finished(self._drain_sinks(), lambda: self._time_is_up(self._config.log_close_s)):
            _log.warning("left before all was committed; the next start goes on from the log")

    async def _drain_sinks(self) -> None:
        log = self._wal
        await until(lambda: not log.stats.queued_bytes or log.error is not None)
        if not self._bounded and log.error is None:
            await aside(log.seal)
        for pump in self._pumps:
            pump.drain(log.durable_lsn)
        await until(lambda: all(pump.join(0) for pump in self._pumps))
        if self._archivist is not None:
            self._archivist.stop(last_pass=not self._bounded and log.error is None)
            await until(lambda: self._archivist is None or self._archivist.join(0))

    async def _let_go(self) -> None:
        """Leaves everything; threads that are in the middle of a call end with the process."""
        for pump in self._pumps:
            pump.abandon()
        if self._archivist is not None:
            self._archivist.stop()
        least_s = self._now_s() + self._config.log_close_s
        with suppress(LogError):  # it was told when it happened
            if not await finished(aside(self._wal.close), lambda: self._time_is_up() and self._now_s() >= least_s):
                _log.warning("left before all was written", queued_bytes=self._wal.stats.queued_bytes)
        self.state = "stopped" if self._last_error is None else "failed"
        self._write_status()

    def _handle_signals(self, *, on: bool) -> None:
        if not self._config.handle_signals or self._loop is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if on:
                self._loop.add_signal_handler(number, self.stop, signal.Signals(number).name)
            else:
                self._loop.remove_signal_handler(number)

    # --- status -------------------------------------------------------------------------------------------------

    def _write_status(self) -> None:
        if self._file is None:
            return
        try:
            self._file.write(self.status())
        except OSError as error:
            _log.warning("status not written", path=str(self._file.path), error=str(error))

    def status(self) -> dict[str, Any]:
        """What the collector can say of itself now, ready for JSON; see ``StatusReport``."""
        report = self._report_now.of(
            state=self.state, reason=self.reason, disk_low=self._disk_low, last_error=self._last_error
        )
        return report if self._outside.coverage is None else {**report, "coverage": self._outside.coverage()}


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error within, however deep."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
