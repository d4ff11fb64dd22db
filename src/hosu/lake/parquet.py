"""Data files in our encodings, and the statistics that go with them into the Delta log.

Strings, and the prices of a book, are dictionaries. What counts up (times, log numbers, cumulative volume) is
delta-encoded to a few bits. Prices and sizes stay plain: a book repeats most of its levels from one update to the
next, and zstd finds whole bytes repeated where packed bits would hide it. Byte-stream split is hardly smaller, and
many versions of Spark cannot read it, so it is not used.
Each page carries a checksum, which ``check`` verifies.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.lake.tables import TableSpec


@dataclass(frozen=True, slots=True)
class Encoded:
    """A finished data file in memory. ``statistics`` is the JSON of a Delta add action."""

    data: pa.Buffer
    rows: int
    statistics: str


def live_name() -> str:
    """A new name for a file of rows in the order they arrived."""
    return f"live-{uuid.uuid4().hex}.parquet"


def sorted_name(run: str, number: int) -> str:
    """The name of file ``number`` of a run: all files of one run, in this order, are sorted as a whole."""
    return f"sorted-{run}-{number:05d}.parquet"


def run_of(path: str) -> str | None:
    """The run a data file belongs to, or None where its rows lie in the order they arrived."""
    name = path.rpartition("/")[2]
    return name.split("-")[1] if name.startswith("sorted-") else None


def encode(spec: TableSpec, table: pa.Table, *, level: int = 1) -> Encoded:
    """``table`` (the columns of ``spec.file_schema``, strings plain or dictionary) as one data file."""
    writer = FileWriter(spec, table.schema, level=level)
    writer.write(table)
    return writer.finish()


class FileWriter:
    """Writes one data file in memory, row group by row group."""

    def __init__(self, spec: TableSpec, schema: pa.Schema, *, level: int = 1) -> None:
        self._spec = spec
        self._sink = pa.BufferOutputStream()
        self._metadata: list[pq.FileMetaData] = []
        self._writer = pq.ParquetWriter(self._sink, schema, metadata_collector=self._metadata, **_options(spec, level))

    @property
    def size(self) -> int:
        """Bytes of the row groups written so far."""
        return int(self._sink.tell())

    def write(self, table: pa.Table) -> None:
        """Appends ``table`` as one or more row groups."""
        self._writer.write_table(table, row_group_size=self._spec.row_group_rows)

    def finish(self) -> Encoded:
        """The finished file."""
        self._writer.close()
        metadata = self._metadata[0]
        return Encoded(self._sink.getvalue(), metadata.num_rows, json.dumps(statistics(self._spec, metadata)))


def _options(spec: TableSpec, level: int) -> dict[str, Any]:
    leaves = list(_leaves(spec.file_schema))
    plain = {path for column, path, _ in leaves if column in spec.plain}
    return {
        "use_dictionary": [path for _, path, kind in leaves if _as_dictionary(path, kind)],
        "column_encoding": {
            path: "DELTA_BINARY_PACKED" for _, path, kind in leaves if _counts(kind) and path not in plain
        },
        "compression": "zstd",
        # Of repeats in plain integers zstd's fastest matcher finds more than the next ones.
        "compression_level": {path: 1 if path in plain else level for _, path, _ in leaves},
        # Without the Arrow schema readers see plain strings, whatever they were in our memory.
        "store_schema": False,
        "write_page_checksum": True,
        "dictionary_pagesize_limit": 4 * 1024 * 1024,
    }


def _leaves(schema: pa.Schema) -> Iterator[tuple[str, str, pa.DataType]]:
    for field in schema:
        if pa.types.is_list(field.type):
            yield field.name, f"{field.name}.list.element", field.type.value_type
        else:
            yield field.name, field.name, field.type


def _as_dictionary(path: str, kind: pa.DataType) -> bool:
    in_list = path.endswith(".element")
    return bool(pa.types.is_string(kind) or (in_list and pa.types.is_floating(kind)))


def _counts(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_timestamp(kind))


def statistics(spec: TableSpec, metadata: pq.FileMetaData) -> dict[str, Any]:
    """Row count, and of ``spec.statistics`` the least, the greatest and the number of nulls, as Delta writes them."""
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    index = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    for name in spec.statistics:
        if name not in index:
            continue
        chunks = [metadata.row_group(group).column(index[name]).statistics for group in range(metadata.num_row_groups)]
        if any(chunk is None or chunk.null_count is None for chunk in chunks):
            continue
        nulls[name] = sum(chunk.null_count for chunk in chunks)
        bounded = [chunk for chunk in chunks if chunk.has_min_max]
        if bounded:
            least[name] = _json_value(min(chunk.min for chunk in bounded))
            greatest[name] = _json_value(max(chunk.max for chunk in bounded))
    return {"numRecords": metadata.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}


def _json_value(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return value


def check(source: Any, *, deep: bool) -> int:
    """The number of rows a data file (path or buffer) says it has; ``deep`` reads every page and its checksum.

    Raises:
        OSError: the footer or a page is damaged (pyarrow's errors are OSErrors).
    """
    with pq.ParquetFile(source, page_checksum_verification=deep) as file:
        if deep:
            for group in range(file.num_row_groups):
                file.read_row_group(group)
        return int(file.metadata.num_rows)
