import json

import pytest

from hosu.kis.messages import Ack, PingPong, read_control, registration_message

ACK = (
    b'{"header":{"tr_id":"H0STASP0","tr_key":"005930","encrypt":"N"},"body":{"rt_cd":"0","msg_cd":"OPSP0000",'
    b'"msg1":"SUBSCRIBE SUCCESS","output":{"iv":"0123456789abcdef","key":"abcdefghijklmnopabcdefghijklmnop"}}}'
)
NOTICE = ACK.replace(b"H0STASP0", b"H0STCNI0").replace(b'"N"', b'"Y"')


def test_a_registration_is_the_message_of_the_portal():
    assert json.loads(registration_message("H0STCNT0", "005930", "approval", "P")) == {
        "header": {"approval_key": "approval", "custtype": "P", "tr_type": "1", "content-type": "utf-8"},
        "body": {"input": {"tr_id": "H0STCNT0", "tr_key": "005930"}},
    }


BLANK = ACK.replace(b"0123456789abcdef", b"***").replace(b"abcdefghijklmnopabcdefghijklmnop", b"***")


def test_an_acknowledgement_is_read_and_but_for_key_and_vector_left_as_it_came():
    assert read_control(ACK) == (Ack("H0STASP0", "005930", "OPSP0000", "SUBSCRIBE SUCCESS"), BLANK)
    spaced = ACK.replace(b":", b" :  ").replace(b"005930", b"005930 \xec\xb2\xb4")
    assert read_control(spaced)[1] == BLANK.replace(b":", b" :  ").replace(b"005930", b"005930 \xec\xb2\xb4")
    without = ACK.replace(b',"output":{"iv":"0123456789abcdef","key":"abcdefghijklmnopabcdefghijklmnop"}', b"")
    assert read_control(without) == (Ack("H0STASP0", "005930", "OPSP0000", "SUBSCRIBE SUCCESS"), without)


@pytest.mark.parametrize(
    ("as_sent", "encrypt"),
    [
        (b'"iv":"0123456789abcdef"', b'"N"'),
        (b'"iv":"0123456789abcdef"', b"null"),
        (b'"iv":"01234\\"56789abcdef"', b'"N"'),
        (b'"\\u0069v":"0123456789abcdef"', b'"N"'),
        (b'"iv":["0123456789abcdef"]', b'"N"'),
        (b'"iv":"","iv":"0123456789abcdef"', b'"Y"'),
    ],
)
def test_no_spelling_brings_key_or_vector_into_the_log(as_sent: bytes, encrypt: bytes):
    ack, loggable = read_control(ACK.replace(b'"iv":"0123456789abcdef"', as_sent).replace(b'"N"', encrypt))
    assert isinstance(ack, Ack)
    assert ack.code == "OPSP0000"
    assert b"56789abcdef" not in loggable
    assert b"abcdefghijkl" not in loggable
    assert json.loads(loggable)["body"]["output"] == {"iv": "***", "key": "***"}


def test_a_pingpong_is_read_and_left_as_it_came():
    payload = b'{"header":{"tr_id":"PINGPONG","datetime":"20250915090000"}}'
    assert read_control(payload) == (PingPong("20250915090000"), payload)


def test_key_and_vector_of_an_encrypted_tr_are_kept_but_not_logged():
    ack, loggable = read_control(NOTICE)
    assert isinstance(ack, Ack)
    assert ack.notice_key is not None
    assert (ack.notice_key.key, ack.notice_key.iv) == ("abcdefghijklmnopabcdefghijklmnop", "0123456789abcdef")
    assert "abcdef" not in repr(ack)
    assert json.loads(loggable)["body"]["output"] == {"iv": "***", "key": "***"}
    assert json.loads(loggable)["header"] == {"tr_id": "H0STCNI0", "tr_key": "005930", "encrypt": "Y"}


def test_a_garbled_acknowledgement_loses_its_key_all_the_same():
    ack, loggable = read_control(NOTICE[:-8])
    assert ack is None
    assert b"abcdefghijkl" not in loggable
    assert b"0123456789" not in loggable
    assert b"H0STCNI0" in loggable


@pytest.mark.parametrize(
    "payload",
    [b"{", b"{}", b'{"header":[]}', b'{"header":{"tr_id":5}}', b'{"body":7}', b"[" * 100_000, b"\xff{", b"{\xff}"],
)
def test_garbage_is_no_answer(payload):
    ack, loggable = read_control(payload)
    assert ack is None
    assert loggable == payload


def test_names_the_broker_could_not_read_are_empty():
    payload = (
        b'{"header":{"tr_id":"(null)","tr_key":"","encrypt":"N"},'
        b'"body":{"rt_cd":"9","msg_cd":"OPSP8996","msg1":"ALREADY IN USE appkey"}}'
    )
    assert read_control(payload)[0] == Ack("", "", "OPSP8996", "ALREADY IN USE appkey")
    sample = b'{"header":{"tr_id":"H0STASP0"},"body":{"rt_cd":"1","msg1":"ALREADY IN SUBSCRIBE"}}'
    assert read_control(sample)[0] == Ack("H0STASP0", "", "OPSP0002", "ALREADY IN SUBSCRIBE")
