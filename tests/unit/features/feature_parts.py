"""Trades and closes of one day in short, and a store of features that keeps everything in memory."""

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hosu.collect.sinks import EventBatch
from hosu.features.batch import States, indicators
from hosu.features.grid import fill
from hosu.features.openings import Morning
from hosu.features.panel import BarPanel
from hosu.features.served import Closed
from hosu.features.store import Begin
from hosu.market.calendar import instant_us
from hosu.market.events import EVENT_SCHEMAS, in_memory

DAY = "2025-09-15"


def at(clock: str, day: str = DAY) -> int:
    """UTC microseconds of a time in Seoul."""
    hours, minutes, seconds = map(int, clock.split(":"))
    return instant_us(dt.date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


def trade(clock: str, cum: int, price: float = 100.0, size: int = 1, symbol: str = "A", **more: Any) -> dict[str, Any]:
    """A trade of ``size`` shares up to ``cum``."""
    day = more.get("date", DAY)
    facts = {"date": day, "scope": "KRX", "symbol": symbol, "cum_volume": cum, "price": price, "size": size}
    return facts | {"ts_event": at(clock, day)} | more


def poll(clock: str, cum: int, price: float = 100.0, symbol: str = "P", **more: Any) -> dict[str, Any]:
    """A poll of the current price that came at that time."""
    day = more.get("date", DAY)
    facts = {"table": "snapshots", "date": day, "scope": "KRX", "symbol": symbol, "cum_volume": cum, "price": price}
    return facts | {"ts_recv": at(clock, day)} | more


def events(*items: dict[str, Any] | int, first: int = 0, wal: str = "w1") -> EventBatch:
    """One log record an item: a trade, a poll, or the UTC microseconds up to which it closes minutes."""
    last = first + len(items) - 1
    closes = tuple((lsn, item) for lsn, item in enumerate(items, first) if isinstance(item, int))
    tables = {}
    for name in ("trades", "snapshots"):
        listed = [
            {"wal_id": wal, "lsn": lsn, "record_no": 0, "ts_recv": 0, "source": "ws", **item}
            for lsn, item in enumerate(items, first)
            if isinstance(item, dict) and item.get("table", "trades") == name
        ]
        if listed:
            schema = EVENT_SCHEMAS[name]
            whole = [{column: row.get(column) for column in schema.names} for row in listed]
            tables[name] = pa.RecordBatch.from_pylist(whole, schema=schema).cast(in_memory(schema))
    return EventBatch(wal, first, last, tables, len(items), bar_closes=closes)


class MemoryFeatureStore:
    """Keeps rows; outlives the sinks that write to it. ``broken`` is raised by the next ``add``, once. ``facts`` are
    what is known of a day when it begins, the newest last; ``unknown`` is raised instead, where it is set."""

    def __init__(self, *begins: Begin) -> None:
        self.closed: list[Closed] = []
        self.numbers: dict[str, int] = {}
        self.begins = {begin.label: begin for begin in begins}
        self.broken: Exception | None = None
        self.facts: dict[str, list[Morning]] = {}
        self.unknown: Exception | None = None

    def covered(self, wal_id: str) -> int:
        return self.numbers.get(wal_id, -1)

    def add(self, closed: Sequence[Closed], wal_id: str, lsn: int) -> int:
        if self.broken is not None:
            broken, self.broken = self.broken, None
            raise broken
        self.closed.extend(closed)
        self.numbers[wal_id] = lsn
        return 0

    def sync(self) -> None:
        pass

    def latest(self, *, before: str, since: str) -> Begin | None:
        dated = [label for label in self.begins if since <= label.partition("/")[0] < before]
        return self.begins[max(dated)] if dated else None

    def exact(self, label: str) -> Begin | None:
        return Begin(label, States.new(())) if label.startswith("new") else self.begins.get(label)

    def known(self, date: str, label: str | None = None) -> Morning | None:
        if self.unknown is not None:
            raise self.unknown
        known = self.facts.get(date, ())
        return next((each for each in reversed(known) if label in (None, each.label)), None)

    def began(self, date: str, wal_id: str) -> str | None:
        return next((each.began for each in self.closed if (each.date, each.wal_id) == (date, wal_id)), None)


def rows_of(closed: Sequence[Closed]) -> list[tuple[Any, ...]]:
    """(symbol, ts, close in won, volume, whether traded, outputs as bits), sorted."""
    found = [
        (
            each.names[int(each.code[i])],
            int(each.ts[i]),
            int(each.close[i]) / 100,
            int(each.volume[i]),
            bool(each.traded[i]),
            each.outputs[i].tobytes(),
        )
        for each in closed
        for i in range(len(each))
    ]
    return sorted(found)


def short(closed: Sequence[Closed], day: str = DAY) -> list[tuple[str, str, float, int]]:
    """(symbol, HH:MM in Seoul, close, volume), sorted."""
    midnight = at("00:00:00", day)
    found = []
    for symbol, ts, close, volume, *_ in rows_of(closed):
        minute = (ts - midnight) // 60_000_000
        found.append((symbol, f"{minute // 60:02}:{minute % 60:02}", close, volume))
    return found


def panel_of(trades: Sequence[dict[str, Any]], day: str = DAY) -> BarPanel:
    """The minutes of the regular session in which something traded, each trade once, in plain Python."""
    bars: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for each in {(each["symbol"], each["cum_volume"]): each for each in trades}.values():
        bars.setdefault((each["symbol"], each["ts_event"] // 60_000_000 * 60_000_000), []).append(each)
    keys = sorted(bars)
    symbols = sorted({symbol for symbol, _ in keys})
    sorted_bars = [sorted(bars[key], key=lambda each: each["cum_volume"]) for key in keys]
    close = np.array([round(bar[-1]["price"] * 100) for bar in sorted_bars], np.int64)
    starts = [next(i for i, key in enumerate(keys) if key[0] == symbol) for symbol in symbols]
    return BarPanel(
        tuple(symbols),
        np.array([*starts, len(keys)], np.int64),
        np.full(len(keys), int(day.replace("-", "")), np.int64),
        np.array([ts for _, ts in keys], np.int64),
        close,
        close,
        close,
        close,
        np.array([sum(each["size"] for each in bar) for bar in sorted_bars], np.int64),
        np.zeros(len(keys)),
        np.ones(len(keys)),
        np.zeros(len(keys), np.bool_),
    )


def in_batch(
    trades: Sequence[dict[str, Any]], states: States | None = None, day: str = DAY, factor: float = 1.0
) -> list[tuple[Any, ...]]:
    """What batch makes of trades, as ``rows_of`` gives it, but for whether traded. ``states`` are gone on with, and
    ``factor`` is that of each symbol's first trade."""
    from hosu.features.kernel import last_closes

    begun = states or States.new(())
    closes = {s: int(c) for s, c in zip(begun.symbols, last_closes(begun.ints), strict=True) if c > 0}
    traded = panel_of(trades, day)
    traded.factor[traded.starts[:-1]] = factor
    panel = fill(traded, closes, day)
    after = begun.of(panel.symbols)
    outputs = indicators(panel, after, threads=1)
    names = [panel.symbols[at] for at in panel.symbol]
    rows = zip(names, panel.ts.tolist(), panel.close.tolist(), panel.volume.tolist(), strict=True)
    return sorted((s, t, c / 100, v, outputs[i].tobytes()) for i, (s, t, c, v) in enumerate(rows))
