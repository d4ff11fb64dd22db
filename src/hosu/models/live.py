"""Predictions at the close of each minute, beside the stream: a listener for what the feature sink closes.

The sink's thread only hands over; one thread of its own predicts and journals, another looks after the registry, so
that neither reading the broker nor a bar waits for a model to be loaded. The queue between never drops: where it is
full the sink waits, lags, and reads on from the log. Before the sink lays its state down it asks ``settle``: what it
has closed by then is not closed again after a kill, so it must be in the journal for good.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from hosu.collect.latency import Histogram
from hosu.errors import HosuError, LakeFullError, LakeUnreachableError
from hosu.features.label_parts import LATENCY_US
from hosu.market.bars import MINUTE_US, BarSource
from hosu.models.journal import TABLE, Answered, Close
from hosu.models.predictor import BarFacts, Role, feature_hash, predict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hosu.clock import Clock
    from hosu.features.definitions import FeatureSet
    from hosu.features.panel import Floats
    from hosu.features.served import Closed
    from hosu.models.journal import LiveJournal
    from hosu.models.predictor import Seat
    from hosu.models.seats import Seats

_log = structlog.get_logger(__name__)

_QUEUE: Final = 1_000
_LOOK_S: Final = 0.5  # between looks whether the thread that is waited for lives
_TOGETHER: Final = 20
"""Closes in one commit at most, where they come faster than the lake takes them: a market in quick motion."""


@dataclass(frozen=True, slots=True)
class _Handed:
    closed: Closed
    at: float  # monotonic seconds


@dataclass(slots=True)
class _Settling:
    """Asks the predicting thread to journal all that was handed over before; ``error``: what kept it from doing so."""

    done: threading.Event = field(default_factory=threading.Event)
    error: Exception | None = None


class Live:
    """Predicts with every seat at every close. ``on_close`` goes into ``FeatureSink.on_close``, ``settle`` into its
    ``before_keep``.

    Attributes:
        latency: from a close being handed over to its predictions being made, microseconds; one a close.
        rows: predictions journaled.
        failed: how often a model did not answer, or the lake did not take what was answered; the latter are held and
            tried again at the next close, and before the sink lays its state down.
        lost: predictions that were given up, since what kept them out of the journal would not pass by itself.
    """

    def __init__(
        self,
        seats: Seats,
        journal: LiveJournal,
        features: FeatureSet,
        *,
        clock: Clock,
        market_us: Callable[[], int] | None = None,
        holes: Callable[[str], Mapping[str, str]] = lambda _: {},
        size: int = _QUEUE,
    ) -> None:
        """Nothing runs yet: ``start`` does that.

        Args:
            seats: who answers.
            journal: where predictions go.
            features: what is made of the kernel's outputs.
            clock: for when predictions are made and how long it took.
            market_us: the market's time, UTC microseconds, by which bars are stale; None: the clock's. A simulated
                market has a time of its own, and where it runs as fast as it can none at all: then give 0.
            holes: of a date, what is known to be wrong with a symbol's day so far, in words, by symbol.
            size: closes that may wait.
        """
        self._seats, self._journal, self._features, self._clock, self._holes = seats, journal, features, clock, holes
        self._market_us = market_us or clock.now_us
        self._waiting: queue.Queue[_Handed | _Settling | None] = queue.Queue(size)
        self._changed = threading.Semaphore(0)
        self._ending = False
        self._held: list[Close] = []
        self._synced = True
        self._told: set[str] = set()
        self._threads: list[threading.Thread] = []
        self.latency = Histogram()
        self.rows = self.failed = self.lost = 0

    def on_close(self, closed: Closed) -> None:
        """Takes over what was closed; waits only where ``size`` closes wait already."""
        self._waiting.put(_Handed(closed, self._clock.monotonic()))

    def settle(self) -> None:
        """Returns when everything that was handed over is predicted and would survive a power cut. For the thread that
        hands over.

        What the journal refuses for a reason that will not pass by itself is given up, told once and counted in
        ``lost``: whoever collects must not end for a prediction.

        Raises:
            LakeError: the lake does not take now what was predicted, which is held: call again. Or nobody predicts,
                before ``start`` and after ``stop``: what was handed over must be handed over again.
        """
        asked = _Settling()
        self._waiting.put(asked)
        while not asked.done.wait(_LOOK_S):
            if not self._predicts:
                raise LakeUnreachableError(TABLE, "nobody predicts any more")
        if asked.error is not None:
            raise asked.error

    @property
    def _predicts(self) -> bool:
        return any(thread.is_alive() for thread in self._threads[:1])

    def start(self) -> None:
        """Begins to predict, with whoever the registry seats now."""
        self._refresh()  # who cannot be looked up is not waited for: the prior serves until somebody is
        self._threads = [
            threading.Thread(target=self._run, name="predict"),
            threading.Thread(target=self._look, name="predict-seats", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when everything that was handed over is predicted and would survive a power cut."""
        self._waiting.put(None)
        self._ending = True
        self._changed.release()
        for thread in self._threads:
            thread.join()
        self._keep()

    def _run(self) -> None:
        while (handed := self._waiting.get()) is not None:
            if isinstance(handed, _Settling):
                self._settle(handed)
                continue
            try:
                self.take(handed.closed, handed.at)
            except Exception:  # noqa: BLE001  the thread's last door: the next bar must not wait for ever
                self.failed += 1
                _log.exception("a close was not predicted", lsn=handed.closed.lsn)
            self._changed.release()  # between bars

    def _settle(self, asked: _Settling) -> None:
        try:
            self._journaled()
        except Exception as error:  # noqa: BLE001  whoever asked waits for an answer
            self.failed += 1
            if isinstance(error, HosuError) and (error.retryable or isinstance(error, LakeFullError)):
                asked.error = error
            else:
                self._give_up(error)
        asked.done.set()

    def _give_up(self, error: Exception) -> None:
        rows = sum(each.rows.num_rows for close in self._held for each in close.answered)
        closes = len(self._held)
        self._held.clear()
        self.lost += rows
        if repr(error) not in self._told:  # asked for twice a minute
            self._told.add(repr(error))
            _log.error("predictions are lost: the journal refuses them", closes=closes, rows=rows, exc_info=error)

    def _look(self) -> None:
        while not self._ending:
            self._changed.acquire()
            while self._changed.acquire(blocking=False):
                pass
            if not self._ending:
                self._refresh()

    def _refresh(self) -> None:
        try:
            self._seats.refresh()
        except Exception:  # noqa: BLE001  the thread's last door: dead, it would never seat anybody again
            _log.exception("the registry could not be looked at; whoever serves goes on")

    def take(self, closed: Closed, since: float | None = None) -> None:
        """Predicts and journals one close in this thread. Bars that came before and are journaled add nothing.

        Args:
            closed: what was closed.
            since: when it was handed over, monotonic seconds; None: not measured.
        """
        features = self._features.make(closed.outputs, closed.close / 100.0)
        bars = bars_of(closed, self._market_us(), self._holes(closed.date))
        hashes = feature_hash(features)
        answered = [each for seat in self._seats.now if (each := self._answer(seat, closed, bars, features, hashes))]
        if since is not None:
            passed = (self._clock.monotonic() - since) * 1e6
            self.latency.observe(np.array([int(passed)], np.int64))
        if answered:
            self._held.append(Close(closed.date, closed.wal_id, closed.lsn, answered))
        if self._waiting.empty() or len(self._held) >= _TOGETHER:
            self._keep()

    def _answer(
        self, seat: Seat, closed: Closed, bars: BarFacts, features: Floats, hashes: Sequence[str | None]
    ) -> Answered | None:
        model, version, champion = seat.served.facts.model, seat.version, seat.role == Role.CHAMPION
        if not len(bars) or self._covers(closed.wal_id, model, version, champion) >= closed.lsn:
            return None
        names, version_of = self._features.features, self._features.version
        try:
            rows = predict(
                seat, bars, features, feature_set=version_of, names=names, made_at=self._clock.now_us, hashes=hashes
            )
        except HosuError as error:
            self.failed += 1
            _log.error("no prediction", model=model, version=version, lsn=closed.lsn, error=str(error))
            return None
        return Answered(model, version, rows, champion)

    def _covers(self, wal_id: str, model: str, version: int, champion: bool) -> int:
        """As the journal's; -1 where it cannot say now: what is then held twice it leaves out itself, once it can."""
        try:
            return self._journal.covers(wal_id, model, version, champion=champion)
        except Exception as error:  # noqa: BLE001  a close that is not answered now is answered never
            _log.warning("the journal cannot say what it has; predicting all the same", model=model, error=str(error))
            return -1

    def _keep(self) -> None:
        """Journals what is held. What the lake does not take now is held for the next close."""
        try:
            self._journaled()
        except Exception as error:  # noqa: BLE001  held, and told for good where it is asked for by ``settle``
            self.failed += 1
            _log.error("predictions cannot be journaled now", closes=len(self._held), error=repr(error))

    def _journaled(self) -> None:
        """Journals what is held, in one commit, and syncs what was not synced yet."""
        if self._held:
            self._synced = False
            self.rows += self._journal.add(self._held)
            self._held.clear()
        if not self._synced:
            self._journal.sync()
            self._synced = True


