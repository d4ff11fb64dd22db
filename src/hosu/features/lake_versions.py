"""Tables of a lake held at one version each, so that what is read of them can be read again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from hosu.lake.delta import Table
from hosu.lake.sql import SqlConfig, combine
from hosu.lake.tables import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from hosu.lake.delta import DataFile
    from hosu.lake.lake import Lake

ABSENT: Final = -1
"""The version of a table that the lake does not have."""
_NO_END: Final = "9999"


@dataclass(frozen=True, slots=True)
class Pinned:
    """Some tables of a lake; ``versions`` says at which version each is held, ``ABSENT`` where there is none. Of
    ``last`` (``YYYY-MM-DD``) and before, whatever is asked for; None: of all dates."""

    lake: Lake
    versions: dict[str, int]
    tables: dict[str, Table]
    last: str | None = None

    @classmethod
    def now(cls, lake: Lake, names: Iterable[str]) -> Self:
        """The tables as they are."""
        found = {name: lake.find(name) for name in names}
        versions = {name: ABSENT if table is None else table.version for name, table in found.items()}
        return cls(lake, versions, {name: table for name, table in found.items() if table is not None})

    @classmethod
    def at(cls, lake: Lake, versions: Mapping[str, int], now: Iterable[str] = ()) -> Self:
        """The tables as they were, and those called ``now`` as they are.

        Raises:
            VersionGoneError: a version cannot be read any more.
        """
        tables = {
            name: Table.at(lake.storage, lake.spec(name), version)
            for name, version in versions.items()
            if version != ABSENT
        }
        present = cls.now(lake, now)
        return cls(lake, {**present.versions, **versions}, {**present.tables, **tables})

    def until(self, last: str | None) -> Self:
        """The same as if there were nothing behind a date; None: all there is."""
        return self if last is None else replace(self, last=last)

    def dates(self, name: str) -> list[str]:
        """The dates of which the table has rows, oldest first."""
        known = self.tables[name].dates() if name in self.tables else []
        return [date for date in known if date <= (self.last or _NO_END)]

    def query(
        self,
        sql: str,
        roles: Mapping[str, str],
        *,
        start: str | None = None,
        end: str | None = None,
        beside: Mapping[str, pa.Table] | None = None,
        config: SqlConfig | None = None,
    ) -> pa.Table:
        """The result of a query over these tables.

        Args:
            sql: our own.
            roles: what the query calls a table, and the table's name.
            start: the first date (``YYYY-MM-DD``) of which files are read; None: from the oldest.
            end: the last; None: to the newest.
            beside: further tables in memory.
            config: what DuckDB may take.

        Raises:
            TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
        """
        files: dict[str, tuple[Table, list[DataFile]]] = {}
        empty = dict(beside or {})
        for role, name in roles.items():
            if name in self.tables:
                files[role] = (self.tables[name], self._files(name, start, end))
            else:
                empty[role] = TABLES[name].schema.empty_table()
        return combine(self.lake.storage, sql, files=files, beside=empty, config=config or SqlConfig())

    def _files(self, name: str, start: str | None, end: str | None) -> list[DataFile]:
        last = min(end or _NO_END, self.last or _NO_END)
        chosen = (file for file in self.tables[name].files() if (start or "") <= file.date <= last)
        return sorted(chosen, key=lambda file: file.path)
