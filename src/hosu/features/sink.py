"""Features on the stream: a sink that builds minutes from trades and steps the kernel where the log closes them.

Everything it serves depends on the records of the log and on what the day began with, so the same log read again
gives the same bits.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import structlog

from hosu.collect.dates import day_text, number_of
from hosu.errors import HosuError, MarketError
from hosu.features import bar_kernel
from hosu.features.batch import States
from hosu.features.checkpoint import Kept, pack, unpack
from hosu.features.grid import window_of
from hosu.features.kept_sink import FeatureConfig, KeptSink
from hosu.features.market_rows import MarketRows
from hosu.features.online_bars import chosen_states
from hosu.features.openings import opening
from hosu.features.served import SCOPE, Closed
from hosu.features.store import Begin
from hosu.market.calendar import business_day

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch
    from hosu.features.openings import Morning
    from hosu.features.store import FeatureStore

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class FeatureSink(KeptSink[Kept, Closed]):
    """Implements ``collect.sinks.Sink``. For one thread at a time.

    Attributes:
        on_close: called with every ``Closed``, in the sink's thread, before it is written anywhere. After a restart
            some come again (``again``).
        on_day: called with (date, what it began with, states) when a day begins.
        tells: figures of whoever listens, for ``facts``, by name; read from any thread.
        market_us: the latest time of a trade so far, UTC microseconds; 0 for none. May be read from any thread.

    The others are those of ``KeptSink``.
    """

    name = "features"

    def __init__(
        self,
        store: FeatureStore,
        *,
        keep: Path | None = None,
        floors: Mapping[str, int] | None = None,
        symbols_of: Callable[[str], Collection[str] | None] = lambda _: None,
        polled_of: Callable[[str], Collection[str]] | None = None,
        config: FeatureConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is read yet.

        Args:
            store: where rows go, and where days begin.
            keep, floors, config, clock: as of ``KeptSink``.
            symbols_of: the symbols that are followed on a date; None for all that trade.
            polled_of: those of them that have polls instead of trades; from its first trade of the day on a symbol has
                trades. None for none.
        """
        super().__init__(store, keep=keep, floors=floors, config=config, clock=clock)
        self._store, self._symbols_of, self._polled_of = store, symbols_of, polled_of
        self.on_close: list[Callable[[Closed], object]] = []
        self.on_day: list[Callable[[str, str, States], object]] = []
        self.tells: dict[str, Callable[[], int]] = {}
        self._names: tuple[str, ...] = ()
        self._allowed: frozenset[str] | None = None
        self._polled: frozenset[str] = frozenset()
        self._polled_known: dict[str, frozenset[str]] = {}
        self._flags = np.zeros(0, np.bool_)  # by number, whether the symbol is polled
        self._shut: set[str] = set()  # dates without a session
        self._late_told: set[str] = set()
        self.market_us = 0

    @property
    def facts(self) -> dict[str, int]:
        """For the status."""
        told = {name: tell() for name, tell in self.tells.items()}
        return {"late_trades": int(self._kept.bars.counts[bar_kernel.LATE]), **told}

    # --- as a sink ----------------------------------------------------------------------------------------------

    def _take(self, batch: EventBatch, after: int) -> None:
        """Takes trades into their minutes and closes those that the log closes."""
        trades = MarketRows.trades(batch.tables.get("trades"), after, SCOPE)
        polls = MarketRows.polls(batch.tables.get("snapshots"), after, SCOPE) if self._polled_of else None
        at = polled = 0
        for lsn, until_us in self._steps(batch, after, trades, polls):
            at = self._take_up_to(trades, at, lsn, self._take_trades)
            polled = self._take_up_to(polls, polled, lsn, self._take_polls)
            if until_us is not None:
                self._close_minutes(lsn, until_us)

    # --- what is remembered -------------------------------------------------------------------------------------

    def _anew(self, wal_id: str, lsn: int) -> Kept:
        return Kept(wal_id, lsn, "new" if lsn < 0 else f"new@{lsn}")

    def _unpacked(self, content: bytes, source: Path) -> Kept:
        return unpack(content, source)

    def remembered(self) -> bytes:
        """What a restart would go on from, as bytes."""
        self._kept.market_us = self.market_us
        return pack(self._kept)

    def _turned(self) -> None:
        self.market_us = self._kept.market_us
        self._shut, self._late_told, self._flags, self._names = set(), set(), np.zeros(0, np.bool_), ()
        self._follow(self._kept.bars.date)

    # --- trades and closes --------------------------------------------------------------------------------------

    def _steps(
        self, batch: EventBatch, after: int, trades: MarketRows | None, polls: MarketRows | None
    ) -> list[tuple[int, int | None]]:
        """Where the batch is cut, so that it does not matter how the log was: (record, up to when it closes minutes).

        Between two cuts trades and polls may be taken one after the other: days begin at a cut, and so does what a
        symbol trades that was polled.
        """
        cuts: set[tuple[int, int | None]] = {(batch.last_lsn + 1, None)}
        for rows in (trades, polls):
            cuts.update((lsn, None) for lsn in (rows.day_begins() if rows is not None else ()))
        if trades is not None and self._polled_of is not None:
            for date in trades.dates:
                polled = self._polled_on(date).intersection(trades.symbols)
                cuts.update((lsn, None) for lsn in trades.firsts(date, polled))
        cuts.update((lsn, until_us) for lsn, until_us in batch.bar_closes if lsn > after)
        return sorted(cuts, key=lambda cut: cut[0])

    def _take_up_to(
        self, rows: MarketRows | None, first: int, lsn: int, take: Callable[[MarketRows, int, int], None]
    ) -> int:
        """Takes the rows from ``first`` on of records before ``lsn``; returns the place behind them."""
        if rows is None:
            return first
        end = int(np.searchsorted(rows.lsn, lsn))
        for date, begin, behind in rows.days(first, end):
            if date > self._kept.bars.date and not self._begin(date, int(rows.lsn[begin])):
                continue
            if date == self._kept.bars.date:
                take(rows, begin, behind)
        return end

    def _take_trades(self, trades: MarketRows, first: int, end: int) -> None:
        bars, rows = self._kept.bars, slice(first, end)
        late = bars.counts[bar_kernel.LATE]
        if self._polled:
            # Of these rows only: what comes behind a close of the same batch must not tell before it.
            told = np.unique(trades.symbol[rows]).tolist()
            self._kept.streamed |= self._polled.intersection(trades.symbols[code] for code in told)
        codes = bars.codes_of(trades.symbols, self._allowed)
        latest = bars.take(
            codes[trades.symbol[rows]], trades.cum[rows], trades.price[rows], trades.size[rows], trades.ts[rows]
        )
        self.market_us = max(self.market_us, latest)
        if bars.counts[bar_kernel.LATE] > late:
            self._tell_late()

    def _take_polls(self, polls: MarketRows, first: int, end: int) -> None:
        bars, rows = self._kept.bars, slice(first, end)
        only = self._polled - self._kept.streamed
        codes = bars.codes_of(polls.symbols, only if self._allowed is None else only & self._allowed)
        bars.take_polls(codes[polls.symbol[rows]], polls.cum[rows], polls.price[rows], polls.ts[rows])

    def _tell_late(self) -> None:
        late = self._kept.bars.late
        fresh = sorted(late.keys() - self._late_told)
        if fresh:
            self._late_told.update(fresh)
            _log.warning(
                "trades came after their minute was closed: served features lack them, built bars have them",
                date=self._kept.bars.date,
                symbols=len(fresh),
                first=fresh[:5],
            )

    def _close_minutes(self, lsn: int, until_us: int) -> None:
        day, _ = business_day(until_us - 1)
        date = day_text(number_of(day))
        if date > self._kept.bars.date and not self._begin(date, lsn):
            return
        if date == self._kept.bars.date:
            self._close(lsn, until_us)

    def _close(self, lsn: int, until_us: int | None) -> None:
        bars = self._kept.bars.close(until_us)
        if bars is None:
            return
        names, polled = self._kept.bars.symbols, self._polled - self._kept.streamed
        if len(self._names) != len(names):
            self._names = tuple(names)
        if polled or self._flags.any() or len(self._flags) != len(names):
            self._flags = np.array([name in polled for name in names], np.bool_)
        closed = Closed(
            self._kept.wal_id,
            lsn,
            self._kept.bars.date,
            self._kept.began,
            lsn <= self._covered,
            self._names,
            bars.code,
            bars.ts,
            bars.close,
            bars.volume,
            bars.traded,
            self._flags[bars.code],
            bars.outputs,
            self._clock.now_us(),
        )
        if not closed.again:
            self._hold(closed)
        for listener in self.on_close:
            listener(closed)

    # --- days ---------------------------------------------------------------------------------------------------

    def _begin(self, date: str, lsn: int) -> bool:
        """Turns to a later day at a record of the log; False where the calendar knows no session of it."""
        if date in self._shut:
            return False
        self._kept.lsn = max(self._kept.lsn, lsn - 1)  # if the lake fails now, what lies before is not taken again
        try:
            window_of(date)
        except MarketError as error:
            _log.warning("no features of a day without a session", date=date, error=str(error))
            self._shut.add(date)
            return False
        told = self._told(date, lsn)
        begin = self._beginning(date, told)
        facts = self._known(date, told)
        if self._kept.bars.date:
            self._close(lsn, None)
        sampled = self._polled - self._kept.streamed
        self._follow(date)
        if begin is None:
            states = self._kept.bars.states
            # A poll in the auction's minute may have come before the auction had traded.
            states.official[[symbol in sampled for symbol in states.symbols]] = 0
        else:
            states, self._kept.base, self._kept.since = begin.states, begin.label, date
        states = chosen_states(states, self._allowed)
        self._kept.bars.begin(date, states, opening(states, date, facts))
        self._kept.known = "" if facts is None else facts.label
        self._kept.streamed = set()
        self._names, self._flags, self._late_told = (), np.zeros(0, np.bool_), set()
        for listener in self.on_day:
            listener(date, self._kept.began, states)
        return True

    def _told(self, date: str, lsn: int) -> str | None:
        """What the rows of a day say it began with, where it is read again: it began once, and may have been served
        since. None where it is new."""
        if self._covered < lsn:
            return None
        began = partial(self._store.began, date, self._kept.wal_id)
        return self._asked(began, date, "a day is read again without what it began with")

    def _known(self, date: str, told: str | None) -> Morning | None:
        """What is known of a day when it begins: what was known then, where it is read again."""
        _, _, label = ("", "", None) if told is None else told.partition("*")
        if label == "":
            return None
        known = partial(self._store.known, date, label)
        return self._asked(known, date, "a day begins without what is known of it")

    def _beginning(self, date: str, told: str | None) -> Begin | None:
        """What a day begins with; None: with what is remembered."""
        found = self._asked(partial(self._found, date, told), date, "a day begins with no more than is remembered")
        if found is not None or self._kept.bars.date:
            return found
        return Begin(self._kept.base, States.new(()))

    def _found(self, date: str, told: str | None) -> Begin | None:
        """The state in the lake that a day begins with; None for none."""
        kept = self._kept
        if told is not None and "@" not in kept.base:
            base, _, _ = told.partition("*")
            if "+" in base and kept.bars.date:
                return None
            begin = self._store.exact(base)
            if begin is not None:
                return begin
        return self._store.latest(before=date, since=kept.bars.date)

    @staticmethod
    def _asked(ask: Callable[[], _T], date: str, without: str) -> _T | None:
        """What the lake says. None where it never will: a damaged file must not keep a day from being served, and the
        day's rows say that it began without."""
        try:
            return ask()
        except HosuError as error:
            if error.retryable:
                raise
            _log.warning(without, date=date, error=str(error))
            return None

    def _follow(self, date: str) -> None:
        symbols = self._symbols_of(date) if date else None
        self._allowed = None if symbols is None else frozenset(symbols)
        self._polled = self._polled_on(date) if date else frozenset()

    def _polled_on(self, date: str) -> frozenset[str]:
        if self._polled_of is None:
            return frozenset()
        if date not in self._polled_known:
            self._polled_known = {date: frozenset(self._polled_of(date))}
        return self._polled_known[date]
