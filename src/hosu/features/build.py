"""Builds the tables of indicators and features: dates whose bars or base prices changed, and all after them.

An exponential mean never forgets, so a bar that was repaired changes every day behind it. What lies before it stays:
the kernel goes on from the state it had after the close of the last day that still holds.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.clock import SystemClock
from hosu.errors import InputError
from hosu.features import adjust, grid, kernel
from hosu.features.bars_of_lake import Listings, begins, panel, tables_of
from hosu.features.batch import States, indicators
from hosu.features.dated_rules import day_of
from hosu.features.day_facts import fact_numbers
from hosu.features.definitions import FEATURE_TABLES
from hosu.features.followed import followed, followed_counts
from hosu.features.grid import fill, known_of
from hosu.features.lake_versions import Pinned
from hosu.features.openings import last_trades
from hosu.features.panel import keys, select
from hosu.features.rows import Rows
from hosu.features.scalers import load_scalers
from hosu.features.states import load_states, save_states
from hosu.lake.bar_sources import COVERAGE
from hosu.lake.derived import replace_dates

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy.typing as npt
    import pyarrow as pa

    from hosu.clock import Clock
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import BarPanel
    from hosu.features.scalers import Scaler
    from hosu.lake.lake import Lake
    from hosu.lake.sql import SqlConfig

    Codes = npt.NDArray[np.uint8]

_CRC: Final = (1 << 32) - 1
_LOOK_BACK: Final = 3  # sessions
_MATTER: Final = 300  # what lies further back changes no value by a millionth; retention removes it some day
_NO_BARS: Final = "build them with `hosu lake bars`, or import some with `hosu backfill daily --from FILE`"


@dataclass(frozen=True, slots=True)
class FeaturesBuilt:
    """What a build did. ``first`` and ``last`` are None, and the counts 0, where nothing had changed.

    ``began`` is what the kernel went on from: ``new``, or date and revision of a ``feature_state``.
    """

    interval: str
    first: str | None = None
    last: str | None = None
    dates: int = 0
    symbols: int = 0
    bars: int = 0
    rows: int = 0
    began: str | None = None


def build(
    lake: Lake,
    interval: str,
    sets: Sequence[FeatureSet],
    *,
    everything: bool = False,
    clock: Clock | None = None,
    config: SqlConfig | None = None,
    progress: Callable[[str], None] | None = None,
) -> FeaturesBuilt:
    """Brings the interval's tables up to date with its bars.

    Args:
        lake: whose bars.
        interval: ``day`` or ``minute``.
        sets: the feature sets of ``ml_features``.
        everything: from the first bar on, whether it changed or not.
        clock: dates the saved states.
        config: what DuckDB may take.
        progress: told each date that is written.

    Raises:
        InputError: an unknown interval, a bar that cannot be, or no bars at all.
        LockedError: somebody else is building.
        LakeError: a table is damaged, or the lake takes nothing.
    """
    job = _Job(lake, interval, sets, clock=clock or SystemClock(), config=config, progress=progress or (lambda _: None))
    return job.run(everything=everything)


class _Job:
    """One build: what changed is found by marks that the indicators' commits keep, one a date."""

    def __init__(
        self,
        lake: Lake,
        interval: str,
        sets: Sequence[FeatureSet],
        *,
        clock: Clock,
        config: SqlConfig | None,
        progress: Callable[[str], None],
    ) -> None:
        if interval not in FEATURE_TABLES:
            raise InputError(f"interval {interval!r}", "is unknown", f"choose {' or '.join(FEATURE_TABLES)}")
        self._lake, self._interval, self._sets, self._clock = lake, interval, sets, clock
        self._config, self._progress = config, progress
        self._indicators, self._features = FEATURE_TABLES[interval]
        self._scalers = load_scalers(lake, interval, config)
        # Of all dates, for one date after another: read once there are dates to build.
        self._begun: pa.Table | None = None
        self._listings: Listings | None = None

    def run(self, *, everything: bool) -> FeaturesBuilt:
        wanted = self._fingerprints()
        if not wanted:
            raise InputError(f"bars of a {self._interval}", "are not in this lake", _NO_BARS)
        stale = sorted(wanted) if everything else self._stale(wanted)
        if not stale:
            return FeaturesBuilt(self._interval)
        if self._interval == "minute":
            pinned = Pinned.now(self._lake, tables_of(self._interval))
            self._begun, self._listings = begins(pinned, self._interval, config=self._config), Listings(pinned)
        states, began, since = load_states(self._lake, self._interval, stale[0], _held(wanted), config=self._config)
        stepped = [date for date in wanted if since is None or date > since]
        done = FeaturesBuilt(self._interval, stale[0], stale[-1], len(stale), 0, 0, 0, began)
        for dates in [stepped] if self._interval == "day" else [[date] for date in stepped]:
            bars, origin, traded = self._bars(dates, states, [*wanted])
            resumed = states.of(bars.symbols)
            rows = Rows(bars, origin, indicators(bars, resumed))
            states = dated(merged(states, resumed), traded)
            done = self._written(done, rows, [date for date in dates if date >= stale[0]], wanted)
            if dates[-1] >= stale[0]:
                held = _held(wanted)[dates[-1]]
                save_states(self._lake, self._interval, dates[-1], states, bars=held, revision=self._clock.now_us())
        return done

    def _bars(
        self, dates: Sequence[str], states: States, known: list[str]
    ) -> tuple[BarPanel, Codes, dict[str, tuple[int, int]]]:
        """The bars of these dates as the kernel takes them, where each comes from, and each symbol's last date with its
        official close.

        What a price is worth after a corporate action is told beside the last one, which may be long ago: of days all
        are read, of minutes the state knows it. A few dates before are read all the same, since an official close may
        have come after the state behind them was laid down.
        """
        at = known.index(dates[0])
        start = None if self._interval == "day" else known[max(0, at - _LOOK_BACK)]
        last = None if self._interval == "day" else last_trades(states)
        loaded = panel(
            self._lake,
            self._interval,
            start=start,
            end=dates[-1],
            last=last,
            begun=self._begun,
            listings=None if self._listings is None else self._listings.at(dates[-1]),
            config=self._config,
        )
        mine = loaded.bars.date >= _number(dates[0])
        bars = select(loaded.bars, mine)
        ends = zip(bars.symbols, bars.starts[:-1].tolist(), bars.starts[1:].tolist(), strict=True)
        official = loaded.official[mine]
        traded = {name: (int(bars.date[end - 1]), int(official[end - 1])) for name, first, end in ends if end > first}
        if self._interval == "day":
            return bars, loaded.origin[mine], traded
        there = followed(loaded.pinned, start=dates[0], end=dates[0], config=self._config)
        closes = {symbol: each.close for symbol, each in (last or {}).items()}
        filled = fill(bars, known_of(bars, closes, there.get(_number(dates[0]), ())), dates[0])
        origin = np.zeros(len(filled), np.uint8)
        origin[np.searchsorted(keys(filled), keys(bars))] = loaded.origin[mine]
        return filled, origin, traded

    # --- what has changed -----------------------------------------------------------------------------------------

    def _fingerprints(self) -> dict[str, int]:
        """Of each date with bars, a number that changes with them, with what is known beside them of corporate actions,
        with the formulas, the sets and what scales them; of minutes also with who was followed."""
        made_of: dict[str, list[tuple[str, int, int]]] = {}
        for name in tables_of(self._interval)[:2]:
            table = self._lake.find(name)
            for file in table.files(bounds=True) if table is not None else ():
                revision = int(file.greatest.get("revision", 0))
                made_of.setdefault(file.date, []).append((name, revision, file.rows))
        made_by: list[object] = [kernel.VERSION, adjust.REVISION, sorted(each.version for each in self._sets)]
        facts = fact_numbers(self._lake, made_of, config=self._config)
        told = {date: [sorted(parts), made_by, facts.get(date, 0)] for date, parts in sorted(made_of.items())}
        if self._interval == "minute":
            many = followed_counts(Pinned.now(self._lake, [COVERAGE]), config=self._config)
            told = {date: [*parts, grid.REVISION, many.get(date, 0)] for date, parts in told.items()}
        return {
            date: zlib.crc32(json.dumps([*parts, *self._scalers.names(date, self._sets)]).encode())
            for date, parts in told.items()
        }

    def _stale(self, wanted: dict[str, int]) -> list[str]:
        """The dates from the first one on whose rows are made of something else than what is there now."""
        table = self._lake.find(self._indicators)
        for date, number in wanted.items():
            if table is None or table.covered(_mark(date)) & _CRC != number:
                return [each for each in wanted if each >= date]
        return []

    # --- what is written ------------------------------------------------------------------------------------------

    def _written(self, done: FeaturesBuilt, rows: Rows, dates: Sequence[str], wanted: dict[str, int]) -> FeaturesBuilt:
        """Writes these dates; what was done with them added.

        Features first: the marks that say a date is done come with its indicators, the last commit.
        """
        if not dates:
            return done
        revision = 1 + max(self._revisions(dates), default=0)
        counts = {self._features: 0, self._indicators: 0}

        def made(name: str, make: Callable[[int], pa.Table]) -> Iterator[tuple[str, pa.Table]]:
            for date in dates:
                self._progress(date)
                table = make(_number(date))
                counts[name] += table.num_rows
                yield date, table

        features = made(
            self._features,
            lambda date: rows.features(self._features, date, self._sets, revision, self._scaling(date)),
        )
        replace_dates(self._lake, self._features, features, clock=self._clock)
        indicators_ = made(self._indicators, lambda date: rows.indicators(self._indicators, date, revision))
        covers = {_mark(date): (revision << 32) | wanted[date] for date in dates}
        replace_dates(self._lake, self._indicators, indicators_, clock=self._clock, covers=covers)
        return replace(
            done,
            symbols=max(done.symbols, rows.symbols_since(_number(dates[0]))),
            bars=done.bars + counts[self._indicators],
            rows=done.rows + sum(counts.values()),
        )

    def _scaling(self, date: int) -> list[Scaler | None]:
        return [self._scalers.at(day_of(date).isoformat(), each.version) for each in self._sets]

    def _revisions(self, dates: Sequence[str]) -> Iterator[int]:
        table = self._lake.find(self._indicators)
        for file in table.files(bounds=True) if table is not None else ():
            if file.date in set(dates):
                yield int(file.greatest.get("revision", 0))


