"""Which minutes have a bar: those with a trade, and of the others those in which something could have traded.

That is asked of symbols that were followed on the day: of others it is not known whether anything traded. Stream and
batch ask here, so that they step the kernel over the same bars.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import date as Date  # noqa: N812 - `date` is the partition's name everywhere here
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hosu.features.panel import BarPanel, select
from hosu.market.bars import MINUTE_US
from hosu.market.calendar import instant_us, session_windows, sessions_on
from hosu.market.day_plan import Phase, Scope, Session

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]

REVISION: Final = 2
"""Of the rules which minutes have a bar; raised with each change of them."""


@lru_cache(maxsize=64)
def window_of(date: str, scope: str = "KRX") -> tuple[int, int]:
    """``(start, end)`` of the regular session's trades, both auctions' included: UTC microseconds, half-open, on whole
    minutes.

    Args:
        date: business date, ``YYYY-MM-DD``.
        scope: KRX, NXT or UN.

    Raises:
        NoSessionError: the scope does not trade on that day.
        CalendarRangeError: the calendar does not know the day.
    """
    windows = session_windows(Date.fromisoformat(date), Scope(scope))
    regular = next(window for window in windows if window.session is Session.REGULAR)
    start, end = regular.start_us, regular.end_us
    return start // MINUTE_US * MINUTE_US, -(-end // MINUTE_US) * MINUTE_US


@lru_cache(maxsize=64)
def minutes_of(date: str, scope: str = "KRX") -> Ints:
    """Starts of the minutes that have a bar whether anything trades in them or not, UTC microseconds, ascending.

    Those of continuous trading and the one in which the closing auction trades; in the minutes before it, while
    orders are collected, nothing can. Shared between callers, and read-only.

    Args:
        date: business date, ``YYYY-MM-DD``.
        scope: KRX, NXT or UN.

    Raises:
        NoSessionError, CalendarRangeError: as ``window_of``.
    """
    day = Date.fromisoformat(date)
    plan = sessions_on(day, Scope(scope))
    regular = plan.span(Phase.REGULAR)
    assert regular is not None, "every plan has a regular phase"
    seconds = list(range(regular.start_s // 60 * 60, regular.end_s, 60))
    if plan.span(Phase.CLOSING_AUCTION) is not None:
        seconds.append(plan.close_s // 60 * 60)
    minutes = np.array([instant_us(day, second) for second in seconds], np.int64)
    minutes.flags.writeable = False
    return minutes


def fill(panel: BarPanel, last_close: Mapping[str, int], date: str, scope: str = "KRX") -> BarPanel:
    """The bars of one date with its empty minutes: bars at the last close, with volume 0.

    A symbol's begin with its first bar of the day, or with the day where its close before it is known; a symbol of
    which only that is known has a whole day of them. A factor takes effect on the day's first trade: before it nobody
    knows whether there will be one.

    Args:
        panel: minutes with trades, all of ``date``.
        last_close: close before the day in hundredths of a won, by symbol.
        date: business date, ``YYYY-MM-DD``.
        scope: KRX, NXT or UN.

    Raises:
        NoSessionError, CalendarRangeError: as ``window_of``.
    """
    symbols = tuple(sorted({*panel.symbols, *last_close}))
    grid = minutes_of(date, scope)
    minutes = np.unique(np.concatenate([grid, panel.ts]))
    rows = _rows(panel, symbols, minutes)
    before = np.array([last_close.get(symbol, 0) for symbol in symbols], np.int64)
    behind = np.maximum.accumulate(rows, axis=1)  # the last row at or before each minute; -1 where there was none yet
    empty = (rows < 0) & np.isin(minutes, grid) & ((behind >= 0) | (before > 0)[:, None])
    at, minute = np.nonzero((rows >= 0) | empty)
    row, last = rows[at, minute], behind[at, minute]
    flat = _chosen(panel.close, last, before[at])
    return BarPanel(
        symbols,
        starts=np.searchsorted(at, np.arange(len(symbols) + 1)).astype(np.int64),
        date=np.full(len(at), int(date.replace("-", "")), np.int64),
        ts=minutes[minute],
        open=_chosen(panel.open, row, flat),
        high=_chosen(panel.high, row, flat),
        low=_chosen(panel.low, row, flat),
        close=_chosen(panel.close, row, flat),
        volume=_chosen(panel.volume, row, 0),
        value=_chosen(panel.value, row, 0.0),
        factor=_chosen(panel.factor, row, 1.0),
        masked=_chosen(panel.masked, row, False),
    )


def filled(
    panel: BarPanel, followed: Mapping[int, Collection[str]] | None = None, scope: str = "KRX"
) -> tuple[BarPanel, Ints]:
    """``(bars, places)``: minutes of any number of dates with their empty ones, as the stream and the build step them,
    and where in them each bar of ``panel`` is.

    Args:
        panel: minutes with trades.
        followed: by date (yyyymmdd) the symbols that were followed, whether they traded or not; those with a bar were
            in any case. Of another symbol's day nothing is known, and it gets no bars. None: nobody else was.
        scope: KRX, NXT or UN.

    Raises:
        NoSessionError, CalendarRangeError: as ``window_of``.
    """
    if not len(panel):
        return panel, np.zeros(0, np.int64)
    carried: dict[str, int] = {}
    days: list[BarPanel] = []
    others = followed or {}
    for date in _dates(panel, others):
        text = f"{date // 10_000:04}-{date // 100 % 100:02}-{date % 100:02}"
        mine = select(panel, panel.date == date)
        days.append(fill(mine, known_of(mine, carried, others.get(date, ())), text, scope))
        last = days[-1].starts[1:] - 1
        for symbol, row, first in zip(days[-1].symbols, last.tolist(), days[-1].starts.tolist(), strict=False):
            if row >= first:
                carried[symbol] = int(days[-1].close[row])
    whole = joined(days, panel.symbols)
    return whole, np.searchsorted(_places(whole), _places(panel))


def known_of(panel: BarPanel, closes: Mapping[str, int], followed: Collection[str]) -> dict[str, int]:
    """The closes of the symbols that have a bar in ``panel``, or were followed."""
    with_bars = {symbol for symbol, bars in zip(panel.symbols, np.diff(panel.starts).tolist(), strict=True) if bars}
    return {symbol: close for symbol, close in closes.items() if symbol in with_bars or symbol in followed}


def _dates(panel: BarPanel, followed: Mapping[int, Collection[str]]) -> list[int]:
    """The dates on which any symbol of the panel was followed, from its first bar's to its last one's; ascending."""
    first, last, mine = panel.date.min(), panel.date.max(), set(panel.symbols)
    others = (date for date, symbols in followed.items() if first < date < last and not mine.isdisjoint(symbols))
    return sorted({*np.unique(panel.date).tolist(), *others})


def _places(panel: BarPanel) -> Ints:
    """(n,) ascending numbers of (symbol, minute)."""
    numbers: Ints = (panel.symbol << 32) + panel.ts // MINUTE_US
    return numbers


def joined(parts: Sequence[BarPanel], symbols: tuple[str, ...]) -> BarPanel:
    """Panels of different times as one, of these symbols, which are ascending and hold all of the parts'."""
    place = {symbol: at for at, symbol in enumerate(symbols)}
    if not parts:
        raise ValueError("no panels to join")
    own = [np.array([place[symbol] for symbol in part.symbols], np.int64)[part.symbol] for part in parts]
    symbol = np.concatenate(own)
    names = [each.name for each in fields(BarPanel) if each.name not in {"symbols", "starts"}]
    columns = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    order = np.lexsort((columns["ts"], symbol))
    starts = np.searchsorted(symbol[order], np.arange(len(symbols) + 1)).astype(np.int64)
    return BarPanel(symbols=symbols, starts=starts, **{name: each[order] for name, each in columns.items()})


def _chosen(values: npt.NDArray[Any], rows: Ints, otherwise: Any) -> npt.NDArray[Any]:
    """The values of these rows; ``otherwise`` where there is none (-1)."""
    padded = np.append(values, np.zeros(1, values.dtype))
    chosen: npt.NDArray[Any] = np.where(rows >= 0, padded[rows], otherwise).astype(values.dtype)
    return chosen


def _rows(panel: BarPanel, symbols: tuple[str, ...], minutes: Ints) -> Ints:
    """(symbols, minutes): the panel's row there, -1 for none."""
    place = {symbol: at for at, symbol in enumerate(symbols)}
    own = np.array([place[symbol] for symbol in panel.symbols], np.int64)
    rows = np.full((len(symbols), len(minutes)), -1, np.int64)
    if len(panel):
        rows[own[panel.symbol], np.searchsorted(minutes, panel.ts)] = np.arange(len(panel))
    return rows
