"""Predictions behind the closing auction, from the rows of indicators and features: ``hosu predict``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date as Date  # noqa: N812
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from hosu.clock import SystemClock
from hosu.errors import HosuError, InputError, LakeUnreachableError
from hosu.features.dated_rules import hours
from hosu.features.finished import unfinished
from hosu.lake.bar_sources import COVERAGE, DAY_BARS
from hosu.lake.sql import SqlConfig, combine
from hosu.market.calendar import next_session
from hosu.market.day_plan import Scope
from hosu.models.journal import TABLE, add_new, answered_before
from hosu.models.predictor import SCHEMA, BarFacts, feature_hash, predict
from hosu.models.prior import rates_of_days
from hosu.models.registry import HORIZONS, PRIOR, Registry
from hosu.models.registry import TABLE as MODEL_EVENTS
from hosu.models.seats import Seats, models_of
from hosu.models.servable import SERVED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hosu.clock import Clock
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import Floats
    from hosu.lake.lake import Lake
    from hosu.models.history import Rates
    from hosu.models.journal import Before

_FEATURES: Final = "ml_features"
_BARS: Final = "technical_indicators"
_ROWS: Final = """
WITH known AS (SELECT symbol, state FROM coverage WHERE scope = 'KRX'
               QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY revision DESC, built_at DESC) = 1)
SELECT b.symbol, epoch_us(b.ts) AS ts, b.close, b.volume, b.source, f.features, k.state,
       coalesce(d.volume > 0 AND (d.close <> b.close OR d.volume <> b.volume), false) AS outdated
FROM bars b JOIN features f ON f.symbol = b.symbol AND f.scope = b.scope AND f.ts = b.ts
LEFT JOIN known k ON k.symbol = b.symbol
LEFT JOIN built d ON d.symbol = b.symbol AND d.scope = b.scope AND d.session_set = 'regular'
WHERE f.feature_set = '{feature_set}' AND b.scope = 'KRX' ORDER BY b.symbol
"""
_CERTAIN: Final = "certified"
_OPEN: Final = "open"


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was predicted of one date.

    Attributes:
        date: ``YYYY-MM-DD``.
        rows: of ``predictions``, without ``date``, of all models asked for.
        added: how many of them are new in the journal.
        too_late: whether the outcome may be known already, so that nothing was journaled.
        notes: in sentences, who could not answer and who answered instead, and whose answers came second.
        counted: in sentences, which base rates were counted for version 0 and stay.
    """

    date: str
    rows: pa.Table
    added: int
    too_late: bool
    notes: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()


def predict_day(
    lake: Lake,
    date: str | None = None,
    *,
    models: Sequence[str] | None = None,
    features: FeatureSet = SERVED,
    journal: bool = True,
    clock: Clock | None = None,
    config: SqlConfig | None = None,
) -> Predicted:
    """Predicts what comes after a day, with champion and challenger of each daily model, and journals it.

    Once the next session has opened, what can be entered is over: nothing is journaled then, and every row abstains.
    A bar has one champion: who is promoted in the same evening is journaled from the next day on.

    Where nobody has counted the base rates of version 0 yet, and there are sessions enough, they are counted here, by
    the bars up to that day; with the first prediction that is journaled they are kept.

    Args:
        lake: whose rows of indicators and features.
        date: of the bars; None: the newest there are.
        models: ``day-1``, ``day-5``; None: both.
        features: the set that is served.
        journal: whether it is written down.
        clock: for now.
        config: what DuckDB may take.

    Raises:
        InputError: no features of that date or set, or an unknown model.
        TableCorruptError, QueryError, LakeFullError, CommitConflictError: the lake cannot be read or written.
        LakeUnreachableError: whoever should answer cannot be looked up or loaded now; nothing was journaled, since a
            bar has one champion, and whoever stands in would be that for good.
    """
    timer, asked = clock or SystemClock(), _asked(models)
    chosen = date or newest(lake)
    _require_whole(lake, chosen, timer.now_us())
    bars, made = bars_of_day(lake, chosen, features, timer.now_us(), config or SqlConfig())
    notes: list[str] = []
    told: list[str] = []
    registry = Registry(lake, timer)
    rates: dict[str, Rates] = {}
    if timer.now_us() < entry_us(chosen):  # later every row abstains
        rates = rates_of_days(
            lake,
            registry,
            asked,
            chosen,
            keep=journal,
            config=config or SqlConfig(),
            tell=told.append,
            warn=notes.append,
        )
    seats = Seats(lake, registry, asked, features, counted=rates, tell=notes.append)
    seats.refresh()
    if seats.may_come_right and journal:
        raise LakeUnreachableError(MODEL_EVENTS, f"nothing was journaled: {'; '.join(notes)}")
    tables, ask = [], partial(predict, feature_set=features.version, names=features.features, hashes=feature_hash(made))
    for seat in seats.now:
        try:
            tables.append(ask(seat, bars, made, made_at=timer.now_us))
        except HosuError as error:
            notes.append(f"{seat.served.facts.model}: version {seat.version} does not answer: {error}")
    rows = pa.concat_tables([SCHEMA.empty_table(), *tables])
    too_late, decided = (
        timer.now_us() >= entry_us(chosen),
        not len(bars) or timer.now_us() >= int(bars.decided_at.max()),
    )
    added = 0
    if journal and decided and not too_late:
        added = add_new(lake, TABLE, {chosen: rows}, one_champion=True)
        notes += [_left_out(each, chosen) for each in answered_before(lake, chosen, rows)]
    return Predicted(chosen, rows, added, too_late, tuple(notes), tuple(told))


