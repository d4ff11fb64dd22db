"""The second half of ``hosu demo``: features, a model before its gate, and what became of the day's predictions."""

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
    history = str(folder / "history.parquet")
    file = ("--file", history, "--any-code", "--adjusted", "--name", "synthetic", "--no-bars")
    size = ("--sessions", str(_SESSIONS), "--symbols", str(_SYMBOLS), "--signal", f"{signal:g}")
    at = ("--lake", str(lake))
    parts: dict[str, list[tuple[str, ...]]] = {
        "Were the features served live those of replay and batch?": [("check", "parity", *at)],
        "What became of the predictions made at each minute's close?": [("score", "--interval", "minute", *at)],
        f"Does a model deserve belief? A history of random walks{_planted(signal)}, and the gate": [
            ("synthetic", history, *size),
            ("backfill", "daily", *file, *at),
            ("features", "build", *at),
            ("models", "train", "day-1", "--kind", "linear", "--days", "all", *at),
            ("models", "list", *at),
        ],
    }
    return all(_shown(title, commands) for title, commands in parts.items())


def _planted(signal: float) -> str:
    return f" with a signal of {signal:g} planted" if signal else ""


def _shown(title: str, commands: list[tuple[str, ...]]) -> bool:
    note(f"\n{title}")
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
