"""The compiled codec against the plain one: equal on whatever the wire may hold."""

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from effort import examples
from hosu.kis.codec import NULL, describe, encode, join, pack, parse, parse_plain
from hosu.kis.layouts import LAYOUTS, Kind
from hosu.kis.plain import encode_plain

FILED = [layout for each in LAYOUTS.values() for layout in each if layout.event in {"trades", "quotes", "expected"}]
OTHERS = [
    layout for each in LAYOUTS.values() for layout in each if layout.event not in {"trades", "quotes", "expected"}
]

TRADE = (
    b"0|H0STCNT0|001|"
    b"005930^093354^71900^5^-100^-0.14^72023.83^72100^72400^71700^71900^71800^1^3052507^219853241700^5105^6937^1832"
    b"^84.90^1366314^1159996^1^0.39^20.28^090020^5^-200^090820^5^-500^092619^2^200^20230612^20^N^65945^216924^1118750"
    b"^2199206^0.05^2424142^125.92^0^^72100"
)

USUAL = {
    Kind.INT: st.one_of(
        st.just(NULL), st.integers(-(10**16), 10**16), st.sampled_from([0, -1, 9, 10, 99, 100, 2**63 - 1, -(2**63) + 1])
    ),
    Kind.PRICE: st.one_of(st.just(NULL), st.integers(-(2**53), 2**53), st.sampled_from([0, 5, 10, -14, 50, 7190050])),
    Kind.CODE: st.one_of(st.just(NULL), st.from_regex(r"[ -\]_-~]{1,8}", fullmatch=True).map(pack)),
    Kind.SYMBOL: st.from_regex(r"[!-\]_-~]{1,8}", fullmatch=True).filter(lambda text: text != "(null)").map(pack),
    Kind.TIME: st.one_of(st.just(NULL), st.integers(0, 86399)),
    Kind.DATE: st.one_of(st.just(NULL), st.dates().map(lambda day: int(f"{day:%Y}".rjust(4, "0") + f"{day:%m%d}"))),
}
STRANGE = st.one_of(
    st.sampled_from(
        ["", "-", ".", "-.5", ".5", "5.", "1.5", "1.50", "1.505", "1.500", "+1", "0x1", "1e5", "(null)", "00000000",
         "235959", "235960", "240000", "20240229", "20230229", "20230431", "9" * 15, "9" * 18, "9" * 19, "0" * 30 + "7",
         "9223372036854775807", "9223372036854775808", "-9223372036854775808", "90071992547409.92",
         "90071992547409.93", "12345678901234567", "1234567890123.45", "12345678901234.45", "123456789", "Q500001",
         "한글", "A\x00B", "A\tB", "\x7f", "toolongcode", "12:30:00", "½", "-0", "--1", "1.-5", "-1.5-"]
    ),
    st.text(max_size=12).filter(lambda text: "^" not in text),
)  # fmt: skip


def column_of(kind, size):
    return st.lists(USUAL[kind], min_size=size, max_size=size).map(lambda values: np.array(values, np.int64))


@st.composite
def encodable(draw):
    """A layout, columns of it and how the records are grouped into frames."""
    layout = draw(st.sampled_from(FILED))
    group = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    columns = {field.name: draw(column_of(field.kind, sum(group))) for field in layout.fields}
    return layout, columns, np.array(group, np.int64)


@st.composite
def wild_frames(draw):
    """Frames of known TRs whose fields are usual, odd or impossible, with right and wrong counts and widths."""
    frames = []
    for _ in range(draw(st.integers(1, 6))):
        layout = draw(st.sampled_from(FILED if draw(st.booleans()) else OTHERS))
        base = TRADE.split(b"|")[3].decode().split("^")
        count = draw(st.integers(0, 3))
        fields = []
        for _ in range(count):
            record = [base[i % len(base)] if layout.event == "trades" else "1" for i in range(layout.width)]
            for _ in range(draw(st.integers(0, 2))):
                record[draw(st.integers(0, layout.width - 1))] = draw(STRANGE)
            fields += record + ["7", ""][: draw(st.sampled_from([0, 0, 0, 1, 2]))]
        said = draw(st.sampled_from([f"{count:03d}"] * 6 + ["1", "000", "x", "", "0000001", "000003"]))
        flag = draw(st.sampled_from(["0"] * 8 + ["1", "2", "", "{"]))
        frames.append(f"{flag}|{layout.tr_id}|{said}|{'^'.join(fields)}".encode())
    return frames


@st.composite
def mutated_frames(draw):
    """A real frame with bytes cut out, doubled or changed."""
    raw = bytearray(draw(st.sampled_from([TRADE, TRADE.replace(b"001", b"002") + b"^" + TRADE.split(b"|")[3]])))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(raw) - 1))
        raw[place : place + draw(st.integers(0, 3))] = draw(st.binary(max_size=3))
        if not raw:
            break
    return [bytes(raw), TRADE]


def assert_equal(fast, plain):
    assert [r.layout.label for r in fast.records] == [r.layout.label for r in plain.records]
    for ours, theirs in zip(fast.records, plain.records, strict=True):
        assert ours.layout is theirs.layout
        assert ours.width == theirs.width
        assert ours.frame.tolist() == theirs.frame.tolist()
        assert ours.record_no.tolist() == theirs.record_no.tolist()
        assert ours.tails == theirs.tails
        assert ours.texts == theirs.texts
        assert {k: v.tolist() for k, v in ours.columns.items()} == {k: v.tolist() for k, v in theirs.columns.items()}
    assert fast.rejects == plain.rejects
    assert fast.control.tolist() == plain.control.tolist()
    assert fast.unfiled.tolist() == plain.unfiled.tolist()
    assert fast.unfiled_records == plain.unfiled_records


