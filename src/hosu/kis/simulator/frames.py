"""Recorded frames played again, byte for byte, at the times at which they were received."""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Final

import numpy as np

from hosu.errors import InputError
from hosu.kis.codec import join, parse
from hosu.kis.records import NULL, EncodedFrames, unpack
from hosu.kis.registrations import Registration
from hosu.kis.simulator.tape import Batch, Burst, KeyTable
from hosu.market.calendar import business_day
from hosu.market.instruments import Instrument, InstrumentType, Market

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from hosu.kis.records import Parsed, Records
    from hosu.kis.simulator.tape import DailyBar

_FRAMES_A_BURST: Final = 4096


class FramesTape:
    """A tape of (receive time in UTC microseconds, frame) pairs in the order received.

    JSON messages and encrypted notices are left out: the server makes its own. A frame that names no TR and symbol
    cannot be asked for, and is left out too; ``left_out`` counts them. Times that go back are held at the last one.
    """

    source = "frames"
    seed = None
    nxt: frozenset[str] = frozenset()

    def __init__(self, frames: Iterable[tuple[int, bytes]]) -> None:
        """Reads the first frame. Raises InputError where there is none."""
        self._frames = iter(frames)
        first = next(self._frames, None)
        if first is None:
            raise InputError("recorded frames", "there are none", "name a folder or file that holds some")
        self._frames = chain([first], self._frames)
        self.start_us = first[0]
        try:
            self.day, _ = business_day(first[0])
        except (ValueError, OverflowError):
            fault = f"the first was received at {first[0]} µs, a time that no calendar has"
            raise InputError("recorded frames", fault, "name a folder or file that holds sound ones") from None
        self.keys = KeyTable()
        self.instruments: dict[str, Instrument] = {}
        self.left_out = 0

    def history(self, symbol: str, days: int) -> list[DailyBar]:  # noqa: ARG002  a recording knows its day only
        return []

    def impossible_bars(self) -> list[dict[str, object]]:
        return []

    def __iter__(self) -> Iterator[Burst]:
        latest = self.start_us
        while chunk := list(islice(self._frames, _FRAMES_A_BURST)):
            named = [(ts_us, raw, key) for ts_us, raw in chunk if (key := key_of(raw)) is not None]
            self.left_out += sum(1 for _, raw in chunk if raw[:1] in {b"0", b"1"}) - len(named)
            if named:
                burst = self._burst(named, latest)
                latest = int(burst.at_us[-1])
                yield burst

    def _burst(self, named: list[tuple[int, bytes, Registration]], latest: int) -> Burst:
        data, start, end = join([raw for _, raw, _ in named])
        at_us = np.maximum.accumulate(np.array([max(latest, ts_us) for ts_us, _, _ in named], np.int64))
        key = np.array([self.keys.number(each) for _, _, each in named], np.int64)
        parsed = parse(data, start, end)
        counts = _record_counts(parsed, [raw for _, raw, _ in named])
        batches = tuple(Batch(r.layout, r.frame, np.ascontiguousarray(key[r.frame]), r.columns) for r in parsed.records)
        for records in parsed.records:
            self._meet(records)
        return Burst(EncodedFrames(data.copy(), start, end, counts), at_us, key, batches)

    def _meet(self, records: Records) -> None:
        """Learns of new symbols from their first trade."""
        if records.layout.event != "trades":
            return
        codes, first = np.unique(records.columns["MKSC_SHRN_ISCD"], return_index=True)
        for code, i in zip(codes.tolist(), first.tolist(), strict=True):
            symbol = unpack(code)
            if symbol is not None and symbol not in self.instruments:
                price, change = (int(records.columns[name][i]) for name in ("STCK_PRPR", "PRDY_VRSS"))
                before = (price - change) // 100 if NULL not in (price, change) else 0
                self.instruments[symbol] = Instrument(
                    symbol=symbol, isin="", name=symbol, market=Market.KOSPI, type=InstrumentType.STOCK,
                    base_price=max(0, before),
                )  # fmt: skip


def key_of(frame: bytes) -> Registration | None:
    """The registration a plain frame answers: its TR id and its first field; None if it has none."""
    parts = frame.split(b"|", 3)
    if len(parts) != 4 or parts[0] != b"0":
        return None
    symbol = parts[3].split(b"^", 1)[0]
    if not (parts[1].isalnum() and symbol.isalnum() and parts[1].isascii() and symbol.isascii()):
        return None
    return Registration(parts[1].decode("ascii"), symbol.decode("ascii"))


def _record_counts(parsed: Parsed, frames: list[bytes]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Records a frame stands for: what its header says, 1 where the frame as a whole cannot be parsed."""
    broken = {reject.frame for reject in parsed.rejects if reject.record_no is None}
    said = [1 if i in broken else int(raw.split(b"|", 3)[2]) for i, raw in enumerate(frames)]
    return np.array(said, np.int64)
