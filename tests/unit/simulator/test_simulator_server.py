"""The simulated broker over real sockets."""

import asyncio
import json
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import date

import aiohttp
import pytest
from picows import WSCloseCode, WSListener, WSMsgType, ws_connect

from hosu.clock import SystemClock
from hosu.errors import PortInUseError
from hosu.kis.masters import parse_master
from hosu.kis.notice import decrypt
from hosu.kis.simulator.app import Simulator, SimulatorConfig
from hosu.kis.simulator.exchange import Exchange, ExchangeConfig
from hosu.kis.simulator.pacing import Pace
from hosu.kis.simulator.player import PlayConfig
from hosu.kis.simulator.rest import RestConfig
from hosu.kis.simulator.sessions import SlotConfig
from hosu.kis.simulator.ws import WsConfig
from hosu.market.instruments import Market

DAY = date(2025, 9, 15)
SYMBOLS = ("005930", "000660")
KEYS = [(tr, s) for tr in ("H0STCNT0", "H0STASP0", "H0STANC0", "H0STMKO0") for s in SYMBOLS]
FAST = PlayConfig(pace=Pace("max"), settle_s=0.05)
STILL = PlayConfig(pace=Pace("max"), expect=10_000)  # a day that never begins


class Client(WSListener):
    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.messages: list[dict] = []
        self.close_code: WSCloseCode | None = None
        self.answer_ping = True
        self.news = asyncio.Event()
        self.ended = asyncio.get_running_loop().create_future()

    def on_ws_connected(self, transport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport, frame) -> None:
        if frame.msg_type is WSMsgType.TEXT:
            raw = frame.get_payload_as_bytes()
            if raw[:1] == b"{":
                self.messages.append(json.loads(raw))
                if self.messages[-1]["header"]["tr_id"] == "PINGPONG" and self.answer_ping:
                    transport.send(WSMsgType.TEXT, raw)
            else:
                self.frames.append(raw)
        elif frame.msg_type is WSMsgType.CLOSE:
            self.close_code = frame.get_close_code()
            transport.send_close(self.close_code)
            transport.disconnect()
        self.news.set()

    def on_ws_disconnected(self, transport) -> None:
        self.ended.set_result(None)
        self.news.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    def send(self, message: object) -> None:
        text = message if isinstance(message, str) else json.dumps(message)
        self.transport.send(WSMsgType.TEXT, text.encode())

    def register(self, approval: str, *keys: tuple[str, str], tr_type: str = "1") -> None:
        header = {"approval_key": approval, "custtype": "P", "tr_type": tr_type, "content-type": "utf-8"}
        for tr_id, tr_key in keys:
            self.send({"header": header, "body": {"input": {"tr_id": tr_id, "tr_key": tr_key}}})

    def codes(self) -> list[str]:
        return [m["body"]["msg_cd"] for m in self.messages if "body" in m]


class Broker:
    """A running simulator and how a client talks to it."""

    def __init__(self, simulator: Simulator, http: aiohttp.ClientSession) -> None:
        self.simulator, self.http = simulator, http

    async def post(self, path: str, **body: str) -> tuple[int, dict]:
        async with self.http.post(self.simulator.rest_url + path, json=body) as reply:
            return reply.status, await reply.json()

    async def approval(self, appkey: str = "k" * 36) -> str:
        grant = {"grant_type": "client_credentials", "appkey": appkey, "secretkey": "s"}
        return (await self.post("/oauth2/Approval", **grant))[1]["approval_key"]

    async def headers(self) -> dict[str, str]:
        grant = {"grant_type": "client_credentials", "appkey": "k" * 36, "appsecret": "s"}
        token = (await self.post("/oauth2/tokenP", **grant))[1]["access_token"]
        return {"authorization": f"Bearer {token}", "appkey": "k" * 36, "appsecret": "s", "custtype": "P"}

    async def connect(self, path: str = "/tryitout") -> Client:
        return (await ws_connect(Client, self.simulator.ws_url + path))[1]

    async def get(self, name: str, headers: dict[str, str], tr_id: str, **query: str) -> tuple[int, dict]:
        url = f"{self.simulator.rest_url}/uapi/domestic-stock/v1/quotations/{name}"
        async with self.http.get(url, headers={**headers, "tr_id": tr_id}, params=query) as reply:
            return reply.status, await reply.json()


def run(
    test: Callable[[Broker], Awaitable[None]], play: PlayConfig = FAST, exchange: dict | None = None, **config: object
) -> dict:
    """Runs ``test`` against a simulator; returns its report."""

    async def main() -> dict:
        day = ExchangeConfig(DAY, symbols=SYMBOLS, **{"records": 3000, **(exchange or {})})
        simulator = Simulator(SimulatorConfig(play=play, **config), lambda: Exchange(day), SystemClock())  # type: ignore[arg-type]
        await simulator.start()
        try:
            async with aiohttp.ClientSession() as http, asyncio.timeout(60):
                await test(Broker(simulator, http))
        finally:
            await simulator.stop()
        return simulator.report()

    return asyncio.run(main())


