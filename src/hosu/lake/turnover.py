"""How much each symbol trades, as far as the lake knows: what a universe by turnover is ranked by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

if TYPE_CHECKING:
    from hosu.lake.lake import Lake

_SOURCES: Final = (("processed_ohlcv", "value"), ("snapshots", "cum_value"))


def latest_turnover(lake: Lake) -> dict[str, float]:
    """The traded value in won, by symbol, of the last day that has one: day bars, else snapshots of REST polls.

    Of several scopes and sessions the largest counts. Empty where the lake has neither; a symbol that is in none of
    them is left out.
    """
    found: dict[str, float] = {}
    latest = ""
    for name, column in _SOURCES:
        table = lake.find(name)
        dates = [] if table is None else table.dates()
        if table is None or not dates or dates[-1] < latest:
            continue
        latest = dates[-1]
        rows = table.dataset().to_table(columns=["symbol", column], filter=pc.field("date") == latest)
        largest = rows.group_by("symbol").aggregate([(column, "max")])
        values = zip(largest.column("symbol").to_pylist(), largest.column(f"{column}_max").to_pylist(), strict=True)
        for symbol, value in values:
            if symbol is not None and value is not None:
                found[str(symbol)] = max(float(value), found.get(str(symbol), 0.0))
    return found
