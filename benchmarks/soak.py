"""Does it stay the same for hours? The real simulator and the real collector, at a steady rate, watched from outside.

``make soak`` runs for an hour; ``--minutes`` and ``--rate`` say otherwise. The collector takes trades and books,
polls snapshots over REST, seals, archives and flushes, is cut off now and then (where the simulator can be told to),
and its tables are compacted meanwhile by another process. Every few seconds its memory, file handles and threads,
how far the lake is behind, and the disk use of log and state are noted. It fails if one of the first three grows
(``soak_rule`` says what that is), or if what was sent is not in the lake, row for row. The result is ``SOAK.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.soak_rule import SHARE, SLACK_COUNT, SLACK_MIB, Trend, chart, trend

RESULT = Path(__file__).parent / "SOAK.md"
SYMBOLS = 20
FEEDS = "trades,quotes"
PROGRAM = [sys.executable, "-m", "hosu"]


@dataclass(frozen=True, slots=True)
class Plan:
    """How long, how fast, how often. ``compact_s`` and ``cut_s`` are seconds from one to the next, 0 for never."""

    minutes: float = 60.0
    rate: float = 5_000.0
    sample_s: float = 5.0
    compact_s: float = 120.0
    cut_s: float = 300.0
    poll_s: float = 5.0
    slack_mib: float = SLACK_MIB
    """What memory may grow by besides its tenth; more where the run is shorter than what fills caches and pools."""

    @property
    def warm_up_s(self) -> float:
        """A quarter of the run, ten minutes at most: caches and pools fill, code is loaded, the first files close."""
        return min(600.0, self.minutes * 60 / 4)


@dataclass(slots=True)
class Sample:
    """The collector at one moment; ``at_s`` counts from the first sample."""

    at_s: float
    rss_mib: float
    handles: int
    threads: int
    behind: int
    state_mib: float


@dataclass(slots=True)
class Soak:
    """What a run found."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    sent: dict[str, Any] = field(default_factory=dict)
    status: dict[str, Any] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    compactions: int = 0
    faults: str = ""

    def trends(self) -> list[Trend]:
        """Memory, handles and threads behind the warm-up."""
        warm = [each for each in self.samples if each.at_s >= self.plan.warm_up_s]
        times = [each.at_s for each in warm]
        return [
            trend("memory", "MiB", times, [each.rss_mib for each in warm], slack_mib=self.plan.slack_mib),
            trend("file handles", "open", times, [each.handles for each in warm]),
            trend("threads", "alive", times, [each.threads for each in warm]),
        ]

    @property
    def expected(self) -> int:
        """Records that reached the collector, by the simulator's own count."""
        return int(self.sent["deliveries"])

    @property
    def stored(self) -> int:
        """Rows of what came down the line; what repair fetched is counted apart."""
        return sum(count for name, count in self.rows.items() if name != REPAIRED)

    def failures(self) -> list[str]:
        """Each a sentence; none when all is well."""
        found = [
            f"{each.name} grew by {each.growth:,.1f} {each.unit}, more than {each.allowed:,.1f}"
            for each in self.trends()
            if each.grows
        ]
        if self.stored != self.expected:
            found.append(f"{self.expected:,} records were delivered, {self.stored:,} are in the lake")
        return found


def run(plan: Plan, place: Path) -> Soak:
    """Plays the whole soak in the folder ``place``; ends early, with what there is, on Ctrl-C."""
    soak = Soak(plan, faults=_faults(plan))
    simulator = _start(_simulator_words(plan, place, soak.faults), place / "simulator.log")
    collector = None
    try:
        addresses = json.loads(_first_line(simulator))
        collector = _start(
            _collector_words(addresses, place), place / "collector.log", HOSU_POLL_SECONDS=str(plan.poll_s)
        )
        _watch(soak, collector, place)
        said, _ = collector.communicate(timeout=300)
        soak.status = json.loads(said)
        simulator.wait(60)
    finally:
        for process in (collector, simulator):
            if process is not None:
                process.kill()
                process.communicate()
    soak.sent = json.loads((place / "sent.json").read_text())
    soak.rows = _rows(place / "lake")
    return soak