def records_of(frames: list[bytes]) -> list[tuple[str, str, bytes]]:
    """(TR id, symbol, record) of every record."""
    found = []
    for frame in frames:
        _, tr_id, count, payload = frame.split(b"|", 3)
        fields = payload.split(b"^")
        width = len(fields) // int(count)
        parts = [fields[i : i + width] for i in range(0, len(fields), width)]
        found += [(tr_id.decode(), part[0].decode(), b"^".join(part)) for part in parts]
    return found


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


# --- REST -----------------------------------------------------------------------------------------------------------

PRICE = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": "005930"}


def test_rest_answers_from_the_market_as_of_now() -> None:
    async def ask(broker: Broker) -> None:
        client = await broker.connect()
        client.register(await broker.approval(), *KEYS)
        await client.ended
        headers = await broker.headers()
        last = [r.split(b"^") for tr, code, r in records_of(client.frames) if (tr, code) == ("H0STCNT0", "005930")]
        price = (await broker.get("inquire-price", headers, "FHKST01010100", **PRICE))[1]["output"]
        told = [
            price[name] for name in ("stck_prpr", "acml_vol", "acml_tr_pbmn", "stck_oprc", "stck_hgpr", "stck_lwpr")
        ]
        assert told == [last[-1][i].decode() for i in (2, 13, 14, 7, 8, 9)]
        assert len(price) == 82
        trades = (await broker.get("inquire-ccnl", headers, "FHKST01010300", **PRICE))[1]["output"]
        assert len(trades) == 30
        assert last[-1][13] == last[-2][13], "the last value is repeated after the close"
        assert [row["cntg_vol"] for row in trades] == [fields[12].decode() for fields in last[-2::-1][:30]]
        book = (await broker.get("inquire-asking-price-exp-ccn", headers, "FHKST01010200", **PRICE))[1]
        assert (len(book["output1"]), len(book["output2"])) == (71, 13)
        minutes = {"FID_INPUT_HOUR_1": "100000", "FID_PW_DATA_INCU_YN": "Y", "FID_ETC_CLS_CODE": "", **PRICE}
        rows = (await broker.get("inquire-time-itemchartprice", headers, "FHKST03010200", **minutes))[1]["output2"]
        assert len(rows) == 30
        assert (rows[0]["stck_cntg_hour"], rows[-1]["stck_cntg_hour"]) == ("100000", "093100")
        nine_forty = [f for f in last if f[1].startswith(b"0940")]
        row = next(row for row in rows if row["stck_cntg_hour"] == "094000")
        assert int(row["cntg_vol"]) == sum(int(f[12]) for f in nine_forty)
        dated = {"FID_INPUT_DATE_1": "20250915", "FID_INPUT_HOUR_1": "153000", **PRICE}
        rows = (await broker.get("inquire-time-dailychartprice", headers, "FHKST03010230", **dated))[1]["output2"]
        assert (len(rows), rows[0]["stck_cntg_hour"]) == (120, "153000")
        many = {"FID_COND_MRKT_DIV_CODE_1": "J", "FID_INPUT_ISCD_1": "000660"}
        many |= {"FID_COND_MRKT_DIV_CODE_2": "J", "FID_INPUT_ISCD_2": "005930"}
        rows = (await broker.get("intstock-multprice", headers, "FHKST11300006", **many))[1]["output"]
        assert {row["inter_shrn_iscd"]: row["acml_vol"] for row in rows}["005930"] == last[-1][13].decode()
        rank = {"FID_COND_MRKT_DIV_CODE": "J", "FID_COND_SCR_DIV_CODE": "20171"}
        rows = (await broker.get("volume-rank", headers, "FHPST01710000", **rank))[1]["output"]
        assert sorted(row["mksc_shrn_iscd"] for row in rows) == sorted(SYMBOLS)

    run(ask, calls_per_s=None)


def test_days_past_are_capped_newest_first_and_end_at_the_previous_close() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        daily = {"FID_PERIOD_DIV_CODE": "D", "FID_ORG_ADJ_PRC": "0", **PRICE}
        rows = (await broker.get("inquire-daily-price", headers, "FHKST01010400", **daily))[1]["output"]
        assert (len(rows), rows[0]["stck_bsop_date"], rows[0]["stck_clpr"]) == (30, "20250912", "71900")
        chart = {"FID_INPUT_DATE_1": "20240101", "FID_INPUT_DATE_2": "20251231", **daily}
        rows = (await broker.get("inquire-daily-itemchartprice", headers, "FHKST03010100", **chart))[1]["output2"]
        assert len(rows) == 100
        older = {**chart, "FID_INPUT_DATE_2": "20250905"}
        rows = (await broker.get("inquire-daily-itemchartprice", headers, "FHKST03010100", **older))[1]["output2"]
        assert rows[0]["stck_bsop_date"] == "20250905"
        holidays = (await broker.get("chk-holiday", headers, "CTCA0903R", BASS_DT="20251003"))[1]["output"]
        assert holidays[0] == {
            "bass_dt": "20251003", "wday_dvsn_cd": "06", "bzdy_yn": "N", "tr_day_yn": "Y", "opnd_yn": "N",
            "sttl_day_yn": "N",
        }  # fmt: skip

    run(ask, STILL, calls_per_s=None)