def bars_of(closed: Closed, now_us: int, holes: Mapping[str, str]) -> BarFacts:
    """What is decided on at a close.

    Args:
        closed: what was closed.
        now_us: UTC microseconds; a close longer ago than ``LATENCY_US`` is stale: its outcome would be that of
            an entry before anybody was told.
        holes: what is known to be wrong with a symbol's day, by symbol.
    """
    symbol = np.array(closed.names, object)[closed.code]
    decided = closed.ts + MINUTE_US
    traded = closed.traded.tolist()
    polled = closed.polled.tolist()
    made_of = [str(BarSource.POLL if each else BarSource.TRADES) for each in polled]
    source = np.array([name if each else None for each, name in zip(traded, made_of, strict=True)], object)
    stale = np.array([None if each else "stale: no trade in this minute" for each in traded], object)
    # In the same words each time, so that reasons can be counted.
    stale[now_us - decided > LATENCY_US] = f"stale: the minute ended more than {LATENCY_US / 1e6:g} s ago"
    return BarFacts(
        date=closed.date,
        symbol=symbol,
        ts=closed.ts,
        decided_at=decided,
        price=closed.close / 100.0,
        source=source,
        stale=stale,
        gapped=np.array([holes.get(each) for each in symbol.tolist()], object),
        uncertified=np.array(["uncertified: its bars are of snapshots" if each else None for each in polled], object),
        wal_id=closed.wal_id,
        lsn=closed.lsn,
    )
