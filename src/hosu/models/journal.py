"""The journal: what was predicted, written down before the outcome is known, once, and never changed.

Live rows are told apart by the log: a commit says of each model and version up to which record of which log its
predictions are there, so that bars that come again after a restart add nothing. It says the same of each model's
champions, whoever they were: who is promoted between a kill and the restart does not answer again what was answered
before, or one minute would have two champions. Rows of days are told apart by their keys, and champions by their bars:
what is there already is left out, and two writers at once cannot both add, since each commit carries the next number of
one application transaction.

A day that two logs have collected (two keys with a symbol in common, or the same day collected again) has its live
predictions twice, each as it was made. Whoever counts takes of each key the one that was made first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from hosu.errors import CommitConflictError
from hosu.features.reading import first_made
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake

TABLE: Final = "predictions"
OUTCOMES: Final = "outcomes"
KEY: Final = ("symbol", "scope", "ts", "interval", "horizon", "model", "model_version")
"""What tells predictions, and their outcomes, of one date apart."""
_OF_ONE_KEY: Final = ", ".join(f"p.{name}" for name in ("date", *KEY))
FIRST_MADE: Final = first_made(_OF_ONE_KEY, "p.made_at", "p.")
"""For SQL over predictions ``p``: of one key the first made counts, and of the same time that of the first log."""
_TRIES: Final = 20
_BY_CHAMPION: Final = ", ".join([*(name for name in KEY if name != "model_version"), "role"])
"""What tells champions' predictions of one date apart: of each bar, a model has one."""
_NEW: Final = "SELECT given.* FROM given ANTI JOIN kept USING ({key})"
_UNSERVED: Final = " ANTI JOIN (SELECT * FROM kept WHERE role = 'champion') USING ({champion})"
_SERVED: Final = """
SELECT model, kept.model_version AS before, given.model_version AS now, count(*) AS bars
FROM given JOIN kept USING ({champion})
WHERE role = 'champion' AND kept.model_version != given.model_version GROUP BY ALL ORDER BY ALL
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """Rows of one model and version at one close of bars, without ``date``."""

    model: str
    version: int
    rows: pa.Table
    champion: bool = False  # whether it served then; one version of a model does at each close


@dataclass(frozen=True, slots=True)
class Close:
    """What was answered when one record of a log closed bars of one date."""

    date: str
    wal_id: str
    lsn: int
    answered: Sequence[Answered]


class LiveJournal:
    """Adds predictions made on the stream. For one thread at a time.

    Args:
        lake: where the journal is.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._table: Table | None = None
        self._covered: dict[str, int] = {}

    def covers(self, wal_id: str, model: str, version: int, *, champion: bool = False) -> int:
        """The record of that log up to which this version's predictions are there, or as ``champion`` those of any
        version that was champion then; -1 for none."""
        return max(self._up_to(name) for name in _names(wal_id, model, version, champion))

    def _up_to(self, name: str) -> int:
        if name not in self._covered:
            table = self._table or self._lake.find(TABLE)
            self._covered[name] = -1 if table is None else table.covered(name)
        return self._covered[name]

    def add(self, closes: Sequence[Close]) -> int:
        """Adds what was answered at some closes, in order, in one commit; returns how many rows were new.

        Raises:
            CommitConflictError: somebody else writes predictions of the same log.
            LakeFullError, LakeReadOnlyError, LakeUnreachableError: the lake does not take them; may be called again.
        """
        covers, fresh = self._fresh(closes)
        if not fresh:
            return 0
        if self._table is None:
            self._table = self._lake.table(TABLE)
        whole = {date: pa.concat_tables(rows) for date, rows in fresh.items()}
        files = [self._table.store(date, live_name(), encode(self._table.spec, rows)) for date, rows in whole.items()]
        self._covered.clear()  # whatever becomes of the commit, what is covered is then asked anew
        self._table.append(files, covers)
        self._covered.update(covers)
        return sum(file.rows for file in files)

    def _fresh(self, closes: Sequence[Close]) -> tuple[dict[str, int], dict[str, list[pa.Table]]]:
        """What is not there yet: rows by date, and up to which record they go."""
        covers: dict[str, int] = {}
        rows: dict[str, list[pa.Table]] = {}
        for close in closes:
            for each in close.answered:
                names = _names(close.wal_id, each.model, each.version, each.champion)
                there = self.covers(close.wal_id, each.model, each.version, champion=each.champion)
                if max(there, *(covers.get(name, -1) for name in names)) < close.lsn:
                    covers |= dict.fromkeys(names, close.lsn)
                    rows.setdefault(close.date, []).append(each.rows)
        return covers, rows

    def sync(self) -> None:
        """Returns when everything added would survive a power cut."""
        if self._table is not None:
            self._table.sync()


def _names(wal_id: str, model: str, version: int, champion: bool) -> list[str]:
    """What may not be answered twice: a close by one version, and by champions."""
    before = f"hosu:predictions:{wal_id}:{model}"
    return [f"{before}:{version}", *([f"{before}:champion"] if champion else [])]


def add_new(lake: Lake, name: str, rows_by_date: Mapping[str, pa.Table], *, one_champion: bool = False) -> int:
    """Adds rows of ``predictions`` or ``outcomes`` whose keys are not there yet, in one commit; returns how many.

    Args:
        lake: where the table is.
        name: of the table.
        rows_by_date: rows by date, without ``date``; no key twice.
        one_champion: of ``predictions``: a champion's row is left out too where another version has answered as
            champion.

    Raises:
        CommitConflictError: others write all the time; nothing was added.
    """
    table = lake.table(name)
    for _ in range(_TRIES):
        table.refresh()
        fresh = {date: _unknown(lake, table, date, rows, one_champion) for date, rows in rows_by_date.items()}
        files = [
            table.store(date, live_name(), encode(table.spec, rows)) for date, rows in fresh.items() if rows.num_rows
        ]
        if not files:
            return 0
        try:
            table.append(files, {_fence(name): table.covered(_fence(name)) + 1})
        except CommitConflictError:
            continue
        table.sync()
        return sum(file.rows for file in files)
    raise CommitConflictError(name, "others write to it all the time")


def _unknown(lake: Lake, table: Table, date: str, rows: pa.Table, one_champion: bool) -> pa.Table:
    files = table.files(date)
    if not files or not rows.num_rows:
        return rows
    sql = _NEW.format(key=", ".join(KEY)) + (_UNSERVED.format(champion=_BY_CHAMPION) if one_champion else "")
    beside = {"given": rows}
    found = combine(lake.storage, sql, files={"kept": (table, files)}, beside=beside, config=SqlConfig())
    return found.cast(rows.schema)


@dataclass(frozen=True, slots=True)
class Before:
    """That version ``before`` of a model has answered ``bars`` as champion, of which ``now`` answers too."""

    model: str
    before: int
    now: int
    bars: int


def answered_before(lake: Lake, date: str, rows: pa.Table) -> list[Before]:
    """Of whose champions' rows of a date the journal has one of another version.

    Args:
        lake: where the journal is.
        date: of the rows.
        rows: of ``predictions``, without ``date``.
    """
    table = lake.find(TABLE)
    files = [] if table is None else table.files(date)
    if table is None or not files or not rows.num_rows:
        return []
    sql, kept = _SERVED.format(champion=_BY_CHAMPION), {"kept": (table, files)}
    found = combine(lake.storage, sql, files=kept, beside={"given": rows}, config=SqlConfig())
    return [Before(**row) for row in found.to_pylist()]


def _fence(name: str) -> str:
    return f"hosu:{name}"