def test_wrong_calls_are_refused_with_their_code() -> None:
    async def ask(broker: Broker) -> None:
        good = await broker.headers()
        cases: list[tuple[dict[str, str], str, dict[str, str], tuple[int, str]]] = [
            ({**good, "authorization": ""}, "FHKST01010100", PRICE, (500, "EGW00122")),
            ({**good, "authorization": "Basic x"}, "FHKST01010100", PRICE, (500, "EGW00205")),
            ({**good, "authorization": "Bearer x"}, "FHKST01010100", PRICE, (500, "EGW00121")),
            ({**good, "appsecret": "wrong"}, "FHKST01010100", PRICE, (500, "EGW00105")),
            ({**good, "custtype": "X"}, "FHKST01010100", PRICE, (500, "EGW00208")),
            (good, "FHKST01010200", PRICE, (500, "OPSQ0002")),
            (good, "FHKST01010100", {"FID_INPUT_ISCD": "005930"}, (200, "OPSQ2001")),
            (good, "FHKST01010100", {**PRICE, "FID_COND_MRKT_DIV_CODE": "Z"}, (200, "OPSQ2001")),
        ]
        for headers, tr_id, query, answer in cases:
            status, body = await broker.get("inquire-price", headers, tr_id, **query)
            assert (status, body["msg_cd"], body["rt_cd"]) == (*answer, "1")
        lower = {name.lower(): value for name, value in PRICE.items()}
        assert (await broker.get("inquire-price", good, "FHKST01010100", **lower))[1]["output"]["stck_prpr"] == "71900"
        unknown = {**PRICE, "FID_INPUT_ISCD": "999999"}
        assert (await broker.get("inquire-price", good, "FHKST01010100", **unknown))[1]["output"]["stck_prpr"] == "0"

    run(ask, STILL, calls_per_s=None)


@pytest.mark.parametrize("status", [500, 200])
def test_an_expired_token_is_refused_with_the_status_chosen(status: int) -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        broker.simulator.expire_tokens()
        answer = await broker.get("inquire-price", headers, "FHKST01010100", **PRICE)
        body = {"rt_cd": "1", "msg_cd": "EGW00123", "msg1": "기간이 만료된 token 입니다."}
        assert answer == (status, body)

    run(ask, STILL, rest=RestConfig(token_fault_status=status))


def test_too_many_calls_in_a_second_are_refused() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        answers = [await broker.get("inquire-price", headers, "FHKST01010100", **PRICE) for _ in range(3)]
        codes = [(status, body["msg_cd"]) for status, body in answers]
        assert codes == [(200, "MCA00000"), (200, "MCA00000"), (500, "EGW00201")]

    # A limit of two a second cannot be met by three calls on loopback.
    run(ask, STILL, calls_per_s=2)


def test_paper_refuses_what_it_does_not_serve() -> None:
    async def ask(broker: Broker) -> None:
        headers = await broker.headers()
        status, body = await broker.get("volume-rank", headers, "FHPST01710000")
        assert (status, body["msg_cd"]) == (500, "EGW00213")

    run(ask, STILL, rest=RestConfig(paper=True))


def test_the_master_file_lists_the_symbols_without_a_key() -> None:
    async def ask(broker: Broker) -> None:
        async with broker.http.get(broker.simulator.rest_url + "/common/master/kospi_code.mst.zip") as reply:
            listed = parse_master(await reply.read(), Market.KOSPI)
        assert {each.symbol: each.base_price for each in listed} == {"005930": 71900, "000660": 308000}
        async with broker.http.get(broker.simulator.rest_url + "/common/master/other.zip") as reply:
            assert reply.status == 404

    run(ask, STILL)


def test_a_port_in_use_is_said_so() -> None:
    async def ask(broker: Broker) -> None:
        taken = int(broker.simulator.ws_url.rsplit(":", 1)[1])
        config = SimulatorConfig(ws=WsConfig(port=taken))
        other = Simulator(config, lambda: Exchange(ExchangeConfig(DAY, symbols=SYMBOLS)), SystemClock())
        with pytest.raises(PortInUseError, match=str(taken)):
            await other.start()

    run(ask, STILL)


def test_whoever_asks_for_prices_may_take_breath_between_the_last_questions() -> None:
    async def play(broker: Broker) -> None:
        headers = await broker.headers()
        client = await broker.connect()
        client.register(await broker.approval(), ("H0STCNT0", SYMBOLS[0]))
        await client.ended
        over = asyncio.create_task(broker.simulator.wait())
        for symbol in SYMBOLS:
            query = {"FID_COND_MRKT_DIV_CODE": "J", "FID_INPUT_ISCD": symbol}
            assert (await broker.get("inquire-price", headers, "FHKST01010100", **query))[0] == 200
            await asyncio.wait({over}, timeout=0.5)
            assert not over.done()
        await broker.http.close()
        await asyncio.wait_for(over, 20)

    run(play)
