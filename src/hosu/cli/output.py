"""How commands speak: data to stdout as a table or JSON, everything else to stderr."""

from __future__ import annotations

import base64
import json
import math
import sys
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from rich.console import Console
    from rich.progress import Progress
    from rich.table import Table


_UNBOUNDED = 10_000
"""Columns of an output that is read by a program or a file, where folding would only get in the way."""


class Format(StrEnum):
    """How data is printed."""

    table = "table"
    json = "json"


def note(text: str) -> None:
    """A line for the person at the terminal; stdout stays for data."""
    print(text, file=sys.stderr, flush=True)


def emit_json(value: object) -> None:
    """One JSON document and a newline on stdout."""
    print(_json(value), flush=True)


def _json(value: object) -> str:
    """JSON for any reader: what is not finite is null, since JSON knows no NaN, the keys of a map are text, and half a
    surrogate pair, which UTF-8 cannot hold, is escaped."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except (ValueError, TypeError):
        text = json.dumps(_finite(value), ensure_ascii=False, default=_plain)
    return text.encode(errors="backslashreplace").decode()


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_key(key): _finite(inner) for key, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _key(key: object) -> str:
    """A key of a map as JSON can have it."""
    if isinstance(key, bool | float | int):
        return json.dumps(key)
    return key if isinstance(key, str) else str(_plain(key))


def emit_rows(rows: Iterable[Mapping[str, Any]], format_: Format, *, columns: Sequence[str] | None = None) -> None:
    """Rows on stdout: one JSON array, or a table with the columns of the first row (or ``columns``).

    Where the terminal is too narrow for a table without breaking words, each row is a block of lines.
    """
    listed = list(rows)
    if format_ is Format.json:
        emit_json(listed)
        return
    names = list(columns or (listed[0].keys() if listed else ()))
    cells = [[cell(row.get(name)) for name in names] for row in listed]
    numeric = {name for name in names if any(isinstance(row.get(name), int | float | Decimal) for row in listed)}
    console = stdout()
    room = console.width - 3 * (len(names) - 1)
    least = [_least(name, (row[place] for row in cells)) for place, name in enumerate(names)]
    whole = [max(width, len(name)) for name, width in zip(names, least, strict=True)]
    if listed and sum(least) > room:
        for record in _records(names, cells):
            console.print(record)
    else:
        console.print(_table(names, cells, numeric, whole if sum(whole) <= room else least))


def _table(names: Sequence[str], cells: Sequence[Sequence[str]], numeric: set[str], least: Sequence[int]) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", show_edge=False, pad_edge=False)
    for name, width in zip(names, least, strict=True):
        table.add_column(
            "\n".join(_parts(name)) if len(name) > width else cell(name),
            justify="right" if name in numeric else "left",
            overflow="fold",
            min_width=width,
        )
    for row in cells:
        table.add_row(*row)
    return table


def _records(names: Sequence[str], cells: Sequence[Sequence[str]]) -> Iterator[Table]:
    """A block of lines for each row: what too many columns for the terminal leave readable, and whole to copy."""
    from rich.table import Table

    for number, row in enumerate(cells, 1):
        record = Table(f"row {number:,}", "", header_style="bold", show_edge=False, pad_edge=False)
        record.columns[0].no_wrap = True
        record.columns[1].overflow = "fold"
        for name, value in zip(names, row, strict=True):
            record.add_row(cell(name), value)
        yield record


def _least(name: str, values: Iterable[str]) -> int:
    """Columns below which a word of the values, or a part of the name, would have to be broken."""
    from rich.cells import cell_len

    words = (word for value in values for word in value.split())
    return max(map(cell_len, (*_parts(name), *words)), default=1)


def _parts(name: str) -> list[str]:
    """Where the name of a column may be broken: after an underscore."""
    return cell(name).replace("_", "_\n").split("\n")


class Batches(Protocol):
    """Rows in batches, and their columns; a ``pyarrow.RecordBatchReader`` is one."""

    @property
    def schema(self) -> pa.Schema: ...

    def __iter__(self) -> Iterator[pa.RecordBatch]: ...


def emit_reader(reader: Batches, format_: Format, *, most: int = 10_000) -> None:
    """The batches of a query as they come, so that memory does not grow with the result.

    JSON has no bound; a table shows the first ``most`` rows and says on stderr that there are more.
    """
    if format_ is Format.json:
        _emit_json_array(row for batch in reader for row in _rows(batch))
        return
    rows: list[dict[str, Any]] = []
    more = False
    for batch in reader:
        rows += _rows(batch.slice(0, most - len(rows)))
        if more := len(rows) == most:
            break
    emit_rows(rows, format_, columns=reader.schema.names)
    if more:
        note(f"the first {most:,} rows are shown; LIMIT the query, or print all with --format json")


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    try:
        return _with_maps(batch)
    except (OverflowError, ValueError):  # a date beyond the year 9999 or before 1: SQL knows it, Python does not
        return _with_maps(_as_text(batch))


def _with_maps(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    columns = [_column(column) for column in batch.columns]
    return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


def _column(column: pa.Array) -> list[Any]:
    """The values, a map as an object; one whose keys are lists or objects themselves stays a list of pairs."""
    try:
        values: list[Any] = column.to_pylist(maps_as_pydicts="lossy")
    except TypeError:
        values = column.to_pylist()
    return values


def _as_text(batch: pa.RecordBatch) -> pa.RecordBatch:
    import pyarrow as pa

    def fitting(column: pa.Array) -> pa.Array:
        named = pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type)
        return column.cast(pa.string()) if named else column

    columns = [fitting(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _emit_json_array(rows: Iterable[Mapping[str, Any]]) -> None:
    separator = "["
    for row in rows:
        sys.stdout.write(separator + _json(row))
        separator = ",\n"
    sys.stdout.write("[]\n" if separator == "[" else "]\n")
    sys.stdout.flush()


def stdout() -> Console:
    """Console for data: as wide as the terminal, or as the data where stdout is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _UNBOUNDED, highlight=False, markup=False)


def stderr() -> Console:
    """Console for everything that is not data."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def progress() -> Progress:
    """A progress bar on stderr, drawn only where stderr is a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=stderr(),
        disable=not sys.stderr.isatty(),
        transient=True,
    )


@contextmanager
def counting(what: str) -> Iterator[Callable[[str], None]]:
    """A bar without an end that shows what is worked on now: call what it gives with that."""
    with progress() as shown:
        task = shown.add_task(what, total=None)
        yield lambda now: shown.update(task, description=f"{what}: {now}", advance=1)


def size(count: float) -> str:
    """Bytes for people: 1,536 -> 1.5 KiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:,.0f} B" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1024
    raise AssertionError  # the loop returns at its last unit


def counted(count: int, thing: str) -> str:
    """So many of a thing: 1 commit, 1,536 commits."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


def cell(value: object) -> str:
    """A value as a table shows it: digits in groups of three, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.6f}".rstrip("0").rstrip(".")
    if isinstance(value, int | Decimal):
        return f"{value:,}"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dict | list):
        return _json(value)
    # What is stored came from outside, and may hold what steers a terminal.
    return "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in str(value))


def _plain(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return base64.b64encode(value).decode()
    return str(value)
