"""What the simulated broker sends over WebSocket, to whom, what its report says of it, and its addresses."""

import asyncio
import zlib
from collections import Counter

import pytest
from broker_parts import DAY, KEYS, PRICE, STILL, SYMBOLS, Broker, Client, records_of, run
from picows import WSCloseCode

from hosu.clock import SystemClock
from hosu.errors import PortInUseError
from hosu.kis.notice import decrypt
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace
from hosu.kis.simulator.player import PlayConfig
from hosu.kis.simulator.sessions import SlotConfig
from hosu.kis.simulator.ws import WsConfig


def test_everything_registered_arrives_and_the_report_says_what_was_sent() -> None:
    got: list[Client] = []

    async def collect(broker: Broker) -> None:
        client = await broker.connect()
        got.append(client)
        client.register(await broker.approval(), *KEYS)
        await client.ended
        await broker.simulator.wait()

    report = run(collect)
    (client,) = got
    assert client.codes() == ["OPSP0000"] * 8
    assert client.close_code is WSCloseCode.OK
    records = records_of(client.frames)
    assert (report["records"], report["frames"]) == (len(records), len(client.frames))
    assert report["by_tr"] == {
        tr: {"records": n, "frames": sum(f[2:10].decode() == tr for f in client.frames)}
        for tr, n in sorted(Counter(tr for tr, _, _ in records).items())
    }
    for symbol in SYMBOLS:
        entry, checksum, shares, last = report["symbols"][f"KRX:{symbol}"], 0, 0, 0
        for tr_id, code, record in records:
            if code == symbol:
                checksum = zlib.crc32(record, checksum)
                if tr_id == "H0STCNT0":
                    shares, last = shares + int(record.split(b"^")[12]), int(record.split(b"^")[13])
        assert (entry["checksum"], entry["shares"], entry["last_cum_volume"]) == (f"{checksum:08x}", shares, last)
    assert report["repeated"]["records"] == 2
    assert report["unsent"] == {"records": 0, "shares": 0, "symbols": {}}
    assert (report["connections"][0]["reason"], report["connections"][0]["records"]) == ("day ended", len(records))
    volumes = [int(r.split(b"^")[13]) for tr, code, r in records if (tr, code) == ("H0STCNT0", "005930")]
    assert report["connections"][0]["symbols"]["KRX:005930"] == {
        "trades": len(volumes), "first_cum_volume": volumes[0], "last_cum_volume": volumes[-1],
    }  # fmt: skip


def test_what_nobody_registered_is_listed_as_unsent() -> None:
    async def collect(broker: Broker) -> None:
        client = await broker.connect()
        client.register(await broker.approval(), ("H0STCNT0", "005930"))
        await client.ended

    report = run(collect)
    assert list(report["symbols"]) == ["KRX:005930"]
    assert report["unsent"]["shares"] == report["unsent"]["symbols"]["KRX:000660"]["shares"] > 0
    assert "H0STASP0" not in report["by_tr"]


def test_the_addresses_are_still_known_when_the_day_is_over() -> None:
    known: list[tuple[Simulator, str, str]] = []

    async def outlast(broker: Broker) -> None:
        simulator = broker.simulator
        known.append((simulator, simulator.rest_url, simulator.ws_url))
        await simulator.wait()
        assert simulator.ws_url == known[0][2]
        assert (await broker.get("inquire-price", await broker.headers(), "FHKST01010100", **PRICE))[0] == 200

    run(outlast, PlayConfig(Pace("speed", 1e6)))
    simulator, rest_url, ws_url = known[0]
    assert (simulator.rest_url, simulator.ws_url) == (rest_url, ws_url)


def test_two_appkeys_share_the_market_and_each_record_counts_once() -> None:
    async def collect(broker: Broker) -> None:
        clients = [await broker.connect() for _ in range(2)]
        for client, appkey in zip(clients, ("a" * 36, "b" * 36), strict=True):
            client.register(await broker.approval(appkey), ("H0STCNT0", "005930"))
        for client in clients:
            await client.ended
        assert clients[0].frames == clients[1].frames

    report = run(collect)
    assert report["deliveries"] == 2 * report["records"] > 0


@pytest.mark.parametrize("path", ["", "/", "/tryitout", "/tryitout/H0STCNT0"])
def test_all_four_forms_of_the_path_are_accepted(path: str) -> None:
    async def ask(broker: Broker) -> None:
        client = await broker.connect(path)
        client.register(await broker.approval(), ("H0STCNT0", "005930"))
        await client.until(lambda: bool(client.messages))
        assert client.codes() == ["OPSP0000"]

    run(ask, STILL)


def test_another_path_is_refused() -> None:
    async def ask(broker: Broker) -> None:
        with pytest.raises(Exception, match="404"):
            await broker.connect("/elsewhere")

    run(ask, STILL)


def test_one_session_an_appkey_until_it_ends() -> None:
    async def ask(broker: Broker) -> None:
        approval = await broker.approval()
        first, second = await broker.connect(), await broker.connect()
        first.register(approval, ("H0STCNT0", "005930"))
        await first.until(lambda: bool(first.messages))
        second.register(approval, ("H0STCNT0", "005930"))
        await second.until(lambda: bool(second.messages))
        assert second.codes() == ["OPSP8996"]
        first.transport.disconnect(graceful=False)
        await first.ended
        while second.codes()[-1] != "OPSP0000":
            seen = len(second.messages)
            second.register(approval, ("H0STCNT0", "005930"))
            await second.until(lambda seen=seen: len(second.messages) > seen)

    report = run(ask, STILL)
    assert report["connections"][0]["reason"] == "broken off"


