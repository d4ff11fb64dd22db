"""Where served features are kept, and what a day begins with: the lake's tables behind one small door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from hosu.errors import VersionGoneError
from hosu.features import kernel
from hosu.features.batch import States
from hosu.features.dated_rules import day_of, previous_sessions, told_listings
from hosu.features.kept_sink import ServedRows
from hosu.features.openings import Morning
from hosu.features.reading import rows_of_date
from hosu.features.served import SCOPE, TABLE, Closed, rows_of
from hosu.features.served_table import ServedTable
from hosu.features.states import NEW, states_of
from hosu.features.states import TABLE as STATES
from hosu.lake.delta import Table
from hosu.lake.sql import SqlConfig, combine

if TYPE_CHECKING:
    from collections.abc import Collection

    from hosu.lake.lake import Lake

MINUTE: Final = "minute"
_INSTRUMENTS: Final = "instruments"
_LISTED: Final = """
-- What the lists of a day and of the session before say of each symbol. Grain: date, symbol.
SELECT date, symbol, market, type, halted,
       CASE WHEN isfinite(base_price) AND base_price BETWEEN 0.01 AND 1e12
            THEN round(base_price * 100)::BIGINT END AS base
FROM instruments WHERE symbol IS NOT NULL
"""
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Begin:
    """What a day begins with: ``new``, ``new@LSN`` or date/revision of a ``feature_state``."""

    label: str
    states: States


class FeatureStore(ServedRows[Closed], Protocol):
    """What the feature sink asks of a lake."""

    def latest(self, *, before: str, since: str) -> Begin | None:
        """The newest state of a day ``since <= day < before`` that this kernel can go on with; None for none."""

    def exact(self, label: str) -> Begin | None:
        """What that label names; None where it is no more."""

    def known(self, date: str, label: str | None = None) -> Morning | None:
        """What is known of a day when it begins, now or under that label; None for nothing, or where it is no more."""

    def began(self, date: str, wal_id: str) -> str | None:
        """What the rows of that log and date say they began with; None where there are none."""


class LakeFeatureStore(ServedTable[Closed]):
    """Implements ``FeatureStore`` on a lake. For one thread at a time."""

    def __init__(self, lake: Lake, *, reserve_bytes: int = 0) -> None:
        super().__init__(lake, TABLE, rows_of, reserve_bytes=reserve_bytes)

    def latest(self, *, before: str, since: str) -> Begin | None:
        """The newest state of a day ``since <= day < before`` that this kernel can go on with; None for none."""
        table = self._lake.find(STATES)
        dates = [] if table is None else table.dates()
        for date in reversed([date for date in dates if since <= date < before]):
            begin = self._state(date, None)
            if begin is not None:
                return begin
        return None

    def exact(self, label: str) -> Begin | None:
        """What that label names; None where it is no more, or of another kernel."""
        base, _, _ = label.partition("*")
        if base.startswith(NEW):
            return Begin(base, States.new(()))
        date, _, revision = base.partition("/")
        return self._state(date, int(revision)) if revision.isdigit() else None

    def known(self, date: str, label: str | None = None) -> Morning | None:
        """What is known of a day when it begins, now or under that label; None for nothing, or where it is no more."""
        (number,) = previous_sessions(np.array([int(date.replace("-", ""))], np.int64)).tolist()
        before = day_of(number).isoformat() if number else ""
        table = self._instruments(label, (date, before))
        files = [] if table is None else [file for file in table.files() if file.date in {date, before}]
        if table is None or not any(file.date == date for file in files):
            return None
        rows = combine(self._lake.storage, _LISTED, files={_INSTRUMENTS: (table, files)}, beside={}, config=SqlConfig())
        told = rows.to_pylist()
        listed = [row for row in told if row["date"] == date]
        return Morning(
            f"{_INSTRUMENTS}@{table.version}",
            {row["symbol"]: row["base"] for row in listed if row["base"] is not None},
            frozenset(row["symbol"] for row in told if row["halted"] and row["date"] == before),
            told_listings(listed),
        )

    def _instruments(self, label: str | None, dates: Collection[str]) -> Table | None:
        if label is None:
            return self._lake.find(_INSTRUMENTS)
        name, _, version = label.partition("@")
        if name != _INSTRUMENTS or not version.isdigit():
            return None
        try:
            return Table.at(self._lake.storage, self._lake.spec(_INSTRUMENTS), int(version), dates)
        except VersionGoneError as error:
            _log.warning("what a day began with is no more", date=max(dates), error=str(error))
            return None

    def began(self, date: str, wal_id: str) -> str | None:
        """What the rows of that log and date say they began with; None where there are none."""
        table = self.table()
        if table is None:
            return None
        found = rows_of_date(table, date, pc.field("wal_id") == wal_id, ("wal_id", "lsn", "began"))
        return None if not found.num_rows else str(found.sort_by("lsn").column("began")[0].as_py())

    def _state(self, date: str, revision: int | None) -> Begin | None:
        table = self._lake.find(STATES)
        if table is None:
            return None
        ours = (pc.field("interval") == MINUTE) & (pc.field("scope") == SCOPE)
        rows = rows_of_date(table, date, ours & (pc.field("kernel") == kernel.VERSION))
        revisions = rows.column("revision").to_pylist()
        wanted = max(revisions, default=0) if revision is None else revision
        rows = rows.filter(pa.array([each == wanted for each in revisions], pa.bool_()))
        return Begin(f"{date}/{wanted}", states_of(rows.sort_by("symbol"))) if rows.num_rows else None
