"""What is known of days beside their bars, as one number a day: whether a date has to be built again.

A factor is told by the day's base prices and split ratios, by who was halted the session before, and by the closes that
daily bars from outside tell of it. They may come after the bars, and then the date is built anew; read again without a
change, or polled once more, they change nothing. What else tells a close (``official_closes``) bars are made of too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.features.bars_sql import EVENTS
from hosu.features.dated_rules import day_of, previous_sessions
from hosu.features.official_closes import TOLD, closing_hours
from hosu.lake.sql import SqlConfig, combine
from hosu.lake.tables import TABLES
from hosu.market.bars import DAILY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake

_NUMBERS: Final = """
-- A number of each day that changes with what tells its factors. Grain: date.
WITH listed AS (
  SELECT date, concat_ws('|', symbol, base_price, market, type) AS fact FROM instruments WHERE base_price > 0
),
halts AS (
  SELECT days.date, concat_ws('|', 'halted', symbol) AS fact FROM instruments
  JOIN days ON days.before = instruments.date WHERE halted
),
polled AS (
  SELECT date, concat_ws('|', 'polled', symbol, arg_max(base_price, ts_recv)) AS fact
  FROM snapshots WHERE scope = '{scope}' AND base_price > 0 GROUP BY date, symbol
),
events AS ({events}),
split AS (
  -- The last row counts, also where it takes a ratio back: only then is it asked whether there is one.
  SELECT date, concat_ws('|', 'split', symbol, split_ratio) AS fact
  FROM events WHERE split_ratio > 0 AND split_ratio <> 1
),
told AS (SELECT * FROM ({told}) WHERE close > 0),
-- Of its own day too: it is part of the state that is laid down behind it.
closed AS (
  SELECT days.date, concat_ws('|', 'closed', symbol, close) AS fact FROM told JOIN days ON days.before = told.date
  UNION ALL
  SELECT date, concat_ws('|', 'closes', symbol, close) FROM told
)
SELECT date, (bit_xor(md5_number_lower(fact)) & 4294967295)::BIGINT AS number
FROM (FROM listed UNION ALL FROM halts UNION ALL FROM polled UNION ALL FROM split UNION ALL FROM closed)
     SEMI JOIN days USING (date)
GROUP BY date
"""


def fact_numbers(
    lake: Lake, dates: Collection[str], *, scope: str = "KRX", config: SqlConfig | None = None
) -> dict[str, int]:
    """Of each of these dates (``YYYY-MM-DD``) of which something is known, a number that changes with it.

    Polls count on days of which no list of instruments is there; where there is one it goes before them. One of a
    symbol that the list does not have is not looked at: reading all polls of all days costs more than it tells.

    Raises:
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    if not dates:
        return {}
    days = sorted(dates)
    before = previous_sessions(np.array([int(day.replace("-", "")) for day in days], np.int64)).tolist()
    earlier = [day_of(number).isoformat() if number else "" for number in before]
    instruments, snapshots = lake.find("instruments"), lake.find("snapshots")
    listed = set(instruments.dates()) if instruments is not None else set()
    chosen = {
        "instruments": _files(instruments, {*days, *earlier}.__contains__),
        "snapshots": _files(snapshots, {*days}.difference(listed).__contains__),
        "daily": _files(lake.find(DAILY), {*days, *earlier}.__contains__),
    }
    files = {name: found for name, found in chosen.items() if found is not None}
    names = {"daily": DAILY}
    beside = {role: TABLES[names.get(role, role)].schema.empty_table() for role in chosen if role not in files}
    beside["days"] = pa.table({"date": pa.array(days, pa.string()), "before": pa.array(earlier, pa.string())})
    beside["hours"] = closing_hours(each for each in (*days, *earlier) if each)
    sql = _NUMBERS.format(scope=scope, events=EVENTS.format(scope=scope), told=TOLD)
    found = combine(lake.storage, sql, files=files, beside=beside, config=config or SqlConfig())
    return dict(zip(found.column("date").to_pylist(), found.column("number").to_pylist(), strict=True))


def _files(table: Table | None, wanted: Callable[[str], bool]) -> tuple[Table, Sequence[DataFile]] | None:
    if table is None:
        return None
    return table, sorted((file for file in table.files() if wanted(file.date)), key=lambda file: file.path)
