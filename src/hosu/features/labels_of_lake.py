"""The labels of a lake's bars, as datasets have them: for scoring what was predicted, and for proofs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from hosu.features.as_of import AsOf
from hosu.features.bars_of_lake import panel, tables_of
from hosu.features.dated_rules import day_of
from hosu.features.facts_of_lake import TABLES_OF, FactsOfLake
from hosu.features.label_facts import beside
from hosu.features.labels import labelled_rows
from hosu.features.lake_versions import Pinned

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.features.bars_of_lake import LakePanel
    from hosu.features.label_parts import Beside
    from hosu.features.panel import LabelledRows
    from hosu.features.proofs import Cut
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig


class LabelsOfLake:
    """Labels of all bars of a lake as it is at one moment, of any horizon and up to any date or instant.

    Args:
        lake: where the bars are.
        interval: ``day`` or ``minute``.
        remember: whether what is read of a date's events is kept, for many calls.
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
            end: the last date; None: the newest. What lies behind it in any table is as if it were not there.

        Raises:
            TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
        """
        facts = self._facts if end is None else self._facts.until(int(end.replace("-", "")))
        return self._labels(facts, start=start, since=since, end=end)(horizon)

    def before(self, cut: Cut | None) -> Callable[[int], LabelledRows | None]:
        """The labels of any horizon, read once for all, as if there were nothing but what lies before a cut.

        Behind a date nothing of any table is. At an instant of a date its events are those before, and its bars those
        that were over; the one being made is there where a trade of it is. What is known of a date as a whole, base
        prices, listings and corporate actions, is known on all of it.

        Args:
            cut: where the future begins; None: nowhere.

        Raises:
            TableCorruptError, QueryError, LakeFullError: as ``rows``.
        """
        if cut is None:
            return self._labels(self._facts)
        facts = self._facts.until(cut.date, cut.ts_us)
        as_of = None if cut.ts_us is None else AsOf.of(cut.ts_us, facts.day(cut.date))
        return self._labels(facts, end=day_of(cut.date).isoformat(), as_of=as_of)

    def _labels(
        self,
        facts: FactsOfLake,
        *,
        start: str | None = None,
        since: str | None = None,
        end: str | None = None,
        as_of: AsOf | None = None,
    ) -> Callable[[int], LabelledRows | None]:
        held, config = self._pinned.until(end), self._config
        loaded = panel(self._lake, self._interval, start=start, end=end, pinned=held, as_of=as_of, config=config)
        return partial(self._labelled, loaded, beside(loaded, facts, since=since))

    def _labelled(self, loaded: LakePanel, known: Beside, horizon: int) -> LabelledRows | None:
        bars = loaded.bars
        if not len(bars) or (self._interval == "day" and horizon >= len(np.unique(bars.date))):
            return None
        return labelled_rows(bars, np.empty((len(bars), 0)), (), horizon, interval=self._interval, beside=known)
