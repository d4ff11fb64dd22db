"""A hole in a symbol's day, as the ledger finds it and the repairer takes it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from hosu.market.ledger import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

JUDGED: Final = "judged-"
"""Begins the name under which is kept what ``certify`` has found in the lake, by date: to logs it is one more log."""
_TIMES: Final = ("before_ts", "after_ts", "before_recv", "after_recv")


@dataclass(frozen=True, slots=True)
class Gap:
    """The shares ``from_volume <= n < to_volume`` of a symbol's day that no trade accounts for.

    ``value`` is in won. ``trades`` counts at least so many. Both are None where nothing tells them. The times are UTC
    microseconds of the trades on both sides, None at the day's begin and end; ``after_recv`` of a hole at the end is
    when its witness was received.
    """

    date: str
    scope: str
    symbol: str
    from_volume: int
    to_volume: int
    value: int | None = None
    trades: int | None = None
    before_ts: int | None = None
    after_ts: int | None = None
    before_recv: int | None = None
    after_recv: int | None = None
    cause: str = Cause.UNKNOWN
    detail: str = ""
    revision: int = 1
    open: bool = True
    wal_id: str = ""
    lsn: int = -1

    @property
    def shares(self) -> int:
        return self.to_volume - self.from_volume

    @property
    def series(self) -> tuple[str, str, str]:
        """(date, scope, symbol)."""
        return self.date, self.scope, self.symbol

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What names it, whatever its revision."""
        return *self.series, self.from_volume, self.to_volume

    def row(self) -> dict[str, Any]:
        """As a row of ``market.ledger.GAPS``, times as microseconds."""
        return {**asdict(self), "shares": self.shares}

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Gap:
        """From a row of the table ``gaps``, times as microseconds or datetimes."""
        values: dict[str, Any] = {
            field.name: row[field.name] for field in fields(cls) if row.get(field.name) is not None
        }
        return cls(**{name: _us(value) if name in _TIMES else value for name, value in values.items()})


def _us(value: Any) -> Any:
    return round(value.timestamp() * 1e6) if isinstance(value, datetime) else value
