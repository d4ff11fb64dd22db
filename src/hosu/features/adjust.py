"""The adjustment factor by date: what a split, a rights issue or a dividend in shares makes of earlier prices.

Bars are stored as traded. At the first bar of a day on which a symbol trades, what is known of that day tells what
the last price before it is worth now. The first of these that is known counts:

1. the dated *base price* (기준가), from the master file, else from a poll: the exchange itself has put the event into
   it, and the day's limits are reckoned from it. The factor is base over last close. Less than a tick apart they are
   the same.
2. the broker's *split ratio* (``prtt_rate``: base over previous close, cut to hundredths; 0 is none).
3. the broker's *ex-rights code* (``flng_cls_code``): cash dividends and distributions (02, 03, 05) do not move the
   base in Korea, so the factor is 1.
4. nothing: 1.

Whatever the source, a price beyond the day's limits around the base so found is masked: either an event is missing
here, or a price is wrong. Slack: nothing of a known base, one tick of a last close, of a ratio also what its two
digits leave open, of prices that were adjusted by whoever made the file two ticks and two won (they are rounded).

A base tells of an event only beside the official close of the session before it (``official_closes``). Where that is
not known, the last price here may be one of two o'clock, and a base that differs from it by a tick or more is either
an event or an ordinary move that is missing here. If no session moves a price so far, the factor is base over last
price; else the broker's ratio or code tells, as without a base; else it is 1. Unless the broker has told, the move is
*doubtful*: no return over it means anything, though indicators go on. Bars of other scopes than KRX end at other times,
so that such a difference says nothing there and is not doubted.

Where the last bar is older, a base counts if a halt is known to lie between (the last price was then carried); else
the market has moved in bars that are missing here: the factor is 1, and the move is masked where the last close lies
beyond the limits around the base.

Prices that are adjusted already keep factor 1 and are only masked. A bar without a trade carries the last price as
it was traded, so a base that changes in a halt counts where trading resumes. The first day of a listing has nothing
before it: factor 1, never masked.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from hosu.features.dated_rules import UNBOUNDED, WON, previous_sessions

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.features.dated_rules import DatedRules
    from hosu.features.panel import Flags, Floats, Ints

    Codes = npt.NDArray[np.uint8]

_CASH: Final = (2, 3, 5)

REVISION: Final = 2
"""Of these rules: one more with each change that may make a factor come out otherwise, and what was built with the
former is built again."""


class Explained(IntEnum):
    """What the factor of a bar rests on."""

    NOTHING = 0  # no event is known, or it is not the day's first trade
    BASE = 1  # the base price differs from the last close
    RATIO = 2  # the broker's split ratio
    CASH = 3  # the broker's code says that the base does not move
    IMPORT = 4  # adjusted by whoever made the file


class LastTrade(NamedTuple):
    """What is remembered of a symbol's last bar: close in hundredths of a won, date, yyyymmdd, and the official close
    of that date; 0 unknown."""

    close: int
    date: int
    official: int = 0


@dataclass(frozen=True, slots=True)
class Traded:
    """Bars as traded, symbol after symbol: columns of ``BarPanel``, prices in hundredths."""

    starts: Ints
    date: Ints
    high: Ints
    low: Ints
    close: Ints
    volume: Ints


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of each bar's day beside its prices; None: of no bar.

    Attributes:
        base: (n,) base price in hundredths; 0 unknown.
        ratio: (n,) the broker's split ratio; 0 none, NaN unknown.
        ex_code: (n,) the broker's ex-rights code as a number; 0 none.
        adjusted: (n,) whether the bar's prices were adjusted by whoever made them.
        halted: (n,) whether the symbol is known to have been halted on the session before.
        official: (n,) the official close of the bar's own day, hundredths; 0 unknown.
        is_krx: whether the bars are KRX's, whose closes the bases go on from.
    """

    base: Ints | None = None
    ratio: Floats | None = None
    ex_code: Ints | None = None
    adjusted: Flags | None = None
    halted: Flags | None = None
    official: Ints | None = None
    is_krx: bool = True


@dataclass(frozen=True, slots=True)
class Adjustment:
    """Per bar: the panel's ``factor`` and ``masked``, what the factor rests on, the day's base (0 unknown), and whether
    the move to it is doubtful."""

    factor: Floats
    masked: Flags
    explained: Codes
    base: Ints
    doubtful: Flags


class _Opens(NamedTuple):
    """The first trades of days: their rows, and of the last trade before each its row, its close, and whether that is
    of the session before, traded or carried."""

    rows: Ints
    before: Ints
    last: Ints
    fresh: Flags


def adjustment(bars: Traded, known: Known, rules: DatedRules) -> Adjustment:
    """Factor and mask of each bar.

    Args:
        bars: (n,) of one interval, minutes or days.
        known: (n,) about their days.
        rules: ticks and limits of the same bars.
    """
    before, first = previous_trade(bars.starts, bars.volume), first_trade_of_day(bars.starts, bars.date, bars.volume)
    rows = np.arange(len(bars.date))
    begins = (first == rows) & (before >= 0)
    opens = np.flatnonzero(begins)
    last = bars.close[before[opens]]
    fresh = _is_fresh(bars, known, opens)
    factor, explained, doubtful = _factors(known, rules, _Opens(opens, before[opens], last, fresh))
    base, slack = _base(known, rules, opens, np.rint(last * factor[opens]).astype(np.int64), explained)
    masked = _beyond(bars, rules, base, slack, first)
    lower, upper = rules.limits(base[opens], opens)
    masked[opens] |= ~fresh & (slack[opens] == 0) & ((last < lower) | (last > upper))
    return Adjustment(factor, masked, explained, np.where(first >= 0, base[first], 0), doubtful)


