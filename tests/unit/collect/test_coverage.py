import asyncio
from dataclasses import dataclass

from hosu.clock import SimulatedClock
from hosu.collect.coverage import Coverage, CoverageConfig
from hosu.collect.polling import Poller, Rotation
from hosu.collect.subscriptions import ExchangeConfig, Key, make_plan
from hosu.kis.limits import Priority
from hosu.kis.messages import Ack
from hosu.kis.registrations import Registrations

TRADES = "H0STCNT0"


@dataclass
class Row:
    symbol: str
    cum_value: int


class Stream:
    """A feed whose broker answers at once: the real registrations, without a socket."""

    def __init__(self, slots):
        self.registrations, self.slots, self.releases = Registrations((), slots), slots, []

    def start(self, desired):
        self.registrations = Registrations(desired, self.slots)
        self._settle()

    def want(self, desired):
        self.registrations.change(desired)
        self._settle()

    def _settle(self):
        state = self.registrations
        while (gone := state.release_due()) is not None:
            state.release_sent(gone, 0.0)
            self.releases.append(gone.key)
            state.answer(Ack(gone.tr_id, gone.key, "OPSP0001", ""))
        while (due := state.due()) is not None:
            state.sent(due, 0.0)
            state.answer(Ack(due.tr_id, due.key, "OPSP0000", ""))

    @property
    def streamed(self):
        return {each.key for each in self.registrations.acknowledged}


class Market:
    def __init__(self):
        self.values = {}

    async def multi_price(self, symbols, scope="KRX", *, priority=Priority.LIVE):
        return [Row(symbol, self.values.get(symbol, 0)) for symbol in symbols]


def test_a_symbol_that_came_from_the_reserve_can_be_exchanged_away_again():
    async def main():
        clock, market, feed = SimulatedClock(), Market(), Stream(2)
        (share,) = make_plan(["A", "B", "C", "D"], [TRADES], [Key("k", 2)]).shares
        poller = Poller(market, Rotation(share.symbols, 0.0), "KRX", clock, calls_per_s=lambda: 12.0, parallel=1)
        exchange = ExchangeConfig(per_hour=9, dwell_s=60.0, margin=1.5)
        config = CoverageConfig(1.0, 1.0, watch_s=1.0, report_s=1e9, exchange=exchange)
        coverage = Coverage(config, share, feed, poller, clock, calls_per_s=lambda: 12.0, connected=lambda: True)
        poller.on_prices = coverage.take_prices
        feed.start(coverage.desired)
        running, seen = asyncio.create_task(coverage.run()), []
        for values in ({"A": 9, "B": 1, "C": 5, "D": 2}, {"A": 9, "B": 20, "C": 5, "D": 2}):
            market.values = values
            for _ in range(100):
                await clock.advance(1.0)
            seen.append(feed.streamed)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return seen, feed.releases, coverage.report()

    seen, releases, report = asyncio.run(main())
    assert seen == [{"A", "C"}, {"A", "B"}]
    assert releases == ["B", "C"]
    assert report["exchanged"] == 2


def test_without_polls_the_rest_is_not_covered_and_a_slot_that_was_refused_gives_its_reason():
    clock, feed = SimulatedClock(), Stream(2)
    (share,) = make_plan(["A", "B", "C"], [TRADES], [Key("k", 2)]).shares
    coverage = Coverage(CoverageConfig(), share, feed, None, clock, calls_per_s=lambda: 12.0, connected=lambda: True)
    state = feed.registrations = Registrations(coverage.desired, 2)
    while (due := state.due()) is not None:
        state.sent(due, 0.0)
    state.answer(Ack(TRADES, "A", "OPSP0000", ""))
    state.answer(Ack(TRADES, "B", "OPSP8992", ""))
    rows = {row["symbol"]: (row["how"], row["why"], row["wanted_s"]) for row in coverage.report()["symbols"]}
    assert rows == {
        "A": ("streamed", "", None),
        "B": ("not covered", "the broker refused it (OPSP8992)", None),
        "C": ("not covered", "no slot left by its priority", None),
    }


def test_where_the_stream_tells_the_date_nothing_is_polled_before_it_stood_and_polls_outlive_it():
    async def main():
        clock, market, feed, standing = SimulatedClock(), Market(), Stream(2), [False]
        (share,) = make_plan(["A", "B", "C"], [TRADES], [Key("k", 2)]).shares
        poller = Poller(market, Rotation(share.symbols, 0.0), "KRX", clock, calls_per_s=lambda: 12.0, parallel=1)
        config = CoverageConfig(1.0, 1.0, report_s=1e9, stream_first=True)
        coverage = Coverage(config, share, feed, poller, clock, calls_per_s=lambda: 12.0, connected=lambda: standing[0])
        running, calls = asyncio.create_task(coverage.run()), []
        for standing[0] in (False, True, False):
            for _ in range(90):
                await clock.advance(1.0)
            await coverage.sweep()
            calls.append(poller.calls)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return calls

    before, standing, after = asyncio.run(main())
    assert before == 0
    assert 60 < standing < after - 60
