import asyncio
import contextlib
import json
import logging
import os
import socket
import struct
import threading
from random import Random

import picows
import pytest

from hosu.clock import SimulatedClock, SystemClock
from hosu.errors import BrokerReplyError, LockedError
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Host

APPROVAL = "/oauth2/Approval"
TEXT = picows.WSMsgType.TEXT
A, B, C = (Registration("H0STCNT0", key) for key in ("000001", "000002", "000003"))
PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20250915090000"}}'
TRADE = b"0|H0STCNT0|001|000001^090000^100"
START_US = 1_757_894_400_000_000


def ack(registration, code="OPSP0000", *, encrypt="N", rt_cd="0"):
    output = {"iv": "0123456789abcdef", "key": "abcdefghijklmnopabcdefghijklmnop"}
    header = {"tr_id": registration.tr_id, "tr_key": registration.key, "encrypt": encrypt}
    body = {"rt_cd": rt_cd, "msg_cd": code, "msg1": "TEXT", "output": output}
    return json.dumps({"header": header, "body": body}).encode()


def blank(acknowledgement):
    """An acknowledgement as it reaches the receiver."""
    return acknowledgement.replace(b"0123456789abcdef", b"***").replace(b"abcdefghijklmnopabcdefghijklmnop", b"***")


class Session(picows.WSListener):
    """One connection on the server's side; ``server.on_message`` says what it answers."""

    def __init__(self, server):
        self.server, self.received, self.registered, self.closed = server, [], [], False
        server.sessions.append(self)

    def on_ws_connected(self, transport):
        self.transport = transport
        self.server.on_connect(self)

    def on_ws_frame(self, transport, frame):
        payload = frame.get_payload_as_bytes()
        if frame.msg_type is picows.WSMsgType.CLOSE:
            self.close_code = int.from_bytes(payload[:2])
            transport.disconnect()
            return
        self.received.append((frame.msg_type, payload))
        if frame.msg_type is TEXT and payload != PING:
            message = json.loads(payload)
            wanted = message["body"]["input"]
            registration = Registration(wanted["tr_id"], wanted["tr_key"])
            self.registered.append(registration)
            self.server.requests.append(message)
            self.server.on_register(self, registration)

    def on_ws_disconnected(self, transport):
        self.closed = True

    def send(self, *payloads):
        for payload in payloads:
            self.transport.send(TEXT, payload)

    def close(self, code=1000):
        self.transport.send(picows.WSMsgType.CLOSE, struct.pack(">H", code))


class Server:
    def __init__(self):
        self.sessions, self.requests = [], []
        self.on_connect = lambda session: None
        self.on_register = lambda session, registration: session.send(ack(registration))

    @contextlib.asynccontextmanager
    async def serving(self):
        server = await picows.ws_create_server(lambda request: Session(self), "127.0.0.1", 0)
        self.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/tryitout"
        try:
            yield self
        finally:
            server.close()
            for session in self.sessions:
                session.transport.disconnect(graceful=False)
            await until(lambda: all(session.closed for session in self.sessions))


class Recorder:
    """A receiver that remembers; says stop while ``full``."""

    def __init__(self):
        self.taken, self.events, self.full = [], [], False

    def frames(self, connection, ts_recv_us, payloads):
        self.taken += [(connection, ts_recv_us, payload) for payload in payloads]
        return not self.full

    def session_event(self, connection, event):
        json.dumps(event)
        self.events.append((connection, event))

    @property
    def payloads(self):
        return [payload for _, _, payload in self.taken]

    @property
    def names(self):
        return [event["event"] for _, event in self.events]

    def event(self, name):
        return next((event for _, event in self.events if event["event"] == name), None)


async def until(condition, clock=None, step_s=0.1):
    deadline = asyncio.get_running_loop().time() + 20
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, "waited in vain"
        await asyncio.sleep(0.001)
        if clock is not None:
            await clock.advance(step_s)


