"""Whatever comes over the WebSocket: control messages, acknowledgements, frames, and log records made of them."""

import json

import numpy as np
import pytest
from hostile import accepted_or_refused, memory_within, mutated, mutated_json, nested, patience
from hypothesis import given
from hypothesis import strategies as st

from effort import examples
from hosu.cli.output import _json
from hosu.collect.block import RecordKind
from hosu.collect.decode import Decoder
from hosu.collect.runs import pack_records, read_run
from hosu.kis.codec import describe
from hosu.kis.codes import error_of
from hosu.kis.messages import Ack, PingPong, read_control
from hosu.kis.registrations import Registration, Registrations

ACK = {
    "header": {"tr_id": "H0STCNI0", "tr_key": "someone", "encrypt": "Y"},
    "body": {
        "rt_cd": "0",
        "msg_cd": "OPSP0000",
        "msg1": "SUBSCRIBE SUCCESS",
        "output": {"iv": "0123456789abcdef", "key": "abcdefghijklmnopabcdefghijklmnop"},
    },
}
PING = {"header": {"tr_id": "PINGPONG", "datetime": "20250915090000"}}
TRADE = (
    b"0|H0STCNT0|001|005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700"
    b"^5105^6937^1832^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20250915^20^N^65945"
    b"^216924^1118750^2199206^0.05^2424142^125.92^0^^72100"
)
REPLY = {
    "tr_id": "FHKST11300006",
    "path": "/uapi/domestic-stock/v1/quotations/intstock-multprice",
    "params": {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": "005930"},
    "status": 200,
    "body": json.dumps(
        {"rt_cd": "0", "output": [{"inter_shrn_iscd": "005930", "inter2_prpr": "71900", "acml_vol": "7"}]}
    ),
}
PRICE = {**REPLY, "tr_id": "FHKST01010100", "params": {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"},
         "body": json.dumps({"rt_cd": "0", "output": {"stck_prpr": "71900", "acml_vol": "9"}})}  # fmt: skip
SEGMENT = {"event": "segment", "date": 20250915, "dates": {"1": 20250915}, "pings": {"1": 20250915}}

CONTROLS = st.one_of(mutated_json(ACK), mutated_json(PING), mutated(json.dumps(ACK).encode()))


@examples(150)
@given(CONTROLS)
def test_a_control_message_is_read_or_passed_over_and_what_is_logged_of_it_shows_no_key(payload):
    with patience():
        message, loggable = read_control(payload)
    assert message is None or isinstance(message, Ack | PingPong)
    for secret in _secrets(payload):
        assert secret not in loggable


def _secrets(payload):
    """Key and vector in a message that any JSON reader would find there."""
    try:
        output = json.loads(payload)["body"]["output"]
        found = [output.get("iv"), output.get("key")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return []
    return [each.encode("utf-8", "surrogatepass") for each in found if isinstance(each, str) and len(each) > 15]


def test_a_key_of_ten_megabytes_is_blanked_without_ten_times_the_memory():
    payload = b'{"header":{"tr_id":"H0STCNI0"},"body":{"output":{"key":"' + b"k" * (10 << 20) + b'"}}}'
    with memory_within(120), patience():
        _, loggable = read_control(payload)
    assert loggable == b'{"header":{"tr_id":"H0STCNI0"},"body":{"output":{"key":"***"}}}'


@pytest.mark.parametrize("name", ["tr_id", "tr_key", "msg1"])
def test_a_text_nested_as_deep_as_json_can_be_read_is_still_read_or_passed_over(name):
    for depth in range(850, 1_000):
        payload = json.dumps(ACK).replace(f'"{name}": "', f'"{name}": {nested(depth)}, "x": "').encode()
        message, _ = read_control(payload)
        assert message is None or isinstance(message, Ack)


@examples(100)
@given(st.lists(CONTROLS, max_size=8))
def test_acknowledgements_of_any_kind_leave_the_registrations_consistent(payloads):
    wanted = [
        Registration("H0STCNT0", "005930"),
        Registration("H0STCNI0", "someone"),
        Registration("H0STASP0", "000660"),
    ]
    state = Registrations(wanted, 2)
    for now_s, payload in enumerate(payloads):
        due = state.due()
        if due is not None:
            state.sent(due, float(now_s))
        message, _ = read_control(payload)
        if isinstance(message, Ack):
            state.answer(message)
            with accepted_or_refused():
                raise error_of(message.code, message.text, call="registration")
        state.overdue(float(now_s), 2.0)
    placed = [*state.acknowledged, *state.pending, *state.refused, *state.unanswered, *state.not_covered]
    assert sorted(placed) == sorted(wanted)
    assert len(state.acknowledged) <= state.limit


@examples(150)
@given(st.one_of(mutated(TRADE), CONTROLS, st.binary(max_size=60)))
def test_every_explanation_of_a_frame_can_be_printed_as_json(raw):
    with patience():
        for described in describe(raw):
            assert json.loads(_json(described).encode("utf-8", "backslashreplace"))


@pytest.mark.parametrize("day", ["00010101", "99991231", "19691231"])
@pytest.mark.parametrize("time", ["000000", "235959"])
def test_a_trade_of_any_date_that_there_is_can_be_explained(day, time):
    (described,) = describe(TRADE.replace(b"20250915", day.encode()).replace(b"093354", time.encode()))
    assert described["event"]["price"] == 71_900.0
    assert described["event"]["date"] == f"{day[:4]}-{day[4:6]}-{day[6:]}"


RECORDS = st.one_of(
    st.tuples(st.just(RecordKind.FRAME), st.one_of(mutated(TRADE), CONTROLS)),
    st.tuples(st.just(RecordKind.REST), st.one_of(mutated_json(REPLY), mutated_json(PRICE), _bodies := st.builds(
        lambda body: json.dumps({**REPLY, "body": body.decode("utf-8", "replace")}).encode(),
        mutated_json(json.loads(REPLY["body"])),
    ))),
    st.tuples(st.just(RecordKind.SESSION), st.one_of(mutated_json(SEGMENT), mutated_json({"event": "end"}))),
    st.tuples(st.integers(0, 255), st.binary(max_size=40)),
)  # fmt: skip
TIMES = st.one_of(
    st.integers(1_757_894_400_000_000, 1_757_894_400_000_000 + 10**9), st.integers(0, 2_000_000_000_000_000)
)


@examples(150)
@given(st.lists(st.tuples(RECORDS, st.integers(0, 3), TIMES), min_size=1, max_size=12))
def test_whatever_stands_in_a_log_is_decoded_or_quarantined_and_counted(found):
    items = [(int(kind), connection, ts_us, payload) for (kind, payload), connection, ts_us in found]
    decoder = Decoder("w1")
    with patience():
        buffer, _ = pack_records(items, 0)
        block = read_run("w1", np.frombuffer(buffer, np.uint8), 0, len(buffer)).block
        batches = [each for each in (decoder.decode(block), decoder.finish()) if each is not None]
    for batch in batches:
        rows = sum(len(rows) for name, rows in batch.tables.items() if name != "snapshots")
        assert batch.records == rows + batch.unfiled
    assert sum(batch.last_lsn - batch.first_lsn + 1 for batch in batches) == len(items)
