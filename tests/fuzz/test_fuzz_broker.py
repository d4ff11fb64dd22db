"""A broker that says anything: HTTP replies of every call the client makes, and WebSocket messages to the feed.

The broker is a real server on a socket of its own; a call is given few and short tries.
"""

import asyncio
import base64
import contextlib
import datetime as dt
import hashlib
import json
from random import Random

import pytest
from hostile import PIECES, accepted_or_refused, assert_readable, mutated, mutated_json, nested, patience
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.clock import SimulatedClock
from hosu.errors import BrokerReplyError, BrokerUnreachableError
from hosu.kis.auth import Auth
from hosu.kis.feed import Feed, FeedConfig, Registration
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http, HttpConfig
from hosu.kis.limits import Governor, Pace
from hosu.kis.rest import RestClient, RestConfig, download_master
from hosu.market.instruments import Market

START_US = 1_757_894_400_000_000  # 2025-09-15T09:00:00+09:00
TOKEN = {"access_token": "T" * 40, "token_type": "Bearer", "expires_in": 86_400,
         "access_token_token_expired": "2025-09-16 09:00:00"}  # fmt: skip
APPROVAL = {"approval_key": "A" * 36}
ERROR = {"rt_cd": "1", "msg_cd": "EGW00201", "msg1": "초당 거래건수를 초과하였습니다."}
DAY = dt.date(2025, 9, 15)
UNTIL = dt.time(10, 0)

ROW = {"stck_shrn_iscd": "005930", "stck_prpr": "71900", "acml_vol": "7", "stck_bsop_date": "20250912",
       "stck_cntg_hour": "095900", "inter_shrn_iscd": "005930", "askp1": "72000", "bass_dt": "20250915", "bzdy_yn": "Y",
       "mksc_shrn_iscd": "005930", "data_rank": "1", "prdt_abrv_name": "삼성전자", "vi_cls_code": "N"}  # fmt: skip
REPLY = {"rt_cd": "0", "msg_cd": "MCA00000", "msg1": "ok", "output": [ROW, ROW], "output1": ROW, "output2": [ROW],
         "ctx_area_fk": "k", "ctx_area_nk": "n"}  # fmt: skip
CALLS = {
    "price": lambda rest: rest.price("005930"),
    "asking_price": lambda rest: rest.asking_price("005930"),
    "conclusions": lambda rest: rest.conclusions("005930"),
    "time_conclusions": lambda rest: rest.time_conclusions("005930", UNTIL),
    "multi_price": lambda rest: rest.multi_price(["005930", "000660"]),
    "daily_price": lambda rest: rest.daily_price("005930"),
    "daily_chart": lambda rest: rest.daily_chart("005930", dt.date(2025, 9, 1), DAY),
    "minute_chart": lambda rest: rest.minute_chart("005930", UNTIL),
    "dated_minute_chart": lambda rest: rest.dated_minute_chart("005930", DAY, UNTIL),
    "holidays": lambda rest: rest.holidays(DAY, pages=3),
    "vi_status": lambda rest: rest.vi_status(DAY),
    "stock_info": lambda rest: rest.stock_info("005930"),
    "volume_rank": lambda rest: rest.volume_rank(),
}
"""Every call of ``RestClient``; one that is added and not named here fails a test below."""