class Stage:
    """A feed, its receiver and a server."""

    def __init__(self, client, broker, server, folder):
        self.client, self.broker, self.server, self.folder = client, broker, server, folder
        self.recorder, self.expects = Recorder(), True
        broker.answer(APPROVAL, *((200, {"approval_key": f"APPROVAL{n}"}) for n in range(99)))

    def feed(self, clock=None, **config):
        defaults = {"register_interval_s": 0.0, "backoff_min_s": 0.001, "backoff_max_s": 0.001}
        return Feed(
            FeedConfig(self.folder, **(defaults | config)),
            Host("simulator", self.client.host.rest, self.server.url),
            self.client.auth,
            clock or SystemClock(),
            self.recorder,
            expects_data=lambda now_us: self.expects,
            random=Random(1),
        )

    @contextlib.asynccontextmanager
    async def running(self, feed, *desired):
        task = asyncio.create_task(feed.run(desired))
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(params=["asyncio", "uvloop"])
def stage(request, client_and_broker, tmp_path):
    """Runs ``scenario(stage)`` on both event loops."""

    def run(scenario):
        async def with_server(client, broker):
            async with Server().serving() as server:
                result = await scenario(Stage(client, broker, server, tmp_path / "cache"))
            others = asyncio.all_tasks() - {asyncio.current_task()}
            assert not [task for task in others if task.get_name().startswith("kis-")]
            return result

        return client_and_broker(with_server, uvloop=request.param == "uvloop")

    return run


def test_registrations_go_out_by_priority_and_frames_come_in_as_they_were(stage):
    async def scenario(s):
        s.server.on_register = lambda session, registration: session.send(ack(registration), TRADE)
        async with s.running(s.feed(), A, B):
            await until(lambda: "settled" in s.recorder.names and len(s.recorder.taken) == 4)
        return s.recorder, s.server

    recorder, server = stage(scenario)
    assert [request["body"]["input"]["tr_key"] for request in server.requests] == ["000001", "000002"]
    assert server.requests[0]["header"] == {
        "approval_key": "APPROVAL0",
        "custtype": "P",
        "tr_type": "1",
        "content-type": "utf-8",
    }
    assert sorted(recorder.payloads) == sorted([blank(ack(A)), TRADE, blank(ack(B)), TRADE])
    assert {connection for connection, _, _ in recorder.taken} == {1}
    assert recorder.names == ["connected", "registered", "registered", "settled", "disconnected"]
    settled = {"event": "settled", "registered": 2, "refused": 0, "unanswered": 0, "not_covered": []}
    assert recorder.event("settled") == settled
    assert server.sessions[0].close_code == 1000


def test_a_pingpong_is_echoed_and_a_protocol_ping_answered(stage):
    async def scenario(s):
        def greet(session):
            session.send(PING)
            session.transport.send_ping(b"hello")
            session.send(TRADE)

        s.server.on_connect = greet
        async with s.running(s.feed()):
            await until(lambda: s.server.sessions and len(s.server.sessions[0].received) == 2)
        return s.server.sessions[0].received, s.recorder.payloads

    received, payloads = stage(scenario)
    assert received == [(TEXT, PING), (picows.WSMsgType.PONG, b"hello")]
    assert payloads == [PING, TRADE]


def test_messages_in_parts_are_joined_and_large_ones_taken(stage):
    large = b"0|H0STCNT0|001|" + b"x" * 3_000_000

    async def scenario(s):
        def greet(session):
            session.transport.send(TEXT, TRADE[:10], False)
            session.transport.send_ping(b"between")
            session.transport.send(picows.WSMsgType.CONTINUATION, TRADE[10:20], False)
            session.transport.send(picows.WSMsgType.CONTINUATION, TRADE[20:])
            session.send(large, b"")
            session.transport.send(picows.WSMsgType.BINARY, b"binary")

        s.server.on_connect = greet
        async with s.running(s.feed()):
            await until(lambda: len(s.recorder.taken) == 4)
        return s.recorder.payloads

    assert stage(scenario) == [TRADE, large, b"", b"binary"]


