"""A table's columns beside those that its version in the lake has: what is odd, and what is to be added."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hosu.errors import TableCorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from hosu.lake.tables import TableSpec


def check_columns(spec: TableSpec, found: pa.Schema, address: str) -> None:
    """Refuses a table with other columns than ours, or one of them twice; columns added since may be lacking.

    Raises:
        TableCorruptError: names those that are odd.
    """
    odd = sorted((set(found.names) ^ set(spec.schema.names)) - (spec.added - set(found.names)))
    if odd or len(found.names) != len(set(found.names)):
        raise TableCorruptError(spec.name, address, f"its columns are not those of this hosu: {', '.join(odd)}")


def lacking(spec: TableSpec, found: Iterable[str]) -> list[pa.Field]:
    """The columns added since the table was made that are not among those found, in the table's order."""
    missing = spec.added.difference(found)
    return [each for each in spec.schema if each.name in missing]
