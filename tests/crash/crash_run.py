"""Runs of crashes by seed: lives that end in a crash, and after each the question whether every promise was kept."""

from __future__ import annotations

import random
import secrets
import shutil
import tempfile
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from crash_disk import Chance, Fault, PowerCut
from crash_lake import NETWORK, OF_WRITES, age, reached, unsteady
from crash_ledger import LEDGER_TABLES, Told
from crash_life import SQL, BrokenPromiseError, Life, Machine

from hosu import failpoints
from hosu.collect.decode import Decoder
from hosu.collect.runs import pack_records, read_run
from hosu.errors import (
    ArchiveConflictError,
    HosuError,
    LakeError,
    LogCorruptError,
    LogGapError,
    NotALakeError,
    TableCorruptError,
)
from hosu.lake import delta, writer
from hosu.lake import repair as repairing
from hosu.lake import verify as verifying
from hosu.lake.delta_log import DeltaLog
from hosu.lake.tables import EVENT_TABLES, TABLES
from hosu.lake.verify import damaged_files, verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from hosu.collect.block import Block
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake

CRASHES_A_RUN = 10
VERIFIED_ONE_OF = 4
"""Of how many runs one ends with all of ``verify``, which takes as long as four crashes: the rows of each are compared
anyway, and what every data file and log says of itself."""
KINDS = ("full", "read_only", "sync", "slow", "lost_answer")
_KEYS = ["wal_id", "lsn", "record_no"]
_REFUSALS = (ArchiveConflictError, LogCorruptError, LogGapError, NotALakeError, TableCorruptError)
"""What a machine whose disk lied may end in: a sentence that says what is missing."""
_NIGHT_S = 30 * 3600.0


@dataclass(frozen=True)
class Shape:
    """What a run's machine is like. ``tables`` are those of the log's events that its lake has; ``ledger``: one is kept
    beside it; ``objects``: the lake is in an object store; ``kinds``: what may befall disks, and the way to the lake.
    """

    tables: tuple[str, ...]
    ledger: bool = False
    objects: bool = False
    kinds: tuple[str, ...] = KINDS

    @classmethod
    def of(cls, seed: int) -> Shape:
        """Drawn from a run's seed. One of ten keeps a ledger, whose tables cost twice as much as all the rest; one of
        five lakes is in an object store, one of ten in a folder that is reached over a network."""
        chance = random.Random(seed ^ 0x5A4BE)
        ledger, place = chance.random() < 0.1, chance.random()
        kinds = (*KINDS, *NETWORK) if place < 0.3 else KINDS
        return cls(("trades",) if ledger else _tables_of(seed), ledger, objects=place < 0.2, kinds=kinds)


@dataclass
class Outcome:
    """What a run came to. ``trace`` is the same whenever the seed is."""

    seed: int
    crashes: int = 0
    checks: int = 0
    repairs: int = 0
    records: int = 0
    rows: int = 0
    steps: int = 0
    trace: int = 0
    places: Counter[str] = field(default_factory=Counter)
    refused: str = ""


def line_of(seed: int) -> dict[str, Any]:
    """One run, as a line of the progress file of the long runs."""
    began_s = time.monotonic()
    outcome = run(seed)
    facts = {**vars(outcome), "places": dict(outcome.places)}
    return {"kind": "simulated", **facts, "seconds": round(time.monotonic() - began_s, 3)}


