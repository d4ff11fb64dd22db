"""What one key covers, kept so while it runs: streamed symbols in their slots, all others in the rotation of polls.

The plan says who shall be streamed; the broker's answers say who is. Whatever is not acknowledged at present, because
a slot was refused or no connection stands, is polled like everybody without a slot until it is. Streamed symbols are
polled too, rarely: the cumulative volume in a reply is a witness of what the stream may have missed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import structlog

from hosu.collect.leaving import aside
from hosu.collect.polling import facts, summary
from hosu.collect.subscriptions import ExchangeConfig, Exchanges
from hosu.kis.registrations import Registration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import numpy.typing as npt

    from hosu.clock import Clock
    from hosu.collect.polling import Achieved, Poller, Priced
    from hosu.collect.subscriptions import Share
    from hosu.kis.registrations import Registrations

_log = structlog.get_logger(__name__)
_LOOK_S: Final = 0.1
"""How often it is looked whether the stream stands, where polls wait for it."""


class StreamPart(Protocol):
    """What coverage asks of a feed (``kis.feed.Feed``)."""

    registrations: Registrations

    def want(self, desired: Iterable[Registration]) -> None: ...


@dataclass(frozen=True, slots=True)
class CoverageConfig:
    """``poll_every_s`` is wanted for symbols that are not streamed while the market is open, ``witness_every_s`` for
    streamed ones, and for all while it is closed. Every ``watch_s`` it is looked who is streamed, every ``report_s``
    a report is written. ``stream_first``: nothing is polled before the stream has stood once; prices carry no date,
    and where the day is not today's, only the stream tells which one it is."""

    poll_every_s: float = 1.0
    witness_every_s: float = 60.0
    watch_s: float = 1.0
    report_s: float = 5.0
    stream_first: bool = False
    exchange: ExchangeConfig = field(default_factory=ExchangeConfig)


@dataclass(frozen=True, slots=True)
class _Now:
    """What is so at one moment, copied: the report is put together in a thread."""

    at_us: int
    streamed: frozenset[str]
    desired: frozenset[str]
    refused: dict[str, str]
    unanswered: frozenset[str]
    registered: int
    limit: int
    connected: bool
    interval_s: npt.NDArray[np.float64] | None
    achieved: Achieved | None
    unknown: npt.NDArray[np.bool_] | None


