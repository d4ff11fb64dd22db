"""How fast the market's day passes, and what happens while nobody is there."""

import asyncio
from datetime import date

import numpy as np
import pytest

from hosu.clock import SimulatedClock, SystemClock
from hosu.errors import InputError
from hosu.kis.codec import encode
from hosu.kis.layouts import layout_on
from hosu.kis.records import EncodedFrames, pack
from hosu.kis.registrations import Registration
from hosu.kis.simulator.delivery import Delivery
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.faults import NoFaults
from hosu.kis.simulator.frames import FramesTape
from hosu.kis.simulator.pacing import MaxPacer, Pace, RatePacer, SpeedPacer, parse_speed
from hosu.kis.simulator.player import PlayConfig, Player
from hosu.kis.simulator.tape import Burst
from hosu.market.calendar import business_day, instant_us

SECOND = 1_000_000


def burst_at(*seconds: float, records: int = 1) -> Burst:
    n = len(seconds)
    place = np.arange(n)
    frames = EncodedFrames(np.zeros(0, np.uint8), place, place, np.full(n, records, np.int64))
    return Burst(frames, (np.array(seconds) * SECOND).astype(np.int64), place * 0, ())


def pass_time(clock: SimulatedClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


def test_at_a_speed_frames_are_due_when_the_markets_clock_has_passed_them() -> None:
    clock = SimulatedClock()
    pacer = SpeedPacer(clock, 100 * SECOND, 60.0)
    burst = burst_at(100, 130, 160, 220)
    assert pacer.due(burst, 0) == 1
    assert pacer.wait_s(burst, 1) == pytest.approx(0.5)
    pass_time(clock, 1.0)
    assert pacer.due(burst, 1) == 3
    pacer.hold(0.5)
    assert pacer.now_us() == 130 * SECOND
    assert pacer.due(burst, 3) == 3


def test_at_a_rate_records_are_due_evenly_whatever_their_time() -> None:
    clock = SimulatedClock()
    pacer = RatePacer(clock, 100.0)
    first, second = burst_at(0, 0, 3600, 7200, records=10), burst_at(9000, records=10)
    assert pacer.due(first, 0) == 0
    assert pacer.wait_s(first, 0) == pytest.approx(0.1)
    pass_time(clock, 0.25)
    assert pacer.due(first, 0) == 2
    pass_time(clock, 0.15)
    assert pacer.due(first, 2) == 4
    assert pacer.due(second, 0) == 0
    pass_time(clock, 0.1)
    assert pacer.due(second, 0) == 1


def test_at_max_everything_is_due() -> None:
    assert MaxPacer().due(burst_at(0, 1e6), 0) == 2


@pytest.mark.parametrize(
    ("text", "pace"), [("max", Pace("max")), ("1", Pace("speed", 1.0)), ("60", Pace("speed", 60.0))]
)
def test_a_speed_is_a_number_or_max(text: str, pace: Pace) -> None:
    assert parse_speed(text) == pace


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", ""])
def test_another_speed_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_speed(text)


class Nowhere:
    def write(self, messages: memoryview) -> None:
        self.last = messages


async def until(condition) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0)


def play(config: PlayConfig, script) -> tuple[Delivery, Player]:
    """Runs ``script(delivery, player)`` while a small day is played."""

    async def main() -> tuple[Delivery, Player]:
        tape = Exchange(ExchangeConfig(date(2025, 9, 15), symbols=("005930",), records=20_000, feeds=("trades",)))
        delivery = Delivery(tape, SystemClock(), NoFaults())
        player = Player(tape, delivery, config, SystemClock())
        running = asyncio.create_task(player.run())
        await script(delivery, player)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return delivery, player

    return asyncio.run(main())


TRADES = Registration("H0STCNT0", "005930")


def test_the_day_waits_for_as_many_registrations_as_expected() -> None:
    async def script(delivery: Delivery, player: Player) -> None:
        delivery.open(1, Nowhere())
        delivery.register(1, TRADES)
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert delivery.tally.to_dict()["records"] == 0
        delivery.register(1, Registration("H0STASP0", "005930"))
        await until(lambda: player.ended)

    delivery, _ = play(PlayConfig(pace=Pace("max"), expect=2, settle_s=0.02), script)
    assert delivery.tally.to_dict()["unsent"]["records"] == 0


@pytest.mark.parametrize(("away", "unsent"), [("hold", False), ("run", True)])
def test_with_nobody_there_the_day_holds_or_goes_on(away: str, unsent: bool) -> None:
    async def script(delivery: Delivery, player: Player) -> None:
        delivery.open(1, Nowhere())
        delivery.register(1, TRADES)
        await until(lambda: delivery.tally.to_dict()["records"] > 0)
        delivery.close(1, "broken off")
        for _ in range(100):
            await asyncio.sleep(0.002)
        delivery.open(2, Nowhere())
        delivery.register(2, TRADES)
        await until(lambda: player.ended)

    config = PlayConfig(pace=Pace("max"), settle_s=0.02, away=away, grace_s=0.05, away_rate=5000)  # type: ignore[arg-type]
    report = play(config, script)[0].tally.to_dict()
    assert (report["unsent"]["records"] > 0) is unsent
    assert report["deliveries"] == report["records"]


def test_a_client_that_does_not_read_stops_the_day() -> None:
    async def script(delivery: Delivery, player: Player) -> None:
        line = delivery.open(1, Nowhere())
        delivery.register(1, TRADES)
        await until(lambda: delivery.tally.to_dict()["records"] > 0)
        line.writable.clear()
        await asyncio.sleep(0)
        sent = delivery.tally.to_dict()["records"]
        for _ in range(50):
            await asyncio.sleep(0.002)
        assert delivery.tally.to_dict()["records"] == sent
        line.writable.set()
        await until(lambda: player.ended)

    play(PlayConfig(pace=Pace("max"), settle_s=0.02), script)


def test_a_recording_of_two_days_tells_the_second_one_before_its_first_frame() -> None:
    fields = {"MKSC_SHRN_ISCD": pack("005930"), "CNTG_VOL": 1, "ACML_VOL": 7, "STCK_PRPR": 7_000_000}
    layout = layout_on("H0STCNT0", date(2025, 9, 15))
    frames = encode(layout, {name: np.array([value], np.int64) for name, value in fields.items()})
    days = (date(2025, 9, 15), date(2025, 9, 16))
    tape = FramesTape([(instant_us(day, 36_000 + i), bytes(frames.frame(0))) for day in days for i in range(2)])
    delivery = Delivery(tape, SystemClock(), NoFaults())
    told: list[tuple[int, date]] = []
    player = Player(
        tape,
        delivery,
        PlayConfig(pace=Pace("max"), settle_s=0.0),
        SystemClock(),
        lambda: told.append((delivery.tally.to_dict()["records"], business_day(player.now_us())[0])),
    )
    delivery.open(1, Nowhere())
    delivery.register(1, TRADES)
    asyncio.run(player.run())
    assert delivery.tally.to_dict()["records"] == 4
    assert told == [(2, days[1]), (2, days[1])]