def run(seed: int, crashes: int = CRASHES_A_RUN, *, base: Path | None = None, shape: Shape | None = None) -> Outcome:
    """``crashes`` crashes of one machine. Without a ``shape`` it is what the seed says, and its disk may lie.

    Raises:
        BrokenPromiseError: a promise was broken; names the seed.
    """
    home = Path(tempfile.mkdtemp(prefix="hosu-crash-", dir=base or _fastest()))
    chance, made = Chance(random.Random(seed)), shape or Shape.of(seed)
    try:
        with _seeded(seed), _small(made), _watched(chance), unsteady(chance):
            return _Run(seed, home, chance, made, may_lie=shape is None).run(crashes)
    except Exception as error:
        raise BrokenPromiseError(f"seed {seed}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(home, ignore_errors=True)


class _Run:
    def __init__(self, seed: int, home: Path, chance: Chance, shape: Shape, *, may_lie: bool) -> None:
        self.outcome = Outcome(seed)
        self.machine = Machine(home, chance, ledger=shape.ledger, objects=shape.objects)
        self.chance = chance
        self.home, self._kinds = home, shape.kinds
        self._read = Remembered(lambda path: pq.ParquetFile(path).read())
        self._usual_steps = 200
        self._repair_unfinished = False
        self.machine.truth.lied = may_lie and chance.random.random() < 0.1

    def run(self, crashes: int) -> Outcome:
        while self.outcome.crashes < crashes and not self.outcome.refused:
            self._live()
        self.chance.cut_at, self.chance.faults = None, []
        if not self.outcome.refused:
            self._last_life()
        self.outcome.steps, self.outcome.trace = self.chance.steps, self.chance.trace
        self.outcome.records = len(self.machine.truth.records)
        return self.outcome

    def _live(self) -> None:
        chance = self.chance
        if self.machine.ledger and chance.random.random() < 0.6:
            self.machine.next_morning()
        begun = chance.steps
        in_start = chance.random.random() < 0.4
        chance.cut_at = begun + 1 + chance.random.randrange(self._usual_steps) if in_start else None
        chance.faults = self._faults()
        life = Life(self.machine)
        where = "rest"
        try:
            self._start(life)
            self.check(life)
            if not in_start:
                chance.cut_at = chance.steps + 1 + chance.random.randrange(100)
            for _ in range(chance.random.randint(5, 40)):
                life.act()
        except PowerCut as cut:
            where = str(cut) or "later"
        except HosuError as error:
            where = type(error).__name__
            if self.machine.truth.lied and isinstance(error, _REFUSALS):
                self.outcome.refused = str(error)
        finally:
            life.end()
        self.outcome.places[where.split(" ")[0]] += 1
        self.outcome.crashes += 1
        self._usual_steps = max(150, (self._usual_steps + chance.steps - begun) // 2)
        self.machine.crash(power=chance.random.random() < 0.75)
        if chance.random.random() < 0.1:
            age(self.machine.lake.folder, _NIGHT_S)

    def _last_life(self) -> None:
        life = Life(self.machine)
        try:
            self._start(life)
            self.check(life)
            life.archivist.work()
            if self.machine.ledger and not self.machine.truth.lied:
                self._end_in_order(life)
            if self.outcome.seed % VERIFIED_ONE_OF:
                return
            found = verify(life.lake, list(repairing.TABLES), deep=True, config=SQL).findings
            if found and not self.machine.truth.lied:
                raise BrokenPromiseError(f"at the end: {found[0]}")
        except HosuError as error:
            if not self.machine.truth.lied:
                raise
            self.outcome.refused = str(error)
        finally:
            life.end()

    def _start(self, life: Life) -> None:
        """Starts; a lake that a power cut damaged is repaired first, as its error says."""
        try:
            life.start()
        except LakeError as error:
            if "verify" not in str(error):
                raise
            life.end()
            self._repair(life)
            life.start()

    def _mend(self, life: Life) -> None:
        """The collector is stopped, the lake repaired, the collector started again."""
        life.log.step()
        life.log.close()
        self._repair(life)
        life.start()

    def _repair(self, life: Life) -> None:
        if self.machine.objects:
            raise BrokenPromiseError("a lake in an object store, which tears nothing, is damaged")
        self.outcome.repairs += 1
        self._repair_unfinished = True
        result = repairing.repair(
            self.machine.open_lake(), logs=[self._exported_log()], config=SQL, clock=self.machine.clock
        )
        if result.beyond and not self.machine.truth.lied:
            raise BrokenPromiseError(f"not repaired: {result.beyond}")
        self._repair_unfinished = False

    def _exported_log(self) -> Path:
        """The log's segments as files, which is how a repair reads them."""
        folder = self.home / "exported"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for name in self.machine.disk.names(self.machine.wal) if self.machine.disk.has(self.machine.wal) else ():
            if name.endswith(".log"):
                (folder / name).write_bytes(self.machine.disk.content(self.machine.wal / name))
        return folder

    def _faults(self) -> list[Fault]:
        chance = self.chance.random
        found = [Fault(chance.choice(self._kinds), chance.randrange(60), chance.choice((1, 1, 2, 20)))] * (
            chance.random() < 0.5
        )
        for _ in range(chance.randrange(4) if NETWORK[0] in self._kinds else 0):
            kind = chance.choice(NETWORK)
            found = [
                *found,
                Fault(kind, chance.randrange(12 if kind in OF_WRITES else 60), chance.choice((1, 1, 2, 9))),
            ]
        if self.machine.truth.lied and chance.random() < 0.5:
            found = [*found, Fault("lie", chance.randrange(60), chance.choice((1, 5, 50)))]
        return found

    # --- after a crash --------------------------------------------------------------------------------------------

    def check(self, life: Life) -> None:
        """Everything durable is in the lake exactly once and as it was received, and the lake is sound."""
        if self._repair_unfinished:  # whoever's repair was cut off runs it again; until then the log refuses to go on
            self._mend(life)
        target = life.drain()
        if target < self.machine.truth.acknowledged and not self.machine.truth.lied:
            raise BrokenPromiseError(f"durable up to {self.machine.truth.acknowledged}, but {target} was drained")
        with self._calm():
            damaged = damage(life.lake)
        if damaged:
            self._mend(life)
            target = life.drain()
            with self._calm():
                again = damage(life.lake) or verify(life.lake, list(repairing.TABLES), deep=True, config=SQL).findings
            if again and not self.machine.truth.lied:
                raise BrokenPromiseError(f"after repair: {again[0]}")
            if again:  # the disk lost the frames too, and verify says what is missing
                self.outcome.refused = str(again[0])
                return
        with self._calm():
            self._compare(life, target)
        self.outcome.checks += 1

    @contextmanager
    def _calm(self) -> Iterator[None]:
        """While somebody else looks, nothing fails."""
        faults, self.chance.faults = self.chance.faults, []
        try:
            yield
        finally:
            self.chance.faults = faults

    def _compare(self, life: Life, target: int) -> None:
        tables = {buffer.table.spec.name: buffer.table for buffer in life.lake_sink._buffers}
        expected = {} if self.machine.truth.lied else self._expected(life.log.wal_id, target)
        self.outcome.rows = 0
        for name, table in tables.items():
            rows = stored(life.lake, table, self._read)
            self.outcome.rows += len(rows)
            if len(rows.group_by(_KEYS).aggregate([])) != len(rows):
                raise BrokenPromiseError(f"{name} holds rows twice")
            if self.machine.truth.lied:
                self._require_received(name, rows)
                continue
            wanted = expected.get(name)
            wanted = rows.schema.empty_table() if wanted is None else wanted.select(rows.column_names).cast(rows.schema)
            wanted = _ordered(wanted)
            if not rows.equals(wanted):
                raise BrokenPromiseError(f"{name}: {difference(rows, wanted)}")
        if life.ledger is not None and not self.machine.truth.lied:
            self._told(life).require_state(life.ledger)

    def _end_in_order(self, life: Life) -> None:
        """As a collector that is stopped: the ledger tells all it knows. Nothing may be doubtful about it then."""
        life.sink.close()
        trades = self._expected(life.log.wal_id, life.log.durable_lsn).get("trades")
        self._told(life).require_tables(life.lake, trades, repaired=self.outcome.repairs > 0)

    def _told(self, life: Life) -> Told:
        return Told(life.log.wal_id, self._block(life.log.wal_id), self.machine.clock.now_us())

    def _block(self, wal_id: str) -> Block:
        records = self.machine.truth.records
        data, _ = pack_records([records[lsn] for lsn in range(len(records))], 0)
        return read_run(wal_id, np.frombuffer(data, np.uint8), 0, len(data)).block

    def _expected(self, wal_id: str, target: int) -> dict[str, pa.Table]:
        records = self.machine.truth.records
        if sorted(records) != list(range(len(records))) or target != len(records) - 1:
            raise BrokenPromiseError(f"the log's numbers have a hole, or end at {len(records) - 1} and not at {target}")
        decoder = Decoder(wal_id)
        batches = [batch for batch in (decoder.decode(self._block(wal_id)), decoder.finish()) if batch is not None]
        return {
            name: pa.Table.from_batches([batch.tables[name] for batch in batches if name in batch.tables])
            for name in {name for batch in batches for name in batch.tables}
        }

    def _require_received(self, name: str, rows: pa.Table) -> None:
        """On a disk that lies nothing can be promised to be there, but nothing may be there that never came."""
        times = rows.column("ts_recv").cast(pa.int64()).to_pylist()
        pairs = set(zip(rows.column("lsn").to_pylist(), times, strict=True))
        if not pairs <= self.machine.truth.ever:
            raise BrokenPromiseError(f"{name} holds rows of records that were never written")


def damage(lake: Lake) -> list[str]:
    """What ``verify`` asks of files: each table's log, and every page of every data file.

    At the end of some runs, and after each repair, all of ``verify`` is asked; here the rows themselves are compared
    instead.
    """
    found = []
    for name in repairing.TABLES:
        try:
            table = lake.find(name)
        except TableCorruptError as error:  # of the ledger's, which hold up no collecting
            found.append(str(error))
            continue
        if table is None:
            continue
        log = DeltaLog(lake.storage, table.spec)
        found += [f"{path}: {fault}" for path, fault in log.faults.items()]
        found += [f"{table.spec.name}: commits behind {log.end}"] if log.beyond_end else []
        found += [f"{table.path(file)}: {fault}" for file, fault in damaged_files(lake, table, deep=True)]
    return found


def stored(lake: Lake, table: Table, read: Callable[[str], pa.Table]) -> pa.Table:
    """All rows of a table, read from its files with their dates, in the order of the log."""
    schema = table.spec.schema
    parts = [schema.empty_table()]
    for file in table.files():
        rows = read(lake.storage.address(table.path(file)))
        date = pa.array([file.date] * len(rows), pa.string())
        parts.append(rows.append_column("date", date).select(schema.names).cast(schema))
    return _ordered(pa.concat_tables(parts))


class Remembered:
    """What a file was found to hold, for as long as it is the same file: most of a lake outlives many crashes.

    Files below a lake are replaced, never changed in place, and a power cut makes new ones of those that it damages.
    """

    def __init__(self, ask: Callable[..., Any]) -> None:
        self._ask, self._known = ask, {}

    def __call__(self, path: Any, **how: bool) -> Any:
        if not isinstance(path, str):  # the content itself
            return self._ask(path, **how)
        facts = Path(path).stat()
        key = (path, facts.st_ino, facts.st_mtime_ns, facts.st_size, *how.items())
        if key not in self._known:
            self._known[key] = self._ask(path, **how)
        return self._known[key]


def _ordered(rows: pa.Table) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in _KEYS]).combine_chunks()


