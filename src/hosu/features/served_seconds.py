"""Closed seconds of order books as they are served, and as rows of ``features_served_1s``."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.features import book_kernel as kernel
from hosu.features.served import SCOPE
from hosu.market.day_plan import Session
from hosu.market.events import TIMESTAMP
from hosu.market.features import BOOK_FEATURES, FEATURE_SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]
    Floats = npt.NDArray[np.float64]

TABLE: Final = "features_served_1s"
_PRICES: Final = {"open": kernel.ROW_OPEN, "high": kernel.ROW_HIGH, "low": kernel.ROW_LOW, "close": kernel.ROW_CLOSE}


@dataclass(frozen=True, slots=True)
class ClosedSeconds:
    """Seconds that records of one batch closed; ``n`` rows.

    Attributes:
        wal_id: the log.
        lsn: the last record of which any of them was made.
        date: business date, ``YYYY-MM-DD``.
        began: what the day began with: ``new``, or ``new@LSN`` where the log had no record up to that one any more.
        names: symbols by number; on one date a number keeps its symbol.
        closed_by: (n,) the records that closed them.
        rows: (n, ``book_kernel.ROW``).
        outputs: (n, ``book_kernel.OUTPUTS``); NaN is null.
        made_us: when they were closed here, UTC microseconds; 0 unknown.
    """

    wal_id: str
    lsn: int
    date: str
    began: str
    names: tuple[str, ...]
    closed_by: Ints
    rows: Ints
    outputs: Floats
    made_us: int = 0

    def __len__(self) -> int:
        return len(self.rows)


def rows_of(closed: Sequence[ClosedSeconds]) -> pa.Table:
    """Rows of ``features_served_1s`` of one date, without ``date``; NaN becomes null."""
    schema = FEATURE_SCHEMAS[TABLE]
    names = [name for name in schema.names if name != "date"]
    if not closed:
        return schema.empty_table().select(names)
    parts = [_rows(list(part)) for _, part in groupby(closed, lambda each: (each.wal_id, each.began))]
    return pa.concat_tables(parts).unify_dictionaries().select(names)


def _rows(closed: list[ClosedSeconds]) -> pa.Table:
    """Rows of one log and one beginning: few columns of many small parts would cost more than the rows."""
    last, rows = closed[-1], np.concatenate([each.rows for each in closed])
    outputs = np.concatenate([each.outputs for each in closed])
    made_us = np.repeat([each.made_us for each in closed], [len(each) for each in closed])
    both, silent, count = rows[:, kernel.ROW_BID] + rows[:, kernel.ROW_ASK], rows[:, kernel.ROW_VOLUME] == 0, len(rows)
    symbol = rows[:, kernel.ROW_SERIES].astype(np.int32)
    columns = {
        "symbol": pa.DictionaryArray.from_arrays(symbol, pa.array(last.names, pa.string())),
        "scope": _same(SCOPE, count),
        "session_set": _same(str(Session.REGULAR), count),
        "ts": pa.array(rows[:, kernel.ROW_SECOND] * 1_000_000).cast(TIMESTAMP),
        "wal_id": _same(last.wal_id, count),
        "lsn": pa.array(np.concatenate([each.closed_by for each in closed])),
        **{name: pa.array(rows[:, at] / 100.0, mask=silent) for name, at in _PRICES.items()},
        "volume": pa.array(rows[:, kernel.ROW_VOLUME]),
        "mid": pa.array(both / 200.0, mask=both == 0),
        "quotes": pa.array(rows[:, kernel.ROW_QUOTES]),
        "trades": pa.array(rows[:, kernel.ROW_TRADES]),
        **{name: pa.array(outputs[:, at], from_pandas=True) for at, name in enumerate(BOOK_FEATURES)},
        "kernel": pa.array(np.full(count, kernel.VERSION, np.int32)),
        "began": _same(last.began, count),
        "served_at": pa.array(made_us, mask=made_us == 0).cast(TIMESTAMP),
    }
    return pa.table(columns)


def _same(text: str, count: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([text], pa.string()))
