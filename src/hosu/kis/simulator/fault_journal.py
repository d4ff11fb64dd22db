"""What was done to whom and when, for the report: one entry a clause and connection, with first, last and count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hosu.kis.simulator.market_time import market_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.kis.simulator.fault_spec import Clause


@dataclass(slots=True)
class _Entry:
    count: int
    first_us: int
    last_us: int


class Journal:
    """Takes notes of faults as they are committed."""

    def __init__(self, clauses: Sequence[Clause]) -> None:
        self._clauses = clauses
        self._entries: dict[tuple[int, int | None], _Entry] = {}

    def note(self, clause: int, now_us: int, connection: int | None, count: int, last_us: int | None = None) -> None:
        """``count`` times from ``now_us`` (market time, UTC microseconds) to ``last_us``."""
        last = now_us if last_us is None else last_us
        entry = self._entries.setdefault((clause, connection), _Entry(0, now_us, last))
        entry.count += count
        entry.first_us, entry.last_us = min(entry.first_us, now_us), max(entry.last_us, last)

    def to_list(self) -> list[dict[str, Any]]:
        """By clause, in the order of the specification; a clause that was never committed has the count 0."""
        done = {clause for clause, _ in self._entries}
        entries = [(key, entry) for key, entry in self._entries.items()]
        never = [((i, None), None) for i in range(len(self._clauses)) if i not in done]
        ordered = sorted([*entries, *never], key=lambda pair: (pair[0][0], pair[0][1] or 0))
        return [self._row(clause, connection, entry) for (clause, connection), entry in ordered]

    def _row(self, clause: int, connection: int | None, entry: _Entry | None) -> dict[str, Any]:
        asked = self._clauses[clause]
        return {
            "fault": asked.text,
            "kind": asked.kind,
            "connection": connection,
            "count": 0 if entry is None else entry.count,
            "first": None if entry is None else market_iso(entry.first_us),
            "last": None if entry is None else market_iso(entry.last_us),
        }
