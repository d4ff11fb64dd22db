"""Polling prices over REST: snapshots of what is collected, and witnesses of what the stream may have missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import structlog

from hosu.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from hosu.kis.rest import Scope

_log = structlog.get_logger(__name__)

SYMBOLS_A_CALL = 30  # the most that intstock-multprice takes


class PriceSource(Protocol):
    """The one call that polling needs; its replies reach the log by the client's own ``on_reply``."""

    async def multi_price(self, symbols: Sequence[str], scope: Scope = "KRX") -> object: ...


def price_poll(source: PriceSource, instruments: Iterable[tuple[Scope, str]]) -> Callable[[], Awaitable[None]]:
    """One round over all ``instruments`` (scope, symbol), 30 symbols a call.

    What the broker refuses is logged, and the round goes on: a missed snapshot is no reason to stop receiving.
    """
    by_scope: dict[Scope, list[str]] = {}
    for scope, symbol in instruments:
        by_scope.setdefault(scope, []).append(symbol)
    calls = [
        (scope, symbols[i : i + SYMBOLS_A_CALL])
        for scope, symbols in by_scope.items()
        for i in range(0, len(symbols), SYMBOLS_A_CALL)
    ]

    async def poll() -> None:
        for scope, symbols in calls:
            try:
                await source.multi_price(symbols, scope)
            except BrokerError as error:
                _log.warning("prices not polled", scope=scope, symbols=len(symbols), error=str(error))

    return poll
