"""Before a session: minutes that were only polled make way for the broker's own, as far as there is time for it.

A symbol without a slot has bars of polls, whose prices are samples. The broker gives the minutes of past days (to live
accounts, for a year), and a worse source never overwrites a better one, so asking is all there is to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import TYPE_CHECKING, Final

from hosu.cli.output import note

if TYPE_CHECKING:
    from hosu.cli.backfill_run import Broker
    from hosu.cli.repair_station import Means
    from hosu.collect.backfill import BackfillReport
    from hosu.collect.backfill_plan import Plan
    from hosu.collect.backfill_progress import Progress
    from hosu.lake.lake import Lake

_SESSIONS_BACK: Final = 5
"""Sessions looked at: what a short morning had no time for is asked for on the next ones."""
_SPARE_S: Final = 120.0
"""Left before the session, to build the bars in and to begin."""
_POLLED: Final = """
-- Symbols of which a date has minutes made of polls. Grain: date, symbol.
SELECT DISTINCT date, symbol FROM processed_ohlcv_1m
WHERE starts_with(source, 'poll') AND scope = 'KRX' AND date >= '{first}' AND date < '{day}' ORDER BY date DESC, symbol
"""


def replace_polled_minutes(means: Means, day: dt.date, within_s: float) -> BackfillReport | None:
    """Asks for the minutes of the last sessions before ``day`` that were only polled, and builds their bars; None where
    there is nothing to ask, nobody to be asked, or no time.

    Args:
        means: whom to ask, with whose key.
        day: the session that is to come.
        within_s: seconds until it begins; asked for is until shortly before.

    Raises:
        LockedError: a backfill runs beside it.
        LogError, LakeError: what was received is safe in the log, and the next run goes on from it.
    """
    from hosu.cli.backfill_ask import build_bars, progress_file
    from hosu.cli.backfill_run import run
    from hosu.clock import SystemClock
    from hosu.collect.backfill_progress import Progress

    time_s = within_s - _SPARE_S
    polled = _polled(means.lake, day) if means.host.name != "paper" and time_s > 0 else {}
    if not polled:
        return None
    folder = means.state / "backfill"
    folder.mkdir(parents=True, exist_ok=True)
    with Progress(progress_file(folder, means.lake)) as done:
        plan = _planned(means, polled, day, done)
        if not plan.tasks:
            return None
        working = run(
            plan.tasks,
            _broker(means, day),
            means.lake,
            folder,
            done,
            SystemClock(),
            on_task=lambda _: None,
            within_s=time_s,
        )
        report = asyncio.run(working)
    build_bars(means.lake)
    left, lacking = len(plan.tasks) - report.tasks, len(report.missing)
    later = f"; {left:,} are left for the next morning ({report.stopped})" if left else ""
    without = f", {lacking:,} without an answer" if lacking else ""
    note(f"hosu: asked for the minutes of {report.tasks:,} symbol-days that were only polled{without}{later}")
    return report


def _polled(lake: Lake, day: dt.date) -> dict[dt.date, list[str]]:
    from hosu.cli.options import sql_config
    from hosu.lake.sql import Session
    from hosu.market.calendar import sessions_between

    if lake.find("processed_ohlcv_1m") is None:
        return {}
    sessions = sessions_between(day - dt.timedelta(2 * _SESSIONS_BACK + 4), day)[-_SESSIONS_BACK:]
    found: dict[dt.date, list[str]] = {}
    with Session(lake, sql_config()) as session:
        for row in session.query(_POLLED.format(first=min(sessions, default=day), day=day)).to_pylist():
            found.setdefault(dt.date.fromisoformat(row["date"]), []).append(row["symbol"])
    return found


def _planned(means: Means, polled: dict[dt.date, list[str]], day: dt.date, done: Progress) -> Plan:
    from hosu.cli.backfill_ask import planned
    from hosu.collect.backfill_plan import Plan, Wanted

    parts = [
        planned(Wanted("minutes", symbols, of, of + dt.timedelta(1), means.host.name, day), means.lake, done)
        for of, symbols in polled.items()
    ]
    return Plan([task for part in parts for task in part.tasks], [], sum(part.known for part in parts))


def _broker(means: Means, day: dt.date) -> Broker:
    from hosu.cli.backfill_run import Broker
    from hosu.cli.broker_station import pace_of

    pace = pace_of(day, means.host, means.kis)
    return Broker(means.host, means.credentials, pace, means.cache, means.kis.user_agent)
