"""Layouts that change in the middle of a day: the same records, wider or narrower."""

from datetime import date
from itertools import pairwise

import numpy as np
import pytest
from fault_stage import Stage

from hosu.kis.codec import parse
from hosu.kis.layouts import LAYOUTS
from hosu.kis.records import Records

NOON_S = 12 * 3600


def records_of(faults: str) -> list[Records]:
    stage = Stage(faults, feeds=("trades", "quotes", "expected", "market_events"), layouts=date(2026, 9, 15))
    bursts = [stage.faults.prepare(burst) for burst in stage.tape]
    parsed = [parse(burst.frames.data, burst.frames.start, burst.frames.end) for burst in bursts]
    assert [each.rejects for each in parsed if each.rejects] == []
    return [records for each in parsed for records in each.records]


def widths(records: list[Records], *, after_noon: bool) -> dict[str, set[int]]:
    """The widths of the TRs that tell a time, by the half of the day."""
    found: dict[str, set[int]] = {}
    for each in records:
        name = next((n for n in ("STCK_CNTG_HOUR", "BSOP_HOUR") if n in each.columns), None)
        if name is not None and ((each.columns[name] >= NOON_S) == after_noon).any():
            found.setdefault(each.layout.tr_id, set()).add(each.width)
    return found


@pytest.mark.parametrize(
    ("change", "after"),
    [
        ("2025-01-02", {"H0STCNT0": {46}, "H0STASP0": {62}, "H0STANC0": {45}}),
        ("2024-01-02", {"H0STCNT0": {46}, "H0STASP0": {59}, "H0STANC0": {45}}),
        ("+3", {"H0STCNT0": {50}, "H0STASP0": {66}, "H0STANC0": {49}}),
    ],
)
def test_every_tr_has_other_widths_from_noon_on(change: str, after: dict[str, set[int]]) -> None:
    records = records_of(f"layout@12:00={change}")
    assert widths(records, after_noon=False) == {"H0STCNT0": {47}, "H0STASP0": {63}, "H0STANC0": {46}}
    assert widths(records, after_noon=True) == after


def test_a_change_may_be_taken_back() -> None:
    records = records_of("layout@10:00+30m=+1")
    assert widths(records, after_noon=True) == {"H0STCNT0": {47}, "H0STASP0": {63}, "H0STANC0": {46}}
    assert {each.width for each in records if each.layout.tr_id == "H0STCNT0"} == {47, 48}


def test_what_the_records_say_stays_the_same() -> None:
    plain, changed = records_of("drop"), records_of("layout@12:00=+2")

    def volumes(records: list[Records]) -> list[int]:
        trades = [each.columns["ACML_VOL"] for each in records if each.layout.event == "trades"]
        return sorted(np.concatenate(trades).tolist())

    assert volumes(plain) == volumes(changed)
    tails = {tail for each in changed if each.tails is not None for tail in each.tails}
    assert tails == {"0^0"}


def test_known_layouts_only_ever_append_fields() -> None:
    """What widening by a date rests on; notices, which insert some, are never on a tape."""
    for layouts in LAYOUTS.values():
        sent = [
            [field.name for field in each.fields] for each in layouts if not each.alternative and each.event != "notice"
        ]
        for older, newer in pairwise(sent):
            assert newer[: len(older)] == older or older[: len(newer)] == newer
