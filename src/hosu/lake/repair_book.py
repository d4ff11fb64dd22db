"""What repair asks of the ledger's tables in a lake, and tells them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hosu.collect.ledger_rows import Additions
from hosu.lake.ledger_store import LakeLedgerStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hosu.collect.gaps import Gap
    from hosu.lake.lake import Lake


class LakeRepairBook:
    """Implements ``collect.repair.RepairBook``. For one thread at a time."""

    def __init__(self, lake: Lake) -> None:
        self._store = LakeLedgerStore(lake)

    def open_gaps(self, dates: Iterable[str]) -> list[Gap]:
        """The holes of these dates that stand open now."""
        found = self._store.gaps(list(dates))
        return [gap for gaps in found.values() for gap in gaps if gap.open]

    def events(self, dates: Iterable[str]) -> list[dict[str, Any]]:
        """The rows of ``gap_events`` of these dates, times in microseconds."""
        return self._store.events(list(dates))

    def note(self, events: Sequence[dict[str, Any]]) -> None:
        """Adds rows of ``gap_events``; durable when it returns."""
        self._store.add(Additions(events=list(events)), None, None)
        self._store.sync()
