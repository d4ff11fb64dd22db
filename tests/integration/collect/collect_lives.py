"""A collector with a feed that plays a script, and what stands around it: one folder, many lives."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from collect_parts import MemoryArchive, MemorySink

from hosu.clock import SystemClock
from hosu.collect.collector import Collector, CollectorConfig, Outside, Source
from hosu.collect.recorder import Recorder
from hosu.collect.wal import Log, LogConfig

PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20250314101010"}}'
TRADE = (
    "{symbol}^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^{cum}^219853241700^5105^6937^1832"
    "^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20250314^20^N^65945^216924^1118750"
    "^2199206^0.05^2424142^125.92^0^^72100"
)


def trade(cum: int) -> bytes:
    return f"0|H0STCNT0|001|{TRADE.format(symbol='005930', cum=cum)}".encode()


class ScriptedFeed:
    """A feed that receives ``count`` trades, then stays until it is cancelled, or ends, or fails."""

    def __init__(
        self, recorder: Recorder, first: int, count: int, *, stays: bool = True, error: Exception | None = None
    ):
        self._recorder, self._first, self._count = recorder, first, count
        self._stays, self._error = stays, error
        self._reading = asyncio.Event()
        self._reading.set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.pauses = 0
        self.sent = asyncio.Event()

    async def run(self, desired) -> None:
        self._loop = asyncio.get_running_loop()
        clock = SystemClock()
        self._recorder.session_event(1, {"event": "connected"})
        self._recorder.frames(1, clock.now_us(), [PING])
        for i in range(self._first, self._first + self._count):
            await self._reading.wait()
            if not self._recorder.frames(1, clock.now_us(), [trade(i)]):
                self.pauses += 1
                self._reading.clear()
        self.sent.set()
        if self._error is not None:
            raise self._error
        if self._stays:
            await asyncio.Event().wait()

    def resume(self) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._reading.set)


class Setting:
    """A log folder and what stands around it; ``collect`` is one life of a collector."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stored = {"covered": {}, "batches": []}
        self.archive = MemoryArchive()

    def collect(
        self,
        feed: Callable[[Recorder], ScriptedFeed],
        *,
        drive: Callable[[Collector, ScriptedFeed, MemorySink], object] | None = None,
        config: CollectorConfig | None = None,
        log_config: LogConfig | None = None,
        outside: Outside | None = None,
        sink: MemorySink | None = None,
        files=None,
    ) -> tuple[dict, MemorySink, ScriptedFeed]:
        async def live():
            clock = SystemClock()
            log = Log.open(self.folder / "log", clock, log_config, files=files)
            recorder = Recorder(log, clock)
            own = feed(recorder)
            taker = sink or MemorySink(self.stored)
            collector = Collector(
                config or CollectorConfig(until_idle_s=0.3, status_path=self.folder / "status.json"),
                log,
                recorder,
                [Source(own, [])],
                sinks=[taker],
                archive=self.archive,
                clock=clock,
                outside=outside,
            )
            running = asyncio.create_task(collector.run())
            if drive is not None:
                driving = asyncio.create_task(drive(collector, own, taker))
                done, _ = await asyncio.wait([running, driving], return_when=asyncio.FIRST_COMPLETED)
                if driving in done:
                    driving.result()
                else:
                    driving.cancel()
            return await running, taker, own

        return asyncio.run(asyncio.wait_for(live(), 60))


def volumes(sink: MemorySink) -> list[int]:
    return [row["cum_volume"] for row in sink.rows("trades")]
