"""Which symbols were followed on a date, as the ledger knows: of them a minute without a trade is one in which nothing
traded, of others one of which nothing is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hosu.lake.bar_sources import COVERAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hosu.features.lake_versions import Pinned
    from hosu.lake.sql import SqlConfig

    Followed = Mapping[int, frozenset[str]]
    """By date, yyyymmdd."""

_FOLLOWED: Final = """
-- Grain: date, symbol.
SELECT DISTINCT replace(date, '-', '')::BIGINT AS date, symbol FROM coverage WHERE scope = '{scope}' ORDER BY date
"""
_COUNTS: Final = "SELECT date, count(DISTINCT symbol) AS n FROM coverage WHERE scope = '{scope}' GROUP BY date"


def followed(
    held: Pinned,
    scope: str = "KRX",
    *,
    start: str | None = None,
    end: str | None = None,
    config: SqlConfig | None = None,
) -> dict[int, frozenset[str]]:
    """By date between two (``YYYY-MM-DD``, both included) the symbols that the ledger has a state of.

    Raises:
        TableCorruptError, QueryError, LakeFullError: a file is damaged; memory or disk do not suffice.
    """
    roles = {"coverage": COVERAGE}
    rows = held.query(_FOLLOWED.format(scope=scope), roles, start=start, end=end, config=config)
    days = rows.group_by("date").aggregate([("symbol", "list")])
    dates, symbols = (days.column(name).to_pylist() for name in ("date", "symbol_list"))
    return {date: frozenset(each) for date, each in zip(dates, symbols, strict=True)}


def followed_counts(held: Pinned, scope: str = "KRX", *, config: SqlConfig | None = None) -> dict[str, int]:
    """By date (``YYYY-MM-DD``) how many they are. The ledger only adds, so that others are more.

    Raises:
        TableCorruptError, QueryError, LakeFullError: as ``followed``.
    """
    rows = held.query(_COUNTS.format(scope=scope), {"coverage": COVERAGE}, config=config)
    return dict(zip(rows.column("date").to_pylist(), rows.column("n").to_pylist(), strict=True))