@given(encodable())
@examples(50)
def test_what_is_encoded_parses_back_to_the_same_columns(case):
    layout, columns, group = case
    frames = encode(layout, columns, group=group)
    parsed = parse(frames.data, frames.start, frames.end)
    assert parsed.rejects == []
    columns_back = {}
    for records in parsed.records:
        assert records.layout is layout
        columns_back = {name: values.tolist() for name, values in records.columns.items()}
    # A code that spells (null) is the broker's word for nothing.
    expected = {
        name: [NULL if value == pack("(null)") and layout.fields[layout.index(name)].kind is Kind.CODE else value
               for value in values.tolist()]
        for name, values in columns.items()
    }  # fmt: skip
    assert columns_back == expected


@given(encodable())
@examples(30)
def test_both_encoders_print_the_same_bytes(case):
    layout, columns, group = case
    fast = encode(layout, columns, group=group)
    plain = encode_plain(layout, columns, {}, group.tolist())
    assert fast.frames() == plain.frames()
    assert fast.records.tolist() == plain.records.tolist()


@given(wild_frames())
@examples(250)
def test_both_parsers_agree_on_frames_with_odd_fields(frames):
    assert_equal(parse(*join(frames)), parse_plain(frames))


@given(mutated_frames())
@examples(200)
def test_both_parsers_agree_on_damaged_frames(frames):
    assert_equal(parse(*join(frames)), parse_plain(frames))


@given(st.lists(st.one_of(st.binary(max_size=80), st.text(max_size=40).map(str.encode)), max_size=6))
@example([b"", b"{", b"0|H0STCNT0|000|", b"0|H0STCNT0|001|", b"1|H0STCNI0|001|abc", b"0|H0XXXXX0|001|a"])
@examples(200)
def test_arbitrary_bytes_never_raise_and_every_frame_is_accounted_for(frames):
    parsed = parse(*join(frames))
    assert_equal(parsed, parse_plain(frames))
    seen = {reject.frame for reject in parsed.rejects} | set(parsed.control.tolist()) | set(parsed.unfiled.tolist())
    seen |= {frame for records in parsed.records for frame in records.frame.tolist()}
    assert all(frame in seen for frame, raw in enumerate(frames) if not raw.endswith(b"|000|"))
    for raw in frames:
        json.dumps(describe(raw))


@given(wild_frames())
@examples(100)
def test_every_description_is_json_and_names_a_fault_or_a_record(frames):
    for raw in frames:
        for described in describe(raw):
            json.dumps(described, allow_nan=False)
            assert {"error", "fields", "control", "encrypted"} & set(described)


@st.composite
def any_shape(draw):
    """Frames of any TR with any number of fields and any count, saying the truth about it or not."""
    frames = []
    for _ in range(draw(st.integers(1, 3))):
        layout = draw(st.sampled_from(FILED + OTHERS))
        width = draw(st.one_of(st.integers(0, 80), st.sampled_from([layout.width, layout.width - 1, layout.width + 1])))
        count = draw(st.sampled_from([0, 1, 1, 2, 3, 7, 19, 100, 999, 1_000, 1_005]))
        base = TRADE.split(b"|")[3].decode().split("^")
        fields = [base[i % len(base)] if i % width < len(base) else "1" for i in range(width * count)]
        for _ in range(draw(st.integers(0, 3)) if fields else 0):
            fields[draw(st.integers(0, len(fields) - 1))] = draw(STRANGE)
        said = draw(st.sampled_from([count, count, count, count + 1, max(0, count - 1), 999_999]))
        frames.append(f"0|{layout.tr_id}|{said:03d}|{'^'.join(fields)}".encode("utf-8", "surrogatepass"))
    return frames


@given(any_shape())
@examples(100)
def test_both_parsers_agree_on_records_of_any_width_and_count(frames):
    assert_equal(parse(*join(frames)), parse_plain(frames))


@st.composite
def mutated_encodings(draw):
    """Sound frames of any layout, several records each, with a few bytes damaged."""
    layout, columns, group = draw(encodable())
    frames = encode(layout, columns, group=group).frames()
    place = draw(st.integers(0, len(frames) - 1))
    raw = bytearray(frames[place])
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(raw)))
        raw[at : at + draw(st.integers(0, 4))] = draw(
            st.one_of(st.binary(max_size=3), st.sampled_from([b"^", b"|", b"^^", b"-"]))
        )
    return [*frames[:place], bytes(raw), *frames[place + 1 :]]


@pytest.mark.slow
@given(mutated_encodings())
@examples(150)
def test_both_parsers_agree_on_damaged_frames_of_every_layout(frames):
    assert_equal(parse(*join(frames)), parse_plain(frames))


@given(st.lists(st.one_of(st.just(TRADE), st.binary(max_size=40)), min_size=1, max_size=5), st.binary(max_size=20))
@examples(100)
def test_bytes_between_the_frames_of_a_buffer_change_nothing(frames, between):
    data = np.frombuffer(between + between.join(frames) + between, np.uint8)
    lengths = np.array([len(frame) for frame in frames], np.int64)
    end = np.cumsum(lengths + len(between))
    assert_equal(parse(data, end - lengths, end), parse_plain(frames))
