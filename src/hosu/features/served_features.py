"""Features of minutes as they were served: those that a model was given when each minute closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.features.panel import rows_at
from hosu.features.reading import first_made
from hosu.features.served import TABLE
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from hosu.features.dataset_definition import Definition, FeatureSource
    from hosu.features.lake_versions import Pinned
    from hosu.features.panel import BarPanel, Flags, Floats
    from hosu.lake.sql import SqlConfig

_ROWS: Final = """
-- What was served of each minute; of several logs the first made, as of predictions. Grain: symbol, ts.
SELECT symbol, epoch_us(ts) AS us, close, {outputs} FROM served SEMI JOIN wanted USING (symbol)
WHERE scope = '{scope}' AND kernel = {kernel}
QUALIFY {first}
ORDER BY symbol, us
"""


_FIRST: Final = first_made("symbol, ts", "served_at")


def is_served(definition: Definition) -> bool:
    """Whether a dataset takes its features from what was served: only minutes are served."""
    return definition.view == "as_served" and definition.interval == "minute"


def served_features(
    pinned: Pinned, bars: BarPanel, source: FeatureSource, definition: Definition, config: SqlConfig | None = None
) -> tuple[Floats, Flags]:
    """(n, k) features of the panel's rows as they were served, and (n,) whether they were.

    NaN is null, and of rows that were not served. What another version of the kernel served does not count.

    Raises:
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    sql = _ROWS.format(outputs=", ".join(INDICATORS), scope=definition.scope, kernel=source.version, first=_FIRST)
    beside = {"wanted": pa.table({"symbol": pa.array(bars.symbols, pa.string())})}
    told = pinned.query(
        sql, {"served": TABLE}, start=definition.start, end=definition.end, beside=beside, config=config
    )
    symbol = np.asarray(pc.index_in(told.column("symbol"), value_set=beside["wanted"].column("symbol")), np.int64)
    row = rows_at(bars, symbol, np.asarray(told.column("us").to_numpy(), np.int64))
    columns = [told.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy() for name in INDICATORS]
    outputs, close = np.column_stack(columns), np.asarray(told.column("close").to_numpy(), np.float64)
    found, there = np.full((len(bars), len(source.names)), np.nan), np.zeros(len(bars), np.bool_)
    mine = row >= 0
    found[row[mine]] = source.of_outputs(outputs[mine], close[mine])
    there[row[mine]] = True
    return found, there
