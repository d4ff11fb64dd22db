"""The order book's features on the stream: a sink that steps the book's kernel over quotes and trades as they come.

A second is closed by the first event of a later one, and the last of a day when the log closes the session's last
minute. So what is served depends on the records of the log alone: the same log read again gives the same bits, and so
does batch over the same records, but for what comes behind the day's close.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from hosu.features import book_kernel as kernel
from hosu.features.book_events import hours_of
from hosu.features.book_rows import BookRows
from hosu.features.grid import window_of
from hosu.features.kept_bytes import UNREADABLE, KeptFormat, unreadable
from hosu.features.kept_sink import FeatureConfig, KeptSink, ServedRows
from hosu.features.served import SCOPE
from hosu.features.served_seconds import ClosedSeconds
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.collect.sinks import EventBatch

    Ints = npt.NDArray[np.int64]

_FORMAT: Final = 1
_MAGIC: Final = b"HOSUBOO"
_ROOM: Final = 64  # symbols there is room for at first
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class KeptBooks:
    """All that is remembered of one log up to the record ``lsn``, and of the day at hand.

    ``began`` is what the day began with; ``over`` whether its last seconds are closed; ``late`` how many events came
    behind that. ``states`` has a row of the kernel's for each of ``symbols``, and room behind them.
    """

    wal_id: str
    lsn: int = -1
    began: str = "new"
    date: str = ""
    over: bool = False
    late: int = 0
    symbols: list[str] = field(default_factory=list)
    states: Ints = field(default_factory=lambda: np.zeros((_ROOM, kernel.STATE), np.int64))


class BookSink(KeptSink[KeptBooks, ClosedSeconds]):
    """Implements ``collect.sinks.Sink``. For one thread at a time. Takes the scope KRX."""

    name = "books"

    def __init__(
        self,
        served: ServedRows[ClosedSeconds],
        *,
        keep: Path | None = None,
        floors: Mapping[str, int] | None = None,
        config: FeatureConfig | None = None,
        clock: Clock | None = None,
    ) -> None:
        """Nothing is read yet. Arguments: as of ``KeptSink``."""
        super().__init__(served, keep=keep, floors=floors, config=config, clock=clock)
        self._numbers: dict[str, int] = {}
        self._hours: tuple[int, int] | None = None
        self._ends_us = 0

    @property
    def date(self) -> str:
        """The day at hand; empty before the first."""
        return self._kept.date

    @property
    def facts(self) -> dict[str, int]:
        """For the status."""
        return {"late_events": self._kept.late}

    # --- what is remembered -------------------------------------------------------------------------------------

    def _anew(self, wal_id: str, lsn: int) -> KeptBooks:
        return KeptBooks(wal_id, lsn, "new" if lsn < 0 else f"new@{lsn}")

    def _unpacked(self, content: bytes, source: Path) -> KeptBooks:
        facts, arrays = _format().unpack(content, source)
        try:
            states = np.zeros((max(_ROOM, 2 * len(facts["symbols"])), kernel.STATE), np.int64)
            states[: len(facts["symbols"])] = arrays["states"]
            return KeptBooks(**facts, states=states)
        except UNREADABLE as error:
            raise unreadable(source, error) from error

    def remembered(self) -> bytes:
        """What a restart would go on from, as bytes."""
        kept = self._kept
        facts = {name: getattr(kept, name) for name in ("wal_id", "lsn", "began", "date", "over", "late", "symbols")}
        return _format().pack(facts, {"states": kept.states[: len(kept.symbols)]})

    def _turned(self) -> None:
        self._numbers = {symbol: at for at, symbol in enumerate(self._kept.symbols)}
        self._know(self._kept.date)

    # --- events and closes --------------------------------------------------------------------------------------

    def _take(self, batch: EventBatch, after: int) -> None:
        rows, at = BookRows.of(batch.tables, after, SCOPE), 0
        for lsn, until_us in [*(each for each in batch.bar_closes if each[0] > after), (batch.last_lsn + 1, None)]:
            at = self._take_up_to(rows, at, lsn)
            if until_us is not None and 0 < self._ends_us <= until_us:
                self._end_day(lsn)

    def _take_up_to(self, rows: BookRows | None, first: int, lsn: int) -> int:
        """Takes the events from ``first`` on of records before ``lsn``; returns the place behind them."""
        if rows is None:
            return first
        end = int(np.searchsorted(rows.lsn, lsn))
        for date, begin, behind in rows.days(first, end):
            if date > self._kept.date:
                self._begin(date, int(rows.lsn[begin]))
            if date == self._kept.date and self._hours is not None:
                self._step(rows, np.arange(begin, behind))
        return end

    def _step(self, rows: BookRows, places: Ints) -> None:
        assert self._hours is not None
        second = rows.events[places, kernel.SECOND]
        places = places[(second >= self._hours[0]) & (second < self._hours[1])]
        if self._kept.over:
            self._tell_late(len(places))
            return
        events = np.ascontiguousarray(rows.events[places])
        events[:, kernel.SERIES] = self._numbered(rows)[rows.symbol[places]]
        made, out = np.empty((len(events), kernel.ROW), np.int64), np.empty((len(events), kernel.OUTPUTS))
        closers = np.empty(len(events), np.int64)
        count = kernel.step_events(self._kept.states, events, made, out, closers)
        if count:
            self._close(made[:count], out[:count], rows.lsn[places][closers[:count]])

    def _numbered(self, rows: BookRows) -> Ints:
        """The numbers of the symbols; a new one gets the next."""
        kept = self._kept
        for symbol in rows.symbols:
            if symbol not in self._numbers:
                self._numbers[symbol] = len(kept.symbols)
                kept.symbols.append(symbol)
        if len(kept.symbols) > len(kept.states):
            room = np.zeros((2 * len(kept.symbols), kernel.STATE), np.int64)
            room[: len(kept.states)] = kept.states
            kept.states = room
        return np.array([self._numbers[symbol] for symbol in rows.symbols], np.int64)

    def _end_day(self, lsn: int) -> None:
        """Closes the seconds that stand open; what comes later of the day is late."""
        kept = self._kept
        if kept.over or not kept.date:
            return
        kept.over, count = True, len(kept.symbols)
        made, out = np.empty((count, kernel.ROW), np.int64), np.empty((count, kernel.OUTPUTS))
        closed = kernel.close_all(kept.states[:count], made, out)
        if closed:
            self._close(made[:closed], out[:closed], np.full(closed, lsn, np.int64))

    def _close(self, rows: Ints, outputs: np.ndarray, closed_by: Ints) -> None:
        fresh = closed_by > self._covered  # after a restart the others are in the table
        if not fresh.any():
            return
        kept = self._kept
        self._hold(
            ClosedSeconds(
                kept.wal_id,
                int(closed_by[-1]),
                kept.date,
                kept.began,
                tuple(kept.symbols),
                closed_by[fresh],
                rows[fresh],
                outputs[fresh],
                self._clock.now_us(),
            )
        )

    def _tell_late(self, events: int) -> None:
        if events and not self._kept.late:
            _log.warning("order books came after their day was closed: served seconds lack them", date=self._kept.date)
        self._kept.late += events

    # --- days ---------------------------------------------------------------------------------------------------

    def _begin(self, date: str, lsn: int) -> None:
        """Turns to a later day at a record of the log: its books are empty."""
        kept = self._kept
        self._end_day(lsn)
        if kept.date:
            kept.began = "new"
        kept.date, kept.over, kept.late, kept.symbols = date, False, 0, []
        kept.states[:] = 0
        self._numbers = {}
        self._know(date)

    def _know(self, date: str) -> None:
        """What the calendar says of a day."""
        self._hours = hours_of(date, Scope.KRX) if date else None
        self._ends_us = window_of(date)[1] if self._hours is not None else 0


def _format() -> KeptFormat:
    return KeptFormat(_MAGIC, _FORMAT, kernel.VERSION)