@pytest.mark.parametrize(
    ("parts", "cause"),
    [
        ([(TEXT, False), (TEXT, True)], "broke the order"),
        ([(picows.WSMsgType.CONTINUATION, True)], "broke the order"),
        ([(TEXT, False), (picows.WSMsgType.CONTINUATION, False)], "a message of more than"),
    ],
)
def test_parts_out_of_order_or_without_end_are_a_drop(stage, parts, cause):
    async def scenario(s):
        def greet(session):
            if len(s.server.sessions) == 1:
                for kind, fin in parts:
                    session.transport.send(kind, b"x" * 60, fin)

        s.server.on_connect = greet
        async with s.running(s.feed(max_message_bytes=100)):
            await until(lambda: s.recorder.names.count("connected") == 2)
        return s.recorder.event("disconnected"), s.recorder.payloads

    event, payloads = stage(scenario)
    assert cause in event["cause"]
    assert payloads == []


def test_a_frame_beyond_the_limit_is_a_drop(stage):
    async def scenario(s):
        s.server.on_connect = lambda session: session.send(b"x" * 200) if len(s.server.sessions) == 1 else None
        async with s.running(s.feed(max_message_bytes=100)):
            await until(lambda: s.recorder.names.count("connected") == 2)
        return s.recorder.payloads

    assert stage(scenario) == []


