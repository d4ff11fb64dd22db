"""A day played to connections in memory, with faults: what each got, read by the client's own parser."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from hosu.clock import SimulatedClock
from hosu.kis.codec import join, parse
from hosu.kis.records import unpack
from hosu.kis.registrations import Registration
from hosu.kis.simulator.delivery import Delivery
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.fault_spec import parse_faults
from hosu.kis.simulator.scripted_faults import ScriptedFaults

DAY = date(2026, 9, 15)
SYMBOLS = ("005930", "000660", "035720")


class Wire:
    """Keeps the messages of one connection."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def write(self, messages: memoryview) -> None:
        data, at = bytes(messages), 0
        while at < len(data):
            size, head = data[at + 1], 2
            if size == 126:
                size, head = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif size == 127:
                size, head = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            self.frames.append(data[at + head : at + head + size])
            at += head + size


class Stage:
    """Hands out the day of a seed in steps of so many frames; connections come and go in between."""

    def __init__(self, faults: str, *, seed: int = 1, records: int = 3000, **exchange: Any) -> None:
        config = ExchangeConfig(DAY, symbols=SYMBOLS, records=records, **({"feeds": ("trades",)} | exchange))
        self.tape = Exchange(config)
        self.faults = ScriptedFaults(parse_faults(faults), seed, self.tape)
        self.delivery = Delivery(self.tape, SimulatedClock(), self.faults)
        self.wires: dict[int, Wire] = {}

    def connect(self, connection: int, symbols: tuple[str, ...] = SYMBOLS) -> Wire:
        wire = self.wires[connection] = Wire()
        self.delivery.open(connection, wire)
        for symbol in symbols:
            self.delivery.register(connection, Registration("H0STCNT0", symbol))
        return wire

    def play(self, step: int = 4096, after: Any = None) -> dict[str, Any]:
        """The report of the whole day; ``after(number of the frame)`` is called before each step."""
        for burst in map(self.faults.prepare, self.tape):
            for first in range(0, len(burst), step):
                if after is not None:
                    after(self.delivery.serial(burst) + first)
                self.delivery.send(burst, first, min(first + step, len(burst)))
        self.delivery.finish()
        return self.delivery.tally.to_dict() | {"faults": self.faults.report()}

    def traded(self) -> dict[str, list[tuple[int, int]]]:
        """Every trade of the day as (from, to), each once, by symbol, in order; from a tape of its own."""
        tape = Exchange(self.tape._config)
        trades: dict[str, list[tuple[int, int]]] = {}
        for burst in tape:
            for batch in burst.batches:
                columns = (batch.columns[name].tolist() for name in ("CNTG_VOL", "ACML_VOL"))
                for key, size, volume in zip(batch.key.tolist(), *columns, strict=True):
                    one = trades.setdefault(tape.keys.symbol_of(key), [])
                    if (volume - size, volume) not in one[-1:]:
                        one.append((volume - size, volume))
        return {symbol: list(dict.fromkeys(each)) for symbol, each in trades.items()}


def understood(frames: list[bytes]) -> tuple[dict[str, list[tuple[int, int]]], int]:
    """What a client makes of frames: the trades by symbol in the order they came, and how many frames are broken."""
    data, start, end = join(frames)
    parsed = parse(data, start, end)
    found: list[tuple[int, int, int, int, int]] = []
    for records in parsed.records:
        columns = (records.columns[name].tolist() for name in ("MKSC_SHRN_ISCD", "CNTG_VOL", "ACML_VOL"))
        rows = zip(records.frame.tolist(), records.record_no.tolist(), *columns, strict=True)
        found += list(rows)
    trades: dict[str, list[tuple[int, int]]] = {}
    for _, _, code, size, volume in sorted(found):
        trades.setdefault(f"KRX:{unpack(code)}", []).append((volume - size, volume))
    return trades, len({reject.frame for reject in parsed.rejects})


def times_covered(*parts: list[tuple[int, int]], upto: int) -> np.ndarray:
    """How many of the intervals hold each share of a day."""
    change = np.zeros(upto + 1, np.int64)
    for part in parts:
        for begin, end in part:
            change[begin] += 1
            change[end] -= 1
    return np.cumsum(change)[:-1]


def missing(report: dict[str, Any], name: str, symbol: str) -> list[tuple[int, int]]:
    """The intervals of ``withheld`` or ``unsent``."""
    return [tuple(each) for each in report[name]["symbols"].get(symbol, {}).get("intervals", [])]


def check_every_share(stage: Stage, report: dict[str, Any]) -> None:
    """Each share was understood by somebody, was withheld, or had nobody to take it; and only one of these."""
    got = [understood(wire.frames)[0] for wire in stage.wires.values()]
    for symbol, trades in stage.traded().items():
        received = sorted({trade for each in got for trade in each.get(symbol, [])})
        lost = [missing(report, name, symbol) for name in ("withheld", "unsent")]
        covered = times_covered(received, *lost, upto=trades[-1][1])
        assert covered.min() == covered.max() == 1, (symbol, np.flatnonzero(covered != 1)[:9])
