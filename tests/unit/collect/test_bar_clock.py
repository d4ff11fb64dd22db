"""When minutes are closed: by market time, inside the session, once."""

import asyncio

import numpy as np
import pytest
from ledger_parts import at

from hosu.clock import SimulatedClock
from hosu.collect import control
from hosu.collect.bar_clock import BarClock, BarClockConfig
from hosu.collect.block import Block, RecordKind
from hosu.collect.decode import Decoder

OPEN, END = at("09:00:00"), at("15:40:00")


class Market:
    """Market time that is set, and what was closed."""

    def __init__(self, grace_s: float = 1.0, last_day: int | None = None) -> None:
        self.now_us = 0
        self.closed: list[int] = []
        self.clock = SimulatedClock()
        self.bars = BarClock(
            BarClockConfig(round(grace_s * 1e6), 0.05),
            market_us=lambda: self.now_us,
            session_of=lambda now_us: (OPEN, END) if at("00:00:00") <= now_us < at("23:59:59") else None,
            close=self.closed.append,
            clock=self.clock,
            last_day=lambda: last_day,
        )

    def look(self, clock: str) -> list[int]:
        """What is closed when it looks at that time."""
        self.now_us = at(clock)
        before = len(self.closed)
        self.bars.look()
        return self.closed[before:]


def test_a_minute_is_closed_once_its_end_and_the_grace_have_passed():
    market = Market()
    assert market.look("09:00:59") == []
    assert market.look("09:01:00") == []
    assert market.look("09:01:01") == [at("09:01:00")]
    assert market.look("09:01:02") == []


def test_one_record_closes_all_minutes_that_have_passed():
    assert Market().look("09:07:30") == [at("09:07:00")]


def test_nothing_is_closed_before_the_session_and_on_days_without_one():
    market = Market()
    assert market.look("08:59:30") == []
    assert market.look("09:00:30") == []
    market.now_us = at("12:00:00") + 86_400_000_000
    market.bars.look()
    assert market.closed == []


def test_after_the_sessions_end_everything_is_closed_up_to_it_and_no_further():
    market = Market()
    assert market.look("15:39:30") == [at("15:39:00")]
    assert market.look("15:40:00") == []
    assert market.look("15:40:01") == [END]
    assert market.look("18:00:00") == []


def test_time_that_is_not_known_closes_nothing():
    market = Market()
    market.bars.look()
    assert market.closed == []


def test_without_a_grace_a_minute_closes_with_the_first_instant_of_the_next():
    market = Market(grace_s=0.0)
    assert market.look("09:00:59") == []
    assert market.look("09:01:00") == [at("09:01:00")]


def test_time_that_steps_back_closes_nothing_again():
    market = Market()
    market.look("09:05:30")
    assert market.look("09:03:30") == []


def test_a_feed_that_ends_in_order_closes_the_rest_of_its_day():
    market = Market(last_day=at("12:00:00"))
    market.look("09:05:30")
    market.bars.end_day()
    market.bars.end_day()
    assert market.closed == [at("09:05:00"), END]


def test_a_market_that_goes_by_the_clock_closes_nothing_at_the_end_of_a_feed():
    market = Market()
    market.look("09:05:30")
    market.bars.end_day()
    assert market.closed == [at("09:05:00")]


def test_it_looks_every_twentieth_of_a_second_until_cancelled():
    async def run() -> list[int]:
        market = Market()
        task = asyncio.create_task(market.bars.run())
        market.now_us = at("09:01:00")
        await asyncio.sleep(0)
        market.now_us = at("09:01:01")
        await market.clock.advance(0.049)
        assert market.closed == []
        await market.clock.advance(0.001)
        task.cancel()
        return market.closed

    assert asyncio.run(run()) == [at("09:01:00")]


def block_of(*payloads: bytes) -> Block:
    ends = np.cumsum([len(each) for each in payloads]).astype(np.int64)
    count = len(payloads)
    return Block(
        "w1",
        np.frombuffer(b"".join(payloads), np.uint8).copy(),
        np.concatenate([[0], ends[:-1]]).astype(np.int64),
        ends,
        np.arange(count, dtype=np.int64),
        np.full(count, OPEN, np.int64),
        np.full(count, RecordKind.BAR_CLOSE, np.uint8),
        np.zeros(count, np.uint16),
    )


def test_the_decoder_passes_closes_on_with_their_place_in_the_log():
    batch = Decoder("w1").decode(block_of(control.bar_close(OPEN + 60_000_000), control.bar_close(END)))
    assert batch is not None
    assert batch.bar_closes == ((0, OPEN + 60_000_000), (1, END))
    assert batch.tables == {}
    assert batch.records == 0


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b'{"interval":"1s","until_us":5}',
        b'{"interval":"1m"}',
        b'{"interval":"1m","until_us":"5"}',
        b'{"interval":"1m","until_us":true}',
        b'{"interval":"1m","until_us":-1}',
        b'{"interval":"1m","until_us":1e300}',
        b'{"interval":"1m","until_us":999999999999999999999}',
        b'{"interval":null,"until_us":5}',
        b"[" * 100_000,
    ],
)
def test_a_close_that_cannot_be_read_or_is_of_another_interval_is_passed_over(payload: bytes):
    batch = Decoder("w1").decode(block_of(payload, control.bar_close(END)))
    assert batch is not None
    assert batch.bar_closes == ((1, END),)
    assert batch.records == 0
