"""A month of real minute bars, day by day through the simulator, the wire, the log, the ledger and the lake.

    python -m benchmarks.month --bars krx_1m_2025-09.parquet --report benchmarks/MONTH.md

Each session of the file is played at full speed by a simulator of its own; a collector takes it into one lake for all,
and builds its bars. Then three questions: does the ledger hold the same shares as the simulator sent, of how many
symbols is the day certified, and are the lake's bars the file's, minute by minute? With ``--features`` each evening
builds the features, as one would, and the month ends with the proofs about them: parity of what was served with its
replay and with batch, no look ahead, and no dependence on where the history began. A day that was done is kept in
``--place`` and not played again, so that a run that was stopped goes on. The file's columns are those of the broker's
minute chart: date, code, time (HHMMSS of the minute's start), open, high, low, close, volume, amount.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAM = [sys.executable, "-m", "hosu"]
LAKE_BARS = """
    SELECT symbol, strftime(ts AT TIME ZONE 'Asia/Seoul', '%H:%M') AS minute, open, high, low, close, volume, value
    FROM processed_ohlcv_1m WHERE scope = 'KRX' AND date = '{date}'
"""
LEDGER = "SELECT symbol, state, shares, trades, value FROM coverage WHERE scope = 'KRX' AND date = '{date}'"

BAR = ("symbol", "time", "open", "high", "low", "close", "volume", "value")
Bar = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Day:
    """What came of one session.

    ``wrong_shares`` are symbols whose shares, trades or value in the ledger are not what was sent; ``wrong_bars``
    minutes whose prices, volume or value differ, or that only the file or only the lake has; ``impossible`` minutes
    whose amount no trades at their prices add up to, whose value is not compared.
    """

    date: str
    symbols: int
    records: int
    states: dict[str, int]
    wrong_shares: int
    bars: int
    wrong_bars: int
    impossible: int
    seconds: float

    @property
    def certified(self) -> int:
        return self.states.get("certified", 0)

    @property
    def well(self) -> bool:
        return self.certified == self.symbols and not self.wrong_shares and not self.wrong_bars


@dataclass(frozen=True, slots=True)
class Proof:
    """What one ``hosu check`` said: its rows, and whether it passed."""

    name: str
    passes: bool
    rows: list[dict[str, Any]]
    seconds: float

    @property
    def verdict(self) -> str:
        return "passes" if self.passes else "**fails**"

    @property
    def words(self) -> str:
        """Its figures."""

        def total(name: str) -> int:
            return sum(row[name] for row in self.rows)

        if self.name == "parity":
            differing = total("replay_differs") + total("batch_differs")
            aside = (
                f"{total('repaired'):,} of {total('rows'):,} lie behind a repair or a late action and are not compared"
            )
            return f"{len(self.rows)} days, {total('values'):,} values served, {differing:,} rows differ, {aside}"
        if self.name.startswith("lookahead"):
            return (
                f"{total('compared'):,} values compared across {self.rows[0]['cuts']} cuts, {total('differing')} differ"
            )
        longest = max(self.rows, key=lambda row: row["needed"])
        return f"the longest is {longest['feature']}: {longest['needed']} bars of {longest['declared']} declared"


def play(bars: Path, date: str, symbols: int, place: Path) -> Day:
    """Plays one date into the lake below ``place``, and compares."""
    sent = place / f"sent-{date}.json"
    words = f"simulator --bars {bars} --date {date} --speed max --slots {symbols} --expect {symbols} --report {sent}"
    simulator = _start(words, place / f"simulator-{date}.log")
    try:
        assert simulator.stdout is not None
        addresses = json.loads(simulator.stdout.readline())
        began_s = time.monotonic()
        words = f"collect --kis simulator --rest {addresses['rest']} --ws {addresses['ws']} --symbols all"
        words += f" --feeds trades --slots {symbols} --lake {place / 'lake'} --format json"
        collector = _start(words, place / f"collector-{date}.log")
        try:
            collector.communicate()
        finally:
            collector.kill()
        seconds = time.monotonic() - began_s
        simulator.communicate(timeout=60)
    finally:
        simulator.kill()
    if collector.returncode:
        raise SystemExit(f"{date}: the collector ended with {collector.returncode}; see {place}/collector-{date}.log")
    return judged(date, json.loads(sent.read_text()), file_bars(bars, date), place / "lake", seconds)


def _start(words: str, log: Path) -> subprocess.Popen[str]:
    with log.open("w") as errors:
        return subprocess.Popen([*PROGRAM, *words.split()], stdout=subprocess.PIPE, stderr=errors, text=True)


def judged(date: str, sent: dict[str, Any], wanted: dict[tuple[str, str], Bar], lake: Path, seconds: float) -> Day:
    """The ledger beside what was sent, and the lake's bars beside the file's."""
    days = {row["symbol"]: row for row in _asked(LEDGER.format(date=date), lake)}
    truth = {key.removeprefix("KRX:"): facts for key, facts in sent["symbols"].items()}
    counted = ("shares", "trades", "value")
    wrong = set(days.keys() ^ truth.keys())
    wrong |= {s for s in days.keys() & truth.keys() if any(days[s][name] != truth[s][name] for name in counted)}
    rows = _asked(LAKE_BARS.format(date=date), lake)
    found = {(row["symbol"], row["minute"]): tuple(row[name] for name in BAR[2:]) for row in rows}
    impossible = {(each["symbol"], each["minute"]) for each in sent["impossible_bars"]}
    differ = found.keys() ^ wanted.keys()
    for key in found.keys() & wanted.keys():
        compared = 5 if key in impossible else 6
        if found[key][:compared] != wanted[key][:compared]:
            differ.add(key)
    states = Counter(day["state"] for day in days.values())
    return Day(
        date=date,
        symbols=len(truth),
        records=sent["records"],
        states=dict(states),
        wrong_shares=len(wrong),
        bars=len(rows),
        wrong_bars=len(differ) + len(rows) - len(found),
        impossible=len(impossible),
        seconds=round(seconds, 1),
    )


def _asked(query: str, lake: Path) -> list[dict[str, Any]]:
    words = [*PROGRAM, "sql", query, "--lake", str(lake), "--format", "json"]
    answer: list[dict[str, Any]] = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    return answer


def file_bars(bars: Path, date: str) -> dict[tuple[str, str], Bar]:
    """The file's bars of a date by symbol and minute."""
    rows = pq.read_table(bars, columns=["code", *BAR[1:-1], "amount"], filters=_on(date)).to_pylist()
    return {
        (row["code"], f"{row['time'] // 10000:02}:{row['time'] // 100 % 100:02}"): (
            *(row[name] for name in BAR[2:-1]),
            row["amount"],
        )
        for row in rows
    }


