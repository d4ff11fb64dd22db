"""Bars of a file into the tables of external bars: judged row by row, committed date by date, twice without effect."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.errors import InputError
from hosu.lake.import_checks import REASONS, Known, Verdict, judge
from hosu.lake.import_parse import PRICES, parse
from hosu.lake.instruments import universe, universe_dates
from hosu.lake.lease import maintenance
from hosu.lake.parquet import encode, live_name
from hosu.lake.sql import SqlConfig, combine
from hosu.market.bars import BARS_EXTERNAL, DAILY, MINUTES
from hosu.market.events import TIMESTAMP
from hosu.market.instruments import InstrumentType, from_arrow
from hosu.market.rules import limits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.lake.delta import DataFile, Table
    from hosu.lake.import_checks import Verdicts
    from hosu.lake.import_file import Source
    from hosu.lake.import_parse import RawBars
    from hosu.lake.lake import Lake

_EXAMPLES: Final = 3
_EPOCH: Final = date(1970, 1, 1).toordinal()
_FUNDS: Final = frozenset({InstrumentType.ETF, InstrumentType.FOREIGN_ETF, InstrumentType.ETN})

_FRESH: Final = """
-- Rows of the file that the table does not have, or has with other values. Grain: a bar. Their revision is higher than
-- any before, whatever the clock says.
WITH latest AS (
  SELECT * FROM kept WHERE source = '{source}' AND scope = '{scope}' AND adjusted = {adjusted}
  QUALIFY row_number() OVER (PARTITION BY symbol, ts ORDER BY revision DESC) = 1
)
SELECT incoming.* REPLACE (greatest(incoming.revision, top.revision + 1) AS revision)
FROM incoming CROSS JOIN (SELECT coalesce(max(revision), -1) AS revision FROM latest) AS top ANTI JOIN latest
ON incoming.symbol = latest.symbol AND incoming.ts = latest.ts
   AND incoming.open = latest.open AND incoming.high = latest.high AND incoming.low = latest.low
   AND incoming.close = latest.close AND incoming.volume = latest.volume
   AND incoming.value IS NOT DISTINCT FROM latest.value
ORDER BY symbol, ts
"""


@dataclass(frozen=True, slots=True)
class ImportConfig:
    """What is said of a file. ``name`` stands in the rows' ``source`` behind ``import:``."""

    kind: str
    name: str
    scope: str
    adjusted: bool
    zone: str = "Asia/Seoul"
    units: Mapping[str, str] | None = None
    any_code: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Rows with one verdict: how many, and the numbers of the first, from 1 behind the header."""

    verdict: Verdict
    rows: int
    first: tuple[int, ...]

    @property
    def reason(self) -> str:
        return REASONS[self.verdict]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a file's rows: ``accepted`` and the refused ones are all of ``rows``.

    Of the accepted, ``written`` are new to the lake; the others were there already. ``verdicts`` has an entry a row of
    the file's table (lines with a wrong number of fields have none).
    """

    rows: int
    accepted: int
    written: int
    dates: int
    refused: tuple[Refused, ...]
    verdicts: Verdicts


