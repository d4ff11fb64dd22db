"""Closed bars with their features as they are served, and as rows of ``features_served_1m``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.features import kernel
from hosu.market.bars import BarSource
from hosu.market.day_plan import Session
from hosu.market.events import TIMESTAMP
from hosu.market.features import FEATURE_SCHEMAS, INDICATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]
    Flags = npt.NDArray[np.bool_]

TABLE: Final = "features_served_1m"
SCOPE: Final = "KRX"
_SOURCES: Final = (str(BarSource.TRADES), str(BarSource.POLL))


@dataclass(frozen=True, slots=True)
class Closed:
    """What one record closed: bars of all symbols, minute after minute, in live operation of one minute; ``n`` rows.

    Attributes:
        wal_id: the log.
        lsn: the record that closed them.
        date: business date, ``YYYY-MM-DD``.
        began: what the day began with; see ``checkpoint.Kept``.
        again: after a restart: whether the rows are in ``features_served_1m`` already.
        names: symbols by number; more than there are bars where some have none yet.
        code: (n,) number of the symbol.
        ts: (n,) start of the minute, UTC microseconds.
        close: (n,) hundredths of a won; without a trade the last close.
        volume: (n,) shares; 0 without a trade.
        traded: (n,) whether there was a trade in the minute.
        polled: (n,) whether the symbol was only polled: volumes are differences, prices are samples.
        outputs: (n, ``kernel.OUTPUTS``) the indicators; NaN is null.
        made_us: when it was closed here, UTC microseconds; 0 unknown.
    """

    wal_id: str
    lsn: int
    date: str
    began: str
    again: bool
    names: tuple[str, ...]
    code: Ints
    ts: Ints
    close: Ints
    volume: Ints
    traded: Flags
    polled: Flags
    outputs: Floats
    made_us: int = 0

    def __len__(self) -> int:
        return len(self.ts)


def rows_of(closed: Sequence[Closed]) -> pa.Table:
    """Rows of ``features_served_1m`` of one date, without ``date``; NaN becomes null."""
    schema = FEATURE_SCHEMAS[TABLE]
    tables = [_rows(each) for each in closed]
    names = [name for name in schema.names if name != "date"]
    return pa.concat_tables(tables).unify_dictionaries().select(names)


def _rows(closed: Closed) -> pa.Table:
    count = len(closed)
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(closed.code.astype(np.int32), pa.array(closed.names, pa.string())),
        "scope": _same(SCOPE, count),
        "session_set": _same(str(Session.REGULAR), count),
        "ts": pa.array(closed.ts).cast(TIMESTAMP),
        "wal_id": _same(closed.wal_id, count),
        "lsn": pa.array(np.full(count, closed.lsn, np.int64)),
        "close": pa.array(closed.close / 100.0),
        "volume": pa.array(closed.volume),
        **{name: pa.array(closed.outputs[:, at], from_pandas=True) for at, name in enumerate(INDICATORS)},
        "source": pa.DictionaryArray.from_arrays(
            pa.array(closed.polled.astype(np.int32), mask=~closed.traded), pa.array(_SOURCES, pa.string())
        ),
        "kernel": pa.array(np.full(count, kernel.VERSION, np.int32)),
        "began": _same(closed.began, count),
        "served_at": pa.array([closed.made_us or None] * count, pa.int64()).cast(TIMESTAMP),
    }
    return pa.table(columns)


def _same(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text], pa.string()))