def previous_trade(starts: Ints, volume: Ints) -> Ints:
    """(n,) the row of the symbol's last trade before each row; -1 where there is none."""
    rows = np.arange(len(volume))
    last = np.maximum.accumulate(np.where(volume > 0, rows, -1)) if len(rows) else rows
    before = np.concatenate(([-1], last[:-1]))[: len(rows)]
    return np.where(before >= np.repeat(starts[:-1], np.diff(starts)), before, -1)


def first_trade_of_day(starts: Ints, date: Ints, volume: Ints) -> Ints:
    """(n,) the row of the day's first trade at or before each row; -1 where there is none yet."""
    rows, before = np.arange(len(date)), previous_trade(starts, volume)
    begins = (volume > 0) & ((before < 0) | (date != date[before]))
    latest = np.maximum.accumulate(np.where(begins, rows, -1)) if len(rows) else rows
    own = (latest >= np.repeat(starts[:-1], np.diff(starts))) & (date[latest] == date)
    return np.where(own, latest, -1)


def _is_fresh(bars: Traded, known: Known, rows: Ints) -> Flags:
    """Whether the close before each of these rows is that of the session before it, traded or carried."""
    begins = np.ones(len(bars.date), np.bool_)
    begins[1:] = bars.date[1:] != bars.date[:-1]
    begins[bars.starts[:-1][np.diff(bars.starts) > 0]] = True
    first = np.maximum.accumulate(np.where(begins, np.arange(len(begins)), -1))[rows]
    fresh: Flags = bars.date[first - 1] == previous_sessions(bars.date[rows])
    return fresh | known.halted[rows] if known.halted is not None else fresh


def _factors(known: Known, rules: DatedRules, opens: _Opens) -> tuple[Floats, Codes, Flags]:
    """(n,) factors, what they rest on, and which moves are doubtful."""
    rows, last = opens.rows, opens.last
    factor, explained, doubtful = np.ones(len(rules)), np.zeros(len(rules), np.uint8), np.zeros(len(rules), np.bool_)
    base = known.base[rows] if known.base is not None else np.zeros(len(rows), np.int64)
    official = known.official[opens.before] if known.official is not None else np.zeros(len(rows), np.int64)
    beside = np.where(official > 0, official, last)
    moved = opens.fresh & (base > 0) & (np.abs(base - beside) >= rules.ticks(base, rows))
    unsure = moved & (official <= 0)
    far = unsure & _beyond_a_session(rules, rows, base, last)
    ratio = np.nan_to_num(known.ratio[rows]) if known.ratio is not None else np.zeros(len(rows))
    untold = (base <= 0) | (unsure & ~far)
    split = untold & (ratio > 0) & (ratio != 1)
    cash = untold & ~split & (np.isin(known.ex_code[rows], _CASH) if known.ex_code is not None else False)
    made = known.adjusted[rows] if known.adjusted is not None else np.zeros(len(rows), np.bool_)
    event = (moved & ~unsure) | far
    factor[rows] = np.select([made, split, event], [1.0, ratio, base / np.maximum(beside, 1)], 1.0)
    codes = (Explained.IMPORT, Explained.RATIO, Explained.BASE, Explained.CASH)
    explained[rows] = np.select([made, split, event, cash], codes, Explained.NOTHING)
    doubtful[rows] = unsure & ~made & ~split & ~cash & known.is_krx
    return factor, explained, doubtful


def _beyond_a_session(rules: DatedRules, rows: Ints, base: Ints, last: Ints) -> Flags:
    """Which bases cannot be the close of a session in which ``last`` was traded: both lie within the same limits."""
    lower, upper = rules.limits(last, rows)
    width, tick = upper / np.maximum(lower, 1), rules.ticks(base, rows)
    beyond: Flags = (upper < UNBOUNDED) & ((base > last * width + tick) | (base * width < last - tick * width))
    return beyond


def _base(known: Known, rules: DatedRules, rows: Ints, worth: Ints, explained: Codes) -> tuple[Ints, Ints]:
    """(n,) the base at a day's first trade, 0 elsewhere or unknown, and by how much prices may pass its limits.

    ``worth`` is what the close before each of ``rows`` is worth on its day.
    """
    base, slack = np.zeros(len(rules), np.int64), np.zeros(len(rules), np.int64)
    told = known.base[rows] if known.base is not None else np.zeros(len(rows), np.int64)
    made = explained[rows] == Explained.IMPORT
    base[rows] = np.where((told > 0) & ~made, told, worth)
    tick = rules.ticks(base[rows], rows)
    ratio = known.ratio[rows] if known.ratio is not None else np.ones(len(rows))
    split = explained[rows] == Explained.RATIO
    digits = np.where(split, np.rint(0.01 * base[rows] / np.where(split, ratio, 1.0)), 0)
    estimated = tick + digits.astype(np.int64)
    slack[rows] = np.select([made, told > 0], [2 * tick + 2 * WON, 0], estimated)
    return base, slack


def _beyond(bars: Traded, rules: DatedRules, base: Ints, slack: Ints, first: Ints) -> Flags:
    """Which traded bars lie beyond their day's limits; once the day's first does, its base says nothing of the rest."""
    lower, upper = rules.limits(base[first])
    over = (bars.high - slack[first] > upper) | (bars.low + slack[first] < lower)
    beyond: Flags = over & (bars.volume > 0) & (first >= 0) & (upper < UNBOUNDED)
    masked: Flags = beyond & ((first == np.arange(len(first))) | ~beyond[first])
    return masked
