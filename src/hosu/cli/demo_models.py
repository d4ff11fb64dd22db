"""The second half of ``hosu demo``: features, a model before its gate, and what became of what was predicted."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from hosu.cli.output import note

if TYPE_CHECKING:
    from pathlib import Path

_SESSIONS: Final = 380
_SYMBOLS: Final = 110
_MADE_UP: Final = ("--any-code", "--adjusted", "--name", "synthetic", "--no-bars")
_EVENING_S: Final = 18 * 3_600
"""Of a day in Seoul: behind its close, and before the next session opens."""
_LIBRARIES: Final = ("arch", "onnx", "onnxruntime", "scipy", "sklearn")


def may_train() -> bool:
    """Whether the extra ``models`` is installed."""
    return all(importlib.util.find_spec(name) is not None for name in _LIBRARIES)


def believe(folder: Path, lake: Path, signal: float) -> bool:
    """Runs the commands one would type, and shows them. Returns whether all of them went well.

    Args:
        folder: where the made-up history is written.
        lake: of the day that was collected.
        signal: planted in the history; 0 plants none, and the verdict must be that there is no edge.
    """
    history, following = folder / "history.parquet", folder / "next-session.parquet"
    size = ("--sessions", str(_SESSIONS + 1), "--symbols", str(_SYMBOLS), "--signal", f"{signal:g}")
    at = ("--lake", str(lake))
    parts: dict[str, list[tuple[str, ...]]] = {
        "Were the features served live those of replay and batch?": [("check", "parity", *at)],
        "What became of the predictions made at each minute's close? Nobody has trained a model of minutes, so the\n"
        "prior has answered, with thirds. Its Brier score (0: sure and right, 2: sure and wrong) is 0.667 whatever\n"
        "happens; ic and net need 100 symbols": [("score", "--interval", "minute", "--by-day", *at)],
        f"Does a model deserve belief? A history of random walks{_planted(signal)}, and the gate": [
            ("synthetic", str(history), *size)
        ],
    }
    if not all(_shown(title, commands) for title, commands in parts.items()):
        return False
    last = _hold_back(history, following)
    return (
        _ran(
            [
                ("backfill", "daily", "--file", str(history), *_MADE_UP, *at),
                ("features", "build", *at),
                ("models", "train", "day-1", "--kind", "linear", "--days", "all", *at),
                ("models", "list", *at),
            ]
        )
        and _asked(lake, last)
        and _shown(
            "What became of that? The bars that were held back, and the scores of what was said before. ic: rank\n"
            "correlation of the scores with what followed, 0 of the prior, who ranks nobody. brier_over_prior: the\n"
            "Brier score minus the prior's; below 0 is better. net: what the top tenth earned after cost, as a share",
            [
                ("backfill", "daily", "--file", str(following), *_MADE_UP, *at),
                ("score", "--interval", "day", "--by-day", *at),
            ],
        )
    )


def _planted(signal: float) -> str:
    return f" with a signal of {signal:g} planted" if signal else ""


def _hold_back(history: Path, following: Path) -> str:
    """Moves the bars of the last session to another file; returns the date before it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    rows = pq.read_table(history)
    last, held_back = sorted(pc.unique(rows.column("date")).to_pylist())[-2:]
    is_last = pc.equal(rows.column("date"), held_back)
    pq.write_table(rows.filter(is_last), following)
    pq.write_table(rows.filter(pc.invert(is_last)), history)
    note(f"The last session, {held_back}, is held back until the model has answered.")
    return str(last)


def _asked(root: Path, date: str) -> bool:
    """Lets whoever serves now predict from the bars of a past date, in its evening by a clock that is played."""
    from datetime import date as Date  # noqa: N812

    from hosu.clock import SimulatedClock
    from hosu.lake.lake import Lake
    from hosu.market.calendar import instant_us
    from hosu.models.daily import predict_day

    evening = SimulatedClock(start_us=instant_us(Date.fromisoformat(date), _EVENING_S))
    note(f"\nWho answers now? Asked as by `hosu predict --model day-1`, on the evening of {date}")
    done = predict_day(Lake.open(str(root), create=False), date, models=["day-1"], clock=evening)
    for sentence in done.counted:
        note(sentence)
    for sentence in done.notes:
        note(f"warning: {sentence}")
    first, count = done.rows.slice(0, 1).to_pylist()[0], done.rows.num_rows  # one version answers: nobody challenges
    who = f"version {first['model_version']}" if first["model_version"] else "the prior"
    answers = done.rows.column("abstained").null_count
    note(f"day-1: {who} ({first['verdict']}) answers for {answers} of {count} symbols; {done.added} rows journaled")
    return bool(done.added == count)


def _shown(title: str, commands: list[tuple[str, ...]]) -> bool:
    note(f"\n{title}")
    return _ran(commands)


def _ran(commands: list[tuple[str, ...]]) -> bool:
    for words in commands:
        note(f"\n$ hosu {' '.join(words)}")
        sys.stdout.flush()
        command = [sys.executable, "-m", "hosu", *words]
        if subprocess.run(command, env=_environment(), check=False).returncode:  # noqa: S603  our own program
            return False
    return True


def _environment() -> dict[str, str]:
    """Ours, with the mirror off: names on an MLflow server belong to one lake, which must not be this one."""
    return {**os.environ, "HOSU_MIRROR": "0"}