def _require_whole(lake: Lake, date: str, now_us: int) -> None:
    number = int(date.replace("-", ""))
    if int(hours([number]).close[0]) <= now_us and unfinished(lake, [number], now_us):
        again = "build them again with `hosu lake bars`, and then `hosu features build`"
        raise InputError(f"day bars of {date}", "were built before the session was over", again)


def _left_out(each: Before, date: str) -> str:
    was, now = ("the prior" if version == PRIOR else f"version {version}" for version in (each.before, each.now))
    return f"{each.model}: {was} was champion for {each.bars:,} bars of {date}; what {now} says of them is left out"


def _asked(models: Sequence[str] | None) -> tuple[str, ...]:
    daily = models_of("day")
    for model in models or ():
        if model not in daily:
            what = "is predicted live, at each minute's close" if model in HORIZONS else "does not exist"
            raise InputError(f"model {model!r}", what, f"choose {' or '.join(daily)}")
    return tuple(models or daily)


def newest(lake: Lake) -> str:
    """The newest date of which there are features.

    Raises:
        InputError: there are none.
    """
    table = lake.find(_FEATURES)
    dates = table.dates() if table is not None else []
    if not dates:
        raise InputError("features of days", "are not in this lake", "build them with `hosu features build`")
    return dates[-1]


def entry_us(date: str) -> int:
    """When what was decided on that day is entered: the next session's open, UTC microseconds.

    Raises:
        CalendarRangeError: the next session is beyond the calendar that is known.
    """
    following = next_session(Date.fromisoformat(date))
    number = following.year * 10_000 + following.month * 100 + following.day
    return int(hours([number], Scope.KRX).open[0])


def bars_of_day(lake: Lake, date: str, features: FeatureSet, now_us: int, config: SqlConfig) -> tuple[BarFacts, Floats]:
    """The bars of a date, and their features (n, k).

    Raises:
        InputError: there are none.
        NoSessionError: there was no session that day.
    """
    found = _rows(lake, date, features, config)
    if not found.num_rows:
        fault = f"there are none of {features.version} in this lake"
        raise InputError(f"features of {date}", fault, "build them with `hosu features build`")
    count, volume = found.num_rows, found.column("volume").to_numpy()
    symbols = np.array(found.column("symbol").to_pylist(), object)
    decided = int(hours([int(date.replace("-", ""))], Scope.KRX).close[0])
    late = f"stale: what was decided on {date} would have been entered already" if now_us >= entry_us(date) else None
    outdated = found.column("outdated").to_pylist()
    stale = [late or _stale(each, old) for each, old in zip(volume.tolist(), outdated, strict=True)]
    states = found.column("state").to_pylist()
    bars = BarFacts(
        date=date,
        symbol=symbols,
        ts=found.column("ts").to_numpy(),
        decided_at=np.full(count, decided),
        price=found.column("close").to_numpy(),
        source=np.array(found.column("source").to_pylist(), object),
        stale=np.array(stale, object),
        gapped=np.array(["gapped day: open" if state == _OPEN else None for state in states], object),
        uncertified=np.array([_doubt(state) for state in states], object),
    )
    return bars, _vectors(found.column("features").to_pylist(), len(features.features))


def _rows(lake: Lake, date: str, features: FeatureSet, config: SqlConfig) -> pa.Table:
    places = {"bars": _BARS, "features": _FEATURES, "coverage": COVERAGE, "built": DAY_BARS}
    tables = {name: lake.find(place) for name, place in places.items()}
    files = {name: (table, table.files(date)) for name, table in tables.items() if table is not None}
    beside = {}
    for name, place in places.items():
        if name not in files:
            beside[name] = lake.spec(place).schema.empty_table()
    sql = _ROWS.format(feature_set=features.version)
    return combine(lake.storage, sql, files=files, beside=beside, config=config)


def _stale(volume: int, outdated: bool) -> str | None:
    if outdated:
        return "stale: its bar has changed since its features were made"
    return None if volume > 0 else "stale: no trade on this day"


def _doubt(state: str | None) -> str | None:
    if state == _CERTAIN:
        return None
    return f"uncertified day: {'no ledger' if state is None else state}"


def _vectors(rows: list[list[float] | None], width: int) -> Floats:
    null = [float("nan")] * width
    return np.array([row if row is not None else null for row in rows], np.float64).reshape(-1, width)
