"""The whole of the collector against the simulated broker: what was sent is what is filed, to the share."""

import asyncio
from collections import Counter
from datetime import date
from pathlib import Path
from random import Random

import pytest
from collect_parts import MemoryArchive, MemorySink

from hosu.clock import SystemClock
from hosu.collect.collector import Collector, CollectorConfig, Outside, Source
from hosu.collect.polling import Poller, Rotation
from hosu.collect.recorder import Recorder
from hosu.collect.wal import Log
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace
from hosu.kis.registrations import Registration
from hosu.kis.rest import RestClient
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660", "035720")
RECORDS = 20_000


async def collect(folder: Path) -> tuple[dict, dict, MemorySink]:
    clock = SystemClock()
    desired = [Registration(tr_id, symbol) for symbol in SYMBOLS for tr_id in ("H0STCNT0", "H0STASP0")]
    play = PlayConfig(pace=PlayPace("max"), expect=len(desired), settle_s=0.2)
    exchange = ExchangeConfig(DAY, symbols=SYMBOLS, records=RECORDS)
    simulator = Simulator(SimulatorConfig(play=play), lambda: Exchange(exchange), clock)
    await simulator.start()
    host = Host("simulator", simulator.rest_url, simulator.ws_url)
    log = Log.open(folder / "log", clock)
    recorder = Recorder(log, clock)
    sink = MemorySink()
    async with Http() as http:
        governor = Governor(folder / "governor", Pace(100), clock)
        credentials = Credentials("key", "secret")
        auth = Auth(host, credentials, http, governor, cache_dir=folder / "cache", clock=clock)
        random = Random(1)
        rest = RestClient(host, credentials, auth, governor, http, clock=clock, random=random, on_reply=recorder.reply)
        feed = Feed(
            FeedConfig(cache_dir=folder / "cache", stop_on_close=True),
            host,
            auth,
            clock,
            recorder,
            expects_data=lambda now_us: True,
            random=random,
        )
        rotation = Rotation(SYMBOLS, clock.monotonic(), 60.0)
        poller = Poller(rest, rotation, "KRX", clock, calls_per_s=governor.calls_per_s)
        collector = Collector(
            CollectorConfig(status_path=folder / "status.json"),
            log,
            recorder,
            [Source(feed, desired)],
            sinks=[sink],
            archive=MemoryArchive(),
            clock=clock,
            outside=Outside(poll=poller.sweep, clock_offset_us=clock.offset_us),
        )
        status = await collector.run()
        report = simulator.report()
        await simulator.stop()
    return status, report, sink


@pytest.mark.slow
def test_what_the_broker_sent_is_what_is_filed(tmp_path: Path):
    status, report, sink = asyncio.run(asyncio.wait_for(collect(tmp_path), 120))
    assert status["reason"] == "every feed has ended"
    assert report["records"] > RECORDS // 2
    assert status["records"] == report["records"]
    assert (status["quarantined"], status["unfiled"], status["reconnects"]) == (0, 0, 0)
    assert sink.records == report["records"]
    trades = sink.rows("trades")
    shares, counts = Counter(), Counter()
    for row in trades:
        shares[row["symbol"]] += row["size"]
        counts[row["symbol"]] += 1
    for symbol in SYMBOLS:
        sent = report["symbols"][f"KRX:{symbol}"]
        assert (counts[symbol], shares[symbol]) == (sent["trades"], sent["shares"])
    assert {row["date"] for row in trades} == {"2025-09-15"}
    assert {row["date"] for row in sink.rows("quotes")} == {"2025-09-15"}
    snapshots = sink.rows("snapshots")
    assert {row["symbol"] for row in snapshots} == set(SYMBOLS)
    assert {row["date"] for row in snapshots} == {"2025-09-15"}
