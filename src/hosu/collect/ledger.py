"""The ledger as a sink: it reads the log beside the lake, and says of each symbol's day what is missing, and why.

Holes reach the tables within seconds, the states of symbol-days when they change, and in full when the day is over and
at the end. A restart goes on from a state laid down now and then. What the tables say already is asked of them before
anything is added, so that a crash anywhere between loses nothing and doubles nothing.

A table that cannot be read holds up nobody: that is said once, what it should be told waits, in the state too, and is
told when it can be read again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from hosu.clock import SystemClock
from hosu.collect import ledger_kernel as kernel
from hosu.collect.ledger_checkpoint import LogState, pack, unpack
from hosu.collect.ledger_others import Others
from hosu.collect.ledger_rows import (
    Additions,
    Found,
    but_for_growth,
    coverage_change,
    coverage_row,
    event_key,
    gap_changes,
)
from hosu.collect.ledger_seen import is_asked, sides_of
from hosu.errors import LogGapError, TableCorruptError
from hosu.market.volume_rules import SETTLE_S

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from hosu.clock import Clock
    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_judge import Verdict
    from hosu.collect.ledger_state import Ints, Series
    from hosu.collect.sinks import EventBatch

_log = structlog.get_logger(__name__)

_WITNESSES: Final = ("trades", "quotes", "snapshots")
_DATES_KEPT: Final = 3
"""Business dates a log's state holds: today, yesterday (repaired this morning), and one to spare."""
_ALL: Final = ""
_WITNESS_VOLUMES: Final = [kernel.W_BOOK, kernel.W_POLL]


class LedgerStore(Protocol):
    """Where the ledger keeps its rows and its state."""

    def covered(self, wal_id: str) -> int:
        """The highest LSN of that log that any table of the ledger has rows up to; -1 for none."""

    def state(self, wal_id: str) -> bytes | None:
        """What ``save`` was given last for that log."""

    def save(self, wal_id: str, state: bytes) -> None:
        """Keeps the state of a log, in place of the one before, as a whole."""

    def other_states(self, wal_id: str, dates: Collection[str]) -> Mapping[str, bytes]:
        """The states of all other logs, and what the lake itself was judged by on these dates, by name; what has not
        changed is the same object as last time."""

    def gaps(self, dates: Collection[str]) -> Mapping[Series, list[Gap]]:
        """The latest revision of every gap of these dates, by series."""

    def coverage(self, dates: Collection[str]) -> Mapping[Series, Mapping[str, Any]]:
        """The latest row of ``coverage_days`` of every series of these dates."""

    def events(self, dates: Collection[str]) -> list[dict[str, Any]]:
        """All rows of ``gap_events`` of these dates."""

    def add(self, rows: Additions, wal_id: str | None, lsn: int | None) -> None:
        """Adds rows: events first, then gaps, then coverage, each table in one commit that carries (log, LSN)."""

    def sync(self) -> None:
        """Returns when all of it would survive a power cut."""


@dataclass(frozen=True, slots=True)
class LedgerConfig:
    """When the ledger speaks.

    ``settle_s`` is how long a book or poll may be ahead of the trades before that is a hole at the end: the two come
    on different ways. ``save_every_s`` bounds how much log is read again after a crash.
    """

    gaps_every_s: float = 2.0
    coverage_every_s: float = 60.0
    save_every_s: float = 30.0
    settle_s: float = SETTLE_S


