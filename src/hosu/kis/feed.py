"""The broker's WebSocket: connects, registers, hands over every message as it came, and comes back after a drop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from hosu.errors import BrokerError, BrokerReplyError, BrokerUnreachableError
from hosu.kis.codes import Verdict, error_of, may_succeed_later
from hosu.kis.connection import Connection, End, Receiver, connect
from hosu.kis.messages import registration_message
from hosu.kis.reconnects import Backoff, HourlyCap
from hosu.kis.registrations import RELEASED, SLOTS, Registration, Registrations
from hosu.locks import FileLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from random import Random

    from hosu.clock import Clock
    from hosu.kis.auth import Auth
    from hosu.kis.hosts import Host
    from hosu.kis.messages import Ack, NoticeKey

__all__ = ["Feed", "FeedConfig", "Receiver", "Registration"]


@dataclass(frozen=True, slots=True)
class FeedConfig:
    """How a feed behaves; the defaults are for the live broker.

    ``register_interval_s`` lies between two registrations, ``ack_timeout_s`` before one counts as unanswered.
    ``silence_s`` without any message, PINGPONG included (it comes every 10 s), ends a connection while data is
    expected. ``stable_s`` of connection start the delays over; ``in_use_wait_s`` passes at least after the broker
    says that the appkey is in use. ``reconnects_per_hour`` connections are made at most, restarts included; the feed
    waits until one more is within that. ``stop_on_close``: a server that ends normally (1000, 1001) ends the feed, for
    simulators that play a finite tape; otherwise that is a drop like any other.
    """

    cache_dir: Path
    slots: int = SLOTS
    register_interval_s: float = 0.05
    ack_timeout_s: float = 5.0
    silence_s: float = 30.0
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_s: float = 60.0
    in_use_wait_s: float = 60.0
    reconnects_per_hour: int = 30
    stop_on_close: bool = False
    connect_timeout_s: float = 10.0
    max_message_bytes: int = 10 * 1024 * 1024


class Feed:
    """One session with the broker, kept alive.

    ``connections`` numbers connections; feeds that share a receiver share it, so that no number comes twice.
    ``expects_data(now_us)`` says whether the market is open as far as silence is concerned.

    Session events, by ``event["event"]``: ``connected`` (address), ``registered`` and ``refused`` (tr_id, key, code,
    text), ``released`` (tr_id, key, code), ``unanswered`` (tr_id, key), ``settled`` (registered, refused, unanswered
    as counts; not_covered as list of [tr_id, key] for which no slot is left), ``slots`` (limit, learnt from a
    refusal), ``in_use`` (text), ``approval_refused`` (code, text), ``silence`` (seconds), ``paused``, ``resumed``,
    ``disconnected`` (code, cause, seconds), ``unreachable`` (address, cause), ``reconnecting`` (delay_s), ``capped``
    (connections, seconds: the hourly cap is reached, and nobody is asked for so long).
    """

    def __init__(
        self,
        config: FeedConfig,
        host: Host,
        auth: Auth,
        clock: Clock,
        receiver: Receiver,
        *,
        expects_data: Callable[[int], bool],
        random: Random,
        connections: Iterator[int] | None = None,
    ) -> None:
        self._config, self._host, self._auth, self._clock, self._receiver = config, host, auth, clock, receiver
        self._expects_data, self._random = expects_data, random
        self._connections = connections if connections is not None else itertools.count(1)
        self._fingerprint = auth.credentials.fingerprint
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: Connection | None = None
        self._renewed_approval = self._settled = False
        self._changed = asyncio.Event()
        self.registrations = Registrations((), config.slots)

    async def run(self, desired: Iterable[Registration]) -> None:
        """Receives until cancelled, or until the server ends the session and ``stop_on_close`` is set.

        ``desired`` is in order of priority. Cancelling closes the connection with a close frame and waits for it for
        two seconds at most; whatever reached ``Receiver.frame`` stays taken, what the broker sends after that is not
        received. An exception of the receiver ends the run in the same way and is raised.

        Raises:
            LockedError: another process holds a session with this appkey.
            BrokerReplyError: the broker refuses the key, the approval key twice in a row, or the request as such.
        """
        self._loop = asyncio.get_running_loop()
        self.registrations = Registrations(desired, self._config.slots)
        folder, name = self._config.cache_dir, f"{self._host.name}-{self._fingerprint}"
        # A simulator forbids nobody, and tests connect to it more often than the broker would bear.
        history = None if self._host.name == "simulator" else folder / f"connections-{name}.json"
        with FileLock(folder / f"session-{name}.lock", f"the appkey {self._fingerprint}"):
            await self._run_sessions(HourlyCap(history, self._config.reconnects_per_hour, self._clock))

    def want(self, desired: Iterable[Registration]) -> None:
        """Desires something else from now on, in order of priority, while ``run`` goes on: releases first, then
        registers. Each call may cost the broker a release and a registration; endless loops of these get a key
        blocked (KIS notice of 2026-02-24), so whoever calls it bounds how often."""
        self.registrations.change(desired)
        self._settled = False
        self._changed.set()

    def resume(self) -> None:
        """Reads on after ``Receiver.frame`` returned False. May be called from any thread, at any time."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop was closed in the meantime
                loop.call_soon_threadsafe(self._resume_now)

    def notice_key(self, tr_id: str) -> NoticeKey | None:
        """Key and vector of an encrypted TR on the current session; None without one. Kept in memory only."""
        return self._session.notice_keys.get(tr_id) if self._session is not None else None

    def _resume_now(self) -> None:
        if self._session is not None:
            self._session.resume()

    async def _run_sessions(self, cap: HourlyCap) -> None:
        config = self._config
        backoff = Backoff(config.backoff_min_s, config.backoff_max_s, self._random)
        while True:
            started = self._clock.monotonic()
            number = next(self._connections) & 0xFFFF
            end = await self._run_session(number, cap)
            if end.error is not None:
                raise end.error
            if config.stop_on_close and end.code in (1000, 1001):
                return
            if self._clock.monotonic() - started >= config.stable_s:
                backoff.reset()
            delay_s = end.wait_s + backoff.delay_s()
            self._receiver.session_event(number, {"event": "reconnecting", "delay_s": round(delay_s, 3)})
            await self._clock.sleep(delay_s)

    async def _keep_within(self, cap: HourlyCap, number: int) -> None:
        """Waits until one more connection is within the cap."""
        while (full_s := cap.wait_s()) > 0:
            # Jittered like every delay: whoever was dropped together must not come back together.
            wait_s = full_s + self._random.uniform(0, self._config.backoff_max_s)
            event = {"event": "capped", "connections": self._config.reconnects_per_hour, "seconds": round(wait_s, 3)}
            self._receiver.session_event(number, event)
            await self._clock.sleep(wait_s)

    async def _run_session(self, number: int, cap: HourlyCap) -> End:
        await self._keep_within(cap, number)
        try:
            approval = await self._auth.approval_key()
            session = await self._connect(number, cap)
        except BrokerError as error:
            if not may_succeed_later(error):
                raise
            event = {"event": "unreachable", "address": self._host.ws, "cause": str(error)}
            self._receiver.session_event(number, event)
            return End(str(error))
        end = End("stopped")
        try:
            end = await self._attend(session, approval)
        finally:
            self._session = None
            await session.close(end)
        if end.new_approval:
            await self._renew_approval(approval, end)
        return end

    async def _renew_approval(self, approval: str, end: End) -> None:
        if self._renewed_approval:
            raise BrokerReplyError("", end.cause, call="registration", advice="check the application key")
        self._renewed_approval = True
        await self._auth.invalidate_approval(approval)

    async def _connect(self, number: int, cap: HourlyCap) -> Connection:
        config = self._config
        cap.take()
        connection = Connection(
            number,
            self._host.ws,
            self._clock,
            self._receiver,
            on_ack=self._take_answer,
            max_message_bytes=config.max_message_bytes,
        )
        self._session = connection  # from here on a resume finds it
        try:
            await connect(connection, timeout_s=config.connect_timeout_s)
        except BrokerUnreachableError:
            if not connection.reached:
                cap.forgive()  # the broker has not seen it: after a night without network nobody shall have to wait
            raise
        return connection

    async def _attend(self, session: Connection, approval: str) -> End:
        self.registrations.new_session()
        self._settled = False
        work = {"register": partial(self._register, session, approval), "watch": partial(self._watch, session)}
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(session.guard(do), name=f"kis-{name}-{session.number}") for name, do in work.items()
            ]
            try:
                return await session.ended
            finally:
                for task in tasks:
                    task.cancel()

    async def _register(self, session: Connection, approval: str) -> None:
        config, registrations, clock = self._config, self.registrations, self._clock
        while True:
            self._changed.clear()
            self._note_overdue(session)
            released, registration = registrations.release_due(), registrations.due()
            if released is not None:
                self._ask(session, released, approval, release=True)
                registrations.release_sent(released, clock.monotonic())
                await clock.sleep(config.register_interval_s)
            elif registration is not None:
                self._ask(session, registration, approval)
                registrations.sent(registration, clock.monotonic())
                await clock.sleep(config.register_interval_s)
            elif registrations.pending or registrations.releasing:
                await clock.sleep(min(config.ack_timeout_s / 4, 0.1))
            else:
                self._settle(session)
                await self._changed.wait()

    def _note_overdue(self, session: Connection) -> None:
        now_s, timeout_s = self._clock.monotonic(), self._config.ack_timeout_s
        for late in self.registrations.overdue(now_s, timeout_s):
            session.event("unanswered", tr_id=late.tr_id, key=late.key)
        for gone in self.registrations.release_overdue(now_s, timeout_s):
            session.event("released", tr_id=gone.tr_id, key=gone.key, code="")

    def _ask(self, session: Connection, registration: Registration, approval: str, *, release: bool = False) -> None:
        custtype = self._auth.credentials.custtype
        session.send(registration_message(registration.tr_id, registration.key, approval, custtype, release=release))

    def _settle(self, session: Connection) -> None:
        if self._settled:
            return
        self._settled = True
        state = self.registrations
        session.event(
            "settled",
            registered=len(state.acknowledged),
            refused=len(state.refused),
            unanswered=len(state.unanswered),
            not_covered=[[left.tr_id, left.key] for left in state.not_covered],
        )
        if state.desired and state.limit == 0:
            # Most likely the slots of a dropped session are still held: come back later, as after OPSP8996.
            session.end(End("no registration slot is free", wait_s=self._config.in_use_wait_s))

    async def _watch(self, session: Connection) -> None:
        expected_since: int | None = None
        while True:
            await self._clock.sleep(self._config.silence_s / 6)
            now = self._clock.now_us()
            if session.paused or not self._expects_data(now):
                expected_since = None
                continue
            expected_since = now if expected_since is None else expected_since
            silent_s = (now - max(session.last_us, expected_since)) / 1e6
            if silent_s >= self._config.silence_s:
                session.event("silence", seconds=round(silent_s, 3))
                session.end(End(f"no message for {silent_s:.0f} s"))
                return

    def _take_answer(self, session: Connection, ack: Ack) -> None:
        """Reconciles an acknowledgement; called from the read path."""
        before = self.registrations.limit
        answer = self.registrations.answer(ack)
        asked = answer.registration
        facts = {"tr_id": ack.tr_id, "key": ack.key, "code": ack.code, "text": ack.text}
        if asked is not None:
            facts |= {"tr_id": asked.tr_id, "key": asked.key}
        match answer.verdict:
            case Verdict.DONE if ack.code in RELEASED:
                session.event("released", tr_id=facts["tr_id"], key=facts["key"], code=ack.code)
            case Verdict.DONE:
                self._renewed_approval = False
                session.event("registered", **facts)
            case Verdict.WAIT_A_MINUTE:
                session.event("in_use", text=str(error_of(ack.code, ack.text, call="registration")))
                session.end(End(f"{ack.code} {ack.text}", wait_s=self._config.in_use_wait_s))
            case Verdict.NEW_APPROVAL:
                session.event("approval_refused", code=ack.code, text=ack.text)
                session.end(End(f"{ack.code} {ack.text}", new_approval=True))
            case Verdict.FATAL:
                session.event("refused", **facts)
                session.end(End(ack.text, error=error_of(ack.code, ack.text, call="registration")))
            case _:
                session.event("refused", **facts)
        if self.registrations.limit < before:
            session.event("slots", limit=self.registrations.limit)
        if not self.registrations.pending and self.registrations.due() is None:
            self._settle(session)
