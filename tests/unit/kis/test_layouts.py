"""What the broker sends, by TR, width and date."""

from datetime import date

import pytest

from hosu.errors import FrameError
from hosu.kis.layouts import LAYOUTS, Kind, layout_for, layout_on


@pytest.mark.parametrize(
    ("tr_id", "day", "width"),
    [
        ("H0STCNT0", date(2020, 1, 2), 46),
        ("H0STCNT0", date(2026, 9, 13), 46),
        ("H0STCNT0", date(2026, 9, 14), 47),
        ("H0NXCNT0", date(2026, 9, 14), 47),
        ("H0UNCNT0", date(2026, 9, 13), 46),
        ("H0STASP0", date(2024, 11, 1), 59),
        ("H0STASP0", date(2025, 9, 15), 62),
        ("H0STASP0", date(2026, 9, 14), 63),
        ("H0NXASP0", date(2026, 11, 1), 62),
        ("H0UNASP0", date(2026, 9, 13), 65),
        ("H0UNASP0", date(2026, 9, 14), 66),
        ("H0STANC0", date(2024, 4, 26), 45),
        ("H0STANC0", date(2026, 7, 7), 46),
        ("H0UNANC0", date(2026, 7, 7), 46),
        ("H0UNANC0", date(2026, 9, 14), 47),
        ("H0STMKO0", date(2024, 1, 2), 10),
        ("H0STMKO0", date(2026, 1, 2), 11),
        ("H0NXMKO0", date(2026, 1, 2), 11),
        ("H0UNMKO0", date(2026, 9, 22), 10),
        ("H0STCNI0", date(2024, 1, 2), 23),
        ("H0STCNI9", date(2025, 3, 28), 26),
        ("H0STOUP0", date(2024, 5, 3), 43),
        ("H0STOAA0", date(2024, 5, 3), 54),
        ("H0STMBC0", date(2026, 1, 2), 78),
        ("H0UNPGM0", date(2026, 1, 2), 11),
        ("H0UPCNT0", date(2026, 1, 2), 30),
        ("H0UPANC0", date(2026, 1, 2), 30),
        ("H0STNAV0", date(2026, 1, 2), 8),
    ],
)
def test_layout_on_a_day_has_the_width_sent_that_day(tr_id, day, width):
    assert layout_on(tr_id, day).width == width


@pytest.mark.parametrize(
    ("tr_id", "width", "label"),
    [
        ("H0STCNT0", 46, "H0STCNT0@2022-01-01"),
        ("H0STCNT0", 47, "H0STCNT0@2026-09-14"),
        ("H0STCNT0", 50, "H0STCNT0@2026-09-14"),
        ("H0STASP0", 61, "H0STASP0@2022-01-01"),
        ("H0STASP0", 62, "H0STASP0@2025-01-01"),
        ("H0NXASP0", 62, "H0NXASP0@2025-03-04"),
        ("H0NXASP0", 65, "H0NXASP0@2026-07-09"),
        ("H0UNMKO0", 10, "H0UNMKO0@2026-09-21"),
    ],
)
def test_layout_for_a_width_is_the_widest_it_can_fill(tr_id, width, label):
    assert layout_for(tr_id, width).label == label


def test_a_record_narrower_than_every_layout_is_refused_with_both_widths():
    with pytest.raises(FrameError, match="record of 45 fields; the narrowest known layout of H0STCNT0 has 46"):
        layout_for("H0STCNT0", 45)
    with pytest.raises(FrameError, match="record of 1 field; the narrowest"):
        layout_for("H0STCNT0", 1)


@pytest.mark.parametrize("ask", [lambda: layout_for("H0XXXXX0", 46), lambda: layout_on("H0XXXXX0", date(2026, 1, 2))])
def test_an_unknown_tr_is_refused(ask):
    with pytest.raises(FrameError, match="unknown TR id"):
        ask()


def test_fields_stand_where_the_portal_puts_them():
    trade, book = LAYOUTS["H0STCNT0"][-1], LAYOUTS["H0STASP0"][-1]
    assert [trade.index(name) for name in ("STCK_PRPR", "CNTG_VOL", "ACML_VOL", "CCLD_DVSN", "BSOP_DATE")] == [
        2, 12, 13, 21, 33,
    ]  # fmt: skip
    assert [trade.index(name) for name in ("HOUR_CLS_CODE", "VI_STND_PRC", "MARKET_CLS_CODE")] == [43, 45, 46]
    assert [book.index(name) for name in ("ASKP1", "BIDP1", "ASKP_RSQN1", "BIDP_RSQN10", "TOTAL_ASKP_RSQN")] == [
        3, 13, 23, 42, 43,
    ]  # fmt: skip
    assert [book.index(name) for name in ("ACML_VOL", "STCK_DEAL_CLS_CODE", "MID_PRC", "MARKET_CLS_CODE")] == [
        53, 58, 59, 62,
    ]  # fmt: skip


def test_every_layout_is_named_once_and_in_the_order_of_its_dates():
    layouts = [layout for each in LAYOUTS.values() for layout in each]
    assert len({layout.label for layout in layouts}) == len(layouts)
    for tr_id, each in LAYOUTS.items():
        assert [layout.tr_id for layout in each] == [tr_id] * len(each)
        assert [layout.valid_from for layout in each] == sorted(layout.valid_from for layout in each)
        assert len({layout.event for layout in each}) == 1
    for layout in layouts:
        names = [field.name for field in layout.fields]
        assert len(set(names)) == len(names)


def test_records_that_go_to_the_fast_parser_hold_no_free_text():
    for each in LAYOUTS.values():
        for layout in each:
            if layout.event in {"trades", "quotes", "expected"}:
                assert layout.texts == ()
                assert layout.fields[0].kind is Kind.SYMBOL


def test_a_field_no_source_names_is_called_by_its_position_and_marked():
    for each in LAYOUTS.values():
        for layout in each:
            for i, field in enumerate(layout.fields):
                if field.name.startswith("F") and field.name[1:].isdigit():
                    assert field.name == f"F{i}"
                    assert not field.verified
