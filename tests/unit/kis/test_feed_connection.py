"""The life of the feed's connection: what comes over it, when it counts as dead, and when it is tried again."""

import asyncio
import logging
import socket
import threading

import picows
import pytest
from feed_stage import PING, START_US, TEXT, TRADE, A, ack, until

from hosu.clock import SimulatedClock


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
