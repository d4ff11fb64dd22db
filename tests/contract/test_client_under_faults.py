"""What our client does when the broker misbehaves: each fault of the simulator, and what has to follow from it."""

import asyncio
import contextlib
import json
from datetime import date, time
from itertools import pairwise
from random import Random

import pytest

from hosu.clock import SimulatedClock, SystemClock
from hosu.errors import (
    BrokerReplyError,
    BrokerUnreachableError,
    RateLimitedError,
    RegistrationRefusedError,
    TokenExpiredError,
)
from hosu.kis.auth import Auth
from hosu.kis.codec import join, parse
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


@contextlib.asynccontextmanager
async def running(feed, desired=TRADES):
    task = asyncio.create_task(feed.run(desired))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


# --- connections --------------------------------------------------------------------------------------------------


def test_after_an_abnormal_close_it_comes_back_and_registers_everything(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: len(recorder.named("settled")) == 3)
            await until(lambda: recorder.data(3))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "close@10:00; close@frame:700", scenario)
    assert [event["code"] for event in recorder.named("disconnected")][:2] == [1006, 1006]
    assert [event["registered"] for event in recorder.named("settled")] == [3, 3, 3]
    assert [entry["count"] for entry in report["faults"]] == [1, 1]
    assert report["faults"][0]["first"].startswith("2025-09-15T10:0")
    reasons = [connection["reason"] for connection in report["connections"]]
    assert reasons[:2] == ["fault: closed with 1006"] * 2
    for number in (1, 2):
        sent = sum(int(frame.split(b"|")[2]) for frame in recorder.data(number))
        assert report["connections"][number - 1]["records"] == sent > 0


@pytest.mark.parametrize("code", [1000, 1001, 1011])
def test_a_close_is_seen_with_its_code(tmp_path, code):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: recorder.named("disconnected"))
        return recorder.named("disconnected")[0]["code"]

    assert play(tmp_path, f"close@10:00={code}", scenario) == code


def test_connections_are_cut_by_chance_and_the_day_ends_all_the_same(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await stage.simulator.wait()
        return recorder, stage.simulator.report(), stage.done("close")

    recorder, report, closed = play(tmp_path, "close=1/400", scenario)
    assert 1 <= closed == len(report["connections"]) - 1
    assert report["unsent"]["records"] == 0
    assert report["records"] == sum(int(frame.split(b"|")[2]) for frame in recorder.data())


def test_a_silent_connection_is_given_up_and_replaced(tmp_path):
    clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=30.0, ack_timeout_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await until(lambda: stage.simulator.report()["withheld"]["records"] > 0)
            assert not recorder.named("disconnected")
            await advance_until(clock, 5.0, lambda: recorder.named("silence"))
            await advance_until(clock, 0.01, lambda: len(recorder.named("settled")) == 2)
            await until(lambda: recorder.data(2))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "silence@frame:100", scenario, play=EVENLY, records=500_000, clock=clock)
    assert recorder.named("silence")[0]["seconds"] >= 30
    assert recorder.named("disconnected")[0]["code"] is None
    assert report["faults"][0]["connection"] == 1
    assert len(recorder.data(1)) == 99


def test_a_handshake_that_is_never_answered_times_out_and_is_tried_again(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        await until(lambda: stage.done("mute"))
        async with running(stage.feed(recorder, connect_timeout_s=0.05)):
            await until(lambda: len(recorder.named("unreachable")) == 2)
            await server_clock.advance(61.0)
            await until(lambda: recorder.named("settled"))
        return recorder

    recorder = play(tmp_path, "mute@08:00+31m", scenario, play=REAL_TIME, server_clock=server_clock)
    assert "no answer to the handshake" in recorder.named("unreachable")[0]["cause"]
    assert recorder.named("settled")[0]["registered"] == 3


def test_a_refused_connection_is_tried_again(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: recorder.named("settled"))
        return recorder

    recorder = play(tmp_path, "noconnect@connect:1-2", scenario)
    assert ["503" in event["cause"] for event in recorder.named("unreachable")] == [True, True]
    assert recorder.named("settled")[0]["registered"] == 3


def test_when_the_broker_restarts_it_is_away_until_the_broker_is_back(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: len(recorder.named("settled")) == 2)
            await until(lambda: recorder.data(recorder.taken[-1][0]))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "restart@11:00+30m", scenario, play=EVENLY)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert recorder.named("unreachable")
    assert report["unsent"]["records"] > 20
    last = max(int(frame.split(b"^")[1]) for frame in recorder.data(1))
    again = min(int(frame.split(b"^")[1]) for frame in recorder.data() if frame not in set(recorder.data(1)))
    assert last < 110_000
    assert again >= 113_000


