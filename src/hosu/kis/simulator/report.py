"""Counts exactly what was sent, what was withheld from those who had asked for it, and what nobody had asked for.

Figures of symbols and TRs count a market record once, however many connections it went to; those of connections
count what each got. Notices are account data and counted apart.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from hosu.kis.simulator import frame_kernels as kernel
from hosu.kis.simulator.intervals import SENT, IntervalNotes, measure
from hosu.kis.simulator.tape import event_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from hosu.kis.records import Ints
    from hosu.kis.simulator.tape import Burst, KeyTable, Tape

    Flags = npt.NDArray[np.bool_]
    Fates = npt.NDArray[np.uint8]


@dataclass(slots=True)
class LineTally:
    """What one connection got."""

    connection: int
    opened_us: int
    closed_us: int | None = None
    reason: str | None = None
    records: int = 0
    notices: int = 0
    trades: Ints = field(default_factory=lambda: np.zeros((0, 3), np.int64))

    def note(self, burst: Burst, first: int, last: int, sent: Flags, keys: int) -> None:
        """``sent`` has one flag a frame from ``first`` to ``last``."""
        self.trades = _grown(self.trades, keys)
        self.records += int(burst.frames.records[first:last][sent].sum())
        for part in _trade_parts(burst, first, last):
            kernel.tally_line(part.key, sent[part.frame - first], part.volume, self.trades)

    def to_dict(self, keys: KeyTable) -> dict[str, Any]:
        symbols = {
            _symbol(keys, number): {"trades": trades, "first_cum_volume": first, "last_cum_volume": last}
            for number, (trades, first, last) in enumerate(self.trades.tolist())
            if trades
        }
        return {
            "id": self.connection,
            "opened": _iso(self.opened_us),
            "closed": None if self.closed_us is None else _iso(self.closed_us),
            "reason": self.reason,
            "records": self.records,
            "notices": self.notices,
            "symbols": symbols,
        }


class Tally:
    """The whole run's figures."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape
        self._counts = np.zeros((0, kernel.COUNT_WIDTH), np.int64)
        self._intervals = IntervalNotes()
        self._trades = np.zeros((0, kernel.TALLY_WIDTH), np.int64)
        self._checksums = np.zeros(0, np.uint32)
        self._symbol_numbers = np.zeros(0, np.int64)
        self.lines: list[LineTally] = []

    def note(self, burst: Burst, first: int, last: int, fate: Fates) -> None:
        """``fate`` has one entry a frame from ``first`` to ``last``: SENT to any connection, WITHHELD or UNSENT."""
        self._grow()
        frames, key = burst.frames, burst.key[first:last]
        kernel.count_frames(key, frames.records[first:last], fate, self._counts)
        kernel.chain_checksums(
            frames.data, frames.start, frames.end, frames.records, np.flatnonzero(fate == SENT) + first,
            self._symbol_numbers[burst.key], self._checksums, kernel.CRC_TABLES,
        )  # fmt: skip
        for part in _trade_parts(burst, first, last):
            fates = fate[part.frame - first]
            kernel.tally_trades(part.key, fates, part.price, part.size, part.volume, self._trades)
            self._intervals.note(part.key, fates, part.size, part.volume, len(self._counts))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON takes it; all counts are of market records."""
        self._grow()
        keys, counts, trades = self._tape.keys, self._counts, self._trades
        by_tr: dict[str, Counter[str]] = {}
        for number, (frames, records, *_) in enumerate(counts.tolist()):
            if frames:
                by_tr.setdefault(keys[number].tr_id, Counter()).update(records=records, frames=frames)
        return {
            "date": self._tape.day.isoformat(),
            "source": self._tape.source,
            "seed": self._tape.seed,
            "records": int(counts[:, kernel.C_RECORDS].sum()),
            "frames": int(counts[:, kernel.C_FRAMES].sum()),
            "shares": int(trades[:, kernel.T_SHARES].sum()),
            "repeated": {
                "records": int(trades[:, kernel.T_REPEATED].sum()),
                "shares": int(trades[:, kernel.T_REPEATED_SHARES].sum()),
            },
            "by_tr": {tr_id: dict(count) for tr_id, count in sorted(by_tr.items())},
            "symbols": self._symbols(),
            **self._missing(),
            "deliveries": sum(line.records for line in self.lines),
            "notices": sum(line.notices for line in self.lines),
            "connections": [line.to_dict(keys) for line in self.lines],
            "impossible_bars": self._tape.impossible_bars(),
            "market_events": sum(c["records"] for tr, c in by_tr.items() if event_of(tr) == "market_events"),
        }

    def _symbols(self) -> dict[str, dict[str, int | str]]:
        symbols: dict[str, dict[str, int | str]] = {}
        for number, (_, records, *_) in enumerate(self._counts.tolist()):
            if records:
                symbol, event = _symbol(self._tape.keys, number), event_of(self._tape.keys[number].tr_id)
                entry = symbols.setdefault(symbol, {})
                entry[event] = int(entry.get(event, 0)) + records
                if event == "trades":
                    row = self._trades[number].tolist()
                    entry["shares"] = row[kernel.T_SHARES]
                    entry["value"] = row[kernel.T_VALUE] // 100
                    entry["last_cum_volume"] = row[kernel.T_LAST]
                    entry["repeated"] = row[kernel.T_REPEATED]
        for symbol, checksum in zip(self._tape.keys.symbols(), self._checksums.tolist(), strict=False):
            if symbol in symbols:
                symbols[symbol]["checksum"] = f"{checksum:08x}"
        return dict(sorted(symbols.items()))

    def _missing(self) -> dict[str, Any]:
        """``withheld`` and ``unsent``: records of every kind, and of trades the shares that did not go out at all."""
        symbols, numbers = self._tape.keys.symbols(), self._tape.keys.symbol_numbers()[: len(self._counts)]
        intervals, nothing = self._intervals.of_symbols(numbers), np.zeros((0, 2), np.int64)
        records = np.zeros((len(symbols), 2), np.int64)
        np.add.at(records, numbers, self._counts[:, kernel.C_WITHHELD :])
        missing = {"withheld": _Missing(), "unsent": _Missing()}
        for number in sorted(np.flatnonzero(records.any(axis=1)).tolist(), key=symbols.__getitem__):
            rows = intervals.get(number, (nothing, nothing))
            for entry, count, those in zip(missing.values(), records[number].tolist(), rows, strict=True):
                entry.add(symbols[number], count, those)
        return {name: entry.to_dict() for name, entry in missing.items()}

    def _grow(self) -> None:
        keys = len(self._tape.keys)
        if keys > len(self._counts):
            self._counts, self._trades = _grown(self._counts, keys), _grown(self._trades, keys)
            self._symbol_numbers = self._tape.keys.symbol_numbers()
            more = len(self._tape.keys.symbols()) - len(self._checksums)
            self._checksums = np.concatenate([self._checksums, np.zeros(max(0, more), np.uint32)])


@dataclass(slots=True)
class _Missing:
    """What of the market did not go out, by symbol."""

    records: int = 0
    shares: int = 0
    symbols: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, symbol: str, records: int, rows: Ints) -> None:
        """Nothing is listed of symbols of which nothing is missing."""
        if records:
            shares = measure(rows)
            self.records, self.shares = self.records + records, self.shares + shares
            self.symbols[symbol] = {"records": records, "shares": shares, "intervals": rows.tolist()}

    def to_dict(self) -> dict[str, Any]:
        return {"records": self.records, "shares": self.shares, "symbols": self.symbols}


@dataclass(frozen=True, slots=True, eq=False)
class _TradePart:
    frame: Ints
    key: Ints
    price: Ints
    size: Ints
    volume: Ints


def _trade_parts(burst: Burst, first: int, last: int) -> list[_TradePart]:
    parts = []
    for batch in burst.batches:
        if batch.layout.event == "trades":
            a, b = np.searchsorted(batch.frame, (first, last))
            columns = [batch.columns[name][a:b] for name in ("STCK_PRPR", "CNTG_VOL", "ACML_VOL")]
            # A recorded field may be empty (the least int64); it counts as nothing.
            parts.append(_TradePart(batch.frame[a:b], batch.key[a:b], *(np.maximum(each, 0) for each in columns)))
    return parts


def _grown(rows: Ints, length: int) -> Ints:
    if len(rows) >= length:
        return rows
    more = np.zeros((length - len(rows), rows.shape[1]), np.int64)
    return np.concatenate([rows, more])


def _symbol(keys: KeyTable, number: int) -> str:
    return keys.symbol_of(number)


def _iso(ts_us: int) -> str:
    return datetime.fromtimestamp(ts_us / 1e6, UTC).isoformat(timespec="milliseconds")
