"""A signal that turns: a model is trained, challenges, is promoted, and is rolled back, all on the stream.

    python -m benchmarks.turning --place FOLDER --report benchmarks/TURNING.md

A made-up market of minutes has a signal planted in it. A model learns from 325 sessions of it and begins to challenge
the prior. Then the market goes on, session by session, through simulator, wire, log and collector, which predicts at
each minute's close; while a session runs, ``hosu score --update`` settles the ones before it, so that a model is
changed under a collector that predicts. Half-way the signal is turned over. In the end every bar that was served is
asked who predicted it, and every prediction what its features were in batch.

What was done is kept in ``--place``: a run that was stopped goes on with the session that it was in.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

PROGRAM = [sys.executable, "-m", "hosu"]
ENVIRONMENT = {**os.environ, "HOSU_MIRROR": "0"}
"""No MLflow server is told of a made-up market: names there belong to one lake."""
MODEL = "minute-10"
SYMBOLS = 115
"""A cross-section of fewer than 100 answers is no block, and a few of them abstain."""
HISTORY, HISTORY_MINUTES = 325, 45
SIGNAL = 0.2
PATIENCE_S = 600
CHAMPIONS = """
    SELECT model_version, count(*) AS n FROM predictions
    WHERE date = '{date}' AND model = '{model}' AND role = 'champion' GROUP BY ALL ORDER BY ALL
"""
UNASKED = """
    SELECT count(*) FILTER (asked IS NULL) AS missed, count(*) FILTER (asked > 1) AS twice, count(*) AS bars
    FROM (SELECT symbol, ts FROM features_served_1m WHERE date = '{date}')
    LEFT JOIN (SELECT symbol, ts, count(*) AS asked FROM predictions
               WHERE date = '{date}' AND model = '{model}' AND role = 'champion' GROUP BY ALL) USING (symbol, ts)
"""
JOURNALED = """
    SELECT DISTINCT symbol, epoch_us(ts) AS ts, feature_hash AS told FROM predictions
    WHERE date = '{date}' AND feature_hash IS NOT NULL
"""
BATCH = """
    SELECT symbol, epoch_us(ts) AS ts, features FROM ml_features_1m
    WHERE date = '{date}' AND features IS NOT NULL AND feature_set = '{set}'
