"""One life of a collector, from its start to its crash: the real log, recorder, pump, sink, archivist and lake.

Their threads are not started: a life takes turns for them, in an order drawn from the seed, so that a seed repeats a
run to the last step.
"""

from __future__ import annotations

from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from crash_disk import Chance, PowerCut, SimulatedDisk
from crash_lake import CrashStorage, LakeDisk
from crash_market import START_US, Market

from hosu.clock import SimulatedClock
from hosu.collect.archivist import Archivist
from hosu.collect.fanout import Fanout, singles
from hosu.collect.ledger import LedgerConfig, LedgerSink
from hosu.collect.pump import Pump, PumpConfig
from hosu.collect.recorder import Recorder
from hosu.collect.runs import read_run
from hosu.collect.wal import Log, LogConfig
from hosu.errors import LockedError, LogWriteError
from hosu.lake import lake as lake_module
from hosu.lake import writer
from hosu.lake.archive import FramesArchive
from hosu.lake.compact import CompactConfig, compact
from hosu.lake.lake import Lake
from hosu.lake.ledger_begin import begin_ledger
from hosu.lake.ledger_store import LakeLedgerStore
from hosu.lake.sql import SqlConfig
from hosu.lake.writer import LakeSink, WriterConfig

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SQL = SqlConfig(memory_mib=128, threads=1)
PUMP = PumpConfig(rest_share=0.0, rest_min_s=0.0, rest_max_s=0.0, wait_s=0.0, retry_min_s=0.0, retry_max_s=0.0)

Record = tuple[int, int, int, bytes]


class BrokenPromiseError(AssertionError):
    """A promise that was broken."""


class Truth:
    """What was written to the log, by number, and up to where the log called it durable."""

    def __init__(self) -> None:
        self.records: dict[int, Record] = {}
        self.ever: set[tuple[int, int]] = set()
        self.acknowledged = -1
        self.lied = False

    def written(self, path: Path, data: bytes) -> None:
        """Takes what goes to a segment, before it is known to arrive."""
        if path.suffix != ".log":
            return
        block = read_run("", np.frombuffer(bytearray(data), np.uint8), 0, len(data)).block
        for place in range(len(block)):
            lsn = int(block.lsn[place])
            record = (
                int(block.kind[place]),
                int(block.connection[place]),
                int(block.ts_recv_us[place]),
                block.payload(place),
            )
            if lsn <= self.acknowledged and self.records.get(lsn) != record and not self.lied:
                raise BrokenPromiseError(f"record {lsn}, which was durable, is written again as another")
            self.records[lsn] = record
            self.ever.add((lsn, record[2]))

    def durable(self, lsn: int) -> None:
        self.acknowledged = max(self.acknowledged, lsn)

    def recovered(self, next_lsn: int) -> None:
        """A log was opened and goes on at ``next_lsn``."""
        for lsn in [lsn for lsn in self.records if lsn >= next_lsn]:
            del self.records[lsn]


class Machine:
    """What outlives the program: two disks, the market, the truth, and time.

    Args:
        ledger: a ledger is kept beside the lake.
        objects: the lake is in an object store, and not on a disk of the machine.
    """

    def __init__(self, home: Path, chance: Chance, *, ledger: bool = False, objects: bool = False) -> None:
        self.chance, self.ledger, self.objects = chance, ledger, objects
        self.clock = SimulatedClock(START_US)
        self.wal = home / "wal"
        self.disk = SimulatedDisk(chance)
        self.lake = LakeDisk(home / "lake", home / "pool", chance)
        self.truth = Truth()
        self.disk.on_write = self.truth.written
        self.market = Market(chance.random)
        self.market.tells = ledger
        if ledger:
            self.next_morning()
        chance.on_slow = lambda: self.pass_time(3.0)

    def pass_time(self, seconds: float) -> None:
        self.clock._now_us += round(seconds * 1e6)

    def next_morning(self) -> None:
        """The machine stood still over night."""
        self.clock._now_us = self.market.next_day()

    def open_lake(self) -> Lake:
        original = lake_module.Storage
        lake_module.Storage = SimpleNamespace(open=lambda *_, **__: CrashStorage.over(self.lake, objects=self.objects))
        try:
            return Lake.open(str(self.lake.folder))
        finally:
            lake_module.Storage = original

    def crash(self, *, power: bool) -> None:
        """Ends the process; with ``power`` the machine too. Afterwards nothing fails by itself."""
        self.chance.dead, self.chance.cut_at, self.chance.faults = False, None, []
        if power:
            self.disk.cut()
            if not self.objects:
                self.lake.cut()
        else:
            self.disk.killed()


class NoThread:
    """In place of a thread: runs, if somebody waits for its end, to its end."""

    def __init__(self, run: Callable[[], None]) -> None:
        self._run = run

    def start(self) -> None:
        """Not by itself."""

    def join(self, timeout_s: float | None = None) -> None:
        self._run()