def difference(rows: pa.Table, wanted: pa.Table) -> str:
    """The first row that one has and the other not, in words."""
    have = [tuple(row.values()) for row in rows.select(_KEYS).to_pylist()]
    want = [tuple(row.values()) for row in wanted.select(_KEYS).to_pylist()]
    lost, more = sorted(set(want) - set(have)), sorted(set(have) - set(want))
    if not lost and not more:
        odd = [name for name in rows.column_names if not rows.column(name).equals(wanted.column(name))]
        return f"columns {odd} differ"
    return f"{len(lost)} rows lost, the first is {lost[:1]}; {len(more)} too many, the first is {more[:1]}"


# --- a run's surroundings -----------------------------------------------------------------------------------------


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Names that are drawn at random are drawn from the seed."""
    names = random.Random(seed ^ 0x5EED)
    uuid4, token_hex = uuid.uuid4, secrets.token_hex
    uuid.uuid4 = lambda: uuid.UUID(int=names.getrandbits(128), version=4)
    secrets.token_hex = lambda nbytes=32: f"{names.getrandbits(nbytes * 8):0{nbytes * 2}x}"  # type: ignore[assignment]
    try:
        yield
    finally:
        uuid.uuid4, secrets.token_hex = uuid4, token_hex


def _tables_of(seed: int) -> tuple[str, ...]:
    """Which tables a run's lake has. They are alike, and each costs as much as the rest of a crash: mostly two do."""
    chance = random.Random(seed ^ 0x7AB1E5)
    if chance.random() < 0.1:
        return EVENT_TABLES
    return ("trades", chance.choice(EVENT_TABLES[1:]))


