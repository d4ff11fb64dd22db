"""How often something was tried: an append-only log, whose count the deflated Sharpe ratio is deflated by.

Who tries a hundred models and shows the best has shown luck. What counts as one trial is a configuration on a
dataset. The same pair again gives the same numbers, and is no second chance; the same configuration on a newer
dataset is one, since its luck is drawn anew, and counts again. All datasets count together: a new one does not wipe
out what was tried on the old, for what was kept from there (features, parameters, the decision to go on) was chosen
by having looked. A trial is logged after its score is known and before it is shown to anybody: one that was cut off
before has been seen by nobody.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Protocol

from hosu.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration on one dataset.

    Attributes:
        market: as ``KRX``.
        horizon: as ``1d`` or ``10m``; another one is another question, counted apart.
        configuration: ``Configuration.key``.
        dataset: id of the dataset.
        sharpe: of the net excess per holding, not annualized; None where it could not be reckoned.
    """

    market: str
    horizon: str
    configuration: str
    dataset: str
    sharpe: float | None = None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """Equal for trials that count once."""
        return (self.market, self.horizon, self.configuration, self.dataset)


class Trials(Protocol):
    """Where trials are kept."""

    def record(self, trial: Trial) -> None:
        """Keeps it, durably; again is harmless."""
        ...

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """Every trial of that market and horizon, each key once, in the order they were recorded."""
        ...


@dataclass(slots=True)
class TrialsInMemory:
    """For tests and simulated worlds, whose trials are nobody's choice."""

    _kept: dict[tuple[str, str, str, str], Trial] = field(default_factory=dict)

    def record(self, trial: Trial) -> None:
        """Keeps the first of each key."""
        self._kept.setdefault(trial.key, trial)

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """As ``Trials.history``."""
        return tuple(trial for trial in self._kept.values() if (trial.market, trial.horizon) == (market, horizon))


class TrialsFile:
    """One JSON object a line. Nothing is ever rewritten.

    A line that cannot be read (a write was cut off, somebody edited it) counts as one trial of whatever market and
    horizon is asked for: damage can make the gate stricter, never easier.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, trial: Trial) -> None:
        """Appends the trial and syncs it to disk, unless it is there.

        Raises:
            InputError: the file cannot be read or written.
        """
        if any(trial.key == kept.key for kept in self.history(trial.market, trial.horizon)):
            return
        line = json.dumps(asdict(trial), sort_keys=True, allow_nan=False).encode()
        try:
            self._append(line)
        except OSError as error:
            raise InputError(str(self.path), str(error), "free or repair the disk and train again") from error

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            # What a cut-off write left gets a line of its own.
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            os.write(descriptor, (b"\n" if torn else b"") + line + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the file's name too, the first time
        finally:
            os.close(folder)

    def history(self, market: str, horizon: str) -> tuple[Trial, ...]:
        """As ``Trials.history``; empty where there is no file.

        Raises:
            InputError: the file cannot be read.
        """
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise InputError(str(self.path), str(error), "give a file that can be read") from error
        kept: dict[tuple[str, str, str, str], Trial] = {}
        for number, line in enumerate(content.splitlines()):
            trial = _parsed(line) or Trial(market, horizon, "unreadable", f"line {number + 1}")
            if (trial.market, trial.horizon) == (market, horizon):
                kept.setdefault(trial.key, trial)
        return tuple(kept.values())


def _parsed(line: bytes) -> Trial | None:
    with suppress(ValueError, TypeError, KeyError):
        told = json.loads(line)
        texts = [told[name] for name in ("market", "horizon", "configuration", "dataset")]
        if all(isinstance(text, str) for text in texts):
            sharpe = told["sharpe"]
            return Trial(texts[0], texts[1], texts[2], texts[3], None if sharpe is None else float(sharpe))
    return None
