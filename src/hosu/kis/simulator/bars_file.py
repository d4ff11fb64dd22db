"""Reads one day of minute bars from a Parquet file: date, code, time (HHMMSS), open, high, low, close, volume, amount.

Prices and amounts are whole won. ``time`` is the start of the minute, KST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hosu.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from hosu.kis.records import Ints

_NUMBERS: Final = ("time", "open", "high", "low", "close", "volume", "amount")
_COLUMNS: Final = ("date", "code", *_NUMBERS)
_HIGHEST: Final = 100_000_000  # won; a dearer share has never been listed
_MOST: Final = 10**11  # shares a minute; beyond it sums would leave int64


def read_bars(path: Path, day: date, symbols: Sequence[str] | None) -> tuple[list[str], dict[str, Ints]]:
    """The codes, sorted, and the day's bars by time and code: one array a column, and ``symbol``, the code's place.

    Raises:
        InputError: no such file, not Parquet, columns missing or not whole numbers, no bars of that day or of a
            symbol asked for, a bar that contradicts itself or comes twice.
    """
    table = _rows(path, day, symbols)
    codes = pc.unique(table["code"]).sort()
    bars = {name: _integers(table, name, path) for name in _NUMBERS}
    bars["symbol"] = pc.index_in(table["code"], codes).combine_chunks().to_numpy().astype(np.int64)
    order = np.lexsort((bars["symbol"], bars["time"]))
    bars = {name: np.ascontiguousarray(values[order]) for name, values in bars.items()}
    _check(path, codes.to_pylist(), bars)
    return codes.to_pylist(), bars


def closes_before(path: Path, day: date, codes: Sequence[str]) -> dict[str, int]:
    """The last close of each of these codes that the file has of days before; without those of which it has none.

    The file's days before are not checked: what is no price there is passed over.
    """
    columns = ["date", "code", "time", "close"]
    before = pc.field("date") < pa.scalar(day).cast(pq.read_schema(path).field("date").type)
    rows = pq.read_table(path, columns=columns, filters=before & (pc.field("close") > 0))
    rows = rows.set_column(1, "code", rows["code"].cast(pa.string()))
    rows = rows.filter(pc.and_(pc.is_in(rows["code"], pa.array(codes)), pc.less_equal(rows["close"], _HIGHEST)))
    ordered = rows.sort_by([(name, "ascending") for name in ("code", "date", "time")])
    last = ordered.group_by("code", use_threads=False).aggregate([("close", "last")])
    return dict(zip(last["code"].to_pylist(), last["close_last"].cast(pa.int64()).to_pylist(), strict=True))


def _rows(path: Path, day: date, symbols: Sequence[str] | None) -> pa.Table:
    try:
        schema = pq.read_schema(path)
        missing = [name for name in _COLUMNS if name not in schema.names]
        if missing:
            fault = f"has no column {', '.join(missing)}"
            raise InputError(str(path), fault, f"give a Parquet file with {', '.join(_COLUMNS)}")
        wanted = pc.field("date") == pa.scalar(day).cast(schema.field("date").type)
        if symbols is not None:
            wanted &= pc.field("code").isin(list(symbols))
        table = pq.read_table(path, columns=list(_COLUMNS), filters=wanted)
    except FileNotFoundError:
        raise InputError(str(path), "there is no such file", "name a Parquet file of minute bars") from None
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(path), f"cannot be read as minute bars ({error})", "give a Parquet file of bars") from None
    if not _is_text(table.schema.field("code").type):
        kind = f"column code is {table.schema.field('code').type}"
        raise InputError(str(path), kind, "give short codes as text, like 005930")
    # Of pandas' categories comes a dictionary, which looks like text and compares with none.
    table = table.set_column(table.schema.get_field_index("code"), "code", table["code"].cast(pa.string()))
    _check_there(path, table, day, symbols)
    return table


def _is_text(kind: pa.DataType) -> bool:
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(plain) or pa.types.is_large_string(plain))


def _check_there(path: Path, table: pa.Table, day: date, symbols: Sequence[str] | None) -> None:
    if table.num_rows == 0:
        raise InputError(str(path), f"has no bars of {day}", "choose a date and symbols that are in the file")
    there = set(table["code"].to_pylist())
    if None in there:
        raise InputError(str(path), f"has a bar of {day} without a code", "correct or remove the row")
    absent = sorted(set(symbols or ()) - there)
    if absent:
        raise InputError(str(path), f"has no bars of {', '.join(absent)} on {day}", "leave them out of the symbols")


def _integers(table: pa.Table, name: str, path: Path) -> Ints:
    column = table[name].combine_chunks()
    if column.null_count or not pa.types.is_integer(column.type):
        fault = f"column {name} is {column.type} with {column.null_count} empty values"
        raise InputError(str(path), fault, "give whole numbers in every row")
    values: Ints = column.to_numpy(zero_copy_only=False).astype(np.int64)
    return values


def _check(path: Path, codes: list[str], bars: dict[str, Ints]) -> None:
    o, h, l, c = (bars[name] for name in ("open", "high", "low", "close"))  # noqa: E741
    seconds, minutes = bars["time"] % 100, bars["time"] // 100 % 100
    faults = {
        "its low, open, close and high are not in order": (l > o) | (l > c) | (o > h) | (c > h),
        "a price is not positive or beyond reason": (l <= 0) | (h > _HIGHEST),
        "its volume or amount is negative or beyond reason": (bars["volume"] < 0)
        | (bars["volume"] > _MOST)
        | (bars["amount"] < 0),
        "its time is not HHMM00": (seconds != 0) | (minutes > 59) | (bars["time"] < 0) | (bars["time"] >= 240000),
        "it comes twice": np.append((np.diff(bars["time"]) == 0) & (np.diff(bars["symbol"]) == 0), False),
    }
    for fault, rows in faults.items():
        if rows.any():
            _refuse(path, codes, bars, int(np.flatnonzero(rows)[0]), fault)


def _refuse(path: Path, codes: list[str], bars: dict[str, Ints], i: int, fault: str) -> NoReturn:
    bar = ", ".join(f"{name} {bars[name][i]}" for name in _NUMBERS)
    raise InputError(str(path), f"the bar of {codes[bars['symbol'][i]]} ({bar}): {fault}", "correct or remove the row")
