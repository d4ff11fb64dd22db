"""Clients that others wrote for KIS, unchanged but for the address, against our simulator.

Each runs as a process of its own (``clients/run_*.py``, which say how the address is changed) and prints what it was
told; that must be what the simulator sent. It was written by people who only knew the broker, so where it agrees the
simulator is like the broker in what those people rely on.
"""

import asyncio
import contextlib
import json
import os
import signal
import sys
import zlib
from collections import Counter
from dataclasses import dataclass
from datetime import date
from importlib.metadata import distributions
from itertools import accumulate
from pathlib import Path

import pytest

from hosu.clock import SystemClock
from hosu.kis.codec import join, parse
from hosu.kis.layouts import layout_on
from hosu.kis.records import unpack_many
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace
from hosu.kis.simulator.player import PlayConfig
from hosu.market.rules import limits_of

DAY = date(2025, 9, 15)
DAY_OF_47_FIELDS = date(2026, 9, 14)
SYMBOLS = ("005930", "000660", "035720")
APPKEY, APPSECRET = "k" * 36, "s" * 180  # python-kis checks their lengths
DEADLINE_S = 180.0

SCRIPTS = Path(__file__).parent / "clients"
PYKIS = Path(os.environ.get("HOSU_PYKIS", Path(sys.prefix) / "clients" / "pykis"))
"""The folder pykis is installed into, away from python-kis: both are the package ``pykis``."""


@dataclass(frozen=True)
class Client:
    name: str
    version: str
    script: str
    folder: Path | None = None

    def require(self):
        """Skips where the library is absent, and fails where CI is set."""
        paths = [str(self.folder)] if self.folder else sys.path
        found = next((each.version for each in distributions(name=self.name, path=paths)), None)
        if found == self.version:
            return
        has = f"has {self.name} {found}" if found else f"has no {self.name}"
        reason = f"{self.folder or sys.prefix} {has}; install {self.name} {self.version} there (make setup)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)


PYTHON_KIS = Client("python-kis", "2.1.6", "run_python_kis.py")
MOJITO2 = Client("mojito2", "0.1.6", "run_mojito2.py")
PYKIS_0_7 = Client("pykis", "0.7.0", "run_pykis.py", PYKIS)


class Day:
    """What the simulator sends, read from its tape by nothing but ``split``."""

    def __init__(self, layouts=None, fills=19):
        self.config = ExchangeConfig(
            DAY, symbols=SYMBOLS, records=900, feeds=("trades",), layouts=layouts, fills=fills, seed=7
        )
        tape = Exchange(self.config)
        self.frames = [frame for burst in tape for frame in burst.frames.frames()]
        self.instruments = tape.instruments
        self.fields = [field.name for field in layout_on("H0STCNT0", layouts or DAY).fields]
        self.groups = [self._records(frame) for frame in self.frames]
        self.records = [record for group in self.groups for record in group]

    def _records(self, frame):
        tokens = frame.decode("ascii").split("|")[3].split("^")
        return [tokens[i : i + len(self.fields)] for i in range(0, len(tokens), len(self.fields))]

    def named(self):
        return [dict(zip(self.fields, record, strict=True)) for record in self.records]

    def last(self, symbol):
        return [trade for trade in self.named() if trade["MKSC_SHRN_ISCD"] == symbol][-1]

    def checksums(self):
        return checksums([(record[0], "^".join(record)) for record in self.records])


@dataclass
class Run:
    trades: list
    prices: dict
    report: dict
    log: str


def checksums(records):
    """As the report's: crc32 over a symbol's records in the order sent."""
    chained = {}
    for symbol, raw in records:
        chained[symbol] = zlib.crc32(raw.encode("ascii"), chained.get(symbol, 0))
    return {symbol: f"{checksum:08x}" for symbol, checksum in chained.items()}


def run(client, day, tmp_path, *, listens=True):
    """The client's whole run against ``day``; one that does not listen comes when the day is over."""
    client.require()
    play = PlayConfig(Pace("max"), expect=len(SYMBOLS), settle_s=0.2) if listens else PlayConfig(Pace("speed", 1e6))

    async def main():
        config = SimulatorConfig(play=play, appkeys={APPKEY: APPSECRET})
        simulator = Simulator(config, lambda: Exchange(day.config), SystemClock())
        await simulator.start()
        try:
            async with asyncio.timeout(DEADLINE_S):
                if not listens:
                    await simulator.wait()
                out, err = await started(client, simulator, tmp_path)
                await simulator.wait()
                return out, err, simulator.report()
        finally:
            await simulator.stop()

    out, err, report = asyncio.run(main())
    found = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    trades = [each["trade"] for each in found if "trade" in each]
    prices = {each["price"]["symbol"]: each["price"] for each in found if "price" in each}
    return Run(trades, prices, report, out + err)


