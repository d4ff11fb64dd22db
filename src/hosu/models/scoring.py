"""What became of predictions: outcomes are added when they have matured, by the code that made the training labels.

A prediction waits as long as its outcome can still come. One whose bar is not among the bars that were built (a minute
without a trade has none, and a symbol may have left the lake) ends without a label, with the reason ``no_bar``, once
bars of others reach behind its horizon.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date  # noqa: N812
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hosu.clock import SystemClock
from hosu.errors import InputError
from hosu.features.dated_rules import hours
from hosu.features.finished import unfinished
from hosu.features.label_minutes import SILENCE_US
from hosu.features.labels import Reason
from hosu.features.labels_of_lake import LabelsOfLake
from hosu.lake.sql import SqlConfig, combine
from hosu.market.bars import MINUTE_US
from hosu.market.events import TIMESTAMP
from hosu.market.predictions import PREDICTION_SCHEMAS
from hosu.models.journal import FIRST_MADE, KEY, OUTCOMES, TABLE, add_new
from hosu.models.scores import brier

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.clock import Clock
    from hosu.features.panel import Flags, Ints, LabelledRows
    from hosu.lake.lake import Lake

SCHEMA: Final = pa.schema([each for each in PREDICTION_SCHEMAS[OUTCOMES] if each.name != "date"])
WARM_UP_DAYS: Final = {"day": 60, "minute": 60}
"""Calendar days of bars before the first prediction: 20 returns for the band, 20 days of value; the longest holidays
are eleven days."""
NO_BAR: Final = "no_bar"
"""The reason of an outcome whose decision has no bar."""
_OPEN: Final = """
SELECT p.date, {key}, epoch_us(p.decided_at) AS t, p.p_down, p.p_flat, p.p_up, p.abstained
FROM predictions p ANTI JOIN outcomes o USING (date, {key})
WHERE p.interval = '{interval}' QUALIFY {first} ORDER BY p.date, p.symbol
"""


@dataclass(frozen=True, slots=True)
class Scored:
    """What ``score`` did.

    Attributes:
        interval: ``day`` or ``minute``.
        scored: outcomes added, with a label or with the reason why there is none.
        labelled: of these, with a label.
        waiting: predictions whose time has not come.
        half_told: sessions (yyyymmdd) that are over, and whose bars were built before: nothing is scored by them until
            they are built again.
    """

    interval: str
    scored: int
    labelled: int
    waiting: int
    half_told: tuple[int, ...] = ()


def score(lake: Lake, interval: str = "day", *, clock: Clock | None = None, config: SqlConfig | None = None) -> Scored:
    """Adds the outcome of every prediction that has matured and has none; each once.

    What was never labelled in training has no label here, and says why: a halt, a missing bar, a locked entry. What
    two logs have predicted of the same bar is scored once, by what was said first. Bars
    that come after an outcome was added do not change it.

    Args:
        lake: whose predictions and bars.
        interval: of the bars, ``day`` or ``minute``.
        clock: for when it was scored.
        config: what DuckDB may take.

    Raises:
        InputError: an unknown interval.
        TableCorruptError, QueryError, LakeFullError, CommitConflictError: the lake cannot be read or written.
    """
    if interval not in WARM_UP_DAYS:
        raise InputError(f"interval {interval!r}", "is unknown", "choose day or minute")
    settings, now = config or SqlConfig(), (clock or SystemClock()).now_us()
    waiting = unscored(lake, interval, settings)
    if not waiting.num_rows:
        return Scored(interval, 0, 0, 0)
    half_told: set[int] = set()
    made, labelled = [], LabelsOfLake(lake, interval, remember=True, config=settings)
    for horizon in sorted(set(waiting.column("horizon").to_pylist())):
        mine = waiting.filter(pc.equal(waiting.column("horizon"), horizon))
        labels = labelled.rows(horizon, start=_start(mine, interval), since=pc.min(mine.column("date")).as_py())
        if labels is not None:
            told, half = _outcomes(lake, mine, labels, now)
            made.append(told)
            half_told |= half
    rows = pa.concat_tables([PREDICTION_SCHEMAS[OUTCOMES].empty_table(), *made])
    by_date = {
        str(day): rows.filter(pc.equal(rows.column("date"), day)).drop_columns(["date"]).cast(SCHEMA)
        for day in pc.unique(rows.column("date")).to_pylist()
    }
    added = add_new(lake, OUTCOMES, by_date)
    count = rows.num_rows - rows.column("direction").null_count
    return Scored(interval, added, count, waiting.num_rows - rows.num_rows, tuple(sorted(half_told)))


def unscored(lake: Lake, interval: str, config: SqlConfig) -> pa.Table:
    """Predictions without an outcome, matured or not; of those with one key the first made."""
    predictions, outcomes = lake.find(TABLE), lake.find(OUTCOMES)
    tables = {name: each for name, each in ((TABLE, predictions), (OUTCOMES, outcomes)) if each is not None}
    files = {name: (each, each.files()) for name, each in tables.items()}
    beside = {name: PREDICTION_SCHEMAS[name].empty_table() for name in (TABLE, OUTCOMES) if name not in tables}
    sql = _OPEN.format(key=", ".join(KEY), interval=interval, first=FIRST_MADE)
    return combine(lake.storage, sql, files=files, beside=beside, config=config)


def _start(waiting: pa.Table, interval: str) -> str:
    first = Date.fromisoformat(pc.min(waiting.column("date")).as_py())
    return (first - timedelta(WARM_UP_DAYS[interval])).isoformat()


def _outcomes(lake: Lake, waiting: pa.Table, labels: LabelledRows, now_us: int) -> tuple[pa.Table, set[int]]:
    """Outcomes, with ``date``, of those that have matured, and of those whose bar will not come any more; and the
    sessions that some wait for, although they are over."""
    place = _places(waiting, labels)
    matured, over = (place >= 0) & (labels.reason[place] != Reason.NOT_MATURED), _over(waiting, labels)
    half_told: set[int] = set()
    if waiting.column("interval")[0].as_py() == "day":
        ended, half_told = _ended(lake, waiting, labels, now_us)
        matured, over = matured & ended, over & ended
    gone = waiting.filter(pa.array((place < 0) & over))
    told = [_labelled(waiting.filter(pa.array(matured)), labels, place[matured], now_us), _barless(gone, now_us)]
    return pa.concat_tables(told), half_told


def _ended(lake: Lake, waiting: pa.Table, labels: LabelledRows, now_us: int) -> tuple[Flags, set[int]]:
    """(n,) of days, whether the session of exit is over, with all of its bars; False where it is not among these. And
    those that are over without having all."""
    horizon = waiting.column("horizon").to_numpy()
    dates, place = np.unique(np.array(waiting.column("date").to_pylist(), str), return_inverse=True)
    leave = np.searchsorted(labels.sessions, dates)[place] + horizon
    sessions = np.array([int(date.replace("-", "")) for date in labels.sessions], np.int64)
    known: Flags = leave < len(sessions)
    open_ = unfinished(lake, sessions[leave[known]].tolist(), now_us)
    known[known] = ~np.isin(sessions[leave[known]], list(open_))
    return known, {each for each in open_ if hours([each]).close[0] <= now_us}


def _over(waiting: pa.Table, labels: LabelledRows) -> Flags:
    """(n,) whether bars reach behind what was predicted: of days so many sessions ahead, of minutes so far ahead and
    a silence more, or to the end of the day, whichever comes first."""
    horizon = waiting.column("horizon").to_numpy()
    dates, place = np.unique(np.array(waiting.column("date").to_pylist(), str), return_inverse=True)
    if waiting.column("interval")[0].as_py() == "day":
        over: Flags = np.searchsorted(labels.sessions, dates)[place] + horizon < len(labels.sessions)
        return over
    ends = hours([int(date.replace("-", "")) for date in dates.tolist()]).close[place]
    due: Ints = np.minimum(waiting.column("t").to_numpy() + horizon * MINUTE_US + SILENCE_US, ends)
    return due <= int(labels.t.max(initial=0))


def _barless(mine: pa.Table, now_us: int) -> pa.Table:
    schema, count = PREDICTION_SCHEMAS[OUTCOMES], mine.num_rows
    told = {name: mine.column(name).combine_chunks() for name in ("date", *KEY)}
    told |= {"reason": pa.array([NO_BAR] * count), "scored_at": pa.array(np.full(count, now_us)).cast(TIMESTAMP)}
    columns = [told.get(each.name, pa.nulls(count, each.type)).cast(each.type) for each in schema]
    return pa.table(columns, schema=schema)


def _labelled(mine: pa.Table, labels: LabelledRows, at: Ints, now_us: int) -> pa.Table:
    labelled = labels.reason[at] == 0
    label = labels.label[at]
    said = np.column_stack([mine.column(name).to_numpy(zero_copy_only=False) for name in ("p_down", "p_flat", "p_up")])
    unscored_ = ~labelled | np.array([each is not None for each in mine.column("abstained").to_pylist()], bool)
    reasons = [None if code == 0 else Reason(code).name.lower() for code in labels.reason[at].tolist()]
    columns = {
        **{name: mine.column(name).combine_chunks() for name in ("date", *KEY)},
        "entered_at": _time(labels.t0[at], labelled),
        "left_at": _time(labels.t1[at], labelled),
        **{
            name: pa.array(getattr(labels, name)[at], from_pandas=True)
            for name in ("ret_px", "ret_ex", "band", "half_spread", "value_20")
        },
        "direction": pa.array(label, mask=~labelled),
        "reason": pa.array(reasons, pa.string()),
        "brier": pa.array(brier(said, label), mask=unscored_),
        "scored_at": pa.array(np.full(len(at), now_us)).cast(TIMESTAMP),
    }
    schema = PREDICTION_SCHEMAS[OUTCOMES]
    return pa.table([columns[each.name].cast(each.type) for each in schema], schema=schema)


def _time(values: Ints, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]) -> pa.Array:
    return pa.array(values, mask=~known).cast(TIMESTAMP)


def _places(waiting: pa.Table, labels: LabelledRows) -> Ints:
    """(n,) the row of the labels that was decided at the same time for the same symbol; -1 without one."""
    known: Mapping[str, int] = {symbol: at for at, symbol in enumerate(labels.symbols)}
    symbol = np.array([known.get(each, -1) for each in waiting.column("symbol").to_pylist()], np.int64)
    times, when = np.unique(labels.t, return_inverse=True)
    asked = waiting.column("t").to_numpy()
    at = np.minimum(np.searchsorted(times, asked), len(times) - 1)
    keys = when.astype(np.int64) * len(labels.symbols) + labels.symbol
    wanted = np.where((symbol >= 0) & (times[at] == asked), at * len(labels.symbols) + symbol, -1)
    order = np.argsort(keys, kind="stable")
    found = np.minimum(np.searchsorted(keys, wanted, sorter=order), len(keys) - 1)
    return np.where(keys[order][found] == wanted, order[found], -1)
