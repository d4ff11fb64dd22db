"""What the lake has of bars that somebody else made."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Final

from hosu.lake.sql import SqlConfig, query_files
from hosu.market.bars import DAILY, MINUTES
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from collections.abc import Callable

    from hosu.lake.lake import Lake

_HAVE: Final = """
-- Symbol-days of the broker's bars, and the first and the last of them. Grain: symbol, date.
SELECT symbol, date, epoch_us(min(ts)) AS first_us, epoch_us(max(ts)) AS last_us
FROM rows WHERE scope = '{scope}' AND adjusted = {adjusted} AND source LIKE 'kis:%'
GROUP BY symbol, date
"""


def days_fetched(
    lake: Lake,
    kind: str,
    scope: str,
    first: date,
    end: date,
    *,
    adjusted: bool,
    hours: Callable[[date, str], tuple[int, int]],
    config: SqlConfig | None = None,
) -> dict[str, set[date]]:
    """By symbol, the days (``first <= day < end``) of which the lake has the broker's bars.

    Of minutes a day counts if it has its first and its last one: pages come from the close back, so that a run
    which was cut off lacks the first.

    Args:
        kind: ``daily`` or ``minutes``.
        hours: the seconds of a day between which its minutes lie, by day and scope.
    """
    table = lake.find(DAILY if kind == "daily" else MINUTES)
    span = (first.isoformat(), end.isoformat())
    files = [] if table is None else [file for file in table.files() if span[0] <= file.date < span[1]]
    if table is None or not files:
        return {}
    sql = _HAVE.format(scope=scope, adjusted=adjusted)
    found: dict[str, set[date]] = {}
    for row in query_files(lake.storage, table, files, sql, config=config or SqlConfig()):
        day = date.fromisoformat(row["date"])
        opens, closes = (instant_us(day, second) for second in hours(day, scope))
        if kind == "daily" or (row["first_us"] <= opens and row["last_us"] >= closes):
            found.setdefault(row["symbol"], set()).add(day)
    return found