async def started(client, simulator, home):
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPTS / client.script), *SYMBOLS,
        cwd=home, env=surroundings(client, simulator, home), stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err = (each.decode() for each in await process.communicate())
    finally:
        with contextlib.suppress(ProcessLookupError):  # its own session: what it has started goes with it
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    assert process.returncode == 0, out + err
    return out, err


def surroundings(client, simulator, home):
    """An environment without proxies, in which caches of tokens land in ``home``."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home),
        "NO_PROXY": "*",
        "PYTHONUTF8": "1",
        "PYTHONPATH": str(client.folder or ""),
        "BROKER_REST": simulator.rest_url,
        "BROKER_WS": simulator.ws_url,
        "BROKER_APPKEY": APPKEY,
        "BROKER_APPSECRET": APPSECRET,
    }


# --- what they print is what was sent -------------------------------------------------------------------------------

PYTHON_KIS_TRADE = {
    "symbol": "MKSC_SHRN_ISCD", "price": "STCK_PRPR", "change": "PRDY_VRSS", "open": "STCK_OPRC", "high": "STCK_HGPR",
    "low": "STCK_LWPR", "ask": "ASKP1", "bid": "BIDP1", "volume": "ACML_VOL", "amount": "ACML_TR_PBMN",
    "sell_count": "SELN_CNTG_CSNU", "buy_count": "SHNU_CNTG_CSNU", "sell_quantity": "SELN_CNTG_SMTN",
    "buy_quantity": "SHNU_CNTG_SMTN", "ask_quantity": "TOTAL_ASKP_RSQN", "bid_quantity": "TOTAL_BIDP_RSQN",
    "prev_volume": "PRDY_SMNS_HOUR_ACML_VOL",
}  # fmt: skip
MOJITO2_TRADE = {
    "유가증권단축종목코드": "MKSC_SHRN_ISCD", "주식체결시간": "STCK_CNTG_HOUR", "주식현재가": "STCK_PRPR",
    "체결거래량": "CNTG_VOL", "누적거래량": "ACML_VOL", "누적거래대금": "ACML_TR_PBMN", "매도호가1": "ASKP1",
    "매수호가1": "BIDP1", "매도호가잔량": "ASKP_RSQN1", "매수호가잔량": "BIDP_RSQN1", "체결구분": "CCLD_DVSN",
    "영업일자": "BSOP_DATE", "시간구분코드": "HOUR_CLS_CODE", "정적VI발동기준가": "VI_STND_PRC",
}  # fmt: skip


def assert_the_report_agrees(report, received):
    """``received``: symbol and bytes of every record, in the order in which the client had them."""
    sent = {name.removeprefix("KRX:"): entry for name, entry in report["symbols"].items()}
    assert report["records"] == len(received)
    assert report["unsent"]["records"] == 0
    assert {symbol: entry["trades"] for symbol, entry in sent.items()} == Counter(symbol for symbol, _ in received)
    assert {symbol: entry["checksum"] for symbol, entry in sent.items()} == checksums(received)


def test_the_day_is_one_that_these_clients_know():
    day = Day()
    assert len(day.fields) == 46
    assert {len(record) for record in day.records} == {46}
    assert len(day.records) > 500
    assert max(len(group) for group in day.groups) > 2, "frames of several records are what clients get wrong"
    assert {record[0] for record in day.records} == set(SYMBOLS)


@pytest.mark.clients
def test_python_kis_gets_every_trade_and_the_price(tmp_path):
    day = Day()
    run_ = run(PYTHON_KIS, day, tmp_path)
    assert [trade["raw"].split("^") for trade in run_.trades] == day.records
    assert_the_report_agrees(run_.report, [(trade["symbol"], trade["raw"]) for trade in run_.trades])
    for read, sent in zip(run_.trades, day.named(), strict=True):
        assert {name: read[name] for name in PYTHON_KIS_TRADE} == {n: sent[s] for n, s in PYTHON_KIS_TRADE.items()}
        assert read["time"] == sent["BSOP_DATE"] + sent["STCK_CNTG_HOUR"]
    for symbol in SYMBOLS:
        last, limits, price = day.last(symbol), limits_of(day.instruments[symbol], DAY), run_.prices[symbol]
        same = ("price", "change", "open", "high", "low", "volume", "amount")
        assert {name: price[name] for name in same} == {name: last[PYTHON_KIS_TRADE[name]] for name in same}
        assert (price["high_limit"], price["low_limit"]) == (str(limits.upper), str(limits.lower))


@pytest.mark.clients
def test_mojito2_gets_every_trade_and_the_price(tmp_path):
    day = Day()
    run_ = run(MOJITO2, day, tmp_path)
    assert [list(trade.values()) for trade in run_.trades] == day.records
    received = [(trade["유가증권단축종목코드"], "^".join(trade.values())) for trade in run_.trades]
    assert_the_report_agrees(run_.report, received)
    for read, sent in zip(run_.trades, day.named(), strict=True):
        assert {name: read[name] for name in MOJITO2_TRADE} == {n: sent[s] for n, s in MOJITO2_TRADE.items()}
    for symbol in SYMBOLS:
        last, price = day.last(symbol), run_.prices[symbol]
        same = ("STCK_PRPR", "PRDY_VRSS", "STCK_OPRC", "STCK_HGPR", "STCK_LWPR", "ACML_VOL", "ACML_TR_PBMN")
        assert {name: price[name.lower()] for name in same} == {name: last[name] for name in same}


@pytest.mark.clients
def test_pykis_gets_the_price_the_limits_and_the_days_bar(tmp_path):
    day = Day()
    run_ = run(PYKIS_0_7, day, tmp_path, listens=False)
    for symbol in SYMBOLS:
        last, limits = day.last(symbol), limits_of(day.instruments[symbol], DAY)
        assert run_.prices[symbol] == {
            "version": "0.7.0",  # and not python-kis, which has the same name
            "symbol": symbol,
            "price": last["STCK_PRPR"],
            "high_limit": str(limits.upper),
            "low_limit": str(limits.lower),
            "date": "20250915",
            "open": last["STCK_OPRC"],
            "high": last["STCK_HGPR"],
            "low": last["STCK_LWPR"],
            "close": last["STCK_PRPR"],
            "volume": last["ACML_VOL"],
        }


# --- the field that the broker appended on 2026-09-14 ---------------------------------------------------------------


def test_our_own_parser_reads_every_trade_of_the_wider_layout():
    day = Day(DAY_OF_47_FIELDS)
    parsed = parse(*join(day.frames))
    assert {len(record) for record in day.records} == {47}
    assert parsed.rejects == []
    (trades,) = parsed.records
    assert unpack_many(trades.columns["MKSC_SHRN_ISCD"]) == [record[0] for record in day.records]
    assert trades.columns["STCK_PRPR"].tolist() == [int(record[2]) * 100 for record in day.records]
    assert unpack_many(trades.columns["MARKET_CLS_CODE"]) == [record[46] for record in day.records]


@pytest.mark.clients
def test_python_kis_drops_every_trade_of_the_wider_layout(tmp_path):
    day = Day(DAY_OF_47_FIELDS)
    run_ = run(PYTHON_KIS, day, tmp_path)
    assert run_.report["records"] == len(day.records)
    assert run_.trades == []
    assert run_.log.count("Invalid data length") >= len(day.frames)
    assert run_.prices["005930"]["price"] == day.last("005930")["STCK_PRPR"], "REST is as it was"


@pytest.mark.clients
def test_mojito2_silently_shifts_all_but_the_first_trade_of_a_frame_of_the_wider_layout(tmp_path):
    day = Day(DAY_OF_47_FIELDS)
    run_ = run(MOJITO2, day, tmp_path)
    assert run_.report["records"] == len(day.records) == len(run_.trades), (
        "as many as were sent, so nothing looks wrong"
    )
    starts = [0, *accumulate(len(group) for group in day.groups)]
    firsts = [run_.trades[start] for start in starts[:-1]]
    assert [list(trade.values()) for trade in firsts] == [group[0][:46] for group in day.groups]
    seconds = [(group, run_.trades[start + 1]) for group, start in zip(day.groups, starts, strict=False) if group[1:]]
    assert len(seconds) > 50
    for group, second in seconds:
        assert second["유가증권단축종목코드"] == group[0][46] == "2", "the market code where the symbol belongs"
        assert second["주식현재가"] == group[1][1], "the time where the price belongs"
