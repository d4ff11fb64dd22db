"""What the kernel remembers after the close of a day, kept in the lake's ``feature_state``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.features import kernel
from hosu.features.batch import States
from hosu.lake.parquet import encode, sorted_name
from hosu.lake.sql import SqlConfig, combine

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.lake.lake import Lake

TABLE: Final = "feature_state"
NEW: Final = "new"
"""What a history began with that resumed no state."""

_LATEST: Final = """
-- The newest state of each symbol as of the newest date before one. Grain: symbol.
WITH fitting AS (
  SELECT states.* FROM states SEMI JOIN held ON held.date = states.date AND held.bars = states.bars
  WHERE states.date < '{before}' AND scope = '{scope}' AND interval = '{interval}' AND kernel = {kernel}
),
newest AS (SELECT date, max(revision) AS revision FROM fitting GROUP BY date ORDER BY date DESC LIMIT 1)
SELECT date, revision, symbol, ints, floats FROM fitting SEMI JOIN newest USING (date, revision) ORDER BY symbol
"""


def load_states(
    lake: Lake,
    interval: str,
    before: str,
    held: Mapping[str, int],
    *,
    scope: str = "KRX",
    config: SqlConfig | None = None,
) -> tuple[States, str, str | None]:
    """``(states, began, date)``: the newest states of a day before ``before`` (``YYYY-MM-DD``) that still hold: whose
    bars are those in ``held``, checksums by date.

    ``began`` names them, ``date/revision``; without any the states are of no symbol, ``began`` is ``NEW`` and ``date``
    None. States of another kernel version do not count.
    """
    table = lake.find(TABLE)
    files = [] if table is None else [file for file in table.files() if file.date < before]
    if table is None or not files:
        return States.new(()), NEW, None
    sql = _LATEST.format(before=before, scope=scope, interval=interval, kernel=kernel.VERSION)
    beside = {
        "held": pa.table({"date": pa.array(list(held), pa.string()), "bars": pa.array(held.values(), pa.int64())})
    }
    rows = combine(lake.storage, sql, files={"states": (table, files)}, beside=beside, config=config or SqlConfig())
    if not rows.num_rows:
        return States.new(()), NEW, None
    date, revision = rows.column("date")[0].as_py(), rows.column("revision")[0].as_py()
    return states_of(rows), f"{date}/{revision}", date


def states_of(rows: pa.Table) -> States:
    """The states in rows of the table, which are in order of their symbols.

    Behind the kernel's integers stand the date of the last bar and its official close; rows of earlier versions lack
    them.
    """
    symbols = tuple(rows.column("symbol").to_pylist())
    states = States.new(symbols)
    floats = np.array(rows.column("floats").combine_chunks().flatten(), np.float64)
    states.floats[:] = floats.reshape(len(symbols), kernel.FLOATS)
    numbers = rows.column("ints").combine_chunks()
    widths = np.array(numbers.value_lengths(), np.int64)
    kept = np.array(numbers.flatten(), np.int64)
    for width in np.unique(widths).tolist():
        mine = widths == width
        values = kept[np.repeat(mine, widths)].reshape(-1, width)
        states.ints[mine] = values[:, : kernel.INTS]
        if width > kernel.INTS:
            states.dates[mine] = values[:, kernel.INTS]
        if width > kernel.INTS + 1:
            states.official[mine] = values[:, kernel.INTS + 1]
    return states


def save_states(
    lake: Lake, interval: str, date: str, states: States, *, bars: int, revision: int, scope: str = "KRX"
) -> None:
    """Adds the states after the close of ``date``, made of bars with the checksum ``bars``; those with the highest
    ``revision`` (UTC microseconds) count."""
    count = len(states.symbols)
    numbers = np.column_stack([states.ints, states.dates, states.official])
    rows = pa.table(
        [
            pa.array(states.symbols, pa.string()),
            pa.array([scope] * count, pa.string()),
            pa.array([interval] * count, pa.string()),
            pa.array([kernel.VERSION] * count, pa.int32()),
            _lists(pa.array(numbers.reshape(-1)), numbers.shape[1], count),
            _lists(pa.array(states.floats.reshape(-1)), kernel.FLOATS, count),
            pa.array([bars] * count, pa.int64()),
            pa.array([revision] * count, pa.int64()),
        ],
        schema=lake.spec(TABLE).file_schema,
    )
    table = lake.table(TABLE)
    file = table.store(date, sorted_name(f"{revision:020d}", 0), encode(table.spec, rows, level=3))
    table.append([file], {f"hosu:state:{interval}:{scope}:{date}": revision})
    table.sync()


def _lists(values: pa.Array, width: int, count: int) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(count + 1) * width, pa.int32()), values)