@contextmanager
def _small(shape: Shape) -> Iterator[None]:
    """A lake of few tables, with checkpoints and clean-ups as often as a short life needs to meet them."""
    before = delta.CHECKPOINT_EVERY, delta.CLEAN_EVERY, writer.EVENT_TABLES, repairing.TABLES
    check = verifying.check
    delta.CHECKPOINT_EVERY, delta.CLEAN_EVERY = 5, 10  # type: ignore[misc]
    names = (*shape.tables, *(LEDGER_TABLES if shape.ledger else ()))
    writer.EVENT_TABLES = shape.tables  # type: ignore[misc]
    repairing.TABLES = {name: TABLES[name] for name in names}  # type: ignore[misc]
    verifying.check = Remembered(check)  # type: ignore[assignment]
    try:
        yield
    finally:
        verifying.check = check
        delta.CHECKPOINT_EVERY, delta.CLEAN_EVERY = before[:2]  # type: ignore[misc]
        writer.EVENT_TABLES, repairing.TABLES = before[2:]  # type: ignore[misc]


@contextmanager
def _watched(chance: Chance) -> Iterator[None]:
    """Failpoints are steps too; and nobody needs to read what a dying log says."""
    failpoints.install(lambda name: reached(chance, name))
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[lambda *_: ""])
    try:
        yield
    finally:
        structlog.configure(**before)
        failpoints.install(None)


def _fastest() -> Path | None:
    """Nothing here needs a disk that keeps anything."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() else None


__all__ = ["CRASHES_A_RUN", "BrokenPromiseError", "Outcome", "Shape", "difference", "line_of", "run", "stored"]
