"""The numbers of one log's records as they are read: what was read already, and what is missing.

Whoever stores records says "covered up to X", so none may be missing below X. A log has a hole in its numbering only
where its disk lost records that a reader had seen; the first record behind such a hole says so.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from hosu.collect.block import RecordKind
from hosu.collect.runs import slice_block
from hosu.errors import LogGapError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosu.collect.block import Block
    from hosu.collect.sinks import EventBatch

_log = structlog.get_logger(__name__)

NUMBERS_SKIPPED: Final = "numbers_skipped"


def skip_record(after_lsn: int) -> bytes:
    """The payload of the SESSION record that begins a log anew behind a hole; ``after_lsn`` comes before the hole."""
    return json.dumps({"event": NUMBERS_SKIPPED, "after": after_lsn}).encode()


def skipped_after(blocks: Iterable[Block]) -> int | None:
    """The number before the hole that the first record of ``blocks`` tells of; None when it tells of none."""
    for block in blocks:
        if block.kind[0] != RecordKind.SESSION:
            return None
        try:
            event = json.loads(block.payload(0))
        except (ValueError, RecursionError):
            return None
        told = event.get("after") if isinstance(event, dict) and event.get("event") == NUMBERS_SKIPPED else None
        return told if isinstance(told, int) else None
    return None


class Numbering:
    """Where a reader of one log stands. For one thread.

    Args:
        covered: the number up to which the sink has everything.
        next_step: what to do about missing records; None is what ``LogGapError`` says by itself.
        skip_missing: go on without missing records, for good, instead of refusing.
    """

    def __init__(self, wal_id: str, covered: int, *, next_step: str | None = None, skip_missing: bool = False) -> None:
        self._wal_id, self._covered, self._reached, self._read = wal_id, covered, covered, -1
        self._next_step, self._skip_missing = next_step, skip_missing
        self._follows: dict[int, int] = {}  # by the first number behind a hole: the last one before it

    def take(self, block: Block) -> list[Block]:
        """What of a block was not read before, cut where what the sink covers ends.

        Raises:
            LogGapError: records are missing before it.
        """
        begin = int(np.searchsorted(block.lsn, self._read, side="right"))
        if begin == len(block):
            return []
        fresh = slice_block(block, begin) if begin else block
        if int(fresh.lsn[0]) > self._reached + 1:
            self._cross(fresh)
        self._read = int(fresh.lsn[-1])
        self._reached = max(self._reached, self._read)
        cut = int(np.searchsorted(fresh.lsn, self._covered, side="right"))
        return [fresh] if cut in (0, len(fresh)) else [slice_block(fresh, 0, cut), slice_block(fresh, cut)]

    def _cross(self, block: Block) -> None:
        first = int(block.lsn[0])
        told = skipped_after([block])
        if told is None or told > self._reached:
            if not self._skip_missing:
                raise self.gap(first - 1)
            _log.warning("records skipped", wal_id=self._wal_id, first_lsn=self._reached + 1, last_lsn=first - 1)
            told = self._reached
        self._follows[first] = told

    def gap(self, last_missing: int) -> LogGapError:
        """The error that everything from the reader's place up to ``last_missing`` is missing."""
        facts = (self._wal_id, self._reached + 1, last_missing)
        return LogGapError(*facts) if self._next_step is None else LogGapError(*facts, self._next_step)

    def placed(self, batch: EventBatch) -> EventBatch:
        """The batch, saying what it follows where it begins behind a hole."""
        follows = self._follows.pop(batch.first_lsn, None)
        return batch if follows is None else replace(batch, follows=follows)