class SteppedLog(Log):
    """The real log, whose thread moves when told to."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._thread = NoThread(self._run)  # type: ignore[assignment]

    def step(self) -> None:
        """What the log's thread does between two waits."""
        if self._error is not None:
            return
        try:
            if self._tags:
                self._commit()
            elif self._seal_wanted or self._is_old():
                self._seal_active()
        except OSError as error:
            self._fail(error.strerror or str(error))
            if self._active is not None:
                self._active.abandon()

    def want_seal(self) -> None:
        self._seal_wanted = True


class Life:
    """A collector between two crashes. Every method may end in a crash, or in an error that ends a real one too."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._log: SteppedLog | None = None

    @property
    def log(self) -> SteppedLog:
        assert self._log is not None
        return self._log

    def start(self) -> None:
        """As ``hosu collect`` starts: lake, log, sink, pump, archive."""
        machine, chance = self.machine, self.machine.chance.random
        lake = machine.open_lake()
        config = LogConfig(
            segment_bytes=chance.choice((2_000, 8_000, 20_000)),
            segment_age_s=chance.choice((5.0, 60.0)),
            recent_bytes=chance.choice((1, 1 << 20)),
            linger_s=0.0,
        )
        self._log = SteppedLog.open(machine.wal, machine.clock, config, files=machine.disk)
        if self.log.durable_lsn < machine.truth.acknowledged and not machine.truth.lied:
            raise BrokenPromiseError(f"durable up to {machine.truth.acknowledged}, the log has {self.log.durable_lsn}")
        machine.truth.recovered(self.log.next_lsn)
        self.log.on_durable(machine.truth.durable)
        self.recorder = Recorder(self.log, machine.clock)
        self._start_sink(lake)

    def _start_sink(self, lake: Lake) -> None:
        machine, chance = self.machine, self.machine.chance.random
        config = WriterConfig(
            flush_after_s=chance.choice((0.5, 2.0)), cover_after_s=chance.choice((2.0, 60.0)), reserve_bytes=0
        )
        self.lake = lake
        self.ledger = self._ledger(lake) if machine.ledger else None
        self.lake_sink = LakeSink(lake, config, machine.clock)
        self.sink = self.lake_sink if self.ledger is None else Fanout([self.lake_sink, self.ledger])
        reached = max(sink.resume_after(self.log.wal_id) for sink in singles([self.sink]))
        if reached >= self.log.next_lsn:
            self.log.advance_to(reached + 1)
        self.pump = Pump(self.log, self.sink, machine.clock, PUMP)
        self.archivist = Archivist(self.log, FramesArchive(lake), [self.pump])
        self.reading = self.pump._begin()

    def _ledger(self, lake: Lake) -> LedgerSink:
        machine, chance = self.machine, self.machine.chance.random
        config = LedgerConfig(
            gaps_every_s=chance.choice((0.5, 2.0)),
            coverage_every_s=chance.choice((2.0, 60.0)),
            save_every_s=chance.choice((1.0, 30.0)),
        )
        store = LakeLedgerStore(lake)
        begin_ledger(lake, store, self.log)
        return LedgerSink(store, config, machine.clock)

    def drain(self) -> int:
        """Connects, and feeds the lake with all that is durable. Returns that number, which the lake covers then."""
        self.machine.market.connect(self.recorder, self.machine.clock.now_us())
        self.log.step()
        self._go_on()
        target = self.log.durable_lsn
        self.pump.sync_up_to(target)
        for _ in range(80):
            if self.pump.synced_lsn >= target:
                return target
            self.machine.pass_time(1.1)
            self.pump._turn(self.reading)
        raise BrokenPromiseError(f"the lake covers {self.pump.synced_lsn} and does not get to {target}")

    def act(self) -> None:
        """One thing that happens in a collector's life."""
        chance = self.machine.chance.random
        if self.ledger is not None and chance.random() < 0.01:
            self.machine.clock._now_us = self.machine.market.evening(self.recorder)
        kind = chance.random()
        if kind < 0.40:
            for _ in range(chance.randint(1, 12)):
                self.machine.pass_time(0.001)
                self.machine.market.send(self.recorder, self.machine.clock.now_us())
        elif kind < 0.65:
            self.log.step()
        elif kind < 0.85:
            self.pump._turn(self.reading)
        elif kind < 0.92:
            self.archivist.work()
        elif kind < 0.95:
            self.log.want_seal()
        elif kind < 0.99:
            self.machine.pass_time(chance.choice((0.3, 1.0, 3.0, 70.0)))
        else:
            self.compact()
        self._go_on()

    def compact(self) -> None:
        """As ``hosu lake compact`` beside the collector."""
        table = self.machine.chance.random.choice(writer.EVENT_TABLES)
        with suppress(LockedError):  # a lease outlives whoever held it for a while
            compact(self.lake, [table], config=CompactConfig(sort=SQL, reserve_bytes=0), clock=self.machine.clock)

    def _go_on(self) -> None:
        """A failed log ends the collector."""
        if isinstance(self.log.error, LogWriteError):
            raise self.log.error

    def end(self) -> None:
        """Lets go of what a dead process would not hold."""
        if self._log is not None:
            self._log._lock.release()


__all__ = ["SQL", "BrokenPromiseError", "Life", "Machine", "PowerCut", "Record", "SteppedLog", "Truth"]
