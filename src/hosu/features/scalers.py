"""Scalers: mean and deviation of each feature over training time, kept for good in the lake's ``scalers``.

A row of ``ml_features`` is scaled by the newest scaler of its set whose last date lies before its own, and names it, so
that no row knows the future. A scaler never changes; fitted again on the same rows it is the same one.

Mean and deviation, not median and quartiles: of a name that seldom trades more than half of the minutes have a return
of 0, so that its quartiles are both 0 and scale nothing. Models fit their own within each fold, of the same kind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from hosu.clock import SystemClock
from hosu.errors import CommitConflictError, InputError
from hosu.features.definitions import FEATURE_TABLES
from hosu.features.reading import reading_date
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine
from hosu.lake.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hosu.clock import Clock
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import Floats
    from hosu.lake.delta import Table
    from hosu.lake.lake import Lake

TABLE: Final = "scalers"
_LEAST: Final = 2
_NOTHING: Final = 1e-12
_TRIES: Final = 20
_ALL: Final = """
SELECT scaler AS name, feature_set, interval, version, first_date AS first, date AS last, "rows", means, deviations
FROM scalers WHERE interval = '{interval}' ORDER BY date, version
"""


@dataclass(frozen=True, slots=True)
class Scaler:
    """One scaler.

    Attributes:
        name: set with its kernel version, interval and number.
        feature_set: name and kernel version.
        interval: ``day`` or ``minute``.
        version: 1, 2, … of the set and interval.
        first, last: the dates of the rows it was fitted on, ``YYYY-MM-DD``.
        rows: how many they were.
        means: (k,) in the set's order.
        deviations: (k,) of the population; 1 of a feature that never moved.
    """

    name: str
    feature_set: str
    interval: str
    version: int
    first: str
    last: str
    rows: int
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    def scaled(self, features: Floats) -> Floats:
        """(n, k) in deviations from the mean; NaN stays NaN."""
        return np.asarray((features - np.array(self.means)) / np.array(self.deviations))

    @property
    def fit(self) -> tuple[object, ...]:
        """All but name and version: equal ones are the same scaler."""
        return (self.feature_set, self.interval, self.first, self.last, self.rows, self.means, self.deviations)


class Scalers:
    """Every scaler of an interval, the oldest last date first."""

    def __init__(self, all_: Iterable[Scaler] = ()) -> None:
        self.all = tuple(all_)

    def at(self, date: str, feature_set: str) -> Scaler | None:
        """What scales the rows of a date (``YYYY-MM-DD``) and set (``FeatureSet.version``); None where nothing does."""
        known = [each for each in self.all if each.feature_set == feature_set and each.last < date]
        return known[-1] if known else None

    def names(self, date: str, sets: Iterable[FeatureSet]) -> list[str]:
        """The names of what scales a date's rows of these sets."""
        found = (self.at(date, each.version) for each in sets)
        return sorted(each.name for each in found if each is not None)


def load_scalers(lake: Lake, interval: str, config: SqlConfig | None = None) -> Scalers:
    """The scalers of an interval that the lake has.

    Raises:
        TableCorruptError, QueryError: the lake cannot be read.
    """
    table = lake.find(TABLE)
    return Scalers() if table is None else _scalers_of(lake, table, interval, config)


def _scalers_of(lake: Lake, table: Table, interval: str, config: SqlConfig | None = None) -> Scalers:
    files = {TABLE: (table, table.files())}
    rows = combine(lake.storage, _ALL.format(interval=interval), files=files, beside={}, config=config or SqlConfig())
    return Scalers(
        Scaler(**{**row, "means": tuple(row["means"]), "deviations": tuple(row["deviations"])})
        for row in rows.to_pylist()
    )