def test_key_and_vector_reach_memory_and_not_the_receiver(stage):
    notice = Registration("H0STCNI0", "myhtsid")

    async def scenario(s):
        s.server.on_register = lambda session, registration: session.send(
            ack(registration, encrypt="Y" if registration == notice else "N")
        )
        feed = s.feed()
        async with s.running(feed, notice, A):
            await until(lambda: len(s.recorder.taken) == 2)
            key = feed.notice_key("H0STCNI0")
            assert feed.notice_key("H0STCNT0") is None
        return key, s.recorder, feed.notice_key("H0STCNI0")

    key, recorder, afterwards = stage(scenario)
    assert (key.key, key.iv) == ("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
    assert afterwards is None
    assert [json.loads(each)["body"]["output"] for each in recorder.payloads] == [{"iv": "***", "key": "***"}] * 2
    assert "abcdefghijkl" not in repr(recorder.__dict__)
    assert "APPROVAL" not in repr(recorder.__dict__)


def test_one_read_of_the_socket_has_one_receive_time(stage):
    async def scenario(s):
        clock = SimulatedClock(START_US)
        ticking = iter(range(START_US, START_US + 10**9, 7))
        clock.now_us = lambda: next(ticking)
        s.server.on_connect = lambda session: session.send(*[TRADE] * 50)
        async with s.running(s.feed(clock)):
            await until(lambda: len(s.recorder.taken) == 50)
            s.server.sessions[0].send(TRADE)
            await until(lambda: len(s.recorder.taken) == 51)
        return [ts for _, ts, _ in s.recorder.taken]

    times = stage(scenario)
    assert times == sorted(times)
    assert len(set(times[:50])) < 50
    assert times[50] > times[49]


def test_slots_learnt_from_a_refusal_leave_the_rest_uncovered(stage):
    async def scenario(s):
        def answer(session, registration):
            full = len(session.registered) > 1
            session.send(ack(registration, "OPSP0008" if full else "OPSP0000", rt_cd="1" if full else "0"))

        s.server.on_register = answer
        feed = s.feed()
        async with s.running(feed, A, B, C):
            await until(lambda: "settled" in s.recorder.names)
            return s.recorder.event("settled"), s.recorder.event("slots"), feed.registrations.limit

    settled, slots, limit = stage(scenario)
    assert settled["registered"] == 1
    assert settled["not_covered"] == [["H0STCNT0", "000002"], ["H0STCNT0", "000003"]]
    assert (slots["limit"], limit) == (1, 1)


def test_more_than_the_slots_are_never_asked_for(stage):
    async def scenario(s):
        async with s.running(s.feed(slots=2), A, B, C):
            await until(lambda: "settled" in s.recorder.names)
        return len(s.server.requests), s.recorder.event("settled")["not_covered"]

    assert stage(scenario) == (2, [["H0STCNT0", "000003"]])


def test_already_registered_is_registered_and_a_bad_symbol_is_said(stage):
    async def scenario(s):
        codes = {A: "OPSP0002", B: "OPSP8992"}
        s.server.on_register = lambda session, asked: session.send(ack(asked, codes[asked]))
        async with s.running(s.feed(), A, B):
            await until(lambda: "settled" in s.recorder.names)
        return s.recorder.event("settled"), s.recorder.event("refused")

    settled, refused = stage(scenario)
    assert (settled["registered"], settled["refused"]) == (1, 1)
    assert refused == {"event": "refused", "tr_id": "H0STCNT0", "key": "000002", "code": "OPSP8992", "text": "TEXT"}


def test_an_unanswered_registration_is_sent_again_and_then_given_up(stage):
    async def scenario(s):
        clock = SimulatedClock(START_US)
        s.server.on_register = lambda session, registration: None
        s.expects = False
        async with s.running(s.feed(clock), A):
            await until(lambda: "settled" in s.recorder.names, clock, 0.5)
        return s.recorder, len(s.server.requests)

    recorder, requests = stage(scenario)
    assert recorder.names.count("unanswered") == requests == 3
    assert recorder.event("settled")["unanswered"] == 1


def test_after_a_drop_everything_is_registered_again(stage):
    async def scenario(s):
        async with s.running(s.feed(), A, B):
            await until(lambda: "settled" in s.recorder.names)
            s.server.sessions[0].transport.disconnect(graceful=False)
            await until(lambda: s.recorder.names.count("settled") == 2)
            s.server.sessions[1].close(1011)
            await until(lambda: s.recorder.names.count("settled") == 3)
        return s.recorder, [session.registered for session in s.server.sessions], s.broker.count(APPROVAL)

    recorder, registered, approvals = stage(scenario)
    assert registered == [[A, B]] * 3
    assert approvals == 1
    ends = [(number, event["code"]) for number, event in recorder.events if event["event"] == "disconnected"]
    assert ends == [(1, 1006), (2, 1011), (3, None)]
    assert {connection for connection, _, _ in recorder.taken} == {1, 2, 3}


def test_a_normal_end_stops_the_feed_only_when_told_so(stage):
    async def scenario(s):
        def send_and_end(session, registration):
            session.send(ack(registration), *[TRADE] * 1000)
            session.close(1000)

        s.server.on_register = send_and_end
        await s.feed(stop_on_close=True).run([A])
        stopped = s.recorder.payloads.count(TRADE), s.recorder.names[-1]
        async with s.running(s.feed(), A):
            await until(lambda: len(s.server.sessions) == 3)
        return stopped

    assert stage(scenario) == (1000, "disconnected")


def test_an_appkey_in_use_is_left_alone_for_a_minute(stage):
    async def scenario(s):
        clock, starts = SimulatedClock(START_US), []
        in_use = ack(Registration("(null)", ""), "OPSP8996", rt_cd="9")
        s.server.on_connect = lambda session: starts.append(clock.now_us())
        s.server.on_register = lambda session, registration: session.send(
            in_use if len(s.server.sessions) == 1 else ack(registration)
        )
        async with s.running(s.feed(clock), A):
            await until(lambda: "settled" in s.recorder.names, clock, 0.5)
        return s.recorder, (starts[1] - starts[0]) / 1e6

    recorder, waited_s = stage(scenario)
    assert waited_s >= 60
    assert "another program or machine may hold a session" in recorder.event("in_use")["text"]
    assert recorder.event("reconnecting")["delay_s"] >= 60


def test_no_free_slot_at_all_is_left_alone_for_a_minute_too(stage):
    async def scenario(s):
        clock, starts = SimulatedClock(START_US), []
        s.server.on_connect = lambda session: starts.append(clock.now_us())
        s.server.on_register = lambda session, registration: session.send(
            ack(registration, "OPSP0008" if len(s.server.sessions) == 1 else "OPSP0000")
        )
        async with s.running(s.feed(clock), A, B):
            await until(lambda: s.recorder.names.count("settled") == 2, clock, 0.05)
        return (starts[1] - starts[0]) / 1e6, s.server.sessions[1].registered

    waited_s, registered = stage(scenario)
    assert waited_s >= 60
    assert registered == [A, B]


def test_an_unknown_approval_key_is_replaced_once(stage):
    async def scenario(s):
        s.server.on_register = lambda session, registration: session.send(
            ack(registration, "OPSP0011" if len(s.server.sessions) == 1 else "OPSP0000")
        )
        async with s.running(s.feed(), A):
            await until(lambda: "settled" in s.recorder.names)
        keys = [request["header"]["approval_key"] for request in s.server.requests]
        s.server.on_register = lambda session, registration: session.send(ack(registration, "OPSP0011"))
        with pytest.raises(BrokerReplyError, match="check the application key"):
            await s.feed().run([A])
        return keys, len(s.server.sessions)

    assert stage(scenario) == (["APPROVAL0", "APPROVAL1"], 4)


def test_a_key_that_will_never_do_ends_the_feed(stage):
    async def scenario(s):
        s.server.on_register = lambda session, registration: session.send(ack(registration, "OPSP9994"))
        with pytest.raises(BrokerReplyError, match="OPSP9994"):
            await s.feed().run([A])
        return len(s.server.sessions), s.recorder.names[-1]

    assert stage(scenario) == (1, "disconnected")


def test_silence_while_data_is_expected_is_a_drop(stage):
    async def scenario(s):
        clock = SimulatedClock(START_US)
        async with s.running(s.feed(clock), A):
            await until(lambda: "settled" in s.recorder.names, clock)
            s.expects = False
            await clock.advance(300)
            assert "silence" not in s.recorder.names
            s.expects = True
            await clock.advance(29)
            assert "silence" not in s.recorder.names
            await until(lambda: len(s.server.sessions) == 2, clock, 0.5)
        return s.recorder

    recorder = stage(scenario)
    assert recorder.names[2:6] == ["settled", "silence", "disconnected", "reconnecting"]
    assert recorder.event("silence")["seconds"] >= 30
    assert recorder.event("disconnected")["cause"].startswith("no message for 3")


def test_pingpongs_alone_are_no_silence(stage):
    async def scenario(s):
        clock = SimulatedClock(START_US)
        async with s.running(s.feed(clock), A):
            await until(lambda: "settled" in s.recorder.names, clock)
            for count in range(1, 8):
                await clock.advance(10)
                s.server.sessions[0].send(PING)
                await until(lambda count=count: s.recorder.payloads.count(PING) == count)
        return s.recorder.names

    assert "silence" not in stage(scenario)


def test_a_full_receiver_stops_the_reading_and_loses_nothing(stage):
    count, payload = 3000, TRADE + b"x" * 10_000

    async def scenario(s):
        feed = s.feed()
        async with s.running(feed, A):
            await until(lambda: "settled" in s.recorder.names)
            s.recorder.full = True
            session = s.server.sessions[0]
            session.send(*(b"%05d" % n + payload for n in range(count)))
            await until(lambda: "paused" in s.recorder.names)
            taken = len(s.recorder.taken)
            for _ in range(50):
                await asyncio.sleep(0)
            assert len(s.recorder.taken) == taken < count
            s.recorder.full = False
            threading.Thread(target=feed.resume).start()
            await until(lambda: len(s.recorder.taken) == count + 1)
        feed.resume()
        return [int(frame[:5]) for frame in s.recorder.payloads[1:]], s.recorder.names

    numbers, names = stage(scenario)
    assert numbers == list(range(count))
    assert names == ["connected", "registered", "settled", "paused", "resumed", "disconnected"]


def test_a_failing_receiver_ends_the_feed_with_its_own_error(stage):
    async def scenario(s):
        def fail(connection, ts_recv_us, payload):
            raise OSError(28, "No space left on device")

        s.recorder.frames = fail
        with pytest.raises(OSError, match="No space left"):
            await s.feed().run([A])
        return s.recorder.names[-1]

    assert stage(scenario) == "disconnected"


def test_beyond_the_hourly_cap_the_feed_waits_and_goes_on(stage):
    async def scenario(s):
        clock, starts = SimulatedClock(START_US), []

        def drop(session):
            starts.append(clock.now_us())
            session.close(1000)

        s.server.on_connect = drop
        async with s.running(s.feed(clock, reconnects_per_hour=5, backoff_max_s=60.0), A):
            await until(lambda: "capped" in s.recorder.names, clock)
            assert len(s.server.sessions) == 5
            await until(lambda: len(s.server.sessions) == 6, clock, 5)
        return s.recorder.event("capped"), [(at - starts[0]) / 1e6 for at in starts]

    capped, starts = stage(scenario)
    assert (capped["event"], capped["connections"]) == ("capped", 5)
    assert starts[4] < 300
    assert 3600 - 300 < capped["seconds"] < 3660
    assert 3600 <= starts[5] < 3700


def test_nobody_there_is_said_and_tried_again_without_end(stage, unused_port):
    async def scenario(s):
        s.server.url = f"ws://127.0.0.1:{unused_port}"
        async with s.running(s.feed(reconnects_per_hour=2), A):
            await until(lambda: s.recorder.names.count("unreachable") == 5)
        return s.recorder.event("unreachable")["address"], set(s.recorder.names)

    address, names = stage(scenario)
    assert address == f"ws://127.0.0.1:{unused_port}"
    assert names == {"unreachable", "reconnecting"}


def test_a_server_that_never_shakes_hands_is_given_up_on(stage):
    async def scenario(s):
        # Its backlog takes connections, and nobody ever reads from them.
        with socket.create_server(("127.0.0.1", 0)) as mute:
            s.server.url = f"ws://127.0.0.1:{mute.getsockname()[1]}"
            async with s.running(s.feed(connect_timeout_s=0.05), A):
                await until(lambda: s.recorder.names.count("unreachable") == 2)
            async with s.running(s.feed(connect_timeout_s=60), A) as task:  # cancelled in the middle of the handshake
                await asyncio.sleep(0)
                task.cancel()
        return set(s.recorder.names)

    assert stage(scenario) == {"unreachable", "reconnecting"}


def test_a_server_that_never_shakes_hands_counts_as_an_attempt(stage):
    async def scenario(s):
        with socket.create_server(("127.0.0.1", 0)) as mute:
            s.server.url = f"ws://127.0.0.1:{mute.getsockname()[1]}"
            async with s.running(s.feed(connect_timeout_s=0.05, reconnects_per_hour=3), A):
                await until(lambda: "capped" in s.recorder.names)
        return s.recorder.names.count("unreachable"), s.recorder.event("unreachable")["cause"]

    attempts, cause = stage(scenario)
    assert attempts == 3
    assert "no answer to the handshake" in cause


def test_a_server_that_is_no_websocket_counts_as_an_attempt(stage):
    async def scenario(s):
        s.server.url = s.client.host.rest.replace("http", "ws")
        async with s.running(s.feed(reconnects_per_hour=3), A):
            await until(lambda: "capped" in s.recorder.names)
        return s.recorder.names.count("unreachable")

    assert stage(scenario) == 3


def test_picows_says_nothing_of_connections_that_our_events_tell_of(stage, caplog):
    async def scenario(s):
        async with s.running(s.feed(), A):
            await until(lambda: "settled" in s.recorder.names)

    with caplog.at_level(logging.INFO):
        stage(scenario)
    said = {record.name.rstrip(".0123456789") for record in caplog.records}
    assert said <= {"picows.server", "aiohttp.access"}  # this test's own servers


def test_one_session_per_appkey(stage):
    async def scenario(s):
        async with s.running(s.feed(), A):
            await until(lambda: "settled" in s.recorder.names)
            fingerprint = s.client.credentials.fingerprint
            with pytest.raises(LockedError, match=f"the appkey {fingerprint} is in use by process {os.getpid()}"):
                await s.feed().run([A])
        return len(s.server.sessions)

    assert stage(scenario) == 1
