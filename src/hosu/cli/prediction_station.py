"""Predictions in a collecting process, wired: they listen to what the feature sink closes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.cli.station import Plan
    from hosu.clock import Clock
    from hosu.collect.ledger import LedgerSink
    from hosu.features.sink import FeatureSink
    from hosu.lake.lake import Lake
    from hosu.models.live import Live


def live_of(plan: Plan, lake: Lake, features: FeatureSink, ledger: LedgerSink, clock: Clock) -> Live:
    """Predicts at each minute's close with champion and challenger; begins with ``start``, ends with ``stop``.

    A simulator's market may run as fast as it can: there no bar is stale. What was journaled, failed or was lost
    stands in the status, with the features.
    """
    from hosu.models.journal import LiveJournal
    from hosu.models.live import Live
    from hosu.models.registry import Registry
    from hosu.models.seats import Seats, models_of
    from hosu.models.servable import SERVED

    seats = Seats(lake, Registry(lake, clock), models_of("minute"), SERVED)
    market_us = (lambda: 0) if plan.host.name == "simulator" else None
    holes = _holes(ledger, plan.scope)
    live = Live(seats, LiveJournal(lake), SERVED, clock=clock, market_us=market_us, holes=holes)
    features.on_close.append(live.on_close)
    features.before_keep.append(live.settle)
    features.tells.update(
        predictions=lambda: live.rows, predictions_failed=lambda: live.failed, predictions_lost=lambda: live.lost
    )
    return live


def _holes(ledger: LedgerSink, scope: str) -> Callable[[str], Mapping[str, str]]:
    """Of a date, the symbols of which shares are missing so far, in words, as the ledger published them last."""

    def of(date: str) -> Mapping[str, str]:
        return {
            symbol: f"gapped: {shares:,} shares are missing so far"
            for (day, venue, symbol), shares in ledger.missing.items()
            if day == date and venue == scope
        }

    return of
