"""Events one by one: connections, requests, heartbeats and REST calls, each against the clauses that look at it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hosu.kis.simulator.fault_draws import Dice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from hosu.kis.simulator.fault_frames import Span
    from hosu.kis.simulator.fault_journal import Journal


class EventFaults:
    """Counts events for each clause, and says which strike. What a clause does not look at does not count for it."""

    def __init__(self, spans: Sequence[Span], seed: int, journal: Journal) -> None:
        self._spans, self._journal = tuple(spans), journal
        self._dice = {each.number: Dice(seed, each.number) for each in spans}
        self._seen: Counter[int] = Counter()

    def striking(
        self, kinds: tuple[str, ...], now_us: int, *, connection: int | None = None, names: tuple[str, ...] = ()
    ) -> Iterator[Span]:
        """The clauses of these kinds that an event of this time and connection falls to; noted in the journal.

        ``names`` are what a clause may be narrowed down to.
        """
        for span in self._spans:
            clause = span.clause
            if clause.kind not in kinds or not span.covers(now_us):
                continue
            if clause.only is not None and clause.only not in names:
                continue
            if self._falls(span, connection):
                self._journal.note(span.number, now_us, connection, 1)
                yield span

    def dice(self, span: Span) -> int:
        """Some bits of chance for the last event of a clause."""
        return self._dice[span.number].number(self._seen[span.number])

    def _falls(self, span: Span, connection: int | None) -> bool:
        clause = span.clause
        self._seen[span.number] += 1
        count = self._seen[span.number]
        number = connection if clause.event == "connect" and connection is not None else count
        return clause.counts(number) and self._dice[span.number].strikes_one(count, clause.rate)
