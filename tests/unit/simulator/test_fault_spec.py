"""The language of faults: what each clause means, and what is said to those that mean nothing."""

from datetime import date

import pytest

from hosu.errors import InputError
from hosu.kis.simulator.fault_kinds import KINDS
from hosu.kis.simulator.fault_spec import Clause, parse_faults


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("drop=1/1000", {"kind": "drop", "rate": 0.001}),
        ("drop=0.5%", {"kind": "drop", "rate": 0.005}),
        ("drop@10:00+60s[005930]", {"kind": "drop", "at_s": 36_000.0, "span_s": 60.0, "only": "005930"}),
        ("garble@frame:7-9", {"kind": "garble", "event": "frame", "first": 7, "last": 9}),
        ("reorder@connect:2-=1/50", {"kind": "reorder", "event": "connect", "first": 2, "last": None, "rate": 0.02}),
        ("stall@09:00:30.5+500ms", {"kind": "stall", "at_s": 32_430.5, "span_s": 0.5}),
        ("lag=2s", {"kind": "lag", "number": 2.0}),
        ("close@10:30", {"kind": "close", "at_s": 37_800.0, "number": 1006.0}),
        ("close=1001,1/5000", {"kind": "close", "number": 1001.0, "rate": 0.0002}),
        ("close@ack:2", {"kind": "close", "event": "ack", "first": 2, "last": 2, "number": 1006.0}),
        ("restart@12:00+10m", {"kind": "restart", "at_s": 43_200.0, "span_s": 600.0}),
        ("refuse@ack:3=OPSP0008", {"kind": "refuse", "event": "ack", "first": 3, "last": 3, "code": "OPSP0008"}),
        ("refuse=1/2,OPSP0007[H0STASP0]", {"kind": "refuse", "rate": 0.5, "code": "OPSP0007", "only": "H0STASP0"}),
        ("ackdelay@ack:1-=1.5s", {"kind": "ackdelay", "event": "ack", "last": None, "number": 1.5}),
        ("clock@11:00+1m=-90s", {"kind": "clock", "at_s": 39_600.0, "span_s": 60.0, "number": -90.0}),
        ("clock=+1h", {"kind": "clock", "number": 3600.0}),
        ("http=503,1/10[inquire-price]", {"kind": "http", "number": 503.0, "rate": 0.1, "only": "inquire-price"}),
        ("gateway@10:00+1m", {"kind": "gateway", "at_s": 36_000.0, "span_s": 60.0, "code": "EGW00201"}),
        ("expire@rest:20", {"kind": "expire", "event": "rest", "first": 20, "last": 20}),
        ("layout@12:00=2026-09-14", {"kind": "layout", "at_s": 43_200.0, "day": date(2026, 9, 14)}),
        ("layout@12:00=+2", {"kind": "layout", "at_s": 43_200.0, "number": 2.0}),
        ("burst@09:00+1m", {"kind": "burst", "at_s": 32_400.0, "span_s": 60.0, "number": 10.0}),
        ("nodata", {"kind": "nodata"}),
    ],
)
def test_a_clause_means_what_it_says(text: str, meaning: dict[str, object]) -> None:
    assert parse_faults(text) == (Clause(text, **meaning),)  # type: ignore[arg-type]


def test_clauses_stand_behind_semicolons_or_on_lines_of_their_own_with_remarks() -> None:
    text = "drop=1/10 ; close@10:00\n# nothing here\nnodata@11:00+1m  # a quiet minute\n;;"
    assert [each.text for each in parse_faults(text)] == ["drop=1/10", "close@10:00", "nodata@11:00+1m"]
    assert parse_faults(" \n ") == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dorp=1/10", "fault 'dorp=1/10': 'dorp' is no fault; did you mean drop"),
        ("teapot", "'teapot' is no fault; there are drop, duplicate"),
        ("drop 1/10", "fault 'drop 1/10': is not written as a fault is; write KIND@WHEN+SPAN=VALUE[ONLY]"),
        ("drop=10/1", "'10/1' is no rate; write a rate as 1/1000 or 0.1%"),
        ("drop=1/0", "'1/0' is no rate"),
        ("drop=0%", "'0%' is no rate"),
        ("drop=often", "'often' is not what it takes; it takes a rate such as 1/1000"),
        ("drop=1/2,1/3", "'1/3' is not what it takes"),
        ("drop@25:00", "'25:00' is no time or event of drop; write drop@HH:MM or frame:N or connect:N"),
        ("drop@ack:3", "'ack:3' is no time or event of drop"),
        ("drop@frame:0", "'frame:0' counts backwards or from 0; events count from 1"),
        ("drop@frame:5-3", "'frame:5-3' counts backwards"),
        ("drop@10:00+60", "'60' is no length of time; write a span as 500ms, 30s, 10m or 1h"),
        ("drop@10:00+0s", "'0s' is no length of time"),
        ("drop[a b]", "'a b' is no TR id, symbol or call"),
        ("close", "says neither when nor how often, or both; write close@HH:MM"),
        ("close@10:00=1006,1/10", "says neither when nor how often, or both"),
        ("close=1005,1/10", "'1005' is no close code; one of 1000, 1001"),
        ("close@10:00+1m", "close happens at a moment and lasts no time; leave the span out"),
        ("close@10:00[005930]", "close concerns everything; leave the brackets out"),
        ("silence", "says no time; write silence@HH:MM"),
        ("stall@10:00", "says no span, and would never end; write stall@HH:MM+30s"),
        ("restart@10:00", "says no span, and would never end"),
        ("lag", "has no value; write lag=2s"),
        ("lag=2", "'2' is no length of time; write it as 500ms"),
        ("refuse=OPSP0000", "'OPSP0000' is no refusal of the WebSocket server; one of OPSP0002"),
        ("gateway=EGW99999", "'EGW99999' is no refusal of the REST gateway; one of EGW00001"),
        ("http=200", "'200' is no HTTP error; write a status from 400 to 599"),
        ("clock=1h", "'1h' is no shift of a clock; write it with its sign, as +1h or -90s"),
        ("burst@09:00+1m=0", "'0' is no factor"),
        ("layout@12:00=tomorrow", "'tomorrow' is no date; write YYYY-MM-DD, or +N"),
        ("layout@12:00=+99", "'+99' is no number of fields; write +1 to +20"),
        ("layout=2026-09-14", "says no time; write layout@HH:MM"),
        ("held=60s,1/2", "'60s, 1/2' is not what it takes; it takes 2s"),
        ("held@10:00=60s", "'10:00' is no time or event of held"),
        ("drop=1/10; close@noon", "fault 'close@noon': 'noon' is no time or event of close"),
        ("drop=1/10\x1b[31m", "fault 'drop=1/10?[31m'"),
    ],
)
def test_what_makes_no_sense_is_named_with_what_to_do(text: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        parse_faults(text)
    assert said in str(refused.value)


def test_every_refusal_that_the_portal_lists_can_be_asked_for() -> None:
    listed = [*range(2, 4), *range(7, 12), *range(8991, 9000), *range(9990, 10_000)]
    text = "; ".join(f"refuse@ack:{n}=OPSP{code:04}" for n, code in enumerate(listed, 1))
    assert [each.code for each in parse_faults(text)] == [f"OPSP{code:04}" for code in listed]
    assert len(listed) == 26


def test_every_fault_says_what_it_does_in_a_line() -> None:
    assert all(name == kind.name and 10 < len(kind.does) < 100 for name, kind in KINDS.items())
