"""What ``hosu collect`` does with what was wished for: plans, and collects with one key here or with several apart."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hosu.cli.output import counted, note
from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hosu.cli.attended import Attendant
    from hosu.cli.station import Plan as KeyPlan
    from hosu.collect.subscriptions import Plan
    from hosu.kis.hosts import Credentials, Host
    from hosu.kis.rest import Scope
    from hosu.lake.lake import Lake
    from hosu.settings import CollectSettings, KisSettings

PLAN = "plan.json"
SHARDS = "shards"


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be collected: ``symbols`` by priority, ``feeds`` of a streamed one, with which keys."""

    host: Host
    credentials: Sequence[Credentials]
    symbols: Sequence[str]
    feeds: Sequence[str]
    scope: Scope
    slots: int
    until_idle_s: float | None = None
    poll: bool = True
    poll_every_s: float = 1.0
    exchanges: int = 0
    durable_fd: int | None = None
    repair: bool = True
    features: bool = True
    seconds: bool = False
    predict: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """A plan, and the part of each key in the order of the keys."""

    plan: Plan
    keys: Sequence[KeyPlan]
    wish: Wish

    @property
    def said(self) -> str:
        """The plan in one sentence."""
        hows = [each.how for each in self.plan.symbols]
        streamed, polled, not_covered = (hows.count(how) for how in ("streamed", "polled", "not covered"))
        text = f"{counted(len(hows), 'symbol')}: {streamed:,} streamed, {polled:,} polled"
        if not_covered:
            text += f", {not_covered:,} not covered: there are {self.wish.slots} slots a key, and polling is off"
        return text


def planned(wish: Wish, state: Path, manners: KisSettings) -> Work:
    """Who covers what; symbols stay with the key that had them last.

    Raises:
        InputError: a feed is unknown.
    """
    from hosu.cli.broker_station import pace_of
    from hosu.cli.station import Plan, registrations_of
    from hosu.clock import SystemClock
    from hosu.collect.subscriptions import Key, make_plan
    from hosu.market.calendar import business_day

    today, _ = business_day(SystemClock().now_us())
    pace = pace_of(today, wish.host, manners)
    keys = [Key(each.fingerprint, wish.slots, pace.calls / pace.window_s) for each in wish.credentials]
    tr_ids = [each.tr_id for each in registrations_of(wish.symbols[:1], wish.feeds, wish.scope)]
    plan = make_plan(wish.symbols, tr_ids, keys, poll=wish.poll, before=_before(state / PLAN))
    parts = [
        Plan(
            wish.host,
            credentials,
            share.registrations,
            share.symbols,
            scope=wish.scope,
            slots=wish.slots,
            until_idle_s=wish.until_idle_s,
            poll=wish.poll,
            durable_fd=wish.durable_fd,
            poll_every_s=wish.poll_every_s,
            exchanges=wish.exchanges,
            reserve=share.reserve,
            repair=wish.repair,
            features=wish.features,
            seconds=wish.seconds,
            predict=wish.predict,
            part=(number, len(keys)),
        )
        for number, (credentials, share) in enumerate(zip(wish.credentials, plan.shares, strict=True))
    ]
    return Work(plan, parts, wish)


def collect_all(
    work: Work, lake: Lake, state: Path, settings: CollectSettings, manners: KisSettings, attendant: Attendant
) -> dict[str, Any]:
    """Collects until the end; returns the last status. The state folder's lock must be held.

    Raises:
        HosuError: what ended the collection.
    """
    single = len(work.keys) == 1
    folders = [state] if single else [state / SHARDS / each.credentials.fingerprint for each in work.keys]
    _commit_leftovers(state, folders, lake, settings)
    _keep(state / PLAN, work, folders, state)
    if single:
        return _collect_alone(work.keys[0], lake, state, settings, manners, attendant)
    return _collect_apart(work, lake, state, folders, attendant)


def _collect_alone(
    plan: KeyPlan, lake: Lake, state: Path, settings: CollectSettings, manners: KisSettings, attendant: Attendant
) -> dict[str, Any]:
    from hosu.cli.collect import run_loop
    from hosu.cli.station import station

    async def run() -> dict[str, Any]:
        async with station(plan, lake, state, settings, manners, handle_signals=True) as collector:
            return await attendant.watch(collector)

    last: dict[str, Any] = run_loop(run())
    return last


