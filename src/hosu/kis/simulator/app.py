"""The simulated broker as a whole: one tape, a REST and a WebSocket server, and a report of what was sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from hosu.kis.simulator.account import Accounts
from hosu.kis.simulator.delivery import Delivery
from hosu.kis.simulator.faults import Faults, NoFaults
from hosu.kis.simulator.notices import fill_notice
from hosu.kis.simulator.player import PlayConfig, Player
from hosu.kis.simulator.quota import PROFILES, Quota
from hosu.kis.simulator.rest import RestConfig, RestServer
from hosu.kis.simulator.rest_calls import Market
from hosu.kis.simulator.sessions import SlotConfig, Slots
from hosu.kis.simulator.ws import WsConfig, WsServer
from hosu.market.calendar import business_day

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.clock import Clock
    from hosu.kis.simulator.tape import Tape


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """How the simulated broker behaves.

    ``appkeys`` maps appkeys to secrets; None takes any. ``calls_per_s`` limits REST calls of an appkey, None does
    not. ``token_interval_s`` is the time between two token issues, 0 for any. ``notice_every_s`` is how often who
    has registered notices is told of a fill.
    """

    play: PlayConfig = field(default_factory=PlayConfig)
    slots: SlotConfig = field(default_factory=SlotConfig)
    rest: RestConfig = field(default_factory=RestConfig)
    ws: WsConfig = field(default_factory=WsConfig)
    appkeys: Mapping[str, str] | None = field(default=None, repr=False)
    calls_per_s: int | None = PROFILES["live"]
    token_interval_s: float = 60.0
    notice_every_s: float = 5.0


class Simulator:
    """A broker that knows one day. ``start``, then ``wait`` until it is over or ``stop`` before; then ``report``."""

    def __init__(
        self, config: SimulatorConfig, make_tape: Callable[[], Tape], clock: Clock, faults: Faults | None = None
    ) -> None:
        """Raises what ``make_tape`` raises on bad input."""
        self._config, self._clock = config, clock
        self._tape = make_tape()
        faults = faults or NoFaults()
        self._accounts = Accounts(clock, config.appkeys, token_interval_s=config.token_interval_s)
        self._delivery = Delivery(self._tape, clock, faults)
        self._player = Player(self._tape, self._delivery, config.play, clock, self._tell_a_new_day)
        market = Market(self._tape, self._delivery.state, self._player.now_us)
        self._quota = quota = Quota(config.calls_per_s)
        self._rest = RestServer(config.rest, market, accounts=self._accounts, quota=quota, faults=faults, clock=clock)
        self._ws = WsServer(
            config.ws,
            Slots(config.slots, clock),
            self._delivery,
            appkey_of=self._accounts.appkey_of,
            market_time=lambda: market_time_text(self._player.now_us()),
            faults=faults,
            clock=clock,
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._served: asyncio.Task[None] | None = None
        self._notices = 0

    @property
    def rest_url(self) -> str:
        """Where REST is, as in ``http://127.0.0.1:40001``."""
        return f"http://{self._config.rest.host}:{self._rest.port}"

    @property
    def ws_url(self) -> str:
        """Where WebSocket is, as in ``ws://127.0.0.1:40002``."""
        return f"ws://{self._config.ws.host}:{self._ws.port}"

    async def start(self) -> None:
        """Listens, and begins the day when its time has come.

        Raises:
            PortInUseError: an address is taken; nothing is left running.
        """
        await self._rest.start()
        try:
            await self._ws.start()
        except BaseException:
            await self._rest.stop()
            raise
        self._tasks = [
            asyncio.create_task(self._ws.beat(), name="simulator-heartbeat"),
            asyncio.create_task(self._notify(), name="simulator-notices"),
        ]
        self._served = asyncio.create_task(self._serve(), name="simulator-day")

    async def wait(self) -> None:
        """Returns when the day is over and every connection is closed; REST is served until ``stop``.

        Raises:
            HosuError: the tape cannot be read on.
        """
        assert self._served is not None, "start it first"
        await asyncio.shield(self._served)

    async def stop(self) -> None:
        """Ends everything, the day too; what was not sent yet is not sent. Harmless when repeated."""
        if self._served is not None:
            self._served.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, *([self._served] if self._served else []), return_exceptions=True)
        await self._ws.close(patience_s=1.0)
        await self._rest.stop()

    def report(self) -> dict[str, Any]:
        """Exactly what has been sent so far, ready for JSON; see ``report``. ``refusals`` counts what went beyond the
        limits of calls and registrations, and every other refusal on WebSocket, by the broker's code."""
        refusals = {"EGW00201": self._quota.refused, **self._ws.refusals}
        counted = {code: count for code, count in sorted(refusals.items()) if count}
        return {**self._delivery.tally.to_dict(), "refusals": counted}

    def expire_tokens(self) -> None:
        """Ends every access token now."""
        self._accounts.expire_tokens()

    async def _serve(self) -> None:
        await self._player.run()
        await self._ws.close()

    def _tell_a_new_day(self) -> None:
        self._ws.beat_now()

    async def _notify(self) -> None:
        while True:
            await self._clock.sleep(self._config.notice_every_s)
            for tr_id, key in {(each.tr_id, each.key) for each in self._ws.notice_keys()}:
                self._notices += 1
                self._notify_one(tr_id, key)

    def _notify_one(self, tr_id: str, key: str) -> None:
        instrument = next(iter(self._tape.instruments.values()), None)
        if instrument is None:
            return
        trade = self._delivery.state.last(f"KRX:{instrument.symbol}", "trades")
        price = trade["STCK_PRPR"] if trade else instrument.base_price * 100
        second = int(business_day(self._player.now_us())[1])
        notice = fill_notice(
            tr_id,
            key,
            self._notices,
            symbol=instrument.symbol,
            name=instrument.name,
            price=price,
            second=second,
            widths=self._tape.day,
        )
        self._ws.notify(tr_id, key, notice)


def market_time_text(ts_us: int) -> str:
    """YYYYMMDDHHMMSS in KST of UTC microseconds."""
    return f"{datetime.fromtimestamp(ts_us / 1e6, UTC) + timedelta(hours=9):%Y%m%d%H%M%S}"
