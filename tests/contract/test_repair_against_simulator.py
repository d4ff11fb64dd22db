"""Our repair against our simulator: what comes back is what was traded, and live calls do not suffer for it."""

import asyncio
import json
from datetime import date, time
from random import Random

import pytest

from hosu.clock import SystemClock
from hosu.collect.gaps import Gap
from hosu.collect.repair import Repairer
from hosu.collect.repair_pages import Pager, prints_of
from hosu.collect.repair_plan import PlanConfig, plan_repair
from hosu.errors import RateLimitedError
from hosu.kis.auth import Auth
from hosu.kis.conclusions import conclusion_rows
from hosu.kis.hosts import Credentials, Host
from hosu.kis.http import Http
from hosu.kis.limits import Governor, Pace
from hosu.kis.rest import RestClient, RestConfig
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.fault_spec import parse_faults
from hosu.kis.simulator.pacing import Pace as PlayPace
from hosu.kis.simulator.player import PlayConfig
from hosu.market.calendar import business_day

DAY = date(2026, 9, 15)
SYMBOL = "005930"
KEY = Credentials("PSkey", "TOPSECRET")


def exchange() -> Exchange:
    return Exchange(ExchangeConfig(DAY, symbols=(SYMBOL, "000660"), records=4_000, feeds=("trades",)))


def traded() -> list[tuple[int, int, int]]:
    """(second, size, cumulative volume) of every trade of SYMBOL, from a tape of the same seed."""
    tape, found = exchange(), {}
    for burst in tape:
        for batch in burst.batches:
            columns = zip(*(batch.columns[name].tolist() for name in ("STCK_CNTG_HOUR", "CNTG_VOL", "ACML_VOL")),
                          batch.key.tolist(), strict=True)  # fmt: skip
            for second, size, volume, key in columns:
                if tape.keys.symbol_of(key) == f"KRX:{SYMBOL}":
                    found[volume] = (second, size, volume)
    return [found[volume] for volume in sorted(found)]


class Stage:
    """A simulator whose day is over, and clients of one key whose governor is shared."""

    def __init__(self, simulator: Simulator, http: Http, folder) -> None:
        self.host = Host("simulator", simulator.rest_url, simulator.ws_url)
        self.clock, self.replies = SystemClock(), []
        self.governor = Governor(folder / "governor", Pace(100), self.clock)
        self.auth = Auth(self.host, KEY, http, self.governor, cache_dir=folder, clock=self.clock)
        self._http = http

    def rest(self, **config: object) -> RestClient:
        return RestClient(
            self.host, KEY, self.auth, self.governor, self._http, clock=self.clock, random=Random(1),
            config=RestConfig(**config), on_reply=self.replies.append,
        )  # fmt: skip


def after_the_day(folder, scenario, faults: str = ""):
    async def main():
        play = PlayConfig(PlayPace("rate", 1e6), expect=0, settle_s=0.0)
        config = SimulatorConfig(play=play, calls_per_s=None, faults=parse_faults(faults))
        simulator = Simulator(config, exchange, SystemClock())
        await simulator.start()
        try:
            async with Http() as http, asyncio.timeout(60):
                await simulator.wait()
                return await scenario(Stage(simulator, http, folder))
        finally:
            await simulator.stop()

    return asyncio.run(main())


def test_paging_back_through_a_day_finds_every_trade_that_a_page_can_hold(tmp_path):
    trades = traded()
    assert len(trades) > 500

    async def scenario(stage):
        rest, pager, found = stage.rest(), Pager([(0, trades[-1][2])], {}, 72_000), set()
        while (cursor := pager.cursor()) is not None:
            at = time(cursor // 3600, cursor // 60 % 60, cursor % 60)
            page = prints_of(await rest.time_conclusions(SYMBOL, at, day=DAY))
            found |= {(each.second, each.end - each.begin, each.end) for each in page}
            pager.take(cursor, page)
        return found, pager

    found, pager = after_the_day(tmp_path, scenario)
    assert found == {*trades}
    assert (pager.missing, pager.lost) == ([], [])
    assert pager.pages < len(trades) / 20


def test_logged_pages_become_the_trades_of_the_tape(tmp_path):
    async def scenario(stage):
        await stage.rest().time_conclusions(SYMBOL, time(10, 30), day=DAY)
        return stage.replies[-1]

    reply = after_the_day(tmp_path, scenario)
    assert reply.day == DAY
    rows = conclusion_rows(reply.params, reply.body, DAY).rows
    known = {volume: (second, size) for second, size, volume in traded()}
    assert len(rows) == 30
    for row in rows:
        assert (int(business_day(row["ts_event"])[1]), row["size"]) == known[row["cum_volume"]]


def gap() -> Gap:
    trades = traded()
    return Gap(DAY.isoformat(), "KRX", SYMBOL, 0, trades[-1][2])


def test_the_day_comes_from_the_broker_s_minutes(tmp_path):
    told = []

    async def scenario(stage):
        async def note(events):
            told.extend(events)

        repairer = Repairer(stage.rest(), stage.clock, slowness=stage.governor.slowness, note=note)
        return await repairer.run(plan_repair([gap()], [], stage.clock.now_us(), PlanConfig()))

    report = after_the_day(tmp_path, scenario)
    assert (report.found, report.missing, report.stopped) == (gap().shares, 0, None)
    assert [each["event"] for each in told] == ["attempted"]


def test_a_storm_of_refusals_met_by_repair_leaves_live_polls_their_pace(tmp_path):
    async def scenario(stage):
        live, refusals = stage.rest(), []

        async def note(events): ...

        def slowness() -> float:
            refusals.append(stage.governor.slowness())
            return 1.0  # as if the minutes between had passed: every refusal of the storm comes at once

        repairer = Repairer(stage.rest(tries=2, refused_tries=1), stage.clock, slowness=slowness, note=note)
        plan = plan_repair([gap()], [], stage.clock.now_us(), PlanConfig())
        before = len(stage.replies)
        report = await repairer.run(plan)
        asked = [json.loads(each.body)["msg_cd"] for each in stage.replies[before:] if each.tr_id == "FHPST01060000"]
        polled = [len(await live.multi_price([SYMBOL, "000660"])) for _ in range(5)]
        return report, asked, polled

    report, asked, polled = after_the_day(tmp_path, scenario, "gateway=EGW00201[FHPST01060000]")
    assert report.stopped == "refused for its pace 5 times in a row (EGW00201)"
    assert asked == ["EGW00201"] * 5  # one call, one refusal: no retries of the client's own on top
    assert polled == [2] * 5


def test_repair_stands_back_while_anybody_is_slowed_down(tmp_path):
    async def scenario(stage):
        live = stage.rest(tries=1)
        with pytest.raises(RateLimitedError):
            await live.price(SYMBOL)
        assert stage.governor.slowness() > 1

        async def note(events): ...

        repairer = Repairer(stage.rest(), stage.clock, slowness=stage.governor.slowness, note=note)
        task = asyncio.create_task(repairer.run(plan_repair([gap()], [], stage.clock.now_us(), PlanConfig())))
        polled = [len(await live.multi_price([SYMBOL, "000660"])) for _ in range(5)]
        done = task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return polled, done, [each.tr_id for each in stage.replies]

    polled, done, asked = after_the_day(tmp_path, scenario, "gateway=EGW00201[FHKST01010100]")
    assert (polled, done) == ([2] * 5, False)
    assert "FHPST01060000" not in asked
    assert "FHKST03010200" not in asked