def test_the_place_of_a_session_that_broke_off_may_still_be_taken(tmp_path):
    server_clock, clock = SimulatedClock(), SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=1e9, silence_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await advance_until(server_clock, 10.0, lambda: recorder.named("disconnected"))
            await advance_until(clock, 0.01, lambda: recorder.named("in_use"))
            await server_clock.advance(90.0)
            await advance_until(clock, 10.0, lambda: len(recorder.named("settled")) == 2)
        return recorder, stage.done("held")

    clocks = {"clock": clock, "server_clock": server_clock}
    recorder, held = play(tmp_path, "close@08:31; held=90s", scenario, play=REAL_TIME, **clocks)
    assert "OPSP8996" in recorder.named("in_use")[0]["text"]
    assert recorder.named("reconnecting")[1]["delay_s"] >= 60
    assert held >= len(recorder.named("in_use")) >= 1


# --- registrations ------------------------------------------------------------------------------------------------


def test_an_acknowledgement_that_is_late_is_waited_for(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=1e9)):
            await until(lambda: len(recorder.named("registered")) == 2)
            before = [event["key"] for event in recorder.named("registered")]
            await server_clock.advance(3.0)
            await until(lambda: recorder.named("settled"))
        return before, recorder

    before, recorder = play(tmp_path, "ackdelay@ack:1=3s", scenario, play=STILL, server_clock=server_clock)
    assert before == ["000660", "035720"]
    assert recorder.named("settled")[0] == {
        "event": "settled", "registered": 3, "refused": 0, "unanswered": 0, "not_covered": [],
    }  # fmt: skip


def test_an_acknowledgement_that_never_comes_is_asked_for_again(tmp_path):
    clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=5.0)):
            await advance_until(clock, 0.01, lambda: len(recorder.named("registered")) == 2)
            await advance_until(clock, 0.5, lambda: recorder.named("settled"))
        return recorder

    recorder = play(tmp_path, "noack@ack:1", scenario, play=STILL, clock=clock)
    assert [(event["tr_id"], event["key"]) for event in recorder.named("unanswered")] == [("H0STCNT0", "005930")]
    assert recorder.named("registered")[-1]["code"] == "OPSP0002"  # it had been carried out
    assert recorder.named("settled")[0]["registered"] == 3


def test_one_that_is_never_acknowledged_is_given_up_and_delivered_all_the_same(tmp_path):
    clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=5.0)):
            await advance_until(clock, 0.01, lambda: len(recorder.named("registered")) == 2)
            await advance_until(clock, 0.5, lambda: recorder.named("settled"))
            await until(lambda: any(frame.split(b"|")[3].startswith(b"000660") for frame in recorder.data()))
        return recorder

    recorder = play(tmp_path, "noack[000660]", scenario, play=EVENLY, records=500_000, clock=clock)
    assert recorder.named("settled")[0]["unanswered"] == 1


REFUSALS = {
    "registered": "OPSP0002 OPSP0003",
    "asked again": "OPSP0007 OPSP0009 OPSP8999 OPSP9993 OPSP9995",
    "refused": "OPSP8991 OPSP8992 OPSP8993 OPSP8994 OPSP8995 OPSP8997 OPSP9990 OPSP9991 OPSP9992 OPSP9998 OPSP9999",
    "no slot": "OPSP0008",
    "new approval": "OPSP0010 OPSP0011",
    "in use": "OPSP8996",
    "fatal": "OPSP8998 OPSP9994 OPSP9996 OPSP9997",
}


