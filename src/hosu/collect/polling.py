"""Polling what finds no slot: who is due, 30 symbols a call, and what interval each symbol really gets.

A symbol is due once its interval has passed. When the calls do not suffice, all intervals stretch in proportion: the
symbol that has waited longest, counted in intervals, comes first. So one key at 12 calls a second reads 360 symbols
a second: 360 each second, or 2,700 every 7.5 s. Calls are drawn from the governor as polls, which leave live calls
(keys, repair) their share.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import structlog

from hosu.errors import BrokerError, BrokerReplyError
from hosu.kis.codes import Verdict, may_succeed_later, verdict
from hosu.kis.limits import Priority

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.kis.rest import Scope

_log = structlog.get_logger(__name__)

SYMBOLS_A_CALL: Final = 30
"""The most that intstock-multprice takes."""

WINDOW: Final = 64
"""Intervals remembered for each symbol."""

_EARLY: Final = 0.25  # of its interval: so much too early a symbol may fill up a call that goes anyway
_MISSES: Final = 3  # replies in a row without a symbol, after which it is polled only rarely
_REFUSED_ALL: Final = 3  # calls in a row that are refused: so will the others be
_IDLE_S: Final = 0.25
_FAILED_S: Final = 0.5
_FAILED_MOST_S: Final = 30.0
_SAY_EVERY_S: Final = 1.0
_LONGER: Final = 1.25  # times what was said last: a change worth a line in the log


@dataclass(frozen=True, slots=True)
class Achieved:
    """Intervals between the last replies in seconds, one entry a symbol; NaN before there were two.

    ``age_s`` is since the last reply; ``polls`` counts replies with the symbol, ``missed`` those without it.
    """

    last_s: npt.NDArray[np.float64]
    median_s: npt.NDArray[np.float64]
    max_s: npt.NDArray[np.float64]
    age_s: npt.NDArray[np.float64]
    polls: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]


class Rotation:
    """Whose turn it is, and how often each had it. Pure: times are passed in, seconds of any one clock.

    Symbols are named by their place in ``symbols``. ``interval_s`` is what is wanted, infinite for never; change it
    with ``want``.
    """

    def __init__(self, symbols: Sequence[str], now_s: float, interval_s: float = 1.0) -> None:
        count = len(symbols)
        self.symbols = tuple(symbols)
        self.interval_s = np.full(count, float(interval_s))
        self.polls = np.zeros(count, np.int64)
        self.missed = np.zeros(count, np.int64)
        self._missed_in_a_row = np.zeros(count, np.int64)
        self._due_s = np.full(count, float(now_s))
        self._seen_s = np.full(count, np.nan)
        self._away = np.zeros(count, np.bool_)
        self._gaps_s = np.full((count, WINDOW), np.nan)

    def want(self, interval_s: npt.NDArray[np.float64], now_s: float) -> None:
        """Sets the interval of every symbol; one that becomes shorter counts from the last turn on."""
        finite = np.isfinite(interval_s)
        shorter = finite & (interval_s < self.interval_s)
        seen = np.where(np.isnan(self._seen_s), now_s - interval_s, self._seen_s)
        self._due_s[shorter] = np.minimum(self._due_s, seen + interval_s)[shorter]
        self.interval_s = interval_s.astype(np.float64)

    def take(self, now_s: float, most: int = SYMBOLS_A_CALL) -> npt.NDArray[np.int64]:
        """The places of those to be polled now, the longest overdue first; empty while none is due. They are away
        until ``done`` or ``failed``."""
        late = self._lateness(now_s)
        if not len(late) or late.max() < 0:
            return np.zeros(0, np.int64)
        least = -np.partition(-late, most - 1)[most - 1] if len(late) > most else -np.inf
        among = np.flatnonzero(late >= max(least, -_EARLY))
        # Stable: those equally late keep the order of their priority.
        taken = among[np.argsort(-late[among], kind="stable")[:most]]
        self._away[taken] = True
        return taken

    def wait_s(self, now_s: float) -> float:
        """Seconds until somebody is due; infinite when nobody will be."""
        there = ~self._away & np.isfinite(self.interval_s)
        return max(0.0, float(self._due_s[there].min() - now_s)) if there.any() else float("inf")

    def done(self, taken: npt.NDArray[np.int64], answered: npt.NDArray[np.bool_], taken_s: float, now_s: float) -> None:
        """They were polled: asked at ``taken_s``, a reply at ``now_s`` with those ``answered`` in it."""
        self._away[taken] = False
        # From the due time on, so that intervals do not drift; but what was missed is not made up for.
        self._due_s[taken] = np.maximum(self._due_s[taken] + self._slowed(taken), taken_s)
        self.missed[taken[~answered]] += 1
        self._missed_in_a_row[taken] = np.where(answered, 0, self._missed_in_a_row[taken] + 1)
        there = taken[answered]
        again = there[self.polls[there] > 0]
        self._gaps_s[again, (self.polls[again] - 1) % WINDOW] = now_s - self._seen_s[again]
        self.polls[there] += 1
        self._seen_s[there] = now_s

    def failed(self, taken: npt.NDArray[np.int64]) -> None:
        """They were not polled; they are as due as before."""
        self._away[taken] = False

    def put_back(self, taken: npt.NDArray[np.int64], now_s: float) -> None:
        """They are due no earlier than now, so that who waited for them comes first."""
        self._due_s[taken] = np.maximum(self._due_s[taken], now_s)

    def achieved(self, now_s: float) -> Achieved:
        """The intervals of the last ``WINDOW`` polls of each symbol."""
        gaps_s = np.sort(self._gaps_s, axis=1)  # what is not known comes last
        rows, count = np.arange(len(self.symbols)), np.clip(self.polls - 1, 1, WINDOW)
        median_s = (gaps_s[rows, (count - 1) // 2] + gaps_s[rows, count // 2]) / 2
        last_s = self._gaps_s[rows, (self.polls - 2) % WINDOW]
        known = self.polls > 1
        return Achieved(
            np.where(known, last_s, np.nan),
            median_s,
            gaps_s[rows, count - 1],
            now_s - self._seen_s,
            self.polls.copy(),
            self.missed.copy(),
        )

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """Those that the broker has left out of its last replies."""
        return self._missed_in_a_row >= _MISSES

    def demand(self) -> float:
        """Symbols a second that are wanted."""
        return float((1.0 / self.interval_s).sum())

    def _lateness(self, now_s: float) -> npt.NDArray[np.float64]:
        """How long each is overdue, in intervals; negative: not due yet."""
        finite = np.isfinite(self.interval_s) & ~self._away
        with np.errstate(invalid="ignore"):
            late = (now_s - self._due_s) / self.interval_s
        return np.where(finite, late, -np.inf)

    def _slowed(self, taken: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        # What the broker does not know would take the calls of those that it does.
        often = np.maximum(0, self._missed_in_a_row[taken] + 1 - _MISSES)
        return self.interval_s[taken] * np.minimum(60.0, 2.0 ** np.minimum(often, 6))


class Priced(Protocol):
    """One symbol of a reply."""

    @property
    def symbol(self) -> str | None: ...
    @property
    def cum_value(self) -> int | None: ...


class PriceSource(Protocol):
    """The one call that polling needs; its replies reach the log by the client's own ``on_reply``."""

    async def multi_price(
        self, symbols: Sequence[str], scope: Scope = "KRX", *, priority: Priority = Priority.LIVE
    ) -> Sequence[Priced]: ...


