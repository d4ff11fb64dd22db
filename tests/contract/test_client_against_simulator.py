"""Our client against our simulator: two readings of the broker's documents that must agree."""

import asyncio
import contextlib
import json
from datetime import date, time
from random import Random

import pytest

from hosu.clock import SimulatedClock, SystemClock
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace
from hosu.kis.masters import parse_master
from hosu.kis.messages import PingPong, read_control
from hosu.kis.rest import RestClient, download_master
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig
from hosu.kis.simulator.sessions import SlotConfig
from hosu.kis.snapshots import snapshot_rows
from hosu.market.calendar import instant_us
from hosu.market.instruments import Market

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660", "035720")
CREDENTIALS = Credentials("PSkey", "TOPSECRET")


class Recorder:
    def __init__(self):
        self.taken, self.events = [], []

    def frames(self, connection, ts_recv_us, payloads):
        self.taken += payloads
        return True

    def session_event(self, connection, event):
        self.events.append(event)

    def named(self, name):
        return [event for event in self.events if event["event"] == name]


class Stage:
    def __init__(self, simulator, http, folder):
        self.simulator, self.http, self.folder = simulator, http, folder
        self.host = Host("simulator", simulator.rest_url, simulator.ws_url)

    def auth(self, clock, name="cache"):
        governor = Governor(self.folder / name / "governor", Pace(12), clock)
        folder = self.folder / name
        return Auth(self.host, CREDENTIALS, self.http, governor, cache_dir=folder, clock=clock), governor

    def feed(self, recorder, name="cache", **config):
        clock = SystemClock()
        folder = self.folder / name
        return Feed(
            FeedConfig(folder, **({"register_interval_s": 0.0, "stop_on_close": True} | config)),
            self.host,
            self.auth(clock, name)[0],
            clock,
            recorder,
            expects_data=lambda now_us: True,
            random=Random(1),
        )

    def rest(self, clock, replies):
        auth, governor = self.auth(clock)
        options = {"clock": clock, "random": Random(1), "on_reply": replies.append}
        return RestClient(self.host, CREDENTIALS, auth, governor, self.http, **options)


def play(tmp_path, scenario, *, records=5000, expect=1, clock=None, **config):
    async def main():
        options = {"play": PlayConfig(PlayPace("max"), expect=expect, settle_s=0.05)} | config
        exchange = ExchangeConfig(DAY, symbols=SYMBOLS, records=records)
        simulator = Simulator(SimulatorConfig(**options), lambda: Exchange(exchange), clock or SystemClock())
        await simulator.start()
        try:
            async with Http() as http, asyncio.timeout(60):
                return await scenario(Stage(simulator, http, tmp_path))
        finally:
            await simulator.stop()

    return asyncio.run(main())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running(feed, desired):
    task = asyncio.create_task(feed.run(desired))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_every_record_sent_is_received(tmp_path):
    desired = [Registration(tr_id, symbol) for symbol in SYMBOLS for tr_id in ("H0STCNT0", "H0STASP0", "H0STANC0")]

    async def scenario(stage):
        recorder = Recorder()
        await stage.feed(recorder).run(desired)
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, scenario, expect=len(desired))
    data = [frame for frame in recorder.taken if not frame.startswith(b"{")]
    assert len(data) == report["frames"] > 1000
    assert sum(int(frame.split(b"|")[2]) for frame in data) == report["records"]
    assert report["unsent"]["records"] + report["records"] >= 4000
    assert recorder.named("settled")[0]["registered"] == 9
    assert recorder.named("disconnected")[0]["code"] == 1000


def test_pingpongs_are_answered_or_the_simulator_would_cut_us_off(tmp_path):
    clock = SimulatedClock(instant_us(DAY, 9 * 3600))

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder), [Registration("H0STCNT0", "005930")]):
            await until(lambda: recorder.named("settled"))
            for _ in range(30):  # five minutes, three times what it bears
                seen = len(pings(recorder))
                await clock.advance(10)
                await until(lambda seen=seen: len(pings(recorder)) > seen)
        return recorder

    def pings(recorder):
        return [frame for frame in recorder.taken if b"PINGPONG" in frame]

    recorder = play(tmp_path, scenario, clock=clock, play=PlayConfig(PlayPace("speed", 1.0)))
    assert isinstance(read_control(pings(recorder)[0])[0], PingPong)
    assert len(recorder.named("disconnected")) == 1  # ours, at the end


def test_the_limit_of_slots_is_learnt_from_the_refusal(tmp_path):
    desired = [Registration(tr_id, symbol) for symbol in SYMBOLS for tr_id in ("H0STCNT0", "H0STASP0")]

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder), desired):
            await until(lambda: recorder.named("settled"))
        return recorder.named("settled")[0]

    settled = play(tmp_path, scenario, slots=SlotConfig(registrations=4), play=PlayConfig(PlayPace("speed", 1.0)))
    assert settled["registered"] == 4
    assert settled["not_covered"] == [["H0STCNT0", "035720"], ["H0STASP0", "035720"]]