def test_a_held_place_is_refused_to_the_next_connection() -> None:
    async def ask(broker: Broker) -> None:
        approval = await broker.approval()
        first = await broker.connect()
        first.register(approval, ("H0STCNT0", "005930"))
        await first.until(lambda: bool(first.messages))
        first.transport.disconnect(graceful=False)
        await first.ended
        second = await broker.connect()
        second.register(approval, ("H0STCNT0", "005930"))
        await second.until(lambda: bool(second.messages))
        assert second.codes() == ["OPSP8996"]

    run(ask, STILL, slots=SlotConfig(held_s=3600))


def test_who_answers_the_heartbeat_stays_and_who_does_not_is_cut_off() -> None:
    async def ask(broker: Broker) -> None:
        good, bad = await broker.connect(), await broker.connect()
        bad.answer_ping = False
        await bad.ended
        assert bad.close_code is None
        seen = len(good.messages)
        await good.until(lambda: len(good.messages) > seen)
        assert good.messages[-1]["header"]["datetime"] == "20250915083000"

    report = run(ask, STILL, ws=WsConfig(ping_every_s=0.02, cut_after_s=0.5))
    assert report["connections"][1]["reason"] == "PINGPONG not answered"


def test_a_pong_or_a_ping_answers_the_heartbeat_too() -> None:
    async def ask(broker: Broker) -> None:
        ponging, pinging = await broker.connect(), await broker.connect()
        for client, send in ((ponging, ponging.transport.send_pong), (pinging, pinging.transport.send_ping)):
            client.answer_ping = False
            for _ in range(20):
                seen = len(client.messages)
                await client.until(lambda c=client, seen=seen: len(c.messages) > seen)
                for one in (ponging.transport.send_pong, pinging.transport.send_ping):
                    one(b"still here")
            assert not client.ended.done(), send

    run(ask, STILL, ws=WsConfig(ping_every_s=0.02, cut_after_s=0.4))


def test_notices_come_encrypted_with_the_keys_of_their_ack() -> None:
    async def ask(broker: Broker) -> None:
        client = await broker.connect()
        client.register(await broker.approval(), ("H0STCNI0", "myhtsid"))
        await client.until(lambda: bool(client.frames))
        output = client.messages[0]["body"]["output"]
        flag, tr_id, count, payload = client.frames[0].decode().split("|")
        fields = decrypt(payload, output["key"], output["iv"]).split("^")
        assert (flag, tr_id, count, len(fields)) == ("1", "H0STCNI0", "001", 26)
        assert (fields[0], fields[8], fields[13], fields[10]) == ("myhtsid", "005930", "2", "71900")

    report = run(ask, STILL, notice_every_s=0.02)
    assert report["notices"] > 0
    assert report["records"] == 0


def test_released_symbols_fall_silent() -> None:
    async def ask(broker: Broker) -> None:
        approval = await broker.approval()
        client = await broker.connect()
        client.register(approval, ("H0STCNT0", "005930"), ("H0STCNT0", "000660"))
        client.register(approval, ("H0STCNT0", "005930"), tr_type="2")
        await client.ended
        assert client.codes() == ["OPSP0000", "OPSP0000", "OPSP0001"]
        assert {symbol for _, symbol, _ in records_of(client.frames)} == {"000660"}

    run(ask)


def test_a_client_that_comes_back_goes_on_at_the_market_as_it_is() -> None:
    frames: list[list[bytes]] = []

    async def collect(broker: Broker) -> None:
        approval = await broker.approval()
        first = await broker.connect()
        first.register(approval, ("H0STCNT0", "005930"))
        await first.until(lambda: len(first.frames) > 200)
        first.transport.disconnect(graceful=False)
        await first.ended
        unsent = broker.simulator.report()["unsent"]["symbols"]
        while broker.simulator.report()["unsent"]["symbols"] == unsent:
            await asyncio.sleep(0)
        second = await broker.connect()
        second.register(approval, ("H0STCNT0", "005930"))
        await second.ended
        frames.extend([first.frames, second.frames])

    play = PlayConfig(pace=Pace("rate", 20_000), settle_s=0.05)
    report = run(collect, play, exchange={"feeds": ("trades",), "records": 30_000})
    mine = report["symbols"]["KRX:005930"]
    assert [c["reason"] for c in report["connections"]] == ["broken off", "day ended"]
    assert mine["trades"] + report["unsent"]["symbols"]["KRX:005930"]["records"] >= len(
        [*records_of(frames[0]), *records_of(frames[1])]
    )
    assert report["connections"][1]["symbols"]["KRX:005930"]["trades"] == len(records_of(frames[1])) > 0


def test_a_port_in_use_is_said_so() -> None:
    async def ask(broker: Broker) -> None:
        taken = int(broker.simulator.ws_url.rsplit(":", 1)[1])
        config = SimulatorConfig(ws=WsConfig(port=taken))
        other = Simulator(config, lambda: Exchange(ExchangeConfig(DAY, symbols=SYMBOLS)), SystemClock())
        with pytest.raises(PortInUseError, match=str(taken)):
            await other.start()

    run(ask, STILL)
