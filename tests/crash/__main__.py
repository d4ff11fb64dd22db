"""``python -m tests.crash``: the long runs of both harnesses, resumable, with their result filed.

    python -m tests.crash --processes 300 --simulated 100000 --seed 1 --report benchmarks/CRASH.md

What is done is kept in ``--progress`` (a line a run), so that a run that was stopped goes on where it was. Exits 1 at
the first promise that was broken, and names the seed that repeats it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
os.environ.setdefault("TOKIO_WORKER_THREADS", "1")  # of delta-rs; the runs themselves take all cores

from crash_process import Round, kills
from crash_run import CRASHES_A_RUN, line_of

KILLS_A_ROUND = 20


def processes(seed: int) -> dict[str, Any]:
    """One round of kills, as a line of the progress file."""
    began_s = time.monotonic()
    planned = kills(seed, KILLS_A_ROUND)
    with tempfile.TemporaryDirectory(prefix="hosu-kills-") as home:
        done = Round(Path(home), seed, lambda kill: print(f"  seed {seed}: {kill}", flush=True))
        done.run(planned)
    places = Counter(kill.place or "at a record" for kill in planned)
    facts = {"seed": seed, "kills": len(planned), "records": done.reported + 1, "places": places}
    return {"kind": "process", **facts, "seconds": round(time.monotonic() - began_s, 3)}


def done_in(progress: Path) -> list[dict[str, Any]]:
    """The lines of a progress file. One that was cut off ends there, so that the next one begins a line of its own."""
    found: list[dict[str, Any]] = []
    text = progress.read_text(encoding="utf-8") if progress.exists() else ""
    if text and not text.endswith("\n"):
        progress.write_text(f"{text}\n", encoding="utf-8")
    for line in text.splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def work(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Runs what is not done yet; every line that there is then."""
    lines = {(line["kind"], line["seed"]): line for line in done_in(options.progress)}
    rounds = [("process", options.seed + n) for n in range(-(-options.processes // KILLS_A_ROUND))]
    runs: list[tuple[str, int]] = []
    # Not forked: what the kills have used of obstore has threads, which a fork lacks, and its locks, which it has.
    pool = ProcessPoolExecutor(options.jobs, get_context("spawn"))
    with options.progress.open("a", encoding="utf-8") as kept, pool:

        def keep(line: dict[str, Any]) -> None:
            lines[line["kind"], line["seed"]] = line
            kept.write(json.dumps(line) + "\n")
            kept.flush()

        for kind, seed in rounds:
            if (kind, seed) not in lines:
                keep(processes(seed))
        # A run on a disk that lies may end before its last crash: then others follow.
        while (missing := options.simulated - sum(lines[run]["crashes"] for run in runs)) > 0:
            fresh = [("simulated", options.seed + len(runs) + n) for n in range(-(-missing // CRASHES_A_RUN))]
            left = [seed for kind, seed in fresh if (kind, seed) not in lines]
            for number, line in enumerate(pool.map(line_of, left), 1):
                keep(line)
                if number % 25 == 0 or number == len(left):
                    print(f"  {number} of {len(left)} simulated runs, seed {line['seed']}", flush=True)
            runs += fresh
    return [lines[each] for each in (*runs, *rounds)]


def report(lines: list[dict[str, Any]], seed: int) -> str:
    """The result as a page."""
    simulated_runs = [line for line in lines if line["kind"] == "simulated"]
    rounds = [line for line in lines if line["kind"] == "process"]
    crashes, checks = sum(line["crashes"] for line in simulated_runs), sum(line["checks"] for line in simulated_runs)
    spent_s = sum(line["seconds"] for line in simulated_runs)
    refused = [line["refused"] for line in simulated_runs]
    places: Counter[str] = Counter()
    for line in simulated_runs:
        places.update(line["places"])
    killed: Counter[str] = Counter()
    for line in rounds:
        killed.update(line["places"])
    head = [
        "# Crashes",
        "",
        (
            f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores, "
            f"seeds from {seed} on. `docs/concepts/durability.md` says what is promised and how this is run."
        ),
        "",
        "| | simulated | process |",
        "|---|---|---|",
        f"| crashes | {crashes:,} | {sum(line['kills'] for line in rounds):,} |",
        f"| lakes compared row by row | {checks:,} | {len(rounds):,} |",
        f"| lakes repaired from frames | {sum(line['repairs'] for line in simulated_runs):,} | |",
        (
            f"| log records at the ends of the runs | {sum(line['records'] for line in simulated_runs):,} | "
            f"{sum(line['records'] for line in rounds):,} |"
        ),
        f"| runs on lying disks that ended in a refusal | {sum(map(bool, refused)):,} | |",
        "| durable records lost, or stored twice (a run ends at the first) | 0 | 0 |",
        f"| crashes a second of one process | {crashes / spent_s if spent_s else 0:.1f} | |",
        "",
    ]
    tables = [
        f"| {title} | times |\n|---|---|\n"
        + "".join(f"| `{name}` | {count:,} |\n" for name, count in counts.most_common())
        for title, counts in (("simulated crash at", places), ("process killed at", killed))
        if counts
    ]
    return "\n".join([*head, "\n".join(tables)])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--processes", type=int, default=300, help="kills of the real program")
    parser.add_argument("--simulated", type=int, default=100_000, help="crashes of the simulated machine")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="simulated runs at a time")
    parser.add_argument("--progress", type=Path, default=Path(".crash-progress.jsonl"))
    parser.add_argument("--report", type=Path, help="where the result is filed; stdout without it")
    options = parser.parse_args()
    try:
        lines = work(options)
    except AssertionError as broken:
        sys.exit(f"a promise was broken: {broken}")
    text = report(lines, options.seed)
    if options.report is None:
        print(text)
    else:
        options.report.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
