"""What our client does when a connection misbehaves: it is cut, falls silent, loses heartbeats or brings an odd day."""

from datetime import time
from itertools import pairwise

import pytest
from simulator_stage import EVENLY, REAL_TIME, Recorder, advance_until, play, running, until, until_settled

from hosu.clock import SimulatedClock
from hosu.kis.codec import join, parse
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig

# --- connections --------------------------------------------------------------------------------------------------


def test_after_an_abnormal_close_it_comes_back_and_registers_everything(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: len(recorder.named("settled")) == 3)
            await until(lambda: recorder.data(3))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "close@10:00; close@frame:700", scenario)
    assert [event["code"] for event in recorder.named("disconnected")][:2] == [1006, 1006]
    assert [event["registered"] for event in recorder.named("settled")] == [3, 3, 3]
    assert [entry["count"] for entry in report["faults"]] == [1, 1]
    assert report["faults"][0]["first"].startswith("2025-09-15T10:0")
    reasons = [connection["reason"] for connection in report["connections"]]
    assert reasons[:2] == ["fault: closed with 1006"] * 2
    for number in (1, 2):
        sent = sum(int(frame.split(b"|")[2]) for frame in recorder.data(number))
        assert report["connections"][number - 1]["records"] == sent > 0


@pytest.mark.parametrize("code", [1000, 1001, 1011])
def test_a_close_is_seen_with_its_code(tmp_path, code):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: recorder.named("disconnected"))
        return recorder.named("disconnected")[0]["code"]

    assert play(tmp_path, f"close@10:00={code}", scenario) == code


def test_connections_are_cut_by_chance_and_the_day_ends_all_the_same(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await stage.simulator.wait()
        return recorder, stage.simulator.report(), stage.done("close")

    recorder, report, closed = play(tmp_path, "close=1/400", scenario)
    assert 1 <= closed == len(report["connections"]) - 1
    assert report["unsent"]["records"] == 0
    assert report["records"] == sum(int(frame.split(b"|")[2]) for frame in recorder.data())


def test_a_silent_connection_is_given_up_and_replaced(tmp_path):
    clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=30.0, ack_timeout_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await until(lambda: stage.simulator.report()["withheld"]["records"] > 0)
            assert not recorder.named("disconnected")
            await advance_until(clock, 5.0, lambda: recorder.named("silence"))
            await advance_until(clock, 0.01, lambda: len(recorder.named("settled")) == 2)
            await until(lambda: recorder.data(2))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "silence@frame:100", scenario, play=EVENLY, records=500_000, clock=clock)
    assert recorder.named("silence")[0]["seconds"] >= 30
    assert recorder.named("disconnected")[0]["code"] is None
    assert report["faults"][0]["connection"] == 1
    assert len(recorder.data(1)) == 99


def test_a_handshake_that_is_never_answered_times_out_and_is_tried_again(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        await until(lambda: stage.done("mute"))
        async with running(stage.feed(recorder, connect_timeout_s=0.05)):
            await until(lambda: len(recorder.named("unreachable")) == 2)
            await server_clock.advance(61.0)
            await until(lambda: recorder.named("settled"))
        return recorder

    recorder = play(tmp_path, "mute@08:00+31m", scenario, play=REAL_TIME, server_clock=server_clock)
    assert "no answer to the handshake" in recorder.named("unreachable")[0]["cause"]
    assert recorder.named("settled")[0]["registered"] == 3


def test_a_refused_connection_is_tried_again(tmp_path):
    recorder = play(tmp_path, "noconnect@connect:1-2", until_settled)
    assert ["503" in event["cause"] for event in recorder.named("unreachable")] == [True, True]
    assert recorder.named("settled")[0]["registered"] == 3


def test_when_the_broker_restarts_it_is_away_until_the_broker_is_back(tmp_path):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder)):
            await until(lambda: len(recorder.named("settled")) == 2)
            await until(lambda: recorder.data(recorder.taken[-1][0]))
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "restart@11:00+30m", scenario, play=EVENLY)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert recorder.named("unreachable")
    assert report["unsent"]["records"] > 20
    last = max(int(frame.split(b"^")[1]) for frame in recorder.data(1))
    again = min(int(frame.split(b"^")[1]) for frame in recorder.data() if frame not in set(recorder.data(1)))
    assert last < 110_000
    assert again >= 113_000