def _faults(plan: Plan) -> str:
    """Cuts of the line, and a few frames lost, where the simulator can be told to make them."""
    described = subprocess.run([*PROGRAM, "simulator", "--help"], capture_output=True, text=True, check=True).stdout
    if "--faults" not in described or not plan.cut_s:
        return ""
    frames = int(plan.rate * plan.minutes * 60)
    cuts = [f"close@frame:{at}" for at in range(int(plan.rate * plan.cut_s), frames, int(plan.rate * plan.cut_s))]
    return "; ".join(["drop=1/10000", *cuts])


def _simulator_words(plan: Plan, place: Path, faults: str) -> list[str]:
    words = f"simulator --date 2025-09-15 --symbols {SYMBOLS} --rate {plan.rate} --fills 1 --feeds {FEEDS}"
    words += f" --records {int(plan.rate * plan.minutes * 60)} --expect {2 * SYMBOLS} --away hold --report"
    return [*words.split(), str(place / "sent.json"), *(["--faults", faults] if faults else [])]


def _collector_words(addresses: dict[str, str], place: Path) -> list[str]:
    words = f"collect --kis simulator --rest {addresses['rest']} --ws {addresses['ws']} --symbols all"
    return [*words.split(), "--feeds", FEEDS, "--no-bars", "--format", "json", "--lake", str(place / "lake")]


def _start(words: list[str], log: Path, **variables: str) -> subprocess.Popen[str]:
    with log.open("w") as errors:
        return subprocess.Popen(
            [*PROGRAM, *words], stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **variables}
        )


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def _watch(soak: Soak, collector: subprocess.Popen[str], place: Path) -> None:
    """Samples until the collector ends; compacts meanwhile."""
    began_s = time.monotonic()
    compacting: subprocess.Popen[str] | None = None
    compacted_s = began_s
    try:
        while collector.poll() is None:
            now_s = time.monotonic()
            if (sample := sampled(collector.pid, now_s - began_s, place / "lake" / ".hosu")) is not None:
                soak.samples.append(sample)
                _show(soak, sample)
            if compacting is not None and compacting.poll() is not None:
                soak.compactions += _ended_well(compacting)
                compacting = None
            if soak.plan.compact_s and compacting is None and now_s - compacted_s >= soak.plan.compact_s:
                compacted_s = now_s
                compacting = _start(["lake", "compact", "--lake", str(place / "lake")], place / "compact.log")
            with suppress(subprocess.TimeoutExpired):
                collector.wait(max(0.05, soak.plan.sample_s - (time.monotonic() - now_s)))
    except KeyboardInterrupt:
        collector.send_signal(signal.SIGTERM)
    finally:
        if compacting is not None:
            soak.compactions += _ended_well(compacting)
        print(file=sys.stderr)


def _ended_well(process: subprocess.Popen[str]) -> bool:
    process.communicate(timeout=300)
    return process.returncode == 0


def sampled(pid: int, at_s: float, state: Path) -> Sample | None:
    """A process's figures now; None before it has said anything of itself, and once it is gone."""
    process = Path("/proc") / str(pid)
    try:
        facts = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        status = json.loads((state / "status.json").read_text())
        behind = max(status["buffers"]["lag_records"].values(), default=0)
        return Sample(
            at_s,
            int(facts["VmRSS"].split()[0]) / 1024,
            len(os.listdir(process / "fd")),  # noqa: PTH208  names only
            _threads(process / "task"),
            int(behind),
            _disk_mib(state),
        )
    except (OSError, KeyError, ValueError):
        return None


def _threads(tasks: Path) -> int:
    """Threads but for those of delta-rs's and obstore's file operations: a pool that grows to the most that ever went
    on at once, has its own bound, and tells nothing of a leak."""
    return sum((task / "comm").read_text().strip() != "tokio-rt-worker" for task in tasks.iterdir())


def _disk_mib(folder: Path) -> float:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # files come and go
            total += path.stat().st_size
    return total / 2**20


def _show(soak: Soak, sample: Sample) -> None:
    if sys.stderr.isatty():
        left_s = max(0.0, soak.plan.minutes * 60 - sample.at_s)
        line = (
            f"{sample.rss_mib:,.0f} MiB, {sample.handles} handles, {sample.threads} threads, {sample.behind:,} behind"
        )
        print(f"\r{line}, {left_s / 60:.1f} min left   ", end="", file=sys.stderr, flush=True)


REPAIRED: Final = "trades fetched again"
"""Trades that repair asked for over REST: withheld by the simulator's faults, or repeated beside those that came."""


