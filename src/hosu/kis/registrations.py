"""What we want to receive against what the broker has acknowledged. Pure: no socket, no clock of its own.

A session has a number of registration slots, 41 by the broker's notice, summed over all TRs and products of an
application key. The broker's refusal (OPSP0008) is the truth about it, not the notice.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from hosu.kis.codes import Verdict, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hosu.kis.messages import Ack

SLOTS: Final = 41
"""Registrations a session may hold (KIS notice; measured: the 42nd is refused)."""

RELEASED: Final = frozenset({"OPSP0001", "OPSP0003"})
"""Codes after which something is not registered, whether it was before or not."""

MAX_TRIES: Final = 3
"""How often one registration is sent on one session before it counts as unanswered or refused."""


@dataclass(frozen=True, slots=True, order=True)
class Registration:
    """One (TR id, key) on a WebSocket session; the key is a short code, an index code or an HTS id."""

    tr_id: str
    key: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What an acknowledgement changed. ``registration`` is None when it answers nothing we asked for."""

    registration: Registration | None
    verdict: Verdict


class Registrations:
    """The state of one session's registrations; ``new_session`` starts it over and keeps what was refused for good.

    ``desired`` is in order of priority: when slots are short, the later ones are left out and named in
    ``not_covered``. Nothing is released to make room by itself: release-and-register loops get a key blocked. Only
    ``change`` makes something due for release, and whoever calls it answers for how often.
    """

    def __init__(self, desired: Iterable[Registration], slots: int = SLOTS) -> None:
        self.slots = slots
        self._refused: dict[Registration, str] = {}
        self._unanswered: list[Registration] = []
        self._want(desired)
        self.new_session()

    def _want(self, desired: Iterable[Registration]) -> None:
        self.desired: tuple[Registration, ...] = tuple(dict.fromkeys(desired))
        self._rank = {registration: rank for rank, registration in enumerate(self.desired)}

    def change(self, desired: Iterable[Registration]) -> None:
        """Desires something else from now on: what is registered and no longer desired is due for release, what is
        desired and new is due for registration as slots become free."""
        self._want(desired)
        settled = {*self.acknowledged, *self._sent_at, *self._unanswered, *self._refused}
        self._unanswered = [each for each in self._unanswered if each in self._rank]
        self._waiting = [rank for rank, wanted in enumerate(self.desired) if wanted not in settled]

    def new_session(self) -> None:
        """Forgets everything acknowledged, and the limit learnt: a limit met once may have been the slots that a
        dropped session still held."""
        self.limit = self.slots
        self.acknowledged: set[Registration] = set()
        self._sent_at: dict[Registration, float] = {}
        self._tries: dict[Registration, int] = {}
        self._unanswered = []
        self._releasing: dict[Registration, float] = {}
        self._waiting = [rank for rank, wanted in enumerate(self.desired) if wanted not in self._refused]

    @property
    def pending(self) -> tuple[Registration, ...]:
        """Sent and not answered yet, oldest first."""
        return tuple(self._sent_at)

    @property
    def refused(self) -> dict[Registration, str]:
        """What the broker will never register, by code of its refusal; not asked for again."""
        return dict(self._refused)

    @property
    def unanswered(self) -> tuple[Registration, ...]:
        """Sent ``MAX_TRIES`` times on this session without success; may be delivered all the same."""
        return tuple(self._unanswered)

    @property
    def not_covered(self) -> tuple[Registration, ...]:
        """Desired but without a slot, by priority."""
        return tuple(self.desired[rank] for rank in sorted(self._waiting))

    def release_due(self) -> Registration | None:
        """The next one to release; None while nothing is registered that is not desired."""
        leaving = (each for each in self.acknowledged if each not in self._rank and each not in self._releasing)
        return next(leaving, None)

    def release_sent(self, registration: Registration, now_s: float) -> None:
        """Notes that its release was sent at ``now_s``."""
        self._releasing[registration] = now_s

    def release_overdue(self, now_s: float, timeout_s: float) -> list[Registration]:
        """Those whose release was sent ``timeout_s`` ago or longer without an answer: they count as released. Should
        one be registered still, the broker's refusal of another teaches the limit."""
        late = [registration for registration, at in self._releasing.items() if now_s - at >= timeout_s]
        for registration in late:
            self._release(registration)
        return late

    @property
    def releasing(self) -> bool:
        """Whether a release is unanswered."""
        return bool(self._releasing)

    def due(self) -> Registration | None:
        """The next one to send; None while no slot is free or nothing is left."""
        if not self._waiting or len(self.acknowledged) + len(self._sent_at) >= self.limit:
            return None
        return self.desired[self._waiting[0]]

    def sent(self, registration: Registration, now_s: float) -> None:
        """Notes that the registration was sent at ``now_s``."""
        self._drop_waiting(registration)
        self._sent_at[registration] = now_s
        self._tries[registration] = self._tries.get(registration, 0) + 1

    def overdue(self, now_s: float, timeout_s: float) -> list[Registration]:
        """Those sent ``timeout_s`` ago or longer without an answer; they are due again, or given up on."""
        late = [registration for registration, at in self._sent_at.items() if now_s - at >= timeout_s]
        for registration in late:
            self._try_again(registration)
        return late

    def answer(self, ack: Ack) -> Answer:
        """Takes an acknowledgement in; says whose it is and what follows from its code."""
        found, what = self._find(ack), verdict(ack.code)
        if found is None:
            return Answer(None, what)
        if found in self._releasing or ack.code in RELEASED:
            if ack.code in RELEASED and found in self._releasing:
                self._release(found)
        elif what is Verdict.DONE:
            self._acknowledge(found)
        elif what is Verdict.NO_SLOT:
            self._requeue(found)
            self.limit = min(self.limit, len(self.acknowledged))
        elif what is Verdict.RETRY:
            self._try_again(found)
        elif what is Verdict.REFUSED and found not in self.acknowledged:
            self._leave(found)
            self._refused[found] = ack.code
        return Answer(found, what)

    def _find(self, ack: Ack) -> Registration | None:
        exact = Registration(ack.tr_id, ack.key)
        if ack.key:  # also one that we gave up on: an answer may be late
            known = exact in self._rank or exact in self._sent_at or exact in self._releasing
            return exact if known else None
        same_tr = (pending for pending in self._sent_at if ack.tr_id in ("", pending.tr_id))
        return next(same_tr, None)

    def _acknowledge(self, registration: Registration) -> None:
        self._leave(registration)
        self._refused.pop(registration, None)
        self.acknowledged.add(registration)
        self.limit = max(self.limit, len(self.acknowledged))

    def _leave(self, registration: Registration) -> None:
        """Takes it from wherever it waits: an answer may come before it was sent again, or after it was given up."""
        self._sent_at.pop(registration, None)
        self._drop_waiting(registration)
        if registration in self._unanswered:
            self._unanswered.remove(registration)

    def _release(self, registration: Registration) -> None:
        self._releasing.pop(registration, None)
        self.acknowledged.discard(registration)
        if registration in self._rank:  # wanted again meanwhile
            heapq.heappush(self._waiting, self._rank[registration])

    def _try_again(self, registration: Registration) -> None:
        if self._tries.get(registration, 0) < MAX_TRIES:
            self._requeue(registration)
        elif self._sent_at.pop(registration, None) is not None and registration in self._rank:
            self._unanswered.append(registration)

    def _requeue(self, registration: Registration) -> None:
        if self._sent_at.pop(registration, None) is not None and registration in self._rank:
            heapq.heappush(self._waiting, self._rank[registration])

    def _drop_waiting(self, registration: Registration) -> None:
        rank = self._rank.get(registration)
        if rank is None:
            return
        if self._waiting and self._waiting[0] == rank:
            heapq.heappop(self._waiting)
        elif rank in self._waiting:
            self._waiting.remove(rank)
            heapq.heapify(self._waiting)
