"""How often does training find something where there is nothing? Real bars, their days turned by a random sign.

    python -m benchmarks.nulls --lake LAKE --worlds 200 --report benchmarks/NULLS.md

In each world every session's returns are multiplied by one random sign, the same for all symbols, prices are rebuilt,
and features, labels and model are made anew, as ``hosu models train`` makes them. Nothing can be predicted there, so a
p value of at most 1 % must come up in about 1 % of the worlds, and no model may be promoted. A world whose signal
would pass the gate is judged in full. With ``--planted 0,0.05,0.15`` a return that can be predicted is then planted in
a few of these worlds, so strong as so many deviations over all symbols, and each is judged. What was done is kept in
``--progress``, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

SET = "scale_free_v1"
SIGNAL_P = 0.001
PREPARED: dict[str, Any] = {}


def prepare(root: str, share: float) -> None:
    """In each process, once: the bars of some of the symbols, always the same ones."""
    from hosu.features.bars_of_lake import panel
    from hosu.lake.lake import Lake

    lake = Lake.open(root, create=False)
    everything = panel(lake, "day")
    symbols = np.array(everything.bars.symbols)
    chosen = symbols[np.random.default_rng(0).random(len(symbols)) < share]
    PREPARED["loaded"] = panel(lake, "day", chosen.tolist())


def rows_of(bars: Any) -> Any:
    """Features and labels of bars, as in training."""
    from hosu.features.definitions import feature_set
    from hosu.features.labels import Beside, labelled_rows
    from hosu.features.source import KernelSource

    loaded, source = PREPARED["loaded"], KernelSource(feature_set(SET))
    beside = Beside(listings=loaded.listings, adjusted=loaded.adjusted)
    return labelled_rows(bars, source.compute(bars), source.names, 1, beside=beside)


def world(seed: int, kind: str) -> dict[str, Any]:
    """What is found in one world."""
    from hosu.models.estimators import Configuration, Kind
    from hosu.models.nulls import measured
    from hosu.models.walk import walk
    from hosu.models.worlds import flip

    began = time.perf_counter()
    configuration = Configuration(Kind(kind), feature_set=SET)
    rows = rows_of(flip(PREPARED["loaded"].bars, seed))
    walked = walk(rows, configuration, with_price=False)
    found = asdict(measured(walked, seed))
    verdict = "no edge"
    if found["p"] <= SIGNAL_P:
        verdict = str(judged(walked, rows, configuration).verdict.value)
    return {**found, "verdict": verdict, "seconds": time.perf_counter() - began}


def planted(seed: int, kind: str, strength: float) -> dict[str, Any]:
    """The verdict on a world in which that much can be predicted, and nothing else."""
    from hosu.models.estimators import Configuration, Kind
    from hosu.models.walk import walk
    from hosu.models.worlds import flip, plant

    configuration = Configuration(Kind(kind), feature_set=SET)
    turned = flip(PREPARED["loaded"].bars, seed)
    rows = rows_of(plant(turned, strength) if strength else turned)
    judgement = judged(walk(rows, configuration), rows, configuration)
    sentences = {check.name: check.sentence for check in judgement.checks}
    return {
        "seed": seed,
        "planted": strength,
        "verdict": str(judgement.verdict.value),
        "signal": sentences["G1 signal"],
        "money": sentences["G4 money"],
    }


def judged(walked: Any, rows: Any, configuration: Any) -> Any:
    """The gate's judgement of a world."""
    from hosu.models.estimators import Configuration, Kind
    from hosu.models.gate import judge
    from hosu.models.trials import Trial, TrialsInMemory
    from hosu.models.walk import walk

    logistic = walk(rows, Configuration(Kind.LINEAR, feature_set=SET))
    trial = Trial("KRX", "1d", configuration.key, "world")
    return judge(walked, trial=trial, trials=TrialsInMemory(), logistic=logistic)


