"""The real program as processes: run to its end, or started, watched, stopped and killed."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hosu.collect.block import Block, RecordKind
from hosu.collect.replay import segments_in
from hosu.collect.segment import read_segment
from hosu.lake.lake import Lake
from hosu.lake.sql import Session
from hosu.lake.tables import EVENT_TABLES
from hosu.settings import ALL_SETTINGS

PATIENCE_S = 120
"""How long anything may take before a test gives up on it; no test measures speed."""

PROGRAM = [sys.executable, "-m", "hosu"]
VARIABLES = {str(field.validation_alias) for kind in ALL_SETTINGS for field in kind.model_fields.values()}


@dataclass(frozen=True)
class Finished:
    """How a run ended and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """What it printed to stdout, as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Ours without any setting of hosu's, and ``more``."""
    bare = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    return {**bare, "COLUMNS": "120", **more}


def hosu(home: Path, *words: object, stdin: bytes = b"", patience_s: float = PATIENCE_S, **variables: str) -> Finished:
    """Runs the program to its end, in the folder ``home``."""
    ran = subprocess.run(
        [*PROGRAM, *map(str, words)],
        cwd=home,
        env=environment(**variables),
        input=stdin,
        capture_output=True,
        timeout=patience_s,
        check=False,
    )
    return Finished(ran.returncode, ran.stdout.decode("utf-8", "replace"), ran.stderr.decode("utf-8", "replace"))


class Here(Protocol):
    """Runs the program as ``program.hosu`` does, but within this process: for what ends before anything starts."""

    def __call__(self, home: Path, *words: object, stdin: bytes = b"", **variables: str) -> Finished: ...


def sql(lake: Path, query: str) -> list[dict[str, Any]]:
    """The rows of a query, asked of the program."""
    return hosu(lake.parent, "sql", "--lake", lake, query, "--format", "json").json()


def rows_of(lake: Path, query: str) -> list[dict[str, Any]]:
    """The rows of a query, asked of the lake without a process."""
    with Session(Lake.open(str(lake), create=False)) as session:
        return session.query(query).to_pylist()


def contents(lake: Path) -> dict[str, tuple[int, int]]:
    """Rows of each table that the collector fills, and a checksum over all their columns, whatever their order."""
    with Session(Lake.open(str(lake), create=False)) as session:
        found = {
            name: session.query(f"SELECT count(*) AS n, coalesce(sum(hash(t)), 0) AS checksum FROM {name} t")
            for name in EVENT_TABLES
        }
    return {name: (rows["n"][0].as_py(), int(rows["checksum"][0].as_py())) for name, rows in found.items()}


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns as soon as ``condition`` holds."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain until {what}"
        time.sleep(0.002)


class Started:
    """A run that goes on beside the test; what it says is in ``<name>.out`` and ``<name>.err``."""

    def __init__(self, home: Path, name: str, *words: object, pass_fds: tuple[int, ...] = (), **variables: str) -> None:
        self._out, self._err = home / f"{name}.out", home / f"{name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*PROGRAM, *map(str, words)],
                cwd=home,
                env=environment(**variables),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=pass_fds,
            )

    @property
    def out(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return self._err.read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Returns as soon as ``condition`` holds; fails if the process ends before."""
        until(lambda: condition() or not self.running, what)
        assert condition(), f"ended with {self.process.returncode} before {what}: {self.err[-2000:]}"

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and its end."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def finish(self, timeout_s: float = PATIENCE_S) -> Finished:
        """Its end by itself."""
        self.process.wait(timeout_s)
        return Finished(self.process.returncode, self.out, self.err)


class Simulator(Started):
    """``hosu simulator`` with its addresses; ``report`` once the day is over."""

    def __init__(self, home: Path, *words: object) -> None:
        self._report = home / "sent.json"
        super().__init__(home, "simulator", "simulator", *words, "--report", self._report)
        self.until(lambda: self.out.endswith("\n"), "the simulator said where it is")
        addresses = json.loads(self.out)
        self.addresses = ("--kis", "simulator", "--rest", addresses["rest"], "--ws", addresses["ws"])

    def report(self) -> dict[str, Any]:
        """What it sent, after it has ended by itself."""
        ended = self.finish()
        assert ended.code == 0, ended.err
        return json.loads(self._report.read_text(encoding="utf-8"))


@contextmanager
def simulator(home: Path, *words: object) -> Iterator[Simulator]:
    """A simulator that is gone afterwards, whatever happens."""
    started = Simulator(home, *words)
    try:
        yield started
    finally:
        started.kill()


class Collector(Started):
    """``hosu collect`` whose durable LSN can be followed."""

    def __init__(self, home: Path, name: str, broker: Simulator, *words: object, **variables: str) -> None:
        read_end, write_end = os.pipe()
        # What is missing shall stay so, unless a test says --repair.
        quiet = ("--durable-fd", write_end, "--format", "json", "--no-repair")
        command = ("collect", *broker.addresses, *quiet, *words)
        try:
            super().__init__(home, name, *command, pass_fds=(write_end,), **variables)
        finally:
            os.close(write_end)
        self.durable_lsn = -1
        self._follower = threading.Thread(target=self._follow, args=(read_end,), daemon=True)
        self._follower.start()

    def _follow(self, descriptor: int) -> None:
        with os.fdopen(descriptor) as lines:
            for line in lines:
                if line.endswith("\n"):
                    self.durable_lsn = int(line)

    def last_durable(self) -> int:
        """The last LSN it reported durable, after its end."""
        self._follower.join(PATIENCE_S)
        return self.durable_lsn

    def kill_at(self, lsn: int) -> int:
        """Kills it once it has reported ``lsn`` durable. Returns what it had reported last."""
        self.until(lambda: self.durable_lsn >= lsn, f"record {lsn} was durable")
        self.kill()
        return self.last_durable()


@dataclass(frozen=True)
class Logged:
    """One connection's market data in the log."""

    first_lsn: int
    records: int


def log_blocks(lake: Path) -> list[Block]:
    """Everything in the log of a lake, archived or still on its disk, each record once, in order."""
    folders = [each for each in (lake / "raw" / "frames", lake / ".hosu" / "wal") if any(each.rglob("*.log*"))]
    blocks: list[Block] = []
    for segment in sorted(segments_in(folders), key=_first_lsn):
        for block in read_segment(segment):
            if not blocks or block.lsn[0] > blocks[-1].lsn[-1]:  # a stored segment may still be on the log's disk too
                blocks.append(block)
    return blocks


def _first_lsn(segment: Path) -> int:
    stem = segment.name.removesuffix(".zst").removesuffix(".log")
    return int(stem.split("-")[-2] if "-" in stem else stem)


def logged_connections(blocks: list[Block]) -> list[Logged]:
    """Market records by connection, in the order in which connections were made, those without any left out."""
    found: list[Logged] = []
    first_lsn, records = 0, 0
    for block in blocks:
        for i in range(len(block)):
            payload = block.payload(i)
            if block.kind[i] == RecordKind.SESSION and json.loads(payload)["event"] == "connected":
                found.append(Logged(first_lsn, records))
                first_lsn, records = int(block.lsn[i]), 0
            elif block.kind[i] == RecordKind.FRAME and payload[:1] in b"01":
                records += int(payload.split(b"|", 3)[2])
    found.append(Logged(first_lsn, records))
    return [each for each in found if each.records]
