"""The labels of a lake's bars, as datasets have them: for scoring what was predicted, and for proofs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hosu.features.bars_of_lake import panel, tables_of
from hosu.features.facts_of_lake import TABLES_OF, FactsOfLake
from hosu.features.label_facts import beside
from hosu.features.labels import labelled_rows
from hosu.features.lake_versions import Pinned

if TYPE_CHECKING:
    from hosu.features.panel import LabelledRows
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig


class LabelsOfLake:
    """Labels of all bars of a lake as it is at one moment, of any horizon and up to any date.

    Args:
        lake: where the bars are.
        interval: ``day`` or ``minute``.
        remember: whether what is read of a date's events is kept, for many calls of ``rows`` without an end.
        config: what DuckDB may take.

    Raises:
        InputError: an unknown interval.
    """

    def __init__(self, lake: Lake, interval: str, *, remember: bool = False, config: SqlConfig | None = None) -> None:
        names = tables_of(interval)
        self._lake, self._interval, self._config = lake, interval, config
        self._pinned = Pinned.now(lake, dict.fromkeys((*names, *TABLES_OF[interval])))
        self._facts = FactsOfLake(self._pinned, interval, remember=remember, config=config)

    def rows(
        self, horizon: int, *, start: str | None = None, since: str | None = None, end: str | None = None
    ) -> LabelledRows | None:
        """Every bar between two dates (``YYYY-MM-DD``, both included) with its label, without features; None where
        there are too few bars for any.

        Args:
            horizon: sessions, or minutes.
            start: the first date of bars; None: the oldest.
            since: the first of rows that are asked for: of earlier ones only bars are read; None: as ``start``.
            end: the last date; None: the newest. What lies behind it in any table is as if it were not there, and what
                was remembered with it is not used.

        Raises:
            TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
        """
        held = self._pinned.until(end)
        loaded = panel(self._lake, self._interval, start=start, end=end, pinned=held, config=self._config)
        bars = loaded.bars
        if not len(bars) or (self._interval == "day" and horizon >= len(np.unique(bars.date))):
            return None
        facts = self._facts if end is None else FactsOfLake(held, self._interval, config=self._config)
        known = beside(loaded, facts, since=since)
        return labelled_rows(bars, np.empty((len(bars), 0)), (), horizon, interval=self._interval, beside=known)