def main() -> int:
    """Runs what is not done yet, and writes the report."""
    asked = arguments()
    run = run_of(asked)
    done = {key_of(each): each for each in map(json.loads, lines(asked.progress)) if each.get("run") == run}
    seeds = range(asked.seed, asked.seed + asked.worlds)
    strengths = [float(text) for text in asked.planted.split(",") if text]
    wanted: list[tuple[Any, tuple[Any, ...]]] = [
        (world, (seed, asked.kind)) for seed in seeds if (seed, None) not in done
    ]
    for seed in range(asked.seed, asked.seed + asked.planted_worlds):
        wanted += [(planted, (seed, asked.kind, each)) for each in strengths if (seed, each) not in done]
    context = get_context("spawn")  # Polars and LightGBM keep threads that a fork would lose
    with ProcessPoolExecutor(asked.processes, context, prepare, (asked.lake, asked.share)) as pool:
        for finished in as_completed([pool.submit(call, *given) for call, given in wanted]):
            found = {**finished.result(), "run": run}
            done[key_of(found)] = found
            with asked.progress.open("a") as kept:
                kept.write(json.dumps(found) + "\n")
            print(f"{len(done)} done: {said(found)}", flush=True)
    worlds = [done[key] for key in sorted(key for key in done if key[1] is None)]
    text = report(worlds, asked) if worlds else ""
    text += planted_report([done[key] for key in sorted(key for key in done if key[1] is not None)])
    print(text)
    if asked.report is not None:
        asked.report.write_text(text)
    return int(any(each["verdict"] == "edge" for each in worlds))


def run_of(asked: argparse.Namespace) -> str:
    """What worlds of one report have in common: the bars, the model, and the code that made features and labels."""
    from hosu import __version__
    from hosu.features.definitions import feature_set
    from hosu.features.labels import REVISION

    lake = Path(asked.lake).resolve()
    return f"{lake} {asked.share:g} {asked.kind} {feature_set(SET).version} labels {REVISION} hosu {__version__}"


def key_of(found: dict[str, Any]) -> tuple[int, float | None]:
    return found["seed"], found.get("planted")


def said(found: dict[str, Any]) -> str:
    if "planted" in found:
        return f"{found['planted']:g} planted, seed {found['seed']}: {found['verdict']}"
    return f"seed {found['seed']}, IC {found['ic']:.4f}, p {found['p']:.3f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lake", required=True, help="whose daily bars")
    parser.add_argument("--worlds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the first world")
    parser.add_argument("--planted", default="0,0.05,0.15", help="strengths, in deviations over all symbols")
    parser.add_argument("--planted-worlds", type=int, default=3, help="of each strength")
    parser.add_argument("--share", type=float, default=0.25, help="of the symbols")
    parser.add_argument("--kind", default="gbdt")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--progress", type=Path, default=Path(".nulls-progress.jsonl"))
    parser.add_argument("--report", type=Path)
    return parser.parse_args()


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def report(worlds: list[dict[str, Any]], asked: argparse.Namespace) -> str:
    """The rates with their bounds, as Markdown."""
    from hosu.models.nulls import rate

    promoted = rate([0.0 if each["verdict"] == "edge" else 1.0 for each in worlds], 0.5)
    rows = [f"| promoted | {promoted.found} | {promoted.lower:.2%} to {promoted.upper:.2%} | 0 |"]
    for name, key in (("G1, signal", "p"), ("G4, money before cost", "gross_p")):
        for most in (0.01, 0.05):
            found = rate([each[key] for each in worlds], most)
            rows.append(
                f"| {name}: p at most {most:g} | {found.found} | {found.lower:.2%} to {found.upper:.2%} | {most:.0%} |"
            )
    ics = np.array([each["ic"] for each in worlds])
    seconds = np.mean([each["seconds"] for each in worlds])
    return f"""# Null worlds

{len(worlds)} worlds of real daily bars with every session's returns turned by one random sign; {asked.kind} on
{asked.share:.0%} of the symbols, seeds from {asked.seed}. Measured on {datetime.now(UTC):%Y-%m-%d} by `make nulls`.

| what | worlds | true share (95 %) | by chance |
|---|---:|---|---:|
{chr(10).join(rows)}

Mean daily rank IC {ics.mean():+.4f}, deviation {ics.std(ddof=1):.4f}, highest {ics.max():+.4f}; {seconds:.0f} s a world
on one core.
"""


def planted_report(worlds: list[dict[str, Any]]) -> str:
    """The verdicts on planted signals, as Markdown."""
    if not worlds:
        return ""
    rows = [
        f"| {w['planted']:g} | {w['seed']} | {w['verdict']} | {w['signal']} | {w['money']} |"
        for w in by_strength(worlds)
    ]
    return f"""
## What is found where something is

In such worlds a return is planted that the volume of the day before tells, so strong as so many deviations of the
day's returns over all symbols.

| planted | seed | verdict | signal | money |
|---:|---:|---|---|---|
{chr(10).join(rows)}
"""


def by_strength(worlds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(worlds, key=lambda each: (each["planted"], each["seed"]))


if __name__ == "__main__":
    sys.exit(main())
