"""The market as of now, for REST answers: last records, minute bars and last prints of every symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hosu.kis.records import unpack_many
from hosu.kis.simulator import frame_kernels as kernel
from hosu.kis.simulator.prints import Prints

if TYPE_CHECKING:
    from hosu.kis.records import Ints
    from hosu.kis.simulator.prints import Print
    from hosu.kis.simulator.tape import Batch, Burst, KeyTable

_PARTS = ("trades", "quotes", "expected")
_OBSERVED = (
    "STCK_CNTG_HOUR", "STCK_PRPR", "CNTG_VOL", "ACML_VOL", "ACML_TR_PBMN", "CTTR", "ASKP1", "BIDP1",
)  # fmt: skip


@dataclass(slots=True)
class Interruption:
    """A symbol's volatility interruption (VI); times are UTC microseconds, ``end_us`` None while it lasts."""

    symbol: str
    start_us: int
    end_us: int | None = None


class MarketState:
    """What has happened so far, sent or not. Symbols are named with their scope, as in ``KRX:005930``.

    Numbers are as in the feed's columns: prices and rates in hundredths, times in seconds of the day.
    """

    def __init__(self, keys: KeyTable) -> None:
        self._keys = keys
        self._numbers: dict[str, int] = {}
        self._symbol_of_key = np.zeros(0, np.int64)
        self._last: dict[str, dict[str, Ints]] = {part: {} for part in _PARTS}
        self._interruptions: list[Interruption] = []
        self._latest = np.zeros(0, np.int64)
        self._prints = Prints()
        self._minutes = np.zeros((0, kernel.MINUTES, kernel.MINUTE_WIDTH), np.int64)

    def observe(self, burst: Burst, first: int, last: int) -> None:
        """Takes in the frames from ``first`` to ``last`` of a burst."""
        self._grow()
        for batch in burst.batches:
            a, b = np.searchsorted(batch.frame, (first, last))
            if a < b and batch.layout.event in _PARTS:
                self._observe(batch, slice(a, b))
            elif a < b and batch.layout.event == "market_events" and batch.layout.scope == "KRX":
                self._observe_operation(batch, slice(a, b), int(burst.at_us[first]))

    def last(self, symbol: str, part: str) -> dict[str, int] | None:
        """The last record of ``trades``, ``quotes`` or ``expected`` by the broker's names; None before the first."""
        number = self._numbers.get(symbol)
        columns = self._last[part]
        if number is None or not columns or not columns["MKSC_SHRN_ISCD"][number]:
            return None
        return {name: int(values[number]) for name, values in columns.items()}

    def prints(self, symbol: str, until_s: int, most: int) -> list[Print]:
        """The last trades up to and with a second of the day, newest first, sent or not."""
        number = self._numbers.get(symbol)
        return [] if number is None else self._prints.last(number, until_s, most)

    def minutes(self, symbol: str) -> list[tuple[int, int, int, int, int, int, int]]:
        """The day's minute bars, oldest first: (second of the day, open, high, low, close, volume, cumulative value).

        Minutes without a trade carry the last close on, with no volume.
        """
        number = self._numbers.get(symbol)
        if number is None:
            return []
        rows: list[tuple[int, int, int, int, int, int, int]] = []
        traded = np.flatnonzero(self._minutes[number, :, 4])
        for minute in range(traded[0], traded[-1] + 1) if len(traded) else ():
            o, h, l, c, volume, value = self._minutes[number, minute].tolist()  # noqa: E741
            if volume == 0:
                o = h = l = c = rows[-1][4]  # noqa: E741
                value = rows[-1][6]
            rows.append(((minute + kernel.FIRST_MINUTE) * 60, o, h, l, c, volume, value))
        return rows

    def by_volume(self, scope: str) -> list[tuple[str, dict[str, int]]]:
        """(symbol code, last trade) of everything that has traded in a scope, the largest volume first."""
        prefix = f"{scope}:"
        found = [(name[len(prefix) :], self.last(name, "trades")) for name in self._numbers if name.startswith(prefix)]
        traded = [(code, trade) for code, trade in found if trade is not None]
        return sorted(traded, key=lambda pair: -pair[1]["ACML_VOL"])

    def interruptions(self) -> list[Interruption]:
        """The day's volatility interruptions so far, oldest first."""
        return list(self._interruptions)

    def _observe_operation(self, batch: Batch, rows: slice, at_us: int) -> None:
        codes = unpack_many(batch.columns["MKSC_SHRN_ISCD"][rows])
        for code, flag in zip(codes, batch.columns["VI_CLS_CODE"][rows].tolist(), strict=True):
            running = next((each for each in self._interruptions if each.symbol == code and each.end_us is None), None)
            if flag == ord("Y") and running is None:
                self._interruptions.append(Interruption(code, at_us))
            elif flag == ord("N") and running is not None:
                running.end_us = at_us

    def _observe(self, batch: Batch, rows: slice) -> None:
        symbol = self._symbol_of_key[batch.key[rows]]
        newest = np.full(len(self._numbers), -1, np.int64)
        newest[symbol] = np.arange(len(symbol))  # of repeated indices numpy keeps the last
        there = np.flatnonzero(newest >= 0)
        columns = self._last[batch.layout.event]
        for name, values in batch.columns.items():
            if name not in columns:
                columns[name] = np.zeros(len(self._numbers), np.int64)
            columns[name][there] = values[rows][newest[there]]
        if batch.layout.event == "trades":
            observed = [np.maximum(batch.columns[name][rows], 0) for name in _OBSERVED]
            block = self._prints.room(len(symbol))
            block.used = kernel.observe_trades(
                symbol, *observed, self._minutes, self._latest, block.rows, block.volumes, block.used
            )

    def _grow(self) -> None:
        if len(self._keys) == len(self._symbol_of_key):
            return
        self._symbol_of_key = self._keys.symbol_numbers()
        self._numbers = {name: number for number, name in enumerate(self._keys.symbols())}
        more = len(self._numbers) - len(self._latest)
        if more > 0:
            more = max(more, len(self._latest))  # a recording names its symbols one by one
            self._latest = np.pad(self._latest, (0, more))
            self._minutes = np.pad(self._minutes, ((0, more), (0, 0), (0, 0)))
        for columns in self._last.values():
            for name, values in columns.items():
                columns[name] = np.pad(values, (0, len(self._numbers) - len(values)))
