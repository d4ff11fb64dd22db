"""What the simulated broker answers to a WebSocket client, code by code."""

import json

import pytest

from hosu.clock import SimulatedClock
from hosu.kis.layouts import LAYOUTS
from hosu.kis.registrations import Registration
from hosu.kis.simulator.sessions import MESSAGES, Session, SlotConfig, Slots, pingpong

APPROVALS = {"approval-a": "appkey-a", "approval-b": "appkey-b"}


def make_slots(**limits: object) -> Slots:
    return Slots(SlotConfig(**limits), SimulatedClock())  # type: ignore[arg-type]


def make_session(connection: int = 1, slots: Slots | None = None) -> Session:
    return Session(connection, slots or make_slots(), frozenset(LAYOUTS), APPROVALS.get)


def request(tr_id="H0STCNT0", tr_key="005930", approval="approval-a", tr_type="1", custtype="P", **more) -> dict:
    header = {"approval_key": approval, "custtype": custtype, "tr_type": tr_type, "content-type": "utf-8"}
    return {"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}, **more}


def without(message: dict, *path: str) -> dict:
    copy = json.loads(json.dumps(message))
    part = copy
    for name in path[:-1]:
        part = part[name]
    del part[path[-1]]
    return copy


def test_a_registration_is_acknowledged_with_iv_and_key() -> None:
    answer = make_session().answer(json.dumps(request()))
    ack = json.loads(answer.text)
    assert ack["header"] == {"tr_id": "H0STCNT0", "tr_key": "005930", "encrypt": "N"}
    assert (ack["body"]["rt_cd"], ack["body"]["msg_cd"]) == ("0", "OPSP0000")
    assert ack["body"]["msg1"] == "SUBSCRIBE SUCCESS"
    assert (len(ack["body"]["output"]["iv"]), len(ack["body"]["output"]["key"])) == (16, 32)
    assert answer.registered == Registration("H0STCNT0", "005930")


def test_notices_are_acknowledged_as_encrypted() -> None:
    ack = json.loads(make_session().answer(json.dumps(request("H0STCNI0", "myhtsid"))).text)
    assert ack["header"]["encrypt"] == "Y"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("not json", "OPSP9999"),
        ("[]", "OPSP9999"),
        ("[" * 100_000, "OPSP9999"),
        (json.dumps(without(request(), "header")), "OPSP9998"),
        (json.dumps(without(request(), "body")), "OPSP9992"),
        (json.dumps(without(request(), "body", "input")), "OPSP9991"),
        (json.dumps(without(request(), "body", "input", "tr_key")), "OPSP9990"),
        (json.dumps(without(request(), "body", "input", "tr_id")), "OPSP8991"),
        (json.dumps(without(request(), "header", "custtype")), "OPSP9997"),
        (json.dumps(without(request(), "header", "approval_key")), "OPSP0011"),
        (json.dumps(request(tr_type="0")), "OPSP8997"),
        (json.dumps(request(custtype="X")), "OPSP8998"),
        (json.dumps(request(tr_id="H0XXXXX0")), "OPSP8991"),
        (json.dumps(request(tr_id="H0STCNI9", tr_key="id")), "OPSP8991"),
        (json.dumps(request(tr_key="samsung")), "OPSP8992"),
        (json.dumps(request(tr_key="")), "OPSP8992"),
        (json.dumps(request(tr_id="H0UPCNT0", tr_key="005930")), "OPSP8992"),
        (json.dumps(request(approval="unknown")), "OPSP0011"),
        (json.dumps(request(tr_type="2")), "OPSP0003"),
    ],
)
def test_a_wrong_request_is_refused_with_its_code(text: str, code: str) -> None:
    answer = make_session().answer(text)
    body = json.loads(answer.text)["body"]
    assert (answer.code, body["msg_cd"], body["msg1"], body["rt_cd"]) == (code, code, MESSAGES[code], "1")
    assert answer.registered is None


def test_a_second_registration_of_the_same_key_is_refused() -> None:
    session = make_session()
    session.answer(json.dumps(request()))
    assert session.answer(json.dumps(request())).code == "OPSP0002"


def test_a_released_key_can_be_registered_again() -> None:
    session = make_session()
    session.answer(json.dumps(request()))
    released = session.answer(json.dumps(request(tr_type="2")))
    assert (released.code, released.released) == ("OPSP0001", Registration("H0STCNT0", "005930"))
    assert session.answer(json.dumps(request())).code == "OPSP0000"


def test_the_forty_second_registration_is_refused_over_all_trs() -> None:
    session = make_session()
    codes = [session.answer(json.dumps(request(("H0STCNT0", "H0STASP0")[i % 2], f"{i:06d}"))).code for i in range(42)]
    assert codes == ["OPSP0000"] * 41 + ["OPSP0008"]


def test_the_limit_of_registrations_can_be_lowered() -> None:
    session = make_session(slots=make_slots(registrations=2))
    assert [session.answer(json.dumps(request(tr_key=f"{i:06d}"))).code for i in range(3)][-1] == "OPSP0008"


def test_a_second_connection_of_one_appkey_is_refused_until_the_first_ends() -> None:
    slots = make_slots()
    first, second = make_session(1, slots), make_session(2, slots)
    first.answer(json.dumps(request()))
    refused = json.loads(second.answer(json.dumps(request())).text)
    assert (refused["header"]["tr_id"], refused["body"]["rt_cd"], refused["body"]["msg_cd"]) == (
        "(null)", "9", "OPSP8996",
    )  # fmt: skip
    slots.leave("appkey-a", 1, abrupt=False)
    assert second.answer(json.dumps(request())).code == "OPSP0000"


def test_two_appkeys_have_a_session_each() -> None:
    slots = make_slots()
    assert make_session(1, slots).answer(json.dumps(request())).code == "OPSP0000"
    assert make_session(2, slots).answer(json.dumps(request(approval="approval-b"))).code == "OPSP0000"


def test_the_place_of_a_broken_session_stays_taken_for_a_while() -> None:
    import asyncio

    slots = make_slots(held_s=60.0)
    make_session(1, slots).answer(json.dumps(request()))
    slots.leave("appkey-a", 1, abrupt=True)
    later = make_session(2, slots)
    assert later.answer(json.dumps(request())).code == "OPSP8996"
    asyncio.run(slots.clock.advance(61))  # type: ignore[attr-defined]
    assert later.answer(json.dumps(request())).code == "OPSP0000"


def test_paper_serves_trades_books_and_its_own_notices_only() -> None:
    session = make_session(slots=make_slots(paper=True))
    served = {
        tr_id: session.answer(json.dumps(request(tr_id))).code
        for tr_id in ("H0STCNT0", "H0STASP0", "H0STCNI9", "H0STANC0")
    }
    assert served == {"H0STCNT0": "OPSP0000", "H0STASP0": "OPSP0000", "H0STCNI9": "OPSP0000", "H0STANC0": "OPSP8991"}


def test_the_echo_of_a_heartbeat_is_taken_without_an_answer() -> None:
    answer = make_session().answer(pingpong("20250915090000").decode())
    assert (answer.text, answer.code) == (None, "PINGPONG")
