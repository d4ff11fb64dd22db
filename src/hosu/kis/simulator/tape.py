"""What a source of market data gives the server: encoded frames in time order, and what they say.

A tape is read once, from the beginning of its day to the end. It knows no clients: which frames reach whom, and
when, is the server's business.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hosu.kis.layouts import LAYOUTS
from hosu.kis.records import EncodedFrames

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from hosu.kis.layouts import Layout
    from hosu.kis.records import Ints
    from hosu.kis.registrations import Registration
    from hosu.market.instruments import Instrument


@dataclass(frozen=True, slots=True)
class DailyBar:
    """One past day of a symbol. Prices and value in won."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """The numbers of a burst's records of one layout, in the order sent.

    ``frame`` is each record's frame within the burst, ``key`` its registration in the tape's ``KeyTable``.
    ``columns`` are those of ``hosu.kis.codec.encode``.
    """

    layout: Layout
    frame: Ints
    key: Ints
    columns: dict[str, Ints]


@dataclass(frozen=True, slots=True, eq=False)
class Burst:
    """Frames in time order. ``at_us`` (market time, UTC microseconds) and ``key`` have one entry a frame."""

    frames: EncodedFrames
    at_us: Ints
    key: Ints
    batches: tuple[Batch, ...]

    def __len__(self) -> int:
        return len(self.at_us)


class KeyTable:
    """Numbers registrations from 0; a number never changes. Shared by a tape and the server, which use two threads."""

    def __init__(self) -> None:
        self._numbers: dict[Registration, int] = {}
        self._keys: list[Registration] = []
        self._symbols: dict[str, int] = {}
        self._symbol_of: list[int] = []
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._keys)

    def number(self, key: Registration) -> int:
        """The number of a registration, a new one if it is new."""
        number = self._numbers.get(key)
        if number is not None:
            return number
        with self._lock:
            if key not in self._numbers:
                symbol = f"{scope_of(key.tr_id)}:{key.key}"
                self._symbol_of.append(self._symbols.setdefault(symbol, len(self._symbols)))
                self._keys.append(key)
                self._numbers[key] = len(self._keys) - 1
            return self._numbers[key]

    def __getitem__(self, number: int) -> Registration:
        return self._keys[number]

    def symbol_of(self, number: int) -> str:
        """The scope and symbol of a registration, as in ``KRX:005930``."""
        key = self._keys[number]
        return f"{scope_of(key.tr_id)}:{key.key}"

    def symbols(self) -> list[str]:
        """Every scope and symbol, as in ``KRX:005930``, in the order of their numbers."""
        return list(self._symbols)

    def symbol_numbers(self) -> Ints:
        """The number of the symbol (in ``symbols``) of every registration."""
        return np.array(self._symbol_of, dtype=np.int64)


class Tape(Protocol):
    """A source of one market day."""

    @property
    def day(self) -> date:
        """The business date."""

    @property
    def source(self) -> str:
        """What it is, for the report: ``synthetic``, ``bars`` or ``frames``."""

    @property
    def seed(self) -> int | None:
        """What makes the run repeatable; None where nothing is drawn."""

    @property
    def keys(self) -> KeyTable:
        """The registrations its frames belong to; may grow while it is read."""

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The symbols it trades; ``base_price`` is the previous close."""

    @property
    def nxt(self) -> frozenset[str]:
        """The symbols that NXT trades too; for others the unified TRs stay silent."""

    @property
    def start_us(self) -> int:
        """Market time at which the day begins (UTC microseconds)."""

    def __iter__(self) -> Iterator[Burst]:
        """The day's frames. May be called once. Runs in a thread of its own."""

    def history(self, symbol: str, days: int) -> list[DailyBar]:
        """Days before this one, newest first; empty where the source knows none."""

    def impossible_bars(self) -> list[dict[str, object]]:
        """Bars of the source that no trades can make: {date, symbol, minute, reason}. Grows while it is read."""


def scope_of(tr_id: str) -> str:
    """KRX, NXT or UN; KRX for TRs unknown to the layouts."""
    layouts = LAYOUTS.get(tr_id)
    return layouts[0].scope or "KRX" if layouts else "KRX"


def event_of(tr_id: str) -> str:
    """The table a TR's records belong to, or the TR id itself where no table takes them."""
    layouts = LAYOUTS.get(tr_id)
    return layouts[0].event or tr_id if layouts else tr_id


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Frames of one layout before they are merged with others into a burst; arrays have one entry a frame."""

    layout: Layout
    frames: EncodedFrames
    at_us: Ints
    order: Ints
    """What sorts frames of the same time: the number of the exchange's event."""
    key: Ints
    columns: dict[str, Ints]


def merge(parts: Sequence[Part]) -> Burst:
    """One burst of all frames, by time and then by order; equal ones in the order of ``parts``."""
    parts = [part for part in parts if len(part.at_us)]
    if not parts:
        empty = np.zeros(0, np.int64)
        return Burst(EncodedFrames(np.zeros(0, np.uint8), empty, empty, empty), empty, empty, ())
    if len(parts) == 1 and _sorted(parts[0]):
        part = parts[0]
        return Burst(_owned(part.frames), part.at_us, part.key, (_batch(part, np.arange(len(part.at_us))),))
    offsets = np.cumsum([0, *(len(part.frames.data) for part in parts)])
    at_us = np.concatenate([part.at_us for part in parts])
    by_time = np.lexsort((np.concatenate([part.order for part in parts]), at_us))
    place = np.empty(len(by_time), np.int64)
    place[by_time] = np.arange(len(by_time))
    frames = EncodedFrames(
        np.concatenate([part.frames.data for part in parts]),
        np.concatenate([part.frames.start + o for part, o in zip(parts, offsets, strict=False)])[by_time],
        np.concatenate([part.frames.end + o for part, o in zip(parts, offsets, strict=False)])[by_time],
        np.concatenate([part.frames.records for part in parts])[by_time],
    )
    bounds = np.cumsum([0, *(len(part.at_us) for part in parts)])
    batches = tuple(_batch(part, place[a:b]) for part, a, b in zip(parts, bounds[:-1], bounds[1:], strict=True))
    return Burst(frames, at_us[by_time], np.concatenate([part.key for part in parts])[by_time], batches)


def _batch(part: Part, place: Ints) -> Batch:
    # Records of a part stay in its order; frames of one layout and key keep theirs in the merge, so this is as sent.
    records = part.frames.records
    return Batch(part.layout, np.repeat(place, records), np.repeat(part.key, records), part.columns)


def _owned(frames: EncodedFrames) -> EncodedFrames:
    # The kernels take writable buffers only; frames with texts come in one made from bytes.
    if frames.data.flags.writeable:
        return frames
    return EncodedFrames(frames.data.copy(), frames.start, frames.end, np.asarray(frames.records, np.int64))


def _sorted(part: Part) -> bool:
    steps = np.diff(part.at_us)
    ties = np.diff(part.order)
    return bool(np.all((steps > 0) | ((steps == 0) & (ties >= 0))))
