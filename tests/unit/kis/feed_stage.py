"""A feed, a receiver that remembers, and a server that answers as the test tells it."""

import asyncio
import contextlib
import json
import struct
from random import Random

import picows

import feed_running
from hosu.clock import SystemClock
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Host

APPROVAL = "/oauth2/Approval"
TEXT = picows.WSMsgType.TEXT
A, B, C = (Registration("H0STCNT0", key) for key in ("000001", "000002", "000003"))
PING = b'{"header":{"tr_id":"PINGPONG","datetime":"20250915090000"}}'
TRADE = b"0|H0STCNT0|001|000001^090000^100"
START_US = 1_757_894_400_000_000  # 2025-09-15T09:00:00+09:00


def ack(registration, code="OPSP0000", *, encrypt="N", rt_cd="0"):
    output = {"iv": "0123456789abcdef", "key": "abcdefghijklmnopabcdefghijklmnop"}
    header = {"tr_id": registration.tr_id, "tr_key": registration.key, "encrypt": encrypt}
    body = {"rt_cd": rt_cd, "msg_cd": code, "msg1": "TEXT", "output": output}
    return json.dumps({"header": header, "body": body}).encode()


def blank(acknowledgement):
    """An acknowledgement as it reaches the receiver."""
    return acknowledgement.replace(b"0123456789abcdef", b"***").replace(b"abcdefghijklmnopabcdefghijklmnop", b"***")


class Session(picows.WSListener):
    """One connection on the server's side; ``server.on_connect`` and ``server.on_register`` say what it answers."""

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
    """Grants every registration, unless the test says otherwise."""

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

    def running(self, feed, *desired):
        return feed_running.running(feed, desired)