def merged(before: States, after: States) -> States:
    """``after``, and of the symbols that it does not have what was known before."""
    symbols = tuple(sorted({*before.symbols, *after.symbols}))
    both = before.of(symbols)
    at = np.searchsorted(symbols, after.symbols)
    both.ints[at], both.floats[at] = after.ints, after.floats
    both.dates[at], both.official[at] = after.dates, after.official
    return both


def dated(states: States, traded: Mapping[str, tuple[int, int]]) -> States:
    """``states``, with the dates (yyyymmdd) of these symbols' last bars, and the official closes of those dates."""
    before = zip(states.dates.tolist(), states.official.tolist(), strict=True)
    known = [traded.get(symbol, pair) for symbol, pair in zip(states.symbols, before, strict=True)]
    dates, official = np.array(known, np.int64).reshape(-1, 2).T
    return replace(states, dates=dates, official=official)


def _held(wanted: dict[str, int]) -> dict[str, int]:
    """Of each date, a number that changes with its bars and those of the dates before it that still matter."""
    numbers = list(wanted.items())
    return {
        date: zlib.crc32(json.dumps(numbers[max(0, at - _MATTER) : at + 1]).encode())
        for at, (date, _) in enumerate(numbers)
    }


def _mark(date: str) -> str:
    return f"hosu:bars:{date}"


def _number(date: str) -> int:
    return int(date.replace("-", ""))
