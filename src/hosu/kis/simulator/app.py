"""The simulated broker as a whole: one tape, a REST and a WebSocket server, and a report of what was sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hosu.errors import MarketError
from hosu.kis.simulator.account import Accounts
from hosu.kis.simulator.delivery import Delivery
from hosu.kis.simulator.faults import Act, Faults, NoFaults
from hosu.kis.simulator.notices import fill_notice
from hosu.kis.simulator.player import PlayConfig, Player
from hosu.kis.simulator.quota import PROFILES, Quota
from hosu.kis.simulator.rest import RestConfig, RestServer
from hosu.kis.simulator.rest_calls import Market
from hosu.kis.simulator.scripted_faults import ScriptedFaults
from hosu.kis.simulator.sessions import SlotConfig, Slots
from hosu.kis.simulator.ws import WsConfig, WsServer
from hosu.market.calendar import business_day, instant_us, sessions_on
from hosu.market.day_plan import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hosu.clock import Clock
    from hosu.kis.simulator.fault_spec import Clause
    from hosu.kis.simulator.tape import Tape

_LAST_QUESTIONS_S = 30.0
_PATIENCE_S = 3.0
_QUIET_S = 0.25


@dataclass(frozen=True, slots=True)
class SimulatorConfig:
    """How the simulated broker behaves.

    ``appkeys`` maps appkeys to secrets; None takes any. ``calls_per_s`` limits REST calls of an appkey, None does
    not. ``token_interval_s`` is the time between two token issues, 0 for any. ``notice_every_s`` is how often who
    has registered notices is told of a fill. ``faults`` strike as ``fault_seed`` says.
    """

    play: PlayConfig = field(default_factory=PlayConfig)
    slots: SlotConfig = field(default_factory=SlotConfig)
    rest: RestConfig = field(default_factory=RestConfig)
    ws: WsConfig = field(default_factory=WsConfig)
    appkeys: Mapping[str, str] | None = field(default=None, repr=False)
    calls_per_s: int | None = PROFILES["live"]
    token_interval_s: float = 60.0
    notice_every_s: float = 5.0
    faults: tuple[Clause, ...] = ()
    fault_seed: int = 1


class Simulator:
    """A broker that knows one day. ``start``, then ``wait`` until it is over or ``stop`` before; then ``report``."""

    def __init__(self, config: SimulatorConfig, make_tape: Callable[[], Tape], clock: Clock) -> None:
        """Raises what ``make_tape`` raises on bad input."""
        self._config, self._clock = config, clock
        self._tape = make_tape()
        faults = self._faults = _faults(config, self._tape)
        self._accounts = Accounts(clock, config.appkeys, token_interval_s=config.token_interval_s)
        self._delivery = Delivery(self._tape, clock, faults)
        self._player = Player(
            self._tape, self._delivery, config.play, clock, self._tell_a_new_day, faults=faults, commit=self._commit
        )
        market = Market(self._tape, self._delivery.state, self._player.now_us)
        self._quota = quota = Quota(config.calls_per_s)
        self._rest = RestServer(config.rest, market, accounts=self._accounts, quota=quota, faults=faults, clock=clock)
        self._ws = WsServer(
            config.ws,
            self._slots(config, clock),
            self._delivery,
            appkey_of=self._accounts.appkey_of,
            now_us=self._player.now_us,
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
        return {**self._delivery.tally.to_dict(), "refusals": counted, "faults": self._faults.report()}

    def expire_tokens(self) -> None:
        """Ends every access token now."""
        self._accounts.expire_tokens()

    def _slots(self, config: SimulatorConfig, clock: Clock) -> Slots:
        slots = Slots(config.slots, clock)
        for number, clause in enumerate(config.faults):
            if clause.kind == "held":
                slots = Slots(replace(config.slots, held_s=clause.number), clock)
                slots.on_held = partial(self._note_held, number)
        return slots

    def _note_held(self, clause: int) -> None:
        self._faults.done(clause, self._player.now_us())

    async def _serve(self) -> None:
        await self._player.run()
        self._tell_the_end()
        await self._ws.close()
        await self._last_questions()

    def _tell_the_end(self) -> None:
        """The market's time moves on to the end of the day's last session, and heartbeats say so, as the broker's do
        long after the last trade. Two, for a single one may be a garbled one."""
        day, _ = business_day(self._delivery.position_us)
        try:
            end_us = instant_us(day, sessions_on(day, Scope.UN).end_s)
        except MarketError:  # a recording of a day that is none
            return
        self._delivery.position_us = max(self._delivery.position_us, end_us)
        for _ in range(2):
            self._ws.beat_now()

    async def _last_questions(self) -> None:
        """Who has asked for prices may ask for the last ones: until nobody is connected who has, or is silent for
        three seconds; for half a minute at most."""
        ended_s = self._clock.monotonic()
        while self._rest.asked_s is not None and (now_s := self._clock.monotonic()) - ended_s < _LAST_QUESTIONS_S:
            gone = self._rest.asked_s > ended_s and not self._rest.connected
            if now_s - max(self._rest.asked_s, ended_s) > (_QUIET_S if gone else _PATIENCE_S):
                return
            await self._clock.sleep(_QUIET_S / 5)

    async def _commit(self, act: Act) -> None:
        """What happens at a moment of the day, or is over then."""
        now_us = self._player.now_us()
        match act.kind, act.over:
            case "burst", over:
                self._player.hurry(1.0 if over else act.number)
            case (("mute" | "restart"), True):
                await self._ws.open()
            case "mute", False:
                self._ws.mute()
            case "expire", _:
                self._accounts.expire_tokens()
        hit = [] if act.over else self._ws.act(act)
        if act.kind == "restart" and not act.over:
            self._ws.shut()
        for connection in hit:
            self._faults.done(act.clause, now_us, connection)
        if not hit and not act.over:
            nobody = act.kind in {"close", "silence"}
            self._faults.done(act.clause, now_us, count=0 if nobody else 1)

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


def _faults(config: SimulatorConfig, tape: Tape) -> Faults:
    return ScriptedFaults(config.faults, config.fault_seed, tape) if config.faults else NoFaults()
