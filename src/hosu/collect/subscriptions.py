"""Who gets a slot: which key streams which symbols, which symbols are polled by which key, and why. Pure planning.

A key has so many registration slots (41 by the broker's notice), and a symbol takes one a feed: trades and books
halve the symbols. Symbols come in order of priority; the first that fit are streamed, the rest is polled over REST,
shared between the keys by their calls a second. Every symbol is streamed, polled, or not covered: exactly one of them.

Stable: a symbol stays with the key it had, as long as that key has room for it. One symbol more or less so moves one
symbol, not all behind it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from hosu.kis.registrations import SLOTS, Registration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

How = Literal["streamed", "polled", "not covered"]

RESERVE: Final = 5
"""Symbols next in line that a key is told of: one of them takes the slot of a symbol that the broker refuses."""

_HOUR_S: Final = 3600.0
_POLL_SLACK: Final = 1.1  # a key may have so many times its fair share of polled symbols before one moves


@dataclass(frozen=True, slots=True)
class Key:
    """An application key as far as planning is concerned. ``name`` tells keys apart and gives none away."""

    name: str
    slots: int = SLOTS
    calls_per_s: float = 12.0


@dataclass(frozen=True, slots=True)
class Assignment:
    """What becomes of one symbol. ``key`` is None when it is not covered; ``tr_ids`` are the feeds it gets, of those
    wanted; ``why`` is a clause for people."""

    symbol: str
    how: How
    key: str | None
    tr_ids: tuple[str, ...]
    why: str


@dataclass(frozen=True, slots=True)
class Share:
    """What one key does: ``registrations`` never exceed its slots; ``reserve`` stands in for refused ones.

    ``streamed`` and ``polled`` are its symbols, each by priority; ``tr_ids`` the feeds a streamed symbol gets.
    """

    key: Key
    tr_ids: tuple[str, ...]
    registrations: tuple[Registration, ...] = ()
    reserve: tuple[Registration, ...] = ()
    streamed: tuple[str, ...] = ()
    polled: tuple[str, ...] = ()

    @property
    def symbols(self) -> tuple[str, ...]:
        """All of its symbols, the streamed ones first."""
        return (*self.streamed, *self.polled)


@dataclass(frozen=True, slots=True)
class Plan:
    """Who does what. ``symbols`` has each symbol once, by priority; ``shares`` one entry a key, as the keys came."""

    shares: tuple[Share, ...]
    symbols: tuple[Assignment, ...]

    @property
    def not_covered(self) -> tuple[Assignment, ...]:
        return tuple(each for each in self.symbols if each.how == "not covered")

    @property
    def keys(self) -> dict[str, str]:
        """The key of every covered symbol, as ``before`` of the next plan."""
        return {each.symbol: each.key for each in self.symbols if each.key is not None}


def make_plan(
    symbols: Sequence[str],
    tr_ids: Sequence[str],
    keys: Sequence[Key],
    *,
    poll: bool = True,
    before: Mapping[str, str] | None = None,
) -> Plan:
    """Shares ``symbols``, in order of priority, between ``keys``.

    Args:
        tr_ids: the feeds of a streamed symbol. A slot that is left over where a key has no room for all of them
            goes to the first feed of one more symbol.
        poll: whether what finds no slot is polled.
        before: the key that each symbol had.
    """
    wanted, feeds = list(dict.fromkeys(symbols)), tuple(dict.fromkeys(tr_ids))
    known = before or {}
    streams = _streams(wanted, feeds, keys, known)
    rest = [symbol for symbol in wanted if symbol not in streams]
    polls = _polls(rest, keys, known) if poll else {}
    shares = [_share(key, feeds, wanted, streams, polls) for key in keys]
    return Plan(tuple(shares), tuple(_assignment(symbol, feeds, streams, polls) for symbol in wanted))


_Streams = dict[str, tuple[str, tuple[str, ...]]]


def _streams(
    symbols: Sequence[str], feeds: tuple[str, ...], keys: Sequence[Key], before: Mapping[str, str]
) -> _Streams:
    """Key and feeds of every streamed symbol."""
    width = len(feeds)
    free = {key.name: key.slots for key in keys}
    if not width:
        return {}
    whole = {name: slots // width for name, slots in free.items()}
    first = symbols[: sum(whole.values())]
    found = {symbol: (key, feeds) for symbol, key in _placed(first, whole, before).items()}
    for key, _ in found.values():
        free[key] -= width
    for symbol in symbols[len(first) :]:
        spare = {name: slots for name, slots in free.items() if slots > 0}
        if not spare:
            break
        name = before[symbol] if before.get(symbol) in spare else max(spare, key=lambda each: spare[each])
        found[symbol] = (name, feeds[: free[name]])
        free[name] = 0
    return found


def _placed(symbols: Sequence[str], room: Mapping[str, int], before: Mapping[str, str]) -> dict[str, str]:
    """The key of each symbol: the one it had while there is room there, else the one with most room."""
    left = dict(room)
    placed: dict[str, str] = {}
    for symbol in symbols:
        name = before.get(symbol)
        if name is not None and left.get(name, 0) > 0:
            placed[symbol] = name
            left[name] -= 1
    for symbol in symbols:
        if symbol not in placed:
            name = max(left, key=lambda each: left[each])
            placed[symbol] = name
            left[name] -= 1
    return placed


def _polls(symbols: Sequence[str], keys: Sequence[Key], before: Mapping[str, str]) -> dict[str, str]:
    """The key that polls each symbol, so that keys with more calls a second have more symbols."""
    pace = {key.name: key.calls_per_s for key in keys}
    total = sum(pace.values())
    if not total:
        return {}
    most = {name: int(len(symbols) * calls / total * _POLL_SLACK) + 1 for name, calls in pace.items()}
    load = dict.fromkeys(pace, 0)
    placed: dict[str, str] = {}
    for symbol in symbols:
        name = before.get(symbol)
        if name is not None and load.get(name, 0) < most.get(name, 0):
            placed[symbol] = name
            load[name] += 1
    for symbol in symbols:
        if symbol not in placed:
            name = min((each for each in pace if pace[each]), key=lambda each: (load[each] + 1) / pace[each])
            placed[symbol] = name
            load[name] += 1
    return placed


def _share(
    key: Key, feeds: tuple[str, ...], symbols: Sequence[str], streams: _Streams, polls: Mapping[str, str]
) -> Share:
    mine = [symbol for symbol in symbols if symbol in streams and streams[symbol][0] == key.name]
    polled = [symbol for symbol in symbols if polls.get(symbol) == key.name]
    next_in_line = polled[:RESERVE] if len(streams) < len(symbols) else []
    return Share(
        key,
        feeds,
        tuple(Registration(tr_id, symbol) for symbol in mine for tr_id in streams[symbol][1]),
        tuple(Registration(tr_id, symbol) for symbol in next_in_line for tr_id in feeds),
        tuple(mine),
        tuple(polled),
    )


def _assignment(symbol: str, feeds: tuple[str, ...], streams: _Streams, polls: Mapping[str, str]) -> Assignment:
    if symbol in streams:
        key, got = streams[symbol]
        missing = [tr_id for tr_id in feeds if tr_id not in got]
        why = f"no slot for {', '.join(missing)}" if missing else "within the slots by its priority"
        return Assignment(symbol, "streamed", key, got, why)
    if symbol in polls:
        return Assignment(symbol, "polled", polls[symbol], (), "no slot left by its priority")
    return Assignment(symbol, "not covered", None, (), "no slot left, and polling is off")


@dataclass(frozen=True, slots=True)
class ExchangeConfig:
    """How freely a key exchanges a streamed symbol for a polled one: at most ``per_hour`` times in any hour (0:
    never), only for one whose score is ``margin`` times as high, and whoever came or went stays so for ``dwell_s``.

    The broker blocks keys that register and release in endless loops (KIS notice of 2026-02-24) and names no number;
    a dozen an hour is what a person with a terminal might do (assumed to be harmless).
    """

    per_hour: int = 0
    dwell_s: float = 1800.0
    margin: float = 1.5


@dataclass(frozen=True, slots=True)
class Exchange:
    """One symbol gets the slots of another."""

    promote: str
    demote: str


class Exchanges:
    """Decides on exchanges within one key. ``next`` proposes one and counts it as made."""

    def __init__(self, config: ExchangeConfig, streamed: Iterable[str], now_s: float) -> None:
        self._config = config
        self._moved_s = dict.fromkeys(streamed, now_s)
        self._made_s: deque[float] = deque()

    def next(
        self, now_s: float, scores: Mapping[str, float], streamed: Iterable[str], polled: Iterable[str]
    ) -> Exchange | None:
        """The best symbol that is polled against the worst that is streamed; None unless it is worth it and allowed.

        Symbols without a score, say because nobody has polled them yet, neither come nor go.
        """
        while self._made_s and self._made_s[0] <= now_s - _HOUR_S:
            self._made_s.popleft()
        if len(self._made_s) >= self._config.per_hour:
            return None
        coming = max(self._settled(polled, scores, now_s), key=lambda each: (scores[each], each), default=None)
        going = min(self._settled(streamed, scores, now_s), key=lambda each: (scores[each], each), default=None)
        if coming is None or going is None or scores[coming] <= scores[going] * self._config.margin:
            return None
        self._made_s.append(now_s)
        self._moved_s[coming] = self._moved_s[going] = now_s
        return Exchange(coming, going)

    def _settled(self, symbols: Iterable[str], scores: Mapping[str, float], now_s: float) -> list[str]:
        never = -self._config.dwell_s
        return [
            each
            for each in symbols
            if each in scores and now_s - self._moved_s.get(each, now_s + never) >= self._config.dwell_s
        ]