@pytest.mark.parametrize(
    ("code", "outcome"), [(code, outcome) for outcome, codes in REFUSALS.items() for code in codes.split()]
)
def test_every_refusal_has_its_consequence(tmp_path, code, outcome):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)) as task:
            wanted = {"no slot": "slots", "in use": "reconnecting", "fatal": "disconnected"}.get(outcome, "settled")
            await until(lambda: recorder.named(wanted))
            if outcome == "fatal":
                with pytest.raises((BrokerReplyError, RegistrationRefusedError)) as refused:
                    await task
                assert code in str(refused.value) or refused.value.code == code
        return recorder, stage.done("refuse")

    recorder, refused = play(tmp_path, f"refuse@ack:1={code}", scenario, play=STILL)
    assert refused == 1
    codes = [event["code"] for event in recorder.named("refused")]
    settled = recorder.named("settled")[-1:]
    match outcome:
        case "registered":
            assert (settled[0]["registered"], codes) == (3, [])
        case "asked again":
            assert (settled[0]["registered"], codes) == (3, [code])
        case "refused":
            assert (settled[0]["registered"], settled[0]["refused"], codes) == (2, 1, [code])
        case "no slot":
            assert codes == [code]
        case "new approval":
            assert recorder.named("approval_refused")[0]["code"] == code
            assert len(recorder.named("connected")) == 2
            assert settled[0]["registered"] == 3
        case "in use":
            assert recorder.named("reconnecting")[0]["delay_s"] >= 60
        case "fatal":
            assert codes == [code]


def test_a_connection_may_end_instead_of_an_acknowledgement(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: recorder.named("settled"))
        return recorder

    recorder = play(tmp_path, "close@ack:2", scenario, play=STILL)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert len(recorder.named("connected")) == 2
    assert recorder.named("settled")[0]["registered"] == 3


# --- heartbeats ---------------------------------------------------------------------------------------------------


def test_who_is_not_heard_answering_is_cut_off_and_comes_back(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            for _ in range(11):
                seen = len(recorder.pings())
                await server_clock.advance(10.0)
                await until(lambda seen=seen: len(recorder.pings()) > seen or recorder.named("disconnected"))
            await until(lambda: len(recorder.named("settled")) == 2)
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "deaf", scenario, play=REAL_TIME, server_clock=server_clock)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert report["connections"][0]["reason"] == "PINGPONG not answered"


def test_without_data_and_without_heartbeats_a_connection_counts_as_dead(tmp_path):
    clock, server_clock = SimulatedClock(), SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=30.0, ack_timeout_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await server_clock.advance(60.0)
            await advance_until(clock, 5.0, lambda: recorder.named("silence"))
        return recorder, stage.done("noping")

    clocks = {"clock": clock, "server_clock": server_clock}
    recorder, left_out = play(tmp_path, "noping; nodata", scenario, play=REAL_TIME, **clocks)
    assert recorder.pings() == recorder.data() == []
    assert left_out >= 6


def test_a_heartbeat_may_tell_another_time(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            for _ in range(3):
                seen = len(recorder.pings())
                await server_clock.advance(10.0)
                await until(lambda seen=seen: len(recorder.pings()) > seen)
        return recorder.pings()

    pings = play(tmp_path, "clock@ping:2=-1h", scenario, play=REAL_TIME, server_clock=server_clock)
    assert [ping[:10] for ping in pings] == ["2025091508", "2025091507", "2025091508"]


# --- the day ------------------------------------------------------------------------------------------------------


def test_on_a_day_without_data_heartbeats_come_and_nothing_else(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            await server_clock.advance(4 * 3600.0)
            await until(recorder.pings)
            prints = await stage.call(stage.rest.time_conclusions("005930", time(15, 30)))
        return recorder, prints, stage.simulator.report()

    options = {"play": PlayConfig(PlayPace("speed", 60.0)), "server_clock": server_clock}
    recorder, prints, report = play(tmp_path, "nodata", scenario, **options)
    assert recorder.data() == prints == []
    assert (report["records"], report["withheld"]["records"], report["unsent"]["records"]) == (0, 0, 0)


@pytest.mark.parametrize(("change", "width"), [("2026-09-14", 47), ("+2", 48)])
def test_records_that_grow_wider_in_the_middle_of_the_day_are_still_understood(tmp_path, change, width):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, stop_on_close=True)) as task:
            await task
        return recorder.data(), stage.simulator.report()

    options = {"play": PlayConfig(PlayPace("max"), expect=3, settle_s=0.05)}
    frames, report = play(tmp_path, f"layout@12:00={change}", scenario, **options)
    parsed = parse(*join(frames))
    assert parsed.rejects == []
    noon = {records.width: (records.columns["STCK_CNTG_HOUR"] >= 12 * 3600) for records in parsed.records}
    assert sorted(noon) == [46, width]
    assert not noon[46].any()
    assert noon[width].all()
    shares = sum(int(records.columns["CNTG_VOL"].sum()) for records in parsed.records)
    assert shares == report["shares"]