def test_the_place_of_a_session_that_broke_off_may_still_be_taken(tmp_path):
    server_clock, clock = SimulatedClock(), SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, ack_timeout_s=1e9, silence_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await advance_until(server_clock, 10.0, lambda: recorder.named("disconnected"))
            await advance_until(clock, 0.01, lambda: recorder.named("in_use"))
            await server_clock.advance(90.0)
            await advance_until(clock, 10.0, lambda: len(recorder.named("settled")) == 2)
        return recorder, stage.done("held")

    clocks = {"clock": clock, "server_clock": server_clock}
    recorder, held = play(tmp_path, "close@08:31; held=90s", scenario, play=REAL_TIME, **clocks)
    assert "OPSP8996" in recorder.named("in_use")[0]["text"]
    assert recorder.named("reconnecting")[1]["delay_s"] >= 60
    assert held >= len(recorder.named("in_use")) >= 1


# --- heartbeats ---------------------------------------------------------------------------------------------------


def test_who_is_not_heard_answering_is_cut_off_and_comes_back(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            for _ in range(11):
                seen = len(recorder.pings())
                await server_clock.advance(10.0)
                await until(lambda seen=seen: len(recorder.pings()) > seen or recorder.named("disconnected"))
            await until(lambda: len(recorder.named("settled")) == 2)
        return recorder, stage.simulator.report()

    recorder, report = play(tmp_path, "deaf", scenario, play=REAL_TIME, server_clock=server_clock)
    assert recorder.named("disconnected")[0]["code"] == 1006
    assert report["connections"][0]["reason"] == "PINGPONG not answered"


def test_without_data_and_without_heartbeats_a_connection_counts_as_dead(tmp_path):
    clock, server_clock = SimulatedClock(), SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=30.0, ack_timeout_s=1e9)):
            await advance_until(clock, 0.01, lambda: recorder.named("settled"))
            await server_clock.advance(60.0)
            await advance_until(clock, 5.0, lambda: recorder.named("silence"))
        return recorder, stage.done("noping")

    clocks = {"clock": clock, "server_clock": server_clock}
    recorder, left_out = play(tmp_path, "noping; nodata", scenario, play=REAL_TIME, **clocks)
    assert recorder.pings() == recorder.data() == []
    assert left_out >= 6


def pings_under(tmp_path, faults, count):
    """So many heartbeats, ten seconds of the server's clock apart."""
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            for _ in range(count):
                seen = len(recorder.pings())
                await server_clock.advance(10.0)
                await until(lambda seen=seen: len(recorder.pings()) > seen)
        return recorder.pings()

    return play(tmp_path, faults, scenario, play=REAL_TIME, server_clock=server_clock)


def test_a_heartbeat_may_tell_another_time(tmp_path):
    pings = pings_under(tmp_path, "clock@ping:2=-1h", 3)
    assert [ping[:10] for ping in pings] == ["2025091508", "2025091507", "2025091508"]


# --- the day ------------------------------------------------------------------------------------------------------


def test_on_a_day_without_data_heartbeats_come_and_nothing_else(tmp_path):
    server_clock = SimulatedClock()

    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, silence_s=1e9)):
            await until(lambda: recorder.named("settled"))
            await server_clock.advance(4 * 3600.0)
            await until(recorder.pings)
            prints = await stage.call(stage.rest.time_conclusions("005930", time(15, 30)))
        return recorder, prints, stage.simulator.report()

    options = {"play": PlayConfig(PlayPace("speed", 60.0)), "server_clock": server_clock}
    recorder, prints, report = play(tmp_path, "nodata", scenario, **options)
    assert recorder.data() == prints == []
    assert (report["records"], report["withheld"]["records"], report["unsent"]["records"]) == (0, 0, 0)


@pytest.mark.parametrize(("change", "width"), [("2026-09-14", 47), ("+2", 48)])
def test_records_that_grow_wider_in_the_middle_of_the_day_are_still_understood(tmp_path, change, width):
    async def scenario(stage):
        recorder = Recorder()
        async with running(stage.feed(recorder, stop_on_close=True)) as task:
            await task
        return recorder.data(), stage.simulator.report()

    options = {"play": PlayConfig(PlayPace("max"), expect=3, settle_s=0.05)}
    frames, report = play(tmp_path, f"layout@12:00={change}", scenario, **options)
    parsed = parse(*join(frames))
    assert parsed.rejects == []
    noon = {records.width: (records.columns["STCK_CNTG_HOUR"] >= 12 * 3600) for records in parsed.records}
    assert sorted(noon) == [46, width]
    assert not noon[46].any()
    assert noon[width].all()
    shares = sum(int(records.columns["CNTG_VOL"].sum()) for records in parsed.records)
    assert shares == report["shares"]


def test_a_burst_makes_so_much_more_of_the_day_pass(tmp_path):
    pings = pings_under(tmp_path, "burst@08:30:30+5m=10", 7)
    seconds = [int(ping[8:10]) * 3600 + int(ping[10:12]) * 60 + int(ping[12:]) for ping in pings]
    steps = [after - before for before, after in pairwise(seconds)]
    assert steps[:1] == [10]
    assert steps[-1] == 10
    assert max(steps) == 100
