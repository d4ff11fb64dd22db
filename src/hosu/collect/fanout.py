"""Several sinks fed as one, from one decoder: what costs most on the way, decoding, is done once for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.collect.sinks import EventBatch, Sink


class Fanout:
    """Hands every batch to each sink; each leaves out what it has already. Called by the name of the first.

    None is quicker than another: one that waits for its disk or its store holds up those behind it.
    """

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = sinks
        self._covered = dict.fromkeys((sink.name for sink in sinks), -1)

    @property
    def name(self) -> str:
        return self.sinks[0].name

    def resume_after(self, wal_id: str) -> int:
        """What the one that has least has."""
        return min(sink.resume_after(wal_id) for sink in self.sinks)

    def write(self, batch: EventBatch) -> None:
        """Hands the batch on.

        Raises:
            LogGapError: a sink misses records before it.
        """
        for sink in self.sinks:
            sink.write(batch)

    def due(self) -> bool:
        """Whether any is."""
        return any(sink.due() for sink in self.sinks)

    def flush(self) -> int:
        """Flushes those that are due, or all if none is; returns what all have covered by now."""
        for sink in [sink for sink in self.sinks if sink.due()] or self.sinks:
            self._covered[sink.name] = sink.flush()
        return min(self._covered.values())

    def sync(self) -> None:
        """Returns when all have synced."""
        for sink in self.sinks:
            sink.sync()

    def close(self) -> None:
        """Closes all."""
        for sink in self.sinks:
            sink.close()


def singles(sinks: Sequence[Sink]) -> list[Sink]:
    """The sinks themselves, those that are fed as one each by itself."""
    return [each for sink in sinks for each in (sink.sinks if isinstance(sink, Fanout) else [sink])]