def test_a_burst_makes_so_much_more_of_the_day_pass(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            for _ in range(7):
                seen = len(recorder.pings())
                await server_clock.advance(10.0)
                await until(lambda seen=seen: len(recorder.pings()) > seen)
        return recorder.pings()

    pings = play(tmp_path, "burst@08:30:30+5m=10", scenario, play=REAL_TIME, server_clock=server_clock)
    seconds = [int(ping[8:10]) * 3600 + int(ping[10:12]) * 60 + int(ping[12:]) for ping in pings]
    steps = [after - before for before, after in pairwise(seconds)]
    assert steps[:1] == [10]
    assert steps[-1] == 10
    assert max(steps) == 100


# --- REST ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("http@rest:1=500[inquire-price]", 500),
        ("gateway@rest:1=EGW00201[FHKST01010100]", 500),
        ("gateway@rest:1=EGW00001[005930]", 500),
        ("badjson@rest:1[inquire-price]", 200),
        ("reset@rest:1[inquire-price]", None),
    ],
)
def test_a_call_that_goes_wrong_once_is_made_again(tmp_path, fault, first):
    async def scenario(stage):
        price = await stage.call(stage.rest.price("005930"))
        return price, [reply.status for reply in stage.replies], stage.simulator.report()["faults"]

    price, statuses, faults = play(tmp_path, fault, scenario, play=STILL)
    assert price.symbol == "005930"
    assert statuses == ([200] if first is None else [first, 200])
    assert [entry["count"] for entry in faults] == [1]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http=503[inquire-price]", BrokerUnreachableError),
        ("gateway[inquire-price]", RateLimitedError),
        ("gateway=EGW00123[inquire-price]", TokenExpiredError),
        ("gateway=EGW00206[inquire-price]", BrokerReplyError),
        ("badjson[inquire-price]", BrokerUnreachableError),
        ("reset[inquire-price]", BrokerUnreachableError),
    ],
)
def test_a_call_that_goes_on_going_wrong_is_given_up_with_its_reason(tmp_path, fault, error):
    async def scenario(stage):
        with pytest.raises(error) as given_up:
            await stage.call(stage.rest.price("005930"))
        return str(given_up.value), await stage.call(stage.rest.asking_price("005930"))

    said, book = play(tmp_path, fault, scenario, play=STILL)
    assert "TOPSECRET" not in said
    assert book is not None


def test_a_slow_call_is_waited_for(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        call = asyncio.create_task(stage.rest.price("005930"))
        await until(lambda: stage.done("slow"))
        assert not call.done()
        await server_clock.advance(3.0)
        return (await call).symbol

    assert play(tmp_path, "slow=3s[inquire-price]", scenario, play=STILL, server_clock=server_clock) == "005930"


def test_a_token_that_ends_in_the_middle_of_a_run_is_replaced(tmp_path):
    async def scenario(stage):
        await stage.call(stage.rest.price("005930"))
        await stage.call(stage.rest.price("000660"))
        return [(reply.status, json.loads(reply.body).get("msg_cd")) for reply in stage.replies]

    replies = play(tmp_path, "expire@rest:3", scenario, play=STILL)  # a token, a call, and then
    assert replies == [(200, "MCA00000"), (500, "EGW00123"), (200, "MCA00000")]


def test_approval_and_token_may_be_refused_for_a_moment(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: recorder.named("settled"))
        return recorder, stage.simulator.report()["faults"]

    recorder, faults = play(tmp_path, "http@rest:1-2=502[Approval]", scenario, play=STILL)
    assert len(recorder.named("unreachable")) == 2
    assert recorder.named("settled")[0]["registered"] == 3
    assert faults[0]["count"] == 2