def _collect_apart(
    work: Work, lake: Lake, state: Path, folders: Sequence[Path], attendant: Attendant
) -> dict[str, Any]:
    from random import Random

    from hosu.cli.collect import run_loop
    from hosu.cli.shard import Job
    from hosu.cli.shards import Shards
    from hosu.clock import SystemClock
    from hosu.lake.tables import EVENT_TABLES

    for name in EVENT_TABLES:  # made once, not by all at once
        lake.table(name)
    jobs = []
    for number, (plan, folder) in enumerate(zip(work.keys, folders, strict=True), 1):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        jobs.append((Job.of_plan(number, plan, lake.root, folder), folder))

    async def run() -> dict[str, Any]:
        return await attendant.watch(Shards(jobs, state, SystemClock(), Random(), tell=note))

    last: dict[str, Any] = run_loop(run())
    return last


# --- what earlier runs left ---------------------------------------------------------------------------------------


def _commit_leftovers(state: Path, folders: Sequence[Path], lake: Lake, settings: CollectSettings) -> None:
    """Commits what the logs of keys that are not used any more still hold: nobody else would."""
    from hosu.cli.collect import run_loop

    others = [state, *sorted((state / SHARDS).glob("*"))]
    for folder in others:
        if folder not in folders and any((folder / "wal").glob("*.log")):
            note(f"hosu: committing what the log in {folder} still holds")
            if str(run_loop(_commit(folder, lake, settings))["reason"]).startswith("SIG"):
                raise KeyboardInterrupt


async def _commit(folder: Path, lake: Lake, settings: CollectSettings) -> dict[str, Any]:
    from hosu.clock import SystemClock
    from hosu.collect.collector import Collector, CollectorConfig, Outside
    from hosu.collect.fanout import Fanout
    from hosu.collect.ledger import LedgerSink
    from hosu.collect.recorder import Recorder
    from hosu.collect.wal import Log
    from hosu.lake.archive import FramesArchive
    from hosu.lake.ledger_store import LakeLedgerStore
    from hosu.lake.writer import LakeSink, WriterConfig

    clock, reserve = SystemClock(), settings.disk_reserve_mb << 20
    log = Log.open(folder / "wal", clock)
    collector = Collector(
        CollectorConfig(sink_reserve_bytes=reserve, log_reserve_bytes=reserve // 4, handle_signals=True),
        log,
        Recorder(log, clock),
        [],
        sinks=[
            Fanout(
                [
                    LakeSink(lake, WriterConfig(reserve_bytes=reserve), clock),
                    LedgerSink(LakeLedgerStore(lake, reserve_bytes=reserve), clock=clock),
                ]
            )
        ],
        archive=FramesArchive(lake, reserve_bytes=reserve),
        clock=clock,
        outside=Outside(session_over=lambda _: True),
    )
    return await collector.run()


def _keep(path: Path, work: Work, folders: Sequence[Path], state: Path) -> None:
    """Writes the plan down: for the next one, and for ``hosu coverage``."""
    from hosu.clock import SystemClock
    from hosu.replacing import replace_file

    content = {
        "at_us": SystemClock().now_us(),
        "scope": work.wish.scope,
        "feeds": list(work.wish.feeds),
        "poll_every_s": work.wish.poll_every_s,
        "folders": {
            share.key.name: str(folder.relative_to(state))
            for share, folder in zip(work.plan.shares, folders, strict=True)
        },
        "keys": work.plan.keys,
        "not_covered": {each.symbol: each.why for each in work.plan.not_covered},
    }
    for folder in folders:  # what an earlier run covered is not what this one does
        (folder / "coverage.json").unlink(missing_ok=True)
    replace_file(path, json.dumps(content).encode(), durable=False)


def read_plan(path: Path) -> dict[str, Any]:
    """The plan kept last.

    Raises:
        InputError: there is none.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(path), "there is no plan", "start `hosu collect` first") from None
    except (OSError, ValueError) as error:
        raise InputError(str(path), f"is no plan of hosu ({error})", "start `hosu collect` again") from None
    if not isinstance(content, dict) or not isinstance(content.get("folders"), dict):
        raise InputError(str(path), "is no plan of hosu", "start `hosu collect` again")
    return content


def _before(path: Path) -> dict[str, str]:
    """The key that each symbol had last; a plan that cannot be read counts as none."""
    try:
        keys = read_plan(path).get("keys")
    except InputError:
        return {}
    return {str(symbol): str(key) for symbol, key in keys.items()} if isinstance(keys, dict) else {}
