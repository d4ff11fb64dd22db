"""Minutes over REST agree with the trades of the same day, and end up in the lake by way of the log."""

import asyncio
from datetime import date
from pathlib import Path
from random import Random

import pytest

from hosu.clock import SystemClock
from hosu.collect.backfill import Backfill, BackfillReport
from hosu.collect.backfill_plan import Wanted, plan
from hosu.collect.backfill_progress import Progress
from hosu.collect.leaving import aside, until
from hosu.collect.pump import Pump
from hosu.collect.recorder import Recorder
from hosu.collect.wal import Log
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace
from hosu.kis.rest import RestClient
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig
from hosu.lake.lake import Lake
from hosu.lake.ohlcv import build
from hosu.lake.sql import Session
from hosu.lake.writer import LakeSink

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660")
BARS = """
    SELECT symbol, ts, open, high, low, close, volume, value FROM {table}
    WHERE date = '2025-09-15' AND volume > 0 {more} ORDER BY ALL
"""


async def collected_and_filled(folder: Path, lake: Lake) -> tuple[BackfillReport, int]:
    """Collects a day's trades, then asks for its minutes, all through one log. Returns report and calls."""
    clock = SystemClock()
    exchange = ExchangeConfig(DAY, symbols=SYMBOLS, records=8000)
    config = SimulatorConfig(play=PlayConfig(PlayPace("max"), expect=len(SYMBOLS), settle_s=0.05))
    simulator = Simulator(config, lambda: Exchange(exchange), clock)
    await simulator.start()
    log = Log.open(folder / "wal", clock)
    pump = Pump(log, LakeSink(lake), clock)
    pump.start()
    try:
        async with Http() as http, asyncio.timeout(90):
            recorder, replies = Recorder(log, clock), []
            host, keys = Host("simulator", simulator.rest_url, simulator.ws_url), Credentials("PSkey", "TOPSECRET")
            governor = Governor(folder / "governor", Pace(12, gap_s=0.03), clock)
            auth = Auth(host, keys, http, governor, cache_dir=folder, clock=clock)
            manners = FeedConfig(folder, register_interval_s=0.0, stop_on_close=True)
            feed = Feed(manners, host, auth, clock, recorder, expects_data=lambda now_us: True, random=Random(1))
            await feed.run([Registration("H0STCNT0", symbol) for symbol in SYMBOLS])

            def keep(reply):
                replies.append(reply)
                recorder.reply(reply)

            client = RestClient(host, keys, auth, governor, http, clock=clock, random=Random(1), on_reply=keep)
            wanted = Wanted("minutes", SYMBOLS, DAY, date(2025, 9, 16), "simulator", today=date(2025, 9, 16))
            with Progress(folder / "done.jsonl") as progress:
                report = await Backfill(client, log, progress).run(plan(wanted, lambda _: ()).tasks)
            recorder.ended()
        await aside(lambda: log.wait_written(10))
        pump.drain(log.durable_lsn)
        await until(lambda: pump.join(0))
        assert pump.error is None
        assert [reply for reply in replies if reply.status != 200] == []
        return report, len(replies)
    finally:
        pump.abandon()
        log.close()
        await simulator.stop()


@pytest.mark.slow
def test_minutes_over_rest_are_the_trades_minutes(tmp_path: Path) -> None:
    lake = Lake.open(str(tmp_path / "lake"))
    report, calls = asyncio.run(collected_and_filled(tmp_path, lake))
    assert (report.tasks, report.missing, report.stopped) == (2, [], None)
    assert calls == 2 * 4  # 391 minutes, 119 new ones a page

    build(lake)
    with Session(lake) as session:
        ours = session.query(BARS.format(table="processed_ohlcv_1m", more="AND session_set = 'regular'"))
        theirs = session.query(BARS.format(table="bars_1m_latest", more=""))
        sources = session.query("SELECT DISTINCT source FROM processed_ohlcv_1m")
        twice = session.query("SELECT count(*) - count(DISTINCT (symbol, ts)) AS n FROM bars_1m_external")
    assert len(ours) > 600
    assert theirs.to_pylist() == ours.to_pylist()
    assert sources.column(0).to_pylist() == ["trades"]
    assert twice["n"][0].as_py() == 0
