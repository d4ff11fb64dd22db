"""The door to the right of the collector: whatever takes decoded events is a sink, and the collector knows no more.

A sink holds no frames of its own. It is fed from the log, in the order of log sequence numbers (LSN), and after a
restart it is fed again from the number it last made durable.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class SessionNote:
    """What happened to a connection or to the log: one SESSION record. ``ts_recv_us`` is UTC microseconds.

    ``event["event"]`` names it: the events of ``kis.feed.Feed``, ``segment`` and ``end`` of the recorder, and
    ``numbers_skipped`` of the log.
    """

    lsn: int
    ts_recv_us: int
    connection: int
    event: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EventBatch:
    """Events decoded from the log records ``first_lsn <= lsn <= last_lsn``, complete for that range.

    ``tables`` maps a table's name (``market.events.EVENT_SCHEMAS``) to its rows, in the order (lsn, record_no) and
    with strings dictionary-encoded; tables without rows are absent. ``records`` counts market records (what the
    broker sent, quarantined ones included); ``unfiled`` those kept in the log and its archive only, because no
    table takes their TR.

    ``sessions`` are the SESSION records of the range, in log order. ``broker_clock`` is what the broker's clock
    (PINGPONG) said within it: (LSN, UTC microseconds), in log order, only what is believed. ``bar_closes`` are the
    BAR_CLOSE records of one-minute bars: (LSN, UTC microseconds up to which every minute is closed), in log order.

    ``follows`` is the number of the record before ``first_lsn``; None for ``first_lsn - 1``, and lower only where the
    records between are known to be lost for good. A sink refuses a batch that follows what it does not have.
    """

    wal_id: str
    first_lsn: int
    last_lsn: int
    tables: dict[str, pa.RecordBatch] = field(default_factory=dict)
    records: int = 0
    unfiled: int = 0
    follows: int | None = None
    sessions: tuple[SessionNote, ...] = ()
    broker_clock: tuple[tuple[int, int], ...] = ()
    bar_closes: tuple[tuple[int, int], ...] = ()

    @property
    def after_lsn(self) -> int:
        """The number of the record that comes before this batch in its log; -1 when there is none."""
        return self.first_lsn - 1 if self.follows is None else self.follows


class Sink(Protocol):
    """Takes decoded events and makes them durable. Called from one thread at a time."""

    @property
    def name(self) -> str: ...

    def resume_after(self, wal_id: str) -> int:
        """The highest LSN of that log which every table of the sink has covered; -1 when there is none.

        The sink is fed from the next one on, and must itself skip what single tables already have.
        """

    def write(self, batch: EventBatch) -> None:
        """Takes a batch; may keep it in memory until ``flush``.

        Raises:
            LogGapError: the batch follows (``after_lsn``) a record that the sink neither covers nor was given.
        """

    def due(self) -> bool:
        """Whether what is held is old or large enough to be flushed."""

    def flush(self) -> int:
        """Commits what is held; returns the highest LSN now covered by a commit (as ``resume_after``)."""

    def sync(self) -> None:
        """Returns when everything flushed so far would survive a power cut."""

    def close(self) -> None:
        """Flushes and lets go of what is held open."""


class Archive(Protocol):
    """Keeps sealed segments of the log for good."""

    @property
    def identity(self) -> str:
        """Tells this archive from any other, for good: one line of text."""

    def store(self, name: str, date: str, data: bytes) -> None:
        """Keeps ``data`` (a zstd-compressed segment) as ``date=<date>/<name>``; returns once it is synced and
        read back equal. The same segment under the same name again is a no-op, and takes the place of a damaged one.

        Raises:
            ArchiveConflictError: another sound segment is kept under this name.
        """

    def holds(self, name: str, date: str) -> bool:
        """Whether something is kept as ``date=<date>/<name>``."""