def _on(date: str) -> pc.Expression:
    return pc.field("date").cast("string") == date


def sessions(bars: Path) -> dict[str, int]:
    """The dates of a file, each with how many symbols it has."""
    table = pq.read_table(bars, columns=["date", "code"])
    counted = table.group_by("date").aggregate([("code", "count_distinct")]).sort_by("date")
    return {str(row["date"]): row["code_count_distinct"] for row in counted.to_pylist()}


def month(bars: Path, place: Path, only: list[str], *, features: bool = False) -> list[Day]:
    """Every session of the file that was not done yet; all that are done then."""
    place.mkdir(parents=True, exist_ok=True)
    kept = place / "days.jsonl"
    done = [Day(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    for date, symbols in sessions(bars).items():
        if date in {day.date for day in done} or (only and date not in only):
            continue
        done.append(day := play(bars, date, symbols, place))
        if features:
            evening(place)
        with kept.open("a") as lines:
            lines.write(json.dumps(asdict(day)) + "\n")
        print(_row(day), flush=True)
    return done


def report(days: list[Day], bars: Path, proven: Sequence[Proof] = ()) -> str:
    """The result as Markdown."""
    failed = [day.date for day in days if not day.well]
    symbol_days, certified = sum(day.symbols for day in days), sum(day.certified for day in days)
    seconds = sum(day.seconds for day in days)
    verdict = (
        f"**Failed:** {', '.join(failed)}." if failed else "Every symbol's day is certified; every bar is the file's."
    )
    counted = (
        f"{len(days)} sessions, {certified:,} of {symbol_days:,} symbol-days certified, "
        f"{sum(day.records for day in days):,} trades, {sum(day.bars for day in days):,} bars of a minute: "
        f"{seconds:,.0f} s, that is {seconds / max(1, len(days)):.1f} s a day, from the start of the collector to its "
        "end with the log archived, the ledger closed and the bars built."
    )
    command = f"python -m benchmarks.month --bars {bars.name}{' --features' if proven else ''}"
    lines = [
        "# A month of real bars",
        "",
        f"Made by `{command}` on {datetime.now(UTC):%Y-%m-%d}. {verdict}",
        "",
        counted,
        "",
        _COMPARED,
        "",
        _HEAD,
        *map(_row, days),
    ]
    if proven:
        lines += ["", "Features, served at each minute's close, beside the same from the log and from the bars:", ""]
        lines += [f"- `hosu check {each.name}` {each.verdict}: {each.words} ({each.seconds:.0f} s)." for each in proven]
    return "\n".join(lines) + "\n"


_COMPARED = (
    "The value of a bar is compared where trades at its prices can add up to the file's amount; where they cannot (the "
    "source's faults, mostly auctions reported without their volume), prices and volume still are."
)
_HEAD = (
    "| date | symbols | certified | trades | shares, trades or value wrong | bars | wrong | value not compared | s |\n"
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def _row(day: Day) -> str:
    return (
        f"| {day.date} | {day.symbols} | {day.certified} | {day.records:,} | {day.wrong_shares} | {day.bars:,} "
        f"| {day.wrong_bars} | {day.impossible:,} | {day.seconds:.1f} |"
    )


def evening(place: Path) -> None:
    """Builds the features of what came in."""
    words = f"features build --interval minute --lake {place / 'lake'}"
    subprocess.run([*PROGRAM, *words.split()], capture_output=True, check=True)


PROOFS = ("parity", "lookahead --interval minute", "recursive --interval minute")


def proofs(place: Path) -> list[Proof]:
    """The three proofs about the features of all days."""
    found = []
    for proof in PROOFS:
        began_s = time.monotonic()
        words = [*PROGRAM, "check", *proof.split(), "--lake", str(place / "lake"), "--format", "json"]
        ran = subprocess.run(words, capture_output=True, check=False, text=True)
        rows = json.loads(ran.stdout or "[]")
        found.append(Proof(proof, not ran.returncode, rows, round(time.monotonic() - began_s, 1)))
        print(f"check {proof}: {'passes' if found[-1].passes else ran.stderr}", flush=True)
    return found


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.month", description=(__doc__ or "").split("\n")[0])
    options.add_argument("--bars", type=Path, required=True, help="Parquet of minute bars")
    options.add_argument("--place", type=Path, help="folder of lake and progress, kept; default: a new one")
    options.add_argument("--dates", default="", help="only these, joined by commas")
    options.add_argument("--report", type=Path, help="where the table goes; default: only printed")
    options.add_argument("--features", action="store_true", help="build features each evening, and prove them")
    wish = options.parse_args()
    place = wish.place or Path(tempfile.mkdtemp(prefix="hosu-month-"))
    print(f"lake and progress: {place}\n\n{_HEAD}", flush=True)
    days = month(wish.bars, place, wish.dates.split(",") if wish.dates else [], features=wish.features)
    proven = proofs(place) if wish.features else []
    if wish.report:
        wish.report.write_text(report(days, wish.bars, proven))
    return 0 if all(day.well for day in days) and all(each.passes for each in proven) else 1


if __name__ == "__main__":
    sys.exit(main())
