"""Which rows of a file are bars, and why the others are none. Every row gets exactly one verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import CalendarRangeError, InputError, MarketError
from hosu.lake.import_parse import PRICES
from hosu.market.bars import MINUTE_US
from hosu.market.calendar import FIRST_DAY, LAST_DAY, is_session, session_windows
from hosu.market.day_plan import Scope
from hosu.market.instruments import validate_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    from hosu.lake.import_parse import Flags, Floats, Ints, RawBars

    Verdicts = npt.NDArray[np.int8]


class Verdict(IntEnum):
    """The first thing that is wrong with a row, in the order in which it is looked for."""

    ACCEPTED = 0
    FIELDS = 1
    UNREADABLE = 2
    BAD_CODE = 3
    UNKNOWN_CODE = 4
    ZONE = 5
    UNITS = 6
    FUTURE = 7
    NO_SESSION = 8
    OFF_MINUTE = 9
    OFF_HOURS = 10
    NO_TRADING = 11
    NOT_POSITIVE = 12
    DISORDER = 13
    BAD_VOLUME = 14
    BEYOND_LIMITS = 15
    CONFLICT = 16
    DUPLICATE = 17


REASONS: Final[dict[Verdict, str]] = {
    Verdict.FIELDS: "more or fewer fields than the header",
    Verdict.UNREADABLE: "a field is missing or cannot be read",
    Verdict.BAD_CODE: "not a short code: six characters, leading zeros kept",
    Verdict.UNKNOWN_CODE: "no universe of the lake knows the code (hosu instruments sync, or --any-code)",
    Verdict.ZONE: "the file's times are nine hours off (say --zone)",
    Verdict.UNITS: "the file's value does not fit price x volume (say --units)",
    Verdict.FUTURE: "lies in the future",
    Verdict.NO_SESSION: "no trading on that day",
    Verdict.OFF_MINUTE: "not the start of a minute",
    Verdict.OFF_HOURS: "outside of the trading hours of that day",
    Verdict.NO_TRADING: "nothing traded: open, high, low and volume are 0",
    Verdict.NOT_POSITIVE: "a price is not positive",
    Verdict.DISORDER: "low, open, close and high are not in order",
    Verdict.BAD_VOLUME: "volume or value is negative, or volume is no whole number",
    Verdict.BEYOND_LIMITS: "beyond the day's price limits",
    Verdict.CONFLICT: "comes twice with different values",
    Verdict.DUPLICATE: "comes twice with the same values; one is taken",
}
HARMLESS: Final = frozenset({Verdict.NO_TRADING, Verdict.DUPLICATE})
"""Verdicts on rows that nobody misses."""

_NINE_HOURS: Final = 9 * 3600
_MOST: Final = float(1 << 53)  # beyond it a float no longer counts in ones
_EPOCH: Final = date(1970, 1, 1).toordinal()


@dataclass(frozen=True, slots=True)
class Known:
    """What the rows are held against.

    ``codes`` None means that no universe is known. ``limits`` are lowest and highest price by day and symbol, where
    they are known. ``now_us`` is the present, UTC.
    """

    now_us: int
    codes: frozenset[str] | None = None
    limits: Mapping[date, Mapping[str, tuple[int, int]]] = field(default_factory=dict)


def judge(bars: RawBars, kind: str, scope: str, known: Known) -> Verdicts:
    """The verdict on each row.

    A file whose rows are nearly all off by nine hours, or whose value is off by a unit, is refused whole.
    """
    verdicts = np.zeros(len(bars), np.int8)
    judging = _Judging(bars, verdicts, kind, Scope(scope), known)
    judging.run()
    return verdicts


class _Judging:
    def __init__(self, bars: RawBars, verdicts: Verdicts, kind: str, scope: Scope, known: Known) -> None:
        self._bars, self._verdicts, self._kind, self._scope, self._known = bars, verdicts, kind, scope, known

    def run(self) -> None:
        self._refuse(Verdict.UNREADABLE, self._unreadable())
        self._codes()
        self._refuse(Verdict.UNITS, np.full(len(self._bars), self._units_are_off()))
        self._refuse(Verdict.FUTURE, self._bars.ts_us > self._known.now_us)
        self._times()
        self._prices()
        self._limits()
        self._twice()

    def _refuse(self, verdict: Verdict, rows: Flags) -> None:
        self._verdicts[rows & (self._verdicts == Verdict.ACCEPTED)] = verdict

    def _unreadable(self) -> Flags:
        bars = self._bars
        unread = ~bars.readable | (bars.code < 0) | np.isnan(bars.volume)
        for name in PRICES:
            unread |= np.isnan(bars.prices[name])
        return unread

    def _codes(self) -> None:
        codes, known = self._bars.codes, self._known.codes
        spelled = np.array([_is_code(code) for code in codes] + [True])  # -1, without a code, is the last
        self._refuse(Verdict.BAD_CODE, ~spelled[self._bars.code])
        if known is not None:
            listed = np.array([code in known for code in codes] + [True])
            self._refuse(Verdict.UNKNOWN_CODE, ~listed[self._bars.code])

    def _units_are_off(self) -> bool:
        """Whether value / (close x volume) is nowhere near 1 for most rows."""
        bars = self._bars
        if bars.value is None:
            return False
        worth = bars.prices["close"] * bars.volume
        rows = (self._verdicts == Verdict.ACCEPTED) & (worth > 0) & (bars.value > 0)
        if not rows.any():
            return False
        ratio = float(np.median(bars.value[rows] / worth[rows]))
        return not 0.2 < ratio < 5.0

    # --- times ----------------------------------------------------------------------------------------------------

    def _times(self) -> None:
        open_days = self._by_day(self._trades_on)
        if self._kind == "daily":
            self._refuse(Verdict.NO_SESSION, ~open_days)
            return
        within = self._within(self._bars.ts_us)
        self._refuse(Verdict.ZONE, np.full(len(self._bars), self._zone_is_off(within)))
        self._refuse(Verdict.NO_SESSION, ~open_days)
        self._refuse(Verdict.OFF_MINUTE, self._bars.ts_us % MINUTE_US != 0)
        self._refuse(Verdict.OFF_HOURS, ~within)

    def _zone_is_off(self, within: Flags) -> bool:
        rows = self._verdicts == Verdict.ACCEPTED
        if not rows.any() or within[rows].mean() >= 0.5:
            return False
        shifts = (self._within(self._bars.ts_us + sign * _NINE_HOURS * 1_000_000)[rows] for sign in (1, -1))
        return any(bool(shifted.mean() > 0.9) for shifted in shifts)

    def _by_day(self, ask: Callable[[date | None], bool]) -> Flags:
        days, places = np.unique(self._bars.day, return_inverse=True)
        return np.array([ask(_day(number)) for number in days.tolist()], np.bool_)[places]

    def _trades_on(self, day: date | None) -> bool:
        if day is None:
            return False
        try:
            return is_session(day, self._scope)
        except CalendarRangeError:
            return day < FIRST_DAY  # before the calendar nothing can be said; after it nothing has happened

    def _within(self, ts_us: Ints) -> Flags:
        """Whether each instant lies in a session of its day."""
        number = (ts_us // 1_000_000 + _NINE_HOURS) // 86_400
        inside = np.zeros(len(ts_us), np.bool_)
        for value in np.unique(number).tolist():
            mine = number == value
            for start_us, end_us in self._windows(_day(value)):
                inside |= mine & (ts_us >= start_us) & (ts_us < end_us)
        return inside

    def _windows(self, day: date | None) -> list[tuple[int, int]]:
        if day is None:
            return []
        try:
            return [(window.start_us, window.end_us) for window in session_windows(day, self._scope)]
        except CalendarRangeError:
            return [(-(1 << 62), 1 << 62)] if day < FIRST_DAY else []
        except MarketError:
            return []

    # --- prices ---------------------------------------------------------------------------------------------------

    def _prices(self) -> None:
        bars = self._bars
        first, high, low, last = (bars.prices[name] for name in PRICES)
        nothing = (first == 0) & (high == 0) & (low == 0) & (bars.volume == 0)
        self._refuse(Verdict.NO_TRADING, nothing)
        self._refuse(Verdict.NOT_POSITIVE, np.minimum.reduce([first, high, low, last]) <= 0)
        self._refuse(Verdict.DISORDER, (low > first) | (low > last) | (high < first) | (high < last))
        bad = (bars.volume < 0) | (bars.volume >= _MOST) | (bars.volume != np.rint(bars.volume))
        if bars.value is not None:
            bad |= bars.value < 0
        self._refuse(Verdict.BAD_VOLUME, bad)

    def _limits(self) -> None:
        numbers = self._bars.day
        for day, limits in self._known.limits.items():
            rows = np.flatnonzero(numbers == day.toordinal() - _EPOCH)
            bounds = np.array(
                [limits.get(code, (0, 1 << 62)) for code in self._bars.codes] + [(0, 1 << 62)], np.float64
            )
            mine = bounds[self._bars.code[rows]]
            beyond = (self._bars.prices["low"][rows] < mine[:, 0]) | (self._bars.prices["high"][rows] > mine[:, 1])
            flagged = np.zeros(len(self._bars), np.bool_)
            flagged[rows[beyond]] = True
            self._refuse(Verdict.BEYOND_LIMITS, flagged)

    # --- rows that come again -------------------------------------------------------------------------------------

    def _twice(self) -> None:
        rows = np.flatnonzero(self._verdicts == Verdict.ACCEPTED)
        order = rows[np.lexsort((rows, self._bars.ts_us[rows], self._bars.code[rows]))]
        if len(order) < 2:
            return
        again = (np.diff(self._bars.code[order]) == 0) & (np.diff(self._bars.ts_us[order]) == 0)
        group = np.concatenate(([0], np.cumsum(~again)))
        same = np.concatenate(([True], again & self._alike(order[:-1], order[1:]) | ~again))
        differs = np.zeros(group[-1] + 1, np.bool_)
        differs[group[~same]] = True
        self._verdicts[order[differs[group]]] = Verdict.CONFLICT
        repeats = order[1:][again & ~differs[group[1:]]]
        self._verdicts[repeats] = Verdict.DUPLICATE

    def _alike(self, one: Ints, other: Ints) -> Flags:
        bars = self._bars
        columns: list[Floats] = [*bars.prices.values(), bars.volume]
        if bars.value is not None:
            columns.append(np.nan_to_num(bars.value, nan=-1.0))
        alike = np.ones(len(one), np.bool_)
        for column in columns:
            alike &= column[one] == column[other]
        return alike


def _day(number: int) -> date | None:
    ordinal = number + _EPOCH
    return date.fromordinal(ordinal) if 1 <= ordinal <= LAST_DAY.toordinal() + 366 * 200 else None


def _is_code(text: str) -> bool:
    try:
        validate_symbol(text)
    except InputError:
        return False
    return True
