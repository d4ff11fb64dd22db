"""Faults of market frames, one by one and all together: what arrives, and that the report knows of every share."""

from typing import Any

import pytest
from fault_stage import SYMBOLS, Stage, check_every_share, missing, understood
from hypothesis import given, settings
from hypothesis import strategies as st

from hosu.market.calendar import business_day


def done(report: dict[str, Any], kind: str) -> int:
    return sum(entry["count"] for entry in report["faults"] if entry["kind"] == kind)


def test_without_a_fault_everything_arrives_in_order() -> None:
    stage = Stage("drop@20:30")
    wire = stage.connect(1)
    report = stage.play()
    got, broken = understood(wire.frames)
    assert {symbol: list(dict.fromkeys(trades)) for symbol, trades in got.items()} == stage.traded()
    assert (broken, report["withheld"], report["unsent"]["records"]) == (
        0,
        {"records": 0, "shares": 0, "symbols": {}},
        0,
    )
    assert report["faults"] == [
        {"fault": "drop@20:30", "kind": "drop", "connection": None, "count": 0, "first": None, "last": None}
    ]


def test_dropped_frames_do_not_arrive_and_their_shares_are_withheld() -> None:
    stage = Stage("drop=1/10")
    wire = stage.connect(1)
    report = stage.play()
    check_every_share(stage, report)
    frames = len(wire.frames) + done(report, "drop")
    assert report["frames"] == len(wire.frames)
    assert 0.07 < done(report, "drop") / frames < 0.13
    assert report["withheld"]["shares"] == sum(
        end - begin for symbol in stage.traded() for begin, end in missing(report, "withheld", symbol)
    )


def test_the_same_seed_drops_the_same_frames_however_the_day_is_cut() -> None:
    def withheld(seed: int, step: int) -> Any:
        stage = Stage("drop=1/10", seed=seed)
        stage.connect(1)
        return stage.play(step)["withheld"]

    assert withheld(1, 4096) == withheld(1, 7) != withheld(2, 7)


def test_one_connection_may_get_what_another_does_not() -> None:
    stage = Stage("drop@connect:1=1/2")
    stage.connect(1)
    stage.connect(2)
    report = stage.play()
    assert len(stage.wires[1].frames) < len(stage.wires[2].frames) == report["frames"]
    assert report["withheld"]["records"] == 0
    assert {entry["connection"] for entry in report["faults"]} == {1}


def test_frames_are_dropped_by_number_symbol_and_time() -> None:
    stage = Stage("drop@frame:1-20; drop@10:00+1h[005930]")
    wire = stage.connect(1)
    report = stage.play()
    check_every_share(stage, report)
    assert report["faults"][0]["count"] == 20
    hours = [frame.split(b"^")[1][:2] for frame in wire.frames if frame.startswith(b"0|H0STCNT0|001|005930")]
    assert b"10" not in hours
    assert {b"09", b"11"} < set(hours)
    assert b"10" in {frame.split(b"^")[1][:2] for frame in wire.frames}
    assert {entry["first"][:16] for entry in report["faults"][1:]} == {"2026-09-15T10:00"}


def test_duplicated_frames_arrive_twice_and_count_once() -> None:
    stage = Stage("duplicate=1/10")
    wire = stage.connect(1)
    report = stage.play()
    check_every_share(stage, report)
    twice = done(report, "duplicate")
    assert len(wire.frames) == report["frames"] + twice
    assert twice > 50
    records = sum(int(frame.split(b"|")[2]) for frame in wire.frames)
    assert report["deliveries"] == records > report["records"]
    assert report["repeated"]["records"] == 0


def test_reordered_frames_arrive_a_few_frames_too_late_however_the_day_is_cut() -> None:
    def volumes(step: int) -> tuple[list[tuple[int, int]], dict[str, Any]]:
        stage = Stage("reorder=1/10")
        stage.connect(1, ("005930",))
        report = stage.play(step)
        check_every_share(stage, report)
        return understood(stage.wires[1].frames)[0]["KRX:005930"], report

    (whole, report), (single, _) = volumes(4096), volumes(1)
    assert whole != sorted(whole)
    assert sorted(set(whole)) == sorted(set(single))
    assert single != sorted(single)
    behind = [place - i for i, place in enumerate(sorted(range(len(whole)), key=whole.__getitem__))]
    assert max(map(abs, behind)) < 8 * 19
    assert report["withheld"]["records"] == 0
    assert report["repeated"]["records"] == 0


