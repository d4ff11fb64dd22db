"""The market's time as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Final

_KST: Final = timezone(timedelta(hours=9), "KST")


def market_time_text(ts_us: int) -> str:
    """YYYYMMDDHHMMSS in KST of UTC microseconds, as the broker writes it."""
    return f"{datetime.fromtimestamp(ts_us / 1e6, UTC).astimezone(_KST):%Y%m%d%H%M%S}"


def market_iso(ts_us: int) -> str:
    """ISO 8601 in KST, to the millisecond, of UTC microseconds."""
    return datetime.fromtimestamp(ts_us / 1e6, UTC).astimezone(_KST).isoformat(timespec="milliseconds")
