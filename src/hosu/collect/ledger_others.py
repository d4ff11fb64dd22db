"""A series as all logs together have seen it: what this log's ledger knows, united with the states of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import structlog

from hosu.collect.ledger_checkpoint import LogState, unpack
from hosu.collect.ledger_judge import Seen, judge, united
from hosu.collect.ledger_seen import seen_in
from hosu.errors import HosuError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hosu.collect.gaps import Gap
    from hosu.collect.ledger_judge import Verdict
    from hosu.collect.ledger_state import Series

_log = structlog.get_logger(__name__)


class States(Protocol):
    """Where the states of other logs are read."""

    def other_states(self, wal_id: str, dates: Collection[str]) -> Mapping[str, bytes]:
        """The states of all other logs, and what the lake itself was judged by on these dates, by name; what has not
        changed is the same object as last time."""


class Others:
    """What the other logs know, and how long trades have stood still that a witness is ahead of."""

    def __init__(self, states: States, settle_s: float) -> None:
        self._states, self._settle_us = states, round(settle_s * 1e6)
        self._known: dict[str, LogState] = {}
        self._raw: dict[str, bytes] = {}
        self._waits: dict[Series, tuple[int, int]] = {}

    def read(self, wal_id: str, dates: Collection[str]) -> None:
        """Reads what has changed of the states of the logs beside ``wal_id``."""
        raw = self._states.other_states(wal_id, dates)
        for other, content in raw.items():
            if self._raw.get(other) is not content:
                self._known.pop(other, None)
                try:
                    self._known[other] = unpack(content, f"the ledger's state of log {other}")
                except HosuError as error:  # somebody else's; certify does without it
                    _log.warning("a log's ledger is passed over", wal_id=other, error=str(error))
        self._known = {other: state for other, state in self._known.items() if other in raw}
        self._raw = dict(raw)

    def began(self, date: str) -> bool:
        """Whether any of them has a state of that date."""
        return any(date in other.began for other in self._known.values())

    def forget(self, date: str | None = None) -> None:
        """Waits for no series of a date any more; None for none at all."""
        self._waits = {series: wait for series, wait in self._waits.items() if date not in (None, series[0])}

    def verdict(
        self, state: LogState, number: int, former: Sequence[Gap], *, final: bool, recv_us: int
    ) -> tuple[Seen, Verdict, bool | None]:
        """What is known of a series of this log's, by all logs together; None for ``shared`` where another log speaks
        of it.

        Args:
            state: of this log.
            number: of the series in it.
            former: its gaps as they were told.
            final: a witness ahead of the trades is taken at its word at once.
            recv_us: the latest time of receipt, UTC microseconds.
        """
        seen = seen_in(state, number)
        others = self._seen(seen.series)
        if not seen.trades and any(other.trades for other in others):
            return seen, judge(seen), None
        whole = united(seen, others)
        shared = whole.hi != seen.hi or [gap.key for gap in whole.gaps] != [gap.key for gap in seen.gaps]
        return whole, judge(whole if final else self._settled(whole, former, recv_us)), shared

    def _settled(self, seen: Seen, former: Sequence[Gap], recv_us: int) -> Seen:
        """Without its witnesses while trades may still come that these are ahead of; nobody knows then whether the end
        was reached, whatever others say. Trades that have stood still for ``settle_s`` come no more: a witness
        may say more every second, and would else be waited for all day. Where a hole at the end was told already there
        is nothing to wait for, be it by a process before this one or because the day was over."""
        ahead = [each.recv or 0 for each in seen.witnesses if each.volume > seen.hi]
        if not ahead or not (seen.trades or seen.registered):
            self._waits.pop(seen.series, None)
            return seen
        if any(gap.open and gap.after_ts is None and gap.from_volume == seen.hi for gap in former):
            return seen
        hi, since_us = self._waits.get(seen.series, (-1, 0))
        if hi != seen.hi:
            since_us = min(ahead)
            self._waits[seen.series] = seen.hi, since_us
        if since_us <= recv_us - self._settle_us:
            return seen
        return replace(seen, witnesses=(), stood=-1)

    def _seen(self, series: Series) -> Sequence[Seen]:
        found = []
        for other in self._known.values():
            number = other.table.find(series)
            if number is not None:
                found.append(seen_in(other, number))
        return found
