"""One key's collecting process, as ``shards`` starts it: what to do comes over stdin, secrets included.

The command line of a process is everybody's to read, and so nothing is on it. Stdin stays open: when it ends, so has
the parent, and the shard stops in order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hosu.cli.station import Plan
    from hosu.collect.collector import Collector
    from hosu.lake.lake import Lake

COMMAND = (sys.executable, "-m", "hosu.cli.shard")


@dataclass(frozen=True, slots=True)
class Job:
    """What a shard shall do; ``to_line`` and ``of_line`` carry it over a pipe. Registrations are (TR id, symbol)."""

    number: int
    host: tuple[str, str, str]
    appkey: str = field(repr=False)
    appsecret: str = field(repr=False)
    custtype: str
    registrations: tuple[tuple[str, str], ...]
    reserve: tuple[tuple[str, str], ...]
    symbols: tuple[str, ...]
    scope: str
    slots: int
    until_idle_s: float | None
    poll: bool
    poll_every_s: float
    exchanges: int
    repair: bool
    lake: str
    state: str
    part: tuple[int, int] = (0, 1)
    features: bool = True
    seconds: bool = False
    predict: bool = False

    @classmethod
    def of_plan(cls, number: int, plan: Plan, lake: str, state: Path) -> Job:
        """The same work for another process."""
        keys = plan.credentials
        return cls(
            number,
            (plan.host.name, plan.host.rest, plan.host.ws),
            keys.appkey,
            keys.appsecret,
            keys.custtype,
            tuple((each.tr_id, each.key) for each in plan.registrations),
            tuple((each.tr_id, each.key) for each in plan.reserve),
            tuple(plan.symbols),
            plan.scope,
            plan.slots,
            plan.until_idle_s,
            plan.poll,
            plan.poll_every_s,
            plan.exchanges,
            plan.repair,
            lake,
            str(state),
            plan.part,
            plan.features,
            plan.seconds,
            plan.predict,
        )

    def to_line(self) -> bytes:
        """JSON with a newline."""
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def of_line(cls, line: bytes) -> Job:
        return cls(**json.loads(line))

    def plan(self) -> Plan:
        """The work in this process."""
        from typing import cast

        from hosu.cli.station import Plan
        from hosu.kis.hosts import Credentials, Host
        from hosu.kis.registrations import Registration
        from hosu.logs import hide

        hide(self.appkey, self.appsecret)
        name, rest, ws = cast("Any", self.host)
        return Plan(
            Host(name, rest, ws),
            Credentials(self.appkey, self.appsecret, self.custtype),
            [Registration(tr_id, symbol) for tr_id, symbol in self.registrations],
            list(self.symbols),
            scope=cast("Any", self.scope),
            slots=self.slots,
            until_idle_s=self.until_idle_s,
            poll=self.poll,
            poll_every_s=self.poll_every_s,
            exchanges=self.exchanges,
            reserve=[Registration(tr_id, symbol) for tr_id, symbol in self.reserve],
            repair=self.repair,
            features=self.features,
            seconds=self.seconds,
            predict=self.predict,
            part=(self.part[0], self.part[1]),
        )


def main() -> int:
    """0 after an orderly end, 1 with one sentence on stderr after anything else."""
    from hosu.cli.output import note
    from hosu.errors import HosuError

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))  # until the collector takes them over
    line = sys.stdin.buffer.readline()
    if not line.endswith(b"\n"):  # the parent has gone before it could say anything
        return 1
    try:
        _collect(Job.of_line(line))
    except HosuError as error:
        note(f"hosu: {error}")
        return 1
    except OSError as error:
        note(f"hosu: {error.strerror or error}; check the path, its permissions and the disk")
        return 1
    return 0


def _collect(job: Job) -> None:
    from hosu import logs
    from hosu.cli.collect import run_loop
    from hosu.cli.options import open_lake
    from hosu.settings import LogSettings, load

    plan = job.plan()
    said = load(LogSettings)
    logs.configure(said.level, Path(job.state) / "hosu.log", quiet=True, as_json=said.as_json(terminal=False))
    run_loop(_run(plan, open_lake(job.lake), Path(job.state)))


async def _run(plan: Plan, lake: Lake, state: Path) -> None:
    from hosu.cli.station import station
    from hosu.settings import CollectSettings, KisSettings, load

    settings = load(CollectSettings, {"state": state})
    async with station(plan, lake, state, settings, load(KisSettings), handle_signals=True) as collector:
        _end_with_parent(collector)
        await collector.run()


def _end_with_parent(collector: Collector) -> None:
    """Stops once stdin has ended. The parent writes nothing more to it."""
    loop = asyncio.get_running_loop()
    descriptor = sys.stdin.fileno()

    def gone() -> None:
        loop.remove_reader(descriptor)
        collector.stop("SIGHUP: the parent process has gone")

    loop.add_reader(descriptor, gone)


if __name__ == "__main__":
    sys.exit(main())
