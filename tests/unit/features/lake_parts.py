"""Puts a few rows into the tables that panels and datasets are read from."""

from datetime import date
from typing import Any

import pyarrow as pa

from hosu.lake.derived import replace_date
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.market.calendar import instant_us, sessions_between

DAYS = [day.isoformat() for day in sessions_between(date(2025, 9, 15), date(2026, 6, 1))]


def _midnight(day: str) -> int:
    return instant_us(date.fromisoformat(day), 0)


def _rows(lake: Lake, table: str, day: str, rows: list[dict[str, Any]]) -> None:
    schema = lake.spec(table).file_schema
    whole = [{name: row.get(name) for name in schema.names} for row in rows]
    replace_date(lake, table, day, pa.Table.from_pylist(whole, schema=schema))


def bars(lake: Lake, day: str, *rows: tuple[Any, ...], table: str = "processed_ohlcv") -> None:
    """(symbol, price, volume, what differs from a bar of one price)"""
    made = []
    for symbol, price, volume, *more in rows:
        prices = dict.fromkeys(("open", "high", "low", "close"), price)
        fixed = {"scope": "KRX", "session_set": "regular", "ts": _midnight(day), "source": "trades", "revision": 1}
        made.append({"symbol": symbol, **prices, "volume": volume, **fixed, **(more[0] if more else {})})
    _rows(lake, table, day, sorted(made, key=lambda row: (row["symbol"], row["scope"])))


def external(lake: Lake, day: str, *rows: tuple[Any, ...], table: str = "bars_daily_external") -> None:
    """(symbol, price, volume, what differs from an adjusted import of one price)"""
    made = []
    for symbol, price, volume, *more in rows:
        prices = dict.fromkeys(("open", "high", "low", "close"), price)
        fixed = {"scope": "KRX", "ts": _midnight(day), "adjusted": True, "source": "import:x", "revision": 1}
        made.append({"symbol": symbol, **prices, "volume": volume, **fixed, **(more[0] if more else {})})
    _rows(lake, table, day, made)


def coverage(lake: Lake, day: str, *rows: tuple[str, str, int]) -> None:
    """(symbol, state, revision)"""
    made = [{"scope": "KRX", "symbol": symbol, "state": state, "revision": at} for symbol, state, at in rows]
    _rows(lake, "coverage_days", day, made)


def instruments(lake: Lake, day: str, *rows: tuple[Any, ...]) -> None:
    """(symbol, base price, what differs from a KOSPI stock)"""
    made = [
        {"symbol": symbol, "base_price": base, "market": "KOSPI", "type": "stock", **(more[0] if more else {})}
        for symbol, base, *more in rows
    ]
    names = list(dict.fromkeys(name for row in made for name in row))
    write_universe(lake, day, pa.Table.from_pylist([{name: row.get(name) for name in names} for row in made]))
