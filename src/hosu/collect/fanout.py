"""Several sinks fed as one, from one decoder: for replays, where none of them has to be quicker than another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.collect.sinks import EventBatch, Sink


class Fanout:
    """Hands every batch to each sink; each leaves out what it has already."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    @property
    def name(self) -> str:
        return "+".join(sink.name for sink in self._sinks)

    def resume_after(self, wal_id: str) -> int:
        """What the one that has least has."""
        return min(sink.resume_after(wal_id) for sink in self._sinks)

    def write(self, batch: EventBatch) -> None:
        """Hands the batch on.

        Raises:
            LogGapError: a sink misses records before it.
        """
        for sink in self._sinks:
            sink.write(batch)

    def due(self) -> bool:
        """Whether any is."""
        return any(sink.due() for sink in self._sinks)

    def flush(self) -> int:
        """Flushes those that are due, or all if none is."""
        chosen = [sink for sink in self._sinks if sink.due()] or self._sinks
        covered = [sink.flush() for sink in chosen]
        return min(covered)

    def sync(self) -> None:
        """Returns when all have synced."""
        for sink in self._sinks:
            sink.sync()

    def close(self) -> None:
        """Closes all."""
        for sink in self._sinks:
            sink.close()