def fit_scaler(
    lake: Lake,
    interval: str,
    features: FeatureSet,
    until: str,
    start: str | None = None,
    *,
    clock: Clock | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Scaler:
    """Fits a scaler on the rows of ``ml_features`` up to a date and keeps it; one that is there already is given back.

    Args:
        lake: whose features.
        interval: ``day`` or ``minute``.
        features: the set.
        until: the last date that may be looked at, ``YYYY-MM-DD``, included.
        start: the first; None: the oldest.
        clock: says when.
        progress: told each date that is read.

    Raises:
        InputError: an unknown interval, or fewer than two rows with all features.
        LakeError: the lake cannot be read or takes nothing.
    """
    if interval not in FEATURE_TABLES:
        raise InputError(f"interval {interval!r}", "is unknown", f"choose {' or '.join(FEATURE_TABLES)}")
    moments = _Moments(len(features.features))
    table = lake.find(FEATURE_TABLES[interval][1])
    if table is not None:
        whole = table.dataset()  # once: it takes as long as the table has files
        for date in [date for date in table.dates() if (start or "") <= date <= until]:
            progress(date)
            with reading_date(table, whole, date):
                moments.add(date, _features(whole, date, features))
    if moments.rows < _LEAST:
        fault = f"has {moments.rows} rows with all features from {start or 'the beginning'} to {until}"
        raise InputError(f"{features.name} of a {interval}", fault, "run `hosu features build`, or choose other dates")
    return _kept(lake, moments.scaler(features.version, interval), clock or SystemClock())


class _Moments:
    """Count, mean and sum of squares about it, put together date by date (Chan, Golub and LeVeque 1983)."""

    def __init__(self, width: int) -> None:
        self.rows = 0
        self._mean, self._squares = np.zeros(width), np.zeros(width)
        self._dates: list[str] = []

    def add(self, date: str, features: Floats) -> None:
        """Takes (n, k) rows of a date in; none leave everything as it is."""
        count = len(features)
        if not count:
            return
        mean = features.mean(axis=0)
        apart, total = mean - self._mean, self.rows + count
        self._squares += ((features - mean) ** 2).sum(axis=0) + apart**2 * (self.rows * count / total)
        self._mean += apart * (count / total)
        self.rows = total
        self._dates.append(date)

    def scaler(self, feature_set: str, interval: str) -> Scaler:
        """What these rows make; without a number and a name."""
        deviation = np.sqrt(self._squares / self.rows)
        # Of a feature that never moved rounding may leave a little.
        moved = deviation > _NOTHING * np.abs(self._mean)
        deviations = tuple(np.where(moved & (deviation > 0), deviation, 1.0).tolist())
        first, last = min(self._dates), max(self._dates)
        return Scaler("", feature_set, interval, 0, first, last, self.rows, tuple(self._mean.tolist()), deviations)


def _features(whole: ds.Dataset, date: str, features: FeatureSet) -> Floats:
    """(n, k) of a date's rows with all features, in order of scope, symbol and time."""
    names = ["scope", "symbol", "ts", "feature_set", "features"]
    mine = (pc.field("feature_set") == features.version) & pc.field("features").is_valid()
    # Only the date is asked of the dataset; see ``reading.rows_of_date``.
    rows = whole.to_table(columns=names, filter=ds.field("date") == date).filter(mine)
    rows = rows.sort_by([(name, "ascending") for name in ("scope", "symbol", "ts")])
    values = rows.column("features").combine_chunks().flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float64).reshape(-1, len(features.features))


def _kept(lake: Lake, made: Scaler, clock: Clock) -> Scaler:
    """The scaler with its number: the one that the lake has, else the next one, added."""
    app_id = f"hosu:scalers:{made.feature_set}:{made.interval}"
    for _ in range(_TRIES):
        table = lake.table(TABLE)
        # What is known and what is added to are one version: whoever fits meanwhile is met as a conflict.
        same = next((each for each in _scalers_of(lake, table, made.interval).all if each.fit == made.fit), None)
        if same is not None:
            return same
        version = max(table.covered(app_id), 0) + 1
        numbered = replace(made, name=f"{made.feature_set}/{made.interval}/{version}", version=version)
        file = table.store(made.last, live_name(), encode(table.spec, _row(numbered, clock.now_us())))
        try:
            table.append([file], {app_id: version})
        except CommitConflictError:
            continue
        table.sync()
        return numbered
    raise CommitConflictError(TABLE, "others fit scalers all the time")


def _row(made: Scaler, now_us: int) -> pa.Table:
    values = {
        "scaler": made.name,
        "feature_set": made.feature_set,
        "interval": made.interval,
        "version": made.version,
        "first_date": made.first,
        "rows": made.rows,
        "means": list(made.means),
        "deviations": list(made.deviations),
        "at": now_us,
    }
    schema = TABLES[TABLE].file_schema
    return pa.table([pa.array([values[each.name]]).cast(each.type) for each in schema], schema=schema)
