"""Puts a few rows into the tables that panels and datasets are read from."""

import uuid
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from hosu.features import kernel
from hosu.lake.derived import replace_date
from hosu.lake.instruments import write_universe
from hosu.lake.lake import Lake
from hosu.lake.parquet import encode, sorted_name
from hosu.market.calendar import instant_us, sessions_between
from hosu.market.features import INDICATORS

DAYS = [day.isoformat() for day in sessions_between(date(2025, 9, 15), date(2026, 6, 1))]


def _midnight(day: str) -> int:
    return instant_us(date.fromisoformat(day), 0)


def _commit(lake: Lake, table: str, by_day: dict[str, list[dict[str, Any]]]) -> None:
    """Appends rows of many days in one commit."""
    held = lake.table(table)
    schema = held.spec.file_schema
    adds = []
    for day, rows in by_day.items():
        whole = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
        adds.append(held.store(day, sorted_name(uuid.uuid4().hex, 0), encode(held.spec, whole)))
    held.append(adds, {})


def calm_days(lake: Lake, days: list[str], symbols: tuple[str, ...], states: dict[tuple[str, str], str]) -> None:
    """Bars that rise by a tick a day, all certified but where ``states`` says otherwise of (symbol, day)."""
    fixed = {"scope": "KRX", "session_set": "regular", "source": "trades", "revision": 1}
    made: dict[str, list[dict[str, Any]]] = {}
    known: dict[str, list[dict[str, Any]]] = {}
    for place, day in enumerate(days):
        prices = dict.fromkeys(("open", "high", "low", "close"), 10_000.0 + 10 * place)
        bar = {**fixed, **prices, "ts": _midnight(day), "volume": 100 + place}
        made[day] = [{**bar, "symbol": symbol} for symbol in symbols]
        known[day] = [
            {"scope": "KRX", "symbol": symbol, "state": states.get((symbol, day), "certified"), "revision": 1}
            for symbol in symbols
        ]
    _commit(lake, "processed_ohlcv", made)
    _commit(lake, "coverage_days", known)


def _rows(lake: Lake, table: str, day: str, rows: list[dict[str, Any]]) -> None:
    schema = lake.spec(table).file_schema
    whole = [{name: row.get(name) for name in schema.names} for row in rows]
    replace_date(lake, table, day, pa.Table.from_pylist(whole, schema=schema))


def damaged(lake: Lake, table: str, day: str) -> str:
    """Overwrites the inside of the table's first file of that day; returns its path below the table."""
    held = lake.find(table)
    assert held is not None
    name = held.files(day)[0].path
    path = Path(lake.root) / held.path(name)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(len(whole) - 8) + whole[-4:])
    return name


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


def repaired_trades(lake: Lake, day: str, symbol: str) -> None:
    """A trade of the symbol's day that came over REST."""
    _rows(lake, "trades", day, [{"scope": "KRX", "symbol": symbol, "source": "rest", "price": 1.0, "size": 1}])


def polls(lake: Lake, day: str, *rows: tuple[Any, ...]) -> None:
    """(symbol, base price, what differs from a poll before the open) of the day's last poll."""
    fixed = {"scope": "KRX", "ts_recv": _midnight(day)}
    made = [
        {**fixed, "symbol": symbol, "base_price": base, **(more[0] if more else {})} for symbol, base, *more in rows
    ]
    _rows(lake, "snapshots", day, made)


# --- minutes and their events ----------------------------------------------------------------------------------------


def clock(day: str, text: str) -> int:
    """UTC microseconds of a time of the day in Seoul, ``HH:MM:SS``."""
    hours, minutes, seconds = map(int, text.split(":"))
    return instant_us(date.fromisoformat(day), hours * 3600 + minutes * 60 + seconds)