class Coverage:
    """Watches over one share until cancelled (``run``); ``status`` and ``report`` say how it stands.

    Args:
        poller: None polls nobody.
        connected: whether a connection stands, for the reason why a symbol is not streamed.
        active: whether the market is open at a time, UTC microseconds.
        write: takes each report; called in a thread.
    """

    def __init__(
        self,
        config: CoverageConfig,
        share: Share,
        feed: StreamPart,
        poller: Poller | None,
        clock: Clock,
        *,
        calls_per_s: Callable[[], float],
        connected: Callable[[], bool],
        active: Callable[[int], bool] = lambda _: True,
        write: Callable[[dict[str, Any]], None] = lambda _: None,
    ) -> None:
        self._config, self._share, self._feed, self._poller, self._clock = config, share, feed, poller, clock
        self._calls_per_s, self._connected, self._active, self._write = calls_per_s, connected, active, write
        self._slots: dict[str, tuple[str, ...]] = {}
        for registration in share.registrations:
            got = self._slots.get(registration.key, ())
            self._slots[registration.key] = (*got, registration.tr_id)
        self._exchanges = Exchanges(config.exchange, share.streamed, clock.monotonic())
        self._exchanged = 0
        self._gave_up: set[str] = set()
        self._ended = False
        self._may_poll = not config.stream_first
        self._scores: dict[str, float] = {}
        self._status: dict[str, Any] = {}

    @property
    def desired(self) -> list[Registration]:
        """What the feed shall register, by priority, and who takes the place of those refused."""
        wanted = [Registration(tr_id, symbol) for symbol, tr_ids in self._slots.items() for tr_id in tr_ids]
        # Whoever gave its slot up is released, and so must not be wanted in another's place.
        away = self._slots.keys() | self._gave_up
        return [*wanted, *(each for each in self._share.reserve if each.key not in away)]

    def take_prices(self, prices: Sequence[Priced]) -> None:
        """Remembers what a reply says of each symbol's turnover so far."""
        for price in prices:
            if price.symbol is not None and price.cum_value is not None:
                self._scores[price.symbol] = float(price.cum_value)

    async def run(self) -> None:
        """Polls, watches and reports until cancelled; then writes the last report."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch(), name="coverage-watch")
                group.create_task(self._report(), name="coverage-report")
                if self._poller is not None:
                    self._set_intervals()
                    group.create_task(self._polls(self._poller), name="coverage-polls")
        finally:
            self._ended = True
            self._keep(self.report())

    async def sweep(self) -> None:
        """Polls everybody once more; the streamed ones first."""
        if self._poller is not None and self._may_poll:
            await self._poller.sweep()
            self._keep(self.report())

    async def _polls(self, poller: Poller) -> None:
        while not self._may_poll:
            await self._clock.sleep(_LOOK_S)
            self._may_poll = self._connected()
        await poller.run()

    async def _watch(self) -> None:
        while True:
            self._set_intervals()
            if self._config.exchange.per_hour and self._active(self._clock.now_us()):
                self._exchange()
            await self._clock.sleep(self._config.watch_s)

    async def _report(self) -> None:
        while True:
            now = self._now()
            # Thousands of rows take milliseconds, and frames shall not wait for them.
            await aside(partial(self._say, now))
            await self._clock.sleep(self._config.report_s)

    def _say(self, now: _Now) -> None:
        self._keep(self._put_together(now))

    def _keep(self, report: dict[str, Any]) -> None:
        self._status = _status_of(report)
        try:
            self._write(report)
        except OSError as error:
            _log.warning("coverage not written", error=str(error))

    def _streamed(self) -> frozenset[str]:
        """Who comes over the stream now; after the end, who did."""
        if not self._stands():
            return frozenset()
        first = self._share.tr_ids[:1]
        return frozenset(each.key for each in self._feed.registrations.acknowledged if each.tr_id in first)

    def _stands(self) -> bool:
        return self._ended or self._connected()

    def _set_intervals(self) -> None:
        if self._poller is None:
            return
        rotation, streamed = self._poller.rotation, self._streamed()
        config = self._config
        every_s = config.poll_every_s if self._active(self._clock.now_us()) else config.witness_every_s
        wanted = [config.witness_every_s if symbol in streamed else every_s for symbol in rotation.symbols]
        rotation.want(np.array(wanted, np.float64), self._clock.monotonic())

    def _exchange(self) -> None:
        streamed = self._streamed() & self._slots.keys()
        polled = [symbol for symbol in self._share.symbols if symbol not in self._slots]
        change = self._exchanges.next(self._clock.monotonic(), self._scores, streamed, polled)
        if change is None:
            return
        _log.info("a symbol takes the slot of another", streamed=change.promote, polled=change.demote)
        self._exchanged += 1
        self._gave_up = (self._gave_up | {change.demote}) - {change.promote}
        self._slots = {
            change.promote if symbol == change.demote else symbol: tr_ids for symbol, tr_ids in self._slots.items()
        }
        self._feed.want(self.desired)

    # --- what is said -------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Counts for the collector's status, as of the last report; empty before the first."""
        return self._status

    def report(self) -> dict[str, Any]:
        """How every symbol of the share is covered now, ready for JSON.

        ``symbols`` has one object each: ``symbol``, ``how`` (streamed, polled, not covered), ``feeds`` (TR ids),
        ``why``, ``wanted_s``, and of the last polls ``last_s``, ``median_s``, ``max_s``, ``age_s``, ``polls``,
        ``missed``; null where nothing is known. ``expected_times`` is how many times the wanted interval the limits
        allow at present.
        """
        return self._put_together(self._now())

    def _now(self) -> _Now:
        state, rotation = self._feed.registrations, self._poller.rotation if self._poller is not None else None
        return _Now(
            self._clock.now_us(),
            self._streamed(),
            frozenset(self._slots),
            {each.key: code for each, code in state.refused.items()},
            frozenset(each.key for each in state.unanswered),
            len(state.acknowledged),
            state.limit,
            self._stands(),
            None if rotation is None else rotation.interval_s.copy(),
            None if rotation is None else rotation.achieved(self._clock.monotonic()),
            None if rotation is None else rotation.unknown,
        )

    def _put_together(self, now: _Now) -> dict[str, Any]:
        poller = self._poller
        calls_per_s = self._calls_per_s()
        return {
            "at_us": now.at_us,
            "key": self._share.key.name,
            "feeds": list(self._share.tr_ids),
            "slots": self._share.key.slots,
            "limit": now.limit,
            "registered": now.registered,
            "connected": now.connected,
            "calls_per_s": round(calls_per_s, 3),
            "expected_times": round(poller.expected_times(), 3) if poller is not None else None,
            "calls": poller.calls if poller is not None else 0,
            "failures": poller.failures if poller is not None else 0,
            "trouble": poller.trouble if poller is not None else None,
            "exchanged": self._exchanged,
            "polls": _summaries(self._share.symbols, now),
            "symbols": [self._row(place, symbol, now) for place, symbol in enumerate(self._share.symbols)],
        }

    def _row(self, place: int, symbol: str, now: _Now) -> dict[str, Any]:
        streamed, polled = symbol in now.streamed, now.achieved is not None
        row: dict[str, Any] = {
            "symbol": symbol,
            "how": "streamed" if streamed else "polled" if polled else "not covered",
            "feeds": list(self._slots.get(symbol, ())) if streamed else [],
            "why": self._why(symbol, now, unknown=now.unknown is not None and bool(now.unknown[place])),
        }
        if now.achieved is None or now.interval_s is None:
            return {**row, **dict.fromkeys(("wanted_s", "last_s", "median_s", "max_s", "age_s", "polls", "missed"))}
        had = now.achieved
        row |= {"wanted_s": facts(now.interval_s[place]), "last_s": facts(had.last_s[place])}
        row |= {"median_s": facts(had.median_s[place]), "max_s": facts(had.max_s[place])}
        row |= {"age_s": facts(had.age_s[place]), "polls": int(had.polls[place]), "missed": int(had.missed[place])}
        return row

    def _why(self, symbol: str, now: _Now, *, unknown: bool) -> str:
        if symbol in now.streamed:
            return "" if len(self._slots.get(symbol, ())) == len(self._share.tr_ids) else "one slot was left for it"
        if unknown:
            return "the broker leaves it out of its replies"
        if symbol in now.refused:
            return f"the broker refused it ({now.refused[symbol]})"
        if symbol not in now.desired:
            return "no slot left by its priority"
        if not now.connected:
            return "no connection at present"
        if symbol in now.unanswered:
            return "the broker did not answer its registration"
        return f"the broker gave {now.limit} slots" if now.limit < self._share.key.slots else "being registered"


def _summaries(symbols: Sequence[str], now: _Now) -> dict[str, Any]:
    if now.achieved is None:
        return {}
    streamed = np.array([symbol in now.streamed for symbol in symbols], np.bool_)
    return {"polled": summary(now.achieved, ~streamed), "witnesses": summary(now.achieved, streamed)}


def _status_of(report: dict[str, Any]) -> dict[str, Any]:
    hows = [row["how"] for row in report["symbols"]]
    counts = {name: hows.count(how) for name, how in _HOWS.items()}
    return {**counts, **{name: value for name, value in report.items() if name != "symbols"}}


_HOWS = {"streamed": "streamed", "polled": "polled", "not_covered": "not covered"}