"""


@dataclass(frozen=True, slots=True)
class Day:
    """One session on the stream.

    ``champions`` counts predictions by the version that served; ``missed`` bars that nobody who served predicted,
    ``twice`` those that two did; ``unequal`` predictions whose features batch makes otherwise.
    """

    date: str
    signal: float
    records: int
    bars: int
    champions: dict[str, int]
    missed: int
    twice: int
    unequal: int
    steps: list[str]
    seconds: float

    @property
    def well(self) -> bool:
        return not self.missed and not self.twice and not self.unequal and self.bars > 0


class Market:
    """The files of history and of the sessions behind it; made once, from one seed."""

    def __init__(self, place: Path, sessions: int) -> None:
        from hosu.models.synthetic import sessions_up_to
        from hosu.models.synthetic_minutes import MinuteMarket

        self.history, self.live = place / "history.parquet", place / "live.parquet"
        days = sessions_up_to(date(2026, 10, 30), HISTORY + sessions)
        self.days = {
            day.isoformat(): SIGNAL if at < sessions // 2 else -SIGNAL for at, day in enumerate(days[HISTORY:])
        }
        if self.live.exists():
            return
        market = MinuteMarket(SYMBOLS, seed=1)
        _write([market.session(day, SIGNAL, HISTORY_MINUTES) for day in days[:HISTORY]], self.history)
        _write([market.session(date.fromisoformat(day), signal) for day, signal in self.days.items()], self.live)


def _write(parts: list[Any], file: Path) -> None:
    import pyarrow as pa

    pq.write_table(pa.concat_tables(parts), file)


class Run:
    def __init__(self, place: Path, rate: float) -> None:
        self.place, self.lake, self.rate = place, place / "lake", rate

    def prepare(self, market: Market) -> str:
        """History, features and a challenger; what the gate said."""
        told = self.place / "trained.json"
        if not told.exists():
            words = f"backfill minutes --file {market.history} --any-code --adjusted --name synthetic --no-bars"
            self.hosu(words)
            self.hosu("features build --interval minute")
            told.write_text(self.hosu(f"models train {MODEL} --kind linear --days all --auto --format json"))
        return str(json.loads(told.read_text())["verdict"])

    def play(self, market: Market, day: str) -> Day:
        """One session through the wire, with an update while it runs."""
        began_s = time.monotonic()
        report = self.place / f"sent-{day}.json"
        words = f"simulator --bars {market.live} --date {day} --rate {self.rate} --slots {SYMBOLS} --expect {SYMBOLS}"
        simulator = self.start(f"{words} --token-interval 0 --report {report}", "simulator", day)
        collector = None
        try:
            assert simulator.stdout is not None
            at = json.loads(simulator.stdout.readline())
            words = (
                f"collect --kis simulator --rest {at['rest']} --ws {at['ws']} --symbols all --feeds trades --predict"
            )
            collector = self.start(f"{words} --no-poll --slots {SYMBOLS} --lake {self.lake}", "collector", day)
            self.wait_for_predictions(day, collector)
            steps = self.update()
            if collector.wait(PATIENCE_S):
                raise SystemExit(f"{day}: the collector failed; see {self.place}/collector-{day}.log")
            simulator.wait(60)
        finally:
            for each in (collector, simulator):
                if each is not None:
                    each.kill()
        self.hosu("features build --interval minute")
        (asked,) = self.ask(UNASKED, day)
        champions = {str(row["model_version"]): row["n"] for row in self.ask(CHAMPIONS, day)}
        return Day(
            date=day,
            signal=market.days[day],
            records=json.loads(report.read_text())["records"],
            champions=champions,
            unequal=self.unequal(day),
            steps=steps,
            seconds=round(time.monotonic() - began_s, 1),
            **asked,
        )

    def wait_for_predictions(self, day: str, collector: subprocess.Popen[str]) -> None:
        """Returns once the journal has predictions of that day: from then on an update falls into the session."""
        from hosu.lake.lake import Lake

        until = time.monotonic() + PATIENCE_S
        lake = Lake.open(str(self.lake), create=False)
        while time.monotonic() < until and collector.poll() is None:
            table = lake.find("predictions")
            if table is not None and day in table.dates():
                return
            time.sleep(0.2)
        raise SystemExit(f"{day}: nothing was predicted; see {self.place}/collector-{day}.log")

    def update(self) -> list[str]:
        """Settles what has matured; what was done with the models."""
        notes = self.hosu("score --interval minute --update", errors=True).splitlines()
        return [note for note in notes if note.startswith(f"{MODEL}: ")]

    def unequal(self, day: str) -> int:
        """Predictions of that day whose features are not batch's."""
        from hosu.models.predictor import feature_hash

        rows = self.ask(BATCH, day)
        hashes = feature_hash(np.array([row["features"] for row in rows], np.float64))
        batch = {(row["symbol"], row["ts"]): told for row, told in zip(rows, hashes, strict=True)}
        return sum(batch.get((row["symbol"], row["ts"])) != row["told"] for row in self.ask(JOURNALED, day))

    def ask(self, query: str, day: str) -> list[dict[str, Any]]:
        from hosu.features.definitions import SCALE_FREE_V1
        from hosu.lake.lake import Lake
        from hosu.lake.sql import Session

        with Session(Lake.open(str(self.lake), create=False)) as session:
            words = query.format(date=day, model=MODEL, set=SCALE_FREE_V1.version)
            found: list[dict[str, Any]] = session.query(words).to_pylist()
            return found

    def hosu(self, words: str, *, errors: bool = False) -> str:
        """Runs the program to its end; what it printed."""
        ran = subprocess.run(
            [*PROGRAM, *words.split(), "--lake", str(self.lake)],
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(f"hosu {words}: {ran.stderr[-2000:]}")
        return ran.stderr if errors else ran.stdout

    def start(self, words: str, name: str, day: str) -> subprocess.Popen[str]:
        with (self.place / f"{name}-{day}.log").open("w") as log:
            return subprocess.Popen([*PROGRAM, *words.split()], stdout=subprocess.PIPE, stderr=log, text=True)


def days_of(run: Run, market: Market) -> list[Day]:
    """Every session; those that were done before are read."""
    kept = run.place / "days.jsonl"
    done = [Day(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    for day in list(market.days)[len(done) :]:
        done.append(played := run.play(market, day))
        with kept.open("a") as lines:
            lines.write(json.dumps(asdict(played)) + "\n")
        print(_row(played, {}), flush=True)
    return done


# --- what came of it -------------------------------------------------------------------------------------------------


def blocks_by_day(lake_root: Path) -> tuple[int, dict[str, dict[int, list[float]]]]:
    """How many blocks there are, and the ICs of each version by day."""
    from hosu.lake.lake import Lake
    from hosu.models.matured import settled_blocks

    settled = settled_blocks(Lake.open(str(lake_root), create=False), MODEL)
    days = [datetime.fromtimestamp(t / 1e6, UTC).date().isoformat() for t in settled.t.tolist()]
    found: dict[str, dict[int, list[float]]] = {}
    for version, ic in settled.ic.items():
        for day, value in zip(days, ic.tolist(), strict=True):
            if np.isfinite(value):
                found.setdefault(day, {}).setdefault(version, []).append(value)
    return len(settled.t), found


def history_of(lake_root: Path) -> list[Any]:
    from hosu.clock import SystemClock
    from hosu.lake.lake import Lake
    from hosu.models.registry import Registry

    return list(Registry(Lake.open(str(lake_root), create=False), SystemClock()).history(MODEL))


def report(run: Run, days: list[Day], verdict: str) -> str:
    count, by_day = blocks_by_day(run.lake)
    events = history_of(run.lake)
    names = [event.event for event in events]
    turned = "promoted" in names and "rolled_back" in names[names.index("promoted") :]
    well = turned and count >= 200 and all(day.well for day in days)
    sums = {name: sum(getattr(day, name) for day in days) for name in ("bars", "missed", "twice", "unequal", "records")}
    lines = [
        "# A signal that turns",
        "",
        (
            f"Made by `python -m benchmarks.turning` on {datetime.now(UTC):%Y-%m-%d}: {SYMBOLS} made-up symbols, "
            f"a model of {HISTORY} sessions whose gate said *{verdict}*, and {len(days)} sessions on the stream."
        ),
        "",
        (
            f"{'All is as it should be' if well else '**Not as it should be**'}: {count} blocks; {sums['bars']:,} bars "
            f"were served from {sums['records']:,} trades, {sums['missed']} of them without a prediction by who "
            f"served, {sums['twice']} with two; {sums['unequal']} predictions on other features than batch makes."
        ),
        "",
        "| date | signal | blocks | mean IC of version 1 | served (version: bars) | missed | twice | unequal | s |",
        "|---|---:|---:|---:|---|---:|---:|---:|---:|",
        *(_row(day, by_day.get(day.date, {})) for day in days),
        "",
        "What the registry says, and when the model was changed:",
        "",
        *(f"- {event.event} {event.version}: {event.reason}; serves: {event.champion}" for event in events),
        *(f"- while {day.date} ran: {step}" for day in days for step in day.steps),
    ]
    return "\n".join(lines) + "\n"


def _row(day: Day, ics: dict[int, list[float]]) -> str:
    first = ics.get(1, [])
    mean = f"{np.mean(first):.3f}" if first else ""
    who = ", ".join(f"{version}: {n:,}" for version, n in day.champions.items())
    return (
        f"| {day.date} | {day.signal:g} | {len(first)} | {mean} | {who} | {day.missed} | {day.twice} | {day.unequal} "
        f"| {day.seconds:.0f} |"
    )


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.turning", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--place", type=Path, help="folder of lake and progress, kept; default: a new one")
    options.add_argument("--sessions", type=int, default=8, help="on the stream; half of them with the signal turned")
    options.add_argument("--rate", type=float, default=8_000, help="records a second")
    options.add_argument("--report", type=Path, help="where the result goes; default: only printed")
    wish = options.parse_args()
    place = wish.place or Path(tempfile.mkdtemp(prefix="hosu-turning-"))
    place.mkdir(parents=True, exist_ok=True)
    print(f"lake and progress: {place}", flush=True)
    market, run = Market(place, wish.sessions), Run(place, wish.rate)
    verdict = run.prepare(market)
    print(f"{MODEL}: {verdict}", flush=True)
    days = days_of(run, market)
    run.update()
    text = report(run, days, verdict)
    print(text)
    if wish.report:
        wish.report.write_text(text)
    return 0 if text.count("All is as it should be") else 1


if __name__ == "__main__":
    sys.exit(main())