def test_refusals_are_told_apart(tmp_path):
    desired = [Registration("H0STCNT0", "005930"), Registration("H0XXXXX0", "005930"), Registration("H0STCNT0", "!!")]

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder), desired):
            await until(lambda: recorder.named("settled"))
        return {(event["tr_id"], event["key"]): event["code"] for event in recorder.named("refused")}

    refused = play(tmp_path, scenario, play=PlayConfig(PlayPace("speed", 1.0)))
    assert refused[("H0XXXXX0", "005930")] == "OPSP8991"
    assert refused[("H0STCNT0", "!!")] == "OPSP8992"


def test_a_second_session_with_one_appkey_is_told_that_it_is_in_use(tmp_path):
    wanted = [Registration("H0STCNT0", "005930")]

    async def scenario(stage):
        first, second = Recorder(), Recorder()
        async with running(stage.feed(first), wanted):
            await until(lambda: first.named("settled"))
            async with running(stage.feed(second, "another machine"), wanted):
                await until(lambda: second.named("reconnecting"))
        return second

    second = play(tmp_path, scenario, play=PlayConfig(PlayPace("speed", 1.0)))
    assert "OPSP8996" in second.named("in_use")[0]["text"]
    assert second.named("reconnecting")[0]["delay_s"] >= 60


def test_an_encrypted_notice_is_acknowledged_without_its_key_in_the_log(tmp_path):
    notice = Registration("H0STCNI0", "myhtsid")

    async def scenario(stage):
        recorder = Recorder()
        feed = stage.feed(recorder)
        async with running(feed, [notice]):
            await until(lambda: recorder.named("registered"))
            return recorder.taken[0], feed.notice_key("H0STCNI0")

    frame, key = play(tmp_path, scenario, play=PlayConfig(PlayPace("speed", 1.0)))
    assert json.loads(frame)["body"]["output"] == {"iv": "***", "key": "***"}
    assert (len(key.key), len(key.iv)) == (32, 16)


def test_the_quotation_calls_agree(tmp_path):
    async def scenario(stage):
        replies = []
        recorder = Recorder()
        await stage.feed(recorder).run([Registration("H0STCNT0", symbol) for symbol in SYMBOLS])
        rest = stage.rest(SystemClock(), replies)
        price = await rest.price("005930")
        book = await rest.asking_price("005930")
        many = await rest.multi_price(SYMBOLS)
        trades = await rest.conclusions("005930")
        daily = await rest.daily_chart("005930", date(2025, 9, 1), date(2025, 9, 16))
        minutes = await rest.minute_chart("005930", time(15, 30))
        days = await rest.holidays(DAY)
        return stage.simulator.report(), replies, price, book, many, trades, daily, minutes, days

    report, replies, price, book, many, trades, daily, minutes, days = play(tmp_path, scenario, expect=3)
    sent = report["symbols"]["KRX:005930"]
    assert (price.symbol, price.cum_volume) == ("005930", sent["last_cum_volume"])
    assert price.low <= price.price <= price.high
    assert price.lower_limit < price.base_price < price.upper_limit
    assert len(book.ask_prices) == 10
    assert {row.symbol: row.cum_volume for row in many} == {
        symbol: report["symbols"][f"KRX:{symbol}"]["last_cum_volume"] for symbol in SYMBOLS
    }
    assert len(trades) == 30
    assert [bar.date for bar in daily] == sorted(bar.date for bar in daily)
    assert daily[-1].date == "20250915"
    assert 1 <= len(minutes) <= 30
    assert days[0].date == "20250915"
    assert days[0].open
    rows = [row for reply in replies for row in snapshot_rows(reply.tr_id, reply.params, reply.body)]
    assert [row["symbol"] for row in rows[:1]] == ["005930"]
    assert {row["scope"] for row in rows} == {"KRX"}
    assert "TOPSECRET" not in repr([(reply.params, reply.body) for reply in replies])


def test_an_expired_token_is_replaced(tmp_path):
    async def scenario(stage):
        clock, replies = SimulatedClock(SystemClock().now_us()), []
        rest = stage.rest(clock, replies)
        await rest.price("005930")
        stage.simulator.expire_tokens()
        await clock.advance(120)
        await rest.price("005930")
        return [reply.status for reply in replies], json.loads(replies[1].body)["msg_cd"]

    options = {"token_interval_s": 0.0, "play": PlayConfig(PlayPace("speed", 1.0))}
    assert play(tmp_path, scenario, **options) == ([200, 500, 200], "EGW00123")


@pytest.mark.slow
def test_our_pace_stays_under_the_limit_and_a_lower_one_is_lived_with(tmp_path):
    async def scenario(stage):
        replies = []
        rest = stage.rest(SystemClock(), replies)
        await asyncio.gather(*(rest.price("005930") for _ in range(15)))
        return [reply.status for reply in replies]

    speed = PlayConfig(PlayPace("speed", 1.0))
    assert play(tmp_path / "live", scenario, calls_per_s=18, play=speed) == [200] * 15
    statuses = play(tmp_path / "strict", scenario, calls_per_s=8, play=speed)
    assert statuses.count(200) == 15


def test_a_master_file_can_be_read(tmp_path):
    async def scenario(stage):
        return await download_master(stage.http, Market.KOSPI, f"{stage.host.rest}/common/master")

    listed = parse_master(play(tmp_path, scenario), Market.KOSPI)
    assert {each.symbol for each in listed} <= set(SYMBOLS)
    assert {each.market for each in listed} == {Market.KOSPI}