@pytest.mark.parametrize("kind", ["truncate", "garble"])
def test_spoiled_frames_are_refused_by_the_parser_and_count_as_withheld(kind: str) -> None:
    stage = Stage(f"{kind}=1/4")
    wire = stage.connect(1)
    report = stage.play()
    check_every_share(stage, report)
    assert understood(wire.frames)[1] == done(report, kind) > 100
    assert report["frames"] == len(wire.frames) - done(report, kind)


def test_what_stalls_comes_when_the_span_is_over_and_in_order() -> None:
    stage = Stage("stall@10:00+30m")
    wire = stage.connect(1)
    at_1020: list[int] = []

    def look(number: int) -> None:
        _, second = business_day(stage.delivery.position_us)
        if 10.4 * 3600 < second < 10.5 * 3600:
            at_1020.append(len(wire.frames))

    report = stage.play(5, look)
    check_every_share(stage, report)
    assert len(set(at_1020)) == 1
    assert [frame.split(b"^")[1][:2] for frame in wire.frames[: at_1020[0]]][-1] == b"09"
    got = understood(wire.frames)[0]
    assert {symbol: list(dict.fromkeys(trades)) for symbol, trades in got.items()} == stage.traded()
    assert done(report, "stall") > 20


def test_what_lags_keeps_its_order_and_is_all_there_in_the_end() -> None:
    stage = Stage("lag@10:00+1h=10m")
    wire = stage.connect(1)
    behind: list[int] = []
    report = stage.play(3, lambda number: behind.append(number - len(wire.frames)))
    check_every_share(stage, report)
    got = understood(wire.frames)[0]
    assert {symbol: list(dict.fromkeys(trades)) for symbol, trades in got.items()} == stage.traded()
    assert max(behind) > 20


def test_what_is_held_back_for_a_connection_that_ends_is_withheld() -> None:
    stage = Stage("stall@10:00+30m")
    stage.connect(1)

    def leave(number: int) -> None:
        _, second = business_day(stage.delivery.position_us)
        if second > 10.25 * 3600:
            stage.delivery.close(1, "gone")

    report = stage.play(5, leave)
    check_every_share(stage, report)
    assert report["withheld"]["records"] > 20
    assert report["unsent"]["records"] > 500


def test_a_silent_connection_stays_open_and_what_it_misses_is_withheld() -> None:
    stage = Stage("drop@frame:999999")
    wire = stage.connect(1)
    report = stage.play(10, lambda number: stage.delivery.silence(1, 1 << 62) if number > 300 else None)
    check_every_share(stage, report)
    assert len(wire.frames) < 320
    assert report["withheld"]["records"] > 1000
    assert report["unsent"]["records"] == 0


FAULTS = st.lists(
    st.sampled_from(
        [
            "drop=1/20", "drop@connect:2=1/3", "drop@11:00+20m[000660]", "duplicate=1/15", "reorder=1/6",
            "truncate=1/30", "garble=1/30", "stall@09:30+20m", "lag@13:00+1h=5m", "reorder@connect:1=1/2",
            "layout@12:00=+3", "layout@11:00+1h=2025-01-02",
        ]
    ),
    unique=True,
    min_size=1,
)  # fmt: skip
COMINGS = st.lists(st.tuples(st.integers(0, 700), st.integers(1, 3), st.booleans()), max_size=6)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(FAULTS, st.integers(0, 1000), st.sampled_from([1, 5, 64, 4096]), COMINGS)
def test_whatever_goes_wrong_at_once_every_share_is_accounted_for(
    faults: list[str], seed: int, step: int, comings: list[tuple[int, int, bool]]
) -> None:
    """Connections come, go, and fall silent at any time, under any mixture of faults."""
    stage = Stage("; ".join(faults), seed=seed, records=1000)
    wires: list[Any] = []
    left = sorted(comings)

    def come_and_go(number: int) -> None:
        while left and left[0][0] <= number:
            _, who, silently = left.pop(0)
            if who not in stage.delivery.lines:
                wires.append(stage.connect(who, SYMBOLS[:who]))
            elif silently:
                stage.delivery.silence(who, 1 << 62)
            else:
                stage.delivery.close(who, "gone")

    wires.append(stage.connect(1))
    report = stage.play(step, come_and_go)
    stage.wires = dict(enumerate(wires))
    check_every_share(stage, report)
    assert report["records"] + report["withheld"]["records"] + report["unsent"]["records"] == sum(
        int(burst.frames.records.sum()) for burst in Stage("drop", records=1000).tape
    )
