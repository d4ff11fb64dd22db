"""The calendar beside exchange_calendars and beside real trading days. Every disagreement is written out."""

import warnings
from datetime import date, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from hosu.market.calendar import overrides, sessions_between, sessions_on

CLOSED_BUT_LISTED = {
    date(2026, 6, 3): "local elections; exchange_calendars 4.13.2 was made before",
    date(2026, 7, 17): "Constitution Day is a public holiday again by the law of 2026-02-10",
    date(2027, 5, 3): "Labour Day is a public holiday from 2026 and has a substitute",
    date(2027, 7, 19): "Constitution Day's substitute",
}

LATE_BUT_NOT_LISTED = {
    date(2021, 11, 18): "exam day; its list of them ends in 2020",
    date(2022, 11, 17): "exam day",
    date(2023, 11, 16): "exam day",
    date(2024, 11, 14): "exam day",
    date(2025, 11, 13): "exam day; real one-minute bars begin at 10:00",
    date(2026, 11, 19): "exam day",
    date(2027, 11, 18): "exam day",
}


@pytest.mark.slow
def test_days_and_hours_agree_with_exchange_calendars_but_for_those_listed() -> None:
    peer = pytest.importorskip("exchange_calendars", reason="dependency group calendar is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exchange_calendars 4.13.2 uses what pandas 3.1 calls deprecated
        xkrx = peer.get_calendar("XKRX", start="2010-01-01", end="2027-12-31")
    theirs = {
        session.date(): (
            row["open"].tz_convert("Asia/Seoul").strftime("%H:%M"),
            row["close"].tz_convert("Asia/Seoul").strftime("%H:%M"),
        )
        for session, row in xkrx.schedule.iterrows()
    }
    ours = {}
    for day in sessions_between(date(2010, 1, 1), date(2028, 1, 1)):
        plan = sessions_on(day)
        ours[day] = tuple(f"{at // 3600:02d}:{at % 3600 // 60:02d}" for at in (plan.open_s, plan.close_s))
    assert set(theirs) - set(ours) == set(CLOSED_BUT_LISTED)
    assert set(ours) - set(theirs) == set()
    other_hours = {day for day, hours in ours.items() if theirs[day] != hours}
    assert other_hours == set(LATE_BUT_NOT_LISTED)
    assert other_hours <= set(overrides())


@pytest.mark.shared
@pytest.mark.parametrize(
    ("file", "first", "last"),
    [
        ("krx_daily_long_34/krx_daily_34symbols_1990_2023.parquet", date(2010, 1, 1), date(2023, 12, 28)),
        ("krx_daily_2023_2025/krx_daily_ohlcv_20231205_20250616.parquet", date(2023, 12, 5), date(2025, 6, 16)),
        ("krx_1m_bars/krx_1m_2025-09.parquet", date(2025, 9, 1), date(2025, 9, 30)),
    ],
)
def test_the_days_are_those_on_which_real_symbols_traded(shared: Path, file: str, first: date, last: date) -> None:
    days = pc.unique(pq.read_table(shared / file, columns=["date"])["date"]).to_pylist()
    traded = {day for day in days if first <= day <= last}
    assert traded == set(sessions_between(first, last + timedelta(days=1)))