def minute_bars(lake: Lake, day: str, symbols: dict[str, dict[int, float]], **more: Any) -> None:
    """Bars of one price by symbol and the minute after nine; ``more`` differs from a bar made of trades."""
    made = []
    for symbol, prices in sorted(symbols.items()):
        for minute, price in sorted(prices.items()):
            fixed = dict.fromkeys(("open", "high", "low", "close"), price) | {"volume": 10, "value": 10 * price}
            ts = clock(day, "09:00:00") + minute * 60_000_000
            made.append({"symbol": symbol, "scope": "KRX", "session_set": "regular", "ts": ts, **fixed,
                         "source": "trades", "revision": 1, **more})  # fmt: skip
    _rows(lake, "processed_ohlcv_1m", day, made)


def _told(day: str, *rows: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    at = {"wal_id": "log", "record_no": 0, "scope": "KRX", "symbol": "A"}
    return {day: [{**at, "lsn": lsn, **row} for lsn, row in enumerate(rows)]}


def trades(lake: Lake, day: str, *rows: tuple[Any, ...]) -> None:
    """Adds trades: (HH:MM:SS, price, cum_volume, what differs from a streamed trade of A in session)."""
    made = []
    for when, price, cum, *more in rows:
        at = clock(day, when)
        made.append({"ts_event": at, "ts_recv": at + 300_000, "price": price, "size": 1, "cum_volume": cum,
                     "mkop_code": "20", "hour_code": "0", "source": "ws", **(more[0] if more else {})})  # fmt: skip
    _commit(lake, "trades", _told(day, *made))


def books(lake: Lake, day: str, *rows: tuple[Any, ...]) -> None:
    """Adds books: (HH:MM:SS, best ask, best bid, what differs from a book of A in session)."""
    made = []
    for when, ask, bid, *more in rows:
        at = clock(day, when)
        prices = {"ask_prices": [ask] + [0.0] * 9, "bid_prices": [bid] + [0.0] * 9}
        made.append({"ts_event": at, "ts_recv": at + 300_000, **prices, "hour_code": "0", **(more[0] if more else {})})
    _commit(lake, "quotes", _told(day, *made))


def polled_books(lake: Lake, day: str, *rows: tuple[Any, ...]) -> None:
    """Adds polls: (HH:MM:SS it came, best ask, best bid, what differs from a poll of A)."""
    made = [{"ts_recv": clock(day, when), "ask1": ask, "bid1": bid, **(more[0] if more else {})}
            for when, ask, bid, *more in rows]  # fmt: skip
    _commit(lake, "snapshots", _told(day, *made))


def matches(lake: Lake, day: str, *rows: tuple[str, str]) -> None:
    """Adds expected matches: (HH:MM:SS, symbol)."""
    made = [{"ts_event": clock(day, when), "symbol": symbol, "hour_code": "C"} for when, symbol in rows]
    _commit(lake, "expected", _told(day, *made))


def messages(lake: Lake, day: str, *rows: tuple[str, dict[str, Any]]) -> None:
    """Adds messages about the market's operation: (HH:MM:SS it came, what differs from an ordinary one about A)."""
    calm = {"halted": False, "vi_code": "N", "mkop_code": None}
    _commit(lake, "market_events", _told(day, *({"ts_recv": clock(day, when), **calm, **more} for when, more in rows)))


def served(lake: Lake, day: str, *rows: tuple[Any, ...], wal_id: str = "log") -> None:
    """Adds served minutes: (symbol, minute after nine, close, rsi, what differs from one with all indicators)."""
    made = []
    for symbol, minute, close, rsi, *more in rows:
        indicators = dict.fromkeys(INDICATORS, 1.0) | {"rsi": rsi}
        made.append({"symbol": symbol, "session_set": "regular", "ts": clock(day, "09:00:00") + minute * 60_000_000,
                     "close": close, "volume": 1, **indicators, "source": "trades", "kernel": kernel.VERSION,
                     "began": "new", "wal_id": wal_id, **(more[0] if more else {})})  # fmt: skip
    _commit(lake, "features_served_1m", _told(day, *made))
