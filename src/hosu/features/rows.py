"""Rows of the tables of indicators and features, made from a panel and the kernel's outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.features import kernel
from hosu.features.bars_of_lake import Origin
from hosu.lake.tables import TABLES
from hosu.market.bars import BarSource
from hosu.market.features import INDICATORS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import BarPanel, Floats, Ints
    from hosu.features.scalers import Scaler

_SOURCES: Final = {
    Origin.CERTIFIED: BarSource.CERTIFIED.value,
    Origin.TRADES: BarSource.TRADES.value,
    Origin.REST: BarSource.REST.value,
    Origin.IMPORT: BarSource.IMPORT.value,
    Origin.POLL: BarSource.POLL.value,
    Origin.ADJUSTED: "import:adjusted",
}
_BESIDE: Final = ("price_change", "price_change_pct", "volume_ma_ratio", "volatility")


class Rows:
    """Makes the rows of one date after the other from a whole panel; each in order of (symbol, ts).

    Args:
        bars: the panel; ``n`` bars.
        origin: (n,) ``Origin``.
        outputs: (n, ``kernel.OUTPUTS``).
        scope: of all bars.
    """

    def __init__(self, bars: BarPanel, origin: npt.NDArray[np.uint8], outputs: Floats, scope: str = "KRX") -> None:
        self._bars, self._origin, self._outputs, self._scope = bars, origin, outputs, scope
        self._by_date = np.argsort(bars.date, kind="stable")
        self._dates = bars.date[self._by_date]
        self._symbol = bars.symbol
        self._symbols = pa.array(bars.symbols, pa.string())

    def of(self, date: int) -> Ints:
        """Which rows of the panel are of a date, yyyymmdd."""
        first, end = np.searchsorted(self._dates, [date, date + 1])
        return self._by_date[first:end]

    def symbols_since(self, date: int) -> int:
        """How many symbols have bars from a date on."""
        return len(np.unique(self._symbol[self._bars.date >= date]))

    def indicators(self, name: str, date: int, revision: int) -> pa.Table:
        """Rows of ``technical_indicators`` or its ``_1m`` form."""
        at = self.of(date)
        columns = {
            **self._key(at),
            "close": pa.array(self._bars.close[at] / 100.0),
            "volume": pa.array(self._bars.volume[at]),
            **{each: _nullable(self._outputs[at, place]) for place, each in enumerate(INDICATORS)},
            "source": self._source(at),
            "kernel": pa.array(np.full(len(at), kernel.VERSION, np.int32)),
            "revision": pa.array(np.full(len(at), revision, np.int64)),
        }
        return _table(name, columns)

    def features(
        self, name: str, date: int, sets: Sequence[FeatureSet], revision: int, scalers: Sequence[Scaler | None] = ()
    ) -> pa.Table:
        """Rows of ``ml_features`` or its ``_1m`` form: of each bar one for each set, scaled by the set's scaler (None,
        and none at all: not scaled)."""
        at = np.repeat(self.of(date), len(sets))
        which = np.tile(np.arange(len(sets)), len(at) // max(1, len(sets)))
        by = list(scalers) or [None] * len(sets)
        values = self._values(at, which, sets)
        scaled = np.full_like(values, np.nan)
        for place, scaler in enumerate(by):
            if scaler is not None:
                scaled[which == place] = scaler.scaled(values[which == place])
        columns = {
            **self._key(at),
            "feature_set": pa.DictionaryArray.from_arrays(
                pa.array(which.astype(np.int32)), pa.array([each.version for each in sets], pa.string())
            ).cast(pa.string()),
            "features": vectors(values),
            "scaled_features": vectors(scaled),
            "scaler": pa.array([None if each is None else each.name for each in by], pa.string()).take(pa.array(which)),
            **{each: _nullable(self._outputs[at, INDICATORS.index(each)]) for each in _BESIDE},
            "source": self._source(at),
            "revision": pa.array(np.full(len(at), revision, np.int64)),
        }
        return _table(name, columns)

    def _values(self, at: Ints, which: Ints, sets: Sequence[FeatureSet]) -> Floats:
        """(n, k) features of rows of several sets, interleaved."""
        width = {len(each.features) for each in sets}
        assert len(width) == 1, "sets of one table are of one width"
        values = np.empty((len(at), width.pop()))
        for place, each in enumerate(sets):
            mine = which == place
            values[mine] = each.make(self._outputs[at[mine]], self._bars.close[at[mine]] / 100.0)
        return values

    def _key(self, at: Ints) -> dict[str, pa.Array]:
        count = len(at)
        return {
            "symbol": self._symbols.take(pa.array(self._symbol[at])),
            "scope": pa.array([self._scope] * count, pa.string()),
            "session_set": pa.array(["regular"] * count, pa.string()),
            "ts": pa.array(self._bars.ts[at]),
        }

    def _source(self, at: Ints) -> pa.Array:
        names = pa.array([_SOURCES[each] for each in Origin], pa.string())
        idle = self._bars.volume[at] == 0
        return names.take(pa.array(self._origin[at].astype(np.int32), mask=idle))


def vectors(values: Floats) -> pa.Array:
    """A list a row; null where one of its values is."""
    null = np.isnan(values).any(axis=1)
    offsets = np.concatenate([[0], np.cumsum(np.where(null, 0, values.shape[1]))]).astype(np.int32)
    mask = pa.array(null) if null.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[~null].reshape(-1)), mask=mask)


def _nullable(values: Floats) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))


def _table(name: str, columns: dict[str, pa.Array]) -> pa.Table:
    schema = TABLES[name].file_schema
    return pa.table([columns[field.name].cast(field.type) for field in schema], schema=schema)
