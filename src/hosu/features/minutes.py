"""One-minute bars of a date from the lake, as the kernel takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.features.panel import BarPanel
from hosu.features.reading import rows_of_date
from hosu.market.day_plan import Session

if TYPE_CHECKING:
    from collections.abc import Collection

    import numpy.typing as npt

    from hosu.lake.lake import Lake

TABLE: Final = "processed_ohlcv_1m"
_COLUMNS: Final = ("symbol", "ts", "open", "high", "low", "close", "volume", "value")


def minute_panel(lake: Lake, date: str, symbols: Collection[str] | None = None, scope: str = "KRX") -> BarPanel:
    """The minutes of the regular session in which something traded, of these symbols or of all, as they are in the
    lake: no empty ones (``grid.fill`` adds them), nothing adjusted.

    Args:
        lake: the lake; without bars of that date the panel is empty.
        date: business date, ``YYYY-MM-DD``.
        symbols: None for all.
        scope: KRX, NXT or UN.
    """
    table = lake.find(TABLE)
    if table is None:
        return _panel(date, pa.table({name: [] for name in _COLUMNS}))
    chosen = (pc.field("scope") == scope) & (pc.field("session_set") == str(Session.REGULAR))
    if symbols is not None:
        chosen &= pc.field("symbol").isin(sorted(symbols))
    rows = rows_of_date(table, date, chosen, _COLUMNS)
    return _panel(date, rows.sort_by([("symbol", "ascending"), ("ts", "ascending")]))


def _panel(date: str, rows: pa.Table) -> BarPanel:
    names = np.array(rows.column("symbol").to_pylist(), np.str_)
    symbols, starts = np.unique(names, return_index=True)
    count = len(names)
    open_, high, low, close = (_hundredths(rows, name) for name in ("open", "high", "low", "close"))
    return BarPanel(
        tuple(symbols.tolist()),
        np.append(starts, count).astype(np.int64),
        np.full(count, int(date.replace("-", "")), np.int64),
        _whole(rows, "ts"),
        open_,
        high,
        low,
        close,
        volume=_whole(rows, "volume"),
        value=np.array(rows.column("value").to_numpy(), np.float64),
        factor=np.ones(count),
        masked=np.zeros(count, np.bool_),
    )


def _hundredths(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.rint(np.array(rows.column(name).to_numpy(), np.float64) * 100.0).astype(np.int64)


def _whole(rows: pa.Table, name: str) -> npt.NDArray[np.int64]:
    return np.array(rows.column(name).combine_chunks().cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