def _rows(lake: Path) -> dict[str, int]:
    fetched = "source IS NOT DISTINCT FROM 'rest'"
    counts = f"""
        SELECT 'trades' AS t, count(*) AS n FROM trades WHERE NOT {fetched}
        UNION ALL SELECT 'quotes', count(*) FROM quotes UNION ALL SELECT 'quarantine', count(*) FROM quarantine
        UNION ALL SELECT '{REPAIRED}', count(*) FROM trades WHERE {fetched}
    """
    ran = subprocess.run(
        [*PROGRAM, "sql", counts, "--lake", str(lake), "--format", "json"], capture_output=True, check=True, text=True
    )
    return {row["t"]: int(row["n"]) for row in json.loads(ran.stdout)}


def report(soak: Soak) -> str:
    """The result as Markdown."""
    plan, samples, failures = soak.plan, soak.samples, soak.failures()
    behind, disk = max(each.behind for each in samples), max(each.state_mib for each in samples)
    made = f"Made by `make soak` on {datetime.now(UTC):%Y-%m-%d}: {plan.rate:,.0f} records a second"
    length = f"for {plan.minutes:,.0f} minutes, {SYMBOLS} symbols ({FEEDS}), snapshots every {plan.poll_s:g} s"
    events = f"{soak.compactions} compactions, {soak.status.get('reconnects', 0)} reconnects"
    head = f"| behind the warm-up of {plan.warm_up_s / 60:.1f} min | at first | at last | an hour | grew by | may by |"
    lines = [
        "# Soak",
        "",
        f"{made} {length}, {events}.",
        "",
        "**Failed:** " + "; ".join(failures) if failures else "Nothing grew beyond what it may, nothing is missing.",
        "",
        _balance(soak),
        "",
        head,
        "|---|---:|---:|---:|---:|---:|",
        *map(_trend_row, soak.trends()),
        f"| records read late, most | | {behind:,} | | | |",
        f"| log and state on disk, MiB, most | | {disk:,.0f} | | | |",
        "",
        "Memory of the collector:",
        "",
        "```",
        *chart([each.at_s for each in samples], [each.rss_mib for each in samples], unit="MiB"),
        "```",
        "",
        _RULE,
    ]
    return "\n".join(lines) + "\n"


_RULE = (
    "The line through the samples is Theil and Sen's, the median of all pairwise slopes, which peaks do not move. "
    f"Memory may grow by {SHARE:.0%} and {SLACK_MIB:.0f} MiB, since allocators keep what they had; handles and threads "
    f"by {SLACK_COUNT:.0f}. Why: `benchmarks/soak_rule.py`. The last column is the "
    "evening, in the same process: what is missing is asked for and the day is judged, for which SQL may take 1 GiB "
    "(`HOSU_SQL_MEMORY_MIB`)."
)


def _balance(soak: Soak) -> str:
    rows = ", ".join(f"{name} {count:,}" for name, count in soak.rows.items())
    text = f"{soak.expected:,} records delivered, {soak.stored:,} rows in the lake ({rows})."
    if "withheld" in soak.sent:
        text += f" {soak.sent['withheld']['records']:,} more were withheld on purpose, and are listed so."
    return text


def _trend_row(each: Trend) -> str:
    moved = f"{each.first:,.0f} | {each.last:,.0f} | {each.per_hour:+,.1f} | {each.growth:+,.1f} | {each.allowed:,.1f}"
    return f"| {each.name}, {each.unit} | {moved} |"


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=(__doc__ or "").splitlines()[0])
    for each in fields(Plan):
        parser.add_argument(f"--{each.name.replace('_', '-')}", type=float, default=each.default)
    parser.add_argument("--dir", type=Path, help="work in this new folder, and keep it")
    parser.add_argument("--no-report", action="store_true", help=f"leave {RESULT.name} as it is")
    chosen = vars(parser.parse_args(words))
    kept, silent = chosen.pop("dir"), chosen.pop("no_report")
    place = kept or Path(tempfile.mkdtemp(prefix="hosu-soak-"))
    place.mkdir(parents=True, exist_ok=True)
    try:
        soak = run(Plan(**chosen), place)
    finally:
        if kept is None:
            shutil.rmtree(place, ignore_errors=True)
    text = report(soak)
    print(text)
    if not silent:
        RESULT.write_text(text)
    return 1 if soak.failures() else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
