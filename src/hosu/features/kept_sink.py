"""What the sinks of served features share: rows committed once, and a state laid down behind them.

What a sink remembers is laid down after each flush, once the rows up to there would survive a power cut; a restart
reads the log from there, and what is computed again and is in the table already is not added twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog

from hosu.clock import SystemClock
from hosu.errors import InputError, LogCorruptError, LogGapError, MarketError
from hosu.lake.storage import disk_error
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """When rows are committed; ``keep_every_s`` bounds how much log is read again after a crash."""

    flush_after_s: float = 2.0
    flush_rows: int = 200_000
    keep_every_s: float = 30.0


class Remembered(Protocol):
    """All that is remembered of the log ``wal_id`` up to its record ``lsn``."""

    wal_id: str
    lsn: int


class Rows(Protocol):
    """Rows that the record ``lsn`` made."""

    @property
    def lsn(self) -> int: ...

    def __len__(self) -> int: ...


KeptT = TypeVar("KeptT", bound=Remembered)
RowsT = TypeVar("RowsT", bound=Rows)
_Taken_contra = TypeVar("_Taken_contra", contravariant=True)


class ServedRows(Protocol[_Taken_contra]):
    """A table of served rows, as its sink sees it."""

    def covered(self, wal_id: str) -> int:
        """The highest LSN of that log up to which rows are committed; -1 for none."""

    def add(self, made: Sequence[_Taken_contra], wal_id: str, lsn: int) -> int:
        """Adds rows in one commit that covers the log up to ``lsn``; returns the bytes of their files."""

    def sync(self) -> None:
        """Returns when all of it would survive a power cut."""


class KeptSink(ABC, Generic[KeptT, RowsT]):
    """Implements ``collect.sinks.Sink`` but for what is made of a batch. For one thread at a time.

    Attributes:
        before_keep: called, in the sink's thread, each time the state is about to be laid down: what was closed so far
            will not be closed again after a restart, so whoever was told of it returns once it needs no second telling,
            or raises a ``LakeError`` that may pass; then nothing is laid down, and the next ``flush`` tries again.
        commits, rows, bytes_written: what was added to the table since the start.
    """

    def __init__(
        self,
        served: ServedRows[RowsT],
        *,
        keep: Path | None = None,
        floors: Mapping[str, int] | None = None,
        config: FeatureConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            served: where rows go.
            keep: file for what is remembered; None remembers nothing over a restart.
            floors: by log, the record behind which it begins on disk: what lies before cannot be read again.
            config: when rows are committed.
            clock: for the age of rows.
        """
        self._served, self._path, self._floors = served, keep, floors or {}
        self._config, self._clock = config or FeatureConfig(), clock or SystemClock()
        self.before_keep: list[Callable[[], object]] = []
        self._kept = self._anew("", -1)
        self._saved_lsn = self._covered = -1
        self._held: list[RowsT] = []
        self._held_since: float | None = None
        self._kept_at = self._clock.monotonic()
        self._in_doubt = self._owes_state = False
        self.commits = self.rows = self.bytes_written = 0

    # --- what a sink says of itself ------------------------------------------------------------------------------

    @abstractmethod
    def _anew(self, wal_id: str, lsn: int) -> KeptT:
        """Nothing remembered, but that records up to ``lsn`` cannot be read."""

    @abstractmethod
    def _unpacked(self, content: bytes, source: Path) -> KeptT:
        """What was laid down.

        Raises:
            LogCorruptError: damaged.
            InputError, MarketError: cannot be gone on with.
        """

    @abstractmethod
    def remembered(self) -> bytes:
        """What a restart would go on from, as bytes."""

    @abstractmethod
    def _turned(self) -> None:
        """Another log is at hand, or what was laid down of it."""

    @abstractmethod
    def _take(self, batch: EventBatch, after: int) -> None:
        """Takes what lies behind the record ``after``."""

    # --- as a sink ----------------------------------------------------------------------------------------------

    def resume_after(self, wal_id: str) -> int:
        """The record of that log up to which everything is laid down; -1 when there is none."""
        self._turn_to(wal_id)
        return self._saved_lsn

    def write(self, batch: EventBatch) -> None:
        """Takes what the batch holds; what was taken before is left out.

        Raises:
            LogGapError: records before the batch are missing.
            LakeError: the lake cannot say now what a day begins with; what lies before in the batch is taken. What it
                will never say is gone on without.
        """
        self._turn_to(batch.wal_id)
        after = self._kept.lsn
        if batch.after_lsn > after:
            raise LogGapError(batch.wal_id, after + 1, batch.after_lsn)
        if batch.last_lsn <= after:
            return
        self._take(batch, after)
        self._kept.lsn = batch.last_lsn

    def due(self) -> bool:
        """Whether rows are old or many enough to be committed, or the state is to be laid down."""
        now = self._clock.monotonic()
        if self._held_since is not None:
            many = sum(map(len, self._held)) >= self._config.flush_rows
            if many or now - self._held_since >= self._config.flush_after_s:
                return True
        if self._owes_state:
            return True
        return self._kept.lsn > self._saved_lsn and now - self._kept_at >= self._config.keep_every_s

    def flush(self) -> int:
        """Commits the rows held, and lays down the state if there were any or its time has come; returns the LSN up to
        which it is laid down.

        What cannot be committed stays in memory, and ``flush`` may be called again; so may it after a state could not
        be laid down.
        """
        old = self._clock.monotonic() - self._kept_at >= self._config.keep_every_s
        if self._held or old or self._owes_state:
            self._lay_down()
        return self._saved_lsn

    def sync(self) -> None:
        """Returns when all rows and the state would survive a power cut."""
        self._lay_down()

    def close(self) -> None:
        """Commits the rows held and lays down the state."""
        self._lay_down()

    def _hold(self, made: RowsT) -> None:
        """Rows for the next commit."""
        self._held.append(made)
        self._held_since = self._clock.monotonic() if self._held_since is None else self._held_since

    # --- what is remembered -------------------------------------------------------------------------------------

    def _turn_to(self, wal_id: str) -> None:
        if wal_id == self._kept.wal_id:
            return
        if self._kept.wal_id:
            self._lay_down()
        floor = self._floors.get(wal_id, -1)
        self._covered = self._served.covered(wal_id)
        self._kept = self._read(wal_id, floor) or self._anew(wal_id, floor)
        self._saved_lsn = self._kept.lsn
        self._turned()

    def _read(self, wal_id: str, floor: int) -> KeptT | None:
        """What was laid down of that log and can be gone on with."""
        if self._path is None:
            return None
        try:
            kept = self._unpacked(self._path.read_bytes(), self._path)
        except FileNotFoundError:
            return None
        except (InputError, MarketError) as error:
            _log.warning("features begin anew", error=str(error))
            return None
        except LogCorruptError as error:
            _set_aside(self._path, error.fault)
            return None
        except OSError as error:
            _set_aside(self._path, str(error))
            return None
        if kept.wal_id != wal_id or kept.lsn < floor:
            _log.warning("features begin anew: theirs is another log, or lacks records", log=kept.wal_id, lsn=kept.lsn)
            return None
        return kept

    def _lay_down(self) -> None:
        """Rows first, then the state: what is read again finds its rows, and what is not read again has them."""
        self._commit()
        self._owes_state = self._kept.lsn > self._saved_lsn
        if self._owes_state:
            self._served.sync()
            for ready in self.before_keep:
                ready()
            self._keep_state()
        self._owes_state, self._kept_at = False, self._clock.monotonic()

    def _keep_state(self) -> None:
        if self._path is not None:
            try:
                replace_file(self._path, self.remembered())
            except OSError as error:
                raise disk_error(str(self._path), str(error)) from error
        self._saved_lsn = self._kept.lsn

    def _commit(self) -> None:
        wal_id = self._kept.wal_id
        if self._in_doubt:
            self._covered = self._served.covered(wal_id)
            self._held = [each for each in self._held if each.lsn > self._covered]
        if self._held:
            self._in_doubt = True
            self.bytes_written += self._served.add(self._held, wal_id, self._kept.lsn)
            self._covered = self._kept.lsn
            self.commits += 1
            self.rows += sum(map(len, self._held))
        self._in_doubt = False
        self._held, self._held_since = [], None


def _set_aside(path: Path, fault: str) -> None:
    """Moves away what cannot be read, or the next state would be laid over it, or could not be laid down at all."""
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
    except OSError as error:
        _log.warning(
            "features begin anew: what was remembered cannot be read, nor be set aside, and will be replaced",
            path=str(path),
            fault=fault,
            error=str(error),
        )
        return
    _log.warning(
        "features begin anew: what was remembered cannot be read, and was set aside", path=str(aside), fault=fault
    )
