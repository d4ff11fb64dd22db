"""A ledger whose tables and states are in memory: for judging aside from a lake, and for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_rows import Additions
    from hosu.collect.ledger_state import Series


class MemoryLedger:
    """Implements ``collect.ledger.LedgerStore``.

    Attributes:
        gap_rows, event_rows, coverage_rows: what was added, in that order; times as microseconds.
        states: by log, what was saved last.
    """

    def __init__(self) -> None:
        self.gap_rows: list[Gap] = []
        self.event_rows: list[dict[str, Any]] = []
        self.coverage_rows: list[dict[str, Any]] = []
        self.states: dict[str, bytes] = {}
        self._numbers: dict[str, int] = {}
        self._gaps: dict[tuple[Any, ...], Gap] = {}
        self._days: dict[Series, dict[str, Any]] = {}

    def covered(self, wal_id: str) -> int:
        return self._numbers.get(wal_id, -1)

    def state(self, wal_id: str) -> bytes | None:
        return self.states.get(wal_id)

    def save(self, wal_id: str, state: bytes) -> None:
        self.states[wal_id] = state

    def other_states(self, wal_id: str, dates: Collection[str]) -> Mapping[str, bytes]:  # noqa: ARG002
        return {name: state for name, state in self.states.items() if name != wal_id}

    def gaps(self, dates: Collection[str]) -> Mapping[Series, list[Gap]]:
        found: dict[Series, list[Gap]] = {}
        for gap in self._gaps.values():
            if gap.date in dates:
                found.setdefault(gap.series, []).append(gap)
        return found

    def coverage(self, dates: Collection[str]) -> Mapping[Series, Mapping[str, Any]]:
        return {series: row for series, row in self._days.items() if series[0] in dates}

    def events(self, dates: Collection[str]) -> list[dict[str, Any]]:
        return [row for row in self.event_rows if row["date"] in dates]

    def add(self, rows: Additions, wal_id: str | None, lsn: int | None) -> None:
        self._add_events(rows.events)
        self._add_gaps(rows.gaps)
        self._add_coverage(rows.coverage)
        if wal_id is not None and lsn is not None:
            self._numbers[wal_id] = max(lsn, self.covered(wal_id))

    def _add_events(self, events: list[dict[str, Any]]) -> None:
        self.event_rows += events

    def _add_gaps(self, gaps: list[Gap]) -> None:
        self.gap_rows += gaps
        self._gaps |= {gap.key: gap for gap in gaps if gap.revision >= getattr(self._gaps.get(gap.key), "revision", 0)}

    def _add_coverage(self, coverage: list[dict[str, Any]]) -> None:
        self.coverage_rows += coverage
        for row in coverage:
            series = (row["date"], row["scope"], row["symbol"])
            if row["revision"] >= self._days.get(series, row)["revision"]:
                self._days[series] = row

    def sync(self) -> None:
        """Memory survives nothing."""
