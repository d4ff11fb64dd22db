"""Slots and polls together, by our client against our simulator: who is covered how, and no limit ever provoked."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any

import pytest

from hosu.clock import SystemClock
from hosu.collect.coverage import Coverage, CoverageConfig
from hosu.collect.polling import Poller, Rotation
from hosu.collect.subscriptions import ExchangeConfig as Exchanging
from hosu.collect.subscriptions import Key, make_plan
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, pace_on
from hosu.kis.rest import RestClient
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig
from hosu.kis.simulator.quota import PROFILES
from hosu.kis.simulator.sessions import SlotConfig
from hosu.kis.simulator.universe import default_symbols

DAY = date(2026, 9, 15)
TRADES = "H0STCNT0"
CREDENTIALS = Credentials("PSkey", "TOPSECRET")


class Events:
    def __init__(self):
        self.events: list[dict[str, Any]] = []
        self.connected = False

    def frames(self, connection, ts_recv_us, payloads):
        return True

    def session_event(self, connection, event):
        self.events.append(event)
        self.connected = {"connected": True, "disconnected": False}.get(event["event"], self.connected)

    def named(self, name):
        return [event for event in self.events if event["event"] == name]


@dataclass
class Stage:
    simulator: Simulator
    coverage: Coverage
    feed: Feed
    poller: Poller
    events: Events
    reports: list[dict[str, Any]]

    def rows(self):
        return {row["symbol"]: row for row in self.coverage.report()["symbols"]}

    def refusals(self):
        return self.simulator.report()["refusals"]


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def covering(tmp_path, scenario, *, symbols=60, assumed=10, slots=10, account="live", config=None, every_s=0.2):
    """Runs a scenario while one key covers its symbols; ``assumed`` slots by the plan, ``slots`` by the broker."""

    async def main():
        clock, universe = SystemClock(), default_symbols(symbols)
        exchange = ExchangeConfig(DAY, symbols=universe, records=200_000, feeds=("trades",))
        settings = SimulatorConfig(
            play=PlayConfig(PlayPace("rate", 200.0), away="hold"),
            slots=SlotConfig(slots),
            calls_per_s=PROFILES[account],
        )
        simulator = Simulator(settings, lambda: Exchange(exchange), clock)
        await simulator.start()
        (share,) = make_plan(universe, [TRADES], [Key("one", assumed)]).shares
        events, reports = Events(), []
        pace = pace_on(DAY, "paper" if account == "paper" else "live", 0 if account == "new-account" else None)
        async with Http() as http, contextlib.AsyncExitStack() as stack:
            stack.push_async_callback(simulator.stop)
            host = Host("simulator", simulator.rest_url, simulator.ws_url)
            governor = Governor(tmp_path / "governor", pace, clock)
            auth = Auth(host, CREDENTIALS, http, governor, cache_dir=tmp_path / "cache", clock=clock)
            rest = RestClient(host, CREDENTIALS, auth, governor, http, clock=clock, random=Random(1))
            feed = Feed(
                FeedConfig(tmp_path / "cache", slots=assumed, register_interval_s=0.0, ack_timeout_s=60.0),
                host,
                auth,
                clock,
                events,
                expects_data=lambda now_us: True,
                random=Random(1),
            )
            rotation = Rotation(share.symbols, clock.monotonic(), every_s)
            poller = Poller(rest, rotation, "KRX", clock, calls_per_s=governor.calls_per_s)
            coverage = Coverage(
                config or CoverageConfig(every_s, witness_every_s=1.0, watch_s=0.02, report_s=0.05),
                share,
                feed,
                poller,
                clock,
                calls_per_s=governor.calls_per_s,
                connected=lambda: events.connected,
                write=reports.append,
            )
            poller.on_prices = coverage.take_prices
            tasks = [asyncio.create_task(feed.run(coverage.desired)), asyncio.create_task(coverage.run())]
            try:
                return await scenario(Stage(simulator, coverage, feed, poller, events, reports))
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())


def test_what_has_a_slot_is_streamed_and_the_rest_is_polled_without_a_limit_provoked(tmp_path):
    async def scenario(stage):
        await until(lambda: stage.poller.rotation.polls.min() >= 3 and stage.events.named("settled"))
        return stage.rows(), stage.refusals(), stage.coverage.report()

    rows, refusals, report = covering(tmp_path, scenario)
    symbols = default_symbols(60)
    assert [symbol for symbol in symbols if rows[symbol]["how"] == "streamed"] == list(symbols[:10])
    assert {rows[symbol]["how"] for symbol in symbols[10:]} == {"polled"}
    assert {rows[symbol]["wanted_s"] for symbol in symbols[:10]} == {1.0}
    assert {rows[symbol]["wanted_s"] for symbol in symbols[10:]} == {0.2}
    assert rows[symbols[20]]["why"] == "no slot left by its priority"
    assert rows[symbols[20]]["median_s"] > 0
    assert refusals == {}
    assert (report["registered"], report["limit"], report["failures"]) == (10, 10, 0)


def test_a_limit_lower_than_assumed_is_learnt_and_the_symbols_without_a_slot_are_polled(tmp_path):
    async def scenario(stage):
        await until(lambda: stage.events.named("slots") and stage.events.named("settled"))
        polls = stage.poller.rotation.polls.copy()
        await until(lambda: min(stage.poller.rotation.polls[:10] - polls[:10]) >= 2)
        return stage.rows(), stage.refusals()

    rows, refusals = covering(tmp_path, scenario, symbols=12, slots=3)
    symbols = default_symbols(12)
    streamed = [symbol for symbol in symbols if rows[symbol]["how"] == "streamed"]
    assert len(streamed) == 3
    assert {rows[symbol]["why"] for symbol in symbols[:10] if symbol not in streamed} == {"the broker gave 3 slots"}
    assert {rows[symbol]["wanted_s"] for symbol in symbols if symbol not in streamed} == {0.2}
    assert refusals["OPSP0008"] >= 1  # nobody could know


@pytest.mark.slow
@pytest.mark.parametrize(("account", "calls"), [("new-account", 2), ("paper", 0.8)])
def test_narrower_limits_lengthen_the_interval_and_are_not_provoked(tmp_path, account, calls):
    async def scenario(stage):
        await until(lambda: stage.poller.rotation.polls.min() >= 2)
        return stage.refusals(), stage.coverage.report()

    refusals, report = covering(tmp_path, scenario, account=account, symbols=60)
    assert refusals == {}
    assert report["calls_per_s"] == pytest.approx(calls, rel=0.1)
    wanted_calls = 50 / 30 / 0.2 + 10 / 30 / 1.0
    assert report["expected_times"] == pytest.approx(wanted_calls / report["calls_per_s"], rel=0.01)


def test_while_no_connection_stands_streamed_symbols_are_polled_like_the_others(tmp_path):
    async def scenario(stage):
        await until(lambda: stage.events.named("settled"))
        await until(lambda: stage.rows()["005930"]["wanted_s"] == 1.0)
        stage.events.connected = False
        await until(lambda: stage.rows()["005930"]["wanted_s"] == 0.2)
        return stage.rows()["005930"]

    row = covering(tmp_path, scenario, symbols=12)
    assert (row["how"], row["why"]) == ("polled", "no connection at present")


def test_a_symbol_that_trades_more_takes_the_slot_of_another_by_one_release_and_one_registration(tmp_path):
    async def scenario(stage):
        await until(lambda: stage.events.named("settled"))
        await until(lambda: stage.coverage.report()["exchanged"] == 1)
        await until(lambda: len(stage.events.named("released")) == 1 and len(stage.events.named("registered")) == 4)
        await until(lambda: len(stage.feed.registrations.acknowledged) == 3)
        for _ in range(20):  # many looks later it is still the only one
            await asyncio.sleep(0.02)
        return stage.events, stage.rows(), stage.refusals(), stage.coverage.report()["exchanged"]

    config = CoverageConfig(
        0.2, watch_s=0.02, report_s=0.05, exchange=Exchanging(per_hour=1, dwell_s=0.0, margin=0.0), witness_every_s=0.2
    )
    events, rows, refusals, exchanged = covering(tmp_path, scenario, symbols=20, assumed=3, slots=3, config=config)
    released, promoted = events.named("released")[0]["key"], events.named("registered")[-1]["key"]
    assert (rows[released]["how"], rows[promoted]["how"]) == ("polled", "streamed")
    assert (refusals, exchanged) == ({}, 1)


def test_the_report_is_written_again_and_again_and_once_more_at_the_end(tmp_path):
    async def scenario(stage):
        while len(stage.reports) < 3:
            await asyncio.sleep(0.005)
        return stage.reports

    reports = covering(tmp_path, scenario, symbols=12)
    assert len(reports) >= 4
    assert [row["symbol"] for row in reports[-1]["symbols"]] == list(default_symbols(12))
