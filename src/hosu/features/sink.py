"""Features on the stream: a sink that builds minutes from trades and steps the kernel where the log closes them.

Everything it serves depends on the records of the log and on what the day began with, so the same log read again
gives the same bits. What it remembers is laid down after each flush, once the rows up to there would survive a power
cut; a restart reads the log from there, and what is computed again and is in the table already is not added twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import structlog

from hosu.clock import SystemClock
from hosu.collect.dates import day_text, number_of
from hosu.errors import HosuError, InputError, LogCorruptError, LogGapError, MarketError
from hosu.features import bar_kernel
from hosu.features.batch import States
from hosu.features.checkpoint import Kept, pack, unpack
from hosu.features.grid import window_of
from hosu.features.market_rows import MarketRows
from hosu.features.online_bars import chosen_states
from hosu.features.openings import opening
from hosu.features.served import SCOPE, Closed
from hosu.features.store import Begin
from hosu.lake.storage import disk_error
from hosu.market.calendar import business_day
from hosu.replacing import replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch
    from hosu.features.openings import Morning
    from hosu.features.store import FeatureStore

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FeatureConfig:
    """When rows are committed; ``keep_every_s`` bounds how much log is read again after a crash."""

    flush_after_s: float = 2.0
    flush_rows: int = 200_000
    keep_every_s: float = 30.0


class FeatureSink:
    """Implements ``collect.sinks.Sink``. For one thread at a time.

    Attributes:
        on_close: called with every ``Closed``, in the sink's thread, before it is written anywhere. After a restart
            some come again (``again``).
        on_day: called with (date, what it began with, states) when a day begins.
        before_keep: called, in the sink's thread, each time the state is about to be laid down: what was closed so far
            will not be closed again after a restart, so whoever was told of it returns once it needs no second telling,
            or raises a ``LakeError`` that may pass; then nothing is laid down, and the next ``flush`` tries again.
        tells: figures of whoever listens, for ``facts``, by name; read from any thread.
        market_us: the latest time of a trade so far, UTC microseconds; 0 for none. May be read from any thread.
        commits, rows, bytes_written: what was added to the table since the start.
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
            keep: file for what is remembered; None remembers nothing over a restart.
            floors: by log, the record behind which it begins on disk: what lies before cannot be read again.
            symbols_of: the symbols that are followed on a date; None for all that trade.
            polled_of: those of them that have polls instead of trades; from its first trade of the day on a symbol has
                trades. None for none.
            config: when rows are committed.
            clock: for the age of rows.
        """
        self._store, self._path, self._floors, self._symbols_of = store, keep, floors or {}, symbols_of
        self._polled_of = polled_of
        self._config, self._clock = config or FeatureConfig(), clock or SystemClock()
        self.on_close: list[Callable[[Closed], object]] = []
        self.on_day: list[Callable[[str, str, States], object]] = []
        self.before_keep: list[Callable[[], object]] = []
        self.tells: dict[str, Callable[[], int]] = {}
        self._kept = Kept("")
        self._names: tuple[str, ...] = ()
        self._allowed: frozenset[str] | None = None
        self._polled: frozenset[str] = frozenset()
        self._polled_known: dict[str, frozenset[str]] = {}
        self._flags = np.zeros(0, np.bool_)  # by number, whether the symbol is polled
        self._shut: set[str] = set()  # dates without a session
        self._late_told: set[str] = set()
        self._saved_lsn = self._covered = -1
        self._held: list[Closed] = []
        self._held_since: float | None = None
        self._kept_at = self._clock.monotonic()
        self._in_doubt = self._owes_state = False
        self.market_us = self.commits = self.rows = self.bytes_written = 0

    # --- as a sink ----------------------------------------------------------------------------------------------

    def resume_after(self, wal_id: str) -> int:
        """The record of that log up to which everything is laid down; -1 when there is none."""
        self._turn_to(wal_id)
        return self._saved_lsn

    def write(self, batch: EventBatch) -> None:
        """Takes trades into their minutes and closes those that the log closes; what was taken before is left out.

        Raises:
            LogGapError: records before the batch are missing.
            LakeError: the lake cannot say now what a day begins with; what lies before in the batch is taken. What it
                will never say is gone on without.
        """
        self._turn_to(batch.wal_id)
        after = self._kept.lsn
        if batch.after_lsn > after:
            raise LogGapError(batch.wal_id, after + 1, batch.after_lsn)
        if batch.last_lsn <= after:
            return
        trades = MarketRows.trades(batch.tables.get("trades"), after, SCOPE)
        polls = MarketRows.polls(batch.tables.get("snapshots"), after, SCOPE) if self._polled_of else None
        at = polled = 0
        for lsn, until_us in self._steps(batch, after, trades, polls):
            at = self._take_up_to(trades, at, lsn, self._take_trades)
            polled = self._take_up_to(polls, polled, lsn, self._take_polls)
            if until_us is not None:
                self._close_minutes(lsn, until_us)
        self._kept.lsn = batch.last_lsn

    def due(self) -> bool:
        """Whether rows are old or many enough to be committed, or the state is to be laid down."""
        now = self._clock.monotonic()
        if self._held_since is not None:
            many = sum(map(len, self._held)) >= self._config.flush_rows
            if many or now - self._held_since >= self._config.flush_after_s:
                return True
        if self._owes_state:
            return True
        return self._kept.lsn > self._saved_lsn and now - self._kept_at >= self._config.keep_every_s

    def flush(self) -> int:
        """Commits the rows held, and lays down the state if there were any or its time has come; returns the LSN up to
        which it is laid down.

        What cannot be committed stays in memory, and ``flush`` may be called again; so may it after a state could not
        be laid down.
        """
        old = self._clock.monotonic() - self._kept_at >= self._config.keep_every_s
        if self._held or old or self._owes_state:
            self._lay_down()
        return self._saved_lsn

    def sync(self) -> None:
        """Returns when all rows and the state would survive a power cut."""
        self._lay_down()

    def close(self) -> None:
        """Commits the rows held and lays down the state."""
        self._lay_down()

    def remembered(self) -> bytes:
        """What a restart would go on from, as bytes."""
        self._kept.market_us = self.market_us
        return pack(self._kept)

    @property
    def facts(self) -> dict[str, int]:
        """For the status."""
        told = {name: tell() for name, tell in self.tells.items()}
        return {"late_trades": int(self._kept.bars.counts[bar_kernel.LATE]), **told}

    # --- what is remembered -------------------------------------------------------------------------------------

    def _turn_to(self, wal_id: str) -> None:
        if wal_id == self._kept.wal_id:
            return
        if self._kept.wal_id:
            self._lay_down()
        floor = self._floors.get(wal_id, -1)
        self._covered = self._store.covered(wal_id)
        kept = self._read(wal_id, floor)
        self._kept = kept or Kept(wal_id, floor, "new" if floor < 0 else f"new@{floor}")
        self._saved_lsn, self.market_us = self._kept.lsn, self._kept.market_us
        self._shut, self._late_told, self._flags, self._names = set(), set(), np.zeros(0, np.bool_), ()
        self._follow(self._kept.bars.date)

    def _read(self, wal_id: str, floor: int) -> Kept | None:
        """What was laid down of that log and can be gone on with."""
        if self._path is None:
            return None
        try:
            kept = unpack(self._path.read_bytes(), self._path)
        except FileNotFoundError:
            return None
        except (InputError, MarketError) as error:
            _log.warning("features begin anew", error=str(error))
            return None
        except LogCorruptError as error:
            self._set_aside(self._path, error.fault)
            return None
        except OSError as error:
            self._set_aside(self._path, str(error))
            return None
        if kept.wal_id != wal_id or kept.lsn < floor:
            _log.warning("features begin anew: theirs is another log, or lacks records", log=kept.wal_id, lsn=kept.lsn)
            return None
        return kept

    @staticmethod
    def _set_aside(path: Path, fault: str) -> None:
        """Moves away what cannot be read, or the next state would be laid over it, or could not be laid down at all."""
        aside = path.with_name(f"{path.name}.damaged")
        try:
            path.replace(aside)
        except OSError as error:
            _log.warning(
                "features begin anew: what was remembered cannot be read, nor be set aside, and will be replaced",
                path=str(path),
                fault=fault,
                error=str(error),
            )
            return
        _log.warning(
            "features begin anew: what was remembered cannot be read, and was set aside", path=str(aside), fault=fault
        )

    def _lay_down(self) -> None:
        """Rows first, then the state: what is read again finds its rows, and what is not read again has them."""
        self._commit()
        self._owes_state = self._kept.lsn > self._saved_lsn
        if self._owes_state:
            self._store.sync()
            for ready in self.before_keep:
                ready()
            self._keep_state()
        self._owes_state, self._kept_at = False, self._clock.monotonic()

    def _keep_state(self) -> None:
        if self._path is not None:
            try:
                replace_file(self._path, self.remembered())
            except OSError as error:
                raise disk_error(str(self._path), str(error)) from error
        self._saved_lsn = self._kept.lsn

    def _commit(self) -> None:
        wal_id = self._kept.wal_id
        if self._in_doubt:
            self._covered = self._store.covered(wal_id)
            self._held = [each for each in self._held if each.lsn > self._covered]
        if self._held:
            self._in_doubt = True
            self.bytes_written += self._store.add(self._held, wal_id, self._kept.lsn)
            self._covered = self._kept.lsn
            self.commits += 1
            self.rows += sum(map(len, self._held))
        self._in_doubt = False
        self._held, self._held_since = [], None

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
            self._held.append(closed)
            self._held_since = self._clock.monotonic() if self._held_since is None else self._held_since
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
