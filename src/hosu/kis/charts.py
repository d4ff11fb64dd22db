"""Rows of the tables of external bars from logged chart replies; pure.

The broker counts value up through the day, so a minute's own value is the difference to the minute before. The oldest
row of a full page has none before it and is left out: whoever pages lets pages overlap by one row.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from hosu.kis.replies import DailyBar, MinuteBar, read_body, rows_of
from hosu.kis.snapshots import SCOPES
from hosu.market.bars import DAILY, MINUTES
from hosu.market.calendar import instant_us

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

DAILY_CHART_TR: Final = "FHKST03010100"
MINUTE_CHART_TR: Final = "FHKST03010200"
DATED_MINUTE_CHART_TR: Final = "FHKST03010230"
MINUTE_ROWS: Final[dict[str, int]] = {MINUTE_CHART_TR: 30, DATED_MINUTE_CHART_TR: 120}
"""Rows one reply holds at most; fewer mean that the day begins there."""
CHART_TRS: Final = frozenset({DAILY_CHART_TR, *MINUTE_ROWS})

_DAY: Final = re.compile(r"\d{8}")
_EX_CODE: Final = re.compile(r"[0-9]{2}")
_MINUTE: Final = re.compile(r"([01]\d|2[0-3])[0-5]\d00")


@dataclass(frozen=True, slots=True)
class ChartBars:
    """The bars of one reply, oldest first, for ``table``; ``unreadable`` rows have a date but no sense."""

    table: str
    rows: list[dict[str, Any]]
    unreadable: int


def chart_bars(tr_id: str, params: Mapping[str, str], body: str) -> ChartBars | None:
    """The bars in the reply of a chart call; None for other calls, errors, and periods other than days.

    Symbol, scope, and whether prices are adjusted come from the request's parameters (any case). Of minutes the
    broker does not say; they are taken for original prices (assumed).

    Raises:
        FrameError: the body is no JSON object.
    """
    if tr_id not in CHART_TRS:
        return None
    message = read_body(body)
    asked = {name.upper(): value.strip() for name, value in params.items()}
    if str(message.get("rt_cd", "0")).strip() != "0" or asked.get("FID_PERIOD_DIV_CODE", "D") != "D":
        return None
    origin = {
        "symbol": asked.get("FID_INPUT_ISCD"),
        "scope": SCOPES.get(asked.get("FID_COND_MRKT_DIV_CODE", "")),
        # 0 means adjusted here and original in inquire-daily-price.
        "adjusted": tr_id == DAILY_CHART_TR and asked.get("FID_ORG_ADJ_PRC") == "0",
        "source": f"kis:{tr_id}",
    }
    replied = rows_of(message, "output2")
    if tr_id == DAILY_CHART_TR:
        found = _days([DailyBar.read(row) for row in replied], asked)
        return ChartBars(DAILY, [{**origin, **row} for row in found if row], found.count(None))
    minutes = _minutes([MinuteBar.read(row) for row in replied], asked, MINUTE_ROWS[tr_id])
    return ChartBars(MINUTES, [{**origin, **row} for row in minutes if row], minutes.count(None))


def _days(bars: Sequence[DailyBar], asked: Mapping[str, str]) -> list[dict[str, Any] | None]:
    first, last = asked.get("FID_INPUT_DATE_1", ""), asked.get("FID_INPUT_DATE_2", "")
    wanted = sorted((bar for bar in bars if bar.date and first <= bar.date <= last), key=lambda bar: bar.date or "")
    return [_with_events(_row(bar.date, "000000", bar, bar.value), bar) for bar in wanted]


def _with_events(row: dict[str, Any] | None, bar: DailyBar) -> dict[str, Any] | None:
    """The row with what the broker says of corporate actions; what makes no sense is not told."""
    if row is None:
        return None
    code, ratio = bar.ex_code or "", bar.split_rate
    told = ratio if ratio is not None and 0 <= ratio < math.inf else None
    return {**row, "ex_code": code if _EX_CODE.fullmatch(code) else None, "split_ratio": told}


def _minutes(bars: Sequence[MinuteBar], asked: Mapping[str, str], page: int) -> list[dict[str, Any] | None]:
    day = asked.get("FID_INPUT_DATE_1") or max((bar.date for bar in bars if bar.date), default="")
    mine = sorted((bar for bar in bars if bar.date == day), key=lambda bar: bar.time or "")
    if not mine:
        return []
    begins_the_day = len(bars) < page or len(mine) < len(bars)  # else what came before it is on the next page
    first = [_row(day, mine[0].time, mine[0], mine[0].day_value)] if begins_the_day else []
    return [*first, *_later(mine)]


def _later(bars: Sequence[MinuteBar]) -> Iterator[dict[str, Any] | None]:
    for before, bar in pairwise(bars):
        value = None
        if bar.day_value is not None and before.day_value is not None:
            value = bar.day_value - before.day_value
        row = _row(bar.date, bar.time, bar, value)
        # The newest row repeats the volume of the minute before until its own minute has traded.
        if row is not None and bar is bars[-1] and value == 0 and bar.volume == before.volume:
            row["volume"] = 0
        yield row


def _row(day: str | None, time: str | None, bar: DailyBar | MinuteBar, value: int | None) -> dict[str, Any] | None:
    on = _date(day)
    prices = (bar.open, bar.high, bar.low, bar.close)
    if on is None or time is None or None in prices or bar.volume is None:
        return None
    if _MINUTE.fullmatch(time) is None or bar.volume < 0:
        return None
    second = int(time[:2]) * 3600 + int(time[2:4]) * 60
    return {
        "date": on.isoformat(),
        "ts": instant_us(on, second),
        **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
        "volume": bar.volume,
        "value": float(value) if value is not None and value >= 0 else None,
    }


def _date(text: str | None) -> date | None:
    if text is None or _DAY.fullmatch(text) is None:
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None
