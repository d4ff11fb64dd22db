"""A running simulator with faults, clients for it, and a receiver that remembers."""

import asyncio
import json
from datetime import date
from random import Random

import feed_running
from hosu.clock import SimulatedClock, SystemClock
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace
from hosu.kis.rest import RestClient, RestConfig
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.fault_spec import parse_faults
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660", "035720")
TRADES = [Registration("H0STCNT0", symbol) for symbol in SYMBOLS]
CREDENTIALS = Credentials("PSkey", "TOPSECRET")
HELD = PlayConfig(PlayPace("max"), settle_s=0.05, away="hold")
EVENLY = PlayConfig(PlayPace("rate", 2000.0), settle_s=0.05, away="hold")
STILL = PlayConfig(PlayPace("max"), expect=1000)  # a day that never begins
REAL_TIME = PlayConfig(PlayPace("speed", 1.0))
QUICK = {"backoff_min_s": 0.001, "backoff_max_s": 0.002, "register_interval_s": 0.0}


class Recorder:
    def __init__(self):
        self.taken, self.events = [], []

    def frames(self, connection, ts_recv_us, payloads):
        self.taken += [(connection, payload) for payload in payloads]
        return True

    def session_event(self, connection, event):
        self.events.append(event)

    def named(self, name):
        return [event for event in self.events if event["event"] == name]

    def data(self, connection=None):
        wanted = (frame for number, frame in self.taken if connection in (None, number))
        return [frame for frame in wanted if not frame.startswith(b"{")]

    def pings(self):
        return [json.loads(frame)["header"]["datetime"] for _, frame in self.taken if b"PINGPONG" in frame]


class Stage:
    """A running simulator, and clients for it. ``clock`` is the clients'."""

    def __init__(self, simulator, http, folder, clock):
        self.simulator, self.http, self.folder, self.clock = simulator, http, folder, clock
        self.rest_clock = SimulatedClock(SystemClock().now_us())  # a token is asked for once a minute at most
        self.host = Host("simulator", simulator.rest_url, simulator.ws_url)
        self.replies = []
        governor = Governor(folder / "governor", Pace(1000), self.rest_clock)
        self.auth = Auth(self.host, CREDENTIALS, http, governor, cache_dir=folder, clock=self.rest_clock)
        options = {"clock": self.rest_clock, "random": Random(1), "on_reply": self.replies.append}
        quick = RestConfig(tries=4, backoff_min_s=0.001, backoff_max_s=0.002)
        self.rest = RestClient(self.host, CREDENTIALS, self.auth, governor, http, config=quick, **options)

    def feed(self, recorder, **config):
        chosen = FeedConfig(self.folder, **({"reconnects_per_hour": 1000} | QUICK | config))
        expects = {"expects_data": lambda now_us: True, "random": Random(1)}
        return Feed(chosen, self.host, self.auth, self.clock, recorder, **expects)

    async def call(self, call):
        """The result of a REST call, however long its clock says it took."""
        task = asyncio.create_task(call)
        await advance_until(self.rest_clock, 10.0, task.done)
        return await task

    def done(self, kind):
        return sum(entry["count"] for entry in self.simulator.report()["faults"] if entry["kind"] == kind)


def play(tmp_path, faults, scenario, *, play=HELD, records=3000, clock=None, server_clock=None, **config):
    async def main():
        options = {"play": play, "token_interval_s": 0.0, "calls_per_s": None, "faults": parse_faults(faults)} | config
        exchange = ExchangeConfig(DAY, symbols=SYMBOLS, records=records, feeds=("trades",))
        simulator = Simulator(SimulatorConfig(**options), lambda: Exchange(exchange), server_clock or SystemClock())
        await simulator.start()
        try:
            async with Http() as http, asyncio.timeout(60):
                return await scenario(Stage(simulator, http, tmp_path, clock or SystemClock()))
        finally:
            await simulator.stop()

    return asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.002)


async def advance_until(clock, seconds, condition):
    """Moves a simulated clock on step by step, with turns for the sockets in between."""
    while not condition():
        await clock.advance(seconds)
        await asyncio.sleep(0.002)


def running(feed, desired=TRADES):
    return feed_running.running(feed, desired)


async def until_settled(stage):
    """A scenario: what our client recorded until its registrations were settled."""
    recorder = Recorder()
    async with running(stage.feed(recorder)):
        await until(lambda: recorder.named("settled"))
    return recorder