def import_bars(
    lake: Lake,
    source: Source,
    config: ImportConfig,
    clock: Clock,
    *,
    sql: SqlConfig | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Takes what of a file is bars into the lake. A run that is killed leaves whole dates; the next one goes on.

    Args:
        progress: called after each date with the dates done and the dates there are.

    Raises:
        InputError: a unit, the zone or the name is none.
        LockedError: somebody else imports, or maintains the table.
    """
    if not config.name.replace("-", "").replace("_", "").replace(".", "").isalnum() or len(config.name) > 64:
        raise InputError(f"--name {config.name!r}", "is no name", "use letters, digits, - _ and . , 64 at most")
    bars = parse(source, config.kind, config.zone, config.units)
    verdicts = judge(bars, config.kind, config.scope, _known(lake, bars, config, clock))
    rows = _accepted(bars, verdicts, config, clock.now_us())
    written = dates = 0
    if rows.num_rows:
        table = lake.table(DAILY if config.kind == "daily" else MINUTES)
        written, dates = _Writer(lake, table, config, clock, sql or SqlConfig()).write(rows, progress)
    refused = _refused(source, verdicts)
    return Imported(source.rows, rows.num_rows, written, dates, refused, verdicts)


def _known(lake: Lake, bars: RawBars, config: ImportConfig, clock: Clock) -> Known:
    days = universe_dates(lake)
    if not days:
        return Known(clock.now_us())
    table = lake.find("instruments")
    assert table is not None, "it has dates"
    codes = None
    if not config.any_code:
        codes = frozenset(pc.unique(table.dataset().to_table(columns=["symbol"]).column("symbol")).to_pylist())
    limits: dict[date, dict[str, tuple[int, int]]] = {}
    if not config.adjusted:  # adjusted prices know no limits
        there = {date.fromordinal(int(n) + _EPOCH) for n in np.unique(bars.day[bars.readable]) if n > -_EPOCH}
        limits = {day: _limits(lake, day) for day in map(date.fromisoformat, days) if day in there}
    return Known(clock.now_us(), codes, limits)


def _limits(lake: Lake, day: date) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for instrument in from_arrow(universe(lake, day.isoformat())):
        # A fund may be leveraged, which the universe does not say.
        bounds = limits_of(instrument, day) if instrument.type not in _FUNDS else None
        if bounds is not None:
            found[instrument.symbol] = (bounds.lower, bounds.upper)
    return found


def _accepted(bars: RawBars, verdicts: Verdicts, config: ImportConfig, now_us: int) -> pa.Table:
    rows = np.flatnonzero(verdicts == Verdict.ACCEPTED)
    n = len(rows)
    codes = pa.array(bars.codes, pa.string()).take(pa.array(bars.code[rows]))
    days = pa.array(bars.day[rows].astype(np.int32)).cast(pa.date32()).cast(pa.string())
    value = np.full(n, np.nan) if bars.value is None else bars.value[rows]
    columns: dict[str, Any] = {
        "date": days,
        "wal_id": pa.nulls(n, pa.string()),
        "lsn": pa.nulls(n, pa.int64()),
        "record_no": pa.nulls(n, pa.int32()),
        "fetched_at": pa.array(np.full(n, now_us)).cast(TIMESTAMP),
        "scope": pa.array([config.scope] * n, pa.string()),
        "symbol": codes,
        "ts": pa.array(bars.ts_us[rows]).cast(TIMESTAMP),
        **{name: pa.array(bars.prices[name][rows]) for name in PRICES},
        "volume": pa.array(bars.volume[rows].astype(np.int64)),
        "value": pa.array(value, mask=np.isnan(value)),
        "adjusted": pa.array(np.full(n, config.adjusted)),
        "source": pa.array([f"import:{config.name}"] * n, pa.string()),
        "revision": pa.array(np.full(n, now_us)),
    }
    return pa.table([columns[field.name] for field in BARS_EXTERNAL], schema=BARS_EXTERNAL)


def _refused(source: Source, verdicts: Verdicts) -> tuple[Refused, ...]:
    numbers = row_numbers(source)
    found = []
    if source.broken:
        first = tuple(number for number, _ in source.broken[:_EXAMPLES])
        found.append(Refused(Verdict.FIELDS, len(source.broken), first))
    counts = Counter(verdicts.tolist())
    for verdict in REASONS:
        if counts[verdict]:
            first = tuple(numbers[np.flatnonzero(verdicts == verdict)[:_EXAMPLES]].tolist())
            found.append(Refused(verdict, counts[verdict], first))
    return tuple(found)


def row_numbers(source: Source) -> npt.NDArray[np.int64]:
    """The number of each row of the file's table among all rows of the file, from 1."""
    broken = {number for number, _ in source.broken}
    if not broken:
        return np.arange(1, source.table.num_rows + 1)
    every = np.arange(1, source.rows + 1)
    return every[~np.isin(every, list(broken))]


# --- into the lake ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes one file's bars into one table, under its maintenance lease."""

    lake: Lake
    table: Table
    config: ImportConfig
    clock: Clock
    sql: SqlConfig

    def write(self, rows: pa.Table, progress: Callable[[int, int], None] | None) -> tuple[int, int]:
        """How many rows of how many dates were new."""
        table = self.table
        written = touched = 0
        with maintenance(self.lake.storage, table.spec.name, self.clock) as lease:
            table.refresh()
            kept: dict[str, list[DataFile]] = {}
            for file in table.files():
                kept.setdefault(file.date, []).append(file)
            parts = _by_date(_conformed(rows, table.spec.schema))
            for done, (day, part) in enumerate(parts, 1):
                fresh = self._fresh(kept.get(day, []), part)
                if fresh.num_rows:
                    self._commit(day, fresh)
                    written, touched = written + fresh.num_rows, touched + 1
                    lease.renew()
                if progress is not None:
                    progress(done, len(parts))
            table.sync()
        return written, touched

    def _fresh(self, files: list[DataFile], part: pa.Table) -> pa.Table:
        if not files:
            return part
        config = self.config
        query = _FRESH.format(source=f"import:{config.name}", scope=config.scope, adjusted=config.adjusted)
        tables, beside = {"kept": (self.table, files)}, {"incoming": part}
        found = combine(self.lake.storage, query, files=tables, beside=beside, config=self.sql)
        return found.select(part.schema.names).cast(part.schema)

    def _commit(self, day: str, rows: pa.Table) -> None:
        table = self.table
        stored = table.store(day, live_name(), encode(table.spec, rows.drop_columns(["date"]), level=3))
        # A rewrite that removes nothing is refused if another came first, and looked up if its outcome is unknown.
        table.rewrite([], [stored], data_change=True)


def _conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the table's columns; a file says nothing of those that only the broker fills."""
    whole = rows
    for each in schema:
        if each.name not in rows.column_names:
            whole = whole.append_column(each, pa.nulls(rows.num_rows, each.type))
    return whole.select(schema.names)


def _by_date(rows: pa.Table) -> list[tuple[str, pa.Table]]:
    ordered = rows.sort_by([("date", "ascending"), ("symbol", "ascending"), ("ts", "ascending")])
    counts = pc.value_counts(ordered.column("date").combine_chunks())
    starts = np.concatenate(([0], np.cumsum(counts.field("counts").to_numpy(zero_copy_only=False))))
    names = counts.field("values").to_pylist()
    return [(day, ordered.slice(int(starts[i]), int(starts[i + 1] - starts[i]))) for i, day in enumerate(names)]
