"""What our client does when its requests go wrong: registrations that are refused, late or lost, and calls of REST."""

import asyncio
import json

import pytest
from simulator_stage import EVENLY, STILL, Recorder, advance_until, play, running, until, until_settled

from hosu.clock import SimulatedClock
from hosu.errors import (
    BrokerReplyError,
    BrokerUnreachableError,
    RateLimitedError,
    RegistrationRefusedError,
    TokenExpiredError,
)

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


def without_an_answer(tmp_path, faults, *, also=lambda recorder: True, **options):
    """What our client recorded until it had waited for an acknowledgement in vain, and ``also`` was true."""
    clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=5.0)):
            await advance_until(clock, 0.01, lambda: len(recorder.named("registered")) == 2)
            await advance_until(clock, 0.5, lambda: recorder.named("settled"))
            await until(lambda: also(recorder))
        return recorder

    return play(tmp_path, faults, scenario, clock=clock, **options)


def test_an_acknowledgement_that_never_comes_is_asked_for_again(tmp_path):
    recorder = without_an_answer(tmp_path, "noack@ack:1", play=STILL)
    assert [(event["tr_id"], event["key"]) for event in recorder.named("unanswered")] == [("H0STCNT0", "005930")]
    assert recorder.named("registered")[-1]["code"] == "OPSP0002"  # it had been carried out
    assert recorder.named("settled")[0]["registered"] == 3


def test_one_that_is_never_acknowledged_is_given_up_and_delivered_all_the_same(tmp_path):
    def delivered(recorder):
        return any(frame.split(b"|")[3].startswith(b"000660") for frame in recorder.data())

    recorder = without_an_answer(tmp_path, "noack[000660]", also=delivered, play=EVENLY, records=500_000)
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
@pytest.mark.slow
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
    recorder = play(tmp_path, "close@ack:2", until_settled, play=STILL)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert len(recorder.named("connected")) == 2
    assert recorder.named("settled")[0]["registered"] == 3


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
