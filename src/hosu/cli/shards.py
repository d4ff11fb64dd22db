"""Several keys: one process each, started, watched, restarted and stopped by this one, which merges their status.

A shard has its own session, log, lock and state folder (``shards/KEY``), and writes the same tables: commits of
several logs never meet, and a shard that dies goes on from its own log.
"""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from hosu.cli.shard import COMMAND
from hosu.cli.shard_status import merged
from hosu.collect.status import StatusFile
from hosu.errors import InputError, ShardsFailedError
from hosu.kis.reconnects import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from random import Random

    from hosu.cli.shard import Job
    from hosu.clock import Clock

_log = structlog.get_logger(__name__)

_STATUS_S: Final = 1.0
_STOPPED: Final = frozenset({-signal.SIGINT, -signal.SIGTERM, -signal.SIGKILL})
"""Exit codes of a shard that a stop hit before it could hear it, or that took too long to leave."""


@dataclass(frozen=True, slots=True)
class ShardsConfig:
    """A shard that fails is started again, after ever longer delays; one that fails ``tries`` times in a row, each
    within ``stable_s``, is given up, and the others go on. ``kill_after_s`` after a stop nobody is waited for."""

    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_s: float = 60.0
    tries: int = 5
    kill_after_s: float = 15.0


class Shard:
    """One key's process over all its lives. ``state`` is starting, running, waiting, ended or failed."""

    def __init__(self, job: Job, folder: Path, config: ShardsConfig, clock: Clock, random: Random) -> None:
        self.number, self.folder = job.number, folder
        self._job, self._config, self._clock = job, config, clock
        self._backoff = Backoff(config.backoff_min_s, config.backoff_max_s, random)
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = asyncio.Event()
        self._stopped_with: signal.Signals | None = None
        self.state = "starting"
        self.restarts = 0
        self.cause: str | None = None

    async def run(self, tell: Callable[[str], None]) -> None:
        """Keeps the process alive until it ends in order, ``stop``, or it has failed too often. ``tell`` gets what
        it says on stderr."""
        in_a_row = 0
        while not self._stopping.is_set():
            began_s = self._clock.monotonic()
            code = await self._live(tell)
            if code == 0 or (self._stopping.is_set() and code in _STOPPED):
                self.state, self.cause = "ended", None
                return
            if self._clock.monotonic() - began_s >= self._config.stable_s:
                in_a_row = 0
                self._backoff.reset()
            in_a_row += 1
            self.cause = self.cause or f"it ended with {code}"
            if in_a_row >= self._config.tries or self._stopping.is_set():
                break
            await self._wait_before_restart(code)
        self.state = "failed" if self.cause is not None else "ended"

    def stop(self, number: signal.Signals) -> None:
        """Hands a signal on; a shard that is not running stays so."""
        self._stopped_with = number
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Ends it at once; its log has what was durable."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def status(self) -> dict[str, Any]:
        """The shard's own last status under ``status``, empty before there was one, and what becomes of it."""
        try:
            status = StatusFile(self.folder / "status.json").read()
        except InputError:
            status = {}
        if self.state not in ("running", "ended"):  # whatever it covered, it does not now
            status.pop("coverage", None)
        pid = self._process.pid if self._process is not None else None
        facts = {"number": self.number, "key": self.folder.name, "state": self.state, "pid": pid}
        return {**facts, "restarts": self.restarts, "cause": self.cause, "status": status}

    async def _live(self, tell: Callable[[str], None]) -> int:
        """One life of the process; its exit code."""
        for name in ("status.json", "coverage.json"):  # nothing of an earlier life may pass for this one's
            (self.folder / name).unlink(missing_ok=True)
        self._process = process = await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a Ctrl-C is ours to hand on, once
        )
        assert process.stdin is not None
        assert process.stderr is not None
        self.state, self.cause = "running", None
        try:
            # Stays open: its end would tell the shard that we have gone.
            process.stdin.write(self._job.to_line())
            if self._stopped_with is not None and process.returncode is None:  # nobody was there to hear it
                process.send_signal(self._stopped_with)
            await self._listen(process.stderr, tell)
            return await process.wait()
        finally:
            self.kill()
            process.stdin.close()

    async def _listen(self, stderr: asyncio.StreamReader, tell: Callable[[str], None]) -> None:
        while True:
            try:
                line = await stderr.readline()
            except ValueError:  # longer than anything a person would read: left out
                continue
            if not line:
                return
            self._hear(line.decode("utf-8", "replace").rstrip(), tell)

    def _hear(self, line: str, tell: Callable[[str], None]) -> None:
        if line.startswith("hosu: "):
            self.cause = line.removeprefix("hosu: ")
        # A line of JSON stays one.
        tell(f'{{"shard": {self.number}, {line[1:]}' if line.startswith('{"') else f"[{self.number}] {line}")

    async def _wait_before_restart(self, code: int) -> None:
        delay_s = self._backoff.delay_s()
        _log.warning("shard starts again", shard=self.number, code=code, cause=self.cause, delay_s=round(delay_s, 1))
        self.state = "waiting"
        (self.folder / "coverage.json").unlink(missing_ok=True)
        self.restarts += 1
        stopped = asyncio.ensure_future(self._stopping.wait())
        slept = asyncio.ensure_future(self._clock.sleep(delay_s))
        await asyncio.wait({stopped, slept}, return_when=asyncio.FIRST_COMPLETED)
        for task in (stopped, slept):
            task.cancel()


class Shards:
    """All shards of a collection; ``run`` once."""

    def __init__(
        self,
        jobs: Sequence[tuple[Job, Path]],
        state: Path,
        clock: Clock,
        random: Random,
        *,
        tell: Callable[[str], None],
        config: ShardsConfig | None = None,
    ) -> None:
        self._config = config or ShardsConfig()
        self._shards = [Shard(job, folder, self._config, clock, random) for job, folder in jobs]
        self._file = StatusFile(state / "status.json")
        self._clock, self._tell = clock, tell
        self._started_us = clock.now_us()
        self._stopped_by: str | None = None

    async def run(self) -> dict[str, Any]:
        """Collects until every shard has ended; returns the last status of all.

        SIGINT and SIGTERM are handed on: the first stops in order, the second at once.

        Raises:
            ShardsFailedError: a shard was given up; the others have ended in order.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        writing = asyncio.create_task(self._write_status(), name="shards-status")
        try:
            async with asyncio.TaskGroup() as group:
                for shard in self._shards:
                    group.create_task(shard.run(self._tell), name=f"shard-{shard.number}")
        finally:
            writing.cancel()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            self._keep_status()
        failed = [shard for shard in self._shards if shard.state == "failed"]
        last = self.status()
        if failed:
            raise ShardsFailedError({shard.number: str(shard.cause) for shard in failed}, last)
        return last

    def status(self) -> dict[str, Any]:
        """The status of all as one; see ``shard_status.merged``."""
        return merged([shard.status() for shard in self._shards], self._clock.now_us(), self._started_us)

    def _stop(self, number: signal.Signals) -> None:
        if self._stopped_by is None:
            asyncio.get_running_loop().call_later(self._config.kill_after_s, self._kill)
        self._stopped_by = signal.Signals(number).name
        for shard in self._shards:
            shard.stop(number)

    def _kill(self) -> None:
        for shard in self._shards:
            shard.kill()

    async def _write_status(self) -> None:
        while True:
            self._keep_status()
            await self._clock.sleep(_STATUS_S)

    def _keep_status(self) -> None:
        try:
            self._file.write(self.status())
        except OSError as error:
            _log.warning("status not written", path=str(self._file.path), error=str(error))