BODIES = st.one_of(
    mutated_json(REPLY),
    mutated_json(ERROR),
    st.sampled_from([b"", b"\xff\xfe", b"null", b"[]", b"<html>", nested(20_000).encode(), b'{"a":' * 3_000]),
    st.binary(max_size=30),
)
HEADS = st.one_of(
    st.sampled_from([200] * 8 + [301, 403, 429, 500, 503, 999]).map(
        lambda status: f"HTTP/1.1 {status} X\r\ntr_cont: F\r\nLocation: http://127.0.0.1:1/\r\n".encode()
    ),
    mutated(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\ntr_cont: M\r\nContent-Encoding: gzip\r\n", 2),
)


class Broker:
    """Answers every request with the next of ``answers``: whole HTTP responses, byte for byte; then closes."""

    def __init__(self, answers):
        self._answers, self._given = answers, 0

    async def serve(self, reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                (int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line), 0
            )
            await reader.readexactly(length)
            writer.write(self._answers[min(self._given, len(self._answers) - 1)])
            self._given += 1
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def response(head, body):
    return head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body


def sound(message):
    return response(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", json.dumps(message).encode())


def asked(folder, answers, call, *, issue_token=True):
    """What ``call(rest, auth, http, url)`` returns against a broker that gives these answers, after a sound token."""

    async def main():
        broker = Broker(([sound(TOKEN)] if issue_token else []) + answers)
        server = await asyncio.start_server(broker.serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        clock = Hurried(START_US)
        async with server, Http(HttpConfig(total_timeout_s=5, max_reply_bytes=1 << 20)) as http:
            host, credentials = (
                Host("simulator", url, "ws://127.0.0.1:1"),
                Credentials("PSappkey", "TOPSECRETappsecret"),
            )
            governor = Governor(folder / "governor", Pace(12, 1.0), clock)
            auth = Auth(host, credentials, http, governor, cache_dir=folder, clock=clock)
            rest = RestClient(
                host, credentials, auth, governor, http, clock=clock, random=Random(1), config=RestConfig(tries=2)
            )  # fmt: skip
            return await call(rest, auth, http, url)

    for old in folder.glob("auth-*.json"):
        old.unlink()
    return asyncio.run(main())


class Hurried(SimulatedClock):
    """A simulated clock on which a wait is over at once."""

    async def sleep(self, seconds):
        waiting = asyncio.ensure_future(super().sleep(seconds))
        await asyncio.sleep(0)
        await self.advance(seconds)
        await waiting


def test_every_call_of_the_client_is_tried():
    public = {name for name in vars(RestClient) if not name.startswith("_")}
    assert public == set(CALLS)


@examples(300)
@given(st.sampled_from(sorted(CALLS)), st.lists(st.tuples(HEADS, BODIES), min_size=1, max_size=3))
def test_every_reply_of_every_call_is_read_or_refused(tmp_path, name, answers):
    with accepted_or_refused():
        asked(tmp_path, [response(*each) for each in answers], lambda rest, *_: CALLS[name](rest))


@pytest.mark.parametrize("area", ["\ud800", "k" * 60_000, [[]], None, {"a": 1}])
def test_a_page_mark_that_fits_no_address_keeps_no_page_from_being_read(tmp_path, area):
    head = b"HTTP/1.1 200 OK\r\ntr_cont: M\r\n"
    answers = [response(head, json.dumps({**REPLY, "ctx_area_fk": area}).encode()), sound(REPLY)]
    days = asked(tmp_path, answers, lambda rest, *_: rest.holidays(DAY, pages=2))
    assert [day.date for day in days] == ["20250915"] * 4  # two of each page


def test_an_outcome_nested_as_deep_as_json_can_be_read_is_no_success(tmp_path):
    for depth in range(900, 1_000, 7):
        body = json.dumps(REPLY).replace('"rt_cd": "0"', f'"rt_cd": {nested(depth)}').encode()
        with patience(), pytest.raises((BrokerReplyError, BrokerUnreachableError)) as refused:
            asked(tmp_path, [response(b"HTTP/1.1 200 OK\r\n", body)], lambda rest, *_: rest.price("005930"))
        assert_readable(str(refused.value))


READ = {
    "price": ("price", 71_900.0),
    "asking_price": ("ask_prices", (72_000.0, *[None] * 9)),
    "conclusions": ("cum_volume", 7),
    "time_conclusions": ("cum_volume", 7),
    "multi_price": ("cum_volume", 7),
    "daily_price": ("volume", 7),
    "daily_chart": ("volume", 7),
    "minute_chart": ("close", 71_900.0),
    "dated_minute_chart": ("close", 71_900.0),
    "holidays": ("business", True),
    "vi_status": ("vi_code", "N"),
    "stock_info": ("name", "삼성전자"),
    "volume_rank": ("rank", 1),
}
"""Of each call, one field of its first row and what ``REPLY`` says there."""


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_call_reads_a_sound_reply(tmp_path, name):
    told = asked(tmp_path, [sound(REPLY)], lambda rest, *_: CALLS[name](rest))
    first = told[0] if isinstance(told, list) else told
    field, value = READ[name]
    assert getattr(first, field) == value


@examples(150)
@given(
    st.lists(st.tuples(HEADS, st.one_of(mutated_json(TOKEN), mutated_json(APPROVAL), BODIES)), min_size=1, max_size=3)
)
def test_every_answer_to_a_request_for_a_key_is_used_or_refused(tmp_path, answers):
    async def both(rest, auth, http, url):
        with accepted_or_refused():
            await auth.approval_key()
        with accepted_or_refused():
            await auth.access_token()

    asked(tmp_path, [response(*each) for each in answers], both, issue_token=False)


@examples(60)
@given(
    st.one_of(st.binary(max_size=200), mutated(sound(REPLY), 6), st.just(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5_000))
)
def test_bytes_that_are_no_http_make_the_broker_unreachable_or_are_a_reply(tmp_path, raw):
    async def call(rest, auth, http, url):
        with accepted_or_refused():
            await http.get(url)
        with accepted_or_refused():
            await download_master(http, Market.KOSPI, url)

    asked(tmp_path, [raw], call, issue_token=False)


def test_a_reply_packed_to_a_thousandth_is_refused_before_it_fills_the_memory(tmp_path):
    import gzip

    packed = gzip.compress(bytes(64 << 20))
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"

    async def call(rest, auth, http, url):
        with pytest.raises(BrokerUnreachableError, match="exceeds"):
            await http.get(url)

    asked(tmp_path, [response(head, packed)], call, issue_token=False)


# --- the WebSocket --------------------------------------------------------------------------------------------------

ACK = {
    "header": {"tr_id": "H0STCNT0", "tr_key": "005930", "encrypt": "N"},
    "body": {
        "rt_cd": "0",
        "msg_cd": "OPSP0000",
        "msg1": "SUBSCRIBE SUCCESS",
        "output": {"iv": "i" * 16, "key": "k" * 32},
    },
}
PING = {"header": {"tr_id": "PINGPONG", "datetime": "20250915090000"}}
MESSAGES = st.one_of(
    mutated_json(ACK), mutated_json(PING), mutated(b"0|H0STCNT0|001|005930^093354"), st.binary(max_size=200)
)  # fmt: skip


def ws_frame(opcode, payload, *, fin=True):
    length = len(payload)
    size = (
        bytes([length])
        if length < 126
        else b"\x7e" + length.to_bytes(2)
        if length < 65_536
        else b"\x7f" + length.to_bytes(8)
    )
    return bytes([opcode | (0x80 if fin else 0)]) + size + payload


WS_BYTES = st.lists(
    st.one_of(
        st.builds(ws_frame, st.just(1), MESSAGES),
        st.builds(ws_frame, st.integers(0, 15), MESSAGES, fin=st.booleans()),
        st.builds(ws_frame, st.just(1), MESSAGES).flatmap(lambda valid: mutated(valid, 2)),
        PIECES,
        st.just(b"\x81\x7f\x7f" + b"\xff" * 7),  # a frame of 2**63 bytes
    ),
    max_size=6,
).map(b"".join)


class Kept:
    """A receiver that keeps what it gets."""

    def __init__(self):
        self.payloads, self.events = [], []

    def frames(self, connection, ts_recv_us, payloads):
        assert all(isinstance(each, bytes) for each in payloads)
        self.payloads += payloads
        return True

    def session_event(self, connection, event):
        json.dumps(event).encode()
        self.events.append(event)


@examples(100)
@given(WS_BYTES, st.booleans())
def test_whatever_comes_over_the_socket_the_session_ends_with_a_reason_or_an_error_of_ours(tmp_path, raw, handshake):
    receiver = Kept()
    with accepted_or_refused():
        asyncio.run(session(tmp_path, raw, receiver, handshake=handshake))
    told = [payload for payload in receiver.payloads if payload[:1] not in (b"0", b"1")]
    assert not any(b"k" * 32 in payload or b"i" * 16 in payload for payload in told)


def test_a_server_that_goes_away_during_the_handshake_is_unreachable(tmp_path):
    receiver = Kept()
    asyncio.run(session(tmp_path, b"", receiver, handshake=False))
    assert [event["event"] for event in receiver.events] == ["unreachable", "reconnecting"]
    assert "during the handshake" in receiver.events[0]["cause"]


async def session(folder, raw, receiver, *, handshake):
    """One connection to a server that shakes hands, says ``raw`` and goes away; then the feed is stopped."""
    over = asyncio.Event()

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            key = next(
                line.split(b": ")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
            )
            accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            if handshake:
                writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                             b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")  # fmt: skip
            writer.write(raw)
            await writer.drain()
            writer.write_eof()
            await reader.read()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    clock = SimulatedClock(START_US)
    host = Host("simulator", "http://127.0.0.1:1", f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, Http() as http:
        credentials = Credentials("PSappkey", "TOPSECRETappsecret")
        auth = Auth(
            host, credentials, http, Governor(folder / "governor", Pace(12, 1.0), clock), cache_dir=folder, clock=clock
        )
        auth._keep(auth._kept.__class__(approval="A" * 36, approval_issued_us=START_US))
        feed = Feed(
            FeedConfig(folder, connect_timeout_s=2.0),
            host,
            auth,
            clock,
            receiver,
            expects_data=lambda _: False,
            random=Random(1),
        )
        running = asyncio.ensure_future(feed.run([Registration("H0STCNT0", "005930")]))
        parted = asyncio.ensure_future(over.wait())
        await asyncio.wait({running, parted}, return_when=asyncio.FIRST_COMPLETED, timeout=20)
        ended = ("disconnected", "unreachable", "reconnecting")
        while not running.done() and not any(event["event"] in ended for event in receiver.events):
            await asyncio.wait({running}, timeout=0.005)
        parted.cancel()
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