class LedgerSink:
    """Takes decoded events into the ledger. For one thread at a time.

    Attributes:
        open_gaps: holes of the dates in the state that stand open now, as far as published, whichever log knows them.
        trouble: what is wrong with the tables; None while they can be read.
        commits, rows: what was added to the tables since the start.
    """

    name = "ledger"

    def __init__(self, store: LedgerStore, config: LedgerConfig | None = None, clock: Clock | None = None) -> None:
        self._store, self._config, self._clock = store, config or LedgerConfig(), clock or SystemClock()
        self._state = LogState("")
        self._saved_lsn = -1
        self._saved_dates: set[str] = set()  # those that the state laid down last tells of
        now = self._clock.monotonic()
        self._gaps_at = self._coverage_at = self._saved_at = now
        # By series, how often it had changed when its gaps, and its state, were told last.
        self._told_gaps: dict[Series, int] = {}
        self._told_days: dict[Series, int] = {}
        # By series that a witness is ahead of, how far its trades have come, and since when they stand there.
        self._others = Others(store, self._config.settle_s)
        self._unasked: set[str] = set()  # dates of which nobody could say whether they were judged before
        self._ended: set[str] = set()  # dates whose end has been told
        self._recv_us = 0
        self._in_doubt = True
        self._faults: dict[str, str] = {}  # by date of which a table cannot be read, or _ALL of them, what is wrong
        self._faults_said: set[str] = set()
        self.trouble: str | None = None
        self.open_gaps = 0
        self._facts = {"open_gaps": 0, "missing_shares": 0}
        self.missing: Mapping[Series, int] = {}
        self.commits = self.rows = self.bytes_written = 0

    # --- as a sink ----------------------------------------------------------------------------------------------

    def resume_after(self, wal_id: str) -> int:
        """The record of that log up to which the state is laid down; -1 when there is none."""
        self._turn_to(wal_id)
        return self._saved_lsn

    def write(self, batch: EventBatch) -> None:
        """Takes a batch into the state; what of it was taken before is left out.

        Raises:
            LogGapError: records before the batch are missing.
        """
        self._turn_to(batch.wal_id)
        state = self._state
        if batch.after_lsn > state.lsn:
            raise LogGapError(batch.wal_id, state.lsn + 1, batch.after_lsn)
        if batch.last_lsn <= state.lsn:
            return
        self._begin_dates(batch)  # may speak to the store, and fail: before anything is taken
        tables = {name: self._fresh(rows, state.lsn) for name, rows in batch.tables.items()}
        notes = [note for note in batch.sessions if note.lsn > state.lsn]
        state.timeline.take(notes, tables.get("quarantine"), state.began.values())
        steps = [(-1, state.clock_us)]
        for lsn, told_us in batch.broker_clock:
            if lsn > state.lsn:
                state.heard = [*state.heard[-1:], told_us]
                steps.append((lsn, state.clock_us))
        self._take(tables, np.array(steps, np.int64))
        for lsn, clock_us in steps[1:]:
            state.mark_clock(lsn, clock_us)
        state.lsn = batch.last_lsn

    def _fresh(self, rows: pa.RecordBatch, lsn: int) -> pa.RecordBatch:
        """The rows behind ``lsn``, of dates that this log still judges."""
        numbers = rows.column("lsn").to_numpy()
        if len(numbers) and numbers[0] <= lsn:
            rows = rows.slice(int(np.searchsorted(numbers, lsn, side="right")))
        closed = self._state.closed
        column = rows.column("date")
        if closed and pa.types.is_dictionary(column.type) and closed & set(column.dictionary.to_pylist()):
            rows = rows.filter(pc.invert(pc.is_in(column.cast(pa.string()), pa.array(sorted(closed)))))
        return rows

    def _take(self, tables: dict[str, pa.RecordBatch], clock: Ints) -> None:
        state, table = self._state, self._state.table
        for name in _WITNESSES:
            rows = tables.get(name)
            if rows is None or not len(rows):
                continue
            self._recv_us = max(self._recv_us, pc.max(rows.column("ts_recv")).value or 0)
            for date, lsn in _last_of_dates(rows):
                state.told[date] = max(lsn, state.told.get(date, -1))
            match name:
                case "trades":
                    table.take_trades(rows)
                case "quotes":
                    table.take_books(rows, clock)
                case _:
                    table.take_polls(rows, clock)
        for key, level, lsn in table.passed():
            marks = state.marks.setdefault(key, [-1, -1])
            marks[level] = lsn if marks[level] < 0 else marks[level]

    def _begin_dates(self, batch: EventBatch) -> None:
        state = self._state
        first: dict[str, int] = {}
        for name in _WITNESSES:
            rows = batch.tables.get(name)
            if rows is None or not len(rows):
                continue
            column, lsn = rows.column("date"), rows.column("lsn")
            for date in pc.unique(column).to_pylist():
                if date is not None and date not in state.began and date not in state.closed:
                    at = int(lsn[pc.index(column.cast(pa.string()), date).as_py()].as_py())
                    first[date] = min(at, first.get(date, at))
        for date in sorted(first):
            self._begin(date, first[date])

    def _begin(self, date: str, lsn: int) -> None:
        """A date that the log tells of for the first time; the oldest of too many are told in full and let go."""
        state = self._state
        if self._is_judged(date):
            self._leave_to_certify(date)
            return
        for oldest in sorted([*state.began, date])[:-_DATES_KEPT]:
            if not self._publish(coverage=True, everything=True, final={oldest}, leaving=True) & {oldest}:
                self._forget(oldest)
        if date not in state.closed:
            state.began[date] = lsn

    def _is_judged(self, date: str) -> bool:
        """Whether others have judged the date, and left no state that this log's could be united with. Where the table
        cannot be read now it is asked again when it can."""
        state = self._state
        try:
            ours = state.lsn < self._store.covered(state.wal_id) or not self._store.coverage([date])
        except TableCorruptError as error:
            self._cannot_tell(date, error)
            self._unasked.add(date)
            return False
        self._unasked.discard(date)
        if ours:
            return False
        self._others.read(state.wal_id, {*state.began, date})
        return not self._others.began(date)

    def _leave_to_certify(self, date: str) -> None:
        _log.warning("a day judged before is left to: hosu ledger certify", date=date)
        self._state.closed.add(date)

    def _forget(self, date: str) -> None:
        self._state.close(date)
        self._told_gaps = {series: count for series, count in self._told_gaps.items() if series[0] != date}
        self._told_days = {series: count for series, count in self._told_days.items() if series[0] != date}
        self._others.forget(date)

    def due(self) -> bool:
        """Whether it is time to tell the tables, or to lay down the state."""
        if self._state.lsn <= self._saved_lsn and not self._in_doubt:
            return False
        now, config = self._clock.monotonic(), self._config
        return (
            now - self._gaps_at >= config.gaps_every_s
            or now - self._coverage_at >= config.coverage_every_s
            or now - self._saved_at >= config.save_every_s
        )

    def flush(self) -> int:
        """Tells the tables what is new, and lays down the state when its time has come; returns the LSN up to which
        the state is laid down."""
        now = self._clock.monotonic()
        self._gaps_at = now
        coverage = now - self._coverage_at >= self._config.coverage_every_s
        ended = self._dates_ended()
        untold = self._publish(coverage=coverage or bool(ended), everything=bool(ended), final=ended)
        self._ended |= ended - untold
        if coverage:
            self._coverage_at = now
        if now - self._saved_at >= self._config.save_every_s:
            self._save()
        return self._saved_lsn

    def sync(self) -> None:
        """Lays the state down, and returns when it and all rows would survive a power cut."""
        self._save()
        try:
            self._store.sync()
        except TableCorruptError as error:
            self._cannot_tell(_ALL, error)
            self.trouble = str(error)

    def close(self) -> None:
        """Tells the tables all there is, whether the day is over or not, lays down the state, and syncs."""
        self._publish(coverage=True, everything=True, final=set(self._state.began))
        self.sync()

    @property
    def facts(self) -> dict[str, int]:
        """For the status: what stands open of the series in this log; several shards add theirs up."""
        return self._facts

    # --- state --------------------------------------------------------------------------------------------------

    def _turn_to(self, wal_id: str) -> None:
        if wal_id == self._state.wal_id:
            return
        if self._state.wal_id:
            self.close()
        content = self._store.state(wal_id)
        self._state = LogState(wal_id) if content is None else unpack(content, f"the ledger's state of log {wal_id}")
        self._saved_lsn = self._state.lsn
        self._saved_dates, self._recv_us = set(self._state.began), self._state.table.last_recv_us()
        self._told_gaps, self._told_days, self._unasked, self._in_doubt = {}, {}, set(), True
        self._others.forget()

    def _save(self) -> None:
        if self._state.wal_id and self._state.lsn > self._saved_lsn:
            self._store.save(self._state.wal_id, pack(self._state))
            self._saved_lsn, self._saved_dates = self._state.lsn, set(self._state.began)
        self._saved_at = self._clock.monotonic()

    def _dates_ended(self) -> set[str]:
        """Dates whose last session is over by now and of which that was not told yet."""
        by_date: dict[str, list[int]] = {}
        for (date, _), marks in self._state.marks.items():
            by_date.setdefault(date, []).append(marks[1])
        over = {date for date, marks in by_date.items() if all(mark >= 0 for mark in marks)}
        return over - self._ended

    # --- what is told -------------------------------------------------------------------------------------------

    def _publish(self, *, coverage: bool, everything: bool, final: set[str], leaving: bool = False) -> set[str]:
        """Adds what the tables do not say yet. Returns the dates that they cannot be told of.

        Args:
            coverage: states too, not holes only. What could not be read is tried again.
            everything: of these the figures too.
            final: dates of which a witness ahead of the trades is taken at its word at once.
            leaving: those dates are let go of, so that nothing will be told of them later.
        """
        self._faults = {} if coverage else {date: fault for date, fault in self._faults.items() if date != _ALL}
        try:
            self._tell(coverage=coverage, everything=everything, final=final, leaving=leaving)
        except TableCorruptError as error:
            self._cannot_tell(_ALL, error)
        if coverage and self._faults_said and not self._faults:
            _log.info("the ledger's tables can be read again, and were told what had waited")
            self._faults_said.clear()
        self.trouble = "; ".join(dict.fromkeys(self._faults.values())) or None
        return {*self._state.began, *final} if _ALL in self._faults else set(self._faults)

    def _cannot_tell(self, date: str, error: TableCorruptError) -> None:
        self._faults[date] = str(error)
        if str(error) not in self._faults_said:
            self._faults_said.add(str(error))
            _log.warning("the ledger waits with what it should tell, collecting goes on", error=str(error))

    def _tell(self, *, coverage: bool, everything: bool, final: set[str], leaving: bool) -> None:
        state = self._state
        if not state.wal_id:
            return
        behind = self._in_doubt and state.lsn < self._store.covered(state.wal_id)
        if behind and not leaving:
            return  # the tables know more than the state that was taken up; it will get there
        for date in sorted(self._unasked) if coverage else ():
            if self._is_judged(date):
                self._forget(date)
                self._leave_to_certify(date)
        chosen = self._changed(all_of=final if everything else set(), coverage=coverage)
        if behind:
            chosen = {number: count for number, count in chosen.items() if state.table.names[number][0] in final}
        wanted = {state.table.names[number][0] for number in chosen} - self._unasked
        dates = self._readable(wanted, coverage=coverage)
        if not dates:
            return
        if coverage and not state.began.keys() <= self._saved_dates:
            # First the state: without it another log takes the rows for those of a day that was judged and let go.
            self._save()
        self._others.read(state.wal_id, set(state.began))
        former_gaps, former_days = self._store.gaps(dates), self._store.coverage(dates) if coverage else {}
        added = Additions()
        told_gaps: dict[Series, int] = {}
        told_days: dict[Series, int] = {}
        for number, changed in chosen.items():
            series = state.table.names[number]
            if series[0] not in dates:
                continue
            former = former_gaps.get(series, ())
            seen, verdict, shared = self._others.verdict(
                state, number, former, final=series[0] in final, recv_us=self._recv_us
            )
            if shared is None:
                continue
            gaps = self._explained(verdict)
            now = gaps if coverage else but_for_growth(former, gaps)
            _extend(added, gap_changes(former, now, self._found(number), seen.hi))
            if coverage:
                row = coverage_row(seen, verdict, self._clock.now_us(), shared=shared)
                new = coverage_change(former_days.get(series), row, everything=everything)
                added.coverage += [new] if new is not None else []
            if max((witness.volume for witness in seen.witnesses), default=0) <= seen.hi:  # else trades may still come
                told_gaps[series] = changed
                told_days.update({series: changed} if coverage else {})
        self._add(added, dates)
        self._in_doubt = self._in_doubt or behind
        self._told_gaps |= told_gaps
        self._told_days |= told_days

    def _readable(self, dates: set[str], *, coverage: bool) -> set[str]:
        """Those of these dates of which the tables can be read, as far as it takes to tell them something."""
        wanted = dates - self._faults.keys()
        try:
            if wanted:
                self._store.gaps(wanted)
                if coverage:
                    self._store.coverage(wanted)
                if self._in_doubt:
                    self._store.events(wanted)
        except TableCorruptError as error:
            if len(wanted) > 1:
                return {date for date in sorted(wanted) if self._readable({date}, coverage=coverage)}
            self._cannot_tell(wanted.pop(), error)
        return wanted

    def _add(self, added: Additions, dates: set[str]) -> None:
        if self._in_doubt and added.events:
            told = {event_key(row) for row in self._store.events(dates)}
            added.events = [row for row in added.events if event_key(row) not in told]
        if added:
            self._in_doubt = True
            self._store.add(added, self._state.wal_id, self._state.lsn)
            self.commits += sum(map(bool, (added.gaps, added.events, added.coverage)))
            self.rows += len(added.gaps) + len(added.events) + len(added.coverage)
        self._in_doubt = bool(self._faults)
        known = self._state.began.keys() - self._faults.keys()
        still_open = [gap for gaps in self._store.gaps(known).values() for gap in gaps if gap.open]
        self.open_gaps = len(still_open)
        mine = [gap.shares for gap in still_open if self._state.table.find(gap.series) is not None]
        self._facts = {"open_gaps": len(mine), "missing_shares": sum(mine)}
        missing: dict[Series, int] = {}
        for gap in still_open:
            missing[gap.series] = missing.get(gap.series, 0) + gap.shares
        self.missing = missing

    def _changed(self, *, all_of: set[str], coverage: bool) -> dict[int, int]:
        """The series to look at, and how often each has changed."""
        table = self._state.table
        rows = table.rows[: len(table)]
        counts = rows[:, kernel.CHANGED].tolist()
        # A hole at the end closes by trades that change nothing else.
        ahead = (rows[:, _WITNESS_VOLUMES].max(axis=1) > rows[:, kernel.HI]) if len(rows) else np.zeros(0, np.bool_)
        traded = (rows[:, kernel.TRADES] > 0).tolist()
        chosen = {}
        for number, (series, count, is_ahead, has_trades) in enumerate(
            zip(table.names, counts, ahead.tolist(), traded, strict=True)
        ):
            changed = is_ahead or self._told_gaps.get(series, 0) != count
            # Thousands may be polled only, each ahead at every look: they have no holes.
            may_have_holes = changed and (has_trades or is_asked(self._state, series))
            if may_have_holes or (coverage and self._told_days.get(series) != count) or series[0] in all_of:
                chosen[number] = count
        return chosen

    def _explained(self, verdict: Verdict) -> list[Gap]:
        return [self._cause_of(gap) for gap in verdict.gaps]

    def _cause_of(self, gap: Gap) -> Gap:
        state = self._state
        begin = state.began.get(gap.date, 0) - 1
        sides = sides_of(state, gap)
        long_us = (gap.after_recv or 0) - gap.before_recv if gap.before_recv is not None else 0
        cause, detail = state.timeline.explain(gap.scope, gap.symbol, sides, since_lsn=begin, long_us=long_us)
        return replace(gap, cause=str(cause), detail=f"{gap.detail}; {detail}" if gap.detail else detail)

    def _found(self, number: int) -> Found:
        """Who fills the holes of a series now, and its end. Of what was not asked for, nothing came but over REST."""
        state, row = self._state, self._state.table.rows[number]
        end_by_rest = row[kernel.REST_HI] == row[kernel.HI]
        by_rest = row[kernel.FILLED_BY] or (end_by_rest and not is_asked(state, state.table.names[number]))
        filler, end_filler = ("rest" if over_rest else "stream" for over_rest in (by_rest, end_by_rest))
        return Found("stream", self._recv_us, state.wal_id, state.lsn, filler, end_filler)


def _last_of_dates(rows: pa.RecordBatch) -> list[tuple[str, int]]:
    """The dates of some rows, each with its last record. Nearly always there is one."""
    column, lsn = rows.column("date"), rows.column("lsn")
    dates = [date for date in pc.unique(column).to_pylist() if date is not None]
    if len(dates) == 1:
        return [(dates[0], int(lsn[-1].as_py()))]
    named = column.cast(pa.string())
    return [(date, int(pc.max(lsn.filter(pc.equal(named, date))).as_py())) for date in dates]


def _extend(added: Additions, more: Additions) -> None:
    added.gaps += more.gaps
    added.events += more.events
