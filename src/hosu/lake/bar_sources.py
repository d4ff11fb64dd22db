"""What the tables of bars are made of, as it is at one moment: which files of which tables, by date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from hosu.lake.tables import TABLES
from hosu.market.bars import DAILY, MINUTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hosu.lake.delta import DataFile, Table
    from hosu.lake.lake import Lake

MINUTE_BARS: Final = "processed_ohlcv_1m"
SECOND_BARS: Final = "processed_ohlcv_1s"
DAY_BARS: Final = "processed_ohlcv"
COVERAGE: Final = "coverage_days"
SOURCES: Final[dict[str, tuple[str, ...]]] = {
    MINUTE_BARS: ("trades", MINUTES, "snapshots", COVERAGE),
    DAY_BARS: ("trades", DAILY, "snapshots", COVERAGE),
    # Nobody else has bars of a second, and polls are further apart.
    SECOND_BARS: ("trades", COVERAGE),
}
"""What each table of bars is made of, by the names of tables; one that this lake does not know is passed over."""


_RULES: Final = {DAY_BARS: "/2"}
"""Of tables whose bars are made by other rules than before: they are all built again. 2: ``trades:closed``."""


def built_mark(date: str) -> str:
    """The application id under which a table of bars keeps when what a date was built from was looked up, UTC
    microseconds."""
    return f"hosu:built:{date}"


@dataclass(frozen=True, slots=True)
class BarSources:
    """The tables, opened once for any number of dates, with their files by date; the tables of bars among them."""

    tables: dict[str, tuple[Table, dict[str, list[DataFile]]]]

    @classmethod
    def open(cls, lake: Lake) -> Self:
        found = {}
        for name in dict.fromkeys([*SOURCES, *(source for sources in SOURCES.values() for source in sources)]):
            table = lake.find(name) if name in TABLES else None
            if table is not None:
                by_date: dict[str, list[DataFile]] = {}
                for file in table.files(bounds=name in SOURCES):
                    by_date.setdefault(file.date, []).append(file)
                found[name] = (table, by_date)
        return cls(found)

    def table(self, name: str) -> Table | None:
        """The table; None where the lake has none."""
        return self.tables[name][0] if name in self.tables else None

    def files(self, name: str, date: str) -> list[DataFile]:
        """Its files of a date."""
        return self.tables[name][1].get(date, []) if name in self.tables else []

    def revision(self, name: str, date: str) -> int:
        """The revision that a table of bars has of a date; 0 without one."""
        return max((int(file.greatest.get("revision", 0)) for file in self.files(name, date)), default=0)

    def marks(self, name: str, date: str) -> dict[str, int]:
        """Under which application ids the bars of a date keep how many rows of each source they were made from."""
        counts = {source: sum(file.rows for file in self.files(source, date)) for source in SOURCES[name]}
        rules = _RULES.get(name, "")
        return {f"hosu:{source}{rules}:{date}": count for source, count in counts.items() if count}

    def stale(self, *, seconds: bool) -> dict[str, list[str]]:
        """The dates of which a source has changed since the bars were made, and which tables of bars that touches.

        Args:
            seconds: bars of a second of every date; else of the dates that have some.
        """
        stale: dict[str, list[str]] = {}
        for name in SOURCES:
            for date in self._dates(name, seconds=seconds):
                if self.has_changed(name, date):
                    stale.setdefault(date, []).append(name)
        return dict(sorted(stale.items()))

    def has_changed(self, name: str, date: str) -> bool:
        """Whether a source of a date has changed since the table's bars of it were made, if they ever were."""
        table = self.table(name)
        return table is None or any(table.covered(mark) != count for mark, count in self.marks(name, date).items())

    def touched(self, date: str, *, seconds: bool) -> list[str]:
        """The tables of bars that are made of a date, its bars of a second as in ``stale``."""
        return [name for name in SOURCES if name != SECOND_BARS or seconds or self.files(name, date)]

    def _dates(self, name: str, *, seconds: bool) -> Iterator[str]:
        sources = [self.tables[source][1] for source in SOURCES[name] if source in self.tables]
        for date in sorted({date for by_date in sources for date in by_date}):
            if name in self.touched(date, seconds=seconds):
                yield date
