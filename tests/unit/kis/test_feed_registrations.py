"""What the feed registers: in which order, with which key, and what follows from each answer."""

import json
import os

import pytest
from feed_stage import APPROVAL, START_US, TRADE, A, B, C, ack, blank, until

from hosu.clock import SimulatedClock
from hosu.errors import BrokerReplyError, LockedError
from hosu.kis.feed import Registration


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


def test_one_session_per_appkey(stage):
    async def scenario(s):
        async with s.running(s.feed(), A):
            await until(lambda: "settled" in s.recorder.names)
            fingerprint = s.client.credentials.fingerprint
            with pytest.raises(LockedError, match=f"the appkey {fingerprint} is in use by process {os.getpid()}"):
                await s.feed().run([A])
        return len(s.server.sessions)

    assert stage(scenario) == 1