class Poller:
    """Works a rotation off: ``run`` until cancelled, ``sweep`` once over everybody.

    ``calls_per_s()`` is what the governor grants at present: what is said of the interval to be expected follows from
    it. Up to ``parallel`` calls are under way at once; replies that take half a second need half a second's calls.

    Attributes:
        on_prices: gets every reply.
        calls: replies so far.
        failures: calls that failed after all their tries.
        trouble: why the last call failed; None while calls succeed.
    """

    def __init__(
        self,
        source: PriceSource,
        rotation: Rotation,
        scope: Scope,
        clock: Clock,
        *,
        calls_per_s: Callable[[], float],
        parallel: int = 6,
    ) -> None:
        self.rotation = rotation
        self.on_prices: Callable[[Sequence[Priced]], None] = lambda _: None
        self._source, self._scope, self._clock = source, scope, clock
        self._calls_per_s, self._parallel = calls_per_s, parallel
        self._said_times, self._say_after_s = 1.0, 0.0
        self._failed_in_a_row, self._answered = 0, True
        self.calls = self.failures = 0
        self.trouble: str | None = None

    async def run(self) -> None:
        """Polls until cancelled. What the broker refuses is said, and the rotation goes on: a missed snapshot is no
        reason to stop receiving."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._parallel):
                group.create_task(self._work(), name=f"poll-{number}")

    async def sweep(self) -> None:
        """One poll of everybody, those with the longest interval first: the witnesses of what was streamed. Ends where
        nobody answers, or all calls are refused; what a single one is refused is no reason to do without the rest."""
        order = np.argsort(-self.rotation.interval_s, kind="stable")
        self._failed_in_a_row = 0
        for first in range(0, len(order), SYMBOLS_A_CALL):
            await self._poll(order[first : first + SYMBOLS_A_CALL])
            if not self._answered or self._failed_in_a_row >= _REFUSED_ALL:
                return

    def expected_times(self) -> float:
        """How many times the interval that is wanted the present pace allows: 1.0, or more where calls are short."""
        return max(1.0, self.rotation.demand() / (self._calls_per_s() * SYMBOLS_A_CALL))

    async def _work(self) -> None:
        while True:
            taken = self.rotation.take(self._clock.monotonic())
            if len(taken):
                await self._poll(taken)
                self._say_interval()
                if self._failed_in_a_row:
                    delay_s = _FAILED_S * 2.0 ** min(10, self._failed_in_a_row)
                    await self._clock.sleep(min(_FAILED_MOST_S, delay_s))
            else:
                await self._clock.sleep(min(_IDLE_S, max(0.001, self.rotation.wait_s(self._clock.monotonic()))))

    async def _poll(self, taken: npt.NDArray[np.int64], *, of_refused: bool = False) -> None:
        """Asks for these; ``of_refused`` says that they are some of those whom a call was refused."""
        asked_s = self._clock.monotonic()
        symbols = [self.rotation.symbols[place] for place in taken]
        fared_well = self.calls > 0 and not self._failed_in_a_row
        try:
            prices = await self._source.multi_price(symbols, self._scope, priority=Priority.POLL)
        except (BrokerError, OSError) as error:
            self._fail(taken, error, said=of_refused)
            if _is_final(error):
                self.rotation.put_back(taken, asked_s)
                if of_refused or fared_well:
                    await self._part(taken, asked_s)
        else:
            answered = {price.symbol for price in prices}
            there = np.array([symbol in answered for symbol in symbols])
            self.rotation.done(taken, there, asked_s, self._clock.monotonic())
            self.calls += 1
            self._failed_in_a_row, self._answered, self.trouble = 0, True, None
            self.on_prices(prices)
        finally:
            self.rotation.failed(taken)  # also when cancelled: nobody stays away

    async def _part(self, taken: npt.NDArray[np.int64], asked_s: float) -> None:
        """Asks for each half, when others fare well: one whom the broker refuses would keep away all that are asked for
        with it, for ever. Who is refused alone counts as left out, and is asked for ever more rarely."""
        if len(taken) == 1:
            self.rotation.done(taken, np.zeros(1, np.bool_), asked_s, self._clock.monotonic())
            return
        for half in np.array_split(taken, 2):
            await self._poll(half, of_refused=True)

    def _fail(self, taken: npt.NDArray[np.int64], error: Exception, *, said: bool) -> None:
        self.failures += 1
        self._answered = isinstance(error, BrokerReplyError)
        self._failed_in_a_row += 1
        if self.trouble != str(error) and not said:
            _log.warning("prices not polled", scope=self._scope, symbols=len(taken), error=str(error))
        self.trouble = str(error)

    def _say_interval(self) -> None:
        """Says when polls have to be further apart than they were; looked at now and then only."""
        now_s = self._clock.monotonic()
        if now_s < self._say_after_s:
            return
        self._say_after_s = now_s + _SAY_EVERY_S
        times = self.expected_times()
        longer, shorter = times > self._said_times * _LONGER, times * _LONGER < self._said_times
        if not longer and not shorter:
            return
        self._said_times = times
        say = _log.warning if longer else _log.info
        say("polls are further apart than wanted", times=round(times, 2), calls_per_s=round(self._calls_per_s(), 2))


def _is_final(error: Exception) -> bool:
    """Whether the broker refuses these symbols, as far as its code tells: not its pace, not itself, not the key."""
    if not isinstance(error, BrokerReplyError) or may_succeed_later(error):
        return False
    return verdict(error.code) is not Verdict.FATAL


def facts(value: float) -> float | None:
    """A number for JSON: rounded, None for what is not known."""
    return round(float(value), 3) if np.isfinite(value) else None


def summary(achieved: Achieved, which: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Median and worst of the chosen symbols' intervals: of their medians, and of their longest."""
    medians, longest = achieved.median_s[which], achieved.max_s[which]
    medians, longest = medians[np.isfinite(medians)], longest[np.isfinite(longest)]
    return {
        "symbols": int(which.sum()),
        "polled_twice": len(medians),
        "median_s": facts(np.median(medians)) if len(medians) else None,
        "max_s": facts(longest.max()) if len(longest) else None,
    }
