"""A sink and an archive that keep everything in memory, and forget at a crash what was not flushed."""

import threading

from hosu.collect.sinks import EventBatch
from hosu.errors import CommitConflictError, LogGapError


class MemorySink:
    """Keeps rows; ``flush`` makes them survive. ``stored`` may outlive the object, as a lake does."""

    name = "memory"

    def __init__(self, stored: dict | None = None, *, flush_every: int = 1) -> None:
        self.stored = stored if stored is not None else {"covered": {}, "batches": []}
        self._held: list[EventBatch] = []
        self._flush_every = flush_every
        self.wrote = threading.Event()
        self.synced = self.closed = 0
        self.conflicts = 0
        self.broken: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()

    def resume_after(self, wal_id: str) -> int:
        return self.stored["covered"].get(wal_id, -1)

    def write(self, batch: EventBatch) -> None:
        self.gate.wait()
        if self.broken is not None:
            raise self.broken
        if self.conflicts:
            self.conflicts -= 1
            raise CommitConflictError("trades", "somebody was quicker")
        covered = self.resume_after(batch.wal_id)
        assert batch.first_lsn > covered, "a batch that mixes what is stored with what is not"
        reached = max([covered, *(held.last_lsn for held in self._held if held.wal_id == batch.wal_id)])
        if batch.after_lsn > reached:
            raise LogGapError(batch.wal_id, reached + 1, batch.after_lsn)
        self._held.append(batch)
        self.wrote.set()

    def due(self) -> bool:
        return len(self._held) >= self._flush_every

    def flush(self) -> int:
        for batch in self._held:
            self.stored["batches"].append(batch)
            self.stored["covered"][batch.wal_id] = batch.last_lsn
            self._last_wal = batch.wal_id
        self._held.clear()
        return max(self.stored["covered"].values(), default=-1)

    def sync(self) -> None:
        self.synced += 1

    def close(self) -> None:
        self.flush()
        self.closed += 1

    def rows(self, table: str) -> list[dict]:
        return [
            row for batch in self.stored["batches"] if table in batch.tables for row in batch.tables[table].to_pylist()
        ]

    @property
    def records(self) -> int:
        return sum(batch.records for batch in self.stored["batches"])


class MemoryArchive:
    """Keeps copies by name; the same name with other bytes is an error."""

    def __init__(self, identity: str = "memory") -> None:
        self.identity = identity
        self.copies: dict[str, tuple[str, bytes]] = {}

    def holds(self, name: str, date: str) -> bool:
        return self.copies.get(name, ("",))[0] == date

    def store(self, name: str, date: str, data: bytes) -> None:
        assert self.copies.setdefault(name, (date, data)) == (date, data)
