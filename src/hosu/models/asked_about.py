"""The features a version was asked about: of minutes those that were served with the bar, else as they are built.

A batch build makes the features of a minute again from bars that may have been repaired since. What the model saw lies
in ``features_served_1m``: indicators, of which its set's features are made as they were at the close. Of a prediction
that counts (the first made of its key) the row of the same log is taken. Where there is none (a crash before the
commit, or the set's formulas are others by now), and of days, the rows of the batch tables are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.features.definitions import FEATURE_SETS
from hosu.features.served import TABLE as SERVED_ROWS
from hosu.lake.sql import SqlConfig, combine
from hosu.lake.tables import TABLES
from hosu.market.features import INDICATORS
from hosu.models.journal import FIRST_MADE, TABLE
from hosu.models.registry import HORIZONS

if TYPE_CHECKING:
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import Floats
    from hosu.lake.lake import Lake
    from hosu.models.serve_facts import Facts

_BUILT: Final = {"day": "ml_features", "minute": "ml_features_1m"}
_ASKED: Final = """
WITH asked AS (SELECT p.symbol, p.scope, p.ts, p.wal_id FROM predictions p
               WHERE p.model = '{model}' AND p.model_version = {version} QUALIFY {first}),
     seen AS (SELECT s.* FROM served s SEMI JOIN asked a USING (symbol, scope, ts, wal_id)
              WHERE s.kernel = {kernel}
              QUALIFY row_number() OVER (PARTITION BY s.symbol, s.scope, s.ts ORDER BY s.lsn) = 1)
"""
_SEEN: Final = "SELECT close, {indicators} FROM seen ORDER BY symbol, scope, ts"
_REST: Final = """
SELECT {values} FROM features f SEMI JOIN asked USING (symbol, scope, ts) ANTI JOIN seen USING (symbol, scope, ts)
WHERE f.feature_set = '{feature_set}' ORDER BY f.symbol, f.scope, f.ts
"""
_NO_KERNEL: Final = -1
"""Of no row."""


@dataclass(frozen=True, slots=True)
class AskedAbout:
    """The features of what one version predicted.

    Args:
        lake: whose journal and features.
        model: as ``minute-10``.
        version: its number.
        facts: of its files.
        config: what DuckDB may take.
    """

    lake: Lake
    model: str
    version: int
    facts: Facts
    config: SqlConfig

    def of(self, date: str) -> Floats:
        """(n, k) of the predictions of a date, those that were served first; NaN is null. None are left out but those
        that were neither served nor built.

        Raises:
            TableCorruptError, QueryError, LakeFullError: the lake cannot be read.
        """
        features, width = self._set(), len(self.facts.names)
        kernel = _NO_KERNEL if features is None else int(features.version.rpartition("/")[2])
        values = ", ".join(f"f.features[{at + 1}] AS v{at}" for at in range(width))
        rest = self._ask(_REST.format(values=values, feature_set=self.facts.feature_set), date, kernel)
        if features is None:
            return rest
        seen = self._ask(_SEEN.format(indicators=", ".join(INDICATORS)), date, kernel)
        return np.concatenate([features.make(seen[:, 1:], seen[:, 0]), rest])

    def _ask(self, sql: str, date: str, kernel: int) -> Floats:
        names = {TABLE: TABLE, "served": SERVED_ROWS, "features": _BUILT[HORIZONS[self.model][0]]}
        found = {role: self.lake.find(name) for role, name in names.items()}
        files = {role: (table, table.files(date)) for role, table in found.items() if table is not None}
        beside = {role: TABLES[name].schema.empty_table() for role, name in names.items() if role not in files}
        whole = _ASKED.format(model=self.model, version=self.version, first=FIRST_MADE, kernel=kernel) + sql
        rows = combine(self.lake.storage, whole, files=files, beside=beside, config=self.config)
        return np.column_stack([np.asarray(column.to_numpy(), np.float64) for column in rows.columns])

    def _set(self) -> FeatureSet | None:
        """The set by which what was served can be made into what it was asked about; None of days, or of a set whose
        formulas are others by now."""
        found = FEATURE_SETS.get(self.facts.feature_set.partition("/")[0])
        same = found is not None and found.version == self.facts.feature_set
        return found if same and HORIZONS[self.model][0] == "minute" else None
